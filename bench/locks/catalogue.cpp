// SPDX-License-Identifier: Apache-2.0
#include "bench/locks/measurement.hpp"

#include <chrono>
#include <cstddef>
#include <string>

namespace locks {
namespace {

using namespace std::chrono_literals;

constexpr auto length = 200ms;
constexpr auto quick_length = 20ms;

column cost_column(std::string_view name, std::size_t threads, std::size_t slots) {
  return {std::string{name},
          {.threads = threads, .slots = slots, .length = length},
          {.threads = threads, .slots = slots, .length = quick_length},
          {{name, "ns"}}};
}

// Two slots where threads meet, so that of four threads half have to wait.
std::vector<column> index_columns() {
  return {cost_column("idle", 1, 4), cost_column("2 threads", 2, 2), cost_column("4 threads", 4, 2)};
}

std::vector<column> lock_columns() {
  return {cost_column("idle", 1, 1), cost_column("2 threads", 2, 1), cost_column("4 threads", 4, 1)};
}

std::vector<column> wait_columns(conditions const& asked, std::size_t quick_holds) {
  conditions quick = asked;
  quick.holds = quick_holds;
  return {{"waits", asked, quick, {wait_figures.begin(), wait_figures.end()}}};
}

}  // namespace

std::vector<bench> const& catalogue() {
  static std::vector<bench> const all{
      {std::string{index_bench}, "An index, taken and given back, ns", index_columns(), index_costs()},
      {"locks", "A lock, locked and unlocked, ns", lock_columns(), mutex_costs()},
      {"reading", "A lock to read, locked and unlocked, ns", lock_columns(), read_costs()},
      {"writing", "A lock to write, locked and unlocked, ns", lock_columns(), write_costs()},
      {std::string{few_waiters_bench}, "Waits of 8 threads for 2 slots, holds of 1 ms",
       wait_columns({.threads = 8, .slots = 2, .holds = 25, .hold = 1ms}, 10), index_waits()},
      {std::string{many_waiters_bench}, "Waits of 64 threads for 4 slots, holds of 200 us",
       wait_columns({.threads = 64, .slots = 4, .holds = 100, .hold = 200us}, 20), index_waits()},
  };
  return all;
}

}  // namespace locks
