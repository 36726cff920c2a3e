// SPDX-License-Identifier: Apache-2.0
// What unowned_mutex, queue_lock and rw_lock (to write) have in common, and what the first two have alone.
#include "tests/support/locks.hpp"

#include <penstock/queue_lock.hpp>
#include <penstock/rw_lock.hpp>
#include <penstock/unowned_mutex.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using penstock::test::elsewhere;
using penstock::test::wait_until_waiting;

namespace {

template <class Lock>
class ExclusiveLock : public testing::Test {};
using exclusive_locks = testing::Types<penstock::unowned_mutex, penstock::queue_lock, penstock::rw_lock>;
TYPED_TEST_SUITE(ExclusiveLock, exclusive_locks);

TYPED_TEST(ExclusiveLock, IsOneForTheStandardsGuards) {
  TypeParam lock;
  TypeParam other;
  auto const is_free = [&] {
    return elsewhere([&] {
      std::unique_lock const mine{lock, std::try_to_lock};
      return mine.owns_lock();
    });
  };
  {
    std::lock_guard const guard{lock};
    EXPECT_FALSE(is_free());
  }
  EXPECT_TRUE(is_free());
  {
    std::scoped_lock const both{lock, other};
    EXPECT_FALSE(is_free());
  }
  {
    std::unique_lock const in_time{lock, 1h};
    EXPECT_TRUE(in_time.owns_lock());
    EXPECT_FALSE(is_free());
  }
  {
    std::unique_lock const in_time{lock, std::chrono::system_clock::now() + 1h};
    EXPECT_TRUE(in_time.owns_lock());
  }
  EXPECT_TRUE(is_free());
}

TYPED_TEST(ExclusiveLock, GivesUpInTimeAndLeavesNoGhost) {
  TypeParam lock;
  lock.lock();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(1ms); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(0ms); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_until(std::chrono::steady_clock::now() - 1s); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_until(std::chrono::system_clock::now() + 1ms); }));
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());  // nobody who has left eats it
  lock.unlock();
}

// Whatever does not fit into the clock's numbers.
TYPED_TEST(ExclusiveLock, TakesAnyTimeout) {
  using std::chrono::steady_clock;
  using std::chrono::system_clock;
  TypeParam lock;
  auto const gives_up = [&](auto const& asked) { return !elsewhere(asked); };
  lock.lock();
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_for(-1ns); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_for(std::chrono::nanoseconds::min()); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_for(std::chrono::years{-400}); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_for(std::chrono::duration<double>{std::nan("")}); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_until(steady_clock::time_point::min()); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_until(system_clock::time_point::min()); }));
  EXPECT_TRUE(gives_up([&] { return lock.try_lock_until(std::chrono::sys_days::min()); }));
  lock.unlock();

  auto const waits = [&](auto const& asked) {
    lock.lock();
    std::jthread const other{[&] {
      EXPECT_TRUE(asked());
      lock.unlock();
    }};
    std::this_thread::sleep_for(1ms);  // it has come by now, mostly
    lock.unlock();
  };
  waits([&] { return lock.try_lock_for(std::chrono::nanoseconds::max()); });
  waits([&] { return lock.try_lock_for(std::chrono::hours::max()); });
  waits([&] { return lock.try_lock_for(std::chrono::duration<double>{1e300}); });
  waits([&] { return lock.try_lock_until(steady_clock::time_point::max()); });
  waits([&] { return lock.try_lock_until(system_clock::time_point::max()); });
  waits([&] { return lock.try_lock_until(std::chrono::sys_seconds::max()); });
}

TYPED_TEST(ExclusiveLock, IsHandedToWhoWaits) {
  TypeParam lock;
  for (int round = 0; round < 200; ++round) {
    lock.lock();
    std::jthread const waits{[&] { std::lock_guard const mine{lock}; }};
    std::jthread const waits_for_long{[&] {
      EXPECT_TRUE(lock.try_lock_for(1h));
      lock.unlock();
    }};
    if (round % 2 == 0) std::this_thread::sleep_for(100us);  // asleep, mostly
    lock.unlock();
  }
}

