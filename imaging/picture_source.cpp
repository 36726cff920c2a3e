// SPDX-License-Identifier: Apache-2.0
#include "imaging/picture_source.hpp"

#include "imaging/image_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace penstock::imaging {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view jpeg_start = "\xff\xd8"sv;
constexpr std::string_view png_start = "\x89PNG\r\n\x1a\n"sv;
constexpr std::size_t shortest_png_start = 4;

struct known_format {
  std::size_t offset;
  std::string_view magic;
  std::string_view name;
};

constexpr std::array known_formats{
    known_format{8, "WEBP"sv, "a WebP picture"},
    known_format{0, "GIF8"sv, "a GIF picture"},
    known_format{0, "II*\0"sv, "a TIFF or raw camera picture"},
    known_format{0, "MM\0*"sv, "a TIFF or raw camera picture"},
    known_format{4, "ftypavif"sv, "an AVIF picture"},
    known_format{4, "ftypavis"sv, "an AVIF picture"},
    known_format{4, "ftyphei"sv, "a HEIF picture"},
    known_format{4, "ftyphev"sv, "a HEIF picture"},
    known_format{4, "ftypmif1"sv, "a HEIF picture"},
    known_format{4, "ftypmsf1"sv, "a HEIF picture"},
    known_format{4, "ftyp"sv, "an MP4 or QuickTime video"},
    known_format{4, "JXL \r\n\x87\n"sv, "a JPEG XL picture"},
    known_format{0, "\xff\x0a"sv, "a JPEG XL picture"},
    known_format{4, "jP  \r\n\x87\n"sv, "a JPEG 2000 picture"},
    known_format{0, "\xff\x4f\xff\x51"sv, "a JPEG 2000 picture"},
    known_format{0, "8BPS"sv, "a Photoshop picture"},
    known_format{0, "%PDF"sv, "a PDF document"},
    known_format{0, "%!PS"sv, "a PostScript document"},
    known_format{0, "<svg"sv, "an SVG drawing"},
    known_format{0, "<?xml"sv, "an XML document"},
    known_format{0, "<!DOCTYPE"sv, "an HTML document"},
    known_format{0, "<html"sv, "an HTML document"},
    known_format{0, "PK\x03\x04"sv, "a ZIP archive"},
    known_format{0, "\x1f\x8b"sv, "a gzip archive"},
    known_format{257, "ustar"sv, "a tar archive"},
    known_format{0, "\x93NUMPY"sv, "a NumPy array"},
    known_format{0, "\x89HDF"sv, "an HDF5 file"},
    known_format{0, "\0\0\1\0"sv, "an icon"},
};

std::string name_of(std::string_view file) {
  // Two letters alone would claim too many texts; the reserved bytes are always 0.
  if (file.starts_with("BM") && file.substr(std::min<std::size_t>(file.size(), 6)).starts_with("\0\0\0\0"sv)) {
    return "a BMP picture";
  }
  for (auto const& format : known_formats) {
    if (file.size() > format.offset && file.substr(format.offset).starts_with(format.magic)) {
      return std::string{format.name};
    }
  }
  std::string bytes;
  for (char const byte : file.substr(0, 8)) bytes += fmt::format(" {:02x}", static_cast<unsigned char>(byte));
  return "not a picture format penstock knows: starts with bytes" + bytes;
}

}  // namespace

std::unique_ptr<picture_source> open_picture(std::span<std::byte const> file, std::uint64_t max_pixels) {
  if (file.empty()) throw image_error{image_error_kind::empty, "the file is empty: 0 bytes"};
  std::string_view const text{reinterpret_cast<char const*>(file.data()), file.size()};
  if (text.starts_with(jpeg_start)) return open_jpeg(file, max_pixels);
  if (text.size() >= shortest_png_start && text.substr(0, png_start.size()) == png_start.substr(0, text.size())) {
    return open_png(file, max_pixels);
  }
  throw image_error{image_error_kind::unsupported_format, name_of(text) + "; JPEG and PNG are read"};
}

void check_size(char const* format, std::uint64_t width, std::uint64_t height, std::uint64_t max_pixels) {
  if (width == 0 || height == 0) {
    throw image_error{image_error_kind::corrupt,
                      fmt::format("{}: {} x {} pixels; both sides must be at least 1", format, width, height)};
  }
  if (width * height > max_pixels) {  // both are below 2^32
    throw image_error{image_error_kind::too_large,
                      fmt::format("{}: {} x {} pixels is {}; at most {} are decoded (raise --max-pixels)", format,
                                  width, height, width * height, max_pixels)};
  }
}

}  // namespace penstock::imaging
