// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process_counts.hpp"

#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::thread_stage;

thread_stage<int(int)> static_stage{4, [](int x) { return x + 1; }};

TEST(Lifetime, AStageThatIsNeverUsedStartsNoThreadAtItsEnd) {
  int const before = penstock::test::thread_count();
  {
    penstock::thread_stage const stage{[](int x) { return x; }};
    penstock::thread_stage const patient{{.attempts = 2, .backoff = std::chrono::milliseconds{1}},
                                         [](int x) { return x; }};
  }
  EXPECT_LE(penstock::test::thread_count(), before);
}

TEST(Lifetime, ConstructingStagesStartsNoThread) {
  int const before = penstock::test::thread_count();
  std::vector<thread_stage<int(int)>> stages;
  for (int i = 0; i < 100; ++i) stages.emplace_back(400, [](int x) { return x; });
  EXPECT_EQ(penstock::test::thread_count(), before);
}

TEST(Lifetime, AStaticStageWorksAndEndsWithTheProgram) {
  for (int i = 0; i < 100; ++i) static_stage.scatter(i);
  EXPECT_EQ(static_stage.gather().size(), 100U);
  static_stage.scatter(1);  // left for the static destructor
}

TEST(Lifetime, TheBodyIsDestroyedWithItsStage) {
  auto const resource = std::make_shared<int>(5);
  {
    thread_stage use{2, [resource](int x) { return x + *resource; }};
    use.scatter(1);
    EXPECT_EQ(resource.use_count(), 2);
  }
  EXPECT_EQ(resource.use_count(), 1);
}

TEST(Lifetime, ACoreIsUsedAgainOnlyWhenItsLastCallHasEnded) {
  std::latch go{1};
  thread_stage gate{1, [&](int x) {
                      go.wait();
                      return x;
                    }};
  std::vector<future<int>> orphans;
  for (int i = 0; i < 50; ++i) {
    thread_stage brief{1, [i](int x) { return x + i; }};
    orphans.push_back(brief.scatter(gate.scatter(i)));
    EXPECT_EQ(brief.scatter(1).get(), 1 + i);
  }
  go.count_down();
  for (auto& each : orphans) EXPECT_EQ(std::move(each).outcome().error().kind(), error_kind::cancelled);
  for (int i = 0; i < 100; ++i) {
    thread_stage next{2, [](int x) { return -x; }};
    for (int k = 0; k < 20; ++k) next.scatter(k);
    auto const results = next.gather();
    for (int k = 0; k < 20; ++k) EXPECT_EQ(results[static_cast<std::size_t>(k)], -k);
  }
}

