// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/entrance.hpp>

#include "engine/sync/parker.hpp"

#include <chrono>
#include <mutex>
#include <stdexcept>

namespace penstock::detail {

struct entrance::waiter : wait_node {
  parker thread;
  entry how = entry::inside;

  void end(entry as) noexcept {
    how = as;
    thread.wake();
  }
};

entrance::entry entrance::wait(std::unique_lock<adaptive_mutex>& lock,
                               std::chrono::steady_clock::time_point deadline) noexcept {
  waiter self;
  waiting_.push_back(self);
  lock.unlock();
  bool const has_ended = self.thread.wait_until(deadline, [&] {
    std::lock_guard const again{mutex_};
    return waiting_.remove(self);
  });
  return has_ended ? self.how : entry::timed_out;
}

void entrance::led() noexcept {
  wait_node* chain = nullptr;
  {
    std::lock_guard const lock{mutex_};
    has_leader_ = false;
    inside_ = 1 + waiting_.size();
    chain = waiting_.take_all();
  }
  wait_list<waiter>::for_each(chain, [](waiter& each) { each.end(entry::inside); });
}

void entrance::gave_up() noexcept {
  waiter* next = nullptr;
  {
    std::lock_guard const lock{mutex_};
    next = waiting_.pop_front();
    has_leader_ = next != nullptr;
  }
  if (next != nullptr) next->end(entry::leads);
}

bool entrance::leave() {
  std::lock_guard const lock{mutex_};
  if (inside_ == 0) throw std::logic_error{"light_switch: unlock() by one more than have locked it"};
  return --inside_ == 0;
}

std::size_t entrance::count() const noexcept {
  std::lock_guard const lock{mutex_};
  return inside_;
}

std::size_t entrance::waiting() const noexcept {
  std::lock_guard const lock{mutex_};
  return waiting_.size() + (has_leader_ ? 1 : 0);
}

}  // namespace penstock::detail
