// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

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
/// Wakes one thread that sleeps on the word with this address. Does not look at the word: it may be gone, or another one.
inline void futex_wake(futex_word const* address) noexcept {
  (void)::syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace penstock::detail
