// SPDX-License-Identifier: Apache-2.0
// How a stage's cells come to run: the queue of ready ones, the runners that serve it, and the slots for bodies. What
// items of pipelines need beyond that: fused.cpp.
#include "engine/flow/body_frame.hpp"
#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/prefetch.hpp"
#include "engine/flow/sanitizers.hpp"
#include "engine/flow/sleeper.hpp"
#include "engine/flow/stage_state.hpp"
#include "engine/flow/waiting.hpp"

#include <penstock/detail/bundle.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

namespace penstock::detail {
namespace {

constexpr int cells_before_yield = 4096;  // then the runner's thread looks after other stages
constexpr int looks_before_end = 64;      // of a runner, about as long as it takes to post one
// Instrumented bodies take longer, and what is done for short ones is to be tested, too.
constexpr auto short_body =
    std::chrono::nanoseconds{PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER == 0 ? 500 : 50'000};
constexpr int most_doublings = 6;  // of .backoff

}  // namespace

// ---- ready cells

bool stage_state::inside_body() noexcept { return innermost_body != nullptr; }

bool stage_state::in_own_body() const noexcept {
  return find_body([this](body_frame const& each) { return each.stage == this || &of(*each.item) == this; }) != nullptr;
}

// With room_mutex_ held: whether the body of the stage that this thread is in, or calls directly, is to stop.
bool stage_state::is_to_stop() const noexcept {
  body_frame const* const found = find_body([this](body_frame const& each) { return each.stage == this; });
  if (found != nullptr) return is_cancelled(*found->item);
  intake const now = intake_.load(std::memory_order_relaxed);
  return now == intake::cancelled || now == intake::too_many_errors;
}

bool stage_state::is_needed_by_this_thread() const {
  return find_body([this](body_frame const& each) {
           return each.stage == this || core_registry::instance().reaches(each.stage->serial(), *this);
         }) != nullptr;
}

// With ready_mutex_ held: whether a queued cell is not to run. It is the caller's to end then, or was ended.
bool stage_state::is_unwanted(cell& queued) const noexcept {
  bool const ended = queued.ended_.load(std::memory_order_relaxed);
  if (bundle const* const many = bundle_in(queued)) return many->is_claimed() || is_cancelled(queued);
  if (!ended && !is_cancelled(queued)) return false;
  if (!ended) (void)start(queued);
  if (takes_batches()) queued.clear(cell::forming);
  return true;
}

// With ready_mutex_ held: a queued cell is somebody's to run or to end from here on; false when it has been ended.
bool stage_state::start(cell& queued) const noexcept {
  if (is_guest(queued)) return passage::rests(queued.way()->claim(passage::phase::carried));
  queued.started_.store(true, std::memory_order_relaxed);
  return true;
}

// Tickets are compared around the end of their range, so an old one must not be kept for ever. Nothing takes its place:
// what is older was cancelled then, and an item from after it may wait for any number of gathers.
void stage_state::forget_old_cancellation() noexcept {
  auto const is_old = [this] {
    std::uint64_t const before = cancelled_before_.load(std::memory_order_relaxed);
    std::uint64_t const next = order_.next_ticket();
    return before != order_list::no_ticket && order_list::is_before(before, next) && next - before >= order_list::far;
  };
  if (!is_old()) return;
  std::lock_guard const lock{ready_mutex_};
  if (is_old()) cancelled_before_ = order_list::no_ticket;  // not one that has just come
}

// A cell that was cancelled before it became ready, now that nothing points to it any more.
void stage_state::let_go(cell& ended) noexcept {
  passage const* const way = ended.way();
  if (way == nullptr || way->step == 0) ended.release_arguments();  // else who ended it has done so
  ended.drop_handle();
}

void stage_core::ready(cell& runnable) noexcept {
  stage_state::note_ready(runnable);
  stage_state::stage_of(runnable).enqueue(runnable);
}

void ready_cells::note_ready(cell& runnable) noexcept { stage_state::note_ready(runnable); }

void ready_cells::send() noexcept {
  if (oldest_ == nullptr) return;
  stage_state::stage_of(*oldest_).enqueue(*newest_, *oldest_);
  newest_ = oldest_ = nullptr;
  size_ = 0;
}

// A row of cells, linked from the newest to the oldest.
void stage_state::enqueue(cell& newest, cell& oldest) noexcept {
  if (takes_batches()) return enqueue_for_batch(newest, oldest);
  cell* head = incoming_.load(std::memory_order_relaxed);
  do oldest.next_ = head;
  while (!incoming_.compare_exchange_weak(head, &newest, std::memory_order_seq_cst, std::memory_order_relaxed));
  // Else whoever has pushed the first of them sees to it; should that thread have no processor, the watch does.
  if (head == nullptr) wake_for_queue();
  else engine::instance().keep_watch();
}

// Whoever gives a slot back looks at the queue afterwards, so one of the two sees the other.
void stage_state::wake_for_queue() noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  for (;;) {
    if ((word & runner_word::halted) != 0) return drain();
    int const active = runner_word::active_in(word);
    if (holds_back(word) && !may_exceed_.load()) return engine::instance().keep_watch();
    if ((word & runner_word::waking) != 0 || active >= concurrency_.load(std::memory_order_relaxed)) {
      return engine::instance().keep_watch();  // whose ticks show a long wait, and which takes away runners back
    }
    if (active > 0 && short_bodies_.load(std::memory_order_relaxed)) {
      // A runner is about to look; if a body holds it up after all, the watch will see that.
      engine::instance().keep_watch();
      return;
    }
    if (word_.compare_exchange_weak(word, word + runner_word::active + runner_word::waking)) return post_runner();
  }
}

void stage_state::post_runner() noexcept { engine::instance().post(*node_.load(std::memory_order_relaxed)); }

// What waits for a cell will run soon, and another core has written it. Asked for now, it is there in time: a link, and
// before it the head of its cell, which in most is in the line before.
void stage_state::fetch_dependent(cell const& input) noexcept {
  if (link const* const newest = input.waiters_.load(std::memory_order_relaxed); newest != nullptr) {
    fetch_two_lines(reinterpret_cast<std::byte const*>(newest) - 64);
  }
}
// For a cell that is about to run: what waits for it has been asked for, and is asked for what waits for that.
void stage_state::fetch_descendants(cell const& input) noexcept {
  link const* const newest = input.waiters_.load(std::memory_order_acquire);
  if (newest != nullptr) newest->who->fetch_more();
}
void cell::fetch_more() const noexcept {
  fetch(place_.slot);
  if (waiters_.load(std::memory_order_relaxed) != &finished_mark) stage_state::fetch_dependent(*this);
}

// With ready_mutex_ held: the oldest ready cell.
cell* stage_state::take_ready() noexcept {
  cell* const first = oldest_ready();
  if (first == nullptr) return nullptr;
  first_ready_.store(first->next_, std::memory_order_relaxed);
  if (first->next_ != nullptr) fetch_dependent(*first->next_);
  return first;
}

// The same; it stays there.
cell* stage_state::oldest_ready() noexcept {
  cell* first = first_ready_.load(std::memory_order_relaxed);
  if (first == nullptr) {
    cell* newest = incoming_.exchange(nullptr, std::memory_order_seq_cst);
    while (newest != nullptr) {
      cell* const next = std::exchange(newest->next_, first);
      first = std::exchange(newest, next);
    }
    first_ready_.store(first, std::memory_order_relaxed);
  }
  return first;
}

// Refuses queued cells of a stage that is being cancelled or destroyed.
void stage_state::drain() noexcept {
  row unwanted;
  bool keeps = false;
  {
    std::lock_guard const lock{ready_mutex_};
    row kept;
    while (cell* const each = take_ready()) (is_unwanted(*each) ? unwanted : kept).append(*each);
    first_ready_.store(kept.first, std::memory_order_relaxed);
    keeps = kept.first != nullptr;
    if (takes_batches()) {
      count_forming();
      row kept_alone;
      while (cell* const each = take_alone(unwanted)) kept_alone.append(*each);
      for (cell const* each = kept_alone.first; each != nullptr; each = each->next_) batching_.add_alone(1);
      alone_ = kept_alone;
      keeps = has_queued();
    }
  }
  // Whoever has ended the halt meanwhile may not have seen them: they were nowhere.
  if (keeps && (word_.load(std::memory_order_seq_cst) & runner_word::halted) == 0) wake_for_queue();
  if (parked_.load() > 0) admit_parked();
  refuse(unwanted);
}

void stage_state::refuse_one(cell& item) noexcept {
  row unwanted;
  unwanted.append(item);
  refuse(unwanted);
}

void stage_state::refuse(row unwanted) noexcept {
  // To finish one may refuse those that depend on it. They are put in a row: a long chain must not fill the stack.
  thread_local constinit row refused{};
  thread_local constinit bool refusing = false;
  while (cell* const each = unwanted.take()) refused.append(*each);
  if (std::exchange(refusing, true)) return;
  while (cell* const each = refused.take()) {
    if (each->ended_.load()) {
      let_go(*each);
      continue;
    }
    if (each->has(cell::passes)) {
      refuse_guest(*each);
      continue;
    }
    stage_state& core = of(*each);
    if (bundle* const many = bundle_in(*each)) {
      core.end_rest(*many);
      many->drop_handle();
      continue;
    }
    (void)each->run(core.cancelled_failure(each->index()));
    (void)core.finish(*each, runner_word::finished, false);
  }
  refusing = false;
}

// ---- the running side

void stage_state::run(bool in_arena) noexcept {
  word_.fetch_and(~runner_word::waking);
  late_wakes::runner const here;
  stage_state* at = this;
  for (turn mine{.served = 0, .in_arena = in_arena}; at != nullptr;) {
    bool const was_elsewhere = at != this;
    at = at->serve(mine);
    if (at == nullptr && was_elsewhere && has_queued() && take_slot()) at = this;
  }
}

// Serves this stage, in which the runner has a slot, until there is nothing to serve; returns another stage where an item
// of a pipeline has led the runner, and its slot, there.
stage_state* stage_state::serve(turn& mine) noexcept {
  for (;; ++mine.served) {
    late_wakes::count(1);
    bool const gives_way = mine.in_arena && mine.served > 0 && engine::instance().is_slot_awaited();
    bool const is_misplaced = mine.in_arena && bodies_wait();
    bool const yield = (mine.served >= cells_before_yield || gives_way || is_misplaced) && has_queued();
    if (yield && (word_.fetch_or(runner_word::waking) & runner_word::waking) == 0) {
      post_runner();
      return nullptr;
    }
    if (yield && gives_way) {  // another runner of this stage is on its way, and serves what is left
      leave_slot();
      return nullptr;
    }
    auto const [next, at] = next_work();
    if (next == nullptr) return nullptr;
    if (is_guest(*next)) {
      if (stage_state* const now = carry(*next, true); now != this) return now;
      continue;
    }
    if (bundle* const many = bundle_in(*next)) {
      std::uint32_t const items = run_bundle(*many, at);
      late_wakes::count(items);
      mine.served += static_cast<int>(items);
      continue;
    }
    cell* descendant = nullptr;
    if (takes_batches()) {
      descendant = run_batch(*next);
    } else if (execute(*next)) {
      descendant = finish(*next, runner_word::finished - runner_word::running, true);
    } else {
      word_.fetch_sub(runner_word::running);
      retry_later(*next);
    }
    if (descendant != nullptr && !run_descendants(descendant)) return nullptr;
  }
}

// The next cell to serve, counted as running, or the first of the next batch; none when the runner's slot is gone or was
// given back.
stage_state::work stage_state::next_work() noexcept {
  for (bool lingered = false;;) {
    row unwanted;
    bool slot_is_gone = false;
    work const found = pop(unwanted, slot_is_gone);
    bool const refused = unwanted.first != nullptr;
    if (refused) refuse(unwanted);
    if (found.item != nullptr || slot_is_gone) return found;
    if (refused) continue;
    late_wakes::flush();
    if (!std::exchange(lingered, true) && linger()) continue;
    std::uint64_t const word = word_.fetch_sub(runner_word::active) - runner_word::active;
    if (parked_.load() > 0) admit_parked();
    bool const held_back = holds_back(word) && !may_exceed_.load();
    if (held_back) engine::instance().keep_watch();
    if ((!has_queued() || held_back) && returning_.load() == 0) {
      if ((word & runner_word::halted) != 0) word_.notify_all();
      return {};
    }
    if (!take_slot()) return {};  // those who have the slots look as well
  }
}

stage_state::work stage_state::pop(row& unwanted, bool& slot_is_gone) noexcept {
  std::unique_lock lock{ready_mutex_};
  if (first_returning_ != nullptr) {
    hand_slot_on();
    slot_is_gone = true;
    return {};
  }
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  if (holds_back(word) && !may_exceed_.exchange(false)) return {};
  work const found = takes_batches() ? work{take_batch(unwanted)} : take_item(unwanted);
  if (found.item == nullptr) return {};
  bool wake = false;
  std::uint64_t changed = 0;
  do {
    wake = !short_bodies_.load(std::memory_order_relaxed) && (word & runner_word::waking) == 0 &&
           runner_word::active_in(word) < concurrency_.load(std::memory_order_relaxed) && has_queued();
    changed = word + runner_word::running + (wake ? runner_word::active + runner_word::waking : 0);
  } while (!word_.compare_exchange_weak(word, changed));
  lock.unlock();
  if (wake) post_runner();
  return found;
}

// With ready_mutex_ held. Runners that have bundles of their own are not in each other's way; so one that others work on is
// helped when there is nothing else, or one of them has got stuck.
stage_state::work stage_state::take_item(row& unwanted) noexcept {
  bundle* shared = stuck_bundle();
  cell* found = nullptr;
  if (shared == nullptr) {
    while ((found = take_ready()) != nullptr && (is_unwanted(*found) || !start(*found))) unwanted.append(*found);
    if (found != nullptr && !found->is_bundle()) return {found};
    shared = found != nullptr ? bundle_in(*found) : first_shared();
    if (shared == nullptr) return {};
    if (found != nullptr) share(*shared);
  }
  std::uint32_t const at = shared->claim();
  if (at == shared->size()) return {};  // others have been faster
  if (at + 1 == shared->size()) shared_.fetch_sub(1);
  return {shared, at};
}

bool stage_state::linger() const noexcept {
  for (int i = 0; i < looks_before_end; ++i) {
    if (incoming_.load(std::memory_order_relaxed) != nullptr) return true;
    spin_pause();
  }
  return false;
}

// Runs the body; false when the item is to be tried again later.
bool stage_state::execute(cell& runnable, bool has_slot, bool directly) noexcept {
  moment const ready = directly ? moment{} : moment{runnable.ready_at_low_, runnable.ready_at_high_};
  auto const timed = directly ? timer_.start_at_once(runnable.index()) : timer_.start(ready, runnable.index());
  fetch_descendants(runnable);
  if (!short_bodies_.load(std::memory_order_relaxed)) late_wakes::flush();
  entered_body const here{*this, runnable, 0, has_slot};
  bool const is_over = runnable.run(nullptr);
  note_duration(timer_.end(timed, ready, !runnable.failure_inherited_));
  return is_over;
}

// Of a body that was sampled, else a negative one.
void stage_state::note_duration(std::chrono::nanoseconds sampled) noexcept {
  if (sampled.count() < 0) return;
  bool const is_short = sampled < short_body;
  bool const was_short = short_bodies_.load(std::memory_order_relaxed);
  // One long body among short ones may have met a context switch.
  int const long_ones = is_short ? 0 : long_bodies_.load(std::memory_order_relaxed) + 1;
  long_bodies_.store(long_ones, std::memory_order_relaxed);
  if (is_short != was_short && (is_short || long_ones > 1)) short_bodies_.store(is_short, std::memory_order_relaxed);
}

// The same for a body that takes batches, and a row of cells from `first` on.
void stage_state::execute_batch(cell& first, bool has_slot, row& done, row& later) noexcept {
  std::uint32_t items = 0;
  for (cell const* each = &first; each != nullptr; each = each->next_) ++items;
  late_wakes::flush();
  entered_body const here{*this, first, items, has_slot};  // a cancel concerns all of its items, or none
  // Timed as one item: the first has waited longest.
  moment const ready{first.ready_at_low_, first.ready_at_high_};
  auto const timed = timer_.start(ready, first.index());
  batch_body_.load(std::memory_order_relaxed)->run(*this, {.first = &first, .last = nullptr}, done, later);
  (void)timer_.end(timed, ready, true);
}

void stage_core::run_inline(cell& runnable) noexcept {
  stage_state& self = stage_state::of(runnable);
  stage_state::row unwanted;
  {
    std::lock_guard const lock{self.ready_mutex_};
    if (self.is_unwanted(runnable)) unwanted.append(runnable);
    else runnable.started_ = true;
  }
  if (unwanted.first == nullptr && self.takes_batches() && self.batch_body_.load()->has_failed_input(runnable)) {
    unwanted.append(runnable);
  }
  if (unwanted.first != nullptr) return stage_state::refuse(unwanted);
  self.word_.fetch_add(runner_word::running);
  auto const run = [&] { return self.takes_batches() ? self.execute_alone(runnable) : self.execute(runnable, false); };
  while (!run() && self.await_attempt(runnable)) continue;
  (void)self.finish(runnable, runner_word::finished - runner_word::running, false);
}

// ---- attempts

// Blocks until it is time to try an item of an inline stage again; false when it has ended meanwhile, as a cancelled one
// whose last attempt failed.
bool stage_state::await_attempt(cell& failed) noexcept {
  {
    std::unique_lock lock{room_mutex_};
    room_.wait_for(lock, delay_after(failed.failed_attempts()), [&] { return is_cancelled(failed); });
  }
  if (!is_cancelled(failed)) return true;
  (void)failed.run(cancelled_failure(failed.index()));
  return false;
}

bool stage_core::tries_again(cell const& failed) const noexcept {
  return !static_cast<stage_state const&>(*this).is_cancelled(failed);
}

void stage_core::count_retry(cell const& of) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  self.retried_.fetch_add(1, std::memory_order_relaxed);
  if (self.is_guest(of)) stage_state::of(of).retried_.fetch_add(1, std::memory_order_relaxed);
}

