// SPDX-License-Identifier: Apache-2.0
// To write, rw_lock is one of exclusive_locks_test.cpp too.
#include <penstock/rw_lock.hpp>

#include "tests/support/locks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using penstock::rw_lock;
using penstock::test::elsewhere;
using penstock::test::wait_until_waiting;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

bool others_may_read(rw_lock& lock) {
  return elsewhere([&] {
    std::shared_lock const mine{lock, std::try_to_lock};
    return mine.owns_lock();
  });
}

TEST(RwLock, ManyReadAtOnceAndOneWritesAlone) {
  constexpr int readers = 5;
  rw_lock lock;
  std::barrier all_inside{readers};
  {
    std::vector<std::jthread> crowd;
    for (int i = 0; i < readers; ++i) {
      crowd.emplace_back([&] {
        std::shared_lock const mine{lock};
        all_inside.arrive_and_wait();
      });
    }
  }
  std::lock_guard const mine{lock};
  EXPECT_FALSE(others_may_read(lock));
}

TEST(RwLock, IsOneForTheStandardsSharedLock) {
  rw_lock lock;
  {
    std::shared_lock const mine{lock, 1h};
    EXPECT_TRUE(mine.owns_lock());
    std::jthread{[&] {
      EXPECT_FALSE(lock.try_lock());
      EXPECT_FALSE(lock.try_lock_for(1ms));
      std::shared_lock const too{lock, std::chrono::system_clock::now() + 1h};
      EXPECT_TRUE(too.owns_lock());
    }}.join();
  }
  EXPECT_TRUE(lock.try_lock());
  std::jthread{[&] {
    EXPECT_FALSE(lock.try_lock_shared());
    EXPECT_FALSE(lock.try_lock_shared_for(1ms));
    EXPECT_FALSE(lock.try_lock_shared_until(std::chrono::steady_clock::now() + 1ms));
  }}.join();
  lock.unlock();
}

TEST(RwLock, AWaitingWriterKeepsNewReadersOutUntilItIsDone) {
  rw_lock lock;
  std::vector<char> order;  // guarded by lock, but for the first
  lock.lock_shared();
  std::jthread writer{[&] {
    std::lock_guard const mine{lock};
    order.push_back('w');
  }};
  wait_until_waiting(lock, 1);
  EXPECT_FALSE(others_may_read(lock));
  std::jthread reader{[&] {
    std::shared_lock const mine{lock};
    EXPECT_THAT(order, ElementsAre('w'));
  }};
  EXPECT_TRUE(order.empty());
  lock.unlock_shared();
}

TEST(RwLock, AllReadersThatWaitGoInAfterOneWriterAndThenTheNext) {
  constexpr std::size_t readers = 4;
  rw_lock lock;
  std::vector<int> written;  // guarded by lock
  std::barrier all_reading{readers};
  std::vector<std::jthread> crowd;
  lock.lock();
  for (int writer = 1; writer <= 3; ++writer) {
    crowd.emplace_back([&, writer] {
      std::lock_guard const mine{lock};
      written.push_back(writer);
    });
    wait_until_waiting(lock, crowd.size());
  }
  for (std::size_t i = 0; i < readers; ++i) {
    crowd.emplace_back([&] {
      std::shared_lock const mine{lock};
      all_reading.arrive_and_wait();  // all of them inside at once
      EXPECT_THAT(written, ElementsAre(0));
    });
    wait_until_waiting(lock, crowd.size());
  }
  written.push_back(0);
  lock.unlock();
  crowd.clear();
  EXPECT_THAT(written, ElementsAre(0, 1, 2, 3));
}

TEST(RwLock, ReadersAreNotStarvedByWriters) {
  rw_lock lock;
  std::atomic<bool> stop = false;
  std::vector<std::jthread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&] {
      while (!stop) {
        std::lock_guard const mine{lock};
        std::this_thread::sleep_for(100us);
      }
    });
  }
  for (int i = 0; i < 50; ++i) std::shared_lock const mine{lock};  // ends
  stop = true;
}

TEST(RwLock, WritersAreNotStarvedByReaders) {
  rw_lock lock;
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        std::shared_lock const mine{lock};
        std::this_thread::sleep_for(100us);
      }
    });
  }
  for (int i = 0; i < 50; ++i) std::lock_guard const mine{lock};  // ends
  stop = true;
}

TEST(RwLock, AReaderMayReadAgainWhileAWriterWaits) {
  rw_lock lock;
  lock.lock_shared();
  std::jthread writer{[&] { std::lock_guard const mine{lock}; }};
  wait_until_waiting(lock, 1);
  EXPECT_FALSE(others_may_read(lock));
  lock.lock_shared();
  EXPECT_TRUE(lock.try_lock_shared());
  EXPECT_TRUE(lock.try_lock_shared_for(1h));
  for (int i = 0; i < 4; ++i) lock.unlock_shared();
  EXPECT_THROW(lock.unlock_shared(), std::logic_error);
}

