// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/index_queue.hpp>

#include <cstddef>
#include <stdexcept>
#include <utility>

namespace penstock {

class index_semaphore;
template <class T>
class resource_pool;

/// The right to use something until the lease ends: lease<std::size_t>, an index of an index_semaphore, and lease<T&>, an
/// object of a resource_pool<T>.
///
/// Move-only. Whatever way its scope is left, it gives back what it holds, once, to where it came from; there is no other
/// way to give back. It must not outlive the semaphore or the pool, which end the program if it does. One lease is for one
/// thread at a time, and may be moved to another thread.
template <class T>
class lease;

/// A lease of one of the indices 0 to n - 1.
template <>
class [[nodiscard]] lease<std::size_t> {
 public:
  /// Holds nothing, as does a lease that was moved from.
  lease() = default;
  lease(lease&& other) noexcept : queue_{std::exchange(other.queue_, nullptr)}, index_{other.index_} {}
  lease& operator=(lease&& other) noexcept {
    lease taken{std::move(other)};  // at its end, when *this is done with, what *this held goes back
    std::swap(queue_, taken.queue_);
    std::swap(index_, taken.index_);
    return *this;
  }
  ~lease() { release(); }

  /// Whether it holds an index.
  [[nodiscard]] explicit operator bool() const noexcept { return queue_ != nullptr; }
  /// The index. Throws std::logic_error if it holds none.
  [[nodiscard]] std::size_t const& operator*() const {
    if (queue_ == nullptr) throw_empty();
    return index_;
  }
  [[nodiscard]] std::size_t const* operator->() const { return &**this; }

  /// Gives the index back now; does nothing if it holds none. Who has waited longest gets it: that one's continuation, if
  /// it has one, runs here, before this returns.
  void release() noexcept {
    if (detail::index_queue* const from = std::exchange(queue_, nullptr)) from->give_back(index_);
  }

 private:
  friend class index_semaphore;
  template <class T>
  friend class resource_pool;

  lease(detail::index_queue& from, std::size_t index) noexcept : queue_{&from}, index_{index} {}
  [[noreturn]] static void throw_empty() { throw std::logic_error{"lease: it holds nothing (released or moved from)"}; }
  // The index will not come back.
  void retire() noexcept {
    if (detail::index_queue* const from = std::exchange(queue_, nullptr)) from->retire_one();
  }

  detail::index_queue* queue_ = nullptr;
  std::size_t index_ = 0;
};

/// A lease of an object of a resource_pool<T>.
template <class T>
class [[nodiscard]] lease<T&> {
 public:
  /// Holds nothing, as does a lease that was moved from.
  lease() = default;
  lease(lease&& other) noexcept = default;
  lease& operator=(lease&& other) noexcept {
    lease taken{std::move(other)};
    std::swap(index_, taken.index_);
    std::swap(pool_, taken.pool_);
    return *this;
  }
  ~lease() { release(); }

  /// Whether it holds an object.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(index_); }
  /// The object, which the pool owns: valid as long as the lease. Throws std::logic_error if it holds none.
  [[nodiscard]] T& operator*() const {
    std::size_t const index = *index_;  // throws before there is no pool
    return pool_->resource(index);
  }
  [[nodiscard]] T* operator->() const { return &**this; }

  /// Gives the object back now, after its health check; does nothing if it holds none.
  void release() noexcept {
    if (index_) pool_->take_back(std::move(index_));
  }

 private:
  friend class resource_pool<T>;

  lease(resource_pool<T>& from, lease<std::size_t> index) noexcept : index_{std::move(index)}, pool_{&from} {}

  lease<std::size_t> index_;
  resource_pool<T>* pool_ = nullptr;
};

}  // namespace penstock
