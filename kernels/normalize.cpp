// SPDX-License-Identifier: Apache-2.0
#include "kernels/normalize.hpp"

#include <cstddef>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::kernels {

namespace {

struct linear_map {
  std::array<float, 3> factor;
  std::array<float, 3> offset;
};

linear_map map_of(channel_statistics const& statistics) {
  linear_map map{};
  for (std::size_t channel = 0; channel != 3; ++channel) {
    double const std = statistics.std[channel];
    if (!(std > 0)) {
      throw std::invalid_argument{"normalize: standard deviation of channel " + std::to_string(channel) + " is " +
                                  std::to_string(std) + "; must be above 0"};
    }
    map.factor[channel] = static_cast<float>(1 / (255 * std));
    map.offset[channel] = static_cast<float>(-statistics.mean[channel] / std);
  }
  return map;
}

// Pixels [first, count) of `count`.
void normalize_portable(std::uint8_t const* pixels, linear_map const& map, float* planes, std::size_t first,
                        std::size_t count) {
  for (std::size_t channel = 0; channel != 3; ++channel) {
    float const factor = map.factor[channel];
    float const offset = map.offset[channel];
    float* const plane = planes + channel * count;
    for (std::size_t i = first; i != count; ++i) {
      plane[i] = static_cast<float>(pixels[3 * i + channel]) * factor + offset;
    }
  }
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] __m128i load(std::uint8_t const* from) {
  return _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
}

[[gnu::target("avx2")]] void store_mapped(float* to, __m128i eight_bytes, __m256 factor, __m256 offset) {
  __m256 const values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight_bytes));
  // Not a fused multiply-add: the portable version must give the same bits.
  _mm256_storeu_ps(to, _mm256_add_ps(_mm256_mul_ps(values, factor), offset));
}

// Byte k of the result is byte 3 * k + channel of the 48 bytes of sixteen pixels; each third holds five or six of them.
struct channel_shuffle {
  __m128i first, second, third;
};

[[gnu::target("avx2")]] channel_shuffle shuffle_of(int channel) {
  std::array<std::array<char, 16>, 3> from;
  for (int part = 0; part != 3; ++part) {
    for (int k = 0; k != 16; ++k) {
      int const index = 3 * k + channel - 16 * part;
      from[static_cast<std::size_t>(part)][static_cast<std::size_t>(k)] =
          static_cast<char>(index >= 0 && index < 16 ? index : -1);
    }
  }
  auto const as_register = [](std::array<char, 16> const& bytes) {
    return _mm_loadu_si128(reinterpret_cast<__m128i const*>(bytes.data()));
  };
  return {as_register(from[0]), as_register(from[1]), as_register(from[2])};
}

[[gnu::target("avx2")]] void normalize_avx2(std::uint8_t const* pixels, linear_map const& map, float* planes,
                                            std::size_t count) {
  std::size_t const whole = count / 16 * 16;
  for (int channel = 0; channel != 3; ++channel) {
    channel_shuffle const shuffle = shuffle_of(channel);
    auto const index = static_cast<std::size_t>(channel);
    __m256 const factor = _mm256_set1_ps(map.factor[index]);
    __m256 const offset = _mm256_set1_ps(map.offset[index]);
    float* const plane = planes + index * count;
    for (std::size_t i = 0; i != whole; i += 16) {
      std::uint8_t const* const from = pixels + 3 * i;
      __m128i const values = _mm_or_si128(
          _mm_or_si128(_mm_shuffle_epi8(load(from), shuffle.first), _mm_shuffle_epi8(load(from + 16), shuffle.second)),
          _mm_shuffle_epi8(load(from + 32), shuffle.third));
      store_mapped(plane + i, values, factor, offset);
      store_mapped(plane + i + 8, _mm_srli_si128(values, 8), factor, offset);
    }
  }
  normalize_portable(pixels, map, planes, whole, count);
}

#endif

}  // namespace

void normalize(std::span<std::uint8_t const> pixels, channel_statistics const& statistics, std::span<float> planes,
               simd_level level) {
  if (pixels.size() != planes.size() || pixels.size() % 3 != 0) {
    throw std::invalid_argument{"normalize: " + std::to_string(pixels.size()) + " bytes of pixels and room for " +
                                std::to_string(planes.size()) + " floats; must be equal and a multiple of 3"};
  }
  linear_map const map = map_of(statistics);
  std::size_t const count = pixels.size() / 3;
#if defined(__x86_64__)
  if (level == simd_level::avx2) return normalize_avx2(pixels.data(), map, planes.data(), count);
#endif
  if (level != simd_level::portable) {
    throw std::invalid_argument{"normalize: this build has no version for the instruction set asked for"};
  }
  normalize_portable(pixels.data(), map, planes.data(), 0, count);
}

}  // namespace penstock::kernels
