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
/// when a runner takes them, so that items which come while all slots are in use still join. Items that are tried again
/// stand apart: each is a batch of its own, as it may fail whatever it is in.
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
  /// How many wait for another attempt: all, and those whose time has come.
  [[nodiscard]] std::uint32_t apart() const noexcept { return apart_.load(std::memory_order_seq_cst); }
  [[nodiscard]] std::uint32_t alone() const noexcept { return alone_.load(std::memory_order_seq_cst); }
  /// Whether no body is at work: there is none, or it waits for other items.
  [[nodiscard]] bool is_idle() const noexcept { return running() <= waiting_.load(std::memory_order_seq_cst); }
  [[nodiscard]] bool is_ripe() const noexcept {
    std::uint32_t const ready = forming();
    return ready >= limit() || (ready > 0 && starts_.load(std::memory_order_seq_cst));
  }
  /// When the oldest item will have waited for .batch_wait; clock::time_point::max() where that is of no interest.
  [[nodiscard]] clock::time_point due() const noexcept { return due_.load(std::memory_order_seq_cst); }

  void add(std::uint32_t ready, clock::time_point now) noexcept;
  void set_forming(std::uint32_t ready, std::uint32_t awaited) noexcept {
    awaited_.store(awaited, std::memory_order_seq_cst);
    forming_.store(ready, std::memory_order_seq_cst);
  }
  void add_awaited() noexcept { awaited_.fetch_add(1, std::memory_order_seq_cst); }
  /// How many of those that are forming have a thread that waits for just them.
  [[nodiscard]] std::uint32_t awaited() const noexcept { return awaited_.load(std::memory_order_relaxed); }
  /// The queue is ripe from now on, and as long as `starts` if it is not full; what is left is due then.
  void set_start(bool starts, clock::time_point due = clock::time_point::max()) noexcept;
  void begin(std::uint32_t items) noexcept { running_.fetch_add(items, std::memory_order_seq_cst); }
  void end_one() noexcept { running_.fetch_sub(1, std::memory_order_seq_cst); }
  void set_apart() noexcept { apart_.fetch_add(1, std::memory_order_seq_cst); }
  void end_apart() noexcept { apart_.fetch_sub(1, std::memory_order_seq_cst); }
  void add_alone(std::uint32_t ready) noexcept { alone_.fetch_add(ready, std::memory_order_seq_cst); }
  void take_alone() noexcept { alone_.fetch_sub(1, std::memory_order_seq_cst); }
  /// The body of so many items that are running waits for other items, and goes on.
  void begin_waiting(std::uint32_t items) noexcept { waiting_.fetch_add(items, std::memory_order_seq_cst); }
  void end_waiting(std::uint32_t items) noexcept { waiting_.fetch_sub(items, std::memory_order_seq_cst); }

  /// Threads that wait in a gather, and in a scatter for room, of this stage or of one that its items go to; for whatever
  /// this one gives next, or for one item of a stage that its items go to.
  [[nodiscard]] bool is_gathered() const noexcept { return gathers_.load(std::memory_order_seq_cst) > 0; }
  [[nodiscard]] bool is_awaited() const noexcept {
    return awaits_.load(std::memory_order_seq_cst) > 0 || awaited_.load(std::memory_order_seq_cst) > 0;
  }
  [[nodiscard]] bool is_out_of_room() const noexcept { return scatters_.load(std::memory_order_seq_cst) > 0; }

 private:
  friend class batch_wanted;

  std::atomic<std::uint32_t> limit_{1};
  std::atomic<clock::duration> wait_{};
  std::atomic<std::uint32_t> forming_{0};
  std::atomic<std::uint32_t> awaited_{0};
  std::atomic<std::uint32_t> running_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint32_t> apart_{0};
  std::atomic<std::uint32_t> alone_{0};
  std::atomic<bool> starts_{false};
  std::atomic<clock::time_point> due_{clock::time_point::max()};
  std::atomic<int> gathers_{0};
  std::atomic<int> awaits_{0};
  std::atomic<int> scatters_{0};
};

/// While it lives, somebody waits for items of a stage, so that it and all that its items come from start their last
/// batches without waiting for others to come: see stage_state::is_last_batch(). It may end on another thread.
class batch_wanted {
 public:
  /// One who waits for all of some items, for whichever comes next, for room. The last is only for those that the items
  /// come from: the stage itself knows of a stream that will bring more items, and of who waits for one item.
  enum class by : std::uint8_t { gather, reader, scatter, others };

  batch_wanted(stage_state const& stage, by who) noexcept;
  batch_wanted(batch_wanted const&) = delete;
  batch_wanted& operator=(batch_wanted const&) = delete;
  ~batch_wanted();

  /// Whether there is a stage that takes batches.
  [[nodiscard]] bool has_any() const noexcept { return !wanted_.empty(); }

 private:
  void count(int change) const noexcept;
  [[nodiscard]] std::atomic<int>& counter(batching& batches) const noexcept;

  by who_;
  std::vector<stage_state*> wanted_;  // those that take batches
};

}  // namespace penstock::detail
