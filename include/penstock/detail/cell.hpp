// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/copyable.hpp>
#include <penstock/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::detail {

class stage_core;

/// Who is told when a cell is finished: a dependent cell, or a waiting thread. notify() runs on the finishing thread,
/// once for every link, and must not block.
class waiter {
 public:
  virtual void notify() noexcept = 0;

 protected:
  waiter() = default;
  ~waiter() = default;
};

/// One wait for one cell, embedded in who waits, so that waiting allocates nothing.
struct link {
  link* next = nullptr;
  waiter* who = nullptr;
};

/// One scattered call: its arguments until it has run, then its result or failure.
///
/// Lifetime: `references_` counts handles (futures, arguments of other cells, the stage's gather list) twice each, plus
/// one while the call has not finished. The cell is freed when it reaches 0. So a handle can see that it is the only
/// one (and move the result out) although the finishing thread has not let go yet.
class cell : public waiter {
 public:
  cell(cell const&) = delete;
  cell& operator=(cell const&) = delete;

  [[nodiscard]] bool done() const noexcept { return waiters_.load(std::memory_order_acquire) == &finished_mark; }
  [[nodiscard]] bool sole_handle() const noexcept { return references_.load(std::memory_order_acquire) >> 1U == 1; }
  [[nodiscard]] failure_ptr const& failed() const noexcept { return failure_; }
  [[nodiscard]] item_error error() const noexcept { return {failure_, failure_inherited_}; }
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] stage_core& stage() const noexcept { return *stage_; }

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

  /// Blocks until the cell is finished.
  void wait() noexcept;

 protected:
  explicit cell(stage_core& stage) noexcept : stage_{&stage} {}
  ~cell() = default;

  void fail(failure_ptr why, bool inherited) noexcept {
    failure_ = std::move(why);
    failure_inherited_ = inherited;
  }

 private:
  friend class stage_core;
  friend class cell_batch;

  /// An input is finished.
  void notify() noexcept final;
  /// Runs the body on the arguments, or, with a reason, refuses to; keeps result or failure and lets the arguments go.
  virtual void run(failure_ptr refusal) noexcept = 0;
  /// Destroys the cell and gives its memory back.
  virtual void dispose() noexcept = 0;

  void drop(std::uint32_t share) noexcept {
    // The last owner needs no atomic subtraction: nobody else can see the cell.
    if (references_.load(std::memory_order_acquire) == share ||
        references_.fetch_sub(share, std::memory_order_acq_rel) == share) {
      dispose();
    }
  }

  static inline link finished_mark{};  // the head of a finished cell's waiters

  enum class place : std::uint8_t { listed, taken, gathered };

  std::atomic<link*> waiters_{nullptr};
  std::atomic<std::uint32_t> references_{1 + 2 + 2};  // the run, the first future, the gather list
  std::atomic<std::uint32_t> pending_{1};             // unfinished inputs, and one until it is submitted
  stage_core* stage_;
  cell* next_ready_ = nullptr;   // guarded by the stage's ready_mutex_
  cell* next_listed_ = nullptr;  // these four by its order_mutex_
  cell* previous_listed_ = nullptr;
  std::size_t index_ = 0;
  place place_ = place::taken;
  bool failure_inherited_ = false;
  failure_ptr failure_;
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
  [[nodiscard]] explicit operator bool() const noexcept { return cell_ != nullptr; }
  [[nodiscard]] Cell* operator->() const noexcept { return cell_; }
  [[nodiscard]] Cell& operator*() const noexcept { return *cell_; }

 private:
  Cell* cell_ = nullptr;
};

/// A cell with room for a result of type T.
template <class T>
class result_cell : public cell {
 public:
  using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  /// Gives one handle back; the last one takes the result with it, even while the finishing thread holds the cell.
  void drop_handle() noexcept {
    if constexpr (!std::is_trivially_destructible_v<stored>) {
      if (done() && sole_handle()) value_.reset();
    }
    cell::drop_handle();
  }

  /// The result of a cell that is done and has not failed.
  [[nodiscard]] stored& value() noexcept { return *value_; }

  /// The result for one of its owners: moved when nobody else can ask for it, else copied.
  /// A result that cannot be copied has one owner only.
  [[nodiscard]] stored take() {
    if constexpr (copyable<stored>::value) {
      if (!sole_handle()) return *value_;
    }
    return std::move(*value_);
  }

 protected:
  using cell::cell;
  ~result_cell() = default;
  std::optional<stored> value_;
};

}  // namespace penstock::detail
