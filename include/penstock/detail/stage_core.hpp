// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/detail/cell_row.hpp>
#include <penstock/error.hpp>
#include <penstock/gather_options.hpp>
#include <penstock/stage_options.hpp>
#include <penstock/stage_stats.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace penstock::detail {

class pipeline_core;

/// What claim() found.
enum class claim_result : std::uint8_t { was_listed, was_taken, gathered };

/// The cells of one gather, in scatter order; it owns a share of each. Those that are not popped go back to be gathered.
class cell_batch {
 public:
  cell_batch() = default;
  cell_batch(cell_batch&& other) noexcept
      : cells_{std::exchange(other.cells_, {})}, first_{std::exchange(other.first_, 0)}, items_{other.items_} {}
  cell_batch& operator=(cell_batch&&) = delete;
  ~cell_batch();

  [[nodiscard]] bool empty() const noexcept { return first_ == cells_.size(); }
  /// How many items there were at first: a cell may be a bundle of them.
  [[nodiscard]] std::size_t items() const noexcept { return items_; }
  /// Blocks until all cells are finished; true when none has failed.
  [[nodiscard]] bool wait_all() const noexcept;
  /// The same; calls `report`, unless empty, as they finish. When it throws, all are waited for before that goes on.
  [[nodiscard]] bool wait_all(std::function<void(progress const&)> const& report) const;
  /// What gather() throws about them; at least one must have failed.
  [[nodiscard]] stage_error failure() const;

  /// The first cell; finished before it is popped.
  [[nodiscard]] cell& front() const noexcept { return *cells_[first_]; }
  void pop() noexcept;

 private:
  friend class order_list;

  std::vector<cell*> cells_;
  std::size_t first_ = 0;
  std::size_t items_ = 0;
};

/// New cells of one stage that are ready, on their way to its queue together.
class ready_cells {
 public:
  ready_cells() = default;
  ready_cells(ready_cells const&) = delete;
  ready_cells& operator=(ready_cells const&) = delete;
  ~ready_cells() { send(); }

  void add(cell& runnable) noexcept {
    note_ready(runnable);
    runnable.next_ = newest_;
    newest_ = &runnable;
    if (oldest_ == nullptr) oldest_ = &runnable;
    if (++size_ == most) send();
  }
  void send() noexcept;

 private:
  static constexpr int most = 64;  // so that the first of them do not wait for long

  static void note_ready(cell& runnable) noexcept;

  cell* newest_ = nullptr;
  cell* oldest_ = nullptr;
  int size_ = 0;
};

/// A body that takes batches, as the engine sees it.
class batch_body {
 public:
  /// Whether a ready cell of its stage has an input without a value, so that the body is not to see it.
  [[nodiscard]] virtual bool has_failed_input(cell const& ready) const noexcept = 0;
  /// Runs the body on cells, which may be more than once. Appends each to `done`, with its result or failure, or to `later`,
  /// where it is to be tried again.
  virtual void run(stage_core& stage, cell_row group, cell_row& done, cell_row& later) noexcept = 0;

 protected:
  batch_body() = default;
  ~batch_body() = default;
};

/// What a stage's types tell of the memory that its items need.
struct item_sizes {
  std::size_t fixed = 0;        // of the parameters whose size is always the same
  bool results_differ = false;  // results are of different sizes
};

/// The place of an item and the bytes that its arguments were charged with.
struct item_place : place {
  item_place(place const& taken, std::size_t charged) noexcept : place{taken}, bytes{charged} {}
  std::size_t bytes;
};

/// Places of items that are one behind the other.
struct bundle_place : place {
  bundle_place(place const& first, std::uint32_t places) noexcept : place{first}, count{places} {}
  std::uint32_t count;
};
class bundle;

/// What a stage is to the engine, whatever its types: bounds, the queue of ready cells, the runners that serve it, the
/// list for gather, counters. The engine's own part of it is stage_state.
///
/// Cores live as long as the program; that of a destroyed stage is used again. So a cell, and a late message to its
/// node, may point to its core at any time, whichever end of a chain was destroyed first.
/// Thread-safe. Blocking: admit, detach, retire.
class stage_core {
 public:
  /// A core that is not in use, set up from checked options; with `route`, that of a pipeline; with `batches`, that of a
  /// stage whose body it is. Throws std::invalid_argument.
  static stage_core& open(stage_options const& options, void* body, item_sizes const& sizes = {},
                          pipeline_core* route = nullptr, batch_body* batches = nullptr);
  /// Cancels what has not started, waits for running bodies, drops what could still be gathered.
  void retire() noexcept;

  /// Takes a place for one more item; at capacity, admit() blocks (not inside a body: there it exceeds the bound rather
  /// than deadlock) and try_admit() returns nothing. Before admit() blocks it sends what is in `batch`, if any.
  /// The first call makes the engine; throws what that throws, std::bad_alloc, stage_closed, and a stage_error of a
  /// cancelled stage.
  /// `bytes` is the size of its arguments, as far as that differs from item to item.
  [[nodiscard]] item_place admit(ready_cells* batch = nullptr, std::size_t bytes = 0);
  [[nodiscard]] std::optional<item_place> try_admit(std::size_t bytes = 0);
  /// Gives a place back that was not used after all.
  void dismiss(item_place const& unused) noexcept;
  /// Places for up to `wanted` calls in one bundle, one behind the other; none where it is better, or necessary, to send
  /// them one by one. Does not block. Throws std::bad_alloc.
  [[nodiscard]] std::optional<bundle_place> admit_bundle(std::size_t wanted);
  void dismiss(bundle_place const& unused) noexcept;
  /// Puts a bundle in its place, and in the queue.
  void submit(bundle& added) noexcept;

