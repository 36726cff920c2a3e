// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <iterator>

namespace penstock::test {

/// Threads of this process now.
inline int thread_count() {
  std::filesystem::directory_iterator const tasks{"/proc/self/task"};
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace penstock::test
