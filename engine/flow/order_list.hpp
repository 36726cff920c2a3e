// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace penstock::detail {

/// The items of a stage in scatter order: their numbers, and an entry for each that is to be gathered or has not
/// finished.
///
/// An item takes a ticket (one atomic operation, which also counts it against the capacity) and later publishes its cell
/// in the entry of that ticket. Entries stand in chunks, which are used again when all their entries are empty; chunk
/// memory is never given back, so that a late look at an entry is harmless: an entry belongs to a cell while it holds
/// its address. Marks in an entry decide who owns the cell's last share (see cell): the order list, a gather, or
/// whoever ends the cell. Thread-safe; does not block, but detach() waits for scatters that are half-way.
class order_list {
 public:
  // ---- tickets: the count of gathers before in the high 16 bits, below it the index

  // Acquire, for total(): pairs with the release in begin_epoch().
  [[nodiscard]] std::uint64_t next_ticket() const noexcept { return tickets_.load(std::memory_order_acquire); }
  [[nodiscard]] static std::size_t index(std::uint64_t ticket) noexcept { return ticket & (epoch_unit - 1); }
  /// How many items there have ever been when `ticket` is the next one.
  [[nodiscard]] std::uint64_t total(std::uint64_t ticket) const noexcept {
    return before_[(ticket >> index_bits) & 1U].load(std::memory_order_relaxed) + index(ticket);
  }
  /// Whether ticket `a` was taken before ticket `b`. Numbers come round again after 65,536 gathers; they must not be
  /// further apart than `far`.
  static constexpr std::uint64_t far = std::uint64_t{1} << 62U;
  [[nodiscard]] static bool is_before(std::uint64_t a, std::uint64_t b) noexcept {
    return static_cast<std::int64_t>(a - b) < 0;
  }
  /// What no item has.
  static constexpr std::uint64_t no_ticket = ~std::uint64_t{0};
  /// Takes `count` tickets from `next` on, unless the next ticket is another one by now; it is put in `next` then.
  [[nodiscard]] bool advance(std::uint64_t& next, std::uint64_t count) noexcept {
    return tickets_.compare_exchange_weak(next, next + count, std::memory_order_acq_rel, std::memory_order_acquire);
  }
  /// Gives the `count` newest tickets back, from `ticket` on; false when there is a newer one.
  [[nodiscard]] bool retract(std::uint64_t ticket, std::uint64_t count) noexcept {
    std::uint64_t after = ticket + count;
    return tickets_.compare_exchange_strong(after, ticket, std::memory_order_relaxed);
  }

  // ---- entries

  /// The entry of a ticket that was taken, not published yet. Throws std::bad_alloc.
  [[nodiscard]] order_slot& slot(std::uint64_t ticket) {
    order_slot* const found = ready_slot(ticket);
    return found != nullptr ? *found : find_slot(ticket);
  }
  /// The same if it needs no search; else null.
  [[nodiscard]] order_slot* ready_slot(std::uint64_t ticket) noexcept {
    chunk* const current = current_.load(std::memory_order_acquire);
    bool const is_here = current != nullptr && current->id.load(std::memory_order_acquire) == chunk_id(ticket);
    return is_here ? &current->slots[ticket % chunk_size] : nullptr;
  }
  static void publish(cell& added) noexcept { added.place_.slot->store(address(added), std::memory_order_release); }
  /// No item came of the ticket.
  static void publish_nothing(order_slot& slot) noexcept { slot.store(empty, std::memory_order_release); }

  /// Takes a cell out of its stage's gather, if it is still in it. The caller has a handle. With `reserve` the claim can
  /// be undone, and must be followed by commit() or unclaim().
  [[nodiscard]] claim_result claim(cell& listed, bool reserve) noexcept;
  static void commit(cell& claimed) noexcept;
  void unclaim(cell& claimed) noexcept;

  /// The engine is done with a finished cell: its share goes to the list, or is given up. With `discard` it is not to be
  /// gathered, unless a gather has it.
  void hand_over(cell& ended, bool discard) noexcept;

  /// Takes all items that are listed, or those of them before a ticket, in order; numbering starts again from 0. Each cell
  /// comes with the list's share, for pass(). Waits for scatters that have a ticket and no cell yet, and for claims that may
  /// be undone.
  [[nodiscard]] cell_batch detach(std::optional<std::uint64_t> before = {});
  /// The address of a listed cell before a ticket that is not finished; null when there is none. Waits as detach() does.
  [[nodiscard]] void const* unfinished_before(std::uint64_t ticket) noexcept;
  /// Whether there is a listed cell.
  [[nodiscard]] bool has_listed() noexcept;
  /// Undoes detach() for one cell.
  static void put_back(cell& detached) noexcept;
  /// Gives up a gathered, finished cell.
  void pass(cell& done) noexcept;

  // ---- reading, while items come and go

