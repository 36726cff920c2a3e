// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace penstock {

/// Exact counts of a stage's items since it was constructed. Taken while items move, the four belong to slightly
/// different moments; of a stage at rest they are consistent.
struct stage_stats {
  std::uint64_t queued = 0;   ///< scattered, body not started, or waiting for the next attempt
  std::uint64_t running = 0;  ///< in a body now
  std::uint64_t done = 0;     ///< finished with a value
  std::uint64_t failed = 0;   ///< finished without one: the body threw, an input failed, or it was cancelled
  std::uint64_t retried = 0;  ///< attempts begun after the first, of all items
  std::uint64_t dropped = 0;  ///< finished without a value by the body's choice, or that of an input's
  /// Bodies started although results had reached .capacity_bytes: nobody could have taken one of these otherwise.
  std::uint64_t over_budget = 0;
};

}  // namespace penstock
