// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace penstock::test {

/// Turns a hang of a random program into a failure that can be read: when no step has begun for `limit`, it prints the
/// seed and the last steps, and aborts. Thread-safe.
class watchdog {
 public:
  explicit watchdog(std::chrono::milliseconds limit) : limit_{limit}, thread_{[this] { watch(); }} {}
  watchdog(watchdog const&) = delete;
  watchdog& operator=(watchdog const&) = delete;
  ~watchdog() {
    {
      std::lock_guard const lock{mutex_};
      ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  /// A round begins.
  void round(std::uint32_t seed) {
    std::lock_guard const lock{mutex_};
    ++beats_;
    seed_ = seed;
    steps_.clear();
  }
  /// Something is about to be done that might never return.
  void step(std::string what) {
    std::lock_guard const lock{mutex_};
    ++beats_;
    ++count_;
    steps_.push_back(std::to_string(count_) + ": " + std::move(what));
    if (steps_.size() > kept_steps) steps_.pop_front();
  }

 private:
  static constexpr std::size_t kept_steps = 24;

  void watch() {
    std::unique_lock lock{mutex_};
    for (std::uint64_t seen = beats_; !changed_.wait_for(lock, limit_, [this] { return ended_; }); seen = beats_) {
      if (beats_ != seen) continue;
      std::fprintf(stderr, "\nNo progress for %lld ms. Seed %u (replay: ./dev soak --seed %u); the last steps:\n",
                   static_cast<long long>(limit_.count()), seed_, seed_);
      for (auto const& each : steps_) std::fprintf(stderr, "  %s\n", each.c_str());
      std::fflush(stderr);
      std::abort();
    }
  }

  std::chrono::milliseconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t beats_ = 0;  // guarded by mutex_, as all below
  std::uint64_t count_ = 0;
  std::uint32_t seed_ = 0;
  bool ended_ = false;
  std::deque<std::string> steps_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace penstock::test
