// SPDX-License-Identifier: Apache-2.0
// LoxIndexSemaphore, LoxLightSwitch, LoxQLock and LoxRWLock ask of penstock's locks what lox's own tests ask of lox's, and
// bear their names (its restroom is examples/restroom.cpp). LoxDefect has what is wrong with lox's: docs/from-lox.md.
#include "tests/support/locks.hpp"

#include <penstock/index_semaphore.hpp>
#include <penstock/light_switch.hpp>
#include <penstock/queue_lock.hpp>
#include <penstock/rw_lock.hpp>
#include <penstock/thread_stage.hpp>
#include <penstock/unowned_mutex.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <deque>
#include <latch>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using penstock::index_semaphore;
using penstock::light_switch;
using penstock::queue_lock;
using penstock::rw_lock;
using penstock::thread_stage;
using penstock::unowned_mutex;
using penstock::test::elsewhere;
using penstock::test::wait_until_waiting;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;
using index_lease = penstock::lease<std::size_t>;

namespace {

// --- IndexSemaphore -------------------------------------------------------------------------------------------------

// Twenty tasks on five resources: whoever has an index is alone with its resource. The stage runs them all at once.
void expect_unique_indices(auto const& use) {
  index_semaphore indices{5};
  std::array<std::mutex, 5> resources;
  std::latch all_here{20};
  thread_stage task{20, [&](int) {
                      all_here.arrive_and_wait();
                      return use(indices, [&](std::size_t index) {
                        std::unique_lock const alone{resources.at(index), std::try_to_lock};
                        std::this_thread::yield();
                        return alone.owns_lock();
                      });
                    }};
  for (int i = 0; i < 20; ++i) task.scatter(i);
  auto const succeeded = task.gather();
  EXPECT_THAT(succeeded, SizeIs(20));
  EXPECT_THAT(succeeded, Each(true));
}

TEST(LoxIndexSemaphore, AcquireAndRelease) {
  expect_unique_indices([](index_semaphore& indices, auto const& is_alone_with) {
    auto mine = indices.acquire();
    bool const was = is_alone_with(*mine);
    mine.release();
    return was;
  });
}

TEST(LoxIndexSemaphore, AcquireAndReleaseWithTimeout) {
  expect_unique_indices([](index_semaphore& indices, auto const& is_alone_with) {
    auto mine = indices.try_acquire_for(1h);
    bool const was = is_alone_with(*mine.value());
    mine->release();
    return was;
  });
}

TEST(LoxIndexSemaphore, With) {
  expect_unique_indices(
      [](index_semaphore& indices, auto const& is_alone_with) { return is_alone_with(*indices.acquire()); });
}

TEST(LoxIndexSemaphore, WithTimeout) {
  expect_unique_indices([](index_semaphore& indices, auto const& is_alone_with) {
    auto const mine = indices.try_acquire_for(1h);
    return mine && is_alone_with(**mine);
  });
}

TEST(LoxIndexSemaphore, BadSize) { EXPECT_THROW(index_semaphore{0}, std::invalid_argument); }

TEST(LoxIndexSemaphore, Timeout) {
  index_semaphore indices{1};
  auto const mine = indices.acquire();
  EXPECT_FALSE(indices.try_acquire_for(1ms));
}

TEST(LoxDefect, IndexSemaphoreStarvesWaiters) {
  index_semaphore indices{2};
  std::vector<int> order;
  std::deque<std::pair<int, index_lease>> holders;
  auto const queue_up = [&](int who) {
    (void)indices.async_acquire([&, who](std::optional<index_lease> mine) {
      if (!mine) return;  // closed
      order.push_back(who);
      holders.emplace_back(who, *std::move(mine));
    });
  };
  for (int who = 0; who < 8; ++who) queue_up(who);
  while (order.size() < 24) {  // who has used it longest gives it back, and wants it again at once
    auto [who, mine] = std::move(holders.front());
    holders.pop_front();
    mine.release();
    queue_up(who);
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7));
  indices.close();
  EXPECT_EQ(indices.stats().waiting, 0);
  holders.clear();
}

