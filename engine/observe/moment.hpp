// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::detail {

/// The newest moment of the clock's tick, as bits; read for every item, so with nothing else in its line. Before the
/// first tick it is no moment that there could be otherwise.
struct alignas(64) newest_tick {
  std::atomic<std::uint64_t> bits{1U << 11U};
};
inline constinit newest_tick newest_moment{};

/// A moment, in 56 bits: that is what a cell has room for.
///
/// Taken in one of two ways. now() reads the clock. last_tick() does not: it is one load, and gives the moment of the
/// clock's last tick, which somebody has to call tick() for, at least a millisecond apart. Both carry the number of that
/// tick. So between two moments with two ticks or more a whole millisecond has passed for certain, however late the
/// ticks came; with one tick, or none, nobody knows. Moments more than 39 hours apart are not told from closer ones.
class moment {
 public:
  constexpr moment() noexcept = default;
  constexpr explicit moment(std::uint64_t bits) noexcept : bits_{bits} {}

  /// `for_all`: all moments of this kind are read at present, not one in so many.
  [[nodiscard]] static moment at(std::chrono::steady_clock::time_point time, bool for_all) noexcept {
    return moment{steps(time) << time_shift | (newest_moment.bits.load(std::memory_order_relaxed) & tick_mask) |
                  read_mark | (for_all ? for_all_mark : 0)};
  }
  [[nodiscard]] static moment now(bool for_all) noexcept { return at(std::chrono::steady_clock::now(), for_all); }
  [[nodiscard]] static moment last_tick() noexcept {
    return moment{newest_moment.bits.load(std::memory_order_relaxed)};
  }
  /// One thread only.
  static void tick() noexcept {
    std::uint64_t const last = newest_moment.bits.load(std::memory_order_relaxed);
    newest_moment.bits.store(steps(std::chrono::steady_clock::now()) << time_shift | ((last + tick_unit) & tick_mask),
                             std::memory_order_relaxed);
  }

  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr bool exists() const noexcept { return bits_ != 0; }
  [[nodiscard]] constexpr bool was_read() const noexcept { return (bits_ & read_mark) != 0; }
  [[nodiscard]] constexpr bool for_all() const noexcept { return (bits_ & for_all_mark) != 0; }
  /// The time since an earlier moment; one that was not read makes it up to a tick longer.
  [[nodiscard]] constexpr std::chrono::nanoseconds since(moment earlier) const noexcept {
    std::uint64_t const passed = ((bits_ >> time_shift) - (earlier.bits_ >> time_shift)) & time_mask;
    if (passed > time_mask / 2) return std::chrono::nanoseconds{0};  // it was not earlier
    return std::chrono::nanoseconds{static_cast<std::int64_t>(passed * step)};
  }
  /// Whether the time since an earlier moment is seen to be long by the ticks alone, so alike for all moments.
  [[nodiscard]] constexpr bool is_long_after(moment earlier) const noexcept {
    return (((bits_ & tick_mask) - (earlier.bits_ & tick_mask)) & tick_mask) >= 2 * tick_unit ||
           since(earlier) > longest_by_ticks;
  }

  friend constexpr bool operator==(moment, moment) noexcept = default;

 private:
  static constexpr std::uint64_t read_mark = 1;
  static constexpr std::uint64_t for_all_mark = 2;
  static constexpr std::uint64_t tick_unit = 4;  // ten bits of ticks
  static constexpr unsigned time_shift = 12;
  static constexpr std::uint64_t tick_mask = (std::uint64_t{1} << time_shift) - tick_unit;
  static constexpr std::uint64_t time_mask = (std::uint64_t{1} << 44U) - 1;
  static constexpr std::uint64_t step = 8;                           // nanoseconds
  static constexpr std::chrono::milliseconds longest_by_ticks{500};  // before they begin again

  static std::uint64_t steps(std::chrono::steady_clock::time_point time) noexcept {
    auto const since_start = std::chrono::nanoseconds{time.time_since_epoch()}.count();
    return static_cast<std::uint64_t>(since_start) / step & time_mask;
  }

  std::uint64_t bits_ = 0;
};

}  // namespace penstock::detail
