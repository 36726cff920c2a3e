// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/duration_summary.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace penstock::detail {

/// Counts durations by their length, for a duration_summary.
///
/// The nanoseconds between two powers of two are divided into eight buckets of one width, so a bucket is at most 1/8 of
/// its durations wide and its middle is at most 1/16 away from each; below 16 ns every duration has its own. Negative
/// durations count as zero, those of 2^47 ns (39 hours) and more as a little less than that; the longest one is kept as
/// it is. 2,888 bytes.
///
/// The weight of a duration is how many items it stands for, itself included. Who records one item in 64 gives it 64.
/// Who also wants every item beyond a limit records those with 1, and only once, even when it is the turn of one to be
/// sampled; an item up to the limit goes in with 64 if it is sampled, and else not at all. Then counts and percentiles
/// are right on both sides of the limit: a sampled item stands only for those up to the limit, as all others are there
/// themselves. A long item that goes in with 64, or twice, makes long ones look more frequent than they are.
///
/// Thread-safe, lock-free, and never allocates. record() waits for nobody: it is one atomic addition, and an exchange
/// when the duration is the longest so far, tried again only if another thread has raised the longest meanwhile. It
/// orders nothing. The counters have 64 bits and do not overflow.
class histogram {
 public:
  void record(std::chrono::nanoseconds duration, std::uint32_t weight = 1) noexcept {
    auto const ns = static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(duration.count(), 0));
    std::uint64_t longest = longest_.load(std::memory_order_relaxed);
    while (ns > longest && !longest_.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
    }
    buckets_[bucket_of(ns)].fetch_add(weight, std::memory_order_relaxed);
  }

  /// A percentile is the middle of its bucket, but never more than the longest duration, and is exactly that one when it
  /// is the last in rank.
  [[nodiscard]] duration_summary summary() const noexcept;

  struct sums {
    std::uint64_t count = 0;
    std::chrono::nanoseconds time{0};
  };
  /// All durations together, each taken as the middle of its bucket.
  [[nodiscard]] sums sum() const noexcept;

  /// Not while others record: what they record then may remain in part.
  void clear() noexcept;

 private:
  static constexpr unsigned divided = 3;  // powers of two are divided into 2^this buckets
  static constexpr std::uint64_t parts = std::uint64_t{1} << divided;
  static constexpr unsigned powers = 47;  // of two that are covered
  static constexpr std::size_t bucket_count = (powers - divided + 1) * parts;

  // The first 2 * parts buckets are one wide, the next `parts` ones two wide, and so on.
  static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
    ns = std::min(ns, (std::uint64_t{1} << powers) - 1);
    auto const shift = static_cast<unsigned>(std::bit_width(ns | parts)) - (divided + 1);
    return shift * parts + (ns >> shift);
  }
  static constexpr std::uint64_t width_of(std::size_t bucket) noexcept {
    return std::uint64_t{1} << (std::max<std::uint64_t>(bucket / parts, 1) - 1);
  }
  static constexpr std::uint64_t first_of(std::size_t bucket) noexcept {
    return bucket < parts ? bucket : (parts + bucket % parts) * width_of(bucket);
  }

  std::array<std::atomic<std::uint64_t>, bucket_count> buckets_{};
  std::atomic<std::uint64_t> longest_{0};  // beside the buckets of the longest durations: nobody writes there
};

}  // namespace penstock::detail