TEST(LoxDefect, IndexSemaphoreSwallowsExceptions) {
  index_semaphore gpus{1};
  thread_stage process{2, [&](int item) {
                         auto const gpu = gpus.acquire();
                         if (item == 1) throw std::runtime_error{"the GPU is lost"};
                         return item;
                       }};
  for (int i = 0; i < 3; ++i) process.scatter(i);
  auto const outcomes = process.outcomes();
  ASSERT_THAT(outcomes, SizeIs(3));
  EXPECT_TRUE(outcomes[0].has_value());
  EXPECT_STREQ(outcomes[1].error().what(), "the GPU is lost");
  EXPECT_TRUE(outcomes[2].has_value());
  EXPECT_EQ(gpus.stats().holds, 0);
}

TEST(LoxDefect, IndexSemaphoreRunsTheBodyWithoutAnIndexAfterATimeout) {
  index_semaphore indices{1};
  auto const mine = indices.acquire();
  auto const none = indices.try_acquire_for(1ms);
  EXPECT_THROW((void)*none.value(), std::bad_optional_access);
  bool ran = false;
  if (auto const index = indices.try_acquire_for(1ms)) ran = true;
  EXPECT_FALSE(ran);
}

TEST(LoxDefect, IndexSemaphoreHandsOneIndexToTwoHoldersAfterADoubleRelease) {
  index_semaphore indices{2};
  auto mine = indices.acquire();
  mine.release();
  mine.release();
  auto const first = indices.acquire();
  auto const second = indices.acquire();
  EXPECT_NE(*first, *second);
  EXPECT_FALSE(indices.try_acquire());
}

template <class Semaphore>
constexpr bool takes_back_any_number = requires(Semaphore& indices) { indices.release(std::size_t{99}); };

TEST(LoxDefect, IndexSemaphoreTakesBackAnIndexThatItHasNot) { EXPECT_FALSE(takes_back_any_number<index_semaphore>); }

TEST(LoxDefect, IndexSemaphoreSaysFreeWhereItMeansWaiting) {
  index_semaphore indices{3};
  auto const mine = indices.acquire();
  EXPECT_EQ(indices.size(), 3);
  EXPECT_EQ(indices.stats().holds, 1);
  EXPECT_EQ(indices.stats().waiting, 0);
}

// --- LightSwitch ----------------------------------------------------------------------------------------------------

