// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::detail {

class stage_state;

/// What a stage whose body takes batches knows of them.
///
/// Ready items wait in the stage's queue, as everywhere, until they make a batch: the queue is ripe when it holds a full one,
/// or when it is told to start with what there is. Until then it looks empty to runners. Which items are a batch is decided
/// when a runner takes them, so that items which come while all slots are in use still join.
/// All is written with the stage's ready_mutex_ held, but for running and who wants a batch; read by all.
class batching {
 public:
  using clock = std::chrono::steady_clock;

  /// For a new stage; those who wait for the one before may still be counted, and go.
  void open(std::size_t limit, std::chrono::milliseconds wait) noexcept;

  [[nodiscard]] std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  [[nodiscard]] clock::duration wait() const noexcept { return wait_.load(std::memory_order_relaxed); }
  /// How many items are ready and not in a batch.
  [[nodiscard]] std::uint32_t forming() const noexcept { return forming_.load(std::memory_order_seq_cst); }
  /// How many are in one.
  [[nodiscard]] std::uint32_t running() const noexcept { return running_.load(std::memory_order_seq_cst); }
  [[nodiscard]] bool is_ripe() const noexcept {
    std::uint32_t const ready = forming();
    return ready >= limit() || (ready > 0 && starts_.load(std::memory_order_seq_cst));
  }
  /// When the oldest item will have waited for .batch_wait; clock::time_point::max() where that is of no interest.
  [[nodiscard]] clock::time_point due() const noexcept { return due_.load(std::memory_order_seq_cst); }

  void add(std::uint32_t ready, clock::time_point now) noexcept;
  void set_forming(std::uint32_t ready) noexcept { forming_.store(ready, std::memory_order_seq_cst); }
  /// The queue is ripe from now on, and as long as `starts` if it is not full; what is left is due then.
  void set_start(bool starts, clock::time_point due = clock::time_point::max()) noexcept;
  void begin(std::uint32_t items) noexcept { running_.fetch_add(items, std::memory_order_seq_cst); }
  void end_one() noexcept { running_.fetch_sub(1, std::memory_order_seq_cst); }

  /// Threads that wait in a gather, and in a scatter for room, of this stage or of one that its items go to.
  [[nodiscard]] bool is_gathered() const noexcept { return gathers_.load(std::memory_order_seq_cst) > 0; }
  [[nodiscard]] bool is_full() const noexcept { return scatters_.load(std::memory_order_seq_cst) > 0; }

 private:
  friend class batch_wanted;

  std::atomic<std::uint32_t> limit_{1};
  std::atomic<clock::duration> wait_{};
  std::atomic<std::uint32_t> forming_{0};
  std::atomic<std::uint32_t> running_{0};
  std::atomic<bool> starts_{false};
  std::atomic<clock::time_point> due_{clock::time_point::max()};
  std::atomic<int> gathers_{0};
  std::atomic<int> scatters_{0};
};

/// While it lives, this thread waits for items of a stage, so that it and all that its items come from start their last
/// batches without waiting for others to come.
class batch_wanted {
 public:
  enum class by : std::uint8_t { gather, scatter };

  batch_wanted(stage_state& stage, by who) noexcept;
  batch_wanted(batch_wanted const&) = delete;
  batch_wanted& operator=(batch_wanted const&) = delete;
  ~batch_wanted();

 private:
  void count(stage_state& in, int change) const noexcept;

  stage_state* stage_ = nullptr;
  by who_;
  std::vector<stage_state*> upstreams_;
};

}  // namespace penstock::detail
