// SPDX-License-Identifier: Apache-2.0
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <cstdlib>
#include <latch>
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

class foreign_control {
 public:
  explicit foreign_control(std::size_t threads) : control_{tbb::global_control::max_allowed_parallelism, threads} {}

 private:
  tbb::global_control control_;
};

TEST(Concurrency, TenBlockedBodiesRunAtOnce) { expect_all_at_once(10); }
TEST(Concurrency, SixHundredBlockedBodiesRunAtOnce) { expect_all_at_once(600); }

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

TEST(Concurrency, TheLimitIsNeverExceeded) {
  for (int const limit : {1, 3, 17}) {
    std::atomic<int> inside{0};
    std::atomic<int> peak{0};
    thread_stage watched{limit, [&](int) {
                           int const now = ++inside;
                           for (int seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {
                           }
                           std::this_thread::yield();
                           --inside;
                         }};
    for (int i = 0; i < 5'000; ++i) watched.scatter(i);
    watched.gather();
    EXPECT_LE(peak, limit);
    EXPECT_GE(peak, 1);
  }
}

TEST(Concurrency, BodiesRunInTheArenaOrOnEngineThreadsNeverOnTheCaller) {
  std::atomic<int> arena{0};
  std::atomic<int> engine_thread{0};
  std::atomic<int> caller{0};
  auto const me = std::this_thread::get_id();
  std::latch all_in{64};
  thread_stage where{{.concurrency = 64, .capacity = 4}, [&](int x) {
                       if (std::this_thread::get_id() == me) ++caller;
                       else if (tbb::this_task_arena::current_thread_index() != tbb::task_arena::not_initialized)
                         ++arena;
                       else ++engine_thread;
                       (void)x;
                     }};
  for (int i = 0; i < 1'000; ++i) where.scatter(i);
  where.gather();
  EXPECT_EQ(arena + engine_thread, 1'000);
  EXPECT_EQ(caller, 0);
  char const* const runners = std::getenv("PENSTOCK_RUNNERS");
  if (runners != nullptr && std::string_view{runners} == "threads") EXPECT_EQ(arena, 0);
  else EXPECT_GT(arena, 0);
}

TEST(Concurrency, TwentyThousandRoundsOfOneItemNeverHang) {
  thread_stage same{50, [](int x) { return x; }};
  for (int round = 0; round < 20'000; ++round) {
    same.scatter(round);
    ASSERT_EQ(same.gather(), std::vector<int>{round});
  }
}

}  // namespace
