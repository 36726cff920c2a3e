// SPDX-License-Identifier: Apache-2.0
#include <penstock/resource_pool.hpp>

#include "tests/support/detached.hpp"
#include "tests/support/locks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <any>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using penstock::lease;
using penstock::resource_pool;
using penstock::test::wait_until_waiting;
using testing::HasSubstr;

static_assert(!std::copy_constructible<lease<int&>> && std::movable<lease<int&>>);

namespace {

// Neither copied nor moved, and counted.
struct connection {
  explicit connection(int number) : id{number} { ++alive; }
  connection(connection const&) = delete;
  connection& operator=(connection const&) = delete;
  ~connection() { --alive; }

  static inline std::atomic<int> alive{0};
  int id;
  bool broken = false;
};

TEST(ResourcePool, LendsItsObjectsEachToOneHolder) {
  resource_pool pool{std::vector<std::string>{"a", "b"}};
  auto first = pool.acquire();
  auto const second = pool.acquire();
  EXPECT_EQ(*first, "a");
  EXPECT_EQ(second->size(), 1);
  EXPECT_FALSE(pool.try_acquire());
  EXPECT_FALSE(pool.try_acquire_for(1ms));
  EXPECT_EQ(pool.stats().holds, 2);
  first->append("!");
  first.release();
  first.release();
  EXPECT_EQ(**pool.try_acquire_until(std::chrono::steady_clock::now()), "a!");
  EXPECT_EQ(pool.size(), 2);
}

TEST(ResourcePool, TakesObjectsThatCannotBeCopied) {
  std::vector<std::unique_ptr<int>> numbers;
  numbers.push_back(std::make_unique<int>(7));
  resource_pool pool{std::move(numbers)};
  EXPECT_EQ(**pool.acquire(), 7);
}

// It converts from everything, a std::vector and a std::function too.
TEST(ResourcePool, TakesObjectsThatConvertFromAnything) {
  resource_pool<std::any> given{std::vector<std::any>{1, 2, 3}};
  EXPECT_EQ(given.size(), 3);
  EXPECT_EQ(std::any_cast<int>(*given.acquire()), 1);
  resource_pool<std::any> made{2, [] { return std::any{7}; }};
  EXPECT_EQ(std::any_cast<int>(*made.acquire()), 7);
}

TEST(ResourcePool, RefusesToHaveNoObjects) {
  try {
    resource_pool<int> const none{std::vector<int>{}};
    FAIL() << "it was made";
  } catch (std::invalid_argument const& error) {
    EXPECT_THAT(error.what(), HasSubstr("resource_pool"));
  }
  EXPECT_THROW((resource_pool<int>{static_cast<std::size_t>(-1), [] { return 1; }}), std::invalid_argument);
}

TEST(ResourcePool, ALeaseMovesAndIsGivenBackOnce) {
  resource_pool pool{std::vector<int>{1, 2}};
  auto first = pool.acquire();
  auto second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that it is empty is promised
  EXPECT_THROW((void)*first, std::logic_error);
  first = pool.acquire();
  EXPECT_EQ(pool.stats().holds, 2);
  second = std::move(first);
  EXPECT_EQ(pool.stats().holds, 1);
  EXPECT_EQ(*second, 2);
  EXPECT_THROW((void)*lease<int&>{}, std::logic_error);
}

TEST(ResourcePool, ThreadsContinuationsAndCoroutinesWaitInOneQueue) {
  resource_pool pool{std::vector<int>{0}};
  auto held = pool.acquire();
  auto const next = [](lease<int&> const& mine, int expected) { EXPECT_EQ((*mine)++, expected); };
  std::jthread first{[&] { next(pool.acquire(), 0); }};
  wait_until_waiting(pool, 1);
  pool.async_acquire([&](std::optional<lease<int&>> mine) { next(*std::move(mine), 1); });
  auto dropped = pool.async_acquire([](auto) { FAIL() << "it was cancelled"; });
  [](resource_pool<int>& from, auto const& then) -> penstock::test::detached { then(co_await from, 2); }(pool, next);
  EXPECT_TRUE(dropped.cancel());
  held.release();
  first.join();
  EXPECT_EQ(*pool.acquire(), 3);
  EXPECT_EQ(pool.stats().wait.count, 3);
}

TEST(ResourcePool, MakesObjectsWhenTheyAreFirstNeeded) {
  int made = 0;
  {
    resource_pool<connection> pool{3, [&] { return connection{made++}; }};
    EXPECT_EQ(made, 0);
    EXPECT_EQ(pool.acquire()->id, 0);
    EXPECT_EQ(pool.acquire()->id, 0);
    auto const first = pool.acquire();
    EXPECT_EQ(pool.acquire()->id, 1);
    EXPECT_EQ(made, 2);
    EXPECT_EQ(connection::alive, 2);
  }
  EXPECT_EQ(connection::alive, 0);
}

TEST(ResourcePool, WhatCreateThrowsReachesWhoAcquiresAndLosesNothing) {
  bool fails = true;
  resource_pool pool{1, [&] {
                       if (fails) throw std::runtime_error{"no route to host"};
                       return 7;
                     }};
  EXPECT_THROW((void)pool.acquire(), std::runtime_error);
  EXPECT_THROW((void)pool.try_acquire(), std::runtime_error);
  [](resource_pool<int>& from) -> penstock::test::detached {
    EXPECT_THROW((void)co_await from, std::runtime_error);
    co_return;
  }(pool);
  EXPECT_EQ(pool.stats().holds, 0);
  pool.async_acquire([&](std::optional<lease<int&>> mine) {
    EXPECT_THROW((void)**mine, std::runtime_error);  // at its first use
    fails = false;
    EXPECT_EQ(**mine, 7);
  });
  EXPECT_EQ(*pool.acquire(), 7);
}

TEST(ResourcePool, WhatCreateThrowsIsNothingToCheckTheHealthOf) {
  int checked = 0;
  resource_pool<int> pool{1, []() -> int { throw std::runtime_error{"no route to host"}; },
                          [&](int) { return ++checked > 0; }};
  EXPECT_THROW((void)pool.acquire(), std::runtime_error);
  pool.async_acquire([](std::optional<lease<int&>> const&) {});
  EXPECT_EQ(checked, 0);
  EXPECT_EQ(pool.stats().holds, 0);
}

TEST(ResourcePool, AnObjectIsCheckedAlsoWhenItsLeaseIsAssignedTo) {
  resource_pool<int> pool{std::vector<int>{1, 2}, [](int each) { return each != 0; }};
  auto mine = pool.acquire();
  lease<int&>& itself = mine;
  mine = std::move(itself);
  EXPECT_EQ(*mine, 1);
  *mine = 0;
  mine = pool.acquire();
  EXPECT_EQ(*mine, 2);
  EXPECT_FALSE(pool.try_acquire());  // the first one has failed
  mine = lease<int&>{};
  EXPECT_EQ(pool.stats().holds, 0);
  EXPECT_EQ(**pool.try_acquire(), 2);
}

TEST(ResourcePool, AnObjectThatFailsItsHealthCheckIsMadeAnew) {
  int made = 0;
  resource_pool<connection> pool{1, [&] { return connection{made++}; },
                                 [](connection const& each) { return !each.broken; }};
  pool.acquire()->broken = false;
  EXPECT_EQ(pool.acquire()->id, 0);
  pool.acquire()->broken = true;
  EXPECT_EQ(connection::alive, 0);  // looked at and destroyed when it came back
  EXPECT_EQ(pool.acquire()->id, 1);
  EXPECT_EQ(made, 2);
}

TEST(ResourcePool, AnObjectThatFailsItsHealthCheckIsNeverLentAgain) {
  resource_pool pool{std::vector<int>{1, 2, 3}, [](int each) {
                       if (each < 0) throw std::runtime_error{"counts as a failure"};
                       return each != 0;
                     }};
  *pool.acquire() = 0;
  EXPECT_EQ(*pool.acquire(), 2);
  EXPECT_EQ(pool.stats().holds, 0);
  EXPECT_EQ(pool.stats().high_water, 1);  // what has failed is not out
  *pool.acquire() = -1;
  auto last = pool.acquire();
  EXPECT_EQ(*last, 3);
  EXPECT_FALSE(pool.try_acquire());

  std::jthread waits{[&] {
    try {
      (void)pool.acquire();
      ADD_FAILURE() << "there was none left";
    } catch (penstock::semaphore_closed const& error) {
      EXPECT_THAT(error.what(), HasSubstr("each of its 3 resources has failed its health check"));
    }
  }};
  wait_until_waiting(pool, 1);
  *last = 0;
  last.release();
  waits.join();
  EXPECT_FALSE(pool.try_acquire_for(1h));
}

TEST(ResourcePool, CloseLeavesLeasesValid) {
  resource_pool pool{std::vector<int>{1}};
  auto held = pool.acquire();
  pool.close();
  EXPECT_EQ(*held, 1);
  held.release();
  EXPECT_THROW((void)pool.acquire(), penstock::semaphore_closed);
}

TEST(ResourcePoolDeathTest, ALeaseThatOutlivesItEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<lease<int&>> late;
        resource_pool pool{std::vector<int>{1}};
        late = pool.acquire();
      },
      "1 of its 1 leases are still out");
}

}  // namespace
