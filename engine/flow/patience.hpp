// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/stage_state.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

#include <thread>

namespace penstock::detail {

/// How often a thread looks whether an item has ended.
inline constexpr int looks_before_sleep = 200;

/// Looks for what other threads are to do in `stage`, before this one sleeps: at most `most` times, and fewer while that has
/// not paid lately. It pays where they have a processor, and does not where they wait for this one's. While items wait,
/// it offers them its own now and then: when it comes back, much is there at once.
inline bool is_soon(auto const& arrived, int most, stage_state const& stage) noexcept(noexcept(arrived())) {
  constexpr int looks_before_yield = 64;
  constexpr unsigned enough_failures = 2;
  constexpr unsigned retried_every = 16;
  constexpr int few = 4;
  thread_local constinit unsigned failures = 0;  // in a row
  bool const is_hopeful = failures < enough_failures || failures % retried_every == 0;
  for (int i = 0; i < (is_hopeful ? most : few); ++i) {
    if (arrived()) {
      failures = 0;
      return true;
    }
    spin_pause();
    if (i % looks_before_yield == looks_before_yield - 1 && stage.is_backed_up()) std::this_thread::yield();
  }
  ++failures;
  return false;
}

}  // namespace penstock::detail
