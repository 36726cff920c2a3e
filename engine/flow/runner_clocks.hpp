// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace penstock::detail {

/// The processor time of the threads that run bodies. Each is asked by its own clock: Linux brings the one of the whole
/// process up to date only at its own ticks, which are 4 ms apart on many systems, and counts nothing in between.
/// Thread-safe; blocks for moments. Lives as long as the program.
class runner_clocks {
 public:
  static runner_clocks& instance();

  /// Counts the calling thread in until it ends; once is enough.
  static void count_this_thread() noexcept;
  /// How many processors the threads have used on average since the last call; 0 at the first, and where there are
  /// more than most_asked: a crowd that large waits rather than computes.
  [[nodiscard]] double used() noexcept;

 private:
  class member;

  static constexpr std::size_t most_asked = 128;

  std::mutex mutex_;
  member* first_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t asked_at_ns_ = 0;
};

}  // namespace penstock::detail