std::chrono::milliseconds stage_state::delay_after(int attempts) const noexcept {
  return backoff_ * (1 << std::min(attempts - 1, most_doublings));
}

// Without memory to wait in, the time has come.
void stage_state::retry_later(cell& failed) noexcept {
  failed.set_ready_at(0, 0);  // the wait for another attempt is no wait for a slot
  note const noted = note_of(failed);
  auto const due = delayed_cells::clock::now() + delay_after(failed.failed_attempts());
  if (!engine::instance().delay(failed, due)) return retry(failed);
  if (is_cancelled(noted)) end_delayed();  // by somebody who looked for it too early
  if (parked_.load() > 0) admit_parked();
}
void stage_state::retry(cell& waiting) noexcept {
  stage_state& core = stage_of(waiting);
  if (core.is_guest(waiting)) core.wait_in_queue(waiting);
  else core.enqueue(waiting);
}

// Ends cancelled cells that wait for their next attempt, with the failure of the last one.
void stage_state::end_delayed() noexcept {
  if (route() != nullptr) {
    for (stage_core* const each : route()->stages()) static_cast<stage_state*>(each)->end_delayed();
    return;
  }
  if (backoff_.count() == 0 || node_.load(std::memory_order_acquire) == nullptr) return;  // there can be none
  row ended;
  engine::instance().take_delayed([this](cell const& each) { return &stage_of(each) == this && is_cancelled(each); },
                                  [&ended](cell& each) { ended.append(each); });
  while (cell* const each = ended.take()) {
    if (takes_batches()) batching_.end_apart();
    each->release_arguments();
    if (is_guest(*each)) end_guest(*each);
    else (void)finish(*each, runner_word::finished, false);
  }
}

