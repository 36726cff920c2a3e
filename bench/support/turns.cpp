// SPDX-License-Identifier: Apache-2.0
#include "bench/support/turns.hpp"

#include "bench/support/child.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <sstream>
#include <stdexcept>

namespace support {

void turns::run(std::string_view title, std::size_t columns, std::size_t rows,
                std::function<void(std::size_t, std::size_t)> const& take) {
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int round = 1; round <= rounds_; ++round) {
    fmt::print(stderr, "[{:4.0f} s] {}, round {} of {}\n", watch_.elapsed<std::chrono::seconds>(), title, round,
               rounds_);
    for (std::size_t column = 0; column < columns; ++column) {
      std::ranges::shuffle(order, random_);
      for (std::size_t const row : order) take(column, row);
    }
  }
}

figures measured_in_a_process(std::vector<std::string> const& words) {
  std::vector<std::string> command{"/proc/self/exe", "measure"};
  command.insert(command.end(), words.begin(), words.end());
  std::istringstream output{output_of(command)};
  figures taken;
  for (double figure = 0; output >> figure;) taken.push_back(figure);
  if (taken.empty()) throw std::runtime_error{"a process has printed no figure"};
  return taken;
}

}  // namespace support
