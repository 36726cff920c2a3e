// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
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

/// A one-word mutex (Lockable) for critical sections of a few instructions: spins briefly, then sleeps.
/// The three states are those of U. Drepper, "Futexes Are Tricky" (2011), section 5.
class adaptive_mutex {
 public:
  adaptive_mutex() = default;
  adaptive_mutex(adaptive_mutex const&) = delete;
  adaptive_mutex& operator=(adaptive_mutex const&) = delete;

  void lock() noexcept {
    if (!try_lock()) lock_contended();
  }
  bool try_lock() noexcept {
    std::uint32_t expected = free;
    return state_.compare_exchange_strong(expected, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void unlock() noexcept {
    if (state_.exchange(free, std::memory_order_release) == held_with_sleepers) state_.notify_one();
  }

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t held_with_sleepers = 2;

  void lock_contended() noexcept {
    for (int spins = 0; spins < 64; ++spins) {
      if (state_.load(std::memory_order_relaxed) == free && try_lock()) return;
      spin_pause();
    }
    while (state_.exchange(held_with_sleepers, std::memory_order_acquire) != free) {
      state_.wait(held_with_sleepers, std::memory_order_relaxed);
    }
  }

  std::atomic<std::uint32_t> state_{free};
};

}  // namespace penstock::detail
