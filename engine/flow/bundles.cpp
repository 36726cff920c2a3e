// SPDX-License-Identifier: Apache-2.0
// Many items in one cell: how they are admitted, run and refused. See penstock/detail/bundle.hpp.
#include "engine/flow/body_frame.hpp"
#include "engine/flow/failure.hpp"
#include "engine/flow/stage_state.hpp"

#include <penstock/detail/bundle.hpp>

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

namespace penstock::detail {
namespace {

constexpr std::uint32_t least_items = 8;  // fewer are no cheaper together

}  // namespace

// ---- failures

// Without memory for the array it is as with a failure that there is no memory for.
void bundle::fail_item(std::uint32_t at, failure_ptr why) noexcept {
  failure_ptr* all = failures_.load(std::memory_order_acquire);
  if (all == nullptr) {
    failure_ptr* const made = new (std::nothrow) failure_ptr[size_];
    if (made == nullptr || failures_.compare_exchange_strong(all, made, std::memory_order_acq_rel)) all = made;
    else delete[] made;  // somebody else's is there
  }
  if (all != nullptr) all[at] = std::move(why);
  without_value_.fetch_or(std::uint64_t{1} << at, std::memory_order_release);
}

failure_ptr const& bundle::recorded_failure_of(std::uint32_t at) const noexcept {
  failure_ptr const* const all = failures_.load(std::memory_order_acquire);
  return all != nullptr && all[at] != nullptr ? all[at] : failure_without_memory();
}

// ---- scattering

std::optional<bundle_place> stage_core::admit_bundle(std::size_t wanted) {
  auto& self = static_cast<stage_state&>(*this);
  // While nobody knows how long bodies take, or they are long, the progress of each item counts; so it does for streams.
  if (!bundles_ || !self.short_bodies_.load(std::memory_order_relaxed) || self.order_.has_readers() ||
      self.pipelines_.load(std::memory_order_relaxed) > 0) {
    return std::nullopt;
  }
  std::uint32_t const capacity = self.capacity_.load(std::memory_order_relaxed);
  std::uint64_t ticket = self.order_.next_ticket();
  std::uint32_t count = 0;
  do {
    std::uint64_t const total = self.order_.total(ticket) + self.guests_.load(std::memory_order_relaxed);
    std::uint32_t const free = self.free_places(static_cast<std::uint32_t>(total) + self.parked(), capacity);
    std::size_t const in_chunk = order_list::chunk_size - ticket % order_list::chunk_size;
    count = static_cast<std::uint32_t>(std::min({wanted, std::size_t{free}, in_chunk, std::size_t{capacity} / 4}));
    if (count < least_items) return std::nullopt;
  } while (!self.order_.advance(ticket, count));
  place const first = self.place_of(ticket, count);
  if (self.capacity_.load(std::memory_order_seq_cst) == 0) {
    self.give_back(first, count);
    return std::nullopt;
  }
  return bundle_place{first, count};
}

void stage_core::dismiss(bundle_place const& unused) noexcept {
  static_cast<stage_state&>(*this).give_back(unused, unused.count);
}

void stage_core::submit(bundle& added) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  // Its own entry comes last: whoever goes through the entries waits for it.
  for (std::uint32_t at = 1; at < added.size_; ++at) order_list::publish_nothing(added.place_.slot[at]);
  stage_state::note_ready(added);
  publish(added);
  self.enqueue(added);
}

// ---- running

// With ready_mutex_ held: the first of those bundles that are worked on, and have items left.
bundle* stage_state::first_shared() const noexcept {
  if (shared_.load(std::memory_order_relaxed) == 0) return nullptr;
  bundle* each = first_shared_;
  while (each != nullptr && each->is_claimed()) each = each->next_shared_;
  return each;
}

// The same if nobody has claimed an item of it since the last look: who works on it is in a body that takes long.
bundle* stage_state::stuck_bundle() const noexcept {
  bundle* const oldest = first_shared();
  if (oldest == nullptr) return nullptr;
  std::uint32_t const claimed = oldest->claimed();
  return std::exchange(oldest->seen_claimed_, claimed) == claimed ? oldest : nullptr;
}

// With ready_mutex_ held: a runner begins to work on a bundle that was queued.
void stage_state::share(bundle& queued) noexcept {
  queued.is_shared_ = true;
  bundle* last = first_shared_;
  while (last != nullptr && last->next_shared_ != nullptr) last = last->next_shared_;
  if (last != nullptr) last->next_shared_ = &queued;
  else first_shared_ = &queued;
  shared_.fetch_add(1, std::memory_order_seq_cst);
}

// The same: all its items have ended.
void stage_state::unshare(bundle& over) noexcept {
  bundle* before = first_shared_;
  if (before == &over) {
    first_shared_ = over.next_shared_;
    return;
  }
  while (before->next_shared_ != &over) before = before->next_shared_;
  before->next_shared_ = over.next_shared_;
}

// With ready_mutex_ held. Who runs items of bundles counts them at the end only; until then those that have ended can be
// counted here. With readers, only what was read: the rest would be unread, and take room as if it had not ended.
void stage_state::count_shared() noexcept {
  bool const has_readers = order_.has_readers();
  std::uint64_t change = 0;
  for (bundle* each = first_shared_; each != nullptr; each = each->next_shared_) {
    std::uint32_t const ended = has_readers ? each->size_ - each->left() : each->ended();
    if (ended <= each->counted_) continue;
    change += (ended - std::exchange(each->counted_, ended)) * runner_word::finished;
  }
  if (change != 0) word_.fetch_add(change);
}

