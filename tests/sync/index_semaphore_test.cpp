// SPDX-License-Identifier: Apache-2.0
#include <penstock/index_semaphore.hpp>

#include "tests/support/detached.hpp"
#include "tests/support/locks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using penstock::index_semaphore;
using penstock::lease;
using penstock::test::wait_until_waiting;
using testing::ElementsAre;
using testing::HasSubstr;
using index_lease = lease<std::size_t>;

static_assert(!std::copy_constructible<index_lease> && std::movable<index_lease> &&
              sizeof(index_lease) == 2 * sizeof(void*));
static_assert(std::is_nothrow_move_constructible_v<index_lease> && std::is_nothrow_move_assignable_v<index_lease>);
static_assert(
    !std::constructible_from<index_lease, std::size_t>);  // none but a semaphore makes one that holds something
static_assert(!std::copyable<penstock::ticket> && std::movable<penstock::ticket>);

namespace {

// What there is at most in the word, and beyond.
class IndexSemaphoreOfSize : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, IndexSemaphoreOfSize, testing::Values(1, 2, 62, 63, 64, 65, 128, 1000),
                         testing::PrintToStringParamName());

TEST_P(IndexSemaphoreOfSize, LendsEachIndexOnceAndTheLowestFirst) {
  std::size_t const n = GetParam();
  index_semaphore indices{n};
  std::vector<index_lease> held;
  for (std::size_t expected = 0; expected < n; ++expected) {
    held.push_back(indices.acquire());
    ASSERT_EQ(*held.back(), expected);
  }
  EXPECT_FALSE(indices.try_acquire());
  EXPECT_FALSE(indices.try_acquire_for(0ms));
  EXPECT_EQ(indices.stats().holds, n);
  EXPECT_EQ(indices.size(), n);

  held[n / 2].release();
  EXPECT_EQ(*indices.acquire(), n / 2);  // given back at the end of the statement
  held.clear();
  EXPECT_EQ(indices.stats().holds, 0);
  EXPECT_EQ(indices.stats().high_water, n);
  EXPECT_EQ(*indices.acquire(), 0);
}

TEST_P(IndexSemaphoreOfSize, HandsAnIndexOverInTheOrderOfArrival) {
  constexpr std::size_t waiters = 12;
  index_semaphore indices{GetParam()};
  std::vector<index_lease> held;
  while (auto free = indices.try_acquire()) held.push_back(*std::move(free));

  std::vector<std::size_t> order;  // written by who holds the only index that goes round
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < waiters; ++i) {
    threads.emplace_back([&, i] {
      auto const mine = i % 2 == 0 ? indices.acquire() : *indices.try_acquire_for(1h);
      order.push_back(i);
      EXPECT_EQ(*mine, GetParam() / 2);
    });
    wait_until_waiting(indices, i + 1);
  }
  EXPECT_FALSE(indices.try_acquire());
  held[GetParam() / 2].release();
  threads.clear();
  std::vector<std::size_t> expected(waiters);
  for (std::size_t i = 0; i < waiters; ++i) expected[i] = i;
  EXPECT_EQ(order, expected);
  EXPECT_EQ(indices.stats().wait.count, waiters);
  EXPECT_EQ(indices.stats().waiting, 0);
}

TEST(IndexSemaphore, RefusesToHaveNoIndices) {
  try {
    index_semaphore const none{0};
    FAIL() << "it was made";
  } catch (std::invalid_argument const& error) {
    EXPECT_THAT(error.what(), HasSubstr("index_semaphore"));
    EXPECT_THAT(error.what(), HasSubstr("got 0"));
  }
  EXPECT_THROW(index_semaphore{static_cast<std::size_t>(-1)}, std::invalid_argument);
}

TEST(IndexSemaphore, ALeaseGivesItsIndexBackOnEveryWayOut) {
  index_semaphore indices{1};
  EXPECT_THROW(
      {
        auto const mine = indices.acquire();
        throw std::runtime_error{"leave"};
      },
      std::runtime_error);
  EXPECT_EQ(indices.stats().holds, 0);
  [&] {
    auto const mine = indices.acquire();
    return;
  }();
  EXPECT_EQ(indices.stats().holds, 0);
}

