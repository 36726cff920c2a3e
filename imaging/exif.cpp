// SPDX-License-Identifier: Apache-2.0
#include "imaging/exif.hpp"

#include <cstdint>
#include <string_view>

namespace penstock::imaging {

namespace {

using namespace std::string_view_literals;

// A TIFF structure; what lies outside of it reads as 0.
class tiff_reader {
 public:
  explicit tiff_reader(std::string_view bytes) : bytes_{bytes}, big_endian_{bytes.starts_with("MM")} {}

  [[nodiscard]] bool valid() const { return (big_endian_ || bytes_.starts_with("II")) && u16(2) == 42; }
  [[nodiscard]] std::uint32_t u16(std::uint64_t at) const {
    return big_endian_ ? byte(at) << 8 | byte(at + 1) : byte(at + 1) << 8 | byte(at);
  }
  [[nodiscard]] std::uint32_t u32(std::uint64_t at) const {
    return big_endian_ ? u16(at) << 16 | u16(at + 2) : u16(at + 2) << 16 | u16(at);
  }

 private:
  [[nodiscard]] std::uint32_t byte(std::uint64_t at) const {
    return at < bytes_.size() ? static_cast<unsigned char>(bytes_[at]) : 0;
  }

  std::string_view bytes_;
  bool big_endian_;
};

constexpr std::uint32_t orientation_tag = 0x0112;
constexpr std::uint32_t type_short = 3;
constexpr std::uint32_t type_long = 4;
constexpr std::uint64_t entry_bytes = 12;

}  // namespace

int exif_orientation(std::span<std::byte const> exif) noexcept {
  std::string_view bytes{reinterpret_cast<char const*>(exif.data()), exif.size()};
  if (bytes.starts_with("Exif\0\0"sv)) bytes.remove_prefix(6);
  tiff_reader const tiff{bytes};
  if (!tiff.valid()) return 1;
  std::uint64_t const directory = tiff.u32(4);
  std::uint32_t const entries = tiff.u16(directory);
  for (std::uint32_t i = 0; i != entries; ++i) {
    std::uint64_t const entry = directory + 2 + i * entry_bytes;
    if (tiff.u16(entry) != orientation_tag) continue;
    std::uint32_t const type = tiff.u16(entry + 2);
    std::uint32_t const value = type == type_short ? tiff.u16(entry + 8) : type == type_long ? tiff.u32(entry + 8) : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace penstock::imaging
