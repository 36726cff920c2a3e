// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/resample_rows.hpp"
#include "kernels/simd.hpp"
#include "kernels/triangle_filter.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock::kernels {

struct resample_options {
  /// The result will be turned by a quarter afterwards. Pillow would turn first, so its columns are rows here.
  bool turned = false;
  simd_level level = best_simd_level();
};

/// Computes a window of a resized picture from the rows of the source, one after another; neither the source nor the
/// resized picture is ever held. Antialiased triangle filter (see triangle_filter), enlarging included.
///
/// Pixels: RGB, uint8, interleaved, rows without padding. Every result is within 1 of 255 of what Pillow's
/// `resize(..., BILINEAR)` gives. Pillow resizes columns, rounds to 8 bits, and resizes rows; up to a vertical scale of
/// 1.25 so does this class, and the results are nearly always the same. Above, rows come first, which is faster, and
/// nothing is rounded to 8 bits in between; so it is, too, where Pillow begins with the rows: pictures much taller than
/// wide, and those that are `turned`.
///
///     crop_resampler resampler{{.source = 500, .resized = 320, .first = 48, .count = 224}, {...}, out};
///     for (int y = resampler.source_rows().begin; y != resampler.source_rows().end; ++y)
///       resampler.push(row(y) + 3 * resampler.source_columns().begin);
///
/// Not thread-safe; one object per picture. Borrows `out` until the last push. Memory: a few source rows.
/// The constructor throws std::invalid_argument for impossible windows and an `out` of another size.
class crop_resampler {
 public:
  /// `out`: rows.count x columns.count x 3, row-major.
  crop_resampler(axis_window const& columns, axis_window const& rows, std::span<std::uint8_t> out,
                 resample_options const& options = {});

  /// What of the source is needed; nothing else is read.
  [[nodiscard]] pixel_range source_columns() const { return columns_.source_range(); }
  [[nodiscard]] pixel_range source_rows() const { return rows_.source_range(); }

  /// Takes the next source row, from source_rows().begin on. `row` points to pixel source_columns().begin;
  /// 3 * source_columns().size() bytes are read. Throws std::logic_error after the last row.
  void push(std::uint8_t const* row);

  /// Whether all rows have been pushed, so that `out` is complete.
  [[nodiscard]] bool done() const { return next_row_ == source_rows().end; }

 private:
  [[nodiscard]] std::size_t longest_overlap() const;
  [[nodiscard]] std::int32_t* sums_of(int output);
  void fold(std::uint8_t const* line);
  void fold_pair(std::uint8_t const* first, std::uint8_t const* second, int first_row);
  void emit(int output);

  triangle_filter columns_;
  triangle_filter rows_;
  column_table table_;
  row_operations const* operations_;
  std::span<std::uint8_t> out_;
  bool columns_first_;
  std::size_t line_size_;    // elements of the lines that are folded
  std::size_t padded_size_;  // the same, rounded up to row_padding
  std::size_t open_limit_;   // output rows that can be open at once
  int next_row_;
  int next_output_ = 0;
  std::vector<std::uint8_t> waiting_;  // the first line of a pair
  std::vector<std::uint8_t> resized_;  // columns_first_: a source row after the column pass
  std::vector<std::int16_t> pairs_;
  std::vector<std::int16_t> words_;  // the row that goes through the column pass
  std::vector<std::int32_t> sums_;   // ring of open output rows
};

}  // namespace penstock::kernels
