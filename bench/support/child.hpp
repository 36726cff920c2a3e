// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

// Processes of the benchmark's own. They end with it, however it ends. To be made while the program has one thread.
namespace support {

/// Runs a program, waits for it, and returns what it wrote to stdout; its stderr is ours. Throws std::runtime_error when
/// it cannot be run, fails, or takes more than five minutes.
std::string output_of(std::vector<std::string> const& command);

/// Keeps one core, the last one that this process may use, busy while it lives. Throws std::system_error.
class busy_core {
 public:
  busy_core();
  busy_core(busy_core const&) = delete;
  busy_core& operator=(busy_core const&) = delete;
  ~busy_core();

 private:
  pid_t process_;
};

}  // namespace support