void stage_state::count_failure(failure const& why, bool inherited) noexcept {
  if (why.kind == error_kind::dropped) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  failed_.fetch_add(1, std::memory_order_relaxed);
  bool const is_origin = !inherited && why.kind != error_kind::cancelled;
  if (is_origin && max_errors_ != unlimited && errors_.fetch_add(1) + 1 == max_errors_) {
    cancel(intake::too_many_errors);
  }
}

// ---- the end of a cell

// Ends a cell whose result or failure is there: counts it (`change` is what happens to the word), tells who waits for
// it, lets it go. In a runner, returns one dependent cell that has a slot of its stage and is to be run next.
cell* stage_state::finish(cell& ended, std::uint64_t change, bool in_runner) noexcept {
  // Counted before anybody can see the result, so that counts are exact once gather has returned.
  if (ended.failure_ != nullptr && !ended.is_bundle()) count_failure(ended);
  bool const discard = discards_ && !ended.has_failed();
  if (order_.has_readers() && !ended.is_bundle()) order_.count_unread(ended);
  std::uint64_t const word = word_.fetch_add(change) + change;
  link* newest = ended.waiters_.exchange(&cell::finished_mark, std::memory_order_seq_cst);
  if (ended.abandoned_.load(std::memory_order_seq_cst)) ended.see_failure();
  order_.hand_over(ended, discard);  // it may be freed now
  if (order_.has_readers()) tell_readers();
  look_for_last_batch();
  timed_waits::notify_if_any(&ended);

  if (blocked_.load(std::memory_order_relaxed) > 0) tell_of_room(word);
  if (parked_.load() > 0) admit_parked();
  // The last things that are done with this core: its stage may end, and it may become another's.
  if (runner_word::active_in(change) != 0) slot_released(word);
  else if ((word & runner_word::halted) != 0) word_.notify_all();

  // Dependants are told in the order in which they came.
  link* oldest = nullptr;
  while (newest != nullptr) {
    link* const next = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, next);
  }
  cell* to_run = nullptr;
  while (oldest != nullptr) {
    waiter& who = *oldest->who;
    oldest = oldest->next;  // before notify(): the link may be gone after it
    cell* const runnable = who.notify();
    if (runnable == nullptr) continue;
    if (in_runner && to_run == nullptr && of(*runnable).enter_directly(*runnable)) to_run = runnable;
    else ready(*runnable);
  }
  return to_run;
}