  /// The bytes of an item's arguments turn out to be others.
  [[nodiscard]] item_place recharge(item_place const& taken, std::size_t bytes) noexcept;
  /// They are gone.
  void discharge_arguments(std::size_t bytes) noexcept;
  /// The bytes of a result that somebody waits for count against the budget of the stage that has made it, until they are
  /// discharged; what the next results may need is guessed from those that were noted.
  void charge_result(std::size_t bytes) noexcept;
  void discharge_result(std::size_t bytes) noexcept;
  void note_result_size(std::size_t bytes) noexcept;
  /// A stream that takes results comes and goes, and waits for one.
  void add_stream(int change) noexcept { streams_.fetch_add(change, std::memory_order_relaxed); }
  void add_waiting_stream(int change) noexcept { waiting_streams_.fetch_add(change, std::memory_order_seq_cst); }
  /// Puts a new cell in its place.
  static void publish(cell& added) noexcept;

  /// Takes a cell out of its stage's gather list, if it still is in it. With `reserve` it must be followed by commit()
  /// or unclaim().
  static claim_result claim(cell& listed, bool reserve = false) noexcept;
  static void commit(cell& claimed) noexcept;
  static void unclaim(cell& claimed) noexcept;
  [[noreturn]] static void throw_already_gathered(cell const& gathered);
  /// Items of the input's stage go into this one. Throws std::bad_alloc.
  void note_upstream(cell const& input) {
    for (auto const& recent : recent_upstreams_) {
      if (recent.load(std::memory_order_relaxed) == input.serial_) return;
    }
    note_new_upstream(input.serial_);
  }
  /// Empties the gather list and starts numbering from 0. Throws would_deadlock inside a body of the stage, or of one
  /// that items have come from.
  [[nodiscard]] cell_batch detach();
  /// The same when all that there is has finished; blocks until then, and takes nothing when that is after the deadline.
  [[nodiscard]] std::optional<cell_batch> detach_finished(std::chrono::steady_clock::time_point deadline);
  /// A gather is over: a cancelled stage can be used again.
  void reopen() noexcept;

  void cancel() noexcept;
  void close() noexcept;

  /// The cell's inputs are finished.
  static void ready(cell& runnable) noexcept;
  /// Runs a cell whose inputs are finished, here and now.
  static void run_inline(cell& runnable) noexcept;

  [[nodiscard]] void* body() const noexcept { return body_; }
  /// The core with the items of whoever scatters here: see pipeline_core.
  [[nodiscard]] stage_core& home() noexcept { return *this; }
  [[nodiscard]] std::size_t capacity() const noexcept;
  /// Null for a stage.
  [[nodiscard]] pipeline_core* route() const noexcept { return route_; }
  [[nodiscard]] bool unpacks() const noexcept { return unpack_; }
  [[nodiscard]] bool runs_inline() const noexcept { return runs_inline_; }
  [[nodiscard]] bool discards() const noexcept { return discards_; }
  [[nodiscard]] int attempts() const noexcept { return attempts_; }
  /// Of how many items the body may be run on at once; 0 where it does not take batches.
  [[nodiscard]] std::size_t batch_limit() const noexcept { return batch_limit_; }
  [[nodiscard]] std::chrono::milliseconds backoff() const noexcept { return backoff_; }
  [[nodiscard]] std::shared_ptr<std::string const> const& name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t serial() const noexcept { return serial_; }
  [[nodiscard]] stage_stats stats() const noexcept;
  /// What is known of the bottleneck in the chain that ends here. Throws std::bad_alloc.
  [[nodiscard]] std::string explain() const;
  /// The token that cancel() and the destructor stop.
  [[nodiscard]] std::stop_token stop_token();

  /// Whether an item of which an attempt has failed may be tried again, and a batch of which a run has: its stage was not
  /// cancelled.
  [[nodiscard]] bool tries_again(cell const& failed) const noexcept;
  /// An attempt after an item's first one begins.
  void count_retry(cell const& of) noexcept;
  /// The record of what a body has just thrown; call it in the handler.
  [[nodiscard]] failure_ptr failure_of_current_exception(std::size_t index, int attempt) const noexcept;
  [[nodiscard]] failure_ptr dropped_failure(std::size_t index) const noexcept;
  /// For a parameter of the body, counted from 1, that cannot be given to every attempt.
  [[noreturn]] static void throw_not_repeatable(stage_options const& options, int parameter);
  [[noreturn]] void throw_not_repeatable() const;
  [[noreturn]] void throw_not_unpacked() const;

 protected:
  stage_core() = default;
  ~stage_core() = default;

  void note_new_upstream(std::uint32_t serial);

  // Set by open().
  void* body_ = nullptr;
  pipeline_core* route_ = nullptr;
  bool unpack_ = true;
  bool runs_inline_ = false;
  bool discards_ = false;
  bool bundles_ = false;  // there may be some
  int attempts_ = 1;
  std::size_t batch_limit_ = 0;
  std::chrono::milliseconds backoff_{0};
  std::uint32_t serial_ = 0;  // of the stage; guarded by the registry's mutex
  std::shared_ptr<std::string const> name_;
  std::atomic<int> streams_{0};
  std::atomic<int> waiting_streams_{0};
  std::array<std::atomic<std::uint32_t>, 2> recent_upstreams_{};  // serials; some of those that have been noted
};

}  // namespace penstock::detail
