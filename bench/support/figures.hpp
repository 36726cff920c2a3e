// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

namespace support {

/// What the runs of one row took, one a round.
using figures = std::vector<double>;
double median(figures values);

/// Runs from its construction on.
class stopwatch {
 public:
  template <class Unit>
  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double, typename Unit::period>{std::chrono::steady_clock::now() - start_}.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Ends the program with a message: what was to be measured does not do what it should.
[[noreturn]] void give_up(std::string_view why) noexcept;

}  // namespace support
