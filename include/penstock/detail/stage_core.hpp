// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/error.hpp>
#include <penstock/stage_options.hpp>
#include <penstock/stage_stats.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::detail {

/// What claim() found.
enum class claim_result : std::uint8_t { was_listed, was_taken, gathered };

/// The cells of one gather, in scatter order; it owns a share of each.
class cell_batch {
 public:
  explicit cell_batch(std::vector<cell*> cells) noexcept : cells_{std::move(cells)} {}
  cell_batch(cell_batch&& other) noexcept
      : cells_{std::exchange(other.cells_, {})}, first_{std::exchange(other.first_, 0)} {}
  cell_batch& operator=(cell_batch&&) = delete;
  ~cell_batch() {
    for (; !empty(); pop()) front().wait();
  }

  [[nodiscard]] bool empty() const noexcept { return first_ == cells_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return cells_.size() - first_; }
  /// Blocks until all cells are finished; true when none has failed.
  [[nodiscard]] bool wait_all() const noexcept;
  /// What gather() throws about them; at least one must have failed.
  [[nodiscard]] stage_error failure() const;

  /// The first cell; finished before it is popped.
  [[nodiscard]] cell& front() const noexcept { return *cells_[first_]; }
  void pop() noexcept;

 private:
  std::vector<cell*> cells_;
  std::size_t first_ = 0;
};

/// What a stage is to the engine, whatever its types: bounds, the queue of ready cells, the runners that serve it, the
/// list for gather, counters. The engine's own part of it is stage_state.
///
/// Cores live as long as the program; that of a destroyed stage is used again. So a cell, and a late message to its
/// node, may point to its core at any time, whichever end of a chain was destroyed first.
/// Thread-safe. Blocking: admit, retire.
class stage_core {
 public:
  /// A core that is not in use, set up from checked options. Throws std::invalid_argument.
  static stage_core& open(stage_options const& options, void* body);
  /// Cancels what has not started, waits for running bodies, drops what could still be gathered.
  void retire() noexcept;

  /// Takes a place for one more item; at capacity, admit() blocks (not inside a body: there it exceeds the bound rather
  /// than deadlock) and try_admit() returns nothing.
  /// The first call makes the engine; throws what that throws, and std::bad_alloc.
  [[nodiscard]] place admit();
  [[nodiscard]] std::optional<place> try_admit();
  /// Gives a place back that was not used after all.
  void dismiss(place const& unused) noexcept;
  /// Puts a new cell in its place.
  static void publish(cell& added) noexcept;

  /// Takes a cell out of its stage's gather list, if it still is in it. With `reserve` it must be followed by commit()
  /// or unclaim().
  static claim_result claim(cell& listed, bool reserve = false) noexcept;
  static void commit(cell& claimed) noexcept;
  static void unclaim(cell& claimed) noexcept;
  [[noreturn]] static void throw_already_gathered(cell const& gathered);
  /// Empties the gather list and starts numbering from 0. Throws would_deadlock inside one of the stage's own bodies.
  [[nodiscard]] cell_batch detach();

  /// The cell's inputs are finished.
  static void ready(cell& runnable) noexcept;

  [[nodiscard]] void* body() const noexcept { return body_; }
  [[nodiscard]] bool unpacks() const noexcept { return unpack_; }
  [[nodiscard]] std::shared_ptr<std::string const> const& name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t serial() const noexcept { return serial_; }
  [[nodiscard]] stage_stats stats() const noexcept;
  /// The record of what a body has just thrown; call it in the handler.
  [[nodiscard]] failure_ptr describe_current_exception(cell const& failed) const noexcept;

 protected:
  stage_core() = default;
  ~stage_core() = default;

  // Set by open().
  void* body_ = nullptr;
  bool unpack_ = true;
  std::uint32_t serial_ = 0;  // of the stage; guarded by the registry's mutex
  std::shared_ptr<std::string const> name_;
};

}  // namespace penstock::detail
