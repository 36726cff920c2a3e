// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock::imaging {

/// A picture: HxWx3, uint8, RGB, row-major, rows without padding.
///
/// A plain value: whoever fills it keeps pixels.size() == size_bytes(). As thread-safe as a std::vector.
struct image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  [[nodiscard]] std::size_t row_bytes() const { return static_cast<std::size_t>(width) * 3; }
  [[nodiscard]] std::size_t size_bytes() const { return row_bytes() * static_cast<std::size_t>(height); }
  [[nodiscard]] std::span<std::uint8_t> row(int y) {
    return {pixels.data() + static_cast<std::size_t>(y) * row_bytes(), row_bytes()};
  }
  [[nodiscard]] std::span<std::uint8_t const> row(int y) const {
    return {pixels.data() + static_cast<std::size_t>(y) * row_bytes(), row_bytes()};
  }
  friend bool operator==(image const&, image const&) = default;
};

/// For stage_options::capacity_bytes.
inline std::size_t size_bytes(image const& of) { return sizeof(image) + of.pixels.size(); }

/// A black picture.
inline image blank_image(int width, int height) {
  image result{width, height, {}};
  result.pixels.resize(result.size_bytes());
  return result;
}

}  // namespace penstock::imaging
