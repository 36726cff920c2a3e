// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/spin.hpp"

#include "bench/overhead/measurement.hpp"

#include <algorithm>
#include <limits>

namespace overhead {

int spin::operator()(int x) const noexcept {
  // A chain of dependent multiplications, which the compiler has to leave alone.
  unsigned long state = 1;
  for (long i = 0; i < turns; ++i) {
    state = state * 6364136223846793005UL + 1;
    asm volatile("" : "+r"(state));
  }
  return x + 1;
}

long turns_in(std::chrono::nanoseconds wanted) {
  if (wanted.count() == 0) return 0;
  // The quickest of many short runs is one that nothing has disturbed.
  constexpr spin probe{200'000};
  double quickest = std::numeric_limits<double>::max();
  for (int i = 0; i < 100; ++i) {
    stopwatch const watch;
    (void)probe(i);
    quickest = std::min(quickest, watch.elapsed<std::chrono::nanoseconds>());
  }
  return static_cast<long>(static_cast<double>(wanted.count()) * static_cast<double>(probe.turns) / quickest);
}

}  // namespace overhead
