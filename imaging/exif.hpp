// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace penstock::imaging {

/// The orientation in EXIF data, 1..8; 1 (as stored) where there is none or it cannot be read. `exif`: the payload of a
/// JPEG's APP1 segment or of a PNG's eXIf chunk, with or without the leading "Exif\0\0". Any bytes are safe.
/// Thread-safe; throws nothing.
int exif_orientation(std::span<std::byte const> exif) noexcept;

}  // namespace penstock::imaging
