// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample_rows.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::kernels {

namespace {

namespace portable {

void pair(std::uint8_t const* a, std::uint8_t const* b, std::int16_t* pairs, std::size_t n) {
  for (std::size_t i = 0; i != n; ++i) {
    pairs[2 * i] = a[i];
    pairs[2 * i + 1] = b[i];
  }
}

void fold(std::int16_t const* pairs, std::int16_t weight_a, std::int16_t weight_b, std::int32_t* sums,
          std::size_t padded_n) {
  for (std::size_t i = 0; i != padded_n; ++i) sums[i] += pairs[2 * i] * weight_a + pairs[2 * i + 1] * weight_b;
}

std::int32_t rounded(std::int32_t sum, int shift) { return (sum + (1 << (shift - 1))) >> shift; }

void narrow(std::int32_t const* sums, int shift, std::int16_t* row, std::size_t padded_n) {
  for (std::size_t i = 0; i != padded_n; ++i) row[i] = static_cast<std::int16_t>(rounded(sums[i], shift));
}

void narrow_to_bytes(std::int32_t const* sums, int shift, std::uint8_t* row, std::size_t n) {
  for (std::size_t i = 0; i != n; ++i) row[i] = static_cast<std::uint8_t>(rounded(sums[i], shift));
}

void widen(std::uint8_t const* bytes, int shift, std::int16_t* row, std::size_t n) {
  for (std::size_t i = 0; i != n; ++i) row[i] = static_cast<std::int16_t>(bytes[i] << shift);
}

void across(std::int16_t const* row, column_table const& table, int shift, std::uint8_t* out) {
  for (int output = 0; output != table.outputs; ++output) {
    std::int16_t const* pixels = row + table.begins[static_cast<std::size_t>(output)];
    std::int32_t red = 0;
    std::int32_t green = 0;
    std::int32_t blue = 0;
    for (std::size_t tap_pair = 0; tap_pair != table.tap_pairs; ++tap_pair, pixels += 6) {
      std::int16_t const* const weights = table.weights.data() + table.position(output, tap_pair);
      red += pixels[0] * weights[0] + pixels[3] * weights[1];
      green += pixels[1] * weights[0] + pixels[4] * weights[1];
      blue += pixels[2] * weights[0] + pixels[5] * weights[1];
    }
    *out++ = static_cast<std::uint8_t>(rounded(red, shift));
    *out++ = static_cast<std::uint8_t>(rounded(green, shift));
    *out++ = static_cast<std::uint8_t>(rounded(blue, shift));
  }
}

constexpr row_operations operations{pair, fold, narrow, narrow_to_bytes, widen, across};

}  // namespace portable

#if defined(__x86_64__)

namespace avx2 {

[[gnu::target("avx2")]] __m128i load(void const* from) { return _mm_loadu_si128(static_cast<__m128i const*>(from)); }
[[gnu::target("avx2")]] __m256i load_wide(void const* from) {
  return _mm256_loadu_si256(static_cast<__m256i const*>(from));
}
[[gnu::target("avx2")]] void store(void* to, __m128i value) { _mm_storeu_si128(static_cast<__m128i*>(to), value); }
[[gnu::target("avx2")]] void store_wide(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

[[gnu::target("avx2")]] void pair(std::uint8_t const* a, std::uint8_t const* b, std::int16_t* pairs, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m128i const from_a = load(a + i);
    __m128i const from_b = load(b + i);
    store_wide(pairs + 2 * i, _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(from_a, from_b)));
    store_wide(pairs + 2 * i + 16, _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(from_a, from_b)));
  }
  portable::pair(a + i, b + i, pairs + 2 * i, n - i);
}

[[gnu::target("avx2")]] void fold(std::int16_t const* pairs, std::int16_t weight_a, std::int16_t weight_b,
                                  std::int32_t* sums, std::size_t padded_n) {
  __m256i const weights = _mm256_unpacklo_epi16(_mm256_set1_epi16(weight_a), _mm256_set1_epi16(weight_b));
  for (std::size_t i = 0; i != padded_n; i += 8) {
    __m256i const products = _mm256_madd_epi16(load_wide(pairs + 2 * i), weights);
    store_wide(sums + i, _mm256_add_epi32(load_wide(sums + i), products));
  }
}

// Sixteen sums, rounded, as sixteen int16 in order.
[[gnu::target("avx2")]] __m256i narrowed(std::int32_t const* sums, __m256i half, __m128i shift) {
  __m256i const low = _mm256_sra_epi32(_mm256_add_epi32(load_wide(sums), half), shift);
  __m256i const high = _mm256_sra_epi32(_mm256_add_epi32(load_wide(sums + 8), half), shift);
  // Packing works within halves of the register; the permutation puts the quarters back in order.
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0b11'01'10'00);
}

[[gnu::target("avx2")]] void narrow(std::int32_t const* sums, int shift, std::int16_t* row, std::size_t padded_n) {
  __m256i const half = _mm256_set1_epi32(1 << (shift - 1));
  __m128i const count = _mm_cvtsi32_si128(shift);
  for (std::size_t i = 0; i != padded_n; i += 16) store_wide(row + i, narrowed(sums + i, half, count));
}

