// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

/// Waits with a deadline. They are registered in a table by the cell's address instead of at the cell, so that one that
/// is given up leaves nothing behind, and an item that nobody waits for in this way costs one look at a counter.
namespace penstock::detail::timed_waits {

/// Blocks until `arrived()` or the deadline; `arrived` is called with a lock held, now and each time that the cell at
/// `address`, or another one of the same bucket, has ended. Returns what it said last.
[[nodiscard]] bool wait(void const* address, std::chrono::steady_clock::time_point deadline, auto const& arrived);
/// The cell that was at this address has ended.
void notify(void const* address) noexcept;

namespace table {

struct alignas(64) bucket {
  std::mutex mutex;
  std::condition_variable ended;
};
extern std::atomic<int> waiting;  // in all buckets
[[nodiscard]] bucket& of(void const* address) noexcept;

}  // namespace table

inline void notify_if_any(void const* address) noexcept {
  if (table::waiting.load(std::memory_order_seq_cst) > 0) notify(address);
}

bool wait(void const* address, std::chrono::steady_clock::time_point deadline, auto const& arrived) {
  table::bucket& here = table::of(address);
  table::waiting.fetch_add(1, std::memory_order_seq_cst);  // before `arrived` looks
  bool found = false;
  {
    std::unique_lock lock{here.mutex};
    found = here.ended.wait_until(lock, deadline, arrived);
  }
  table::waiting.fetch_sub(1, std::memory_order_relaxed);
  return found;
}

}  // namespace penstock::detail::timed_waits
