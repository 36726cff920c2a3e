// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/index_queue.hpp>
#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/time.hpp>

#include <chrono>
#include <cstddef>
#include <stdexcept>

namespace penstock {

/// A mutex that is locked in the order in which threads came for it.
///
/// TimedLockable: for std::lock_guard, std::unique_lock, std::scoped_lock. Not recursive. unlock() hands it over to who has
/// waited longest, so nobody can be quicker; who gives up leaves the queue as if never there. Under contention each
/// hand-over may cost a switch of threads: where order does not matter, unowned_mutex and std::mutex get more done.
/// Any thread may unlock it. The thread that unlocked it last may destroy it, even if an earlier unlock() is still about
/// to return.
class PENSTOCK_CAPABILITY("mutex") queue_lock {
 public:
  queue_lock() = default;
  queue_lock(queue_lock const&) = delete;
  queue_lock& operator=(queue_lock const&) = delete;
  ~queue_lock() = default;

  /// Blocks until it is this thread's turn.
  void lock() PENSTOCK_ACQUIRES { (void)lock_until(detail::no_deadline); }
  /// Does not block: whether it is locked now, by this call. Never, while others wait.
  [[nodiscard]] bool try_lock() noexcept PENSTOCK_TRY_ACQUIRES { return queue_.try_take() != detail::no_index; }
  /// Blocks for as long as `timeout` at most: whether it is locked now, by this call.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) PENSTOCK_TRY_ACQUIRES {
    return lock_until(detail::deadline_after(timeout));
  }
  /// The same, until `deadline`. Of another clock than steady_clock, it is converted when the call begins.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) PENSTOCK_TRY_ACQUIRES {
    return lock_until(detail::steady_deadline(deadline));
  }
  /// Throws std::logic_error if nobody has it locked.
  void unlock() PENSTOCK_RELEASES {
    if (!queue_.give_back(0)) throw std::logic_error{"queue_lock: unlock() of one that is not locked"};
  }

  /// How many wait for it now.
  [[nodiscard]] std::size_t waiting() const noexcept { return queue_.count().waiting; }

 private:
  [[nodiscard]] bool lock_until(std::chrono::steady_clock::time_point deadline) noexcept {
    return queue_.try_take() != detail::no_index || queue_.take(deadline).index != detail::no_index;
  }

  detail::index_queue queue_{1};
};

}  // namespace penstock
