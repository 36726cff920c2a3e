// SPDX-License-Identifier: Apache-2.0
#include <penstock/usable_processors.hpp>

#include <sched.h>

#include <algorithm>
#include <thread>

namespace penstock {

int usable_processors() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Fails on machines with more processors than the set has room for.
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace penstock
