// SPDX-License-Identifier: Apache-2.0
#include "imaging/npy_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace penstock::imaging {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory: little-endian only");

std::size_t size_bytes(element_type type) { return type == element_type::f32 ? 4 : 1; }

std::string to_string(element_type type) { return type == element_type::f32 ? "f32" : "u8"; }

std::array<std::byte, npy_header_bytes> npy_header(element_type type, std::size_t rows,
                                                   std::span<std::size_t const> row_shape) {
  std::string shape = std::to_string(rows) + ",";
  for (std::size_t i = 0; i != row_shape.size(); ++i) shape += fmt::format("{} {}", i == 0 ? "" : ",", row_shape[i]);
  std::string const dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                             type == element_type::f32 ? "<f4" : "|u1", shape);
  constexpr std::string_view magic{"\x93NUMPY\x01\x00", 8};
  constexpr std::size_t fixed = magic.size() + 2;
  if (fixed + dictionary.size() + 1 > npy_header_bytes) {
    throw std::invalid_argument{fmt::format("npy_header: {} dimensions are too many", row_shape.size() + 1)};
  }
  constexpr std::size_t text_bytes = npy_header_bytes - fixed;
  static_assert(text_bytes < 256, "the length below is written into its low byte");
  std::array<std::byte, npy_header_bytes> header;
  header.fill(std::byte{' '});
  std::ranges::copy(std::as_bytes(std::span{magic}), header.begin());
  header[magic.size()] = std::byte{text_bytes};
  header[magic.size() + 1] = std::byte{0};
  std::ranges::copy(std::as_bytes(std::span{dictionary}), header.begin() + fixed);
  header.back() = std::byte{'\n'};
  return header;
}

npy_writer::npy_writer(std::filesystem::path path, element_type type, std::vector<std::size_t> row_shape)
    : type_{type},
      row_shape_{std::move(row_shape)},
      row_bytes_{std::accumulate(row_shape_.begin(), row_shape_.end(), size_bytes(type), std::multiplies{})},
      file_{std::move(path)} {
  file_.append(npy_header(type_, 0, row_shape_));
}

void npy_writer::append(std::span<std::byte const> row) {
  if (row.size() != row_bytes_) {
    throw std::invalid_argument{
        fmt::format("npy_writer: a row has {} bytes, got {}: {}", row_bytes_, row.size(), file_.path().string())};
  }
  file_.append(row);
  ++rows_;
}

void npy_writer::commit() {
  file_.overwrite(0, npy_header(type_, rows_, row_shape_));
  file_.commit();
}

}  // namespace penstock::imaging
