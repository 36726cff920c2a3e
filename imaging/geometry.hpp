// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/image.hpp"
#include "kernels/triangle_filter.hpp"

namespace penstock::imaging {

/// The window of the resized picture that the crop shows, in the coordinates of the picture as it is stored.
struct crop_plan {
  kernels::axis_window columns;
  kernels::axis_window rows;
};

/// Resize of the short side to `resize`, then a centred `crop` x `crop` square, as torchvision's Resize and CenterCrop
/// define them: the long side is int(resize * long / short), offsets are halves rounded to even. Both apply to the
/// picture as it is displayed; `width` and `height` are those stored, `orientation` is 1..8.
/// Needs 1 <= crop <= resize. Thread-safe; throws nothing.
crop_plan plan_crop(int width, int height, int resize, int crop, int orientation);

/// The picture turned and mirrored from its stored orientation (EXIF, 1..8) to the one it is displayed in.
/// Thread-safe; throws std::bad_alloc.
image oriented(image stored, int orientation);

}  // namespace penstock::imaging
