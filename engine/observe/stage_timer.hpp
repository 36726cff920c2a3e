// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/observe/moment.hpp"

#include <penstock/duration_summary.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace penstock::detail {

/// What a stage_timer knows, in sums over all items, those included that a measured one stands for.
struct timing_figures {
  std::uint64_t bodies = 0;             // that have ended
  std::chrono::nanoseconds busy{0};     // of these
  std::chrono::nanoseconds running{0};  // of bodies that have not ended, so far
  std::uint64_t waits = 0;              // of items whose bodies have ended
  std::chrono::nanoseconds wait{0};     // of these
  std::chrono::nanoseconds median_wait{0};
  std::chrono::nanoseconds blocked{0};  // of threads that have waited for room
  double processor_share = 0;           // of a body's time, what its thread computed; negative when it is not known
  bool never_slept = false;             // bodies have not waited: when they are slow, they computed or were held up
  std::chrono::steady_clock::time_point first_ready;  // the epoch when there was none
  std::chrono::steady_clock::time_point last_end;
};

/// Measures how long a stage's items wait and its bodies run.
///
/// In a stage whose bodies take 20 us or more, every item is measured. In others that would cost too much: there one in
/// 64 is, and stands for 64. Besides, each wait and each body that two ticks fall into (see moment) is caught, and stands
/// for itself: it is longer than one millisecond for certain. Its duration may be up to a tick too long. As the ticks
/// decide that for the sampled items too, none counts twice; see histogram.
///
/// Thread-safe, lock-free. Allocates once, at the first measured item, and measures nothing when there is no memory.
class stage_timer {
 public:
  static constexpr std::size_t sampled_every = 64;

  stage_timer() = default;
  ~stage_timer();
  stage_timer(stage_timer const&) = delete;
  stage_timer& operator=(stage_timer const&) = delete;

  /// An item on its way through its body.
  struct item {
    moment tick;  // the last one at its start
    struct measurement {
      std::chrono::steady_clock::time_point start;
      bool sampled = false;
      bool for_all = false;  // all bodies are measured
      bool waited_long = false;
      bool at_once = false;     // it did not wait
      std::uint64_t noted = 0;  // in `running` of the record, if not 0
      std::int64_t processor_time = -1;
      std::int64_t sleeps = 0;
    };
    std::optional<measurement> measured;  // none for most items
  };

  /// An item can be run from now on: what start() and end() are to be told of it.
  [[nodiscard]] moment ready(std::size_t index) const noexcept {
    bool const for_all = times_all_.load(std::memory_order_relaxed);
    if (for_all || index % sampled_every == 0) return moment::at(std::chrono::steady_clock::now(), for_all);
    return moment::last_tick();
  }
  /// Its body starts. Without a moment of `ready` its wait is not measured.
  [[nodiscard]] item start(moment ready, std::size_t index) noexcept {
    moment const tick = moment::last_tick();
    if (ready == tick) return {.tick = tick, .measured = std::nullopt};  // neither is it sampled, nor are bodies long
    return start_measured(ready, tick, index);
  }
  /// Whether start() measures nothing of an item that has become ready at `ready` with others, and is not sampled.
  [[nodiscard]] bool skips(moment ready) const noexcept {
    return !times_all_.load(std::memory_order_relaxed) && !ready.is_long_ago();
  }
  /// start() for one that has become ready this very moment: it waits for nothing.
  [[nodiscard]] item start_at_once(std::size_t index) noexcept {
    moment const tick = moment::last_tick();
    if (index % sampled_every != 0 && !times_all_.load(std::memory_order_relaxed)) {
      return {.tick = tick, .measured = std::nullopt};
    }
    item started = start_measured(moment{}, tick, index);
    if (started.measured) started.measured->at_once = true;
    return started;
  }
  /// Its body has ended; nothing counts when it has not run after all. The
  /// duration of one that was sampled, else a negative one.
  std::chrono::nanoseconds end(item const& ended, moment ready, bool has_run) noexcept {
    if (!ended.measured && ended.tick == moment::last_tick()) return std::chrono::nanoseconds{-1};
    return end_measured(ended, ready, has_run);
  }
  /// Whether a body that took long, the last one that was asked, waited most of its time rather than compute.
  [[nodiscard]] bool bodies_wait() const noexcept { return bodies_wait_.load(std::memory_order_relaxed); }
  /// A thread has waited for room.
  void blocked(std::chrono::nanoseconds duration) noexcept;

  /// For the next stage of the core. Not while anybody measures.
  void reset() noexcept;

  [[nodiscard]] duration_summary busy() const noexcept;
  [[nodiscard]] duration_summary wait() const noexcept;
  [[nodiscard]] timing_figures figures() const noexcept;

 private:
  struct record;

  [[nodiscard]] record* made_record() noexcept;
  [[nodiscard]] item start_measured(moment ready, moment tick, std::size_t index) noexcept;
  std::chrono::nanoseconds end_measured(item const& ended, moment ready, bool has_run) noexcept;

  std::atomic<bool> times_all_{true};  // bodies are long, or nothing is known of them
  std::atomic<bool> bodies_wait_{false};
  std::atomic<record*> record_{nullptr};
};

}  // namespace penstock::detail
