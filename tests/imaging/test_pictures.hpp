// SPDX-License-Identifier: Apache-2.0
// What several tests of pictures need: files from data/, comparison.
#pragma once

#include "imaging/image.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::imaging {

using bytes = std::vector<std::byte>;

inline bytes load(std::string const& name) {
  std::string const path = std::string{PENSTOCK_TEST_DATA} + "/" + name;
  std::ifstream file{path, std::ios::binary};
  EXPECT_TRUE(file) << path;
  std::string const text{std::istreambuf_iterator<char>{file}, {}};
  auto const content = std::as_bytes(std::span{text});
  return {content.begin(), content.end()};
}

inline bytes bytes_of(std::string_view text) {
  auto const content = std::as_bytes(std::span{text});
  return {content.begin(), content.end()};
}

inline std::string_view text_of(bytes const& file) { return {reinterpret_cast<char const*>(file.data()), file.size()}; }

/// Where `pattern` begins in `file`; a test failure if nowhere.
inline std::size_t find(bytes const& file, std::string_view pattern) {
  std::size_t const found = text_of(file).find(pattern);
  EXPECT_NE(found, std::string_view::npos);
  return found;
}

inline bytes joined(bytes front, std::span<std::byte const> back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

/// For tests with one instance a file: its name, as far as GoogleTest permits.
inline std::string test_name_of(testing::TestParamInfo<char const*> const& instance) {
  std::string name = instance.param;
  std::ranges::replace(name, '.', '_');
  return name;
}

/// Every byte of `expected` within `worst` of `got`, and the mean difference at most `mean`.
inline void expect_near(image const& got, image const& expected, int worst, double mean) {
  ASSERT_EQ(got.width, expected.width);
  ASSERT_EQ(got.height, expected.height);
  ASSERT_EQ(got.pixels.size(), got.size_bytes());
  ASSERT_EQ(expected.pixels.size(), got.size_bytes());
  int largest = 0;
  double sum = 0;
  for (std::size_t i = 0; i != got.pixels.size(); ++i) {
    int const difference = std::abs(got.pixels[i] - expected.pixels[i]);
    largest = std::max(largest, difference);
    sum += difference;
  }
  EXPECT_LE(largest, worst);
  EXPECT_LE(sum / static_cast<double>(got.pixels.size()), mean);
}

}  // namespace penstock::imaging
