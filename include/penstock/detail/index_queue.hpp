// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/wait_list.hpp>

#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::detail {

inline constexpr std::size_t no_index = static_cast<std::size_t>(-1);

/// Waits for an index, in an index_queue.
struct index_waiter : wait_node {
  using ending = void(index_waiter&, std::size_t index) noexcept;
  explicit index_waiter(ending* at_end) noexcept : end{at_end} {}

  /// Called once, by who ends the wait, with no lock held: an index, or no_index when the queue was closed. May destroy
  /// the waiter. Not called after withdraw() was in time.
  ending* end;
};

/// Hands out the indices 0 to size - 1, each to one holder at a time, the lowest free one first, and in the order of
/// arrival: an index that comes back while somebody waits goes to who has waited longest, and is never seen free meanwhile.
///
/// While nobody waits, up to 63 indices are the bits of one word, and taking or giving back is one compare-exchange on it.
/// When none is free, the first to wait sets the word's highest bit, which sends everybody else to the mutex, until the
/// last has gone. With more indices, once one is retired, and once closed, that bit is always set.
///
/// The order of arrival is that in which waiters get the mutex.
///
/// Thread-safe. Takes for granted that an index is given back by its holder only. Who gives one back touches nothing of
/// the queue once the index may be seen by another: that one may destroy the queue.
class index_queue {
 public:
  explicit index_queue(std::size_t size);
  index_queue(index_queue const&) = delete;
  index_queue& operator=(index_queue const&) = delete;
  ~index_queue() = default;

  /// A free index, if nobody waits; else no_index.
  [[nodiscard]] std::size_t try_take() noexcept {
    std::uint64_t free = word_.load(std::memory_order_relaxed);
    while (free != 0 && (free & queued) == 0) {
      if (word_.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire, std::memory_order_relaxed)) {
        return handed_out(static_cast<std::size_t>(std::countr_zero(free)));
      }
    }
    return free == 0 ? no_index : try_take_queued();
  }
  /// Gives one back; false, and nothing else, when it is free and nobody waits.
  bool give_back(std::size_t index) noexcept {
    std::uint64_t free = word_.load(std::memory_order_relaxed);
    while ((free & queued) == 0) {
      std::uint64_t const bit = std::uint64_t{1} << index;
      if ((free & bit) != 0) return false;
      if (word_.compare_exchange_weak(free, free | bit, std::memory_order_release, std::memory_order_relaxed))
        return true;
    }
    give_back_queued(index);
    return true;
  }

  enum class arrival : std::uint8_t { taken, waits, granted, closed, timed_out };
  struct answer {
    arrival how = arrival::closed;
    std::size_t index = no_index;  // if taken or granted
  };
  /// Takes an index, or queues the waiter, which has to stay where it is until its end: taken, waits or closed.
  [[nodiscard]] answer take_or_wait(index_waiter& waiter) noexcept;
  /// Whether the waiter was still in the queue. If not, its end has come or is about to.
  [[nodiscard]] bool withdraw(index_waiter& waiter) noexcept;
  /// Blocks until there is an index for this thread, or the deadline: taken (without a wait), granted, closed or timed_out.
  [[nodiscard]] answer take(std::chrono::steady_clock::time_point deadline) noexcept;

  /// One of the indices that are held now will not come back. When none is left, the queue is closed.
  void retire_one() noexcept;
  /// Ends all waits, and all that will be: what is held may still be given back.
  void close() noexcept;
  /// Whether all have been retired.
  [[nodiscard]] bool is_used_up() const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  struct counts {
    std::size_t held;
    std::size_t waiting;
    std::size_t most_held;  // at once
  };
  [[nodiscard]] counts count() const noexcept;

 private:
  static constexpr std::uint64_t queued = std::uint64_t{1} << 63U;
  static constexpr std::size_t most_in_word = 63;

  // The lowest free index is handed out, so all below it are held, if none is retired: the highest tells how many at once.
  std::size_t handed_out(std::size_t index) noexcept {
    note_held(index + 1);
    return index;
  }
  void note_held(std::size_t held) noexcept {
    std::size_t most = most_held_.load(std::memory_order_relaxed);
    while (held > most && !most_held_.compare_exchange_weak(most, held, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] std::size_t try_take_queued() noexcept;
  void give_back_queued(std::size_t index) noexcept;
  [[nodiscard]] std::size_t take_free() noexcept;
  void put_free(std::size_t index) noexcept;
  [[nodiscard]] std::size_t held() const noexcept;
  void one_has_left() noexcept;
  void stay_queued() noexcept;
  struct leaving {
    wait_node* threads;
    wait_node* others;
  };
  [[nodiscard]] leaving close_locked() noexcept;
  static void end(leaving const& all) noexcept;

  std::atomic<std::uint64_t> word_;  // the free ones, if all fit; its highest bit: somebody waits, or all have to lock
  std::atomic<std::size_t> most_held_{0};
  std::size_t const size_;
  adaptive_mutex mutable mutex_;
  // Guarded by mutex_:
  wait_list<index_waiter> waiting_;
  std::size_t retired_ = 0;
  bool closed_ = false;
  bool stays_queued_ = false;
  std::vector<std::uint64_t> free_;  // with more than fit into the word; a bit each
  std::size_t free_from_ = 0;        // no element of free_ below has a bit
  std::size_t free_count_ = 0;       // bits in free_
};

}  // namespace penstock::detail
