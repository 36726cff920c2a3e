// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/acquisition.hpp>
#include <penstock/detail/index_queue.hpp>
#include <penstock/detail/time.hpp>
#include <penstock/duration_summary.hpp>
#include <penstock/lease.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace penstock {

namespace detail {
class histogram;
}

/// What acquire() and `co_await` throw when the semaphore or pool is closed, before or while they wait.
class semaphore_closed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Exact counts, and how long it took to get what was not free at once.
struct semaphore_stats {
  std::size_t holds = 0;       ///< leases out now
  std::size_t waiting = 0;     ///< in the queue now: threads, continuations and coroutines
  std::size_t high_water = 0;  ///< the most leases that were ever out at once
  /// From the call until the thread went on, or the continuation began. Of those that had to wait, and got one.
  duration_summary wait;
};

/// What async_acquire() returns, to take its request back. Move-only. Dropping it does not cancel: the continuation is called
/// all the same. Must not be used once the semaphore is gone, unless the continuation has been called before.
class ticket {
 public:
  ticket() = default;
  ticket(ticket&& other) noexcept : queue_{other.queue_}, request_{std::exchange(other.request_, nullptr)} {}
  ticket& operator=(ticket&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(request_, other.request_);
    return *this;
  }
  ~ticket() {
    if (request_ != nullptr) request_->let_go();
  }

  /// Takes the request out of the queue; whether that was in time: the continuation has not begun, and never will. It is
  /// destroyed then. Does not block.
  bool cancel() noexcept { return request_ != nullptr && request_->cancel(*queue_); }

 private:
  friend class index_semaphore;
  ticket(detail::index_queue& queue, detail::acquisition& request) noexcept : queue_{&queue}, request_{&request} {}

  detail::index_queue* queue_ = nullptr;
  detail::acquisition* request_ = nullptr;
};

/// Lends the indices 0 to n - 1, each to one holder at a time: which of n devices, buffers or connections to use.
///
///     index_semaphore free_gpus{4};
///     auto const index = free_gpus.acquire();   // waits for one
///     gpus[*index].process(data);               // given back at the end of the scope, also by an exception
///
/// Fair: threads, threads with a deadline, continuations and coroutines wait in one queue and are served in the order in
/// which they came. An index that comes back while somebody waits is handed over, and cannot be snatched. Among free ones
/// the lowest is lent. While nobody waits, taking and giving back an index (of up to 63) are one atomic operation each.
///
/// Thread-safe. It has to outlive its leases, or the program ends with a message.
/// A body of a stage that waits here keeps its place among the running ones.
class index_semaphore {
 public:
  /// Throws std::invalid_argument for 0, and for more than 2^31 - 1.
  explicit index_semaphore(std::size_t n);
  index_semaphore(index_semaphore const&) = delete;
  index_semaphore& operator=(index_semaphore const&) = delete;
  /// Closes first: continuations that wait are called with none; where that is inside a continuation, after this one.
  /// No thread may be waiting.
  ~index_semaphore();

