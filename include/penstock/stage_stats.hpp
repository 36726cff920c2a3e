// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/duration_summary.hpp>

#include <cstdint>

namespace penstock {

/// Exact counts of a stage's items since it was constructed, and how long items took. Taken while items move, the counts
/// belong to slightly different moments; of a stage at rest they are consistent.
///
/// `busy` and `wait` are of items whose bodies have ended. In a stage whose bodies take 20 us or more, every item is
/// measured. In others that would cost too much: there one item in 64 (those with an index that 64 divides) stands for 64,
/// and what is long is caught besides, by the ticks of the engine's clock, a little more than 1 ms apart. A wait or a body
/// with two ticks in it is caught, so none is missed from a little more than 2 ms on, and what is caught has taken more
/// than 1 ms; it may be measured up to one tick too long. Where the machine has too much to do, ticks come later. A new
/// stage measures every item until it knows how long its bodies take. A sampled item stands for those only that were not
/// caught, so none counts twice. A batch is measured as if it were its first item, and the only one.
struct stage_stats {
  std::uint64_t queued = 0;   ///< scattered, body not started, or waiting for the next attempt
  std::uint64_t running = 0;  ///< in a body now
  std::uint64_t done = 0;     ///< finished with a value
  std::uint64_t failed = 0;   ///< finished without one: the body threw, an input failed, or it was cancelled
  std::uint64_t retried = 0;  ///< attempts begun after the first, of all items
  std::uint64_t dropped = 0;  ///< finished without a value by the body's choice, or that of an input's
  /// Bodies started although results had reached .capacity_bytes: nobody could have taken one of these otherwise.
  std::uint64_t over_budget = 0;

  /// How long bodies ran. Attempts without .backoff between them count as one, others each. What a body waits for, counts.
  duration_summary busy;
  /// How long items waited from the moment when their inputs were there until their body started (the first attempt):
  /// for a place among the running ones, and a thread. None for bodies that run in scatter itself.
  duration_summary wait;
};

}  // namespace penstock