TYPED_TEST(ExclusiveLock, RefusesToUnlockWhatIsNotLocked) {
  TypeParam lock;
  EXPECT_THROW(lock.unlock(), std::logic_error);
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
  EXPECT_THROW(lock.unlock(), std::logic_error);
  EXPECT_TRUE(lock.try_lock());  // and is none the worse for it
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock(); }));
  lock.unlock();
}

TYPED_TEST(ExclusiveLock, WhoHasItLastMayDestroyIt) {
  for (int round = 0; round < 2'000; ++round) {
    auto lock = std::make_unique<TypeParam>();
    TypeParam& same = *lock;
    same.lock();
    std::jthread const last{[&] {
      same.lock();
      same.unlock();
      lock.reset();
    }};
    if (round % 2 == 0) std::this_thread::yield();
    same.unlock();  // touches nothing of it once the other may have it
  }
}

// A million times, and never two at once; also while others try, and wait for a little.
TYPED_TEST(ExclusiveLock, HasOneHolderInAMillion) {
  constexpr int threads = 4;
  constexpr int times = 250'000;
  TypeParam lock;
  int inside = 0;  // guarded by lock, as the next
  long long counted = 0;
  auto const work = [&] {
    EXPECT_EQ(inside++, 0);
    ++counted;
    if (counted % 512 == 0) std::this_thread::yield();  // so that others come while it is held
    --inside;
  };
  {
    std::vector<std::jthread> crowd;
    for (int t = 0; t < threads; ++t) {
      crowd.emplace_back([&, t] {
        for (int i = 0; i < times; ++i) {
          bool const has = (i + t) % 16 == 0 ? lock.try_lock_for(1us) : (i + t) % 2 == 1 && lock.try_lock();
          if (!has) lock.lock();
          work();
          lock.unlock();
        }
      });
    }
  }
  EXPECT_EQ(counted, static_cast<long long>(threads) * times);
}

template <class Lock>
class UnownedLock : public testing::Test {};
using unowned_locks = testing::Types<penstock::unowned_mutex, penstock::queue_lock>;
TYPED_TEST_SUITE(UnownedLock, unowned_locks);

TYPED_TEST(UnownedLock, MayBeUnlockedByAnotherThread) {
  TypeParam lock;
  lock.lock();
  std::jthread{[&] { lock.unlock(); }}.join();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(QueueLock, IsTakenInTheOrderOfArrivalWhoeverGivesUp) {
  penstock::queue_lock lock;
  std::vector<int> order;  // guarded by lock
  std::vector<int> expected;
  for (int round = 0; round < 20; ++round) {
    order.clear();
    expected.clear();
    lock.lock();
    std::vector<std::jthread> crowd;
    for (int i = 0; i < 26; ++i) {
      if (i % 3 == 0) {  // comes and goes while the others wait
        std::jthread{[&] { EXPECT_FALSE(lock.try_lock_for(1ms)); }}.join();
        continue;
      }
      expected.push_back(i);
      crowd.emplace_back([&, i] {
        std::lock_guard const mine{lock};
        order.push_back(i);
      });
      wait_until_waiting(lock, crowd.size());
    }
    lock.unlock();
    crowd.clear();
    ASSERT_EQ(order, expected) << "round " << round;
  }
}

TEST(QueueLock, CannotBeSnatchedFromWhoWaits) {
  penstock::queue_lock lock;
  lock.lock();
  bool had = false;  // guarded by lock
  std::jthread waits{[&] {
    std::lock_guard const mine{lock};
    had = true;
  }};
  wait_until_waiting(lock, 1);
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  std::lock_guard const mine{lock};  // right away, but after it
  EXPECT_TRUE(had);
}

}  // namespace
