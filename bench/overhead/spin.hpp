// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace overhead {

/// The body of every stage: adds one, after a fixed amount of work. Work, not time: on a core that is shared it takes
/// longer, as real bodies do. Compiled apart, so that no candidate can inline it.
struct spin {
  long turns = 0;

  int operator()(int x) const noexcept;
};

/// How many turns take that long on a core of this machine. Best measured while nothing else runs.
long turns_in(std::chrono::nanoseconds wanted);

}  // namespace overhead
