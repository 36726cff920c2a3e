// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/figures.hpp"

#include <cstddef>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace support {

/// Lets the rows of tables take turns. In every round each row of each column is measured once, the rows in a new
/// order: so what disturbs the machine for a while, or what a neighbour leaves behind, hits all rows of a column alike,
/// and never all runs of one.
class turns {
 public:
  explicit turns(bool quick) : rounds_{quick ? 3 : 5} {}

  /// Calls `take(column, row)` for all of them, in all rounds. Tells on stderr what it is at.
  void run(std::string_view title, std::size_t columns, std::size_t rows,
           std::function<void(std::size_t column, std::size_t row)> const& take);

 private:
  int rounds_;
  stopwatch watch_;
  std::mt19937 random_{1};
};

/// The figures that this program prints when it is called with `measure` and these words: in a process of its own, so
/// that no row inherits another's threads, memory or settings. Throws std::runtime_error, as output_of().
figures measured_in_a_process(std::vector<std::string> const& words);

}  // namespace support