TEST(IndexSemaphore, ALeaseIsGivenBackOnceWhateverIsDoneWithIt) {
  index_semaphore indices{2};
  index_lease first = indices.acquire();
  index_lease second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that it is empty is promised
  EXPECT_TRUE(second);
  first.release();
  EXPECT_EQ(indices.stats().holds, 1);
  second.release();
  second.release();
  EXPECT_EQ(indices.stats().holds, 0);

  first = indices.acquire();
  second = indices.acquire();
  EXPECT_EQ(indices.stats().holds, 2);
  second = std::move(first);  // gives back what it held
  EXPECT_EQ(indices.stats().holds, 1);
  EXPECT_EQ(*second, 0);
  index_lease& itself = second;
  second = std::move(itself);
  EXPECT_TRUE(second);
  EXPECT_EQ(indices.stats().holds, 1);
}

TEST(IndexSemaphore, ALeaseThatIsFilledWhileItIsAssignedToLosesNothing) {
  index_semaphore first{1};
  index_semaphore second{1};
  auto held = first.acquire();
  first.async_acquire([&](std::optional<index_lease> mine) { held = *std::move(mine); });
  held = second.acquire();  // gives back the first one's, which comes right back
  EXPECT_EQ(first.stats().holds + second.stats().holds, 1);
  held.release();
  EXPECT_EQ(first.stats().holds + second.stats().holds, 0);
}

TEST(IndexSemaphore, AnEmptyLeaseSaysSoWhenItIsUsed) {
  index_lease const empty;
  EXPECT_FALSE(empty);
  EXPECT_THROW((void)*empty, std::logic_error);
}

TEST(IndexSemaphore, ATimedWaiterLeavesNoGhost) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  EXPECT_FALSE(indices.try_acquire_for(1ms));
  EXPECT_FALSE(indices.try_acquire_until(std::chrono::system_clock::now() + 1ms));
  EXPECT_FALSE(indices.try_acquire_until(std::chrono::steady_clock::now() - 1s));
  EXPECT_EQ(indices.stats().waiting, 0);
  held.release();
  EXPECT_TRUE(indices.try_acquire());  // nobody who left has eaten it
}

TEST(IndexSemaphore, AWaiterBehindOneWhoGivesUpIsServed) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  std::jthread gives_up{[&] { EXPECT_FALSE(indices.try_acquire_for(20ms)); }};
  wait_until_waiting(indices, 1);
  std::jthread stays{[&] { EXPECT_EQ(*indices.acquire(), 0); }};
  gives_up.join();
  wait_until_waiting(indices, 1);
  held.release();
}

TEST(IndexSemaphore, AContinuationRunsHereWhenOneIsFree) {
  index_semaphore indices{1};
  bool ran = false;
  auto ticket = indices.async_acquire([&](std::optional<index_lease> mine) {
    ran = true;
    EXPECT_EQ(**mine, 0);
  });
  EXPECT_TRUE(ran);
  EXPECT_FALSE(ticket.cancel());
  EXPECT_EQ(indices.stats().holds, 0);
  EXPECT_EQ(indices.stats().wait.count, 0);
}

TEST(IndexSemaphore, ThreadsAndContinuationsAndCoroutinesWaitInOneQueue) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  std::vector<int> order;  // written by who holds the index
  std::jthread first{[&] {
    auto const mine = indices.acquire();
    order.push_back(0);
  }};
  wait_until_waiting(indices, 1);
  indices.async_acquire([&](auto) { order.push_back(1); });
  [](index_semaphore& from, std::vector<int>& seen) -> penstock::test::detached {
    auto const mine = co_await from;
    seen.push_back(2);
  }(indices, order);
  std::jthread last{[&] {
    auto const mine = indices.try_acquire_for(1h);
    order.push_back(3);
  }};
  wait_until_waiting(indices, 4);
  held.release();
  first.join();
  last.join();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(indices.stats().wait.count, 4);
}

