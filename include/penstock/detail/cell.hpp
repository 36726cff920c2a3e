// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/copyable.hpp>
#include <penstock/error.hpp>
#include <penstock/size_bytes.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::detail {

class stage_core;
struct passage;

class cell;

/// Who is told when a cell is finished: a dependent cell, or a waiting thread. notify() runs on the finishing thread,
/// once for every link, must not block, and returns the cell that has become ready by it, if any.
class waiter {
 public:
  virtual cell* notify() noexcept = 0;
  /// notify() is near: asks for the memory that will be needed then, or soon after.
  virtual void fetch_more() const noexcept {}

 protected:
  waiter() = default;
  ~waiter() = default;
};

/// One wait for one cell, embedded in who waits, so that waiting allocates nothing.
struct link {
  link* next = nullptr;
  waiter* who = nullptr;
};

/// A cell's entry in its stage's order list: the cell's address, with marks in the low bits (see order_list).
using order_slot = std::atomic<std::uintptr_t>;

/// An accepted item's number in its stage, and the entry kept for it.
struct place {
  std::uint64_t ticket = 0;  // in the high 16 bits the count of gathers before, below it the index
  order_slot* slot = nullptr;
};

/// One scattered call: its arguments until it has run, then its result or failure.
///
/// Lifetime: `references_` counts handles (futures, arguments of other cells) twice each, plus one share that belongs to
/// the engine until the call has finished, and then to the order list as long as the cell is to be gathered. The cell is
/// freed when it reaches 0. So a handle can see that it is the only one, and move the result out, although the finishing
/// thread has not let go yet.
class alignas(64) cell : public waiter {  // order_list keeps marks in the low bits of its address
 public:
  cell(cell const&) = delete;
  cell& operator=(cell const&) = delete;

  [[nodiscard]] bool done() const noexcept { return waiters_.load(std::memory_order_acquire) == &finished_mark; }
  /// Nobody but the one handle's owner can ask for the result.
  [[nodiscard]] bool sole_handle() const noexcept {
    return fate_.load(std::memory_order_acquire) == fate::taken &&
           references_.load(std::memory_order_acquire) >> 1U == 1;
  }
  [[nodiscard]] bool was_gathered() const noexcept { return fate_.load(std::memory_order_acquire) == fate::gathered; }
  [[nodiscard]] bool no_handle() const noexcept { return references_.load(std::memory_order_acquire) >> 1U == 0; }
  /// Why there is no value, for an item that has none: it failed, or was dropped.
  [[nodiscard]] failure_ptr const& failed() const noexcept { return failure_; }
  [[nodiscard]] bool was_dropped() const noexcept {
    return failure_ != nullptr && failure_->kind == error_kind::dropped;
  }
  [[nodiscard]] bool has_failed() const noexcept { return failure_ != nullptr && !was_dropped(); }
  [[nodiscard]] bool failure_was_inherited() const noexcept { return failure_inherited_; }
  [[nodiscard]] item_error error() const noexcept { return {failure_, failure_inherited_}; }
  /// Many items in one cell, see bundle: what is said of one item here is meant of the first, or of all.
  [[nodiscard]] bool is_bundle() const noexcept { return has(many); }
  [[nodiscard]] std::size_t index() const noexcept { return place_.ticket & index_mask; }
  [[nodiscard]] stage_core& stage() const noexcept { return *stage_; }

  /// Nobody will ask how the item ended: then its failure is no news. The caller has a handle.
  void abandon() noexcept {
    abandoned_.store(true, std::memory_order_seq_cst);
    if (waiters_.load(std::memory_order_seq_cst) == &finished_mark) see_failure();
  }

  void add_handle() noexcept { references_.fetch_add(2, std::memory_order_relaxed); }
  void drop_handle() noexcept { drop(2); }

  /// Registers `wait`; false (and nothing registered) when the cell is finished already.
  /// `wait` must stay in place until it has been told.
  bool subscribe(link& wait) noexcept {
    link* head = waiters_.load(std::memory_order_acquire);
    do {
      if (head == &finished_mark) return false;
      wait.next = head;
    } while (!waiters_.compare_exchange_weak(head, &wait, std::memory_order_acq_rel, std::memory_order_acquire));
    return true;
  }

