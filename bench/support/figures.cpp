// SPDX-License-Identifier: Apache-2.0
#include "bench/support/figures.hpp"

#include <errno.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace support {

double median(figures values) {
  std::ranges::sort(values);
  std::size_t const half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void give_up(std::string_view why) noexcept {
  std::fprintf(stderr, "%s: %.*s\n", program_invocation_short_name, static_cast<int>(why.size()), why.data());
  std::abort();
}

}  // namespace support
