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
  if (mine.running) return;  // further up in this thread's stack is the loop
  mine.running = true;
  run_those_of_this_thread();
  mine.running = false;
}

void index_continuation::run_those_of_this_thread() noexcept {
  while (index_continuation* const next = mine.first) {
    mine.first = next->next_ready_;
    if (mine.first == nullptr) mine.last = nullptr;
    next->run(next->index_);
  }
}

index_queue::index_queue(std::size_t size)
    : word_{size > most_in_word ? queued : (std::uint64_t{1} << size) - 1}, size_{size} {
  if (size <= most_in_word) return;
  stays_queued_ = true;
  free_.resize((size + 63) / 64);
  for (std::size_t index = 0; index < size; ++index) put_free(index);
}

// --- free indices; all with mutex_ held -----------------------------------------------------------------------------

// Nobody waits. Others may take and give back through the word meanwhile, if `queued` is not set.
std::size_t index_queue::take_free() noexcept {
  if (!free_.empty()) {
    while (free_from_ < free_.size() && free_[free_from_] == 0) ++free_from_;
    if (free_from_ == free_.size()) return no_index;
    std::uint64_t& bits = free_[free_from_];
    auto const bit = static_cast<std::size_t>(std::countr_zero(bits));
    bits &= bits - 1;
    --free_count_;
    note_held(held());
    return free_from_ * 64 + bit;
  }
  std::uint64_t free = word_.load(std::memory_order_relaxed);
  while ((free & ~queued) != 0) {
    if (word_.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire, std::memory_order_relaxed)) {
      auto const index = static_cast<std::size_t>(std::countr_zero(free));
      if (retired_ == 0) return handed_out(index);
      note_held(held());
      return index;
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
  ++free_count_;
  free_from_ = std::min(free_from_, index / 64);
}

std::size_t index_queue::held() const noexcept {
  auto const in_word = static_cast<std::size_t>(std::popcount(word_.load(std::memory_order_relaxed) & ~queued));
  return size_ - in_word - free_count_ - retired_;
}

void index_queue::one_has_left() noexcept {
  if (waiting_.empty() && !stays_queued_) word_.fetch_and(~queued, std::memory_order_relaxed);
}

void index_queue::stay_queued() noexcept {
  stays_queued_ = true;
  word_.fetch_or(queued, std::memory_order_relaxed);
}

// Takes out all who wait, for end(), without the mutex.
index_queue::leaving index_queue::close_locked() noexcept {
  closed_ = true;
  stay_queued();
  wait_list<index_waiter> threads;
  wait_list<index_waiter> others;
  while (index_waiter* const each = waiting_.pop_front()) {
    (each->end == &blocked_thread::ended ? threads : others).push_back(*each);
  }
  return {.threads = threads.take_all(), .others = others.take_all()};
}

// Threads first: what else is called may take its time.
void index_queue::end(leaving const& all) noexcept {
  for (wait_node* const chain : {all.threads, all.others}) {
    wait_list<index_waiter>::for_each(chain, [](index_waiter& each) { each.end(each, no_index); });
  }
}

// --- what has to lock -----------------------------------------------------------------------------------------------

std::size_t index_queue::try_take_queued() noexcept {
  std::lock_guard const lock{mutex_};
  return closed_ ? no_index : take_free();  // while somebody waits, none is free
}

index_queue::answer index_queue::take_or_wait(index_waiter& waiter) noexcept {
  std::lock_guard const lock{mutex_};
  for (;;) {
    if (closed_) return {arrival::closed};
    if (waiting_.empty()) {
      if (std::size_t const index = take_free(); index != no_index) return {arrival::taken, index};
      // From here on who gives one back has to lock. Relaxed: nothing is read yet of what is guarded by an index.
      std::uint64_t seen = 0;
      if (!word_.compare_exchange_strong(seen, queued, std::memory_order_relaxed) && seen != queued) continue;
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

void index_queue::give_back_queued(std::size_t index) noexcept {
  index_waiter* next = nullptr;
  {
    std::lock_guard const lock{mutex_};
    next = waiting_.pop_front();
    if (next != nullptr) {
      one_has_left();
    } else if ((word_.load(std::memory_order_relaxed) & queued) != 0) {
      put_free(index);  // who takes it has to lock, so not before this thread has unlocked
      return;
    }
  }
  if (next != nullptr) next->end(*next, index);
  else (void)give_back(index);  // the last to wait has just gone
}

void index_queue::retire_one() noexcept {
  leaving all{};
  {
    std::lock_guard const lock{mutex_};
    stay_queued();  // from here on, the highest index tells nothing any more
    if (++retired_ < size_) return;
    all = close_locked();
  }
  end(all);
}

void index_queue::close() noexcept {
  leaving all{};
  {
    std::lock_guard const lock{mutex_};
    all = close_locked();
  }
  end(all);
}

bool index_queue::is_used_up() const noexcept {
  std::lock_guard const lock{mutex_};
  return retired_ == size_;
}

index_queue::counts index_queue::count() const noexcept {
  std::lock_guard const lock{mutex_};
  std::size_t const now = held();
  // Who takes one by the word alone counts it right after.
  return {
      .held = now, .waiting = waiting_.size(), .most_held = std::max(most_held_.load(std::memory_order_relaxed), now)};
}

index_queue::answer index_queue::take(std::chrono::steady_clock::time_point deadline) noexcept {
  blocked_thread self;
  if (answer const at_once = take_or_wait(self); at_once.how != arrival::waits) return at_once;
  if (!self.thread.wait_until(deadline, [&] { return withdraw(self); })) return {arrival::timed_out};
  return self.index == no_index ? answer{arrival::closed} : answer{arrival::granted, self.index};
}

}  // namespace penstock::detail
