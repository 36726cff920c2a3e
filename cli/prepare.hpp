// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"
#include "imaging/image.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

namespace penstock::cli {

/// One picture, ready to be written.
struct prepared {
  std::variant<std::vector<float>, std::vector<std::uint8_t>> row;  ///< 3 x crop x crop elements, row-major.
  imaging::image tile;  ///< For the contact sheet; empty where it has no place there.
  int width;            ///< Pixels of the picture in the file, as displayed.
  int height;
};

/// The row as it is written.
std::span<std::byte const> row_bytes(prepared const& item);

/// Decodes a picture file and transforms it as `options` say. Throws imaging::image_error. Thread-safe.
prepared prepare(std::span<std::byte const> file, bool with_tile, preprocess_options const& options);

}  // namespace penstock::cli
