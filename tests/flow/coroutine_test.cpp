// SPDX-License-Identifier: Apache-2.0
// co_await on futures.
#include <coroutine>

#include "tests/support/detached.hpp"
#include "tests/support/failing_allocations.hpp"

#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <latch>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::thread_stage;
using penstock::test::allocations_to_fail;
using penstock::test::detached;
using testing::ElementsAre;

// Bodies of this fixture's stage wait until the test lets them go, so that an await finds nothing ready.
class Coroutine : public testing::Test {
 protected:
  std::latch go{1};
  std::latch done{1};  // counted down by the coroutine
  thread_stage<int(int)> number{{.concurrency = 2, .name = "number"}, [this](int x) {
                                  go.wait();
                                  if (x < 0) throw std::domain_error{"negative"};
                                  return x;
                                }};
};

TEST_F(Coroutine, AnLvalueRefersToTheResultWhereItIs) {
  future<int> const one = number.scatter(1);
  int const* seen = nullptr;
  auto const wait = [&]() -> detached {
    seen = &co_await one;
    done.count_down();
  };
  wait();
  EXPECT_EQ(seen, nullptr) << "the item cannot have been there";
  go.count_down();
  done.wait();
  EXPECT_EQ(seen, &one.get());
  EXPECT_THAT(number.gather(), ElementsAre(1)) << "and leaves the item in its stage's gather";
}

TEST_F(Coroutine, AnRvalueTakesTheResult) {
  thread_stage wrap{2, [](int x) { return std::make_unique<int>(x); }};
  std::unique_ptr<int> taken;
  auto const wait = [&]() -> detached {
    taken = co_await wrap.scatter(number.scatter(7));
    done.count_down();
  };
  wait();
  go.count_down();
  done.wait();
  EXPECT_EQ(*taken, 7);
}

TEST_F(Coroutine, AMovedFutureLeavesItsGatherAtOnce) {
  auto first = number.scatter(1);
  number.scatter(2);
  int taken = 0;
  auto const wait = [&]() -> detached {
    taken = co_await std::move(first);
    done.count_down();
  };
  wait();
  EXPECT_FALSE(first.valid());
  go.count_down();
  EXPECT_THAT(number.gather(), ElementsAre(2));
  done.wait();
  EXPECT_EQ(taken, 1);
}

TEST_F(Coroutine, WaitsForVoid) {
  bool ran = false;
  thread_stage store{1, [&](int) { ran = true; }};
  auto const wait = [&]() -> detached {
    auto stored = store.scatter(number.scatter(1));
    co_await stored;
    EXPECT_TRUE(ran);
    co_await std::move(stored);
    done.count_down();
  };
  wait();
  go.count_down();
  done.wait();
}

TEST_F(Coroutine, RethrowsWhatTheFirstBodyThrew) {
  thread_stage negate{1, [](int x) { return -x; }};
  int caught = 0;
  auto const wait = [&]() -> detached {
    auto const failed = negate.scatter(number.scatter(-1));
    try {
      (void)co_await failed;
    } catch (std::domain_error const& error) {
      caught += error.what() == std::string{"negative"} ? 1 : 0;
    }
    try {
      (void)co_await negate.scatter(failed);
    } catch (std::domain_error const&) {
      ++caught;
    }
    done.count_down();
  };
  wait();
  go.count_down();
  done.wait();
  EXPECT_EQ(caught, 2);
}

TEST_F(Coroutine, AnItemThatIsCancelledResumesIt) {
  std::mutex held;
  std::atomic<int> cancelled{0};
  std::latch both{2};
  std::optional<thread_stage<int(int)>> behind{std::in_place, 1, [](int x) { return x; }};
  auto const wait = [&]() -> detached {
    try {
      (void)co_await behind->scatter(number.scatter(1));
    } catch (penstock::stage_error const& error) {
      std::lock_guard const lock{held};
      if (error.kind() == error_kind::cancelled) ++cancelled;
    }
    both.count_down();
  };
  wait();
  wait();
  {
    std::lock_guard const lock{held};  // the thread that cancels the items must not run who waits for them
    behind.reset();
  }
  both.wait();
  EXPECT_EQ(cancelled, 2);
  go.count_down();
}

TEST_F(Coroutine, WhatIsReadyDoesNotSuspendIt) {
  go.count_down();
  auto const kept = number.scatter(1);
  kept.wait();
  auto const here = std::this_thread::get_id();
  std::thread::id there;
  auto const wait = [&]() -> detached {
    EXPECT_EQ(co_await kept, 1);
    there = std::this_thread::get_id();
  };
  wait();
  EXPECT_EQ(here, there);
}

TEST_F(Coroutine, MayWaitAgainAndAgain) {
  int sum = 0;
  auto const wait = [&]() -> detached {
    auto last = number.scatter(0);
    for (int i = 1; i <= 100; ++i) {
      auto next = number.scatter(i);
      sum += co_await last + co_await number.scatter(last);
      last = std::move(next);
    }
    done.count_down();
  };
  wait();
  go.count_down();
  done.wait();
  EXPECT_EQ(sum, 2 * 99 * 100 / 2);
}

