// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/stage_timer.hpp"

#include "engine/observe/moment.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

// There is no engine in this program, so nobody ticks but the tests.
namespace {

using namespace std::chrono_literals;
using penstock::detail::moment;
using penstock::detail::stage_timer;

void tick_once() {
  std::this_thread::sleep_for(1ms);
  moment::tick();
}

constexpr auto nothing = [] {};

void run(stage_timer& timer, std::size_t index, auto const& while_ready, auto const& body, bool has_run = true) {
  moment const ready = timer.ready(index);
  while_ready();
  auto const item = timer.start(ready, index);
  body();
  (void)timer.end(item, ready, has_run);
}
void run(stage_timer& timer, std::size_t index) { run(timer, index, nothing, nothing); }

std::uint64_t bodies(stage_timer const& timer) { return timer.busy().count; }
std::uint64_t waits(stage_timer const& timer) { return timer.wait().count; }

// A sampled body can meet a context switch and pass for a long one, so there may have to be several.
void learn_that_bodies_are_short(stage_timer& timer) {
  moment::tick();
  for (;;) {
    run(timer, 0);
    std::uint64_t const before = bodies(timer);
    run(timer, 1);
    if (bodies(timer) == before) return;
  }
}

// How long ago that was, nobody knows.
TEST(Moment, BeforeTheFirstTickTellsNothing) {
  moment const then{penstock::detail::tick_times::before_first, 0};
  tick_once();
  tick_once();
  EXPECT_EQ(then.until(moment::clock::now()), 0ns);
  EXPECT_FALSE(then.is_long_ago());
}

TEST(Moment, IsLongAgoWhenTwoTicksHaveCome) {
  for (bool const is_read : {false, true}) {
    tick_once();
    tick_once();
    moment const then = is_read ? moment::at(moment::clock::now(), true) : moment::last_tick();
    EXPECT_FALSE(then.is_long_ago());
    tick_once();
    EXPECT_FALSE(then.is_long_ago());
    tick_once();
    EXPECT_TRUE(then.is_long_ago());
  }
}

TEST(Moment, KnowsTheTimeSince) {
  for (bool const for_all : {false, true}) {
    auto const start = moment::clock::now();
    moment const then = moment::at(start, for_all);
    EXPECT_TRUE(then.was_read());
    EXPECT_EQ(then.for_all(), for_all);
    for (auto const passed : {0ns, 800ns, 12'345'672ns, std::chrono::nanoseconds{19h}}) {
      EXPECT_GE(then.until(start + passed), passed);
      EXPECT_LE(then.until(start + passed), passed + 15ns);
    }
    EXPECT_EQ(then.until(start - 1s), 0ns);
    EXPECT_EQ((moment{then.low(), then.high()}), then);
  }
  moment::tick();
  auto const now = moment::clock::now();
  EXPECT_FALSE(moment::last_tick().was_read());
  EXPECT_TRUE(moment::last_tick().exists());
  EXPECT_GE(moment::last_tick().until(now + 2ms), 2ms);
  EXPECT_GE(moment::last_tick().until(now + 10h), 10h);
}

TEST(StageTimer, MeasuresEveryItemUntilItKnowsThatBodiesAreShort) {
  stage_timer timer;
  for (std::size_t i = 1; i < 64; ++i) run(timer, i);
  EXPECT_EQ(bodies(timer), 63U);
  EXPECT_EQ(waits(timer), 63U);
}

TEST(StageTimer, LetsOneShortItemIn64StandForAll) {
  stage_timer timer;
  learn_that_bodies_are_short(timer);
  std::uint64_t const bodies_before = bodies(timer);
  std::uint64_t const waits_before = waits(timer);
  for (std::size_t i = 1; i < 64; ++i) run(timer, i);
  EXPECT_EQ(bodies(timer), bodies_before);
  EXPECT_EQ(waits(timer), waits_before);
  run(timer, 64);
  EXPECT_EQ(bodies(timer), bodies_before + 64);
  EXPECT_EQ(waits(timer), waits_before + 64);
}

TEST(StageTimer, CatchesALongWaitAmongShortItemsOnce) {
  for (std::size_t const index : {std::size_t{1}, std::size_t{64}}) {
    stage_timer timer;
    learn_that_bodies_are_short(timer);
    std::uint64_t const bodies_before = bodies(timer);
    std::uint64_t const waits_before = waits(timer);
    run(timer, index, tick_once, nothing);  // one tick proves nothing
    bool const sampled = index == 64;
    EXPECT_EQ(waits(timer), waits_before + (sampled ? 64 : 0));
    learn_that_bodies_are_short(timer);
    std::uint64_t const waits_between = waits(timer);
    run(timer, index, [] { tick_once(), tick_once(); }, nothing);
    EXPECT_EQ(waits(timer), waits_between + 1);
    EXPECT_GE(timer.wait().max, 2ms);
    if (!sampled) continue;
    EXPECT_GE(bodies(timer), bodies_before + 128);
  }
}

TEST(StageTimer, CatchesALongBodyAmongShortOnesOnceAndMeasuresAllThen) {
  for (std::size_t const index : {std::size_t{1}, std::size_t{64}}) {
    stage_timer timer;
    learn_that_bodies_are_short(timer);
    std::uint64_t const before = bodies(timer);
    run(timer, index, nothing, [] { tick_once(), tick_once(); });
    EXPECT_EQ(bodies(timer), before + 1);
    EXPECT_GE(timer.busy().max, 2ms);
    run(timer, 2);
    EXPECT_EQ(bodies(timer), before + 2);
  }
}

TEST(StageTimer, CountsNothingWhereTheBodyHasNotRun) {
  stage_timer timer;
  run(timer, 0, nothing, nothing, false);
  EXPECT_EQ(bodies(timer), 0U);
  EXPECT_EQ(waits(timer), 0U);
  EXPECT_EQ(timer.figures().running, 0ns);
}

TEST(StageTimer, CountsNoWaitOfAnItemThatHadNone) {
  stage_timer timer;
  auto const item = timer.start(moment{}, 0);
  auto const sampled = timer.end(item, moment{}, true);
  EXPECT_GE(sampled, 0ns);
  EXPECT_GE(timer.busy().max, sampled);
  EXPECT_EQ(bodies(timer), 1U);
  EXPECT_EQ(waits(timer), 0U);
}

TEST(StageTimer, CountsNoTimeForTheWaitOfAnItemThatRunsAtOnce) {
  stage_timer timer;
  auto const run_at_once = [&](std::size_t index) {
    auto const item = timer.start_at_once(index);
    (void)timer.end(item, moment{}, true);
  };
  run_at_once(1);
  EXPECT_EQ(waits(timer), 1U);
  learn_that_bodies_are_short(timer);
  std::uint64_t const before = waits(timer);
  for (std::size_t i = 1; i <= 64; ++i) run_at_once(i);
  EXPECT_EQ(waits(timer), before + 64);
  EXPECT_EQ(timer.wait().p50, 0ns);
}

TEST(StageTimer, KnowsHowLongBodiesHaveRunThatHaveNotEnded) {
  stage_timer timer;
  moment const ready = timer.ready(1);
  auto const first = timer.start(ready, 1);
  auto const second = timer.start(ready, 2);
  std::this_thread::sleep_for(2ms);
  EXPECT_GE(timer.figures().running, 4ms - 2us);
  EXPECT_EQ(timer.figures().bodies, 0U);
  (void)timer.end(first, ready, true);
  (void)timer.end(second, ready, true);
  EXPECT_EQ(timer.figures().running, 0ns);
  EXPECT_EQ(timer.figures().bodies, 2U);
  EXPECT_GE(timer.figures().busy, 4ms * 15 / 16);
}

TEST(StageTimer, TellsSleepFromComputation) {
  stage_timer sleeps;
  run(sleeps, 0, nothing, [] { std::this_thread::sleep_for(20ms); });
  EXPECT_TRUE(sleeps.bodies_wait());
  EXPECT_FALSE(sleeps.figures().never_slept);
  EXPECT_GE(sleeps.figures().processor_share, 0);
  stage_timer computes;
  run(computes, 0, nothing, [] {
    for (auto const start = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - start < 20ms;) {
    }
  });
  EXPECT_FALSE(computes.bodies_wait());
  EXPECT_TRUE(computes.figures().never_slept);
  EXPECT_GT(computes.figures().processor_share, sleeps.figures().processor_share);
}

TEST(StageTimer, ForgetsEverythingForTheNextStage) {
  stage_timer timer;
  run(timer, 0, [] { tick_once(); }, [] { tick_once(); });
  learn_that_bodies_are_short(timer);
  timer.blocked(1ms);
  timer.reset();
  EXPECT_EQ(timer.busy().max, 0ns);
  EXPECT_EQ(timer.wait().max, 0ns);
  EXPECT_EQ(timer.figures().blocked, 0ns);
  EXPECT_EQ(timer.figures().first_ready, std::chrono::steady_clock::time_point{});
  run(timer, 1);
  EXPECT_EQ(bodies(timer), 1U);
}

}  // namespace