  /// Lets this cell wait for `input` through `wait`, which is embedded in this cell.
  void depend_on(cell& input, link& wait) noexcept {
    wait.who = this;
    pending_.fetch_add(1, std::memory_order_relaxed);
    if (!input.subscribe(wait)) pending_.fetch_sub(1, std::memory_order_relaxed);
  }
  /// The same for a cell that waits for nothing else; false when the input is finished already.
  [[nodiscard]] bool depend_only_on(cell& input, link& wait) noexcept {
    wait.who = this;
    return input.subscribe(wait);
  }
  /// An input is finished, or all have been subscribed to: this cell, if it may run now.
  cell* notify() noexcept final {
    bool const last = pending_.load(std::memory_order_acquire) == 1 ||  // then nobody else can change it
                      pending_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    return last ? this : nullptr;
  }

  void fetch_more() const noexcept final;

  /// Blocks until the cell is finished. If it waits for others to make a batch, it does not wait for its time.
  void wait() noexcept;
  /// The same for who has seen to it that batches start.
  void wait_in_gather() noexcept;
  /// The same for a stream of the cell's stage, which knows meanwhile that the stream does not take any other result, and
  /// whether it will bring more items.
  void wait_for_stream(bool is_last) noexcept;
  /// The same with a deadline: whether it is finished.
  [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline) noexcept;

 protected:
  cell(stage_core& stage, place const& taken) noexcept : stage_{&stage}, place_{taken} {}
  // An item of a pipeline says so itself: when it has been ended, its stage may be another one already.
  void note_way() noexcept { marks_.store(passes, std::memory_order_relaxed); }
  ~cell() = default;

  void fail(failure_ptr why, bool inherited) noexcept {
    forget_failure();
    failure_ = std::move(why);
    failure_inherited_ = inherited;
  }
  // An attempt has failed, but another one decides.
  void forget_failure() noexcept {
    see_failure();
    failure_.reset();
  }
  [[nodiscard]] int failed_attempts() const noexcept { return failure_ != nullptr ? failure_->attempts : 0; }
  // The bytes of the result count against the stage's budget, and no more; and what the next ones may need.
  void charge(std::size_t bytes) const noexcept;
  void discharge(std::size_t bytes) const noexcept;
  void note_size(std::size_t bytes) const noexcept;
  // The moment when it could run first, in two parts; see moment in engine/observe.
  void set_ready_at(std::uint32_t low, std::uint16_t high) noexcept {
    ready_at_low_ = low;
    ready_at_high_ = high;
  }
  // Nobody holds a future of a new cell, though it was made for one.
  void renounce_handle() noexcept { references_.store(1, std::memory_order_relaxed); }

 private:
  friend class stage_core;
  friend class stage_state;
  friend class order_list;
  friend class ready_cells;
  friend class cell_reader;
  friend class bundle;
  friend struct cell_row;

  /// Runs the body on the arguments, or, with a reason, refuses to; keeps result or failure and lets the arguments go.
  /// False when the body has thrown and is to be tried again later; then nothing has gone.
  virtual bool run(failure_ptr refusal) noexcept = 0;
  /// Lets the arguments go without running.
  virtual void release_arguments() noexcept = 0;
  /// Destroys the cell and gives its memory back.
  virtual void dispose() noexcept = 0;
  /// Of an item of a pipeline; null for others.
  [[nodiscard]] virtual passage* way() const noexcept { return nullptr; }

  enum mark : std::uint8_t {
    unread = 1,   // counted for readers of the order list, whose finished mark shows this
    forming = 2,  // a batch, with others; these two are written with the stage's ready_mutex_ held
    awaited = 4,  // by a thread
    passes = 8,   // the stages of a pipeline: it has a way()
    many = 16     // a bundle; these two are there from the start
  };
  void set(mark added) noexcept { marks_.fetch_or(added, std::memory_order_relaxed); }
  void clear(mark gone) noexcept { marks_.fetch_and(static_cast<std::uint8_t>(~gone), std::memory_order_relaxed); }
  [[nodiscard]] bool has(mark asked) const noexcept { return (marks_.load(std::memory_order_relaxed) & asked) != 0; }

  [[nodiscard]] bool is_done_soon() const noexcept;
  void see_failure() const noexcept {
    if (failure_ != nullptr) failure_->observed.store(true, std::memory_order_relaxed);
  }
  void drop(std::uint32_t share) noexcept {
    // The last owner needs no atomic subtraction: nobody else can see the cell.
    if (references_.load(std::memory_order_acquire) == share ||
        references_.fetch_sub(share, std::memory_order_acq_rel) == share) {
      dispose();
    }
  }

  enum class fate : std::uint8_t { listed, taken, gathered };  // by whom the result is to be used

  static constexpr std::uint64_t index_mask = (std::uint64_t{1} << 48U) - 1;
  static inline link finished_mark{};  // the head of a finished cell's waiters

