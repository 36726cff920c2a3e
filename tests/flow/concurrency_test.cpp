// SPDX-License-Identifier: Apache-2.0
#include <penstock/thread_stage.hpp>
#include <penstock/usable_processors.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using penstock::thread_stage;

// Every test runs in a process of its own (ctest runs them one by one), so each sees a new engine.

// All bodies must be inside at once, or none ever returns.
void expect_all_at_once(int bodies) {
  std::latch all_in{bodies};
  thread_stage meet{bodies, [&](int x) {
                      all_in.arrive_and_wait();
                      return x;
                    }};
  for (int i = 0; i < bodies; ++i) meet.scatter(i);
  EXPECT_EQ(meet.gather().size(), static_cast<std::size_t>(bodies));
}

bool in_arena() { return tbb::this_task_arena::current_thread_index() != tbb::task_arena::not_initialized; }

bool without_arena() {
  char const* const runners = std::getenv("PENSTOCK_RUNNERS");
  return runners != nullptr && std::string_view{runners} == "threads";
}

int arena_slots() { return std::max(2, penstock::usable_processors()); }

class foreign_control {
 public:
  explicit foreign_control(std::size_t threads) : control_{tbb::global_control::max_allowed_parallelism, threads} {}

 private:
  tbb::global_control control_;
};

TEST(Concurrency, TenBlockedBodiesRunAtOnce) { expect_all_at_once(10); }

TEST(Concurrency, TenBlockedBodiesRunAtOnceUnderAForeignControl) {
  for (std::size_t const threads : {1U, 2U}) {
    foreign_control const held{threads};
    expect_all_at_once(10);
  }
}

TEST(Concurrency, AForeignControlMayComeAndGo) {
  expect_all_at_once(10);
  {
    foreign_control const held{1};
    expect_all_at_once(10);
  }
  expect_all_at_once(20);
}

TEST(Concurrency, ForeignControlsCauseNoWarningOnStandardError) {
  testing::internal::CaptureStderr();
  {
    foreign_control const held{1};
    expect_all_at_once(10);
  }
  expect_all_at_once(10);
  {
    foreign_control const held{2};
    expect_all_at_once(10);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Concurrency, ASpinningCrowdComesTogether) {
  // Nothing blocks here, the processors are busy and no body ends: the engine must still start all of them.
  constexpr int bodies = 24;
  std::atomic<int> in{0};
  thread_stage meet{bodies, [&](int) {
                      ++in;
                      while (in < bodies) std::this_thread::yield();
                    }};
  for (int i = 0; i < bodies; ++i) meet.scatter(i);
  meet.gather();
}

TEST(Concurrency, TwoStagesOfBlockedBodiesDoNotStarveEachOther) {
  std::latch first_in{30};
  std::latch second_in{30};
  thread_stage first{30, [&](int x) {
                       first_in.count_down();
                       second_in.wait();
                       return x;
                     }};
  thread_stage second{30, [&](int) {
                        second_in.count_down();
                        first_in.wait();
                      }};
  for (int i = 0; i < 30; ++i) first.scatter(i);
  for (int i = 0; i < 30; ++i) second.scatter(i);
  first.gather();
  second.gather();
}

TEST(Concurrency, BodiesRunInTheArenaOrOnEngineThreadsNeverOnTheCaller) {
  std::atomic<int> arena{0};
  std::atomic<int> engine_thread{0};
  std::atomic<int> caller{0};
  auto const me = std::this_thread::get_id();
  thread_stage where{{.concurrency = 64, .capacity = 4}, [&](int x) {
                       if (std::this_thread::get_id() == me) ++caller;
                       else if (in_arena()) ++arena;
                       else ++engine_thread;
                       (void)x;
                     }};
  for (int i = 0; i < 1'000; ++i) where.scatter(i);
  where.gather();
  EXPECT_EQ(arena + engine_thread, 1'000);
  EXPECT_EQ(caller, 0);
  if (without_arena()) EXPECT_EQ(arena, 0);
  else EXPECT_GT(arena, 0);
}

TEST(Concurrency, TheArenaIsUsedAgainAfterItWasFull) {
  if (without_arena()) GTEST_SKIP() << "PENSTOCK_RUNNERS=threads: there is no arena";
  expect_all_at_once(arena_slots() + 10);
  thread_stage where{1, [](int) { return in_arena(); }};
  while (!where.scatter(0).get()) {
  }
  (void)where.gather();
}

TEST(Concurrency, BodiesThatWaitGetThreadsOfTheirOwn) {
  // So that they keep nobody out of the arena who computes.
  std::atomic<int> naps_in_arena{0};
  thread_stage nap{4, [&](int x) {
                     if (in_arena()) ++naps_in_arena;
                     std::this_thread::sleep_for(std::chrono::milliseconds{2});
                     return x;
                   }};
  for (int i = 0; i < 100; ++i) nap.scatter(i);
  (void)nap.gather();
  EXPECT_LT(naps_in_arena, 25);  // those before it has been learnt that they wait
}

TEST(Concurrency, ABodyThatComesBackGetsTheSlotOfALateWakeUp) {
  if (without_arena()) GTEST_SKIP() << "PENSTOCK_RUNNERS=threads: there is no arena";
  // A wake-up waits in an arena full of blocked bodies; the cell it was for is taken by another runner; the slot that it
  // stands for is what a body needs that returns from a wait.
  std::latch end{1};
  std::atomic<int> crowd_in{0};
  std::latch second_go{1};
  std::atomic<int> inside{0};
  std::atomic<int> slots_taken{0};
  // Waits for its second attempt, and so for nobody's slot, until it is cancelled.
  std::atomic<int> tries{0};
  thread_stage later{{.concurrency = 1, .attempts = 2, .backoff = std::chrono::hours{1}}, [&](int) -> int {
                       ++tries;
                       throw std::runtime_error{"not yet"};
                     }};
  auto input = later.scatter(5);
  while (tries < 1 || later.stats().running > 0) std::this_thread::yield();
  thread_stage two{2, [&](int x) {
                     if (in_arena()) ++slots_taken;
                     ++inside;
                     if (x == 0) return input.get();
                     if (x == 1) second_go.wait();
                     else end.wait();
                     return x;
                   }};
  auto first = two.scatter(0);
  two.scatter(1);
  while (inside < 2) std::this_thread::yield();
  int const crowd = arena_slots() - slots_taken;  // no more: nothing must tell the engine yet that the arena is full
  std::optional<thread_stage<int(int)>> block;
  if (crowd > 0) {
    block.emplace(crowd, [&](int x) {
      ++crowd_in;
      end.wait();
      return x;
    });
  }
  for (int i = 0; i < crowd; ++i) {
    block->scatter(i);
    while (crowd_in <= i) std::this_thread::yield();
  }
  two.scatter(2);
  second_go.count_down();
  while (inside < 3) std::this_thread::yield();  // the cell of the wake-up is taken
  later.cancel();
  EXPECT_THROW((void)first.get(), std::runtime_error);  // while all others are still blocked
  end.count_down();
}

}  // namespace
