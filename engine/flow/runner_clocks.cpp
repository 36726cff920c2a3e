// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/runner_clocks.hpp"

#include "engine/observe/clock_ns.hpp"

#include <pthread.h>

#include <utility>

namespace penstock::detail {

// A thread's entry in the list; the list's mutex guards all of it.
class runner_clocks::member {
 public:
  member() noexcept {
    ::pthread_getcpuclockid(::pthread_self(), &clock_);
    used_ns_ = clock_ns(clock_);
    runner_clocks& all = instance();
    std::lock_guard const lock{all.mutex_};
    if (all.first_ != nullptr) all.first_->before_ = this;
    next_ = std::exchange(all.first_, this);
    ++all.size_;
  }
  member(member const&) = delete;
  member& operator=(member const&) = delete;
  ~member() {
    runner_clocks& all = instance();
    std::lock_guard const lock{all.mutex_};
    (before_ != nullptr ? before_->next_ : all.first_) = next_;
    if (next_ != nullptr) next_->before_ = before_;
    --all.size_;
  }

  // Since the last call.
  std::int64_t take_used() noexcept {
    std::int64_t const now = clock_ns(clock_);
    return now - std::exchange(used_ns_, now);
  }
  [[nodiscard]] member* next() const noexcept { return next_; }

 private:
  clockid_t clock_{};
  std::int64_t used_ns_ = 0;
  member* before_ = nullptr;
  member* next_ = nullptr;
};

runner_clocks& runner_clocks::instance() {
  static runner_clocks& forever = *new runner_clocks;  // its members may outlive every static object
  return forever;
}

void runner_clocks::count_this_thread() noexcept { thread_local member const here; }

double runner_clocks::used() noexcept {
  std::lock_guard const lock{mutex_};
  if (size_ > most_asked) return 0;
  std::int64_t sum = 0;
  for (member* each = first_; each != nullptr; each = each->next()) sum += each->take_used();
  std::int64_t const now = clock_ns(CLOCK_MONOTONIC);
  auto const passed = static_cast<double>(now - std::exchange(asked_at_ns_, now));
  return static_cast<double>(sum) / passed;
}

}  // namespace penstock::detail
