// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/thread_safety.hpp>
#include <penstock/detail/time.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::detail {

/// Tells the processor that this is a spin loop.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// A one-word mutex (Lockable) for critical sections of a few instructions: spins briefly, then sleeps. Any thread may
/// unlock it. No order among those who wait.
/// The three states are those of U. Drepper, "Futexes Are Tricky" (2011), section 5.
class PENSTOCK_CAPABILITY("mutex") adaptive_mutex {
 public:
  adaptive_mutex() = default;
  adaptive_mutex(adaptive_mutex const&) = delete;
  adaptive_mutex& operator=(adaptive_mutex const&) = delete;

  void lock() noexcept PENSTOCK_ACQUIRES {
    if (!try_lock()) (void)lock_contended(no_deadline);
  }
  bool try_lock() noexcept PENSTOCK_TRY_ACQUIRES {
    std::uint32_t expected = free;
    return state_.compare_exchange_strong(expected, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  /// Whether it has been locked; false at the deadline.
  bool try_lock_until(std::chrono::steady_clock::time_point deadline) noexcept PENSTOCK_TRY_ACQUIRES {
    return try_lock() || lock_contended(deadline);
  }
  void unlock() noexcept PENSTOCK_RELEASES { (void)release(); }
  /// The same; false, and nothing else, when it was not locked.
  bool release() noexcept {
    std::uint32_t const was = state_.exchange(free, std::memory_order_release);
    if (was == held_with_sleepers) wake_one(&state_);
    return was != free;
  }

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t held_with_sleepers = 2;

  [[nodiscard]] bool lock_contended(std::chrono::steady_clock::time_point deadline) noexcept;
  static void wake_one(std::atomic<std::uint32_t> const* address) noexcept;  // whose mutex may be gone by now

  std::atomic<std::uint32_t> state_{free};
};

}  // namespace penstock::detail
