// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/figures.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace locks {

/// What a candidate is measured under.
struct conditions {
  std::size_t threads = 1;
  std::size_t slots = 1;  // indices that are lent; a lock has one
  // Of a cost: for so long each thread takes and gives back, and holds for no time.
  std::chrono::milliseconds length{0};
  // Of waits: each thread holds so often, and sleeps for so long meanwhile.
  std::size_t holds = 0;
  std::chrono::microseconds hold{0};

  /// What a hold waits for where all wait in one line: all other threads are before it, and leave a slot at a time.
  [[nodiscard]] double ideal_wait(double measured_hold) const {
    return (static_cast<double>(threads) / static_cast<double>(slots) - 1) * measured_hold;
  }
};

/// One row of a table. `measure` takes the figures of a column, in a process of its own, and aborts when something that
/// is for one holder has two.
struct candidate {
  std::string_view name;
  support::figures (*measure)(conditions const&);
  bool only_alone = false;  // it has no figures in columns of several threads
};

struct figure {
  std::string_view name;
  std::string_view unit;
};

/// Rows are measured once for each column, which gives these figures.
struct column {
  std::string name;
  conditions asked;
  conditions quick;
  std::vector<figure> figures;
};

/// Candidates for the same work, which are measured in turns; the others are compared with the first.
struct bench {
  std::string name;
  std::string title;
  std::vector<column> columns;
  std::vector<candidate> candidates;
};

inline constexpr std::string_view index_bench = "indices";
inline constexpr std::string_view few_waiters_bench = "waits_8_2";
inline constexpr std::string_view many_waiters_bench = "waits_64_4";

/// All there is to measure.
std::vector<bench> const& catalogue();

// What each source has to offer.
std::vector<candidate> index_costs();
std::vector<candidate> index_waits();
std::vector<candidate> mutex_costs();
std::vector<candidate> read_costs();
std::vector<candidate> write_costs();

/// What candidates of waits measure. All waits count, those at the start and the end too.
inline constexpr std::array<figure, 6> wait_figures{
    {{"p50", "ms"}, {"p99", "ms"}, {"max", "ms"}, {"mean hold", "us"}, {"spread", ""}, {"holds/s", ""}}};

inline constexpr std::string_view semaphore_row = "penstock index_semaphore";

}  // namespace locks