TEST(IndexSemaphore, ACancelledRequestIsNeverCalledAndLeavesNoGhost) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  auto const owned = std::make_shared<int>(0);
  auto cancelled = indices.async_acquire([owned](auto) { FAIL() << "it was cancelled"; });
  int served = 0;
  auto kept = indices.async_acquire([&](auto) { ++served; });
  EXPECT_EQ(owned.use_count(), 2);
  EXPECT_TRUE(cancelled.cancel());
  EXPECT_EQ(owned.use_count(), 1);  // its continuation is gone
  EXPECT_FALSE(cancelled.cancel());
  EXPECT_EQ(indices.stats().waiting, 1);
  held.release();
  EXPECT_EQ(served, 1);
  EXPECT_FALSE(kept.cancel());
  EXPECT_TRUE(indices.try_acquire());
}

TEST(IndexSemaphore, DroppingATicketDoesNotCancel) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  int calls = 0;
  (void)indices.async_acquire([&](auto) { ++calls; });
  held.release();
  EXPECT_EQ(calls, 1);
}

TEST(IndexSemaphore, AContinuationMayOwnWhatCannotBeCopiedAndKeepTheLease) {
  index_semaphore indices{1};
  std::optional<index_lease> kept;
  indices.async_acquire([&kept, only = std::make_unique<int>(7)](std::optional<index_lease> mine) {
    EXPECT_EQ(*only, 7);
    kept = std::move(mine);
  });
  EXPECT_FALSE(indices.try_acquire());
  kept.reset();
  EXPECT_TRUE(indices.try_acquire());
}

TEST(IndexSemaphore, AChainOfAnyLengthNeedsNoStack) {
  constexpr int links = 200'000;
  index_semaphore indices{1};
  auto held = indices.acquire();
  int calls = 0;
  for (int i = 0; i < links; ++i) indices.async_acquire([&](auto) { ++calls; });  // each gives it to the next
  held.release();
  EXPECT_EQ(calls, links);

  int left = links;
  std::function<void(std::optional<index_lease>)> again = [&](std::optional<index_lease> mine) {
    mine.reset();
    if (--left > 0) indices.async_acquire(again);  // free: would run in here
  };
  indices.async_acquire(again);
  EXPECT_EQ(left, 0);
}

TEST(IndexSemaphore, CloseEndsEveryWaitAndLeavesLeasesValid) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  std::vector<int> ended;
  std::jthread thrown{[&] { EXPECT_THROW((void)indices.acquire(), penstock::semaphore_closed); }};
  wait_until_waiting(indices, 1);
  std::jthread none{[&] { EXPECT_FALSE(indices.try_acquire_for(1h)); }};
  wait_until_waiting(indices, 2);
  auto ticket = indices.async_acquire([&](std::optional<index_lease> mine) {
    EXPECT_FALSE(mine);
    ended.push_back(1);
  });
  [](index_semaphore& from, std::vector<int>& seen) -> penstock::test::detached {
    EXPECT_THROW((void)co_await from, penstock::semaphore_closed);
    seen.push_back(2);
  }(indices, ended);
  indices.close();
  thrown.join();
  none.join();
  EXPECT_THAT(ended, ElementsAre(1, 2));
  EXPECT_FALSE(ticket.cancel());
  EXPECT_EQ(*held, 0);
  held.release();
  EXPECT_EQ(indices.stats().holds, 0);
  EXPECT_EQ(indices.stats().waiting, 0);
  EXPECT_EQ(indices.stats().wait.count, 0);  // nobody got one
}

TEST(IndexSemaphore, CloseLetsNoThreadWaitForAContinuation) {
  index_semaphore indices{1};
  auto const held = indices.acquire();
  std::latch thread_is_back{1};
  indices.async_acquire([&](auto) { thread_is_back.wait(); });
  std::jthread const waits{[&] {
    EXPECT_FALSE(indices.try_acquire_for(1h));
    thread_is_back.count_down();
  }};
  wait_until_waiting(indices, 2);
  indices.close();
}

