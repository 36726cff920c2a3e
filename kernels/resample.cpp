// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace penstock::kernels {

namespace {

// Fixed-point budget, in bits after the point. The column pass multiplies int16 by int16 and adds up in int32:
// values get 7 - e bits and weights 14 + e, where e grows with the scale, so every sum is at most 255 * 2^21.
// The row pass adds bytes times weights: 255 * 2^(14 + 8) at most. The error of both passes and of the rounding in
// between stays below 0.35 of a level, Pillow's own below 0.51; results can therefore differ by at most one level.
constexpr int value_bits = 7;
constexpr int column_sum_bits = 21;
constexpr int max_extra_column_bits = 5;
constexpr int max_extra_row_bits = 8;

// Up to this vertical scale the column pass comes first. Pillow rounds to 8 bits between its passes; with few taps
// per output row that rounding is visible (a mean difference up to 0.25), and here repeating it costs no time.
constexpr double columns_first_scale = 1.25;

// From some ratio between 2 and 3 on, Pillow 13 begins with the rows.
constexpr double tall_ratio = 2;

std::size_t padded(std::size_t n) { return (n + row_padding - 1) / row_padding * row_padding; }

std::size_t elements(int pixels) { return static_cast<std::size_t>(pixels) * 3; }

bool columns_come_first(axis_window const& columns, axis_window const& rows) {
  return rows.source <= columns_first_scale * static_cast<double>(rows.resized) &&
         rows.source <= tall_ratio * columns.source;
}

}  // namespace

crop_resampler::crop_resampler(axis_window const& columns, axis_window const& rows, std::span<std::uint8_t> out,
                               resample_options const& options)
    : columns_{columns, max_extra_column_bits},
      rows_{rows, max_extra_row_bits},
      table_{columns_},
      operations_{&row_operations_for(options.level)},
      out_{out},
      columns_first_{!options.turned && columns_come_first(columns, rows)},
      line_size_{elements(columns_first_ ? columns.count : source_columns().size())},
      padded_size_{padded(line_size_)},
      open_limit_{longest_overlap()},
      next_row_{source_rows().begin},
      waiting_(line_size_),
      resized_(columns_first_ ? line_size_ : 0),
      pairs_(2 * padded_size_),
      words_(padded(std::max(table_.row_elements, elements(source_columns().size())))),
      sums_(open_limit_ * padded_size_) {
  std::size_t const expected = elements(columns.count) * static_cast<std::size_t>(rows.count);
  if (out.size() == expected) return;
  throw std::invalid_argument{"resample: room for " + std::to_string(out.size()) + " bytes of result; " +
                              std::to_string(expected) + " needed"};
}

// How many output rows can be open while a pair of source rows is folded.
std::size_t crop_resampler::longest_overlap() const {
  int longest = 1;
  int last = 0;
  for (int output = 0; output != rows_.size(); ++output) {
    // The pair that completes `output` may hold one row more than it needs, hence <=.
    while (last != rows_.size() && rows_.taps(last).begin <= rows_.taps(output).end) ++last;
    longest = std::max(longest, last - output);
  }
  return static_cast<std::size_t>(longest);
}

std::int32_t* crop_resampler::sums_of(int output) {
  return sums_.data() + static_cast<std::size_t>(output) % open_limit_ * padded_size_;
}

void crop_resampler::push(std::uint8_t const* row) {
  if (done()) throw std::logic_error{"resample: a row pushed after the last one"};
  if (!columns_first_) return fold(row);
  int const shift = value_bits - (columns_.fraction_bits() - 14);
  operations_->widen(row, shift, words_.data(), elements(source_columns().size()));
  operations_->across(words_.data(), table_, column_sum_bits, resized_.data());
  fold(resized_.data());
}

// Rows are folded two at a time, the unit of the multiply-add instruction.
void crop_resampler::fold(std::uint8_t const* line) {
  int const row = next_row_++;
  bool const second_of_pair = (row - source_rows().begin) % 2 != 0;
  if (second_of_pair) {
    fold_pair(waiting_.data(), line, row - 1);
  } else if (done()) {
    fold_pair(line, line, row);  // nothing has a tap on row + 1, so the second weighs nothing
  } else {
    std::copy_n(line, line_size_, waiting_.data());
  }
}

void crop_resampler::fold_pair(std::uint8_t const* first, std::uint8_t const* second, int first_row) {
  operations_->pair(first, second, pairs_.data(), line_size_);
  int const second_row = first_row + 1;
  for (int output = next_output_; output != rows_.size() && rows_.taps(output).begin <= second_row; ++output) {
    std::int32_t* const sums = sums_of(output);
    bool const opens = rows_.taps(output).begin >= first_row;
    if (opens) std::fill_n(sums, padded_size_, 0);
    operations_->fold(pairs_.data(), rows_.weight(output, first_row), rows_.weight(output, second_row), sums,
                      padded_size_);
    bool const complete = rows_.taps(output).end <= second_row + 1;
    if (complete) emit(next_output_++);
  }
}

void crop_resampler::emit(int output) {
  std::size_t const out_row_size = elements(columns_.size());
  std::uint8_t* const out_row = out_.data() + static_cast<std::size_t>(output) * out_row_size;
  if (columns_first_) {
    operations_->narrow_to_bytes(sums_of(output), rows_.fraction_bits(), out_row, out_row_size);
    return;
  }
  int const words_bits = value_bits - (columns_.fraction_bits() - 14);
  operations_->narrow(sums_of(output), rows_.fraction_bits() - words_bits, words_.data(), padded_size_);
  operations_->across(words_.data(), table_, column_sum_bits, out_row);
}

}  // namespace penstock::kernels
