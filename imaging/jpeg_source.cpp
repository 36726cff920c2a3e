// SPDX-License-Identifier: Apache-2.0
#include "imaging/c_library_call.hpp"
#include "imaging/exif.hpp"
#include "imaging/image_error.hpp"
#include "imaging/picture_source.hpp"

#include <fmt/format.h>

// clang-format off: jpeglib.h needs FILE and size_t to be declared
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace penstock::imaging {

namespace {

// Encoders write about ten. Each scan costs a pass over the whole picture, however short it is in the file.
constexpr int max_scans = 100;

// libjpeg's smooth upsampling of colour looks one sample to each side. At the edge of a partial decode it has no
// neighbour, so the edge is put this many pixels away from those that are used.
constexpr int edge_margin = 2;

// What libjpeg calls back, and what it said. `base` and `progress` come first in their objects because libjpeg hands
// back pointers to them.
struct error_state {
  jpeg_error_mgr base;
  std::jmp_buf target;
  int code = 0;
  bool too_many_scans = false;
  std::array<char, JMSG_LENGTH_MAX> message{};
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* const errors = reinterpret_cast<error_state*>(info->err);
  errors->code = info->err->msg_code;
  info->err->format_message(info, errors->message.data());
  std::longjmp(errors->target, 1);
}

// A warning means that libjpeg goes on with invented pixels; only remarks on the header leave the pixels alone.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC: return;
    default: fail(info);
  }
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= max_scans) return;
  auto* const errors = reinterpret_cast<error_state*>(info->err);
  errors->too_many_scans = true;
  std::longjmp(errors->target, 1);
}

class decompressor {
 public:
  decompressor() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = fail;
    errors.base.emit_message = on_message;
    progress_.progress_monitor = on_progress;
    call([this] { jpeg_create_decompress(&info); });
    info.progress = &progress_;
    info.mem->max_memory_to_use = static_cast<long>(working_memory_bytes);
  }
  decompressor(decompressor const&) = delete;
  decompressor& operator=(decompressor const&) = delete;
  ~decompressor() { jpeg_destroy_decompress(&info); }

  /// Calls libjpeg; what it reports becomes an image_error.
  template <typename Call>
  void call(Call const& libjpeg) {
    if (!c_library_call(errors.target, libjpeg)) throw error();
  }

  jpeg_decompress_struct info{};
  error_state errors{};

 private:
  [[nodiscard]] image_error error() const;

  jpeg_progress_mgr progress_{};
};

image_error decompressor::error() const {
  using enum image_error_kind;
  if (errors.too_many_scans) {
    return {too_large, fmt::format("JPEG: more than {} scans; pictures of a few scans are decoded", max_scans)};
  }
  std::string const message = fmt::format("JPEG: {}", errors.message.data());
  switch (errors.code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY: return {truncated, "JPEG: the file ends before the picture is complete"};
    case JERR_NO_BACKING_STORE:
    case JERR_OUT_OF_MEMORY:
      return {too_large, fmt::format("JPEG: {} x {} pixels in more than one scan need more than {} MiB of memory; save "
                                     "it as a baseline JPEG",
                                     info.image_width, info.image_height, working_memory_bytes >> 20)};
    case JERR_IMAGE_TOO_BIG: return {too_large, message};
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED: return {unsupported_format, message};
    default: return {corrupt, message};
  }
}

