// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::detail {

/// The last two ticks of the engine's clock. Read for every item, so with nothing else in their line.
struct alignas(64) tick_times {
  static constexpr std::uint32_t before_first = 4;  // like no other, and not like none
  std::atomic<std::uint32_t> last_as_moment{before_first};
  std::atomic<std::int64_t> last{0};    // nanoseconds
  std::atomic<std::int64_t> before{0};  // likewise
};
inline constinit tick_times ticks{};

/// A moment, in 46 bits: that is what a cell has room for.
///
/// Taken in one of two ways. at() keeps a time that was read from the clock. last_tick() reads no clock: it is one load,
/// and gives the time of the last tick, for which somebody has to call tick(), at least a millisecond apart. When two
/// ticks have come since a moment, a whole millisecond has passed for certain, however late they were; with one, or none,
/// nobody knows. Moments more than 19 hours ago are not told from later ones.
class moment {
 public:
  using clock = std::chrono::steady_clock;

  constexpr moment() noexcept = default;  // none
  constexpr moment(std::uint32_t low, std::uint16_t high) noexcept : low_{low}, high_{high} {}

  /// `for_all`: all moments of this kind are read at present, not one in so many.
  [[nodiscard]] static moment at(clock::time_point time, bool for_all) noexcept {
    std::uint64_t const steps = ns(time) >> step;
    return {static_cast<std::uint32_t>((steps & low_steps) << 2U) | read_mark | (for_all ? for_all_mark : 0),
            static_cast<std::uint16_t>(steps >> low_bits & ((1U << high_bits) - 1))};
  }
  [[nodiscard]] static moment last_tick() noexcept { return {ticks.last_as_moment.load(std::memory_order_relaxed), 0}; }
  /// One thread only.
  static void tick() noexcept {
    std::uint64_t const now = ns(clock::now());
    std::int64_t const last = ticks.last.load(std::memory_order_relaxed);
    ticks.before.store(last, std::memory_order_relaxed);
    ticks.last.store(static_cast<std::int64_t>(now), std::memory_order_relaxed);
    ticks.last_as_moment.store(static_cast<std::uint32_t>(now >> tick_step) << 2U, std::memory_order_relaxed);
  }

  [[nodiscard]] constexpr std::uint32_t low() const noexcept { return low_; }
  [[nodiscard]] constexpr std::uint16_t high() const noexcept { return high_; }
  [[nodiscard]] constexpr bool exists() const noexcept { return low_ != 0; }
  [[nodiscard]] constexpr bool was_read() const noexcept { return (low_ & read_mark) != 0; }
  [[nodiscard]] constexpr bool for_all() const noexcept { return (low_ & for_all_mark) != 0; }
  /// The time from this moment until `time`; from a tick on, if that was taken. Never too short. None when `time` is
  /// earlier.
  [[nodiscard]] std::chrono::nanoseconds until(clock::time_point time) const noexcept {
    if (low_ == tick_times::before_first) return std::chrono::nanoseconds{0};  // nobody knows
    return std::chrono::nanoseconds{static_cast<std::int64_t>(units_until(ns(time) + (1U << unit()) - 1) << unit())};
  }
  /// Whether two ticks have come since.
  [[nodiscard]] bool is_long_ago() const noexcept {
    std::int64_t const before = ticks.before.load(std::memory_order_relaxed);
    return before != 0 && low_ != tick_times::before_first && units_until(static_cast<std::uint64_t>(before)) > 0;
  }

  friend constexpr bool operator==(moment, moment) noexcept = default;

 private:
  static constexpr std::uint32_t read_mark = 1;
  static constexpr std::uint32_t for_all_mark = 2;
  static constexpr unsigned low_bits = 30;
  static constexpr unsigned high_bits = 14;
  static constexpr std::uint64_t low_steps = (std::uint64_t{1} << low_bits) - 1;
  // Units of time, as powers of two of nanoseconds: 8 ns, and 131 us, which is much less than from tick to tick.
  static constexpr unsigned step = 3;
  static constexpr unsigned tick_step = 17;

  static std::uint64_t ns(clock::time_point time) noexcept {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds{time.time_since_epoch()}.count());
  }
  [[nodiscard]] constexpr unsigned unit() const noexcept { return was_read() ? step : tick_step; }
  [[nodiscard]] constexpr std::uint64_t units_until(std::uint64_t time) const noexcept {
    std::uint64_t const all = was_read() ? (std::uint64_t{1} << (low_bits + high_bits)) - 1 : low_steps;
    std::uint64_t const own = was_read() ? std::uint64_t{high_} << low_bits | low_ >> 2U : low_ >> 2U;
    std::uint64_t const passed = ((time >> unit()) - own) & all;
    return passed > all / 2 ? 0 : passed;
  }

  std::uint32_t low_ = 0;
  std::uint16_t high_ = 0;
};

}  // namespace penstock::detail
