// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/image.hpp"
#include "imaging/image_error.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::imaging {

/// How pictures are brought to one size: Resize(resize), CenterCrop(crop), as torchvision has them.
struct transform {
  int resize = 256;                        ///< length of the short side after resizing, in pixels
  int crop = 224;                          ///< side of the square cut from the middle; at most `resize`
  bool exif = true;                        ///< turn the picture as its EXIF orientation says
  std::uint64_t max_pixels = 179'000'000;  ///< larger pictures are refused before they are decoded (Pillow's limit)
  /// Decode JPEG files to their end to find damage, also where the crop shows nothing. Costs about 4 %; without it,
  /// decoding stops after the last row needed, and a file damaged in the middle can give a wrong picture unnoticed.
  bool check_rest = true;
};

struct picture_size {
  int width = 0;
  int height = 0;
};

/// Decodes a JPEG or PNG file, told apart by content, to `crop` x `crop` pixels in display orientation, within 1 of 255
/// of Pillow's result. docs/pictures.md has the rules for every encoding.
///
/// Only the part of the picture that the crop shows is decoded where the format permits; rows stream through the
/// resize, so memory is a few rows. The exceptions, progressive JPEG and interlaced PNG, may use 256 MiB.
/// Thread-safe: no shared state. Blocks on nothing; borrows `file` for the call; prints nothing.
/// Throws image_error for the file's faults and std::invalid_argument for an impossible transform.
/// `displayed`, if given, gets the size of the whole picture in display orientation.
image decode_resized_crop(std::span<std::byte const> file, transform const& how, picture_size* displayed = nullptr);

/// Decodes the whole picture under the same rules; `resize` and `crop` are not used. Memory: the picture, twice while
/// it is being turned. Thread-safe; throws image_error.
image decode(std::span<std::byte const> file, transform const& how);

}  // namespace penstock::imaging
