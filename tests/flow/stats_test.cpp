// SPDX-License-Identifier: Apache-2.0
// How long items waited and bodies ran. tests/observe has what needs no engine.
#include "engine/observe/moment.hpp"

#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <latch>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::thread_stage;
using penstock::detail::moment;
using clock = std::chrono::steady_clock;

int nap(int x) {
  std::this_thread::sleep_for(1ms);
  return x;
}

// A percentile is the middle of its class.
auto at_least(std::chrono::nanoseconds duration) { return testing::Ge(duration * 15 / 16); }

TEST(StageStats, MeasuresEveryItemWhoseBodyIsLong) {
  thread_stage stage{4, nap};
  for (int i = 0; i < 100; ++i) stage.scatter(i);
  (void)stage.gather();
  auto const stats = stage.stats();
  EXPECT_EQ(stats.busy.count, 100U);
  EXPECT_THAT(stats.busy.p50, at_least(1ms));
  EXPECT_GE(stats.busy.max, 1ms);
  EXPECT_EQ(stats.wait.count, 100U);
  EXPECT_THAT(stats.wait.p50, at_least(10ms));  // the median one had 50 before it, of which 4 ran at once
}

TEST(StageStats, CountsTheWaitForASlotInItemsThatCameTogether) {
  thread_stage stage{1, nap};
  stage.scatter_many(std::vector<int>(100));
  stage.gather();
  EXPECT_EQ(stage.stats().wait.count, 100U);
  EXPECT_GE(stage.stats().wait.max, 99ms);
}

TEST(StageStats, CountsNoWaitForInputs) {
  auto found = 0ns;
  auto input_took = 0ns;
  for (int attempt = 0; attempt < 20; ++attempt) {  // the machine may have been busy with something else
    std::latch go{1};
    thread_stage first{[&](int x) {
      go.wait();
      return x;
    }};
    thread_stage second{nap};
    auto const start = clock::now();
    auto last = second.scatter(first.scatter(1));
    std::this_thread::sleep_for(20ms);
    input_took = clock::now() - start;
    go.count_down();
    last.wait();
    (void)second.gather();
    ASSERT_EQ(second.stats().wait.count, 1U);
    found = second.stats().wait.max;
    if (found < input_took) return;
  }
  ADD_FAILURE() << found.count() << " ns are not less than the input took, " << input_took.count() << " ns";
}

TEST(StageStats, MeasuresWhatHasRunAndNothingElse) {
  thread_stage half{[](int x) { return x % 2 == 0 ? nap(x) : throw std::runtime_error{"odd"}; }};
  thread_stage next{nap};
  for (int i = 0; i < 20; ++i) next.scatter(half.scatter(i));
  (void)next.outcomes();
  EXPECT_EQ(next.stats().failed, 10U);
  EXPECT_EQ(next.stats().busy.count, 10U);
  EXPECT_EQ(next.stats().wait.count, 10U);
}

TEST(StageStats, MeasuresEachAttemptAndTheFirstWait) {
  thread_stage stage{{.attempts = 3, .backoff = 1ms}, [](int x) -> int {
                       nap(x);
                       throw std::runtime_error{"no"};
                     }};
  for (int i = 0; i < 10; ++i) stage.scatter(i);
  (void)stage.outcomes();
  EXPECT_EQ(stage.stats().busy.count, 30U);
  EXPECT_EQ(stage.stats().wait.count, 10U);
}

TEST(StageStats, KnowsNoWaitWhereBodiesRunInScatter) {
  thread_stage stage{{.concurrency = 0}, nap};
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  EXPECT_EQ(stage.stats().busy.count, 5U);
  EXPECT_EQ(stage.stats().wait.count, 0U);
}

TEST(StageStats, BeginsAnewInEveryStage) {
  for (int round = 0; round < 3; ++round) {
    thread_stage stage{nap};
    EXPECT_EQ(stage.stats().busy.max, 0ns);
    EXPECT_EQ(stage.stats().wait.max, 0ns);
    stage.scatter(1);
    (void)stage.gather();
    EXPECT_EQ(stage.stats().busy.count, 1U);
  }
}

TEST(StageStats, CatchesALongWaitAmongShortItemsAlsoWhenTheEngineSlept) {
  std::latch entered{1};
  std::latch go{1};
  thread_stage stage{1, [&](int x) {
                       if (x < 0) {
                         entered.count_down();
                         go.wait();
                       }
                       return x;
                     }};
  auto const measures_nothing = [&] {
    auto const before = stage.stats().busy.count;
    for (int i = 1; i < 64; ++i) stage.scatter(i).wait();
    return stage.stats().busy.count == before;
  };
  do {
    (void)stage.gather();
    stage.scatter(0).wait();
  } while (!measures_nothing());
  auto const before = stage.stats().wait.count;
  stage.scatter(1000).wait();  // index 64, which is measured
  auto const sampled = stage.stats().wait.count - before;
  stage.scatter(-1);
  entered.wait();
  auto const ticks_within = [](std::chrono::milliseconds time) {
    auto const last = moment::last_tick();
    std::this_thread::sleep_for(time);
    return last != moment::last_tick();
  };
  while (ticks_within(20ms)) continue;
  stage.scatter(1);
  auto const start = moment::last_tick();
  while (!moment::last_tick().is_long_after(start)) std::this_thread::yield();
  go.count_down();
  (void)stage.gather();
  auto const stats = stage.stats();
  EXPECT_GE(stats.wait.count, before + sampled + 1);
  EXPECT_GE(stats.wait.max, 1ms);
}

}  // namespace
