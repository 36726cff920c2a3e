// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/wait_list.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace penstock::detail {

/// Counts who is inside for a light_switch, and sees to it that one at a time gets the lock for all who come. That one leads;
/// others who come meanwhile wait for how it ends. If the leader gives up, who has waited longest leads. Thread-safe.
class entrance {
 public:
  entrance() = default;
  entrance(entrance const&) = delete;
  entrance& operator=(entrance const&) = delete;
  ~entrance() = default;

  /// Enters if somebody is inside, or `try_lock()` says yes and nobody leads. Does not block.
  [[nodiscard]] bool try_enter(auto const& try_lock) {
    std::lock_guard const lock{mutex_};
    return enter_at_once(try_lock);
  }

  enum class entry : std::uint8_t { inside, leads, timed_out };
  /// The same, but waits for a leader, or becomes it: who leads calls led() or gave_up() next.
  [[nodiscard]] entry enter(auto const& try_lock, std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock{mutex_};
    if (enter_at_once(try_lock)) return entry::inside;
    if (has_leader_) return wait(lock, deadline);
    has_leader_ = true;
    return entry::leads;
  }
  /// The leader has the lock: it is inside, and so are all who wait.
  void led() noexcept;
  /// The leader does not have it.
  void gave_up() noexcept;

  /// Whether who leaves was the last one, and has to give the lock back. Throws std::logic_error when nobody is inside.
  [[nodiscard]] bool leave();
  [[nodiscard]] std::size_t count() const noexcept;
  [[nodiscard]] std::size_t waiting() const noexcept;  // the leader included

 private:
  struct waiter;

  [[nodiscard]] bool enter_at_once(auto const& try_lock) {
    if (inside_ == 0 && (has_leader_ || !try_lock())) return false;
    ++inside_;
    return true;
  }
  [[nodiscard]] entry wait(std::unique_lock<adaptive_mutex>& lock,
                           std::chrono::steady_clock::time_point deadline) noexcept;  // unlocks

  adaptive_mutex mutable mutex_;
  // Guarded by mutex_:
  std::size_t inside_ = 0;
  bool has_leader_ = false;
  wait_list<waiter> waiting_;  // for the leader
};

}  // namespace penstock::detail
