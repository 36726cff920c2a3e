// SPDX-License-Identifier: Apache-2.0
// A thread that waits for an item is woken in time, also where runners put wake-ups off because bodies are short.

#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::future;
using penstock::thread_stage;

// The first item ends while we sleep; the next body, of the same runner, waits for what we do then.
TEST(Wake, ABodyMayWaitForTheThreadThatTheItemBeforeHasWoken) {
  std::atomic<int> woken{0};
  enum : int { is_short, lets_us_sleep, waits_for_us };
  thread_stage stage{1, [&woken](int kind, int number) {
                       if (kind == lets_us_sleep) std::this_thread::sleep_for(5ms);
                       while (kind == waits_for_us && woken < number) std::this_thread::yield();
                       return number;
                     }};
  for (int i = 0; i < 1'000; ++i) stage.scatter(+is_short, i);
  EXPECT_EQ(stage.gather().size(), 1'000U);
  for (int number = 1; number <= 50; ++number) {
    stage.scatter(+is_short, 0);  // the first item after a gather is sampled; those that follow are not to be
    future<int> first = stage.scatter(+lets_us_sleep, number);
    future<int> second = stage.scatter(+waits_for_us, number);
    EXPECT_EQ(first.get(), number);
    woken = number;
    EXPECT_EQ(second.get(), number);
    stage.gather();
  }
}

// Many threads take turns with a runner that always has more to serve.
TEST(Wake, EveryThreadThatWaitsIsWoken) {
  thread_stage stage{2, [](int x) { return x; }};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&stage, t] {
      for (int i = 0; i < 3'000; ++i) ASSERT_EQ(stage.scatter(t + i).get(), t + i);
    });
  }
}

}  // namespace
