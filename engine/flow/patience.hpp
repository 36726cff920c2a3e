// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>

namespace penstock::detail {

/// How often a thread looks whether an item has ended.
inline constexpr int looks_before_sleep = 200;

/// Looks for what another thread is to do, before this one sleeps: at most `most` times, and fewer while that has not paid
/// lately. It pays where the other thread has a processor, and does not where it waits for this one's.
inline bool is_soon(auto const& arrived, int most) noexcept(noexcept(arrived())) {
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
  }
  ++failures;
  return false;
}

}  // namespace penstock::detail