[[gnu::target("avx2")]] void narrow_to_bytes(std::int32_t const* sums, int shift, std::uint8_t* row, std::size_t n) {
  __m256i const half = _mm256_set1_epi32(1 << (shift - 1));
  __m128i const count = _mm_cvtsi32_si128(shift);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m256i const words = narrowed(sums + i, half, count);
    store(row + i, _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  portable::narrow_to_bytes(sums + i, shift, row + i, n - i);
}

[[gnu::target("avx2")]] void widen(std::uint8_t const* bytes, int shift, std::int16_t* row, std::size_t n) {
  __m128i const count = _mm_cvtsi32_si128(shift);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store_wide(row + i, _mm256_sll_epi16(_mm256_cvtepu8_epi16(load(bytes + i)), count));
  portable::widen(bytes + i, shift, row + i, n - i);
}

// For two outputs, one in each half: the sums of red, green and blue, and a fourth number without meaning.
[[gnu::target("avx2")]] __m256i weighted_sums(std::int16_t const* row, column_table const& table, int output) {
  // Two pixels r0 g0 b0 r1 g1 b1 become the pairs (r0 r1) (g0 g1) (b0 b1), ready for the multiply-add.
  __m256i const to_pairs =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1));
  std::int16_t const* first = row + table.begins[static_cast<std::size_t>(output)];
  std::int16_t const* second = row + table.begins[static_cast<std::size_t>(output) + 1];
  std::int16_t const* weights = table.weights.data() + table.position(output, 0);
  __m256i sums = _mm256_setzero_si256();
  for (std::size_t left = table.tap_pairs; left != 0; --left, first += 6, second += 6, weights += 16) {
    __m256i const pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(load(first)), load(second), 1);
    __m256i const products = _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, to_pairs), load_wide(weights));
    sums = _mm256_add_epi32(sums, products);
  }
  return sums;
}

[[gnu::target("avx2")]] void across(std::int16_t const* row, column_table const& table, int shift, std::uint8_t* out) {
  __m256i const half = _mm256_set1_epi32(1 << (shift - 1));
  __m128i const count = _mm_cvtsi32_si128(shift);
  __m128i const drop_fourths = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  for (int output = 0; output < table.outputs; output += column_table::block_outputs) {
    __m256i const sums01 = weighted_sums(row, table, output);
    __m256i const sums23 = weighted_sums(row, table, output + 2);
    __m256i const words = _mm256_packs_epi32(_mm256_sra_epi32(_mm256_add_epi32(sums01, half), count),
                                             _mm256_sra_epi32(_mm256_add_epi32(sums23, half), count));
    __m256i const quads = _mm256_packus_epi16(words, words);  // 0 and 2 in the lower half, 1 and 3 in the upper
    __m128i const in_order = _mm_unpacklo_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    __m128i const pixels = _mm_shuffle_epi8(in_order, drop_fourths);
    if (output + column_table::block_outputs <= table.outputs) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), pixels);
      std::int32_t const last_four_bytes = _mm_extract_epi32(pixels, 2);
      std::memcpy(out + 8, &last_four_bytes, sizeof last_four_bytes);
      out += std::ptrdiff_t{3} * column_table::block_outputs;
    } else {
      std::array<std::uint8_t, 16> bytes;
      store(bytes.data(), pixels);
      std::memcpy(out, bytes.data(), static_cast<std::size_t>(table.outputs - output) * 3);
    }
  }
}

constexpr row_operations operations{pair, fold, narrow, narrow_to_bytes, widen, across};

}  // namespace avx2

#endif

std::size_t most_taps(triangle_filter const& filter) {
  int most = 0;
  for (int output = 0; output != filter.size(); ++output) most = std::max(most, filter.taps(output).size());
  return static_cast<std::size_t>(most);
}

}  // namespace

column_table::column_table(triangle_filter const& filter)
    : outputs{filter.size()}, tap_pairs{(most_taps(filter) + 1) / 2} {
  int const filled = (outputs + block_outputs - 1) / block_outputs * block_outputs;
  begins.resize(static_cast<std::size_t>(filled));
  weights.resize(position(filled, 0));
  for (int output = 0; output != outputs; ++output) {
    int const first_pixel = filter.taps(output).begin - filter.source_range().begin;
    begins[static_cast<std::size_t>(output)] = std::ptrdiff_t{3} * first_pixel;
    auto const from = filter.weights(output);
    for (std::size_t tap_pair = 0; tap_pair != from.size() / 2; ++tap_pair) {
      std::int16_t* const to = weights.data() + position(output, tap_pair);
      for (std::size_t i = 0; i != 2 * copies; ++i) to[i] = from[2 * tap_pair + i % 2];
    }
  }
  // Pairs are read as 8 elements, of which 6 are used.
  row_elements = static_cast<std::size_t>(begins[static_cast<std::size_t>(outputs - 1)]) + 6 * tap_pairs + 2;
}

row_operations const& row_operations_for(simd_level level) {
  if (level == simd_level::portable) return portable::operations;
#if defined(__x86_64__)
  if (level == simd_level::avx2) return avx2::operations;
#endif
  throw std::invalid_argument{"resample: this build has no version for the instruction set asked for"};
}

}  // namespace penstock::kernels