// Somebody waits for room: not told of every place, since a wake-up costs more than many items.
void stage_state::tell_of_room(std::uint64_t word) noexcept {
  std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
  if (in_flight(word) + order_.unread() <= capacity - std::max(1U, capacity / 4)) room_.notify_one();
}

// Takes a slot for a cell that is to be run at once, if its stage's bodies are short and nothing waits there.
bool stage_state::enter_directly(cell& runnable) noexcept {
  if (!short_bodies_.load(std::memory_order_relaxed) || has_queued() || is_cancelled(runnable.place_.ticket))
    return false;
  if (holds_back(word_.load(std::memory_order_relaxed))) return false;
  // Before the slot is taken: who ends what has not started halts the word first, and looks at this afterwards.
  runnable.started_.store(true, std::memory_order_relaxed);
  if (take_slot(runner_word::running, runner_word::halted)) return true;
  runnable.started_.store(false, std::memory_order_relaxed);
  return false;
}

// Runs a cell of a later stage, and what becomes ready by it. This runner's slot may be given to another one meanwhile:
// false then.
bool stage_state::run_descendants(cell* next) noexcept {
  go_away();
  while (next != nullptr) {
    stage_state& core = of(*next);
    if (next->ended_.load(std::memory_order_acquire)) {
      let_go(*next);
      constexpr std::uint64_t change = runner_word::active + runner_word::running;
      core.slot_released(core.word_.fetch_sub(change) - change);
      break;
    }
    if (!core.execute(*next, true, true)) {
      constexpr std::uint64_t change = runner_word::active + runner_word::running;
      core.slot_released(core.word_.fetch_sub(change) - change);
      core.retry_later(*next);
      break;
    }
    next = core.finish(*next, runner_word::finished - runner_word::running - runner_word::active, true);
  }
  return recall_runner();
}