// Pillow's arithmetic: a * b / 255, rounded.
unsigned times(unsigned a, unsigned b) {
  unsigned const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Ink amounts, stored inverted as Adobe does it, to RGB in place: `row` shrinks from 4 to 3 bytes a pixel.
void cmyk_to_rgb(std::uint8_t* row, std::size_t pixels) {
  std::uint8_t* to = row;
  for (std::uint8_t const* from = row; from != row + 4 * pixels; from += 4) {
    unsigned const white = from[3];
    for (int ink = 0; ink != 3; ++ink) *to++ = static_cast<std::uint8_t>(white - times(255U - from[ink], white));
  }
}

int orientation_of(jpeg_decompress_struct const& info) {
  for (auto const* marker = info.marker_list; marker != nullptr; marker = marker->next) {
    std::span const payload{reinterpret_cast<std::byte const*>(marker->data), marker->data_length};
    // APP1 also carries XMP, which gives 1.
    if (int const found = exif_orientation(payload); found != 1) return found;
  }
  return 1;
}

class jpeg_source final : public picture_source {
 public:
  jpeg_source(std::span<std::byte const> file, std::uint64_t max_pixels);

  [[nodiscard]] int width() const override { return static_cast<int>(jpeg_.info.image_width); }
  [[nodiscard]] int height() const override { return static_cast<int>(jpeg_.info.image_height); }
  [[nodiscard]] int orientation() const override { return orientation_; }
  void read(kernels::pixel_range columns, kernels::pixel_range rows, row_sink const& sink) override;
  void check_rest() override;

 private:
  JDIMENSION start_at(kernels::pixel_range columns, int first_row);
  void read_row();

  decompressor jpeg_;
  bool cmyk_ = false;
  int orientation_ = 1;
  std::vector<JSAMPLE> row_;
};

jpeg_source::jpeg_source(std::span<std::byte const> file, std::uint64_t max_pixels) {
  auto* const info = &jpeg_.info;
  jpeg_.call([=] {
    jpeg_mem_src(info, reinterpret_cast<unsigned char const*>(file.data()), static_cast<unsigned long>(file.size()));
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(info, TRUE);
  });
  check_size("JPEG", info->image_width, info->image_height, max_pixels);
  if (info->num_components != 1 && info->num_components != 3 && info->num_components != 4) {
    throw image_error{
        image_error_kind::unsupported_format,
        fmt::format("JPEG: {} colour components; 1 (grey), 3 (colour) and 4 (CMYK) are read", info->num_components)};
  }
  cmyk_ = info->num_components == 4;
  orientation_ = orientation_of(*info);
}

// Starts decoding, so that the next row is `first_row` and holds at least `columns`. Returns the row's first column.
JDIMENSION jpeg_source::start_at(kernels::pixel_range columns, int first_row) {
  auto* const info = &jpeg_.info;
  bool const cmyk = cmyk_;
  int const left = std::max(columns.begin - edge_margin, 0);
  int const right = std::min(columns.end + edge_margin, width());
  bool const whole_rows = right - left == width();
  auto first_column = static_cast<JDIMENSION>(left);
  auto row_width = static_cast<JDIMENSION>(right - left);
  jpeg_.call([=, &first_column, &row_width] {
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    // It guesses the detail that an unfinished progressive file lacks, and reads beyond a partial decode to do so.
    info->do_block_smoothing = FALSE;
    jpeg_start_decompress(info);
    // Moves the left edge outwards to where blocks begin.
    if (!whole_rows) jpeg_crop_scanline(info, &first_column, &row_width);
    if (first_row != 0) jpeg_skip_scanlines(info, static_cast<JDIMENSION>(first_row));
  });
  return first_column;
}

void jpeg_source::read(kernels::pixel_range columns, kernels::pixel_range rows, row_sink const& sink) {
  auto const first_column = static_cast<int>(start_at(columns, rows.begin));
  row_.resize(std::size_t{jpeg_.info.output_width} * static_cast<std::size_t>(jpeg_.info.output_components));
  for (int y = rows.begin; y != rows.end; ++y) {
    jpeg_.call([this] { read_row(); });
    if (cmyk_) cmyk_to_rgb(row_.data(), jpeg_.info.output_width);
    sink(row_.data() + std::ptrdiff_t{3} * (columns.begin - first_column));
  }
}

void jpeg_source::check_rest() {
  jpeg_.call([this] {
    auto& info = jpeg_.info;
    JDIMENSION const rest = info.output_height - info.output_scanline;
    // Asked to skip to the very end, libjpeg would not decode: the last row has to be read.
    if (rest > 1) jpeg_skip_scanlines(&info, rest - 1);
    if (rest > 0) read_row();
    jpeg_finish_decompress(&info);
  });
}

// Within jpeg_.call.
void jpeg_source::read_row() {
  JSAMPROW pointer = row_.data();
  jpeg_read_scanlines(&jpeg_.info, &pointer, 1);
}

}  // namespace

std::unique_ptr<picture_source> open_jpeg(std::span<std::byte const> file, std::uint64_t max_pixels) {
  return std::make_unique<jpeg_source>(file, max_pixels);
}

}  // namespace penstock::imaging
