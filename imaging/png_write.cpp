// SPDX-License-Identifier: Apache-2.0
#include "imaging/png_write.hpp"

#include "imaging/png_chunks.hpp"

#include <fmt/format.h>

#include <zlib.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>

namespace penstock::imaging {

namespace {

using bytes = std::vector<std::byte>;

constexpr int compression_level = 6;
constexpr std::byte filter_sub{1};
constexpr std::size_t bytes_per_pixel = 3;

void append(bytes& to, std::uint32_t big_endian) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::byte>(big_endian >> shift));
}

void append(bytes& to, std::span<std::byte const> from) { to.insert(to.end(), from.begin(), from.end()); }

void append_chunk(bytes& to, std::string_view type, std::span<std::byte const> payload) {
  append(to, static_cast<std::uint32_t>(payload.size()));
  std::size_t const checked_from = to.size();
  append(to, std::as_bytes(std::span{type}));
  append(to, payload);
  auto const* const checked = reinterpret_cast<Bytef const*>(to.data() + checked_from);
  append(to, static_cast<std::uint32_t>(crc32_z(0, checked, to.size() - checked_from)));
}

std::array<std::byte, 13> header_of(image const& picture) {
  auto const byte = [](int value, int shift) { return static_cast<std::byte>(value >> shift); };
  auto const [width, height] = std::pair{picture.width, picture.height};
  constexpr std::byte bits{8};
  constexpr std::byte rgb{2};
  return {byte(width, 24),  byte(width, 16), byte(width, 8),  byte(width, 0), byte(height, 24),
          byte(height, 16), byte(height, 8), byte(height, 0), bits,           rgb};
}

// Each row: the filter's number, then every byte less the byte of the pixel before it, which compresses better.
bytes filtered(image const& picture) {
  bytes result;
  result.reserve(picture.size_bytes() + static_cast<std::size_t>(picture.height));
  for (int y = 0; y != picture.height; ++y) {
    auto const row = picture.row(y);
    result.push_back(filter_sub);
    for (std::size_t i = 0; i != row.size(); ++i) {
      int const before = i < bytes_per_pixel ? 0 : row[i - bytes_per_pixel];
      result.push_back(static_cast<std::byte>(row[i] - before));
    }
  }
  return result;
}

bytes compressed(bytes const& raw) {
  auto size = compressBound(static_cast<uLong>(raw.size()));
  bytes result(size);
  int const status =
      compress2(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<Bytef const*>(raw.data()),
                static_cast<uLong>(raw.size()), compression_level);
  if (status != Z_OK) throw std::bad_alloc{};  // the room is enough by definition, so nothing else is left
  result.resize(size);
  return result;
}

void check(image const& picture) {
  if (picture.width >= 1 && picture.height >= 1 && picture.pixels.size() == picture.size_bytes()) return;
  throw std::invalid_argument{
      fmt::format("encode_png: {} x {} pixels in {} bytes; sides must be at least 1 and bytes 3 "
                  "times their product",
                  picture.width, picture.height, picture.pixels.size())};
}

}  // namespace

bytes encode_png(image const& picture) {
  check(picture);
  bytes const pixels = compressed(filtered(picture));
  auto const signature = std::as_bytes(std::span{png_signature});
  bytes file{signature.begin(), signature.end()};
  file.reserve(pixels.size() + 64);
  append_chunk(file, "IHDR", header_of(picture));
  append_chunk(file, "IDAT", pixels);
  append_chunk(file, "IEND", {});
  return file;
}

}  // namespace penstock::imaging
