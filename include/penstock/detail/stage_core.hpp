// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/error.hpp>
#include <penstock/stage_options.hpp>
#include <penstock/stage_stats.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>

namespace penstock::detail {

class runner_node;

/// What claim() found.
enum class claim_result : std::uint8_t { was_listed, was_taken, gathered };

/// The cells of one gather, in scatter order, each with the gather list's handle.
class cell_batch {
 public:
  cell_batch(cell* first, cell* last, std::size_t size) noexcept : first_{first}, last_{last}, size_{size} {}
  cell_batch(cell_batch&& other) noexcept
      : first_{std::exchange(other.first_, nullptr)}, last_{other.last_}, size_{std::exchange(other.size_, 0)} {}
  cell_batch& operator=(cell_batch&&) = delete;
  ~cell_batch() {
    while (first_ != nullptr) pop();
  }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Blocks until all cells are finished; true when none has failed.
  bool wait_all() const noexcept;
  /// What gather() throws about them; at least one must have failed.
  [[nodiscard]] stage_error failure() const;

  /// Takes the first cell off.
  cell_handle<cell> pop() noexcept {
    cell& taken = *first_;
    first_ = taken.next_listed_;
    --size_;
    return cell_handle<cell>{taken};
  }

 private:
  friend class stage_core;

  cell* first_ = nullptr;
  cell* last_ = nullptr;
  std::size_t size_ = 0;
};

/// What a stage is to the engine, whatever its types: bounds, the queue of ready cells, the runners that serve it, the
/// list for gather, counters.
///
/// Cores live as long as the program, and a retired one is used again only when its last cell has been freed. So a cell,
/// and a late message to its node, may point to its core at any time, whichever end of a chain was destroyed first.
/// Thread-safe. Blocking: admit, retire.
class stage_core {
 public:
  /// A core that is not in use, set up from checked options. Throws std::invalid_argument.
  static stage_core& open(stage_options const& options, void* body);
  /// Cancels what has not started, waits for running bodies, drops what could still be gathered.
  void retire() noexcept;

  /// Takes a place for one more item; at capacity, admit() blocks (not inside a body: there it exceeds the bound rather
  /// than deadlock) and try_admit() fails.
  /// The first call makes the engine; throws what that throws.
  void admit();
  [[nodiscard]] bool try_admit();
  /// Gives a place back that was not used after all.
  void dismiss() noexcept;

  /// Appends a new cell to the gather list and numbers it.
  void enlist(cell& added) noexcept;
  /// Takes a cell out of its stage's gather list, if it still is in it.
  static claim_result claim(cell& listed) noexcept;
  /// Undoes a claim that found it there.
  static void unclaim(cell& claimed) noexcept;
  /// Whether a gather has taken it.
  [[nodiscard]] static bool gathered(cell const& asked) noexcept;
  [[noreturn]] static void throw_already_gathered(cell const& gathered);
  /// Empties the gather list and starts numbering from 0. Throws would_deadlock inside one of the stage's own bodies.
  [[nodiscard]] cell_batch detach();

  /// A cell of this stage has been freed: the last thing that is done with it.
  void forget_cell() noexcept;

  /// All inputs are subscribed: the cell may run when they are finished.
  static void submit(cell& complete) noexcept { complete.notify(); }
  /// The cell's inputs are finished.
  void ready(cell& runnable) noexcept;
  /// Serves ready cells until there are none; called by the engine for a wake-up that it posted.
  void run() noexcept;
  /// Whether one more runner could do something, and how many cells are finished; for the engine's watch over late
  /// wake-ups.
  [[nodiscard]] bool wants_runner() noexcept;
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_.load(std::memory_order_relaxed); }

  /// Whether this thread is in a body, of any stage.
  [[nodiscard]] static bool inside_body() noexcept;

  [[nodiscard]] void* body() const noexcept { return body_; }
  [[nodiscard]] bool unpacks() const noexcept { return unpack_; }
  [[nodiscard]] std::shared_ptr<std::string const> const& name() const noexcept { return name_; }
  [[nodiscard]] stage_stats stats() const noexcept;
  /// The record of what a body has just thrown; call it in the handler.
  [[nodiscard]] failure_ptr describe_current_exception(cell const& failed) const noexcept;

 private:
  friend class core_registry;
  friend class cell;
  stage_core() = default;
  ~stage_core() = default;

  struct returning_body;

  /// A body that waits gives its place among the running ones away, and gets one back before it goes on.
  void leave_slot() noexcept;
  void hand_slot_on() noexcept;
  void regain_slot() noexcept;
  [[nodiscard]] bool wake_next() noexcept;
  void post_runner() noexcept;
  void end_runner(std::unique_lock<adaptive_mutex>& lock) noexcept;
  void finish(cell& finished) noexcept;
  void serve(cell& runnable) noexcept;
  static void refuse(cell& unstarted) noexcept;
  void wait_for_room();
  void join_engine();
  [[nodiscard]] failure_ptr cancelled_failure(cell const& unstarted) const noexcept;

  // Set by open().
  int concurrency_ = 0;
  std::size_t capacity_ = 0;
  bool unpack_ = true;
  void* body_ = nullptr;
  std::shared_ptr<std::string const> name_;
  std::atomic<runner_node*> node_{nullptr};  // set at the first scatter, kept when the core is used again

  // The scattering side.
  alignas(64) std::atomic<std::uint64_t> admitted_{0};
  std::atomic<std::uint64_t> finished_seen_{0};  // a late copy of finished_, so that scatter rarely reads that line
  adaptive_mutex order_mutex_;
  cell* first_listed_ = nullptr;  // these guarded by order_mutex_
  cell* last_listed_ = nullptr;
  std::size_t listed_ = 0;
  std::size_t next_index_ = 0;
  bool list_closed_ = false;            // by retire()
  std::atomic<std::int64_t> freed_{0};  // cells freed; once retired, less all there ever were
  std::mutex room_mutex_;
  bool looked_for_ = false;  // one of the threads that wait for room looks by itself
  std::condition_variable room_;

  // The running side.
  alignas(64) adaptive_mutex ready_mutex_;
  cell* first_ready_ = nullptr;  // these guarded by ready_mutex_
  cell* last_ready_ = nullptr;
  int active_ = 0;                             // runners that run or are posted
  int paused_ = 0;                             // bodies that wait inside and have left their slot
  returning_body* first_returning_ = nullptr;  // those that wait for a slot again, oldest first
  returning_body* last_returning_ = nullptr;
  bool waking_ = false;  // a posted runner has not started yet
  bool cancelled_ = false;
  bool awaited_ = false;                   // retire() waits for quiet_
  std::atomic<std::uint64_t> started_{0};  // written under ready_mutex_
  std::atomic<std::uint64_t> finished_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> refused_{0};  // finished without being started
  std::atomic<int> blocked_{0};            // threads in wait_for_room()
  std::binary_semaphore quiet_{0};         // given when the last runner of a retiring stage has left
};

}  // namespace penstock::detail
