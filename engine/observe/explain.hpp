// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/observe/stage_timer.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock::detail {

/// What is known of one stage of a chain.
struct stage_figures {
  std::string name;
  int concurrency = 1;
  std::size_t capacity = 1;
  bool runs_inline = false;               // its bodies run in scatter itself
  std::uint64_t finished = 0;             // items
  std::uint64_t in_bodies = 0;            // items that run now
  std::uint64_t ready = 0;                // items that could run now, and wait
  std::chrono::nanoseconds ready_for{0};  // how long these have waited, in sum
  std::chrono::nanoseconds longest_ready_for{0};
  timing_figures timing;
  std::vector<std::size_t> inputs;  // the stages that items come from, by their place in the chain
};

/// What is the matter with a chain, and what to do.
struct advice {
  enum class finding : std::uint8_t {
    too_few,       ///< items have run to tell
    source,        ///< nothing waits for the stages: what scatters is slower
    width,         ///< the stage has too few slots
    processors,    ///< they have no time left for more bodies at once
    short_bodies,  ///< handing an item over costs more than to run it
  };
  struct change {
    std::size_t stage = 0;
    int concurrency = 0;       ///< 0: leave it
    std::size_t capacity = 0;  ///< 0: leave it
  };

  finding what = finding::too_few;
  std::size_t stage = 0;  ///< the bottleneck
  double taken = 0;       ///< the share of time for which its slots were taken
  double share_of_waiting =
      0;                ///< of the time that items of the whole chain have waited, ready, the part in this stage
  double speed_up = 1;  ///< what the changes together may bring at most
  std::vector<change> changes;  ///< that of the bottleneck first
};

/// Finds the bottleneck. A stage passes at most one item in (mean body time / slots), so the stage where that is longest
/// bounds the chain, whatever its queue looks like at the moment. Slots are .concurrency, or what .capacity lets in: its
/// own, and that of the stages behind it, which take a place for an item when it is scattered. The width to try is the
/// one at which the next slower stage bounds the chain, or the processors do, whose need is measured: the time that
/// threads compute in bodies. At most eight times the present one: what is in the way then was not seen before.
/// `chain` must not be empty.
[[nodiscard]] advice advise(std::vector<stage_figures> const& chain, int processors);

/// The same in plain words.
[[nodiscard]] std::string explain(std::vector<stage_figures> const& chain, int processors);

}  // namespace penstock::detail
