// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/entrance.hpp>
#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/time.hpp>

#include <chrono>
#include <cstddef>
#include <mutex>
#include <shared_mutex>

namespace penstock {

class rw_lock;

namespace detail {
template <class Lock>
concept timed_lockable =
    requires(Lock& lock, std::chrono::steady_clock::time_point deadline) { lock.try_lock_until(deadline); };
}  // namespace detail

/// Whether only the thread that locked a Lock may unlock it. Specialise it for such a lock of your own.
template <class Lock>
inline constexpr bool owned_by_a_thread = false;
template <>
inline constexpr bool owned_by_a_thread<std::mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<std::timed_mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<std::recursive_mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<std::recursive_timed_mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<std::shared_mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<std::shared_timed_mutex> = true;
template <>
inline constexpr bool owned_by_a_thread<rw_lock> = true;

/// Lets any number of threads into a room, and keeps a Lock while somebody is in it: the first to come in locks, the last to
/// go out unlocks, as with the light of a room (A. B. Downey, "The Little Book of Semaphores", section 4.2).
///
///     unowned_mutex occupied;
///     light_switch restroom{occupied};
///     { std::lock_guard inside{restroom}; ... }      // people: many at once
///     { std::lock_guard cleaning{occupied}; ... }    // the janitor: when nobody is inside
///
/// Lockable, and TimedLockable if Lock is: lock() enters, unlock() leaves. While somebody is inside it blocks nobody, so a
/// crowd that never ends keeps the janitor out for ever; rw_lock is fair to both. While the first waits for the Lock,
/// others who call lock() wait with it and go in with it, or take its place if it gives up.
///
/// Thread-safe. Refers to the Lock, which has to outlive it, and whose last unlock() may come from another thread than its
/// lock(): an unowned_mutex or a queue_lock. Lock::try_lock() must not block.
template <class Lock>
class PENSTOCK_CAPABILITY("mutex") light_switch {
  static_assert(
      !owned_by_a_thread<Lock>,
      "light_switch: the last one out unlocks, often on another thread than the first one in, which this lock "
      "forbids. Use penstock::unowned_mutex, or penstock::queue_lock.");

 public:
  explicit light_switch(Lock& lock) noexcept : lock_{lock} {}
  light_switch(light_switch const&) = delete;
  light_switch& operator=(light_switch const&) = delete;
  /// Nobody may be inside.
  ~light_switch() = default;

  /// Enters; blocks while the Lock is somebody else's. What Lock::lock() throws leaves it as it was.
  void lock() PENSTOCK_ACQUIRES {
    (void)enter_by(detail::no_deadline, [this]() PENSTOCK_UNCHECKED {
      lock_.lock();
      return true;
    });
  }
  /// Enters if that takes no waiting; does not block, also while another waits for the Lock.
  [[nodiscard]] bool try_lock() PENSTOCK_TRY_ACQUIRES {
    return inside_.try_enter([this] { return lock_.try_lock(); });
  }
  /// Enters, or gives up after `timeout`, which is for all of it: whether it has entered.
  template <class Rep, class Period>
    requires detail::timed_lockable<Lock>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) PENSTOCK_TRY_ACQUIRES {
    return enter_until(detail::deadline_after(timeout));
  }
  /// The same, until `deadline`. Of another clock than steady_clock, it is converted when the call begins.
  template <class Clock, class Duration>
    requires detail::timed_lockable<Lock>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) PENSTOCK_TRY_ACQUIRES {
    return enter_until(detail::steady_deadline(deadline));
  }
  /// Leaves; the last one unlocks the Lock. Throws std::logic_error when nobody is inside.
  void unlock() PENSTOCK_RELEASES {
    if (inside_.leave()) lock_.unlock();
  }

  /// How many are inside.
  [[nodiscard]] std::size_t count() const noexcept { return inside_.count(); }
  /// How many wait to come in.
  [[nodiscard]] std::size_t waiting() const noexcept { return inside_.waiting(); }

 private:
  [[nodiscard]] bool enter_until(std::chrono::steady_clock::time_point deadline) {
    return enter_by(deadline, [this, deadline] { return lock_.try_lock_until(deadline); });
  }
  // `lead()` locks the Lock for all who wait, and says whether it has.
  [[nodiscard]] bool enter_by(std::chrono::steady_clock::time_point deadline, auto const& lead) {
    auto const how = inside_.enter([this] { return lock_.try_lock(); }, deadline);
    if (how != detail::entrance::entry::leads) return how == detail::entrance::entry::inside;
    bool has_led = false;
    try {
      has_led = lead();
    } catch (...) {
      inside_.gave_up();
      throw;
    }
    if (has_led) inside_.led();
    else inside_.gave_up();
    return has_led;
  }

  Lock& lock_;
  detail::entrance inside_;
};

}  // namespace penstock
