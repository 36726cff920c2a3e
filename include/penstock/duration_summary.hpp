// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace penstock {

/// How long something took: the percentiles of many durations. All zero when there was none.
///
/// p90 is the smallest duration that at least 90 % of them do not exceed (the nearest rank). Durations are counted in
/// classes, so a percentile may be off by up to 1/16 of the true one, either way; `max` is exact. Beyond 39 hours, which
/// is where the classes end, a percentile may be too small. Negative durations count as zero.
///
/// Where measuring every item would cost too much, one in so many is measured and stands for all of these. Then `count`
/// and the percentiles are estimates for all items, and `max` is the longest that was measured. Taken while durations
/// are recorded, those of that moment may be in it or not; p50 <= p90 <= p99 <= max holds always.
struct duration_summary {
  std::uint64_t count = 0;          ///< durations, those included that a measured one stands for
  std::chrono::nanoseconds p50{0};  ///< the median
  std::chrono::nanoseconds p90{0};
  std::chrono::nanoseconds p99{0};
  std::chrono::nanoseconds max{0};  ///< the longest measured, exactly
};

}  // namespace penstock
