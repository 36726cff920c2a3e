// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/time.hpp>
#include <penstock/detail/wait_list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace penstock {

/// Lets many threads read, or one write.
///
///     rw_lock table_lock;
///     { std::shared_lock reading{table_lock}; ... }
///     { std::unique_lock writing{table_lock}; ... }
///
/// Fair to both, by phases (B. B. Brandenburg and J. H. Anderson, "Reader-Writer Synchronization for Shared-Memory
/// Multiprocessor Real-Time Systems", 2009): while a writer waits, readers that come are kept out; when it is done, all readers
/// that wait go in together, and then the next writer. So a reader waits for one writer at most, and writers, among
/// themselves, have the order in which they came. Who gives up after a time-out leaves as if never there.
///
/// SharedTimedLockable: for std::shared_lock, std::unique_lock, std::lock_guard, std::scoped_lock. A thread gives back itself
/// what it has locked: so it is not to be held across a `co_await`, after which another may run. One that reads may
/// lock_shared() again, also while a writer waits. One that reads and asks to write, in whatever way, gets a
/// std::logic_error, as it would wait for itself; so does one that writes and calls lock() or lock_shared().
class PENSTOCK_CAPABILITY("rw_lock") rw_lock {
 public:
  rw_lock() = default;
  rw_lock(rw_lock const&) = delete;
  rw_lock& operator=(rw_lock const&) = delete;
  /// Ends the program with a message if a thread has it locked.
  ~rw_lock();

  // --- to write ---

  /// Blocks until this thread alone has it. Throws std::logic_error if this thread has it already, to read or to write.
  void lock() PENSTOCK_ACQUIRES;
  /// Does not block: whether this thread has it now. Throws std::logic_error if it reads.
  [[nodiscard]] bool try_lock() PENSTOCK_TRY_ACQUIRES;
  /// Blocks for as long as `timeout` at most: whether this thread has it now. Throws std::logic_error if it reads.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) PENSTOCK_TRY_ACQUIRES {
    return write_until(detail::deadline_after(timeout));
  }
  /// The same, until `deadline`. Of another clock than steady_clock, it is converted when the call begins.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) PENSTOCK_TRY_ACQUIRES {
    return write_until(detail::steady_deadline(deadline));
  }
  /// Throws std::logic_error if this thread does not write.
  void unlock() PENSTOCK_RELEASES;

  // --- to read ---

  /// Blocks until this thread may read. Throws std::logic_error if it writes.
  void lock_shared() PENSTOCK_ACQUIRES_SHARED;
  /// Does not block: whether this thread may read now. Not while a writer waits, unless it reads already.
  [[nodiscard]] bool try_lock_shared() PENSTOCK_TRY_ACQUIRES_SHARED;
  /// Blocks for as long as `timeout` at most: whether this thread may read now.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> timeout) PENSTOCK_TRY_ACQUIRES_SHARED {
    return read_until(detail::deadline_after(timeout));
  }
  /// The same, until `deadline`.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> deadline)
      PENSTOCK_TRY_ACQUIRES_SHARED {
    return read_until(detail::steady_deadline(deadline));
  }
  /// Throws std::logic_error if this thread does not read.
  void unlock_shared() PENSTOCK_RELEASES_SHARED;

  /// How many wait for it now, to read or to write.
  [[nodiscard]] std::size_t waiting() const noexcept;

 private:
  struct waiter;

  // What word_ holds: how many read, or that one writes; and that somebody waits, which sends everybody to the mutex.
  static constexpr std::uint32_t writing = std::uint32_t{1} << 30U;
  static constexpr std::uint32_t queued = std::uint32_t{1} << 31U;

  [[nodiscard]] bool write_until(std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] bool read_until(std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] bool enter_to_write() noexcept;
  [[nodiscard]] bool enter_to_read() noexcept;
  [[nodiscard]] bool enters_by_waiting(bool to_write, std::chrono::steady_clock::time_point deadline) noexcept;
  [[nodiscard]] bool give_up(waiter& self, bool to_write) noexcept;
  void leave(std::uint32_t what) noexcept;
  [[nodiscard]] bool leave_queued(std::uint32_t what) noexcept;
  void set_inside(std::uint32_t inside) noexcept;
  [[nodiscard]] detail::wait_node* admit_readers(std::uint32_t inside) noexcept;
  [[nodiscard]] detail::wait_node* admit_writer() noexcept;
  void refuse_upgrade() const;
  void refuse_own_writer(std::chrono::steady_clock::time_point deadline) const;

  std::atomic<std::uint32_t> word_{0};
  std::atomic<void const*> writer_{nullptr};  // the thread that writes
  detail::adaptive_mutex mutable mutex_;
  // Guarded by mutex_; with somebody in them, only who holds it changes word_:
  detail::wait_list<waiter> writers_;
  detail::wait_list<waiter> readers_;
};

}  // namespace penstock
