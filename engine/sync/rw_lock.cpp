// SPDX-License-Identifier: Apache-2.0
#include <penstock/rw_lock.hpp>

#include "engine/sync/parker.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace penstock {

namespace {

// What this thread reads, and how often it has locked it. Seldom more than one or two, so it is looked for one by one.
struct reading {
  rw_lock const* lock;
  std::size_t times;
};
thread_local std::vector<reading> readings;

reading* reading_of(rw_lock const& lock) noexcept {
  auto const found = std::ranges::find(readings, &lock, &reading::lock);
  return found == readings.end() ? nullptr : &*found;
}

// The deadline of who does not wait at all.
constexpr auto no_wait = std::chrono::steady_clock::time_point::min();

// An address that no other living thread has.
void const* this_thread() noexcept {
  static thread_local constinit char here = 0;
  return &here;
}

}  // namespace

struct rw_lock::waiter : detail::wait_node {
  detail::parker thread;
};

// --- to write -------------------------------------------------------------------------------------------------------

void rw_lock::lock() {
  if (writer_.load(std::memory_order_relaxed) == this_thread()) {
    throw std::logic_error{"rw_lock: lock() by the thread that writes already, which would wait for itself"};
  }
  (void)write_until(detail::no_deadline);
}

bool rw_lock::try_lock() { return write_until(no_wait); }

bool rw_lock::write_until(std::chrono::steady_clock::time_point deadline) {
  refuse_upgrade();
  if (!enter_to_write() && !enters_by_waiting(true, deadline)) return false;
  writer_.store(this_thread(), std::memory_order_relaxed);
  return true;
}

void rw_lock::unlock() {
  if (writer_.load(std::memory_order_relaxed) != this_thread()) {
    throw std::logic_error{"rw_lock: unlock() by a thread that does not write"};
  }
  writer_.store(nullptr, std::memory_order_relaxed);
  leave(writing);
}

void rw_lock::refuse_upgrade() const {
  if (reading_of(*this) == nullptr) return;
  throw std::logic_error{
      "rw_lock: a thread that reads asks to write, and would wait for itself. Call unlock_shared() first, "
      "and look again at what was read; or lock() from the beginning"};
}

// --- to read --------------------------------------------------------------------------------------------------------

void rw_lock::lock_shared() {
  if (writer_.load(std::memory_order_relaxed) == this_thread()) {
    throw std::logic_error{"rw_lock: lock_shared() by the thread that writes, which would wait for itself"};
  }
  (void)read_until(detail::no_deadline);
}

bool rw_lock::try_lock_shared() { return read_until(no_wait); }

bool rw_lock::read_until(std::chrono::steady_clock::time_point deadline) {
  if (reading* const mine = reading_of(*this)) {  // it must not wait behind a writer, who waits for this thread
    ++mine->times;
    return true;
  }
  readings.push_back({.lock = this, .times = 1});  // before, as it may throw
  if (enter_to_read() || enters_by_waiting(false, deadline)) return true;
  readings.pop_back();
  return false;
}

void rw_lock::unlock_shared() {
  reading* const mine = reading_of(*this);
  if (mine == nullptr) throw std::logic_error{"rw_lock: unlock_shared() by a thread that does not read"};
  if (--mine->times > 0) return;
  readings.erase(readings.begin() + (mine - readings.data()));
  leave(1);
}

std::size_t rw_lock::waiting() const noexcept {
  std::lock_guard const lock{mutex_};
  return writers_.size() + readers_.size();
}

// --- both: while nobody waits, all is in the word --------------------------------------------------------------------

bool rw_lock::enter_to_write() noexcept {
  std::uint32_t free = 0;
  return word_.compare_exchange_strong(free, writing, std::memory_order_acquire, std::memory_order_relaxed);
}

bool rw_lock::enter_to_read() noexcept {
  std::uint32_t seen = word_.load(std::memory_order_relaxed);
  while (seen < writing) {
    if (word_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed)) return true;
  }
  return false;
}

// `what` is what it counts for in the word. Touches nothing here once another may have it: that one may destroy it.
void rw_lock::leave(std::uint32_t what) noexcept {
  do {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    while ((seen & queued) == 0) {
      if (word_.compare_exchange_weak(seen, seen - what, std::memory_order_release, std::memory_order_relaxed)) return;
    }
  } while (!leave_queued(what));
}

// --- both: while somebody waits, all is under the mutex --------------------------------------------------------------

bool rw_lock::enters_by_waiting(bool to_write, std::chrono::steady_clock::time_point deadline) noexcept {
  if (deadline == no_wait) return false;
  waiter self;
  {
    std::lock_guard const lock{mutex_};
    // From here on who leaves has to lock. Until then whoever is inside may leave without.
    while ((word_.load(std::memory_order_relaxed) & queued) == 0) {
      if (to_write ? enter_to_write() : enter_to_read()) return true;
      std::uint32_t seen = word_.load(std::memory_order_relaxed);
      if (to_write ? seen == 0 : seen < writing) continue;
      if (word_.compare_exchange_strong(seen, seen | queued, std::memory_order_relaxed)) break;
    }
    (to_write ? writers_ : readers_).push_back(self);
  }
  if (self.thread.wait_until(deadline)) return true;
  if (give_up(self, to_write)) return false;
  self.thread.wait();  // somebody has taken it out of its list, and is about to wake it
  return true;
}

// Whether somebody waits; else it is to leave as if nobody had.
bool rw_lock::leave_queued(std::uint32_t what) noexcept {
  detail::wait_node* next = nullptr;
  {
    std::lock_guard const lock{mutex_};
    std::uint32_t const seen = word_.load(std::memory_order_acquire);
    if ((seen & queued) == 0) return false;
    std::uint32_t const left = (seen & ~queued) - what;
    if (left > 0) {
      set_inside(left);
      return true;
    }
    next = what == writing && !readers_.empty() ? admit_readers(0) : admit_writer();
  }
  detail::wait_list<waiter>::for_each(next, [](waiter& each) { each.thread.wake(); });
  return true;
}

// False when it is not in its list any more.
bool rw_lock::give_up(waiter& self, bool to_write) noexcept {
  detail::wait_node* next = nullptr;
  {
    std::lock_guard const lock{mutex_};
    if (!(to_write ? writers_ : readers_).remove(self)) return false;
    std::uint32_t const inside = word_.load(std::memory_order_acquire) & ~queued;
    if (inside < writing && writers_.empty()) next = admit_readers(inside);  // they waited for this writer
    else set_inside(inside);
  }
  detail::wait_list<waiter>::for_each(next, [](waiter& each) { each.thread.wake(); });
  return true;
}

// The three below: with mutex_ held, and `queued` set. Acquire and release: who comes by the word alone, later, has to see
// what those wrote who left by it, earlier.

void rw_lock::set_inside(std::uint32_t inside) noexcept {
  std::uint32_t const waiting = writers_.empty() && readers_.empty() ? 0 : queued;
  word_.store(inside | waiting, std::memory_order_release);
}

// All readers that wait, beside those that are inside.
detail::wait_node* rw_lock::admit_readers(std::uint32_t inside) noexcept {
  inside += static_cast<std::uint32_t>(readers_.size());
  detail::wait_node* const chain = readers_.take_all();
  set_inside(inside);
  return chain;
}

detail::wait_node* rw_lock::admit_writer() noexcept {
  waiter* const next = writers_.pop_front();
  next->next = nullptr;
  set_inside(writing);
  return next;
}

}  // namespace penstock
