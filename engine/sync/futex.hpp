// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/time.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>

// Linux's futex, for where std::atomic::wait() does not do: a word that may be gone by the time its waiter is woken.
namespace penstock::detail {

using futex_word = std::atomic<std::uint32_t>;
static_assert(sizeof(futex_word) == sizeof(std::uint32_t) && futex_word::is_always_lock_free);

/// Sleeps until somebody wakes the word, unless it is not `expected`. May return early: look at the word again.
inline void futex_wait(futex_word const& word, std::uint32_t expected) noexcept {
  (void)::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
/// The same, for no longer than `most`, which is less than a second.
inline void futex_wait(futex_word const& word, std::uint32_t expected, std::chrono::nanoseconds most) noexcept {
  timespec const relative{.tv_sec = 0, .tv_nsec = most.count()};
  (void)::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, &relative, nullptr, 0);
}
/// The same, until `deadline` at the latest.
inline void futex_wait(futex_word const& word, std::uint32_t expected,
                       std::chrono::steady_clock::time_point deadline) noexcept {
  if (deadline == no_deadline) return futex_wait(word, expected);  // the kernel sets no timer then
  auto const since_boot = std::max(deadline.time_since_epoch(), std::chrono::steady_clock::duration::zero());
  auto const seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
  timespec const absolute{.tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds{since_boot - seconds}.count()};
  (void)::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected, &absolute, nullptr, FUTEX_BITSET_MATCH_ANY);
}
/// Whether a wait until `deadline` is over. Does not look at the clock when there is none.
[[nodiscard]] inline bool has_passed(std::chrono::steady_clock::time_point deadline) noexcept {
  return deadline != no_deadline && std::chrono::steady_clock::now() >= deadline;
}
/// Wakes one thread that sleeps on the word with this address. Does not look at the word: it may be gone, or another one.
inline void futex_wake(futex_word const* address) noexcept {
  (void)::syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace penstock::detail
