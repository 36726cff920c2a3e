// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace penstock {

/// How far a gather has come: counts of its items.
struct progress {
  std::uint64_t done = 0;    ///< finished with a value, or dropped
  std::uint64_t failed = 0;  ///< finished without one
  std::uint64_t total = 0;   ///< all
};

/// How to gather; an aggregate for designated initialisers: `stage.gather({.progress = show})`.
struct gather_options {
  /// Called on the gathering thread: at the start, and as items finish, once for those that finished since the last call.
  /// The last call has done + failed == total. What it throws leaves gather when all items have finished; they can be
  /// gathered again then.
  std::function<void(penstock::progress const&)> progress{};
};

}  // namespace penstock
