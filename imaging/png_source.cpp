// SPDX-License-Identifier: Apache-2.0
#include "imaging/c_library_call.hpp"
#include "imaging/exif.hpp"
#include "imaging/image_error.hpp"
#include "imaging/picture_source.hpp"
#include "imaging/png_chunks.hpp"

#include <fmt/format.h>

#include <png.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace penstock::imaging {

namespace {

using namespace std::string_view_literals;

// libpng keeps a few rows; this bounds them to some 25 MB.
constexpr std::uint32_t max_width = 1'000'000;
constexpr png_alloc_size_t max_chunk_bytes = 8'000'000;

// Chunks that change no pixel here: transparency, colour management, texts. Skipping them also spares unpacking the
// compressed ones.
constexpr std::string_view unused_chunks{
    "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0tEXt\0tIME\0tRNS\0zTXt\0"sv};
constexpr int unused_chunk_count = static_cast<int>(unused_chunks.size() / 5);

struct error_state {
  std::jmp_buf target;
  std::array<char, 200> message{};
};

[[noreturn]] void fail(png_structp png, png_const_charp message) {
  auto* const errors = static_cast<error_state*>(png_get_error_ptr(png));
  std::strncpy(errors->message.data(), message, errors->message.size() - 1);
  std::longjmp(errors->target, 1);
}

void ignore(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, std::size_t count) {
  auto* const rest = static_cast<std::span<std::byte const>*>(png_get_io_ptr(png));
  if (count > rest->size()) png_error(png, "the file ends before the picture is complete");
  std::memcpy(to, rest->data(), count);
  *rest = rest->subspan(count);
}

// Owns libpng's reading state.
class decompressor {
 public:
  explicit decompressor(std::span<std::byte const> file) : rest_{file} {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &errors_, fail, ignore);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc{};
    }
    png_set_read_fn(png, &rest_, read_bytes);
  }
  decompressor(decompressor const&) = delete;
  decompressor& operator=(decompressor const&) = delete;
  ~decompressor() { png_destroy_read_struct(&png, &info, nullptr); }

  /// Calls libpng; what it reports becomes an image_error.
  template <typename Call>
  void call(Call const& libpng) {
    if (c_library_call(errors_.target, libpng)) return;
    throw image_error{image_error_kind::corrupt, fmt::format("PNG: {}", errors_.message.data())};
  }

  png_structp png = nullptr;
  png_infop info = nullptr;

 private:
  std::span<std::byte const> rest_;
  error_state errors_{};
};

class png_source final : public picture_source {
 public:
  png_source(std::span<std::byte const> file, std::uint64_t max_pixels);

  [[nodiscard]] int width() const override { return static_cast<int>(layout_.width); }
  [[nodiscard]] int height() const override { return static_cast<int>(layout_.height); }
  [[nodiscard]] int orientation() const override { return exif_orientation(layout_.exif); }
  void read(kernels::pixel_range columns, kernels::pixel_range rows, row_sink const& sink) override;
  void check_rest() override {}  // the constructor has checked the whole file

 private:
  void start(decompressor& reader) const;
  void read_in_order(decompressor& reader, kernels::pixel_range columns, kernels::pixel_range rows,
                     row_sink const& sink) const;
  void read_interlaced(decompressor& reader, kernels::pixel_range columns, kernels::pixel_range rows,
                       row_sink const& sink) const;
  [[nodiscard]] std::size_t row_bytes() const { return std::size_t{layout_.width} * 3; }

  std::span<std::byte const> file_;
  png_layout layout_;
};

png_source::png_source(std::span<std::byte const> file, std::uint64_t max_pixels)
    : file_{file}, layout_{read_png_header(file)} {
  check_size("PNG", layout_.width, layout_.height, max_pixels);
  if (layout_.width > max_width) {
    throw image_error{image_error_kind::too_large,
                      fmt::format("PNG: {} pixels wide; at most {} are decoded", layout_.width, max_width)};
  }
  layout_.exif = check_png_chunks(file);
}

void png_source::read(kernels::pixel_range columns, kernels::pixel_range rows, row_sink const& sink) {
  decompressor reader{file_};
  start(reader);
  if (layout_.interlaced) {
    read_interlaced(reader, columns, rows, sink);
  } else {
    read_in_order(reader, columns, rows, sink);
  }
}

// Reads up to the pixels and asks for RGB, 8 bits.
void png_source::start(decompressor& reader) const {
  auto* const png = reader.png;
  auto* const info = reader.info;
  std::size_t bytes = 0;
  reader.call([=, &bytes] {
    png_set_user_limits(png, max_width, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, max_chunk_bytes);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, reinterpret_cast<png_const_bytep>(unused_chunks.data()),
                                unused_chunk_count);
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);  // check_png_chunks has checked them
    png_read_info(png, info);
    png_set_expand(png);    // palettes, 1, 2 and 4 bits
    png_set_scale_16(png);  // v * 255 / 65535, rounded
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    bytes = png_get_rowbytes(png, info);
  });
  if (bytes == row_bytes()) return;
  throw image_error{image_error_kind::corrupt, fmt::format("PNG: rows of {} bytes; {} expected", bytes, row_bytes())};
}

void png_source::read_in_order(decompressor& reader, kernels::pixel_range columns, kernels::pixel_range rows,
                               row_sink const& sink) const {
  auto* const png = reader.png;
  reader.call([=] {
    for (int y = 0; y != rows.begin; ++y) png_read_row(png, nullptr, nullptr);
  });
  std::vector<png_byte> row(row_bytes());
  for (int y = rows.begin; y != rows.end; ++y) {
    reader.call([png, to = row.data()] { png_read_row(png, to, nullptr); });
    sink(row.data() + std::ptrdiff_t{3} * columns.begin);
  }
}

// Every pass adds pixels all over the picture, so the rows needed are held until the last one.
void png_source::read_interlaced(decompressor& reader, kernels::pixel_range columns, kernels::pixel_range rows,
                                 row_sink const& sink) const {
  std::size_t const stride = row_bytes();
  std::size_t const bytes = stride * static_cast<std::size_t>(rows.size());
  if (bytes > working_memory_bytes) {
    throw image_error{
        image_error_kind::too_large,
        fmt::format("PNG: {} x {} pixels, interlaced, need {} MiB of memory; at most {} are used: save it "
                    "without interlacing",
                    layout_.width, layout_.height, bytes >> 20, working_memory_bytes >> 20)};
  }
  std::vector<png_byte> pixels(bytes);
  reader.call([=, png = reader.png, from = pixels.data(), height = height()] {
    for (int pass = 0; pass != PNG_INTERLACE_ADAM7_PASSES; ++pass) {
      for (int y = 0; y != height; ++y) {
        bool const needed = y >= rows.begin && y < rows.end;
        png_read_row(png, needed ? from + static_cast<std::size_t>(y - rows.begin) * stride : nullptr, nullptr);
      }
    }
  });
  for (int y = 0; y != rows.size(); ++y) {
    sink(pixels.data() + static_cast<std::size_t>(y) * stride + std::ptrdiff_t{3} * columns.begin);
  }
}

}  // namespace

std::unique_ptr<picture_source> open_png(std::span<std::byte const> file, std::uint64_t max_pixels) {
  return std::make_unique<png_source>(file, max_pixels);
}

}  // namespace penstock::imaging
