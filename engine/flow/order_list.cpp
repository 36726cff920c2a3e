// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/order_list.hpp"

#include "engine/flow/prefetch.hpp"

#include <penstock/detail/bundle.hpp>

#include <algorithm>
#include <mutex>
#include <optional>
#include <ranges>
#include <thread>

namespace penstock::detail {
namespace {

// For one more element, without throwing then.
void make_room(auto& in) {
  if (in.size() == in.capacity()) in.reserve(2 * in.size() + 1);
}

}  // namespace

std::uintptr_t order_list::await_cell(order_slot const& slot) noexcept {
  std::uintptr_t entry = slot.load(std::memory_order_acquire);
  for (; is_undecided(entry); entry = slot.load(std::memory_order_acquire)) std::this_thread::yield();
  return entry;
}

// ---- chunks

order_slot& order_list::find_slot(std::uint64_t ticket) {
  std::lock_guard const lock{mutex_};
  make_chunks_for(ticket);
  auto const found = std::ranges::find(chunks_ | std::views::reverse, chunk_id(ticket),
                                       [](chunk const* each) { return each->id.load(std::memory_order_relaxed); });
  return (*found)->slots[ticket % chunk_size];  // it is there: it is not empty as long as this entry is unset
}

// With mutex_ held. Chunks are made in order, so one that was made and is not there any more was empty.
void order_list::make_chunks_for(std::uint64_t ticket) {
  // Tickets of an epoch before that of next_chunk_ have theirs: detach() saw to it.
  while ((ticket >> index_bits) == (next_chunk_ >> index_bits) && next_chunk_ <= ticket) {
    have_spare_chunk();
    chunk* const made = spare_.back();
    chunks_.push_back(made);
    spare_.pop_back();
    for (auto& slot : made->slots) slot.store(unset, std::memory_order_relaxed);
    made->id.store(next_chunk_, std::memory_order_release);
    next_chunk_ += chunk_size;
    current_.store(made, std::memory_order_release);
  }
}

// With mutex_ held. Looks at two chunks in use for every one that is needed, so that few empty ones stay in the list.
void order_list::have_spare_chunk() {
  if (pinned_ == 0) {
    for (int looks = 0; looks < 2 && !chunks_.empty(); ++looks) {
      if (looked_at_ >= chunks_.size()) looked_at_ = 0;
      chunk* const seen = chunks_[looked_at_];
      bool const is_empty = std::ranges::all_of(
          seen->slots, [](order_slot const& slot) { return slot.load(std::memory_order_acquire) == empty; });
      if (is_empty) {
        make_room(spare_);
        spare_.push_back(seen);
        chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(looked_at_));
      } else {
        ++looked_at_;
      }
    }
  }
  if (!spare_.empty()) return;
  make_room(spare_);
  spare_.push_back(new chunk);
}

// ---- claims

