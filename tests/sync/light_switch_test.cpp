// SPDX-License-Identifier: Apache-2.0
#include <penstock/light_switch.hpp>

#include "tests/support/locks.hpp"

#include <penstock/queue_lock.hpp>
#include <penstock/unowned_mutex.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using penstock::light_switch;
using penstock::test::wait_until_waiting;

static_assert(penstock::owned_by_a_thread<std::mutex> && penstock::owned_by_a_thread<std::shared_mutex>);
static_assert(!penstock::owned_by_a_thread<penstock::unowned_mutex> &&
              !penstock::owned_by_a_thread<penstock::queue_lock>);

namespace {

template <class Lock>
class LightSwitch : public testing::Test {
 protected:
  [[nodiscard]] bool is_dark() {
    if (!occupied.try_lock()) return false;
    occupied.unlock();
    return true;
  }

  Lock occupied;
  light_switch<Lock> room{occupied};
};
using lock_types = testing::Types<penstock::unowned_mutex, penstock::queue_lock>;
TYPED_TEST_SUITE(LightSwitch, lock_types);

TYPED_TEST(LightSwitch, TheFirstLocksAndTheLastUnlocks) {
  this->room.lock();
  EXPECT_FALSE(this->is_dark());
  EXPECT_TRUE(this->room.try_lock());
  EXPECT_TRUE(this->room.try_lock_for(1h));
  EXPECT_EQ(this->room.count(), 3);
  this->room.unlock();
  std::jthread{[&] { this->room.unlock(); }}.join();  // any thread may
  EXPECT_FALSE(this->is_dark());
  this->room.unlock();
  EXPECT_TRUE(this->is_dark());
  EXPECT_EQ(this->room.count(), 0);
}

TYPED_TEST(LightSwitch, RefusesThatMoreLeaveThanHaveEntered) {
  EXPECT_THROW(this->room.unlock(), std::logic_error);
  EXPECT_EQ(this->room.count(), 0);
  this->room.lock();
  EXPECT_FALSE(this->is_dark());
  this->room.unlock();
  EXPECT_THROW(this->room.unlock(), std::logic_error);
  EXPECT_TRUE(this->is_dark());
}

TYPED_TEST(LightSwitch, IsOneForTheStandardsGuards) {
  {
    std::lock_guard const inside{this->room};
    std::unique_lock const too{this->room, std::try_to_lock};
    std::unique_lock const in_time{this->room, 1h};
    EXPECT_TRUE(too.owns_lock() && in_time.owns_lock());
    EXPECT_EQ(this->room.count(), 3);
  }
  EXPECT_TRUE(this->is_dark());
}

TYPED_TEST(LightSwitch, GivesUpInTimeAndLeavesNothingBehind) {
  this->occupied.lock();
  EXPECT_FALSE(this->room.try_lock());
  EXPECT_FALSE(this->room.try_lock_for(0ms));
  EXPECT_FALSE(this->room.try_lock_for(1ms));
  EXPECT_FALSE(this->room.try_lock_until(std::chrono::system_clock::now() + 1ms));
  EXPECT_EQ(this->room.count(), 0);
  this->occupied.unlock();
  EXPECT_TRUE(this->room.try_lock());
  this->room.unlock();
  EXPECT_TRUE(this->is_dark());
}

TYPED_TEST(LightSwitch, TryLockDoesNotWaitForAFirstWhoWaits) {
  this->occupied.lock();
  std::jthread first{[&] { std::lock_guard const inside{this->room}; }};
  wait_until_waiting(this->room, 1);
  EXPECT_FALSE(this->room.try_lock());  // comes back at all
  EXPECT_FALSE(this->room.try_lock_for(1ms));
  this->occupied.unlock();
}

TYPED_TEST(LightSwitch, AllWhoWaitWithTheFirstGoInWithIt) {
  constexpr std::size_t people = 6;
  std::barrier all_inside{people};
  this->occupied.lock();
  std::vector<std::jthread> crowd;
  for (std::size_t i = 0; i < people; ++i) {
    crowd.emplace_back([&, i] {
      if (i % 2 == 0) this->room.lock();
      else EXPECT_TRUE(this->room.try_lock_for(1h));
      all_inside.arrive_and_wait();
      this->room.unlock();
    });
    wait_until_waiting(this->room, i + 1);
  }
  this->occupied.unlock();
  crowd.clear();
  EXPECT_TRUE(this->is_dark());
}

TYPED_TEST(LightSwitch, AnotherTakesThePlaceOfAFirstWhoGivesUp) {
  this->occupied.lock();
  std::jthread first{[&] { EXPECT_FALSE(this->room.try_lock_for(20ms)); }};
  wait_until_waiting(this->room, 1);
  std::atomic<bool> inside = false;
  std::jthread second{[&] {
    this->room.lock();
    inside = true;
    this->room.unlock();
  }};
  first.join();
  wait_until_waiting(this->room, 1);
  EXPECT_FALSE(inside);
  this->occupied.unlock();
  second.join();
  EXPECT_TRUE(this->is_dark());
}

// A lock that is nobody's own, as a user may have one; it throws once if told to.
struct semaphore_lock {
  void lock() {
    if (throws) {
      throws = false;
      throw std::runtime_error{"out of order"};
    }
    semaphore.acquire();
  }
  [[nodiscard]] bool try_lock() { return semaphore.try_acquire(); }
  void unlock() { semaphore.release(); }

  bool throws = false;
  std::binary_semaphore semaphore{1};
};

TEST(LightSwitchOfAnyLock, NeedsNoMoreThanALockable) {
  semaphore_lock occupied;
  light_switch room{occupied};
  {
    std::lock_guard const inside{room};
    EXPECT_FALSE(occupied.try_lock());
  }
  EXPECT_TRUE(occupied.try_lock());
  EXPECT_FALSE(room.try_lock());
}

TEST(LightSwitchOfAnyLock, IsAsBeforeWhenItsLockThrows) {
  semaphore_lock occupied;
  light_switch room{occupied};
  occupied.semaphore.acquire();
  occupied.throws = true;
  EXPECT_THROW(room.lock(), std::runtime_error);
  EXPECT_EQ(room.count(), 0);
  occupied.unlock();
  std::lock_guard const inside{room};
  EXPECT_EQ(room.count(), 1);
}

// One that tells until when it was asked to wait.
struct deadline_lock : semaphore_lock {
  [[nodiscard]] bool try_lock_until(std::chrono::steady_clock::time_point deadline) {
    asked = deadline;
    return false;
  }
  std::chrono::steady_clock::time_point asked;
};

TEST(LightSwitchOfAnyLock, HasOneDeadlineForAllOfACall) {
  deadline_lock occupied;
  light_switch room{occupied};
  occupied.lock();
  auto const deadline = std::chrono::steady_clock::now() + 1h;
  EXPECT_FALSE(room.try_lock_until(deadline));
  EXPECT_EQ(occupied.asked, deadline);
  EXPECT_EQ(room.waiting(), 0);
  occupied.unlock();
}

}  // namespace