  /// As long as there are readers, finished cells that nobody has taken are counted.
  void add_reader() noexcept { readers_.fetch_add(1, std::memory_order_seq_cst); }
  void remove_reader() noexcept { readers_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] bool has_readers() const noexcept { return readers_.load(std::memory_order_seq_cst) > 0; }
  /// The cell is about to finish: for a list with readers, before that can be seen.
  void count_unread(cell& ending) noexcept;
  /// Reading takes an item of a bundle, to which take_unfinished() or take_finished() has given it the right. One thread at
  /// a time, also with count_unread().
  void give(bundle& from, std::uint32_t at) noexcept;
  /// How many finished cells wait for readers; 0 without readers.
  [[nodiscard]] std::uint32_t unread() const noexcept {
    return has_readers() ? unread_.load(std::memory_order_acquire) : 0;
  }
  /// Takes finished cells as detach() does, as many as there is room for: the oldest ones of all that are listed, or any.
  /// Returns their number. In order, `held_up_by` is the address of the next one, if it is not finished.
  [[nodiscard]] std::size_t take_finished(bool in_order, std::span<cell*> cells, void const*& held_up_by) noexcept;
  /// Takes one that is not finished, if it is listed. The caller keeps it alive.
  [[nodiscard]] static bool take_unfinished(cell& listed) noexcept;
  /// How many items there had been before the first that is listed, and not given out, or is still to come. Not together
  /// with hold_unfinished().
  [[nodiscard]] std::uint64_t first_listed() noexcept;

  static constexpr std::size_t chunk_size = 64;
  /// Keeps unfinished cells from being freed, at most chunk_size of them, from `cursor` on (0 at first), which it moves.
  /// Each must be given to release(). Returns their number; to be called until that is 0.
  [[nodiscard]] std::size_t hold_unfinished(std::size_t& cursor, std::span<cell*, chunk_size> cells) noexcept;
  static void release(cell& kept) noexcept;

  /// Drops what could be gathered; nothing is put back from here on. All cells are finished.
  void close() noexcept;
  void open() noexcept;

 private:
  static constexpr unsigned index_bits = 48;
  static constexpr std::uint64_t epoch_unit = std::uint64_t{1} << index_bits;

  // Marks of an entry; a cell's address has these bits free.
  static constexpr std::uintptr_t taken = 1;      // not to be gathered
  static constexpr std::uintptr_t gathered = 2;   // a gather has it
  static constexpr std::uintptr_t finished = 4;   // the engine has let go
  static constexpr std::uintptr_t held = 8;       // somebody looks at the cell
  static constexpr std::uintptr_t reserved = 16;  // taken, which may be undone
  static constexpr std::uintptr_t marks = 31;
  // No cell: not yet, or not any more.
  static constexpr std::uintptr_t unset = 0;
  static constexpr std::uintptr_t empty = 32;

  struct chunk {
    std::atomic<std::uint64_t> id{0};  // the ticket of its first entry
    std::array<order_slot, chunk_size> slots{};
  };

  static std::uint64_t chunk_id(std::uint64_t ticket) noexcept { return ticket & ~std::uint64_t{chunk_size - 1}; }
  static std::uintptr_t address(cell const& of) noexcept { return reinterpret_cast<std::uintptr_t>(&of); }
  static cell& cell_at(std::uintptr_t entry) noexcept {
    return *reinterpret_cast<cell*>(entry & ~marks);  // NOLINT(performance-no-int-to-ptr): it is one with marks
  }
  static bool has_cell(std::uintptr_t entry) noexcept { return entry > empty; }
  // Whether a cell is to be gathered is not known yet.
  static bool is_undecided(std::uintptr_t entry) noexcept { return entry == unset || (entry & reserved) != 0; }
  // To be gathered: neither claimed nor in a gather.
  static bool is_listed(std::uintptr_t entry) noexcept { return has_cell(entry) && (entry & (taken | gathered)) == 0; }
  static void settle(cell& owned, std::uintptr_t entry) noexcept;
  [[nodiscard]] static bool take(order_slot& slot, std::uintptr_t& entry) noexcept;
  void count_read(cell const& read) noexcept {
    if (read.has(cell::unread)) unread_.fetch_sub(unread_items(read), std::memory_order_release);
  }
  static std::uint32_t unread_items(cell const& asked) noexcept;
  std::uint64_t first_listed(cell*& kept) noexcept;
  static std::uintptr_t await_cell(order_slot const& slot) noexcept;

  order_slot& find_slot(std::uint64_t ticket);
  void make_chunks_for(std::uint64_t ticket);
  std::uint64_t begin_epoch();
  void have_spare_chunk();
  template <class Take>
  [[nodiscard]] std::size_t take_cells(std::size_t& cursor, std::span<cell*, chunk_size> cells, Take take) noexcept;

  alignas(64) std::atomic<std::uint64_t> tickets_{0};
  std::array<std::atomic<std::uint64_t>, 2> before_{};  // items of earlier epochs, for even and odd epochs
  std::atomic<chunk*> current_{nullptr};

  // Runners read these at the end of every item: not in the line that scatters write.
  alignas(64) std::atomic<int> readers_{0};
  std::atomic<std::uint32_t> unread_{0};

  adaptive_mutex mutex_;
  std::deque<chunk*> chunks_;  // in use, oldest first; these guarded by mutex_
  std::vector<chunk*> spare_;
  std::uint64_t next_chunk_ = 0;  // the id of the next chunk to be made
  std::size_t looked_at_ = 0;     // in chunks_, for one that is empty
  int pinned_ = 0;                // while positive, chunks stay in the list
  bool closed_ = false;
};

}  // namespace penstock::detail
