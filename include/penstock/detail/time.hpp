// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace penstock::detail {

/// When a wait that starts now and lasts `timeout` is over; one that does not fit lasts for ever.
template <class Rep, class Period>
[[nodiscard]] std::chrono::steady_clock::time_point deadline_after(std::chrono::duration<Rep, Period> timeout) {
  using clock = std::chrono::steady_clock;
  clock::time_point const now = clock::now();
  using seconds = std::chrono::duration<double>;
  if (seconds{timeout} >= seconds{clock::time_point::max() - now}) return clock::time_point::max();
  return now + std::chrono::ceil<clock::duration>(timeout);
}

}  // namespace penstock::detail