TEST(RwLock, AnUpgradeIsRefusedInEveryForm) {
  rw_lock lock;
  lock.lock_shared();
  try {
    lock.lock();
    FAIL() << "it was granted";
  } catch (std::logic_error const& error) {
    EXPECT_THAT(error.what(), HasSubstr("unlock_shared() first"));
  }
  EXPECT_THROW((void)lock.try_lock(), std::logic_error);
  EXPECT_THROW((void)lock.try_lock_for(1h), std::logic_error);
  EXPECT_THROW((void)lock.try_lock_until(std::chrono::steady_clock::now()), std::logic_error);
  lock.unlock_shared();
  lock.lock();  // and nothing is left of it
  lock.unlock();
}

TEST(RwLock, AWriterDoesNotWaitForItself) {
  rw_lock lock;
  lock.lock();
  EXPECT_THROW(lock.lock(), std::logic_error);
  EXPECT_THROW(lock.lock_shared(), std::logic_error);
  EXPECT_FALSE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock_shared());
  EXPECT_FALSE(lock.try_lock_for(1ms));
  EXPECT_FALSE(lock.try_lock_shared_for(1ms));
  lock.unlock();
  EXPECT_TRUE(others_may_read(lock));
}

TEST(RwLock, RefusesToGiveBackWhatThisThreadDoesNotHold) {
  rw_lock lock;
  EXPECT_THROW(lock.unlock_shared(), std::logic_error);
  lock.lock_shared();
  EXPECT_THROW(lock.unlock(), std::logic_error);
  std::jthread{[&] { EXPECT_THROW(lock.unlock_shared(), std::logic_error); }}.join();
  lock.unlock_shared();
  lock.lock();
  EXPECT_THROW(lock.unlock_shared(), std::logic_error);
  std::jthread{[&] { EXPECT_THROW(lock.unlock(), std::logic_error); }}.join();
  EXPECT_FALSE(others_may_read(lock));
  lock.unlock();
}

TEST(RwLock, AWriterThatGivesUpLetsTheReadersBehindItIn) {
  rw_lock lock;
  lock.lock_shared();
  std::jthread writer{[&] { EXPECT_FALSE(lock.try_lock_for(50ms)); }};
  std::jthread reader{[&] {
    while (lock.try_lock_shared()) {  // until the writer waits
      lock.unlock_shared();
      std::this_thread::yield();
    }
    std::shared_lock const mine{lock};
  }};
  writer.join();  // both, while this thread reads
  reader.join();
  lock.unlock_shared();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(RwLock, ManyCanBeReadAtOnce) {
  std::vector<rw_lock> locks(100);
  for (auto& each : locks) each.lock_shared();
  for (auto& each : locks) EXPECT_THROW(each.lock(), std::logic_error);
  for (auto& each : locks) each.unlock_shared();
  for (auto& each : locks) EXPECT_TRUE(each.try_lock());
  for (auto& each : locks) each.unlock();
}

TEST(RwLock, ATimedReaderWaitsForTheWriter) {
  rw_lock lock;
  lock.lock();
  std::jthread const reader{[&] {
    EXPECT_TRUE(lock.try_lock_shared_for(1h));
    lock.unlock_shared();
  }};
  wait_until_waiting(lock, 1);
  lock.unlock();
}

TEST(RwLock, AWriterThatGivesUpLetsNoReaderPastTheNextWriter) {
  rw_lock lock;
  std::vector<std::string> order;  // guarded by lock
  lock.lock_shared();
  std::jthread gives_up{[&] { EXPECT_FALSE(lock.try_lock_for(50ms)); }};
  wait_until_waiting(lock, 1);
  std::jthread writer{[&] {
    std::lock_guard const mine{lock};
    order.emplace_back("writer");
  }};
  wait_until_waiting(lock, 2);
  std::jthread reader{[&] {
    std::shared_lock const mine{lock};
    order.emplace_back("reader");
  }};
  wait_until_waiting(lock, 3);
  gives_up.join();
  EXPECT_EQ(lock.waiting(), 2);
  lock.unlock_shared();
  writer.join();
  reader.join();
  EXPECT_THAT(order, ElementsAre("writer", "reader"));
}

// As a registry does that is destroyed with its thread, or with the program.
TEST(RwLock, MayBeReadInDestructorsAtTheEndOfAThread) {
  struct reads_late {
    explicit reads_late(rw_lock& read) : lock{read} {}
    reads_late(reads_late const&) = delete;
    reads_late& operator=(reads_late const&) = delete;
    ~reads_late() {
      std::shared_lock const mine{lock};
      EXPECT_THROW((void)lock.try_lock(), std::logic_error);
    }
    rw_lock& lock;
  };
  rw_lock lock;
  std::jthread{[&] {
    thread_local reads_late const late{lock};
    std::vector<rw_lock> many(50);
    for (auto& each : many) each.lock_shared();
    for (auto& each : many) each.unlock_shared();
    std::shared_lock const mine{lock};
  }}.join();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(RwLockDeathTest, OneThatIsDestroyedWhileItIsLockedEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        rw_lock lock;
        lock.lock_shared();
      },
      "rw_lock is destroyed");
}

}  // namespace
