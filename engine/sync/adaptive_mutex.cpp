// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/adaptive_mutex.hpp>

#include "engine/sync/futex.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::detail {

bool adaptive_mutex::lock_contended(std::chrono::steady_clock::time_point deadline) noexcept {
  for (int spins = 0; spins < 64; ++spins) {
    if (state_.load(std::memory_order_relaxed) == free && try_lock()) return true;
    spin_pause();
  }
  while (state_.exchange(held_with_sleepers, std::memory_order_acquire) != free) {
    // Given up, the state still tells of a sleeper: the next to unlock wakes nobody, or another one, for nothing.
    if (has_passed(deadline)) return false;
    futex_wait(state_, held_with_sleepers, deadline);
  }
  return true;
}

void adaptive_mutex::wake_one(std::atomic<std::uint32_t> const* address) noexcept { futex_wake(address); }

}  // namespace penstock::detail
