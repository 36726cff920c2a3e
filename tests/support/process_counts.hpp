// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace penstock::test {

/// Threads of this process now.
inline int thread_count() {
  std::filesystem::directory_iterator const tasks{"/proc/self/task"};
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

/// Open file descriptors of this process now.
inline int descriptor_count() {
  std::filesystem::directory_iterator const open{"/proc/self/fd"};
  return static_cast<int>(std::distance(begin(open), end(open))) - 1;  // the folder's own
}

/// Bytes of this process that are in memory now.
inline std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream{"/proc/self/statm"} >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace penstock::test