// The same for who does not hold it, and has found no room; whether there were some.
bool stage_state::has_counted_shared() noexcept {
  if (first_shared_.load() == nullptr) return false;
  std::lock_guard const lock{ready_mutex_};
  count_shared();
  return true;
}

// All that have ended.
stage_state::word_and_uncounted stage_state::counts() const noexcept {
  if (first_shared_.load(std::memory_order_relaxed) == nullptr) return {word_.load(std::memory_order_acquire), 0};
  std::lock_guard const lock{ready_mutex_};
  word_and_uncounted found{word_.load(std::memory_order_acquire), 0};
  for (bundle const* each = first_shared_; each != nullptr; each = each->next_shared_) {
    found.items += each->ended() - each->counted_;
  }
  return found;
}

// How items of a bundle are timed: as single ones are, which costs nothing for most of those behind the first.
struct stage_state::bundle_timing {
  moment ready;
  moment looked_at;
  bool skips = false;
};

void stage_state::run_item(bundle& many, std::uint32_t at, bundle_timing& timing) noexcept {
  moment const tick = moment::last_tick();
  if (tick != timing.looked_at) {
    timing.looked_at = tick;
    timing.skips = timer_.skips(timing.ready);
  }
  if (at != 0 && timing.skips) {
    many.run_item(at);
    if (moment::last_tick() != tick) (void)timer_.end({.tick = tick, .measured = std::nullopt}, timing.ready, true);
    return;
  }
  auto const timed = timer_.start(timing.ready, many.index() + at);
  many.run_item(at);
  note_duration(timer_.end(timed, timing.ready, true));
}

// Runs items, from a claimed one on, until there are none, or this runner's slot is asked for. Returns their number.
std::uint32_t stage_state::run_bundle(bundle& many, std::uint32_t at) noexcept {
  std::uint32_t ended = 0;
  bool runs = true;
  bundle_timing timing{.ready = {many.ready_at_low_, many.ready_at_high_}, .looked_at = {}};
  auto const ends = [&] {
    many.ends_[at].store(true, std::memory_order_release);
    ++ended;
    runs = returning_.load(std::memory_order_relaxed) == 0;
    if (!runs) return;
    at = many.claim_next();
    if (at + 1 == many.size_) shared_.fetch_sub(1);
    runs = at < many.size_;
    if (order_.has_readers()) tell_readers();  // who begins to read later sees that the item has ended
  };
  while (runs) {
    bool has_failed = false;
    {
      entered_body const here{*this, many, 0, true};
      do {
        if (is_cancelled(many.place_.ticket)) many.refuse_item(at, cancelled_failure(many.index() + at));
        else run_item(many, at, timing);
        has_failed = many.failure_of(at) != nullptr;
        if (!has_failed) ends();
      } while (runs && !has_failed && parked_.load() == 0);  // who parks later sees that the item has ended, too
    }
    if (has_failed) {
      count_failure(**many.failure_of(at), false);
      ends();
    }
    if (parked_.load() > 0) admit_parked();
  }
  word_.fetch_sub(runner_word::running);
  if (many.end(1)) {
    finish_bundle(many);
  } else {
    if (order_.has_readers()) tell_readers();
    if (parked_.load() > 0) admit_parked();
  }
  return ended;
}

void stage_state::finish_bundle(bundle& many) noexcept {
  if (failure_ptr const* const why = many.first_error()) many.failure_ = *why;
  bool was_shared = false;
  {
    std::lock_guard const lock{ready_mutex_};
    was_shared = std::exchange(many.is_shared_, false);
    if (was_shared) unshare(many);
    if (order_.has_readers()) order_.count_unread(many);
    word_.fetch_add((many.size_ - many.counted_) * runner_word::finished);
  }
  (void)finish(many, 0, false);
  if (was_shared) many.drop_handle();  // of the queue; else whoever finds it there does that
}

// ---- reading

std::uint64_t stage_state::first_listed() noexcept {
  std::lock_guard const nobody_cancels{ending_mutex_};  // who would not look at a cell that is held
  return order_.first_listed();
}

bundle* stage_state::take_shared(bool in_order, void const* next) noexcept {
  std::lock_guard const lock{ready_mutex_};
  for (bundle* each = first_shared_; each != nullptr; each = each->next_shared_) {
    bool const is_wanted = (!in_order || each == next) && each->next_left(in_order) < each->size_;
    if (is_wanted && order_list::take_unfinished(*each)) return each;
  }
  return nullptr;
}

void stage_state::give(bundle& from, std::uint32_t at) noexcept {
  std::lock_guard const lock{ready_mutex_};
  order_.give(from, at);
}

// ---- cancelling

// Ends the items that nobody has begun.
void stage_state::end_rest(bundle& many) noexcept {
  std::uint32_t first = 0;
  {
    std::lock_guard const lock{ready_mutex_};
    first = many.claim_rest();
    if (first < many.size_ && many.is_shared_) shared_.fetch_sub(1);
  }
  if (first == many.size_) return;
  for (std::uint32_t at = first; at < many.size_; ++at) {
    many.refuse_item(at, cancelled_failure(many.index() + at));
    count_failure(**many.failure_of(at), false);
    many.ends_[at].store(true, std::memory_order_release);
  }
  if (many.end(many.size_ - first)) return finish_bundle(many);
  if (order_.has_readers()) tell_readers();
  if (parked_.load() > 0) admit_parked();
}

}  // namespace penstock::detail
