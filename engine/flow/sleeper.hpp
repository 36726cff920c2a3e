// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/body_frame.hpp"
#include "engine/sync/futex.hpp"

#include <penstock/detail/cell.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace penstock::detail {

/// The wake-ups that a runner's thread owes to sleepers. Where bodies are short, one costs as much as hundreds of them, and a
/// thread that is woken for each item keeps the runner from the next one, if they share a processor. So they are put off
/// until there is nothing else to serve, a body may be long, or many items have been served meanwhile.
/// See docs/decisions/0011-late-wake-ups.md.
class late_wakes {
 public:
  /// While it lives, this thread is a runner's.
  class runner {
   public:
    runner() noexcept { mine.is_runner_ = true; }
    runner(runner const&) = delete;
    runner& operator=(runner const&) = delete;
    ~runner() {
      flush();
      mine.is_runner_ = false;
    }
  };

  /// Puts one off; false when the caller is to see to it.
  [[nodiscard]] static bool put_off(futex_word const* address) noexcept {
    if (!mine.is_runner_ || innermost_body != nullptr || mine.size_ == mine.addresses_.size()) return false;
    if (mine.size_ == 0) mine.items_ = 0;
    mine.addresses_[mine.size_++] = address;
    return true;
  }
  /// This thread has served more items.
  static void count(std::uint32_t items) noexcept {
    if (mine.size_ == 0) return;
    mine.items_ += items;
    if (mine.items_ >= most_items) mine.wake_all();
  }
  static void flush() noexcept {
    if (mine.size_ > 0) mine.wake_all();
  }

 private:
  static constexpr std::uint32_t most_items = 256;

  void wake_all() noexcept {
    for (std::size_t i = 0; i < size_; ++i) futex_wake(addresses_[i]);
    size_ = 0;
  }

  static thread_local constinit late_wakes mine;

  std::array<futex_word const*, 8> addresses_{};
  std::size_t size_ = 0;
  std::uint32_t items_ = 0;  // served since the first was put off
  bool is_runner_ = false;
};
inline thread_local constinit late_wakes late_wakes::mine{};

/// Lets one thread sleep until it is notified once. Wakes by itself after a millisecond if that was meanwhile, so that a
/// wake-up that was put off, by a runner which then got into a long body, is no later than that.
///
/// Must outlive the write in notify(), not the wake-up, which knows the address alone: a thread that runs as soon as it is
/// woken, on the processor of who wakes it, would otherwise have to wait for who wakes it in turn.
class sleeper final : public waiter {
 public:
  cell* notify() noexcept override {
    futex_word const* const address = &state_;
    std::uint32_t const was = state_.exchange(notified, std::memory_order_acq_rel);
    if (was == sleeps || (was == dozes && !late_wakes::put_off(address))) futex_wake(address);
    return nullptr;
  }
  void sleep() noexcept {
    if (!turn(awake, dozes)) return;
    futex_wait(state_, dozes, doze);
    if (!turn(dozes, sleeps)) return;
    while (state_.load(std::memory_order_acquire) == sleeps) futex_wait(state_, sleeps);
  }

 private:
  static constexpr std::uint32_t awake = 0;
  static constexpr std::uint32_t dozes = 1;
  static constexpr std::uint32_t sleeps = 2;
  static constexpr std::uint32_t notified = 3;
  static constexpr auto doze = std::chrono::milliseconds{1};

  // False when it has been notified.
  [[nodiscard]] bool turn(std::uint32_t from, std::uint32_t to) noexcept {
    return state_.compare_exchange_strong(from, to, std::memory_order_acq_rel, std::memory_order_acquire);
  }

  futex_word state_{awake};
};

}  // namespace penstock::detail
