// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

namespace penstock::cli {

/// Bounds the bytes held by all leases together; a lease larger than the whole budget is given out alone.
///
/// Thread-safe. acquire() blocks until there is room; whoever holds a lease must not wait for another one. Leases must
/// not outlive the budget.
class byte_budget {
 public:
  class lease {
   public:
    lease() = default;
    lease(lease&& other) noexcept
        : budget_{std::exchange(other.budget_, nullptr)}, size_bytes_{std::exchange(other.size_bytes_, 0)} {}
    lease& operator=(lease&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(size_bytes_, other.size_bytes_);
      return *this;
    }
    ~lease() {
      if (budget_ != nullptr) budget_->release(size_bytes_);
    }

   private:
    friend byte_budget;
    lease(byte_budget& budget, std::size_t size_bytes) : budget_{&budget}, size_bytes_{size_bytes} {}

    byte_budget* budget_ = nullptr;
    std::size_t size_bytes_ = 0;
  };

  explicit byte_budget(std::size_t limit_bytes) : limit_bytes_{limit_bytes} {}

  [[nodiscard]] lease acquire(std::size_t size_bytes) {
    std::unique_lock lock{mutex_};
    room_.wait(lock, [&] { return used_bytes_ == 0 || used_bytes_ + size_bytes <= limit_bytes_; });
    used_bytes_ += size_bytes;
    return {*this, size_bytes};
  }

 private:
  void release(std::size_t size_bytes) noexcept {
    {
      std::lock_guard const lock{mutex_};
      used_bytes_ -= size_bytes;
    }
    room_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable room_;
  std::size_t const limit_bytes_;
  std::size_t used_bytes_ = 0;  // guarded by mutex_
};

}  // namespace penstock::cli
