// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace penstock::detail {

/// What a wait without a time-out has as its deadline.
inline constexpr std::chrono::steady_clock::time_point no_deadline = std::chrono::steady_clock::time_point::max();

/// When a wait that starts now and lasts `timeout` is over; one that does not fit lasts for ever.
template <class Rep, class Period>
[[nodiscard]] std::chrono::steady_clock::time_point deadline_after(std::chrono::duration<Rep, Period> timeout) {
  using clock = std::chrono::steady_clock;
  clock::time_point const now = clock::now();
  using seconds = std::chrono::duration<double>;
  if (seconds{timeout} >= seconds{clock::time_point::max() - now}) return no_deadline;
  return now + std::chrono::ceil<clock::duration>(timeout);
}

/// The same moment on steady_clock: another clock's, as far away as it is now.
template <class Clock, class Duration>
[[nodiscard]] std::chrono::steady_clock::time_point steady_deadline(std::chrono::time_point<Clock, Duration> deadline) {
  return deadline_after(deadline - Clock::now());
}

}  // namespace penstock::detail
