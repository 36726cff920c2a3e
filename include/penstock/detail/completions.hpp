// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>

#include <atomic>
#include <cstddef>

namespace penstock::detail {

/// Cells in the order in which they end, for one reader: a list without a lock that finishing threads push on.
/// All but the entries' own functions are the reader's; wait() blocks.
class completions {
 public:
  /// One cell that is waited for, and how many were added before it.
  struct entry final : waiter {
    entry(completions& queue, cell& given, std::size_t at) noexcept : to{&queue}, item{&given}, index{at} {}
    cell* notify() noexcept override;

    completions* to;
    cell* item;  // one handle of it
    std::size_t index;
    link wait;
    entry* next = nullptr;
  };

  /// A new one, for the caller to leave().
  [[nodiscard]] static completions& create() { return *new completions; }
  /// The reader needs it no more: what has not ended yet is let go when it does.
  void leave() noexcept;

  /// Waits for one more cell, and takes over one handle of it, unless it throws std::bad_alloc.
  void add(cell& given);
  /// Those that were added and not given out by next().
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Whether one has ended that was not given out.
  [[nodiscard]] bool ready() noexcept;
  /// Blocks until ready(), as a stream of that stage, which brings no more items if it is the last wait; size() must not be 0.
  void wait(stage_core& of, bool is_last) noexcept;
  /// The first that has ended and was not given out, when ready(). The reader gives it to release().
  [[nodiscard]] entry& next() noexcept;
  static void release(entry& given) noexcept;

 private:
  completions() = default;
  ~completions() = default;

  void push(entry& ended) noexcept;
  void drop_share() noexcept;
  void end_wait() noexcept;
  void collect() noexcept;
  static void abandon(entry& ended) noexcept;
  void abandon_all() noexcept;

  std::atomic<entry*> arrived_{nullptr};  // newest first
  std::atomic<std::size_t> shares_{1};    // the reader's, and one for each cell that has not ended
  std::atomic<bool> left_{false};
  std::atomic<stage_core*> waits_for_{nullptr};  // set by the reader, taken by whoever ends its wait
  // The reader's own.
  entry* first_ = nullptr;  // ended, oldest first
  entry* last_ = nullptr;
  std::size_t added_ = 0;
  std::size_t size_ = 0;
};

}  // namespace penstock::detail
