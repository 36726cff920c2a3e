// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::imaging {

/// The eight bytes with which every PNG file begins.
inline constexpr std::array<std::uint8_t, 8> png_signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/// What is known of a PNG without unpacking pixels.
struct png_layout {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  bool interlaced = false;
  std::span<std::byte const> exif;  ///< part of the file; empty if there is none
};

/// Reads width, height and interlacing from the first chunk, which is not yet checked. `file` begins with the PNG
/// signature or ends within it. Throws image_error. Thread-safe.
png_layout read_png_header(std::span<std::byte const> file);

/// Walks all chunks to the last, IEND, and checks their checksums, so that damage anywhere is found although only part
/// of the picture may be decoded. Returns the payload of the eXIf chunk, part of `file`; empty if there is none.
/// Throws image_error. Thread-safe. Time: the checksum, some 1 GB/s.
std::span<std::byte const> check_png_chunks(std::span<std::byte const> file);

}  // namespace penstock::imaging