TEST(LoxLightSwitch, FirstInLastOut) {
  unowned_mutex lock;
  light_switch room{lock};
  {
    std::lock_guard const inside{room};
    EXPECT_FALSE(lock.try_lock());
  }
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(LoxLightSwitch, Len) {
  unowned_mutex lock;
  light_switch room{lock};
  std::vector<std::size_t> counts{room.count()};
  room.lock();
  counts.push_back(room.count());
  room.lock();
  counts.push_back(room.count());
  room.unlock();
  counts.push_back(room.count());
  room.unlock();
  counts.push_back(room.count());
  EXPECT_THAT(counts, ElementsAre(0, 1, 2, 1, 0));
}

TEST(LoxLightSwitch, Timeout) {
  unowned_mutex lock;
  light_switch room{lock};
  lock.lock();
  EXPECT_FALSE(room.try_lock_for(1ms));
  EXPECT_FALSE(room.try_lock_for(0ms));
  lock.unlock();
}

TEST(LoxDefect, LightSwitchReleasedTooOftenLeavesTheLockOpen) {
  unowned_mutex lock;
  light_switch room{lock};
  EXPECT_THROW(room.unlock(), std::logic_error);
  std::lock_guard const inside{room};
  EXPECT_EQ(room.count(), 1);
  EXPECT_FALSE(lock.try_lock());
}

TEST(LoxDefect, LightSwitchMakesAllWaitForAFirstWhoWaits) {
  unowned_mutex lock;
  light_switch room{lock};
  lock.lock();
  std::jthread const first{[&] { std::lock_guard const inside{room}; }};
  wait_until_waiting(room, 1);
  EXPECT_FALSE(room.try_lock());  // it comes back at all
  EXPECT_EQ(room.count(), 0);
  EXPECT_FALSE(room.try_lock_until(std::chrono::steady_clock::now() - 1h));
  lock.unlock();
}

// --- QLock ----------------------------------------------------------------------------------------------------------

TEST(LoxQLock, EntersInOrder) {
  queue_lock lock;
  std::string order;  // guarded by lock
  lock.lock();
  std::vector<std::jthread> crowd;
  for (char letter = 'A'; letter <= 'Z'; ++letter) {
    crowd.emplace_back([&, letter] {
      std::lock_guard const mine{lock};
      order += letter;
    });
    wait_until_waiting(lock, crowd.size());
  }
  lock.unlock();
  crowd.clear();
  EXPECT_EQ(order, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

TEST(LoxQLock, Timeout) {
  queue_lock lock;
  lock.lock();
  EXPECT_FALSE(lock.try_lock_for(1ms));
  lock.unlock();
}

TEST(LoxDefect, QLockHasTwoHoldersUnderContention) {
  queue_lock lock;
  std::atomic<int> inside = 0;
  std::vector<std::jthread> crowd;
  for (int t = 0; t < 4; ++t) {
    crowd.emplace_back([&] {
      for (int i = 0; i < 25'000; ++i) {  // exclusive_locks_test has the million
        std::lock_guard const mine{lock};
        EXPECT_EQ(inside++, 0);
        --inside;
      }
    });
  }
}

TEST(LoxDefect, QLockIsTakenAgainBeforeWhoWaits) {
  queue_lock lock;
  lock.lock();
  bool had = false;  // guarded by lock
  std::jthread const waits{[&] {
    std::lock_guard const mine{lock};
    had = true;
  }};
  wait_until_waiting(lock, 1);
  lock.unlock();
  std::lock_guard const again{lock};
  EXPECT_TRUE(had);
}

TEST(LoxDefect, QLockKeepsAGhostOfWhoGaveUp) {
  queue_lock lock;
  lock.lock();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(1ms); }));
  EXPECT_EQ(lock.waiting(), 0);
  lock.unlock();
  EXPECT_TRUE(elsewhere([&] { return lock.try_lock(); }));  // the ghost has not eaten the unlock()
}

TEST(LoxDefect, QLockSaysHoldersWhereItMeansWaiting) {
  queue_lock lock;
  std::lock_guard const mine{lock};
  EXPECT_EQ(lock.waiting(), 0);
}

// --- RWLock ---------------------------------------------------------------------------------------------------------

TEST(LoxRWLock, ReadersOverlap) {
  rw_lock lock;
  std::barrier all_inside{5};
  thread_stage read{5, [&](int) {
                      std::shared_lock const reading{lock};
                      all_inside.arrive_and_wait();
                    }};
  for (int i = 0; i < 5; ++i) read.scatter(i);
  read.gather();
}

TEST(LoxRWLock, ReadersBeforeSeeTheOldAndReadersAfterTheNew) {
  rw_lock lock;
  int value = 0;  // guarded by lock
  std::latch all_before_inside{5};
  std::latch others_wait{1};
  thread_stage read_before{5, [&](int) {
                             std::shared_lock const reading{lock};
                             all_before_inside.count_down();
                             others_wait.wait();
                             return value;
                           }};
  thread_stage write{1, [&](int what) {
                       std::lock_guard const writing{lock};
                       value = what;
                     }};
  thread_stage read_after{5, [&](int) {
                            std::shared_lock const reading{lock};
                            return value;
                          }};
  for (int i = 0; i < 5; ++i) read_before.scatter(i);
  all_before_inside.wait();
  write.scatter(5);
  wait_until_waiting(lock, 1);
  for (int i = 0; i < 5; ++i) read_after.scatter(i);
  wait_until_waiting(lock, 6);
  others_wait.count_down();
  EXPECT_THAT(read_before.gather(), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(read_after.gather(), ElementsAre(5, 5, 5, 5, 5));
  write.gather();
}

TEST(LoxRWLock, Timeout) {
  rw_lock lock;
  lock.lock_shared();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(1ms); }));
  EXPECT_TRUE(elsewhere([&] {
    bool const reads = lock.try_lock_shared_for(1ms);
    if (reads) lock.unlock_shared();
    return reads;
  }));
  lock.unlock_shared();
  lock.lock();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(1ms); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_shared_for(1ms); }));
  lock.unlock();
}

