// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/batching.hpp"
#include "engine/flow/delayed_cells.hpp"
#include "engine/flow/runner_node.hpp"
#include "engine/flow/runner_threads.hpp"

#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace penstock::detail {

/// The process's scheduler of runners: one TBB arena of fixed size with a flow graph in it, engine-owned threads, and a
/// watch that sees to it that a wake-up which the arena does not start within a millisecond or two (its slots are full
/// of blocked bodies, or the host program holds a tbb::global_control) is taken by one of those threads.
///
/// Made at the first scatter; lives as long as the program. PENSTOCK_RUNNERS=threads does without the arena.
/// Thread-safe; does not block.
class engine {
 public:
  static engine& instance();

  /// A new node for a core; never fails halfway.
  [[nodiscard]] runner_node& make_node(stage_state& stage);
  /// Lets one runner of the node's stage start.
  void post(runner_node& node) noexcept;
  /// Lets a cell be tried again at a time, to within a few milliseconds; false when there is no memory for that.
  [[nodiscard]] bool delay(cell& waiting, delayed_cells::clock::time_point due) noexcept;
  void take_delayed(auto const& is_wanted, auto const& take) noexcept { delayed_.take_all(is_wanted, take); }
  /// Whether the arena's runners are to give way: another stage has waited for a slot.
  [[nodiscard]] bool is_slot_awaited() const noexcept {
    return next_in_arena_.load(std::memory_order_relaxed) != nullptr;
  }
  /// Sees to it that the watch is awake: there are ready cells for which no wake-up was posted.
  void keep_watch() noexcept {
    if (watch_sleeps_.load(std::memory_order_seq_cst)) wake_watch();
  }

 private:
  enum class arena_state : std::uint8_t {
    none,    // threads only, by choice
    closed,  // the host program allows TBB too few threads at present
    open
  };

  struct start_runner {
    engine& scheduler;
    runner_node& node;
    tbb::flow::continue_msg operator()(int message) const noexcept;
  };

  engine();
  void open_arena();
  void make_flow_node(runner_node& node);
  void run_from_arena(runner_node& node) noexcept;
  [[nodiscard]] bool arena_starved() const noexcept {
    return starved_.load(std::memory_order_relaxed) && in_arena_.load(std::memory_order_relaxed) > 0;
  }

  void watch() noexcept;
  void wake_watch() noexcept;
  bool look_after_nodes() noexcept;
  [[nodiscard]] bool can_be_relieved(stage_state const& held_back) const noexcept;
  bool start_batches_after(stage_state const& held_back) noexcept;
  bool look_after_batches(runner_node& node, batching::clock::time_point now) noexcept;
  [[nodiscard]] static bool can_be_joined(stage_state const& forming) noexcept;
  [[nodiscard]] bool slots_are_in_good_use(std::uint64_t tick) noexcept;

  int const processors_;
  int const slots_;
  runner_threads threads_;

  std::optional<tbb::global_control> allow_workers_;
  std::optional<tbb::task_arena> arena_;
  std::optional<tbb::flow::graph> graph_;
  std::atomic<arena_state> state_{arena_state::none};
  // The arena has let a wake-up wait. Until it starts a message again, or its slots are in good use, wake-ups go to the
  // engine's threads at once.
  std::atomic<bool> starved_{false};
  std::atomic<int> in_arena_{0};  // messages that it has not started

  std::atomic<runner_node*> next_in_arena_{nullptr};  // whose wake-up is late, though the slots are in good use

  std::mutex nodes_mutex_;
  std::vector<std::unique_ptr<runner_node>> nodes_;  // guarded by nodes_mutex_

  delayed_cells delayed_;

  std::atomic<std::uint64_t> tick_{0};
  std::atomic<bool> watch_sleeps_{false};
  std::mutex watch_mutex_;
  std::condition_variable watch_wanted_;
  batching::clock::time_point next_batch_due_;  // the watch's own
  std::uint64_t body_ended_at_ = 0;             // the last tick at which some had; likewise
  std::uint64_t filled_asked_at_ = 0;           // a tick; likewise
  int filled_ = 0;                              // for so many more ticks; likewise
};

}  // namespace penstock::detail
