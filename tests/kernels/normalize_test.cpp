// SPDX-License-Identifier: Apache-2.0
#include "kernels/normalize.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <stdexcept>
#include <vector>

namespace penstock::kernels {

namespace {

std::vector<std::uint8_t> noise(std::size_t pixels, unsigned seed) {
  std::mt19937 random{seed};
  std::vector<std::uint8_t> result(3 * pixels);
  for (std::uint8_t& value : result) value = static_cast<std::uint8_t>(random());
  return result;
}

void expect_near_formula(std::vector<std::uint8_t> const& pixels, channel_statistics const& statistics) {
  std::vector<float> planes(pixels.size());
  normalize(pixels, statistics, planes);
  std::size_t const count = pixels.size() / 3;
  for (std::size_t c = 0; c != 3; ++c) {
    double const mean = statistics.mean[c];
    double const std = statistics.std[c];
    double const tolerance = 4e-7 * std::max({1.0, 1 / std, std::abs(mean) / std});
    for (std::size_t i = 0; i != count; ++i) {
      ASSERT_NEAR(planes[c * count + i], (pixels[3 * i + c] / 255.0 - mean) / std, tolerance);
    }
  }
}

}  // namespace

TEST(Normalize, FollowsTheFormula) {
  expect_near_formula(noise(224 * 224, 1), {});
  expect_near_formula(noise(1000, 2), {.mean = {0, 0, 0}, .std = {1, 1, 1}});
  expect_near_formula(noise(1000, 3), {.mean = {0.5F, -2, 3}, .std = {1e-3F, 0.5F, 100}});
}

TEST(Normalize, EveryLevelGivesTheSameBitsForEveryLength) {
  for (std::size_t pixels = 0; pixels != 70; ++pixels) {
    std::vector<std::uint8_t> const picture = noise(pixels, static_cast<unsigned>(pixels));
    std::vector<float> portable(picture.size());
    std::vector<float> best(picture.size());
    normalize(picture, {}, portable, simd_level::portable);
    normalize(picture, {}, best, best_simd_level());
    ASSERT_EQ(portable, best) << pixels << " pixels";
  }
}

TEST(Normalize, RefusesSizesThatDoNotFit) {
  std::vector<std::uint8_t> const pixels(6);
  std::vector<float> planes(6);
  EXPECT_THROW(normalize(pixels, {}, std::span{planes}.first(3)), std::invalid_argument);
  EXPECT_THROW(normalize(std::span{pixels}.first(4), {}, std::span{planes}.first(4)), std::invalid_argument);
}

TEST(Normalize, RefusesADeviationOfZero) {
  std::vector<std::uint8_t> const pixels(3);
  std::vector<float> planes(3);
  EXPECT_THROW(normalize(pixels, {.std = {1, 0, 1}}, planes), std::invalid_argument);
}

}  // namespace penstock::kernels
