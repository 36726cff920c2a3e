// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/overhead/spin.hpp"
#include "bench/support/figures.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace overhead {

using support::give_up;
using support::stopwatch;

/// How many items a chain may hold at once.
inline constexpr std::size_t window = 1'000;

/// What a candidate is measured under.
struct conditions {
  std::size_t stages = 1;
  int items = 1;
  spin body;  // of every stage
};

/// One row of the table. `measure` takes one figure, in a process of its own, and aborts when a result is wrong.
struct candidate {
  std::string_view name;
  double (*measure)(conditions const&);
};

/// Candidates for the same work, which are measured in turns.
struct bench {
  std::string name;
  std::string title;
  std::string unit;
  int items;
  int quick_items;
  std::vector<candidate> candidates;
};

inline constexpr std::string_view chain_bench = "chain";

/// All there is to measure; the first bench is the chain, which has variants by stages, body and load.
std::vector<bench> const& catalogue();

// What each source has to offer. Of chains: nanoseconds an item.
std::vector<candidate> tbb_chains();
std::vector<candidate> thread_chains();
std::vector<candidate> penstock_chains();
std::vector<candidate> thread_tasks();     // microseconds a task
std::vector<candidate> chains_of_two();    // microseconds an item
std::vector<candidate> one_item_rounds();  // microseconds a round
std::vector<candidate> first_results();    // milliseconds
std::vector<candidate> queued_bytes();     // bytes an item
std::vector<candidate> peak_rss();         // megabytes

/// Takes the results of a chain and aborts unless they are all there, in order, and what they should be.
class ordered_results {
 public:
  explicit ordered_results(conditions const& expected) noexcept
      : items_{expected.items}, added_{static_cast<int>(expected.stages)} {}
  ordered_results(ordered_results const&) = delete;
  ordered_results& operator=(ordered_results const&) = delete;
  ~ordered_results() {
    if (received_ != items_) give_up("results are missing");
  }

  void take(int value) noexcept {
    if (value != received_ + added_) give_up("a result is wrong, or in a wrong place");
    ++received_;
  }

 private:
  int items_;
  int added_;  // every stage adds one
  int received_ = 0;
};

/// A chain as a candidate. A tenth of the items goes first and is not counted: threads and memory are there then.
template <auto Run>
double per_item(conditions const& asked) {
  auto const run = [](conditions const& some) {
    ordered_results results{some};
    Run(some, results);
  };
  run({asked.stages, asked.items / 10 + 1, asked.body});
  stopwatch const watch;
  run(asked);
  return watch.elapsed<std::chrono::nanoseconds>() / asked.items;
}

}  // namespace overhead
