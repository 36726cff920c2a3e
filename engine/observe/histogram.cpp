// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/histogram.hpp"

namespace penstock::detail {

duration_summary histogram::summary() const noexcept {
  std::array<std::uint64_t, bucket_count> counts{};
  std::uint64_t total = 0;
  std::size_t last = 0;  // the last that is not empty
  for (std::size_t i = 0; i < bucket_count; ++i) {
    counts[i] = buckets_[i].load(std::memory_order_relaxed);
    total += counts[i];
    if (counts[i] != 0) last = i;
  }
  if (total == 0) return {};
  // The longest duration may have been counted before it can be seen as the longest.
  std::uint64_t const longest = std::max(longest_.load(std::memory_order_relaxed), first_of(last));

  auto const percentile = [&](std::uint64_t percent) {
    std::uint64_t const rank = total / 100 * percent + (total % 100 * percent + 99) / 100;  // rounded up, from 1 on
    if (rank == total) return std::chrono::nanoseconds{longest};
    std::size_t bucket = 0;
    for (std::uint64_t passed = counts[0]; passed < rank; passed += counts[bucket]) ++bucket;
    return std::chrono::nanoseconds{std::min(first_of(bucket) + width_of(bucket) / 2, longest)};
  };
  return {.count = total,
          .p50 = percentile(50),
          .p90 = percentile(90),
          .p99 = percentile(99),
          .max = std::chrono::nanoseconds{longest}};
}

histogram::sums histogram::sum() const noexcept {
  sums found;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    std::uint64_t const count = buckets_[i].load(std::memory_order_relaxed);
    found.count += count;
    found.time += std::chrono::nanoseconds{count * (first_of(i) + width_of(i) / 2)};
  }
  return found;
}

void histogram::clear() noexcept {
  for (auto& each : buckets_) each.store(0, std::memory_order_relaxed);
  longest_.store(0, std::memory_order_relaxed);
}

}  // namespace penstock::detail
