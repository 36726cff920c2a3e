// SPDX-License-Identifier: Apache-2.0
// Bodies that take batches, for tests.
#pragma once

#include <penstock/batch.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <vector>

namespace penstock::test {

/// No test may depend on it: as long as this, no batch starts because its time has come.
inline constexpr std::chrono::hours for_ever{1};

/// The sizes of the batches that a body was called with.
class call_log {
 public:
  void add(std::size_t size) {
    std::lock_guard const lock{mutex_};
    sizes_.push_back(size);
  }
  [[nodiscard]] std::vector<std::size_t> sizes() const {
    std::lock_guard const lock{mutex_};
    return sizes_;
  }
  [[nodiscard]] std::vector<std::size_t> sorted() const {
    auto found = sizes();
    std::ranges::sort(found);
    return found;
  }

 private:
  std::mutex mutable mutex_;
  std::vector<std::size_t> sizes_;
};

/// Doubles every number, and logs how many there were.
inline auto doubling(call_log& calls) {
  return [&calls](batch<int const> numbers) {
    calls.add(numbers.size());
    std::vector<int> doubled;
    for (int const number : numbers) doubled.push_back(2 * number);
    return doubled;
  };
}

}  // namespace penstock::test
