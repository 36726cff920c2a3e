// SPDX-License-Identifier: Apache-2.0
// Threads that do at random whatever a lock or an index_semaphore offers, with time-outs and cancellations: never two
// holders, no lost wake-up, no ghost, nothing left. A seed decides what is asked for; the threads' pace is their own.
// `./dev soak` runs many seeds.
#include "tests/support/detached.hpp"
#include "tests/support/random_rounds.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/watchdog.hpp"

#include <penstock/index_semaphore.hpp>
#include <penstock/light_switch.hpp>
#include <penstock/queue_lock.hpp>
#include <penstock/rw_lock.hpp>
#include <penstock/unowned_mutex.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using penstock::index_semaphore;
using penstock::test::detached;

namespace {

constexpr int seeds = 10;
constexpr int threads = 5;
constexpr int steps = penstock::test::sanitized ? 400 : 1'000;  // a thread

using dice = std::minstd_rand;
int roll(dice& random, int sides) { return static_cast<int>(random() % static_cast<unsigned>(sides)); }

// Holds it for no time, or so that others run meanwhile.
void hold(dice& random) {
  if (int const how = roll(random, 100); how == 0) std::this_thread::sleep_for(20us);
  else if (how < 10) std::this_thread::yield();
}

void run_crowd(unsigned seed, auto const& behaviour) {
  static penstock::test::watchdog dog{60s};  // a lost wake-up is a hang
  dog.round(seed);
  std::vector<std::jthread> crowd;
  for (int t = 0; t < threads; ++t) {
    crowd.emplace_back([&, t] {
      dice random{seed * 1'000 + static_cast<unsigned>(t)};
      for (int i = 0; i < steps; ++i) {
        if (i % 50 == 0) dog.step("step " + std::to_string(i) + " of thread " + std::to_string(t));
        behaviour(random, t);
      }
    });
  }
}

// In any of the ways there are; whether it got it.
bool lock_somehow(auto& lock, dice& random) {
  switch (roll(random, 5)) {
    case 0: return lock.try_lock();
    case 1: return lock.try_lock_for(std::chrono::microseconds{roll(random, 100)});
    case 2: return lock.try_lock_until(std::chrono::system_clock::now() + std::chrono::microseconds{roll(random, 20)});
    default: lock.lock(); return true;
  }
}

// Nobody has it, and nobody waits.
template <class Lock>
void expect_free(Lock& lock) {
  if constexpr (requires { lock.waiting(); }) {
    EXPECT_EQ(lock.waiting(), 0);
  }
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

template <class Lock>
class RandomLock : public testing::Test {};
using all_locks = testing::Types<penstock::unowned_mutex, penstock::queue_lock, penstock::rw_lock>;
TYPED_TEST_SUITE(RandomLock, all_locks);

TYPED_TEST(RandomLock, HasOneHolder) {
  for_each_seed(seeds, [](unsigned seed) {
    TypeParam lock;
    int inside = 0;  // guarded by lock
    run_crowd(seed, [&](dice& random, int) {
      if (!lock_somehow(lock, random)) return;
      EXPECT_EQ(inside++, 0);
      hold(random);
      --inside;
      lock.unlock();
    });
    expect_free(lock);
  });
}

TEST(RandomRwLock, NobodyReadsWhileOneWrites) {
  for_each_seed(seeds, [](unsigned seed) {
    penstock::rw_lock lock;
    int writing = 0;  // guarded by lock
    run_crowd(seed, [&](dice& random, int) {
      if (roll(random, 4) == 0) {
        if (!lock_somehow(lock, random)) return;
        ++writing;
        hold(random);
        --writing;
        return lock.unlock();
      }
      switch (roll(random, 4)) {
        case 0:
          if (!lock.try_lock_shared()) return;
          break;
        case 1:
          if (!lock.try_lock_shared_for(std::chrono::microseconds{roll(random, 100)})) return;
          break;
        default: lock.lock_shared();
      }
      EXPECT_EQ(writing, 0);
      hold(random);
      bool const again = roll(random, 8) == 0;
      if (again) lock.lock_shared();
      EXPECT_EQ(writing, 0);
      if (again) lock.unlock_shared();
      lock.unlock_shared();
    });
    expect_free(lock);
  });
}

template <class Lock>
class RandomLightSwitch : public testing::Test {};
using unowned_locks = testing::Types<penstock::unowned_mutex, penstock::queue_lock>;
TYPED_TEST_SUITE(RandomLightSwitch, unowned_locks);

TYPED_TEST(RandomLightSwitch, NobodyIsInsideWhileTheJanitorIs) {
  for_each_seed(seeds, [](unsigned seed) {
    TypeParam occupied;
    penstock::light_switch room{occupied};
    std::atomic<int> inside = 0;
    int cleaning = 0;  // guarded by occupied
    run_crowd(seed, [&](dice& random, int t) {
      if (t == 0) {  // the janitor
        if (!lock_somehow(occupied, random)) return;
        ++cleaning;
        EXPECT_EQ(inside, 0);
        hold(random);
        --cleaning;
        return occupied.unlock();
      }
      if (!lock_somehow(room, random)) return;
      ++inside;
      EXPECT_EQ(cleaning, 0);
      hold(random);
      --inside;
      room.unlock();
    });
    EXPECT_EQ(room.count(), 0);
    expect_free(room);
    expect_free(occupied);
  });
}

// Who has which index, and leases that have been put aside for others to give back.
class lending {
 public:
  explicit lending(std::size_t n) : semaphore{n}, is_lent_(n) {}

  index_semaphore semaphore;
  std::atomic<int> answers = 0;  // what requests came to, of continuations and coroutines

  void note(penstock::lease<std::size_t> const& mine) {
    EXPECT_FALSE(is_lent_[*mine].exchange(true)) << "index " << *mine << " has two holders";
  }
  // A lease that has just been got is kept for a while, or given back.
  void got(penstock::lease<std::size_t> mine, bool put_aside) {
    note(mine);
    if (!put_aside) return give_back(std::move(mine));
    std::lock_guard const lock{mutex_};
    put_aside_.push_back(std::move(mine));
  }
  void give_back(penstock::lease<std::size_t> mine) {
    EXPECT_TRUE(is_lent_[*mine].exchange(false));
    mine.release();
  }
  void give_back_what_was_put_aside() {
    std::vector<penstock::lease<std::size_t>> all;
    {
      std::lock_guard const lock{mutex_};
      all.swap(put_aside_);
    }
    for (auto& each : all) give_back(std::move(each));  // without the lock: it runs continuations, which come here
  }

 private:
  std::vector<std::atomic<bool>> is_lent_;
  std::mutex mutex_;
  std::vector<penstock::lease<std::size_t>> put_aside_;  // guarded by mutex_
};

detached borrow(std::shared_ptr<lending> from, bool put_aside) {
  try {
    from->got(co_await from->semaphore, put_aside);
  } catch (penstock::semaphore_closed const&) {  // an answer too
  }
  ++from->answers;
}

class RandomIndexSemaphore : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, RandomIndexSemaphore, testing::Values(1, 2, 5, 63, 64, 100),
                         testing::PrintToStringParamName());

TEST_P(RandomIndexSemaphore, EveryIndexHasOneHolderAndEveryRequestOneAnswer) {
  for_each_seed(seeds, [n = GetParam()](unsigned seed) {
    auto const life = std::make_shared<int>();  // of which every continuation owns a share
    auto const world = std::make_shared<lending>(n);
    auto& semaphore = world->semaphore;
    std::atomic<int> asked = 0;
    std::atomic<int> cancelled = 0;
    std::atomic<int> until_closed = seed % 3 == 2 ? threads * steps / 2 : 0;  // in the middle of it all
    {
      std::jthread const releases{[&](std::stop_token const& end) {  // so that no thread waits for what was put aside
        while (!end.stop_requested()) {
          world->give_back_what_was_put_aside();
          std::this_thread::yield();
        }
      }};
      run_crowd(seed, [&](dice& random, int) {
        if (--until_closed == 0) semaphore.close();
        bool const put_aside = roll(random, 2) == 0;
        switch (roll(random, 7)) {
          case 0: try { world->got(semaphore.acquire(), put_aside);
            } catch (penstock::semaphore_closed const&) {
            }
            return;
          case 1:
            if (auto mine = semaphore.try_acquire()) world->got(*std::move(mine), put_aside);
            return;
          case 2:
            if (auto mine = semaphore.try_acquire_for(std::chrono::microseconds{roll(random, 100)})) {
              world->got(*std::move(mine), put_aside);
            }
            return;
          case 3: {  // several at once, more than there may be
            std::vector<penstock::lease<std::size_t>> mine;
            for (auto left = static_cast<std::size_t>(roll(random, static_cast<int>(n) + 1)); left > 0; --left) {
              if (auto one = semaphore.try_acquire_for(1us)) {
                world->note(*one);
                mine.push_back(*std::move(one));
              }
            }
            hold(random);
            for (auto& one : mine) world->give_back(std::move(one));
            return;
          }
          case 4: ++asked; return void(borrow(world, put_aside));
          default: {
            ++asked;
            auto ticket = semaphore.async_acquire([&w = *world, life, put_aside](auto mine) {
              ++w.answers;
              if (mine) w.got(*std::move(mine), put_aside);
            });
            hold(random);
            if (roll(random, 2) == 0 && ticket.cancel()) ++cancelled;
          }
        }
      });
    }
    if (seed % 2 == 0) semaphore.close();  // some wait, while all that was put aside is still held
    while (semaphore.stats().holds > 0) world->give_back_what_was_put_aside();  // each may go to one that is put aside
    EXPECT_EQ(world->answers + cancelled, asked);
    EXPECT_EQ(life.use_count(), 1);
    auto const stats = semaphore.stats();
    EXPECT_EQ(stats.holds, 0);
    EXPECT_EQ(stats.waiting, 0);
    EXPECT_LE(stats.high_water, n);
  });
}

// Requests are numbered as they are made, under a lock, and are granted in that order, whoever gives the index back, and
// whoever cancels. A million of them.
TEST(IndexSemaphoreOrder, IsThatOfTheTicketsInAMillion) {
  constexpr int each = 1'000'000 / threads;
  index_semaphore one{1};
  std::mutex counter;
  int number = 0;   // guarded by counter
  int granted = 0;  // guarded by the index, as the next
  int last = -1;
  std::optional<penstock::lease<std::size_t>> put_aside;  // there is but one lease
  std::atomic<bool> is_aside = false;
  auto const give_back = [&] {
    if (!is_aside.exchange(false)) return;
    auto mine = std::move(*put_aside);
    put_aside.reset();
    mine.release();
  };
  std::atomic<int> cancelled = 0;
  {
    std::vector<std::jthread> crowd;
    for (int t = 0; t < threads; ++t) {
      crowd.emplace_back([&, t] {
        dice random{static_cast<unsigned>(t) + 1};
        for (int i = 0; i < each; ++i) {
          penstock::ticket ticket;
          bool const keep = roll(random, 8) == 0;
          {
            std::lock_guard const lock{counter};
            ticket = one.async_acquire([&, mine = number++, keep](auto index) {
              EXPECT_LT(last, mine);
              last = mine;
              ++granted;
              if (!keep) return;
              put_aside = std::move(index);
              is_aside = true;
            });
          }
          if (roll(random, 16) == 0 && ticket.cancel()) ++cancelled;
          if (roll(random, 8) == 0) give_back();
        }
      });
    }
  }
  while (one.stats().holds > 0) give_back();
  EXPECT_EQ(number, threads * each);
  EXPECT_EQ(granted + cancelled, number);
}

}  // namespace