claim_result order_list::claim(cell& listed, bool reserve) noexcept {
  order_slot& slot = *listed.place_.slot;
  std::uintptr_t entry = slot.load(std::memory_order_acquire);
  for (;;) {
    if ((entry & ~marks) != address(listed) || (entry & taken) != 0) {
      return listed.fate_.load(std::memory_order_acquire) == cell::fate::gathered ? claim_result::gathered
                                                                                  : claim_result::was_taken;
    }
    if ((entry & gathered) != 0) return claim_result::gathered;
    bool const last = (entry & finished) != 0 && (entry & held) == 0 && !reserve;
    std::uintptr_t const claimed = last ? empty : entry | taken | (reserve ? reserved : 0);
    if (!slot.compare_exchange_weak(entry, claimed, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    listed.fate_.store(cell::fate::taken, std::memory_order_release);
    if ((entry & finished) != 0) count_read(listed);
    if (last) listed.drop(1);
    return claim_result::was_listed;
  }
}

// Whoever brings an entry into the state in which nobody needs it any more gives up the cell's last share.
void order_list::settle(cell& owned, std::uintptr_t entry) noexcept {
  if ((entry & (taken | finished | held | reserved)) != (taken | finished)) return;
  owned.place_.slot->store(empty, std::memory_order_release);
  owned.drop(1);
}

void order_list::commit(cell& claimed) noexcept {
  settle(claimed, claimed.place_.slot->fetch_and(~reserved, std::memory_order_acq_rel) & ~reserved);
}

void order_list::unclaim(cell& claimed) noexcept {
  std::unique_lock lock{mutex_};
  if (closed_ || claimed.serial_ != claimed.stage().serial()) {  // its stage was destroyed: nobody will gather it
    lock.unlock();
    return commit(claimed);
  }
  claimed.fate_.store(cell::fate::listed, std::memory_order_release);
  std::uintptr_t const entry = claimed.place_.slot->fetch_and(~(taken | reserved), std::memory_order_acq_rel);
  if ((entry & finished) != 0 && claimed.has(cell::unread)) {
    unread_.fetch_add(unread_items(claimed), std::memory_order_relaxed);
  }
}

void order_list::hand_over(cell& ended, bool discard) noexcept {
  order_slot& slot = *ended.place_.slot;
  // A claim that is given up may free the cell as soon as it is finished.
  std::uint32_t const items = ended.has(cell::unread) ? unread_items(ended) : 0;
  std::uintptr_t entry = slot.load(std::memory_order_acquire);
  std::uintptr_t taking = 0;  // reserved: nobody gives the cell up before its fate is written
  do taking = !discard || (entry & (gathered | taken)) != 0 ? 0 : taken | reserved;
  while (!slot.compare_exchange_weak(entry, entry | finished | taking, std::memory_order_seq_cst,
                                     std::memory_order_acquire));
  if (items > 0 && ((entry | taking) & taken) != 0) unread_.fetch_sub(items, std::memory_order_release);
  if (taking == 0) return settle(ended, entry | finished);
  ended.fate_.store(cell::fate::taken, std::memory_order_release);
  commit(ended);
}

// ---- gather

// With mutex_ held: lets numbering start again from 0. Returns the first ticket that was not taken before.
std::uint64_t order_list::begin_epoch() {
  std::uint64_t next = next_ticket();
  do {
    if (next % epoch_unit == 0) return next;
    make_chunks_for(next - 1);
    before_[(next / epoch_unit + 1) & 1U].store(total(next), std::memory_order_relaxed);
  } while (!tickets_.compare_exchange_weak(next, (next / epoch_unit + 1) * epoch_unit, std::memory_order_acq_rel,
                                           std::memory_order_relaxed));
  // The entries that no ticket was taken for, or one that was given back. An old chunk may have the same tickets: numbers
  // come round again.
  next_chunk_ = (next / epoch_unit + 1) * epoch_unit;
  looked_at_ = 0;  // the oldest are empty soon, and go out of the list at no cost
  for (chunk* const each : chunks_) {
    std::uint64_t const first = each->id.load(std::memory_order_relaxed);
    if (first / epoch_unit != next / epoch_unit) continue;
    for (std::size_t i = first < next ? next - first : 0; i < chunk_size; ++i) {
      if (each->slots[i].load(std::memory_order_relaxed) == unset) publish_nothing(each->slots[i]);
    }
  }
  return next;
}

// Takes a listed cell; false when its entry has changed: `entry` is what it is now.
bool order_list::take(order_slot& slot, std::uintptr_t& entry) noexcept {
  if (!slot.compare_exchange_weak(entry, entry | gathered, std::memory_order_acq_rel)) return false;
  cell_at(entry).fate_.store(cell::fate::gathered, std::memory_order_release);
  return true;
}

cell_batch order_list::detach(std::optional<std::uint64_t> before) {
  std::vector<order_slot*> slots;
  cell_batch found;
  std::vector<cell*>& cells = found.cells_;
  {
    std::lock_guard const lock{mutex_};
    std::uint64_t const all = begin_epoch();
    std::uint64_t const end = before && is_before(*before, all) ? *before : all;  // some may have been given back
    slots.reserve(chunks_.size() * chunk_size);
    for (chunk* const each : chunks_) {
      std::uint64_t ticket = each->id.load(std::memory_order_relaxed);
      for (order_slot& slot : each->slots) {
        std::uintptr_t const entry = slot.load(std::memory_order_acquire);
        if (is_before(ticket++, end) && (is_undecided(entry) || is_listed(entry))) slots.push_back(&slot);
      }
    }
    cells.reserve(slots.size());
    ++pinned_;  // nothing is thrown from here on
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (i + cells_ahead < slots.size()) {
      std::uintptr_t const ahead = slots[i + cells_ahead]->load(std::memory_order_relaxed);
      if (has_cell(ahead)) fetch_two_lines(&cell_at(ahead));
    }
    order_slot* const slot = slots[i];
    for (std::uintptr_t entry = await_cell(*slot); is_listed(entry); entry = await_cell(*slot)) {
      if (!take(*slot, entry)) continue;
      cells.push_back(&cell_at(entry));
      bundle const* const many = bundle_in(*cells.back());
      found.items_ += many != nullptr ? many->left() : 1;
      break;
    }
  }
  std::lock_guard const lock{mutex_};
  --pinned_;
  return found;
}

void const* order_list::unfinished_before(std::uint64_t ticket) noexcept {
  for (;; std::this_thread::yield()) {
    std::lock_guard const lock{mutex_};
    bool coming = false;
    for (chunk* const each : chunks_ | std::views::reverse) {  // the newest are the last to finish
      std::uint64_t at = each->id.load(std::memory_order_relaxed);
      for (order_slot const& slot : each->slots) {
        std::uintptr_t const entry = slot.load(std::memory_order_seq_cst);
        if (!is_before(at, ticket)) break;
        // Without a cell, its ticket may have been given back.
        coming = coming || (is_undecided(entry) && (entry != unset || is_before(at, next_ticket())));
        ++at;
        if (is_listed(entry) && (entry & finished) == 0) return &cell_at(entry);
      }
    }
    if (!coming) return nullptr;
  }
}

bool order_list::has_listed() noexcept {
  std::lock_guard const lock{mutex_};
  return std::ranges::any_of(chunks_ | std::views::reverse, [](chunk const* each) {
    return std::ranges::any_of(each->slots,
                               [](order_slot const& slot) { return is_listed(slot.load(std::memory_order_acquire)); });
  });
}

void order_list::put_back(cell& detached) noexcept {
  detached.fate_.store(cell::fate::listed, std::memory_order_release);
  detached.place_.slot->fetch_and(~gathered, std::memory_order_acq_rel);
}

void order_list::pass(cell& done) noexcept {
  order_slot& slot = *done.place_.slot;
  // The finishing thread has told us a moment before it lets go.
  while ((slot.load(std::memory_order_acquire) & (finished | held)) != finished) std::this_thread::yield();
  count_read(done);
  slot.store(empty, std::memory_order_release);
  done.drop(1);
}

// ---- reading

std::uint32_t order_list::unread_items(cell const& asked) noexcept {
  bundle const* const many = bundle_in(asked);
  return many != nullptr ? many->unread_.load(std::memory_order_relaxed) : 1;
}

void order_list::count_unread(cell& ending) noexcept {
  if (bundle* const many = bundle_in(ending)) many->unread_.store(many->left(), std::memory_order_relaxed);
  ending.set(cell::unread);
  unread_.fetch_add(unread_items(ending), std::memory_order_relaxed);
}

void order_list::give(bundle& from, std::uint32_t at) noexcept {
  from.give(at);
  if (from.unread_.load(std::memory_order_relaxed) == 0) return;
  from.unread_.fetch_sub(1, std::memory_order_relaxed);
  unread_.fetch_sub(1, std::memory_order_release);
}

bool order_list::take_unfinished(cell& listed) noexcept {
  order_slot& slot = *listed.place_.slot;
  std::uintptr_t entry = slot.load(std::memory_order_acquire);
  do {
    if (!is_listed(entry)) return false;
  } while (!take(slot, entry));
  return true;
}

std::size_t order_list::take_finished(bool in_order, std::span<cell*> cells, void const*& held_up_by) noexcept {
  held_up_by = nullptr;
  std::size_t count = 0;
  std::lock_guard const lock{mutex_};
  for (chunk* const each : chunks_) {
    for (order_slot& slot : each->slots) {
      std::uintptr_t entry = slot.load(std::memory_order_seq_cst);  // after the reader has been added
      bool waits = entry == unset;
      while (is_listed(entry)) {
        waits = (entry & (finished | held)) != finished;
        if (waits && in_order) held_up_by = &cell_at(entry);
        if (waits) break;
        if (!take(slot, entry)) continue;
        cells[count++] = &cell_at(entry);
        break;
      }
      if (count == cells.size() || (waits && in_order)) return count;
    }
  }
  return count;
}

std::uint64_t order_list::first_listed() noexcept {
  cell* first = nullptr;
  std::uint64_t found = 0;
  {
    std::lock_guard const lock{mutex_};
    found = first_listed(first);
  }
  if (first == nullptr) return found;
  if (bundle const* const many = bundle_in(*first)) found += many->first_left();
  release(*first);
  return found;
}

// With mutex_ held; keeps its cell from being freed, unless somebody else does that.
std::uint64_t order_list::first_listed(cell*& kept) noexcept {
  for (chunk* const each : chunks_) {
    std::uint64_t ticket = each->id.load(std::memory_order_relaxed);
    for (order_slot& slot : each->slots) {
      std::uintptr_t entry = slot.load(std::memory_order_acquire);
      while (is_listed(entry) && (entry & held) == 0) {
        if (!slot.compare_exchange_weak(entry, entry | held, std::memory_order_acq_rel)) continue;
        kept = &cell_at(entry);
        return total(ticket);
      }
      if (entry == unset || is_listed(entry)) return total(ticket);
      ++ticket;
    }
  }
  return total(next_ticket());
}

// ---- cancellation

// Fills `cells` from the chunks behind `cursor`, which moves on, with those that `take` takes out of an entry's slot
// (it returns none for the others). Chunks stay in the list from the first call (cursor 0) to the one that finds nothing.
template <class Take>
std::size_t order_list::take_cells(std::size_t& cursor, std::span<cell*, chunk_size> cells, Take take) noexcept {
  std::lock_guard const lock{mutex_};
  if (cursor == 0) ++pinned_;
  std::size_t count = 0;
  for (; count == 0 && cursor < chunks_.size(); ++cursor) {
    for (order_slot& slot : chunks_[cursor]->slots) {
      if (cell* const found = take(slot)) cells[count++] = found;
    }
  }
  if (count == 0) --pinned_;
  return count;
}

std::size_t order_list::hold_unfinished(std::size_t& cursor, std::span<cell*, chunk_size> cells) noexcept {
  return take_cells(cursor, cells, [](order_slot& slot) -> cell* {
    std::uintptr_t entry = slot.load(std::memory_order_acquire);
    while (has_cell(entry) && (entry & (finished | held)) == 0) {
      if (slot.compare_exchange_weak(entry, entry | held, std::memory_order_acq_rel)) return &cell_at(entry);
    }
    return nullptr;
  });
}

void order_list::release(cell& kept) noexcept {
  settle(kept, kept.place_.slot->fetch_and(~held, std::memory_order_acq_rel) & ~held);
}

void order_list::open() noexcept {
  std::lock_guard const lock{mutex_};
  closed_ = false;
  unread_ = 0;
}

void order_list::close() noexcept {
  {
    std::lock_guard const lock{mutex_};
    closed_ = true;
    begin_epoch();
  }
  auto const take_listed = [](order_slot& slot) -> cell* {
    std::uintptr_t entry = slot.load(std::memory_order_acquire);
    while (is_listed(entry)) {
      if ((entry & finished) == 0) {  // the finishing thread is about to let go
        std::this_thread::yield();
        entry = slot.load(std::memory_order_acquire);
      } else if (slot.compare_exchange_weak(entry, empty, std::memory_order_acq_rel)) {
        cell_at(entry).fate_.store(cell::fate::taken, std::memory_order_release);
        return &cell_at(entry);
      }
    }
    return nullptr;
  };
  std::array<cell*, chunk_size> dropped{};
  std::size_t cursor = 0;
  while (std::size_t const count = take_cells(cursor, dropped, take_listed)) {
    for (std::size_t i = 0; i < count; ++i) dropped[i]->drop(1);  // values are destroyed: not under the lock
  }
}

}  // namespace penstock::detail
