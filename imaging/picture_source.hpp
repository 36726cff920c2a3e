// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/triangle_filter.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace penstock::imaging {

/// Memory that a picture which cannot be decoded row by row may take.
inline constexpr std::size_t working_memory_bytes = std::size_t{256} << 20;

/// An opened picture file: its header has been read, its pixels not yet.
///
/// Not thread-safe; one object per picture; borrows the file's bytes. Every function throws image_error.
class picture_source {
 public:
  using row_sink = std::function<void(std::uint8_t const*)>;

  picture_source() = default;
  picture_source(picture_source const&) = delete;
  picture_source& operator=(picture_source const&) = delete;
  virtual ~picture_source() = default;

  /// As stored, before any turning; both at least 1.
  [[nodiscard]] virtual int width() const = 0;
  [[nodiscard]] virtual int height() const = 0;
  /// The EXIF orientation, 1..8; 1 where there is none or it makes no sense.
  [[nodiscard]] virtual int orientation() const = 0;
  /// Calls `sink` once for each of `rows`, top to bottom, with 3 * columns.size() bytes of RGB that are valid during
  /// the call. May be called once. What `sink` throws passes through.
  virtual void read(kernels::pixel_range columns, kernels::pixel_range rows, row_sink const& sink) = 0;
  /// After read(): reads on to the end of the file without computing pixels, for damage shows up late. Damaged bytes
  /// seldom stop a Huffman decoder: it goes on from the wrong place, and only at the end are bits left over or missing.
  virtual void check_rest() = 0;
};

/// Recognises the format and opens the file.
std::unique_ptr<picture_source> open_picture(std::span<std::byte const> file, std::uint64_t max_pixels);

std::unique_ptr<picture_source> open_jpeg(std::span<std::byte const> file, std::uint64_t max_pixels);
std::unique_ptr<picture_source> open_png(std::span<std::byte const> file, std::uint64_t max_pixels);

/// Throws unless 1 <= width * height <= max_pixels. `format` begins the message.
void check_size(char const* format, std::uint64_t width, std::uint64_t height, std::uint64_t max_pixels);

}  // namespace penstock::imaging
