// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/index_queue.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

namespace penstock::detail {

/// An index_waiter whose end is code to run, on the thread that ends the wait, and no deeper in its stack than once: if that
/// thread is in such code already, this comes after it. So chains of any length, each link giving its index to the next,
/// need no more stack than one.
class index_continuation : public index_waiter {
 public:
  index_continuation() noexcept : index_waiter{&ended} {}
  index_continuation(index_continuation const&) = delete;
  index_continuation& operator=(index_continuation const&) = delete;

  /// Takes an index or waits for one; runs, here or elsewhere, once, unless it is withdrawn.
  void start(index_queue& from) noexcept {
    if (std::size_t const index = from.try_take(); index != no_index) return ended(*this, index);
    since_ = std::chrono::steady_clock::now();
    index_queue::answer const answer = from.take_or_wait(*this);  // if it waits, it may have run and be gone by now
    if (answer.how == index_queue::arrival::waits) return;
    if (answer.how == index_queue::arrival::taken) since_ = {};
    ended(*this, answer.index);
  }
  /// Runs what has been put off because this thread is inside one of them already; no others.
  static void run_those_of_this_thread() noexcept;

 protected:
  ~index_continuation() = default;

  /// When it began to wait; the clock's epoch if it did not.
  [[nodiscard]] std::chrono::steady_clock::time_point since() const noexcept { return since_; }

 private:
  virtual void run(std::size_t index) noexcept = 0;  // may destroy *this
  static void ended(index_waiter& waiter, std::size_t index) noexcept;

  std::chrono::steady_clock::time_point since_;
  std::size_t index_ = no_index;
  index_continuation* next_ready_ = nullptr;
};

/// What async_acquire() leaves: its continuation, which the queue and a ticket share.
class acquisition : public index_continuation {
 public:
  virtual ~acquisition() = default;

  /// Whether it came before the continuation began, which is then never called.
  bool cancel(index_queue& from) noexcept {
    if (over_.load(std::memory_order_acquire) || !from.withdraw(*this)) return false;
    over_.store(true, std::memory_order_relaxed);
    drop();
    let_go();
    return true;
  }
  /// One of the two owners leaves.
  void let_go() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  acquisition() = default;

 private:
  virtual void call(std::size_t index) noexcept = 0;  // the continuation, which is destroyed then
  virtual void drop() noexcept = 0;                   // destroys it
  void run(std::size_t index) noexcept final {
    over_.store(true, std::memory_order_release);
    call(index);
    let_go();
  }

  std::atomic<int> owners_{2};
  std::atomic<bool> over_{false};
};

/// `then(index, since)` is what it calls.
template <class Then>
class acquisition_with final : public acquisition {
 public:
  explicit acquisition_with(Then then) : then_{std::move(then)} {}

 private:
  void call(std::size_t index) noexcept override {
    (*then_)(index, since());
    then_.reset();
  }
  void drop() noexcept override { then_.reset(); }

  std::optional<Then> then_;
};

}  // namespace penstock::detail