TEST(Lifetime, BodiesThatWaitForFuturesDoNotHoldUpTheDestructor) {
  thread_stage other{4, [](int x) { return x; }};
  std::mt19937 random{1};
  for (int round = 0; round < 20'000; ++round) {
    thread_stage waiting{1, [&other](int x) { return other.scatter(x).get(); }};
    for (int i = 0; i < 4; ++i) waiting.scatter(i);
    // The destructor comes at any moment of these four calls.
    auto const moment = std::chrono::steady_clock::now() + std::chrono::nanoseconds{random() % 100'000};
    while (std::chrono::steady_clock::now() < moment) {
    }
  }
}

TEST(Lifetime, ALongChainIsCancelledWithoutRecursion) {
  constexpr int length = 200'000;
  std::latch started{1};
  std::latch go{1};
  thread_stage gate{1, [&](int x) {
                      started.count_down();
                      go.wait();
                      return x;
                    }};
  future<int> end = gate.scatter(0);
  {
    thread_stage fold{{.concurrency = 1, .capacity = length}, [](int sum, int x) { return sum + x; }};
    for (int i = 0; i < length; ++i) end = fold.scatter(std::move(end), i);
    started.wait();
  }
  go.count_down();
  EXPECT_EQ(std::move(end).outcome().error().kind(), error_kind::cancelled);
}

TEST(Lifetime, AFutureKnowsItsStageAfterItsEnd) {
  thread_stage use{1, [](int x) { return x; }};
  future<int> gathered;
  {
    thread_stage alpha{{.concurrency = 1, .name = "alpha"}, [](int x) { return x; }};
    gathered = alpha.scatter(1);
    (void)alpha.gather();
  }
  thread_stage beta{{.concurrency = 1, .name = "beta"}, [](int x) { return x; }};
  try {
    use.scatter(gathered);
    FAIL() << "a gathered future was scattered";
  } catch (penstock::already_gathered const& error) {
    EXPECT_EQ(error.stage(), "alpha");
  }
}

TEST(Lifetime, ABodyMayDestroyAStageThatWaitsForIt) {
  std::optional<thread_stage<int(int)>> waiting;
  std::latch inside{1};
  std::latch go{1};
  thread_stage<int(int)> destroyer{1, [&](int x) {
                                     if (x == 0) {
                                       go.count_down();
                                       waiting.reset();
                                     }
                                     return x;
                                   }};
  waiting.emplace(1, [&](int) {
    inside.count_down();
    go.wait();
    return destroyer.scatter(7).get();
  });
  auto result = waiting->scatter(1);
  inside.wait();
  destroyer.scatter(0);
  EXPECT_EQ(result.get(), 7);
  EXPECT_EQ(destroyer.outcomes().size(), 1U);
}

// A stage and another one behind it, whose bodies are known to be short: it is served by the thread that has ended its
// input.
class DirectRun : public testing::Test {
 protected:
  DirectRun() {
    for (int i = 0; i < 300; ++i) second.scatter(first->scatter(i));
    (void)second.gather();
  }
  // One item through both stages; `in_second` is called by the second body.
  future<int> send(std::function<void()> in_second) {
    action = std::move(in_second);
    auto sent = second.scatter(first->scatter(-1));
    waits.count_down();  // only now does the first body end, so that the second one begins on its thread
    return sent;
  }

  std::function<void()> action;
  std::latch waits{1};
  std::optional<thread_stage<int(int)>> first{std::in_place, 2, [this](int x) {
                                                if (x < 0) waits.wait();
                                                return x;
                                              }};
  thread_stage<int(int)> second{2, [this](int x) {
                                  if (x < 0) action();
                                  return x;
                                }};
};

TEST_F(DirectRun, ABodyMayDestroyTheStageOfItsArgument) {
  auto sent = send([this] { first.reset(); });
  EXPECT_EQ(sent.get(), -1);
  EXPECT_FALSE(first);
}

TEST_F(DirectRun, AStageDoesNotWaitForBodiesOfLaterStagesWhenItEnds) {
  std::latch entered{1};
  std::latch destroyed{1};
  auto sent = send([&] {
    entered.count_down();
    destroyed.wait();
  });
  entered.wait();
  first.reset();
  destroyed.count_down();
  EXPECT_EQ(sent.get(), -1);
}

TEST_F(DirectRun, ACoreIsUsedAgainWhileARunnerOfItsLastStageIsAway) {
  std::latch entered{1};
  std::latch go{1};
  auto sent = send([&] {
    entered.count_down();
    go.wait();
  });
  entered.wait();
  first.reset();
  {
    std::atomic<int> inside{0};
    std::atomic<bool> too_many{false};
    thread_stage next{1, [&](int x) {
                        if (++inside > 1) too_many = true;
                        --inside;
                        return x;
                      }};
    for (int i = 0; i < 1'000; ++i) next.scatter(i);
    go.count_down();  // the runner comes back to a core in use
    for (int i = 0; i < 1'000; ++i) next.scatter(i);
    EXPECT_EQ(next.gather().size(), 2'000U);
    EXPECT_FALSE(too_many);
  }
  EXPECT_EQ(sent.get(), -1);
}

TEST(Lifetime, ABodyThatDestroysItsOwnStageIsToldSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<thread_stage<void(int)>> self;
        self.emplace(penstock::stage_options{.name = "phoenix"}, [&](int) { self.reset(); });
        self->scatter(0).wait();
      },
      "'phoenix' is destroyed by one of its own bodies");
}

// Holds the thread that destroys it.
struct slow_to_die {
  std::latch* dying = nullptr;
  std::latch* may_die = nullptr;
  slow_to_die() = default;
  slow_to_die(std::latch& announce, std::latch& wait) : dying{&announce}, may_die{&wait} {}
  slow_to_die(slow_to_die&& other) noexcept : dying{std::exchange(other.dying, nullptr)}, may_die{other.may_die} {}
  ~slow_to_die() {
    if (dying == nullptr) return;
    dying->count_down();
    may_die->wait();
  }
};

TEST(Lifetime, ACallThatIsStillEndingKeepsItsCore) {
  using stage = thread_stage<int(int)>;
  std::latch upstream_go{1};
  std::latch body_go{1};
  std::latch body_in{1};
  std::latch dying{1};
  std::latch may_die{1};
  thread_stage upstream{1, [&](int x) {
                          upstream_go.wait();
                          return x;
                        }};
  std::optional<stage> middle;
  middle.emplace(1, [&](int x) {
    body_in.count_down();
    body_go.wait();
    return x;
  });
  std::optional<thread_stage<int(int, slow_to_die const&)>> last;
  last.emplace(1, [](int x, slow_to_die const&) { return x; });
  middle->scatter(100);
  body_in.wait();
  auto unstarted = middle->scatter(101);
  auto pending = middle->scatter(upstream.scatter(1));
  auto end = last->scatter(pending, slow_to_die{dying, may_die});
  last.reset();
  std::thread destroyer{[&] { middle.reset(); }};  // waits for the body, and refuses what comes from upstream
  unstarted.wait();                                // cancelled, so the destructor has begun
  upstream_go.count_down();
  dying.wait();  // `pending` has ended, and what depends on it is being let go
  body_go.count_down();
  {
    stage reused{1, [](int x) { return x; }};
  }
  may_die.count_down();
  destroyer.join();
  (void)upstream.outcomes();
  std::vector<std::unique_ptr<stage>> next;
  for (int factor = 1; factor <= 3; ++factor) {
    next.push_back(std::make_unique<stage>(1, [factor](int x) { return x * factor; }));
  }
  for (int factor = 1; factor <= 3; ++factor) {
    auto& each = *next[static_cast<std::size_t>(factor - 1)];
    for (int x = 1; x <= 3; ++x) each.scatter(x);
    EXPECT_EQ(each.gather(), (std::vector<int>{factor, 2 * factor, 3 * factor})) << "two stages share one core";
  }
}

TEST(Lifetime, ARefusedScatterMayMeetTheEndOfItsArgumentsStage) {
  thread_stage use{1, [](std::vector<int> const& v, int) { return v.size(); }};
  thread_stage number{1, [](int x) { return x; }};
  auto gathered = number.scatter(1);
  (void)number.gather();
  for (int round = 0; round < 40; ++round) {
    std::optional<thread_stage<int(int)>> brief;
    brief.emplace(penstock::stage_options{.concurrency = 1, .capacity = 2'000}, [](int x) { return x; });
    std::vector<future<int>> results;
    for (int i = 0; i < 2'000; ++i) results.push_back(brief->scatter(i));
    for (auto& each : results) each.wait();
    std::latch start{2};
    std::thread destroyer{[&] {
      start.arrive_and_wait();
      brief.reset();
    }};
    start.arrive_and_wait();
    EXPECT_THROW(use.scatter(results, gathered), penstock::already_gathered);
    destroyer.join();
    thread_stage text{1, [](int x) { return std::to_string(x); }};
    text.scatter(1);
    EXPECT_EQ(text.gather(), std::vector<std::string>{"1"});
  }
}

TEST(Lifetime, UngatheredResultsDieWithTheStage) {
  auto const probe = std::make_shared<int>(0);
  {
    thread_stage hand_out{2, [probe](int) { return probe; }};
    for (int i = 0; i < 100; ++i) hand_out.scatter(i).wait();
    EXPECT_GE(probe.use_count(), 101);
  }
  EXPECT_EQ(probe.use_count(), 1);
}

TEST(Lifetime, IdleEngineThreadsEnd) {
  int const before = penstock::test::thread_count();
  std::latch all_in{40};
  {
    thread_stage meet{40, [&](int) { all_in.arrive_and_wait(); }};
    for (int i = 0; i < 40; ++i) meet.scatter(i);
    meet.gather();
  }
  // TBB keeps its workers; the engine keeps one thread, the watch. The rest end by themselves.
  int const arena_slots = 4 * static_cast<int>(std::thread::hardware_concurrency());
  while (penstock::test::thread_count() > before + 1 + arena_slots) std::this_thread::yield();
}

}  // namespace
