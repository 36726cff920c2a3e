// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/simd.hpp"

#include <array>
#include <cstdint>
#include <span>

namespace penstock::kernels {

/// Mean and standard deviation of red, green and blue, in units of full scale (255 is 1). Defaults: ImageNet's.
struct channel_statistics {
  std::array<float, 3> mean{0.485F, 0.456F, 0.406F};
  std::array<float, 3> std{0.229F, 0.224F, 0.225F};
};

/// planes[c][i] = (pixels[i][c] / 255 - mean[c]) / std[c].
///
/// `pixels`: HxWx3, uint8, row-major without padding, RGB. `planes`: 3xHxW, float, row-major, of the same number of
/// elements. Computed as pixel * (1 / (255 * std)) + (-mean / std), both factors rounded once to float: within 4e-7 of
/// the formula, relative to the largest of 1, 1 / std and |mean| / std; every `level` gives the same bits.
/// Thread-safe: no state. Throws std::invalid_argument if the sizes differ or are no multiple of 3, or a deviation is
/// not above 0.
void normalize(std::span<std::uint8_t const> pixels, channel_statistics const& statistics, std::span<float> planes,
               simd_level level = best_simd_level());

}  // namespace penstock::kernels
