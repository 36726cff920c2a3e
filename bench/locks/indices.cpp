// SPDX-License-Identifier: Apache-2.0
// What lends indices: penstock's, and what one writes or takes instead.
#include "bench/locks/holding.hpp"

#include <penstock/index_semaphore.hpp>
#include <penstock/resource_pool.hpp>

#include <tbb/concurrent_queue.h>

#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <numeric>
#include <semaphore>
#include <vector>

namespace locks {
namespace {

struct lends_to_one {
  static constexpr bool is_shared = false;
};

class index_semaphore : public lends_to_one {
 public:
  explicit index_semaphore(std::size_t slots) : semaphore_{slots} {}
  void hold(auto const& body) {
    auto const index = semaphore_.acquire();
    body(*index);
  }

 private:
  penstock::index_semaphore semaphore_;
};

// More than fit into one word; not for several threads, as it would make nobody wait.
class index_semaphore_of_100 : public index_semaphore {
 public:
  explicit index_semaphore_of_100(std::size_t) : index_semaphore{100} {}
};

std::vector<std::size_t> indices_of(std::size_t slots) {
  std::vector<std::size_t> all(slots);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

class resource_pool : public lends_to_one {
 public:
  explicit resource_pool(std::size_t slots) : pool_{indices_of(slots)} {}
  void hold(auto const& body) {
    auto const lent = pool_.acquire();
    body(*lent);
  }

 private:
  penstock::resource_pool<std::size_t> pool_;
};

// Barging: who comes by when an index is free takes it, whoever was woken for it.
class mutex_and_condvar : public lends_to_one {
 public:
  explicit mutex_and_condvar(std::size_t slots) : free_{indices_of(slots)} {}
  void hold(auto const& body) {
    std::size_t const index = acquire();
    body(index);
    release(index);
  }

 private:
  std::size_t acquire() {
    std::unique_lock lock{mutex_};
    freed_.wait(lock, [&] { return !free_.empty(); });
    std::size_t const index = free_.back();
    free_.pop_back();
    return index;
  }
  void release(std::size_t index) {
    {
      std::lock_guard const lock{mutex_};
      free_.push_back(index);
    }
    freed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::size_t> free_;  // guarded by mutex_
};

class semaphore_and_bitmask : public lends_to_one {
 public:
  explicit semaphore_and_bitmask(std::size_t slots)
      : permits_{static_cast<std::ptrdiff_t>(slots)}, free_{(std::uint64_t{1} << slots) - 1} {}
  void hold(auto const& body) {
    permits_.acquire();
    std::size_t const index = lowest_free();
    body(index);
    free_.fetch_or(std::uint64_t{1} << index, std::memory_order_release);
    permits_.release();
  }

 private:
  // Who has a permit finds one: a bit is set before its permit comes back.
  std::size_t lowest_free() {
    std::uint64_t free = free_.load(std::memory_order_relaxed);
    while (
        !free_.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire, std::memory_order_relaxed)) {
    }
    return static_cast<std::size_t>(std::countr_zero(free));
  }

  std::counting_semaphore<63> permits_;
  std::atomic<std::uint64_t> free_;
};

class tbb_queue : public lends_to_one {
 public:
  explicit tbb_queue(std::size_t slots) {
    for (std::size_t i = 0; i < slots; ++i) free_.push(static_cast<int>(i));
  }
  void hold(auto const& body) {
    int index = 0;
    free_.pop(index);
    body(static_cast<std::size_t>(index));
    free_.push(index);
  }

 private:
  tbb::concurrent_bounded_queue<int> free_;
};

constexpr std::string_view condvar_row = "mutex + condvar, barging";
constexpr std::string_view std_row = "std::counting_semaphore + bitmask";
constexpr std::string_view tbb_row = "tbb::concurrent_bounded_queue";

}  // namespace

std::vector<candidate> index_costs() {
  return {{condvar_row, cost<mutex_and_condvar>},
          {std_row, cost<semaphore_and_bitmask>},
          {tbb_row, cost<tbb_queue>},
          {semaphore_row, cost<index_semaphore>},
          {"penstock index_semaphore of 100", cost<index_semaphore_of_100>, true},
          {"penstock resource_pool", cost<resource_pool>}};
}

std::vector<candidate> index_waits() {
  return {{condvar_row, waits<mutex_and_condvar>},
          {std_row, waits<semaphore_and_bitmask>},
          {tbb_row, waits<tbb_queue>},
          {semaphore_row, waits<index_semaphore>}};
}

}  // namespace locks
