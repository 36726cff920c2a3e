// SPDX-License-Identifier: Apache-2.0
#include <penstock/rw_lock.hpp>

#include "engine/sync/parker.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace penstock {

namespace {

struct reading {
  rw_lock const* lock;
  std::size_t times;  // it has been locked
};

// What this thread reads. Seldom more than one or two, so it is looked for one by one, and needs no memory. Destructors of
// static and thread_local objects may lock, too, so this one has nothing that is destroyed: its memory goes with the last
// reading.
class reading_list {
 public:
  [[nodiscard]] reading* find(rw_lock const& lock) noexcept {
    std::span const all{data(), count_};
    auto const found = std::ranges::find(all, &lock, &reading::lock);
    return found == all.end() ? nullptr : &*found;
  }
  void add(rw_lock const& lock) {
    if (count_ == capacity_) grow();
    data()[count_++] = {.lock = &lock, .times = 1};
  }
  void remove(reading& one) noexcept {
    one = data()[--count_];
    if (count_ > 0 || more_ == nullptr) return;
    delete[] std::exchange(more_, nullptr);
    capacity_ = few;
  }

 private:
  static constexpr std::size_t few = 4;

  [[nodiscard]] reading* data() noexcept { return more_ != nullptr ? more_ : first_.data(); }
  void grow() {
    auto* const larger = new reading[2 * capacity_];
    std::copy_n(data(), count_, larger);
    delete[] std::exchange(more_, larger);
    capacity_ *= 2;
  }

  std::array<reading, few> first_ = {};
  reading* more_ = nullptr;  // instead, once those are not enough
  std::size_t count_ = 0;
  std::size_t capacity_ = few;
};
static_assert(std::is_trivially_destructible_v<reading_list>);
thread_local constinit reading_list readings;

// The deadline of who does not wait at all.
constexpr auto no_wait = std::chrono::steady_clock::time_point::min();

// An address that no other living thread has.
void const* this_thread() noexcept { return &readings; }

}  // namespace

struct rw_lock::waiter : detail::wait_node {
  detail::parker thread;
};

// --- to write -------------------------------------------------------------------------------------------------------

rw_lock::~rw_lock() {
  if (word_.load(std::memory_order_relaxed) == 0) return;
  std::fputs("penstock: a rw_lock is destroyed that a thread has locked.\n", stderr);
  std::terminate();
}

void rw_lock::lock() { (void)write_until(detail::no_deadline); }

bool rw_lock::try_lock() { return write_until(no_wait); }

bool rw_lock::write_until(std::chrono::steady_clock::time_point deadline) {
  refuse_upgrade();
  refuse_own_writer(deadline);
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
  if (readings.find(*this) == nullptr) return;
  throw std::logic_error{
      "rw_lock: a thread that reads asks to write, and would wait for itself. Call unlock_shared() first, "
      "and look again at what was read; or lock() from the beginning"};
}

// Who has a deadline waits for itself until then, and gets the answer that others get.
void rw_lock::refuse_own_writer(std::chrono::steady_clock::time_point deadline) const {
  if (deadline != detail::no_deadline || writer_.load(std::memory_order_relaxed) != this_thread()) return;
  throw std::logic_error{
      "rw_lock: lock() or lock_shared() by the thread that writes already, which would wait for itself"};
}

// --- to read --------------------------------------------------------------------------------------------------------

void rw_lock::lock_shared() { (void)read_until(detail::no_deadline); }

bool rw_lock::try_lock_shared() { return read_until(no_wait); }

bool rw_lock::read_until(std::chrono::steady_clock::time_point deadline) {
  refuse_own_writer(deadline);
  if (reading* const mine = readings.find(*this)) {  // it must not wait behind a writer, who waits for this thread
    ++mine->times;
    return true;
  }
  readings.add(*this);  // before, as it may throw
  if (enter_to_read() || enters_by_waiting(false, deadline)) return true;
  readings.remove(*readings.find(*this));
  return false;
}

void rw_lock::unlock_shared() {
  reading* const mine = readings.find(*this);
  if (mine == nullptr) throw std::logic_error{"rw_lock: unlock_shared() by a thread that does not read"};
  if (--mine->times > 0) return;
  readings.remove(*mine);
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
  return self.thread.wait_until(deadline, [&] { return give_up(self, to_write); });
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
