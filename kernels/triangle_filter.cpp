// SPDX-License-Identifier: Apache-2.0
#include "kernels/triangle_filter.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace penstock::kernels {

namespace {

void check(axis_window const& window) {
  bool const sizes = window.source >= 1 && window.resized >= 1 && window.count >= 1;
  if (sizes && window.first >= 0 && window.first <= window.resized - window.count) return;
  throw std::invalid_argument{"resample: " + std::to_string(window.source) + " pixels to " +
                              std::to_string(window.resized) + ", of which " + std::to_string(window.count) + " from " +
                              std::to_string(window.first) +
                              "; sizes must be at least 1 and the window inside the resized picture"};
}

int extra_bits(double half_width, int at_most) {
  int bits = 0;
  while (bits != at_most && half_width >= 2 << bits) ++bits;
  return bits;
}

}  // namespace

triangle_filter::triangle_filter(axis_window const& window, int max_extra_bits) {
  check(window);
  double const scale = window.source / static_cast<double>(window.resized);
  double const half_width = std::max(scale, 1.0);
  // 14 and not 15: a single tap weighs 1, and 2^15 is no int16.
  fraction_bits_ = 14 + extra_bits(half_width, max_extra_bits);
  double const one = 1 << fraction_bits_;
  stride_ = static_cast<std::size_t>(std::ceil(half_width)) * 2 + 2;
  taps_.reserve(static_cast<std::size_t>(window.count));
  weights_.assign(static_cast<std::size_t>(window.count) * stride_, 0);
  std::vector<double> shares;
  for (int output = 0; output != window.count; ++output) {
    double const centre = (static_cast<double>(window.first + output) + 0.5) * scale;
    int const begin = std::max(0, static_cast<int>(centre - half_width + 0.5));
    int const end = static_cast<int>(std::min<double>(window.source, centre + half_width + 0.5));
    taps_.push_back({begin, end});
    shares.clear();
    double total = 0;
    for (int source = begin; source != end; ++source) {
      double const distance = std::abs(source - centre + 0.5) / half_width;
      shares.push_back(std::max(1 - distance, 0.0));
      total += shares.back();
    }
    // Rounding the running sum, not each weight, makes the weights add up to exactly one.
    std::int16_t* weight = weights_.data() + static_cast<std::size_t>(output) * stride_;
    double sum = 0;
    long rounded = 0;
    for (double const share : shares) {
      sum += share;
      long const up_to_here = std::lround(sum / total * one);
      *weight++ = static_cast<std::int16_t>(up_to_here - rounded);
      rounded = up_to_here;
    }
  }
}

}  // namespace penstock::kernels