// From here on this runner's slot can be taken for what waits here. The watch sees to that if the runner stays away: it is
// awake, and whoever comes later wakes it.
void stage_state::go_away() noexcept {
  away_.fetch_add(1, std::memory_order_seq_cst);
  if ((word_.load(std::memory_order_seq_cst) & runner_word::halted) != 0) give_back_away_slots();
  engine::instance().keep_watch();
}

void stage_state::rescue() noexcept {
  constexpr std::uint64_t not_now = runner_word::waking | runner_word::halted;
  if (returning_.load() > 0 && recall_runner()) return leave_slot();
  if (!has_queued()) return;
  if (take_slot(runner_word::waking, not_now)) return post_runner();
  if ((word_.load() & not_now) != 0) return;
  // All slots are in use: that of a runner which is away will do.
  if (!recall_runner()) return;
  if ((word_.fetch_or(runner_word::waking) & runner_word::waking) != 0) away_.fetch_add(1);
  else post_runner();
}

void stage_state::exceed_budget() noexcept {
  over_budget_.fetch_add(1, std::memory_order_relaxed);
  may_exceed_.store(true);
  wake_for_queue();
}

// Takes the slot of one runner that is away: its own, when it comes back. Which one's does not matter, not even when
// the core has become another stage's meanwhile.
bool stage_state::recall_runner() noexcept {
  int away = away_.load(std::memory_order_seq_cst);
  while (away > 0) {
    if (away_.compare_exchange_weak(away, away - 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

// A stage that ends does not wait for runners that serve later stages: they may be in a body for long, or in the very one
// that ends it. Whoever comes second, the runner that goes away or the one who halts the word, sees the other.
void stage_state::give_back_away_slots() noexcept {
  while (recall_runner()) leave_slot();
}

// ---- slots

struct stage_state::returning_body {
  sleeper granted;
  returning_body* next = nullptr;
};

// Takes a free slot, and adds `also` to the word by the same operation; not while one of the `unless` flags is set.
bool stage_state::take_slot(std::uint64_t also, std::uint64_t unless) noexcept {
  std::uint64_t word = word_.load();
  while ((word & unless) == 0 && runner_word::active_in(word) < concurrency_.load(std::memory_order_relaxed)) {
    if (word_.compare_exchange_weak(word, word + runner_word::active + also)) return true;
  }
  return false;
}

// A slot has become free, which made the word what it is.
void stage_state::slot_released(std::uint64_t word) noexcept {
  if (returning_.load() > 0) {
    std::unique_lock const lock{ready_mutex_};
    if (first_returning_ != nullptr && take_slot()) return hand_slot_on();
  }
  if ((word & runner_word::halted) != 0) word_.notify_all();
  if (has_queued()) wake_for_queue();
}

// With ready_mutex_ held, a slot to give, and a body that waits for one.
void stage_state::hand_slot_on() noexcept {
  returning_body& oldest = *first_returning_;
  first_returning_ = oldest.next;
  if (first_returning_ == nullptr) last_returning_ = nullptr;
  returning_.fetch_sub(1);
  oldest.granted.notify();
}

slot_given_back::slot_given_back() noexcept {
  body_frame const* const found = find_body([](body_frame const& each) { return each.has_slot; });
  if (found == nullptr) return;
  owner_ = found->stage;
  items_ = found->items;
  if (items_ > 0) owner_->batching_.begin_waiting(items_);
  owner_->leave_slot();
  owner_->waiting_bodies_.fetch_add(1);
  if (owner_->parked_.load() > 0) owner_->admit_parked();
  if (items_ > 0) owner_->look_for_last_batch();
}
slot_given_back::~slot_given_back() {
  if (owner_ == nullptr) return;
  owner_->waiting_bodies_.fetch_sub(1);
  owner_->regain_slot();
  if (items_ > 0) owner_->batching_.end_waiting(items_);
}

void stage_state::leave_slot() noexcept { slot_released(word_.fetch_sub(runner_word::active) - runner_word::active); }

void stage_state::regain_slot() noexcept {
  if (take_slot()) return;
  returning_body here;
  {
    std::lock_guard const lock{ready_mutex_};
    returning_.fetch_add(1);
    if (take_slot()) {  // one was given back before it could be seen that we wait
      returning_.fetch_sub(1);
      return;
    }
    (last_returning_ != nullptr ? last_returning_->next : first_returning_) = &here;
    last_returning_ = &here;
  }
  if (away_.load() > 0) engine::instance().keep_watch();
  // NOLINTNEXTLINE(clang-analyzer-core.StackAddressEscape): hand_slot_on() takes `here` out of the list before it ends
  here.granted.sleep();
}

}  // namespace penstock::detail