TEST(LoxRWLock, TheJanitorGoesInBetweenPeople) {
  rw_lock room;
  std::vector<std::string> events;  // of who is alone inside
  room.lock_shared();
  events.emplace_back("p0+");
  std::jthread janitor{[&] {
    std::lock_guard const cleaning{room};
    events.insert(events.end(), {"j+", "j-"});
  }};
  wait_until_waiting(room, 1);
  std::jthread other{[&] {
    std::shared_lock const inside{room};
    events.insert(events.end(), {"p1+", "p1-"});
  }};
  wait_until_waiting(room, 2);
  events.emplace_back("p0-");
  room.unlock_shared();
  janitor.join();
  other.join();
  EXPECT_THAT(events, ElementsAre("p0+", "p0-", "j+", "j-", "p1+", "p1-"));
}

TEST(LoxDefect, RWLockStarvesReaders) {
  rw_lock lock;
  lock.lock();
  std::vector<std::string> order;  // guarded by lock
  std::vector<std::jthread> crowd;
  auto const write = [&] {
    std::lock_guard const writing{lock};
    order.emplace_back("writer");
  };
  crowd.emplace_back(write);
  wait_until_waiting(lock, 1);
  crowd.emplace_back(write);
  wait_until_waiting(lock, 2);
  crowd.emplace_back([&] {
    std::shared_lock const reading{lock};
    order.emplace_back("reader");
  });
  wait_until_waiting(lock, 3);
  lock.unlock();  // a reader waits for one writer, though two were there before it
  crowd.clear();
  EXPECT_THAT(order, ElementsAre("reader", "writer", "writer"));
}

TEST(LoxDefect, RWLockRunsTheBodyWithoutTheLockAfterATimeout) {
  rw_lock lock;
  lock.lock_shared();
  EXPECT_FALSE(elsewhere([&] {
    std::unique_lock const writing{lock, 1ms};
    return writing.owns_lock();
  }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock(); }));  // and its end has not unlocked what is another's
  lock.unlock_shared();
}

TEST(LoxDefect, RWLockTakesItsTimeoutForEveryLockInside) {
  rw_lock lock;
  lock.lock_shared();
  std::jthread writer{[&] { std::lock_guard const writing{lock}; }};
  wait_until_waiting(lock, 1);
  // One deadline for the whole call. It is over: no part of the call waits.
  auto const past = std::chrono::steady_clock::now() - 1h;
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_until(past); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_shared_until(past); }));
  lock.unlock_shared();
  writer.join();
  EXPECT_EQ(lock.waiting(), 0);
}

TEST(LoxDefect, RWLockDeadlocksWhoReadsAgainWhileAWriterWaits) {
  rw_lock lock;
  std::shared_lock reading{lock};
  std::jthread const writer{[&] { std::lock_guard const writing{lock}; }};
  wait_until_waiting(lock, 1);
  {
    std::shared_lock const again{lock};
  }
  reading.unlock();
}

TEST(LoxDefect, RWLockDeadlocksWhoReadsAndAsksToWrite) {
  rw_lock lock;
  thread_stage upgrade{1, [&](int) {
                         std::shared_lock const reading{lock};
                         std::lock_guard const writing{lock};
                       }};
  upgrade.scatter(0);
  auto const outcomes = upgrade.outcomes();
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_THAT(outcomes[0].error().what(), testing::HasSubstr("asks to write"));
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(LoxDefect, RWLockLetsAnybodyReleaseIt) {
  rw_lock lock;
  lock.lock();
  std::jthread{[&] { EXPECT_THROW(lock.unlock(), std::logic_error); }}.join();
  EXPECT_THROW(lock.unlock_shared(), std::logic_error);
  lock.unlock();
  EXPECT_THROW(lock.unlock(), std::logic_error);
}

}  // namespace