  std::atomic<link*> waiters_{nullptr};
  std::atomic<std::uint32_t> references_{1 + 2};  // the engine's share, the first future
  std::atomic<std::uint32_t> pending_{1};         // unfinished inputs, and one until all are subscribed to
  stage_core* stage_;
  cell* next_ = nullptr;  // in a row of ready cells
  place place_;
  failure_ptr failure_;
  bool failure_inherited_ = false;
  std::atomic<std::uint8_t> marks_{0};
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> started_{false};
  std::atomic<bool> ended_{false};  // cancelled before it started; whoever finds it ready lets it go
  std::atomic<fate> fate_{fate::listed};
  std::uint16_t ready_at_high_ = 0;
  std::uint32_t ready_at_low_ = 0;
  std::uint32_t serial_ = 0;  // of the stage that it was scattered into: cores are used again
};

/// A counted pointer to a cell of a known kind.
template <class Cell>
class cell_handle {
 public:
  cell_handle() = default;
  /// Takes over one handle that is counted already.
  explicit cell_handle(Cell& owned) noexcept : cell_{&owned} {}
  cell_handle(cell_handle const& other) noexcept : cell_{other.cell_} {
    if (cell_ != nullptr) cell_->add_handle();
  }
  cell_handle(cell_handle&& other) noexcept : cell_{std::exchange(other.cell_, nullptr)} {}
  cell_handle& operator=(cell_handle other) noexcept {
    std::swap(cell_, other.cell_);
    return *this;
  }
  ~cell_handle() { reset(); }

  void reset() noexcept {
    if (cell_ != nullptr) std::exchange(cell_, nullptr)->drop_handle();
  }
  /// The handle is somebody else's now.
  void renounce() noexcept { cell_ = nullptr; }
  [[nodiscard]] explicit operator bool() const noexcept { return cell_ != nullptr; }
  [[nodiscard]] Cell* operator->() const noexcept { return cell_; }
  [[nodiscard]] Cell& operator*() const noexcept { return *cell_; }

 private:
  Cell* cell_ = nullptr;
};

/// How many wait for a result that is charged while there are any, and whether it is there: a count in steps of 2, and 1.
struct awaited_result {
  std::atomic<std::uint32_t> word{0};
  std::size_t bytes = 0;
};

/// A cell with room for a result of type T.
template <class T>
class result_cell : public cell {
 public:
  using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  static constexpr bool is_charged = !has_fixed_size<stored>;

  /// Gives one handle back; the last one takes the result with it, even while the finishing thread holds the cell.
  void drop_handle() noexcept {
    drop_value();
    cell::drop_handle();
  }

  /// One more item, or a stream, waits for the result, and does not any more. Nothing, where all results have one size.
  void add_consumer() noexcept {
    if constexpr (is_charged) {
      if (awaited_.word.fetch_add(2, std::memory_order_acq_rel) == made) this->charge(awaited_.bytes);
    }
  }
  void remove_consumer() noexcept {
    if constexpr (is_charged) {
      if (awaited_.word.fetch_sub(2, std::memory_order_acq_rel) == made + 2) this->discharge(awaited_.bytes);
    }
  }
  /// The same for one that has taken the result, and gives its handle back soon.
  void consume() noexcept {
    if constexpr (is_charged) drop_value();
    remove_consumer();
  }

  /// The result of a cell that is done and has not failed.
  [[nodiscard]] stored& value() noexcept { return *value_; }

  /// The result for the owner of a handle: moved when nobody else can ask for it, else copied.
  /// A result that cannot be copied has one owner only.
  [[nodiscard]] stored take() { return take(sole_handle()); }
  [[nodiscard]] stored take(bool sole_owner) {
    if constexpr (copyable<stored>::value) {
      if (!sole_owner) return *value_;
    }
    return std::move(*value_);
  }

 protected:
  using cell::cell;
  ~result_cell() {
    if constexpr (is_charged) {
      if (awaited_.word.load(std::memory_order_relaxed) > made) this->discharge(awaited_.bytes);
    }
  }

  /// The body's result is in value_.
  void note_result() {
    if constexpr (is_charged) {
      awaited_.bytes = size_bytes(*value_);
      this->note_size(awaited_.bytes);
      if (awaited_.word.fetch_add(made, std::memory_order_acq_rel) != 0) this->charge(awaited_.bytes);
    }
  }

  std::optional<stored> value_;

 private:
  void drop_value() noexcept {
    if constexpr (!std::is_trivially_destructible_v<stored>) {
      if (done() && sole_handle()) value_.reset();
    }
  }

  static constexpr std::uint32_t made = 1;

  [[no_unique_address]] std::conditional_t<is_charged, awaited_result, std::monostate> awaited_;
};

}  // namespace penstock::detail
