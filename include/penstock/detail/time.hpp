// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <type_traits>

namespace penstock::detail {

/// What a wait without a time-out has as its deadline.
inline constexpr std::chrono::steady_clock::time_point no_deadline = std::chrono::steady_clock::time_point::max();

/// A longer time-out counts as none. Short enough to be added to any time of steady_clock.
inline constexpr std::chrono::duration<double> longest_timeout = std::chrono::years{100};

/// When a wait that starts now and lasts `timeout` is over: now, of one that is not positive.
template <class Rep, class Period>
[[nodiscard]] std::chrono::steady_clock::time_point deadline_after(std::chrono::duration<Rep, Period> timeout) {
  using clock = std::chrono::steady_clock;
  clock::time_point const now = clock::now();
  std::chrono::duration<double> const seconds = timeout;  // which does not overflow
  if (!(seconds.count() > 0)) return now;                 // what is not a number, too
  if (seconds >= longest_timeout) return no_deadline;
  return now + std::chrono::ceil<clock::duration>(timeout);
}

/// The same moment on steady_clock: another clock's, as far away as it is now.
template <class Clock, class Duration>
[[nodiscard]] std::chrono::steady_clock::time_point steady_deadline(std::chrono::time_point<Clock, Duration> deadline) {
  using steady_time = std::chrono::steady_clock::time_point;
  if constexpr (std::is_same_v<std::chrono::time_point<Clock, Duration>, steady_time>) {
    return deadline;
  } else {
    using seconds = std::chrono::duration<double>;
    auto const now = Clock::now();
    seconds const left = seconds{deadline.time_since_epoch()} - seconds{now.time_since_epoch()};
    if (left < -longest_timeout || left > longest_timeout) return deadline_after(left);  // the difference may not fit
    return deadline_after(deadline - now);
  }
}

}  // namespace penstock::detail
