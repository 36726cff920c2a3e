// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/stage_state.hpp"

#include <tbb/flow_graph.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace penstock::detail {

/// Where a stage meets the scheduler: its flow-graph node, and the count of wake-ups that have been posted and not
/// started. A wake-up may be announced twice (a message to the node that came late, an engine-owned thread that took
/// over), but is claimed once; an announcement that finds nothing to claim does nothing. Lives as long as its core.
class runner_node {
 public:
  explicit runner_node(stage_state& stage) noexcept : stage_{stage} {}

  [[nodiscard]] stage_state& stage() const noexcept { return stage_; }

  void post(std::uint64_t tick) noexcept {
    posted_at_.store(tick, std::memory_order_relaxed);
    posted_.fetch_add(1, std::memory_order_seq_cst);  // before the poster looks whether the watch sleeps
  }
  [[nodiscard]] bool claim() noexcept {
    int posted = posted_.load(std::memory_order_relaxed);
    while (posted > 0) {
      if (posted_.compare_exchange_weak(posted, posted - 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }
  [[nodiscard]] int posted() const noexcept { return posted_.load(std::memory_order_seq_cst); }
  [[nodiscard]] std::uint64_t posted_at() const noexcept { return posted_at_.load(std::memory_order_relaxed); }
  void postpone(std::uint64_t tick) noexcept { posted_at_.store(tick, std::memory_order_relaxed); }

  int announced = 0;                        // how often runner_threads is told of it, guarded by its mutex
  runner_node* next_announced = nullptr;    // likewise
  std::uint32_t finished_at_last_tick = 0;  // the watch's own notes
  std::uint64_t body_ended_at = 0;          // a tick
  int ticks_stuck = 0;

  // Made by the engine when there is an arena; a message means "run".
  std::unique_ptr<tbb::flow::function_node<int>> node;

 private:
  stage_state& stage_;
  std::atomic<int> posted_{0};
  std::atomic<std::uint64_t> posted_at_{0};
};

}  // namespace penstock::detail
