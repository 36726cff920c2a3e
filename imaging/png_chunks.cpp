// SPDX-License-Identifier: Apache-2.0
#include "imaging/png_chunks.hpp"

#include "imaging/image_error.hpp"

#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace penstock::imaging {

namespace {

// Length, type and checksum around a chunk's payload.
constexpr std::size_t frame_bytes = 12;
constexpr std::size_t header_payload_bytes = 13;
constexpr std::size_t largest_payload = 0x7fffffff;

std::uint32_t big_endian(std::span<std::byte const> bytes) {
  std::uint32_t value = 0;
  for (std::byte const byte : bytes.first(4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

image_error ends_too_early() {
  return {image_error_kind::truncated, "PNG: the file ends before the picture is complete"};
}

struct chunk {
  std::string_view type;
  std::span<std::byte const> payload;
  std::span<std::byte const> checked;  // type and payload
  std::uint32_t checksum;
  [[nodiscard]] std::size_t size() const { return payload.size() + frame_bytes; }
};

std::string printable(std::string_view type) {
  if (std::ranges::all_of(type, [](unsigned char c) { return std::isalpha(c) != 0; })) return std::string{type};
  std::string codes;
  for (char const c : type) codes += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return codes;
}

// The chunk at the front of `rest`, whole.
chunk front(std::span<std::byte const> rest) {
  if (rest.size() < frame_bytes) throw ends_too_early();
  std::size_t const length = big_endian(rest);
  std::string_view const type{reinterpret_cast<char const*>(rest.data()) + 4, 4};
  if (length > largest_payload) {
    throw image_error{image_error_kind::corrupt, fmt::format("PNG: chunk {} claims {} bytes; at most {} are possible",
                                                             printable(type), length, largest_payload)};
  }
  if (rest.size() - frame_bytes < length) throw ends_too_early();
  return {type, rest.subspan(8, length), rest.subspan(4, length + 4), big_endian(rest.subspan(8 + length))};
}

}  // namespace

png_layout read_png_header(std::span<std::byte const> file) {
  if (file.size() < png_signature.size()) throw ends_too_early();
  chunk const header = front(file.subspan(png_signature.size()));
  if (header.type != "IHDR" || header.payload.size() != header_payload_bytes) {
    throw image_error{image_error_kind::corrupt,
                      fmt::format("PNG: begins with chunk {} of {} bytes; IHDR of {} expected", printable(header.type),
                                  header.payload.size(), header_payload_bytes)};
  }
  bool const interlaced = header.payload[12] != std::byte{0};
  return {big_endian(header.payload), big_endian(header.payload.subspan(4)), interlaced, {}};
}

std::span<std::byte const> check_png_chunks(std::span<std::byte const> file) {
  std::span<std::byte const> exif;
  for (auto rest = file.subspan(png_signature.size());;) {
    chunk const next = front(rest);
    auto const computed = crc32_z(0, reinterpret_cast<Bytef const*>(next.checked.data()), next.checked.size());
    if (computed != next.checksum) {
      throw image_error{image_error_kind::corrupt,
                        fmt::format("PNG: chunk {} at byte {} has checksum {:08x}; its bytes "
                                    "give {:08x}",
                                    printable(next.type), file.size() - rest.size(), next.checksum, computed)};
    }
    if (next.type == "IEND") return exif;
    if (next.type == "eXIf") exif = next.payload;
    rest = rest.subspan(next.size());
  }
}

}  // namespace penstock::imaging
