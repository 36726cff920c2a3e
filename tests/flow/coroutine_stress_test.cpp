// SPDX-License-Identifier: Apache-2.0
// Many coroutines at once, and the end of their items at any moment.
#include "tests/support/detached.hpp"

#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <random>
#include <thread>

namespace {

using penstock::thread_stage;
using penstock::test::detached;

TEST(CoroutineStress, EachOfManyIsResumedOncePerAwait) {
  constexpr int many = 5'000;
  thread_stage first{8, [](int x) { return x; }};
  thread_stage second{3, [](int x) { return std::make_unique<int>(x + 1); }};
  std::atomic<long> sum{0};
  std::atomic<int> resumed{0};
  std::latch all{many};
  auto const work = [&](int x) -> detached {
    auto const one = first.scatter(x);
    int const value = co_await one;
    ++resumed;
    auto const next = co_await second.scatter(one);
    ++resumed;
    sum += value + *next;
    all.count_down();
  };
  {
    std::jthread const other{[&] {
      for (int x = 0; x < many / 2; ++x) work(x);
    }};
    for (int x = many / 2; x < many; ++x) work(x);
  }
  all.wait();
  EXPECT_EQ(resumed, 2 * many);
  EXPECT_EQ(sum, 1L * many * (many - 1) + many);
}

TEST(CoroutineStress, TheEndOfAStageResumesThemAll) {
  std::mt19937 random{1};
  for (int round = 0; round < 1'000; ++round) {
    constexpr int many = 6;
    std::atomic<int> ends{0};
    std::latch all{many};
    auto stage = std::make_unique<thread_stage<int(int)>>(2, [](int x) { return x; });
    auto const wait = [&](auto item) -> detached {
      try {
        (void)co_await std::move(item);
        ++ends;
      } catch (penstock::stage_error const&) {
        ++ends;
      }
      all.count_down();
    };
    for (int x = 0; x < many; ++x) wait(stage->scatter(x));
    // The end comes at any moment of these items.
    auto const moment = std::chrono::steady_clock::now() + std::chrono::nanoseconds{random() % 50'000};
    while (std::chrono::steady_clock::now() < moment) {
    }
    stage.reset();
    all.wait();
    EXPECT_EQ(ends, many);
  }
}

}  // namespace
