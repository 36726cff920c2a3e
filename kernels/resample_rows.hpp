// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/simd.hpp"
#include "kernels/triangle_filter.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::kernels {

/// A triangle_filter laid out for the column pass. Every output pixel gets the same number of taps, the missing ones
/// with weight 0, and outputs stand in blocks of four, the last block filled up with zeros.
struct column_table {
  explicit column_table(triangle_filter const& filter);

  static constexpr int block_outputs = 4;
  /// Copies of a pair of weights: one for each colour of a pixel and one more to fill 16 bytes.
  static constexpr std::size_t copies = 4;

  /// Where in `weights` those of a pair of taps begin.
  [[nodiscard]] std::size_t position(int output, std::size_t tap_pair) const {
    auto const index = static_cast<std::size_t>(output);
    return ((index / 2 * tap_pairs + tap_pair) * 2 + index % 2) * copies * 2;
  }

  int outputs;                         ///< without filling
  std::size_t tap_pairs;               ///< of every output
  std::vector<std::ptrdiff_t> begins;  ///< of each output: the element of the row where its first tap is
  std::vector<std::int16_t> weights;   ///< [output / 2][tap pair][output % 2][copy][tap of the pair]
  std::size_t row_elements = 0;        ///< what is read of a row, taps of weight 0 included
};

/// The inner loops of crop_resampler, a table for each simd_level. All are exact integer arithmetic, so that every
/// table gives the same bits. `n` counts elements (3 a pixel); pointers need no alignment. Thread-safe: no state.
///
/// `padded_n` stands for n rounded up to a multiple of row_padding: the buffers must have that many elements.
struct row_operations {
  /// pairs[2i] = a[i], pairs[2i + 1] = b[i] for i in [0, n).
  void (*pair)(std::uint8_t const* a, std::uint8_t const* b, std::int16_t* pairs, std::size_t n);
  /// sums[i] += pairs[2i] * weight_a + pairs[2i + 1] * weight_b for i in [0, padded_n).
  void (*fold)(std::int16_t const* pairs, std::int16_t weight_a, std::int16_t weight_b, std::int32_t* sums,
               std::size_t padded_n);
  /// row[i] = sums[i] / 2^shift, rounded, for i in [0, padded_n); the caller knows that it fits. shift >= 1.
  void (*narrow)(std::int32_t const* sums, int shift, std::int16_t* row, std::size_t padded_n);
  /// The same for results of 0..255, i in [0, n).
  void (*narrow_to_bytes)(std::int32_t const* sums, int shift, std::uint8_t* row, std::size_t n);
  /// row[i] = bytes[i] * 2^shift for i in [0, n).
  void (*widen)(std::uint8_t const* bytes, int shift, std::int16_t* row, std::size_t n);
  /// Resizes one row of RGB pixels: row[0] is the red of the first pixel that has a weight; `row` has
  /// table.row_elements elements; `out` gets 3 * table.outputs bytes, each sum / 2^shift, rounded.
  void (*across)(std::int16_t const* row, column_table const& table, int shift, std::uint8_t* out);
};

inline constexpr std::size_t row_padding = 16;

/// Throws std::invalid_argument for a level that this build does not have; that the processor runs it is the caller's
/// word.
row_operations const& row_operations_for(simd_level level);

}  // namespace penstock::kernels
