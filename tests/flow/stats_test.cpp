// SPDX-License-Identifier: Apache-2.0
// How long items waited and bodies ran, and what explain() makes of it. tests/observe has what needs no engine.
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
#include <ranges>
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
using testing::HasSubstr;
using testing::Not;
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
    if (found < input_took / 2) return;
  }
  ADD_FAILURE() << found.count() << " ns, though the input took " << input_took.count() << " ns";
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
  while (!start.is_long_ago()) std::this_thread::yield();
  go.count_down();
  (void)stage.gather();
  auto const stats = stage.stats();
  EXPECT_GE(stats.wait.count, before + sampled + 1);
  EXPECT_GE(stats.wait.max, 1ms);
}

// ---- explain

// Stages a, b and c, bodies of no length. Those of one stage can be held up.
class held_chain {
 public:
  explicit held_chain(char held) : held_{held} {}
  ~held_chain() { let_go(); }

  void pass(int count) {
    for (int i = 0; i < count; ++i) c.scatter(b.scatter(a.scatter(i)));
  }
  void hold() {
    pass(40);
    (void)c.gather();
    is_held_ = true;
    pass(20);
  }
  void let_go() {
    is_held_ = false;
    is_held_.notify_all();
  }

 private:
  std::function<int(int)> body(char name) {
    return [this, name](int x) {
      if (name == held_) is_held_.wait(true);
      return x;
    };
  }

  char held_;
  std::atomic<bool> is_held_{false};

 public:
  thread_stage<int(int)> a{{.concurrency = 2, .name = "a"}, body('a')};
  thread_stage<int(int)> b{{.concurrency = 2, .name = "b"}, body('b')};
  thread_stage<int(int)> c{{.concurrency = 2, .name = "c"}, body('c')};
};

// Asks until the text is there: what a held-up stage has cost grows beyond what anything else can.
template <class Stage>
testing::AssertionResult comes_to_say(Stage const& stage, std::string const& text) {
  std::string last;
  for (auto const start = clock::now(); clock::now() - start < 20s; std::this_thread::sleep_for(1ms)) {
    last = stage.explain();
    if (last.find(text) != std::string::npos) return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << last;
}

TEST(Explain, NamesTheStageThatHoldsItemsUpWhereverItIs) {
  for (char const held : {'a', 'b', 'c'}) {
    held_chain chain{held};
    chain.hold();
    std::string const name = "'" + std::string(1, held) + "'";
    EXPECT_TRUE(comes_to_say(chain.c, "Stage " + name + " is the bottleneck: its 2 slots were taken"));
    EXPECT_TRUE(comes_to_say(chain.c, " for " + name + " (now 2)"));
    EXPECT_TRUE(comes_to_say(chain.c, "and 100 % of all the waiting of ready items was there"));
  }
}

TEST(Explain, KnowsWhatAPipelineJoins) {
  std::atomic<bool> held{false};
  thread_stage a{{.concurrency = 2, .name = "a"}, [](int x) { return x; }};
  thread_stage b{{.concurrency = 2, .name = "b"}, [&held](int x) {
                   held.wait(true);
                   return x;
                 }};
  thread_stage c{{.concurrency = 2, .name = "c"}, [](int x) { return x; }};
  thread_stage d{{.concurrency = 2, .name = "d"}, [](int x) { return x; }};
  auto chain = a | b | c;
  chain.scatter_many(std::views::iota(0, 40));
  (void)chain.gather();
  held = true;
  for (int i = 0; i < 20; ++i) d.scatter(chain.scatter(i));
  EXPECT_TRUE(comes_to_say(chain, "Stage 'b' is the bottleneck"));
  EXPECT_TRUE(comes_to_say(d, "Stage 'b' is the bottleneck"));
  EXPECT_TRUE(comes_to_say(c, "Stage 'b' is the bottleneck"));
  EXPECT_THAT(a.explain(), Not(HasSubstr("'b'")));
  held = false;
  held.notify_all();
}

TEST(Explain, LooksAtTheChainThatEndsInTheStage) {
  held_chain chain{'c'};
  chain.hold();
  EXPECT_TRUE(comes_to_say(chain.c, "Stage 'c' is the bottleneck"));
  EXPECT_THAT(chain.b.explain(), Not(HasSubstr("'c'")));
}

TEST(Explain, NamesTheBranchOfADiamond) {
  for (bool const left_is_held : {false, true}) {
    std::atomic<bool> held{false};
    auto const body = [&](bool is_held) {
      return [&held, is_held](int x) {
        if (is_held) held.wait(true);
        return x;
      };
    };
    thread_stage top{{.concurrency = 2, .name = "top"}, [](int x) { return x; }};
    thread_stage left{{.concurrency = 2, .name = "left"}, body(left_is_held)};
    thread_stage right{{.concurrency = 2, .name = "right"}, body(!left_is_held)};
    thread_stage bottom{{.concurrency = 2, .name = "bottom"}, [](int x, int y) { return x + y; }};
    auto const pass = [&](int count) {
      for (int i = 0; i < count; ++i) {
        auto const item = top.scatter(i);
        bottom.scatter(left.scatter(item), right.scatter(item));
      }
    };
    pass(40);
    (void)bottom.gather();
    held = true;
    pass(20);
    EXPECT_TRUE(comes_to_say(bottom, std::string{"Stage '"} + (left_is_held ? "left" : "right") + "' is the bottlen"));
    held = false;
    held.notify_all();
  }
}

TEST(Explain, SaysWhenTooFewItemsHaveRun) {
  thread_stage stage{nap};
  EXPECT_THAT(stage.explain(), HasSubstr("Too few items to tell: 0 have run"));
  for (int i = 0; i < 10; ++i) stage.scatter(i);
  (void)stage.gather();
  EXPECT_THAT(stage.explain(), HasSubstr("Too few items to tell: 10 have run"));
}

TEST(Explain, LeavesOutWhatHasBeenDestroyed) {
  std::optional<thread_stage<int(int)>> gone;
  gone.emplace(penstock::stage_options{.concurrency = 1, .name = "gone"}, nap);
  thread_stage stage{{.name = "left"}, nap};
  for (int i = 0; i < 40; ++i) stage.scatter(gone->scatter(i));
  (void)stage.gather();
  EXPECT_TRUE(comes_to_say(stage, "'gone'"));
  gone.reset();
  EXPECT_THAT(stage.explain(), Not(HasSubstr("'gone'")));
  thread_stage<int(int)> const another{{.name = "another"}, nap};  // may have its core
  EXPECT_THAT(stage.explain(), Not(HasSubstr("'another'")));
}

TEST(Explain, CanBeAskedWhileItemsRunAndStagesEnd) {
  thread_stage last{{.capacity = 100}, [](int x) { return x; }};
  std::atomic<bool> over{false};
  std::thread asks{[&] {
    while (!over) {
      EXPECT_FALSE(last.explain().empty());
      auto const wait = last.stats().wait;
      EXPECT_LE(wait.p50, wait.max);
    }
  }};
  for (int round = 0; round < 50; ++round) {
    thread_stage first{{.concurrency = 1 + round % 3, .name = "first"}, [](int x) { return x; }};
    for (int i = 0; i < 100; ++i) last.scatter(first.scatter(i));
    (void)last.gather();
  }
  over = true;
  asks.join();
}

}  // namespace
