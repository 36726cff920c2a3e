// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ostream>
#include <random>
#include <stdexcept>
#include <vector>

namespace penstock::kernels {

namespace {

using bytes = std::vector<std::uint8_t>;

struct job {
  axis_window columns;
  axis_window rows;
};

std::ostream& operator<<(std::ostream& out, job const& what) {
  return out << what.columns.source << 'x' << what.rows.source << " -> " << what.columns.resized << 'x'
             << what.rows.resized << ", window " << what.columns.count << 'x' << what.rows.count << " at "
             << what.columns.first << ',' << what.rows.first;
}

std::size_t size_of(int width, int height) {
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
}

std::uint8_t const* pixel(bytes const& picture, int width, int x, int y) {
  return picture.data() +
         3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
}

bytes noise(int width, int height, std::mt19937& random) {
  // Full contrast is the worst case for every rounding error.
  bool const extreme = random() % 2 == 0;
  bytes picture(size_of(width, height));
  for (std::uint8_t& value : picture) value = static_cast<std::uint8_t>(extreme ? random() % 2 * 255 : random() % 256);
  return picture;
}

// Gives the resampler exactly the pixels it says it needs, so that a sanitizer sees any other access.
bytes resample(bytes const& picture, job const& what, resample_options const& options = {}) {
  bytes out(size_of(what.columns.count, what.rows.count));
  crop_resampler resampler{what.columns, what.rows, out, options};
  pixel_range const columns = resampler.source_columns();
  for (int y = resampler.source_rows().begin; y != resampler.source_rows().end; ++y) {
    std::uint8_t const* const from = pixel(picture, what.columns.source, columns.begin, y);
    bytes const row(from, from + 3 * columns.size());
    EXPECT_FALSE(resampler.done());
    resampler.push(row.data());
  }
  EXPECT_TRUE(resampler.done());
  return out;
}

std::vector<double> triangle(axis_window const& axis, int output, int& begin) {
  double const scale = axis.source / static_cast<double>(axis.resized);
  double const half_width = std::max(scale, 1.0);
  double const centre = (static_cast<double>(axis.first + output) + 0.5) * scale;
  begin = std::max(0, static_cast<int>(centre - half_width + 0.5));
  int const end = std::min(axis.source, static_cast<int>(centre + half_width + 0.5));
  std::vector<double> weights;
  double total = 0;
  for (int x = begin; x < end; ++x) {
    weights.push_back(std::max(0.0, 1 - std::abs((x - centre + 0.5) / half_width)));
    total += weights.back();
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

double oracle(bytes const& picture, job const& what, int x, int y, int channel) {
  int left = 0;
  int top = 0;
  std::vector<double> const across = triangle(what.columns, x, left);
  std::vector<double> const down = triangle(what.rows, y, top);
  double sum = 0;
  for (std::size_t v = 0; v != down.size(); ++v) {
    for (std::size_t u = 0; u != across.size(); ++u) {
      sum += down[v] * across[u] *
             pixel(picture, what.columns.source, left + static_cast<int>(u), top + static_cast<int>(v))[channel];
    }
  }
  return sum;
}

axis_window random_axis(std::mt19937& random, int largest) {
  auto const up_to = [&random](int limit) { return 1 + static_cast<int>(random() % static_cast<unsigned>(limit)); };
  axis_window axis{.source = up_to(up_to(largest)), .resized = up_to(up_to(largest))};
  axis.count = std::min(up_to(static_cast<int>(axis.resized)), 40);
  axis.first = up_to(static_cast<int>(axis.resized) - axis.count + 1) - 1;
  return axis;
}

int worst_difference(bytes const& a, bytes const& b) {
  EXPECT_EQ(a.size(), b.size());
  int worst = 0;
  for (std::size_t i = 0; i != a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

// |result - exact|: half a level of rounding, half a level more where Pillow's order rounds in between, and the
// fixed-point error.
void expect_near_oracle(bytes const& picture, job const& what, bool turned = false) {
  bytes const result = resample(picture, what, {.turned = turned});
  bool const rounds_twice = !turned && what.rows.source <= 1.25 * static_cast<double>(what.rows.resized);
  double const bound = rounds_twice ? 1.25 : 0.85;
  for (int y = 0; y != what.rows.count; ++y) {
    for (int x = 0; x != what.columns.count; ++x) {
      for (int channel = 0; channel != 3; ++channel) {
        double const got = pixel(result, what.columns.count, x, y)[channel];
        ASSERT_NEAR(got, oracle(picture, what, x, y, channel), bound) << what << " at " << x << ',' << y;
      }
    }
  }
}

}  // namespace

TEST(Resample, IsWithinItsBoundOfTheExactSumForRandomShapes) {
  std::mt19937 random{20240611};
  for (int round = 0; round != 300; ++round) {
    job const what{random_axis(random, 200), random_axis(random, 200)};
    expect_near_oracle(noise(what.columns.source, what.rows.source, random), what, random() % 2 == 0);
  }
}

TEST(Resample, IsWithinItsBoundForExtremeScales) {
  std::mt19937 random{7};
  for (job const& what : {
           job{{16384, 256, 100, 40}, {16, 4, 0, 4}},       // very wide, scale 64 and 4
           job{{3, 256, 200, 56}, {9000, 30, 3, 20}},       // enlarged across, scale 300 down
           job{{20000, 3, 0, 3}, {20000 / 100, 2, 0, 2}},   // scale 6667
           job{{1, 100000, 49888, 224}, {1, 256, 16, 30}},  // one pixel
           job{{17, 256, 16, 224}, {31, 466, 121, 20}},     // small picture enlarged
           job{{640, 4096, 1936, 224}, {40, 256, 16, 20}},  // strip
           job{{2448 / 4, 256 / 4, 4, 56}, {3264 / 4, 341 / 4, 14, 20}},
       }) {
    expect_near_oracle(noise(what.columns.source, what.rows.source, random), what);
  }
}

TEST(Resample, EveryLevelGivesTheSameBits) {
  if (best_simd_level() == simd_level::portable) GTEST_SKIP() << "only one level on this processor";
  std::mt19937 random{99};
  for (int round = 0; round != 1000; ++round) {
    job const what{random_axis(random, 300), random_axis(random, 300)};
    bytes const picture = noise(what.columns.source, what.rows.source, random);
    ASSERT_EQ(resample(picture, what, {.level = simd_level::portable}), resample(picture, what)) << what;
  }
}

TEST(Resample, AWindowIsThatPartOfTheWhole) {
  std::mt19937 random{5};
  for (int round = 0; round != 100; ++round) {
    job const what{random_axis(random, 120), random_axis(random, 120)};
    job whole = what;
    whole.columns.first = whole.rows.first = 0;
    whole.columns.count = static_cast<int>(what.columns.resized);
    whole.rows.count = static_cast<int>(what.rows.resized);
    bytes const picture = noise(what.columns.source, what.rows.source, random);
    bytes const all = resample(picture, whole);
    bytes const part = resample(picture, what);
    for (int y = 0; y != what.rows.count; ++y) {
      std::uint8_t const* const expected =
          pixel(all, whole.columns.count, static_cast<int>(what.columns.first), static_cast<int>(what.rows.first) + y);
      std::uint8_t const* const got = pixel(part, what.columns.count, 0, y);
      // The scale decides all weights, so not even a bit may differ.
      ASSERT_TRUE(std::equal(got, got + 3 * what.columns.count, expected)) << what << ", row " << y;
    }
  }
}

TEST(Resample, KeepsAConstantPictureAndTheSameSizeExactly) {
  std::mt19937 random{11};
  for (int round = 0; round != 100; ++round) {
    job const what{random_axis(random, 400), random_axis(random, 400)};
    auto const value = static_cast<std::uint8_t>(random() % 256);
    bytes const picture(size_of(what.columns.source, what.rows.source), value);
    ASSERT_EQ(worst_difference(resample(picture, what), bytes(size_of(what.columns.count, what.rows.count), value)), 0)
        << what;
  }
  bytes const picture = noise(97, 53, random);
  EXPECT_EQ(resample(picture, {{97, 97, 0, 97}, {53, 53, 0, 53}}), picture);
}

TEST(Resample, RefusesImpossibleWindows) {
  bytes out(3);
  axis_window const fine{10, 5, 0, 1};
  for (axis_window const& bad : {axis_window{0, 5, 0, 1}, axis_window{10, 0, 0, 1}, axis_window{10, 5, 0, 0},
                                 axis_window{10, 5, 5, 1}, axis_window{10, 5, -1, 1}}) {
    EXPECT_THROW((crop_resampler{bad, fine, out}), std::invalid_argument);
    EXPECT_THROW((crop_resampler{fine, bad, out}), std::invalid_argument);
  }
  bytes too_small(2);
  EXPECT_THROW((crop_resampler{fine, fine, too_small}), std::invalid_argument);
}

TEST(Resample, RefusesARowTooMany) {
  bytes out(3);
  bytes const row(30);
  crop_resampler resampler{{10, 10, 0, 1}, {10, 10, 3, 1}, out};
  while (!resampler.done()) resampler.push(row.data());
  EXPECT_THROW(resampler.push(row.data()), std::logic_error);
}

}  // namespace penstock::kernels
