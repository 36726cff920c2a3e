// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/partial_file.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace penstock::imaging {

/// What one element of an array file is: 32-bit float ('<f4') or unsigned byte ('|u1').
enum class element_type { f32, u8 };

std::size_t size_bytes(element_type type);
/// The name users type and read: "f32", "u8".
std::string to_string(element_type type);

/// Size of the header of every array file written here; longer than any needed, so the row count can be patched in.
inline constexpr std::size_t npy_header_bytes = 128;

/// The header of a version 1.0 `.npy` file: C order, little-endian, shape (rows, row_shape...).
std::array<std::byte, npy_header_bytes> npy_header(element_type type, std::size_t rows,
                                                   std::span<std::size_t const> row_shape);

/// Writes one `.npy` array row by row; the array is never held in memory and has its name only when it is whole.
///
/// Not thread-safe; blocks on the disk. Throws std::system_error as partial_file does, and std::invalid_argument for a
/// row of another size.
class npy_writer {
 public:
  npy_writer(std::filesystem::path path, element_type type, std::vector<std::size_t> row_shape);

  /// Appends one row: the bytes of prod(row_shape) elements, row-major, little-endian.
  void append(std::span<std::byte const> row);
  [[nodiscard]] std::size_t rows() const { return rows_; }
  /// Puts the true number of rows into the header and gives the file its name.
  void commit();

 private:
  element_type type_;
  std::vector<std::size_t> row_shape_;
  std::size_t row_bytes_;
  std::size_t rows_ = 0;
  partial_file file_;
};

}  // namespace penstock::imaging
