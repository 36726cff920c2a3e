// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/sync/futex.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::detail {

/// Where one thread waits to be woken once: spins briefly, then sleeps.
///
/// Lives on the waiter's stack, and may be gone as soon as wake() has written: from then on only its address is used, which
/// the kernel may find to be somebody else's. Such a sleeper looks at its own word and sleeps on. What the waker wrote
/// before wake() is seen after the wait.
class parker {
 public:
  void wake() noexcept {
    futex_word const* const address = &state_;
    if (state_.exchange(woken, std::memory_order_acq_rel) == sleeps) futex_wake(address);
  }
  /// Whether it was woken. At the deadline it gives up, if `withdraw()` says that now nobody will wake it; if somebody has
  /// taken it out of the list already, and is about to, it waits for that.
  [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline, auto const& withdraw) noexcept {
    return sleeps_until(deadline) || (!withdraw() && sleeps_until(no_deadline));
  }

 private:
  static constexpr std::uint32_t awake = 0;
  static constexpr std::uint32_t sleeps = 1;
  static constexpr std::uint32_t woken = 2;
  static constexpr int most_spins = 64;  // about what going to sleep costs

  // Whether it was woken; false at the deadline.
  [[nodiscard]] bool sleeps_until(std::chrono::steady_clock::time_point deadline) noexcept {
    if (!fall_asleep()) return true;
    while (!is_woken()) {
      if (has_passed(deadline)) return false;
      futex_wait(state_, sleeps, deadline);
    }
    return true;
  }
  [[nodiscard]] bool is_woken() const noexcept { return state_.load(std::memory_order_acquire) == woken; }
  // False when it is woken already.
  [[nodiscard]] bool fall_asleep() noexcept {
    for (int spins = 0; spins < most_spins; ++spins) {
      if (is_woken()) return false;
      spin_pause();
    }
    std::uint32_t was = awake;
    state_.compare_exchange_strong(was, sleeps, std::memory_order_acq_rel, std::memory_order_acquire);
    return was != woken;  // it sleeps already when it waits again, after a deadline
  }

  futex_word state_{awake};
};

}  // namespace penstock::detail
