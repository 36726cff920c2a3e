// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/index_semaphore.hpp>
#include <penstock/lease.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock {

/// Owns objects and lends them, each to one holder at a time: connections, decoders, buffers.
///
///     resource_pool pool{std::move(connections)};
///     auto const connection = pool.acquire();   // waits for a free one
///     connection->send(request);                // given back at the end of the scope, also by an exception
///
/// Acquires, waits and closes as index_semaphore does, with the same fairness; stats() are those of its leases. Among free
/// objects the one with the lowest index is lent, so some may never be used while others are free.
///
/// With a health check, an object is looked at when it comes back, by the thread that gives it back. One that fails is
/// never lent again: a pool that makes its objects destroys it, and the next lease makes another; a pool that was given
/// them has one less. Once all have failed, it is closed. What the check throws counts as a failure.
///
/// Thread-safe; runs no code of yours under a lock. It has to outlive its leases, or the program ends with a message.
template <class T>
class resource_pool {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>);
  static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no objects that could be lent");

 public:
  using health_check = std::function<bool(T&)>;

  /// Lends these objects. Throws std::invalid_argument if there are none.
  explicit resource_pool(std::vector<T> resources, health_check healthy = {})
      : given_(std::move(resources)), healthy_{std::move(healthy)}, indices_{given_.size()} {}
  /// Lends as many as `n` objects, which `create()` makes when they are first needed: in acquire() and try_acquire(), whose
  /// caller gets what it throws, and at the first use of a lease that a continuation was called with. `create` may be called
  /// by several threads at once. T need not be movable. Throws as index_semaphore's constructor.
  resource_pool(std::size_t n, std::function<T()> create, health_check healthy = {})
      : made_(index_semaphore::checked(n)), create_{std::move(create)}, healthy_{std::move(healthy)}, indices_{n} {}
  resource_pool(resource_pool const&) = delete;
  resource_pool& operator=(resource_pool const&) = delete;
  ~resource_pool() = default;

  /// Blocks until there is an object for this caller. Throws semaphore_closed, and what create() throws.
  [[nodiscard]] lease<T&> acquire() { return ready({*this, indices_.acquire()}); }
  /// Does not block: none if all are lent, others wait, or it is closed.
  [[nodiscard]] std::optional<lease<T&>> try_acquire() { return ready(indices_.try_acquire()); }
  /// Blocks for as long as `timeout` at most; none then, and when it is closed.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<lease<T&>> try_acquire_for(std::chrono::duration<Rep, Period> timeout) {
    return ready(indices_.try_acquire_for(timeout));
  }
  /// The same, until `deadline`.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<lease<T&>> try_acquire_until(std::chrono::time_point<Clock, Duration> deadline) {
    return ready(indices_.try_acquire_until(deadline));
  }
  /// Has `continuation(std::optional<lease<T&>>)` called as index_semaphore::async_acquire() does.
  template <class Continuation>
    requires std::invocable<Continuation&, std::optional<lease<T&>>>
  ticket async_acquire(Continuation continuation) {
    return indices_.async_acquire(
        [this, then = std::move(continuation)](auto index) mutable { then(leased(std::move(index))); });
  }
  /// `auto object = co_await pool;` is acquire() in a coroutine: see index_semaphore.
  [[nodiscard]] auto operator co_await() noexcept {
    struct awaiter {
      resource_pool& pool;
      index_semaphore::awaiter index;

      bool await_ready() noexcept { return index.await_ready(); }
      void await_suspend(std::coroutine_handle<> suspended) noexcept { index.await_suspend(suspended); }
      [[nodiscard]] lease<T&> await_resume() { return pool.ready({pool, index.await_resume()}); }
    };
    return awaiter{*this, indices_.operator co_await()};
  }

  void close() noexcept { indices_.close(); }
  [[nodiscard]] semaphore_stats stats() const { return indices_.stats(); }
  [[nodiscard]] std::size_t size() const noexcept { return indices_.size(); }

 private:
  friend class lease<T&>;

  // What create() returns needs not be movable: it is made in its place.
  struct made_object {
    explicit made_object(std::function<T()> const& create) : object(create()) {}
    T object;
  };

  [[nodiscard]] T& resource(std::size_t index) {
    if (made_.empty()) return given_[index];
    std::optional<made_object>& made = made_[index];
    if (!made) made.emplace(create_);
    return made->object;
  }
  void take_back(lease<std::size_t> index) noexcept {
    if (!healthy_ || (!made_.empty() && !made_[*index]) || is_healthy(resource(*index))) return;
    if (made_.empty()) index.retire();
    else made_[*index].reset();
  }
  [[nodiscard]] bool is_healthy(T& resource) noexcept {
    try {
      return healthy_(resource);
    } catch (...) {
      return false;
    }
  }

  [[nodiscard]] std::optional<lease<T&>> leased(std::optional<lease<std::size_t>> index) noexcept {
    if (!index) return std::nullopt;
    return lease<T&>{*this, *std::move(index)};
  }
  // With its object made, if it is to be.
  [[nodiscard]] lease<T&> ready(lease<T&> lent) {
    (void)*lent;
    return lent;
  }
  [[nodiscard]] std::optional<lease<T&>> ready(std::optional<lease<std::size_t>> index) {
    std::optional<lease<T&>> lent = leased(std::move(index));
    if (lent) (void)**lent;
    return lent;
  }

  // One of the two is empty. An element is used by who holds its index only.
  std::vector<T> given_;
  std::vector<std::optional<made_object>> made_;
  std::function<T()> create_;
  health_check healthy_;
  index_semaphore indices_;  // last: it is destroyed first, and looks for leases that are out
};

template <class T, class HealthCheck>
resource_pool(std::vector<T>, HealthCheck) -> resource_pool<T>;
template <class Create>
resource_pool(std::size_t, Create) -> resource_pool<std::invoke_result_t<Create&>>;
template <class Create, class HealthCheck>
resource_pool(std::size_t, Create, HealthCheck) -> resource_pool<std::invoke_result_t<Create&>>;

}  // namespace penstock
