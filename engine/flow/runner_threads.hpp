// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace penstock::detail {

class runner_node;

/// Engine-owned threads for runners that find no arena slot: made on demand, retired after a quarter of a second without
/// work. Thread-safe; does not block. Lives as long as the program.
class runner_threads {
 public:
  /// Tells one thread of a posted wake-up. When no thread can be made, those there are will come to it; telling again
  /// makes another attempt.
  void announce(runner_node& node) noexcept;

 private:
  void serve() noexcept;
  void make_thread(std::unique_lock<std::mutex>& lock) noexcept;
  void append(runner_node& node) noexcept;
  runner_node& take_first() noexcept;

  std::mutex mutex_;
  std::condition_variable work_;
  runner_node* first_ = nullptr;  // announced nodes, oldest first; these guarded by mutex_
  runner_node* last_ = nullptr;
  std::size_t idle_ = 0;  // threads that look around or sleep
  std::size_t asleep_ = 0;
  std::size_t looking_ = 0;
  std::atomic<std::size_t> length_{0};  // of the announcements; written under mutex_
};

}  // namespace penstock::detail
