// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/runner_clocks.hpp"

#include "engine/observe/clock_ns.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace {

using penstock::detail::clock_ns;
using penstock::detail::runner_clocks;

constexpr std::int64_t five_ms = 5'000'000;

void compute_for_five_ms() {
  std::int64_t const end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + five_ms;
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
  }
}

TEST(RunnerClocks, SeeAllThatACountedThreadHasComputedWhileItStillRuns) {
  std::atomic<int> steps_done{0};
  std::atomic<bool> go_on{false};
  std::thread runner{[&] {
    runner_clocks::count_this_thread();
    steps_done = 1;
    while (!go_on) {
    }
    compute_for_five_ms();
    steps_done = 2;
    while (go_on) {
    }
  }};
  while (steps_done < 1) std::this_thread::yield();
  std::int64_t const start = clock_ns(CLOCK_MONOTONIC);
  (void)runner_clocks::instance().used();
  go_on = true;
  while (steps_done < 2) std::this_thread::yield();
  double const used = runner_clocks::instance().used();
  std::int64_t const passed = clock_ns(CLOCK_MONOTONIC) - start;
  EXPECT_GE(used * static_cast<double>(passed), static_cast<double>(five_ms));
  go_on = false;
  runner.join();
}

TEST(RunnerClocks, CountNeitherOtherThreadsNorThoseThatHaveEnded) {
  std::thread{[] { runner_clocks::count_this_thread(); }}.join();
  (void)runner_clocks::instance().used();
  compute_for_five_ms();
  EXPECT_EQ(runner_clocks::instance().used(), 0.0);
}

}  // namespace
