// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/time.hpp>

#include <chrono>
#include <stdexcept>

namespace penstock {

/// A mutex that any thread may unlock, not only the one that locked it: what a light_switch needs.
///
/// TimedLockable: for std::lock_guard, std::unique_lock, std::scoped_lock. Not recursive. Fast, not fair: those who wait have
/// no order, and a thread that comes by when it is unlocked may be quicker than who waits; queue_lock has an order.
/// The thread that unlocked it last may destroy it, even if an earlier unlock() is still about to return.
class PENSTOCK_CAPABILITY("mutex") unowned_mutex {
 public:
  unowned_mutex() = default;
  unowned_mutex(unowned_mutex const&) = delete;
  unowned_mutex& operator=(unowned_mutex const&) = delete;
  ~unowned_mutex() = default;

  /// Blocks until it is locked.
  void lock() noexcept PENSTOCK_ACQUIRES { mutex_.lock(); }
  /// Does not block: whether it is locked now, by this call.
  [[nodiscard]] bool try_lock() noexcept PENSTOCK_TRY_ACQUIRES { return mutex_.try_lock(); }
  /// Blocks for as long as `timeout` at most: whether it is locked now, by this call.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) PENSTOCK_TRY_ACQUIRES {
    return mutex_.try_lock() || mutex_.try_lock_until(detail::deadline_after(timeout));
  }
  /// The same, until `deadline`. Of another clock than steady_clock, it is converted when the call begins.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) PENSTOCK_TRY_ACQUIRES {
    return mutex_.try_lock() || mutex_.try_lock_until(detail::steady_deadline(deadline));
  }
  /// Throws std::logic_error if nobody has it locked.
  void unlock() PENSTOCK_RELEASES {
    if (!mutex_.release()) throw std::logic_error{"unowned_mutex: unlock() of one that is not locked"};
  }

 private:
  detail::adaptive_mutex mutex_;
};

}  // namespace penstock