TEST_F(Coroutine, MayBeStartedByABody) {
  std::atomic<int> sum{0};
  std::latch all{100};
  auto const add = [&](int x) -> detached {
    sum += co_await number.scatter(x);
    all.count_down();
  };
  thread_stage start{4, [&](int x) { add(x); }};
  for (int i = 0; i < 100; ++i) start.scatter(i);
  start.gather();  // the bodies do not wait
  go.count_down();
  all.wait();
  EXPECT_EQ(sum, 99 * 100 / 2);
}

TEST_F(Coroutine, MayOwnTheStageThatItAwaits) {
  // The bodies are short, and the coroutine goes on at once on the thread that has ended its item.
  int sum = 0;
  auto const run = [&]() -> detached {
    for (int round = 0; round < 300; ++round) {
      thread_stage local{2, [](int x) { return x; }};
      for (int i = 0; i < 3; ++i) sum += co_await local.scatter(i);
    }
    done.count_down();
  };
  run();
  done.wait();
  EXPECT_EQ(sum, 900);
}

TEST_F(Coroutine, OneThatBlocksHoldsNothingUp) {
  // More than the machine has processors are resumed and meet, whatever ended their items, while items of the same
  // stage and of another one are run to their end.
  constexpr int many = 12;
  go.count_down();
  for (int const length : {0, 1}) {  // short bodies and long ones
    std::barrier meeting{many};
    std::latch leave{1};
    std::latch left{many};
    std::latch started{1};
    thread_stage<int(int)> alone{1, [&](int x) {
                                   started.wait();
                                   for (int i = 0; i < 100 * length; ++i) std::this_thread::yield();
                                   return x;
                                 }};
    auto const meet = [&]() -> detached {
      (void)co_await alone.scatter(1);
      meeting.arrive_and_wait();
      leave.wait();
      left.count_down();
    };
    for (int i = 0; i < many; ++i) meet();
    started.count_down();
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ(alone.scatter(i).get(), i);
      EXPECT_EQ(number.scatter(i).get(), i);
    }
    leave.count_down();
    left.wait();
  }
}

TEST_F(Coroutine, IsResumedAsABodyThatNeverWaitsForRoom) {
  std::latch release{1};
  thread_stage<int(int)> full{{.concurrency = 1, .capacity = 1}, [&](int x) {
                                release.wait();
                                return x;
                              }};
  full.scatter(1);
  auto const wait = [&]() -> detached {
    (void)co_await number.scatter(1);
    full.scatter(2);  // another thread would wait here for what comes next
    release.count_down();
    done.count_down();
  };
  wait();
  go.count_down();
  done.wait();
  EXPECT_THAT(full.gather(), ElementsAre(1, 2));
}

TEST_F(Coroutine, RefusesAFutureThatHasNoItem) {
  go.count_down();
  thread_stage wrap{2, [](int x) { return std::make_unique<int>(x); }};
  auto gathered = wrap.scatter(1);
  (void)wrap.gather();
  int refused = 0;
  auto const wait = [&]() -> detached {
    try {
      (void)co_await future<int>{};
    } catch (std::logic_error const&) {
      ++refused;
    }
    try {
      (void)co_await std::move(gathered);
    } catch (penstock::already_gathered const&) {
      ++refused;
    }
  };
  wait();
  EXPECT_EQ(refused, 2);
}

// Awaits as Future's own awaiter does, without memory for it.
template <class Awaiter>
struct starved {
  Awaiter awaiter;

  bool await_ready() { return awaiter.await_ready(); }
  void await_suspend(std::coroutine_handle<> suspended) {
    struct starve {
      starve() { allocations_to_fail = std::numeric_limits<int>::max(); }
      ~starve() { allocations_to_fail = 0; }
    } const now;
    awaiter.await_suspend(suspended);
  }
  decltype(auto) await_resume() { return awaiter.await_resume(); }
};

TEST_F(Coroutine, IsToldWhenThereIsNoMemoryToSuspendIt) {
  auto const item = number.scatter(1);
  std::atomic<int> results{0};
  std::atomic<int> failures{0};
  std::atomic<int> suspended{0};
  auto const wait = [&](bool with_memory) -> detached {
    ++suspended;
    try {
      if (with_memory) results += co_await item;
      else results += co_await starved{item.operator co_await()};
    } catch (std::bad_alloc const&) {
      ++failures;
    }
    --suspended;
    suspended.notify_all();
  };
  wait(true);
  while (failures == 0) wait(false);  // what is at hand does not last
  int const expected = suspended;
  EXPECT_EQ(results, 0);
  wait(true);
  go.count_down();
  for (int left = suspended; left > 0; left = suspended) suspended.wait(left);
  EXPECT_EQ(results, expected + 1);
  EXPECT_EQ(failures, 1);
}

}  // namespace
