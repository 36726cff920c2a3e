// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/image.hpp"

#include <cstddef>
#include <vector>

namespace penstock::imaging {

/// The picture as a PNG file: RGB, 8 bits, not interlaced. Thread-safe: no shared state. Needs memory for two copies of
/// the picture. Throws std::invalid_argument for a picture without pixels or whose pixels do not match its size.
std::vector<std::byte> encode_png(image const& picture);

}  // namespace penstock::imaging