  /// Blocks until there is an index for this caller. Throws semaphore_closed.
  [[nodiscard]] lease<std::size_t> acquire() {
    std::size_t index = queue_.try_take();
    if (index == detail::no_index) index = wait();
    return {queue_, index};
  }
  /// Does not block: none if all are lent, others wait, or it is closed.
  [[nodiscard]] std::optional<lease<std::size_t>> try_acquire() noexcept { return leased(queue_.try_take()); }
  /// Blocks for as long as `timeout` at most; none then, and when it is closed.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<lease<std::size_t>> try_acquire_for(std::chrono::duration<Rep, Period> timeout) {
    std::size_t const index = queue_.try_take();
    return leased(index != detail::no_index ? index : wait_until(detail::deadline_after(timeout)));
  }
  /// The same, until `deadline`. Of another clock than steady_clock, it is converted when the call begins.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<lease<std::size_t>> try_acquire_until(std::chrono::time_point<Clock, Duration> deadline) {
    std::size_t const index = queue_.try_take();
    return leased(index != detail::no_index ? index : wait_until(detail::steady_deadline(deadline)));
  }

  /// Has `continuation(std::optional<lease<std::size_t>>)` called once, with an index, or with none when the semaphore is
  /// closed: here, before this returns, if one is free; else by the thread that gives one back, while it does. In a
  /// continuation that this thread is in already, that means right after that one, or when it waits for an index. It
  /// may acquire and release; what blocks in it holds up whoever gave the index back, and those to whom it gives back
  /// itself; what it throws ends the program. Throws std::bad_alloc.
  template <class Continuation>
    requires std::invocable<Continuation&, std::optional<lease<std::size_t>>>
  ticket async_acquire(Continuation continuation);
  /// `auto index = co_await semaphore;` is acquire() in a coroutine, which is suspended instead of blocked, and goes on
  /// where a continuation would be called. Throws semaphore_closed. One that is destroyed while it is suspended leaves the
  /// queue; if it is about to go on just then, the program ends with a message.
  [[nodiscard]] auto operator co_await() noexcept;

  /// Lets nobody wait any more: those who do get none, or semaphore_closed, as do all later calls. Leases stay valid.
  void close() noexcept { queue_.close(); }
  [[nodiscard]] semaphore_stats stats() const;
  /// How many indices there are.
  [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }

 private:
  template <class T>
  friend class resource_pool;
  class awaiter;  // NOLINT(cppcoreguidelines-virtual-class-destructor): no base deletes it

  [[nodiscard]] std::optional<lease<std::size_t>> leased(std::size_t index) noexcept {
    if (index == detail::no_index) return std::nullopt;
    return lease<std::size_t>{queue_, index};
  }
  [[nodiscard]] std::size_t wait();
  [[nodiscard]] std::size_t wait_until(std::chrono::steady_clock::time_point deadline);
  // Records it, if it waited and got one.
  void waited(std::size_t index, std::chrono::steady_clock::time_point since) noexcept;
  // How many objects a pool had, if that is why.
  [[noreturn]] static void throw_closed(std::size_t used_up = 0);
  [[nodiscard]] static std::size_t checked(std::size_t n);
  void forget(detail::index_continuation& destroyed) noexcept;

  detail::index_queue queue_;
  std::unique_ptr<detail::histogram> waits_;
};

template <class Continuation>
  requires std::invocable<Continuation&, std::optional<lease<std::size_t>>>
ticket index_semaphore::async_acquire(Continuation continuation) {
  auto call = [this, then = std::move(continuation)](std::size_t index, auto since) mutable {
    waited(index, since);
    (void)then(leased(index));
  };
  auto& request = *new detail::acquisition_with<decltype(call)>{std::move(call)};
  ticket made{queue_, request};
  request.start(queue_);
  return made;
}

class index_semaphore::
    awaiter final  // NOLINT(cppcoreguidelines-virtual-class-destructor): final, and no base deletes it
    : detail::index_continuation {
 public:
  explicit awaiter(index_semaphore& from) noexcept : from_{&from} {}
  awaiter(awaiter const&) = delete;
  awaiter& operator=(awaiter const&) = delete;
  ~awaiter() {
    if (suspended_) from_->forget(*this);
  }

  bool await_ready() noexcept {
    index_ = from_->queue_.try_take();
    return index_ != detail::no_index;
  }
  // The coroutine may run, and end, before start() has returned; nothing of this object is used after that.
  void await_suspend(std::coroutine_handle<> suspended) noexcept {
    suspended_ = suspended;
    start(from_->queue_);
  }
  [[nodiscard]] lease<std::size_t> await_resume() {
    if (index_ == detail::no_index) throw_closed();  // it may be gone
    return {from_->queue_, index_};
  }

 private:
  void run(std::size_t index) noexcept override {
    index_ = index;
    from_->waited(index, since());
    std::exchange(suspended_, nullptr).resume();
  }

  index_semaphore* from_;
  std::size_t index_ = detail::no_index;
  std::coroutine_handle<> suspended_;
};

inline auto index_semaphore::operator co_await() noexcept { return awaiter{*this}; }

}  // namespace penstock
