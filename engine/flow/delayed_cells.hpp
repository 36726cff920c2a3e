// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>

#include <chrono>
#include <map>
#include <mutex>

namespace penstock::detail {

/// Cells that wait for a time, the next attempt of an item. Thread-safe; does not block.
class delayed_cells {
 public:
  using clock = std::chrono::steady_clock;

  /// Throws std::bad_alloc.
  void add(clock::time_point due, cell& waiting) {
    std::lock_guard const lock{mutex_};
    cells_.emplace(due, &waiting);
  }
  /// When the first of them is due; clock::time_point::max() when there is none.
  [[nodiscard]] clock::time_point next_due() noexcept {
    std::lock_guard const lock{mutex_};
    return cells_.empty() ? clock::time_point::max() : cells_.begin()->first;
  }
  /// Takes out one that is due by then; null when there is none.
  [[nodiscard]] cell* take_due(clock::time_point now) noexcept {
    std::lock_guard const lock{mutex_};
    if (cells_.empty() || cells_.begin()->first > now) return nullptr;
    cell* const found = cells_.begin()->second;
    cells_.erase(cells_.begin());
    return found;
  }
  /// Takes out all that `is_wanted` accepts and passes them to `take`; both are called with a lock held.
  void take_all(auto const& is_wanted, auto const& take) noexcept {
    std::lock_guard const lock{mutex_};
    for (auto each = cells_.begin(); each != cells_.end();) {
      if (is_wanted(*each->second)) {
        take(*each->second);
        each = cells_.erase(each);
      } else {
        ++each;
      }
    }
  }

 private:
  std::mutex mutex_;
  std::multimap<clock::time_point, cell*> cells_;  // guarded by mutex_
};

}  // namespace penstock::detail