// A coroutine that somebody else owns, and may destroy while it is suspended.
struct owned {
  struct promise_type {
    owned get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

TEST(IndexSemaphore, ACoroutineThatIsDestroyedLeavesTheQueue) {
  index_semaphore indices{1};
  auto held = indices.acquire();
  auto const wait = [](index_semaphore& from) -> owned {
    auto const mine = co_await from;
    ADD_FAILURE() << "it went on";
  };
  wait(indices).handle.destroy();
  int served = 0;
  indices.async_acquire([&](auto) { ++served; });
  EXPECT_EQ(indices.stats().waiting, 1);
  held.release();
  EXPECT_EQ(served, 1);
  EXPECT_TRUE(indices.try_acquire());
}

TEST(IndexSemaphoreDeathTest, ACoroutineDestroyedWhenItIsAboutToGoOnEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        index_semaphore outer{1};
        index_semaphore indices{1};
        auto held = indices.acquire();
        auto const waiting = [](index_semaphore& from) -> owned { (void)co_await from; }(indices);
        outer.async_acquire([&](auto) {
          held.release();  // it goes on after this
          waiting.handle.destroy();
        });
      },
      "has just got what it");
}

TEST(IndexSemaphore, MayBeClosedAndDestroyedInAContinuation) {
  index_semaphore outer{1};
  auto indices = std::make_unique<index_semaphore>(1);
  auto held = indices->acquire();
  int ended = 0;
  indices->async_acquire([&](std::optional<index_lease> const& mine) { ended += mine ? 100 : 1; });
  [](index_semaphore& from, int& count) -> penstock::test::detached {
    EXPECT_THROW((void)co_await from, penstock::semaphore_closed);
    ++count;
  }(*indices, ended);
  outer.async_acquire([&](auto) {
    indices->close();
    held.release();
    indices.reset();
    EXPECT_EQ(ended, 0);
  });
  EXPECT_EQ(ended, 2);
}

// What a continuation hands on goes to a continuation that comes after it, unless it waits for it.
TEST(IndexSemaphore, AContinuationMayWaitForWhatItHasHandedOn) {
  index_semaphore outer{1};
  index_semaphore indices{1};
  auto held = indices.acquire();
  std::vector<int> order;
  indices.async_acquire([&](auto) { order.push_back(1); });
  outer.async_acquire([&](auto) {
    held.release();
    order.push_back(0);
    auto const again = indices.acquire();
    order.push_back(2);
  });
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST(IndexSemaphore, AClosedOneLendsNothingMore) {
  index_semaphore indices{3};
  indices.close();
  indices.close();
  EXPECT_THROW((void)indices.acquire(), penstock::semaphore_closed);
  EXPECT_FALSE(indices.try_acquire());
  EXPECT_FALSE(indices.try_acquire_for(1h));
  std::optional<bool> got;
  indices.async_acquire([&](std::optional<index_lease> const& mine) { got = mine.has_value(); });
  EXPECT_EQ(got, false);
}

TEST(IndexSemaphore, ItsEndCallsContinuationsThatWait) {
  auto indices = std::make_unique<index_semaphore>(1);
  std::optional<bool> got;
  auto held = indices->acquire();
  auto ticket = indices->async_acquire([&](std::optional<index_lease> const& mine) {
    got = mine.has_value();
    held.release();  // which it has to outlive
  });
  indices.reset();
  EXPECT_EQ(got, false);
  EXPECT_FALSE(ticket.cancel());
}

TEST(IndexSemaphoreDeathTest, ALeaseThatOutlivesItEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<index_lease> late;
        index_semaphore indices{2};
        late = indices.acquire();
      },
      "1 of its 2 leases are still out");
}

TEST(IndexSemaphore, WhoTakesItLastMayDestroyIt) {
  for (int round = 0; round < 2'000; ++round) {
    auto indices = std::make_unique<index_semaphore>(1);
    auto held = indices->acquire();
    std::jthread last{[&] {
      indices->acquire().release();
      indices.reset();
    }};
    if (round % 2 == 0) wait_until_waiting(*indices, 1);
    held.release();  // touches nothing of it once the other may have it
  }
}

}  // namespace
