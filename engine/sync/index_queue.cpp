// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/index_queue.hpp>

#include "engine/sync/parker.hpp"

#include <penstock/detail/acquisition.hpp>

#include <algorithm>
#include <mutex>

namespace penstock::detail {

namespace {

struct blocked_thread : index_waiter {
  blocked_thread() noexcept : index_waiter{&ended} {}

  static void ended(index_waiter& waiter, std::size_t index) noexcept {
    auto& self = static_cast<blocked_thread&>(waiter);
    self.index = index;
    self.thread.wake();
  }

  parker thread;
  std::size_t index = no_index;
};

// The continuations that this thread is to run, in order.
struct turns {
  index_continuation* first = nullptr;
  index_continuation* last = nullptr;
  bool running = false;
};
thread_local constinit turns mine;

}  // namespace

void index_continuation::ended(index_waiter& waiter, std::size_t index) noexcept {
  auto& self = static_cast<index_continuation&>(waiter);
  self.index_ = index;
  (mine.last != nullptr ? mine.last->next_ready_ : mine.first) = &self;
  mine.last = &self;
  if (mine.running) return;  // further up in this thread's stack is the loop below
  mine.running = true;
  while (index_continuation* const next = mine.first) {
    mine.first = next->next_ready_;
    if (mine.first == nullptr) mine.last = nullptr;
    next->run(next->index_);
  }
  mine.running = false;
}

index_queue::index_queue(std::size_t size)
    : word_{size > most_in_word ? queued : (std::uint64_t{1} << size) - 1}, size_{size} {
  if (size <= most_in_word) return;
  free_.resize((size + 63) / 64);
  for (std::size_t index = 0; index < size; ++index) put_free(index);
}

// --- free indices; all with mutex_ held -----------------------------------------------------------------------------

// Nobody waits. Others may take and give back through the word meanwhile.
std::size_t index_queue::take_free() noexcept {
  if (!free_.empty()) {
    while (free_from_ < free_.size() && free_[free_from_] == 0) ++free_from_;
    if (free_from_ == free_.size()) return no_index;
    std::uint64_t& bits = free_[free_from_];
    auto const bit = static_cast<std::size_t>(std::countr_zero(bits));
    bits &= bits - 1;
    return handed_out(free_from_ * 64 + bit);
  }
  std::uint64_t free = word_.load(std::memory_order_relaxed);
  while ((free & ~queued) != 0) {
    if (word_.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire, std::memory_order_relaxed)) {
      return handed_out(static_cast<std::size_t>(std::countr_zero(free)));
    }
  }
  return no_index;
}

void index_queue::put_free(std::size_t index) noexcept {
  if (free_.empty()) {
    word_.fetch_or(std::uint64_t{1} << index, std::memory_order_release);
    return;
  }
  free_[index / 64] |= std::uint64_t{1} << (index % 64);
  free_from_ = std::min(free_from_, index / 64);
}

bool index_queue::is_free(std::size_t index) const noexcept {
  std::uint64_t const bits = free_.empty() ? word_.load(std::memory_order_relaxed) : free_[index / 64];
  return (bits >> (index % 64) & 1U) != 0;
}

void index_queue::one_has_left() noexcept {
  if (waiting_.empty() && !closed_ && free_.empty()) word_.fetch_and(~queued, std::memory_order_relaxed);
}

// --- what has to lock -----------------------------------------------------------------------------------------------

std::size_t index_queue::try_take_queued() noexcept {
  std::lock_guard const lock{mutex_};
  return closed_ || !waiting_.empty() ? no_index : take_free();
}

index_queue::answer index_queue::take_or_wait(index_waiter& waiter) noexcept {
  std::lock_guard const lock{mutex_};
  for (;;) {
    if (closed_) return {arrival::closed};
    if (waiting_.empty()) {
      if (std::size_t const index = take_free(); index != no_index) return {arrival::taken, index};
      // From here on who gives one back has to lock. Relaxed: nothing is read yet of what is guarded by an index.
      std::uint64_t none = 0;
      if (free_.empty() && !word_.compare_exchange_strong(none, queued, std::memory_order_relaxed)) continue;
    }
    waiting_.push_back(waiter);
    return {arrival::waits};
  }
}

bool index_queue::withdraw(index_waiter& waiter) noexcept {
  std::lock_guard const lock{mutex_};
  if (!waiting_.remove(waiter)) return false;
  one_has_left();
  return true;
}

bool index_queue::give_back_queued(std::size_t index) noexcept {
  index_waiter* next = nullptr;
  {
    std::lock_guard const lock{mutex_};
    if (is_free(index)) return false;
    next = waiting_.pop_front();
    if (next != nullptr) {
      one_has_left();
    } else if ((word_.load(std::memory_order_relaxed) & queued) != 0) {
      put_free(index);  // who takes it has to lock, so not before this thread has unlocked
      return true;
    }
  }
  if (next == nullptr) return give_back(index);  // the last to wait has just gone
  next->end(*next, index);
  return true;
}

void index_queue::retire_one() noexcept {
  {
    std::lock_guard const lock{mutex_};
    if (++retired_ < size_) return;
  }
  close();
}

void index_queue::close() noexcept {
  wait_node* chain = nullptr;
  {
    std::lock_guard const lock{mutex_};
    closed_ = true;
    word_.fetch_or(queued, std::memory_order_relaxed);
    chain = waiting_.take_all();
  }
  wait_list<index_waiter>::for_each(chain, [](index_waiter& each) { each.end(each, no_index); });
}

bool index_queue::is_used_up() const noexcept {
  std::lock_guard const lock{mutex_};
  return retired_ == size_;
}

index_queue::counts index_queue::count() const noexcept {
  std::lock_guard const lock{mutex_};
  std::size_t free = static_cast<std::size_t>(std::popcount(word_.load(std::memory_order_relaxed) & ~queued));
  for (std::uint64_t const bits : free_) free += static_cast<std::size_t>(std::popcount(bits));
  return {.held = size_ - free - retired_,
          .waiting = waiting_.size(),
          .most_held = most_held_.load(std::memory_order_relaxed)};
}

index_queue::answer index_queue::take(std::chrono::steady_clock::time_point deadline) noexcept {
  blocked_thread self;
  if (answer const at_once = take_or_wait(self); at_once.how != arrival::waits) return at_once;
  if (!self.thread.wait_until(deadline)) {
    if (withdraw(self)) return {arrival::timed_out};
    self.thread.wait();  // somebody has taken it out of the queue, and is about to wake it
  }
  return self.index == no_index ? answer{arrival::closed} : answer{arrival::granted, self.index};
}

}  // namespace penstock::detail
