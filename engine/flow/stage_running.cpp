// SPDX-License-Identifier: Apache-2.0
// How a stage's cells come to run: the queue of ready ones, the runners that serve it, and the slots for bodies.
#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/stage_state.hpp"
#include "engine/flow/waiting.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

namespace penstock::detail {
namespace {

constexpr int cells_before_yield = 4096;  // then the runner's thread looks after other stages
constexpr int looks_before_end = 64;      // of a runner, about as long as it takes to post one
constexpr auto short_body = std::chrono::nanoseconds{500};
constexpr int most_doublings = 6;  // of .backoff

// A body that this thread is in; others may be around it, where stages run inline.
struct body_frame {
  stage_state* stage;
  bool has_slot;
  body_frame const* outer;
};
thread_local constinit body_frame const* innermost_body = nullptr;

// The innermost body that `is_wanted` accepts; null when there is none.
body_frame const* find_body(auto const& is_wanted) {
  body_frame const* each = innermost_body;
  while (each != nullptr && !is_wanted(*each)) each = each->outer;
  return each;
}

}  // namespace

// ---- ready cells

// Cells in a row, through their next_.
struct stage_state::row {
  cell* first = nullptr;
  cell* last = nullptr;

  void append(cell& added) noexcept {
    added.next_ = nullptr;
    (first != nullptr ? last->next_ : first) = &added;
    last = &added;
  }
  cell* take() noexcept { return first != nullptr ? std::exchange(first, first->next_) : nullptr; }
};

bool stage_state::inside_body() noexcept { return innermost_body != nullptr; }

bool stage_state::in_own_body() const noexcept {
  return find_body([this](body_frame const& each) { return each.stage == this; }) != nullptr;
}

bool stage_state::is_needed_by_this_thread() const {
  return find_body([this](body_frame const& each) {
           return each.stage == this || core_registry::instance().reaches(each.stage->serial(), *this);
         }) != nullptr;
}

// With ready_mutex_ held: whether a queued cell is not to run. It is the caller's to end then, or was ended.
bool stage_state::is_unwanted(cell& queued) const noexcept {
  if (queued.ended_.load(std::memory_order_relaxed)) return true;
  if (!is_cancelled(queued)) return false;
  queued.started_.store(true, std::memory_order_relaxed);
  return true;
}

bool stage_state::is_cancelled(std::uint64_t ticket) const noexcept {
  return retired_.load(std::memory_order_relaxed) ||
         order_list::is_before(ticket, cancelled_before_.load(std::memory_order_relaxed));
}

// Tickets are compared around the end of their range, so an old one must not be kept for ever.
void stage_state::forget_old_cancellation() noexcept {
  std::uint64_t const next = order_.next_ticket();
  if (next - cancelled_before_.load(std::memory_order_relaxed) < order_list::far) return;
  std::lock_guard const lock{ready_mutex_};
  cancelled_before_ = next - order_list::far / 2;
}

// A cell that was cancelled before it became ready, now that nothing points to it any more.
void stage_state::let_go(cell& ended) noexcept {
  ended.release_arguments();
  ended.drop_handle();
}

void stage_core::ready(cell& runnable) noexcept {
  stage_state::note_ready(runnable);
  stage_state::of(runnable).enqueue(runnable);
}

void ready_cells::note_ready(cell& runnable) noexcept { stage_state::note_ready(runnable); }

void ready_cells::send() noexcept {
  if (oldest_ == nullptr) return;
  stage_state::of(*oldest_).enqueue(*newest_, *oldest_);
  newest_ = oldest_ = nullptr;
  size_ = 0;
}

// A row of cells, linked from the newest to the oldest.
void stage_state::enqueue(cell& newest, cell& oldest) noexcept {
  cell* head = incoming_.load(std::memory_order_relaxed);
  do oldest.next_ = head;
  while (!incoming_.compare_exchange_weak(head, &newest, std::memory_order_seq_cst, std::memory_order_relaxed));
  wake_for_queue();
}

// Whoever gives a slot back looks at the queue afterwards, so one of the two sees the other.
void stage_state::wake_for_queue() noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  for (;;) {
    if ((word & runner_word::halted) != 0) return drain();
    int const active = runner_word::active_in(word);
    if ((word & runner_word::waking) != 0 || active >= concurrency_.load(std::memory_order_relaxed)) {
      return engine::instance().keep_watch();  // whose ticks show a long wait
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
  link const* const newest = input.waiters_.load(std::memory_order_relaxed);
  if (newest == nullptr) return;
  __builtin_prefetch(newest, 1);
  __builtin_prefetch(reinterpret_cast<std::byte const*>(newest) - 64, 1);
}

// With ready_mutex_ held: the oldest ready cell.
cell* stage_state::take_ready() noexcept {
  cell* first = first_ready_.load(std::memory_order_relaxed);
  if (first == nullptr) {
    cell* newest = incoming_.exchange(nullptr, std::memory_order_seq_cst);
    while (newest != nullptr) {
      cell* const next = std::exchange(newest->next_, first);
      first = std::exchange(newest, next);
    }
  }
  if (first == nullptr) return nullptr;
  first_ready_.store(first->next_, std::memory_order_relaxed);
  if (first->next_ != nullptr) fetch_dependent(*first->next_);
  return first;
}

// Refuses queued cells of a stage that is being cancelled or destroyed.
void stage_state::drain() noexcept {
  row unwanted;
  {
    std::lock_guard const lock{ready_mutex_};
    row kept;
    while (cell* const each = take_ready()) (is_unwanted(*each) ? unwanted : kept).append(*each);
    first_ready_.store(kept.first, std::memory_order_relaxed);
  }
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
    stage_state& core = of(*each);
    (void)each->run(core.cancelled_failure(*each));
    (void)core.finish(*each, runner_word::finished, false);
  }
  refusing = false;
}

// ---- the running side

void stage_state::run() noexcept {
  word_.fetch_and(~runner_word::waking);
  for (int served = 0;; ++served) {
    bool const yield = served >= cells_before_yield && has_queued();
    if (yield && (word_.fetch_or(runner_word::waking) & runner_word::waking) == 0) return post_runner();
    cell* const next = next_cell();
    if (next == nullptr) return;
    if (!execute(*next)) {
      word_.fetch_sub(runner_word::running);
      retry_later(*next);
      continue;
    }
    cell* const descendant = finish(*next, runner_word::finished - runner_word::running, true);
    if (descendant != nullptr && !run_descendants(descendant)) return;
  }
}

// The next cell to serve, counted as running; none when the runner's slot is gone or was given back.
cell* stage_state::next_cell() noexcept {
  for (bool lingered = false;;) {
    row unwanted;
    bool slot_is_gone = false;
    cell* const found = pop(unwanted, slot_is_gone);
    bool const refused = unwanted.first != nullptr;
    if (refused) refuse(unwanted);
    if (found != nullptr || slot_is_gone) return found;
    if (refused) continue;
    if (!std::exchange(lingered, true) && linger()) continue;
    std::uint64_t const word = word_.fetch_sub(runner_word::active) - runner_word::active;
    if (!has_queued() && returning_.load() == 0) {
      if ((word & runner_word::halted) != 0) word_.notify_all();
      return nullptr;
    }
    if (!take_slot()) return nullptr;  // those who have the slots look as well
  }
}

cell* stage_state::pop(row& unwanted, bool& slot_is_gone) noexcept {
  std::unique_lock lock{ready_mutex_};
  if (first_returning_ != nullptr) {
    hand_slot_on();
    slot_is_gone = true;
    return nullptr;
  }
  cell* found = nullptr;
  while ((found = take_ready()) != nullptr && is_unwanted(*found)) unwanted.append(*found);
  if (found == nullptr) return nullptr;
  found->started_.store(true, std::memory_order_relaxed);
  bool wake = false;
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  std::uint64_t changed = 0;
  do {
    wake = first_ready_.load(std::memory_order_relaxed) != nullptr && (word & runner_word::waking) == 0 &&
           runner_word::active_in(word) < concurrency_.load(std::memory_order_relaxed) &&
           !short_bodies_.load(std::memory_order_relaxed);
    changed = word + runner_word::running + (wake ? runner_word::active + runner_word::waking : 0);
  } while (!word_.compare_exchange_weak(word, changed));
  lock.unlock();
  if (wake) post_runner();
  return found;
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
  fetch_dependent(runnable);
  body_frame const frame{this, has_slot, innermost_body};
  innermost_body = &frame;
  bool const is_over = runnable.run(nullptr);
  innermost_body = frame.outer;
  auto const sampled = timer_.end(timed, ready, !runnable.failure_inherited_);
  if (sampled.count() >= 0) {
    bool const is_short = sampled < short_body;
    bool const was_short = short_bodies_.load(std::memory_order_relaxed);
    // One long body among short ones may have met a context switch.
    int const long_ones = is_short ? 0 : long_bodies_.load(std::memory_order_relaxed) + 1;
    long_bodies_.store(long_ones, std::memory_order_relaxed);
    if (is_short != was_short && (is_short || long_ones > 1)) short_bodies_.store(is_short, std::memory_order_relaxed);
  }
  return is_over;
}

void stage_core::run_inline(cell& runnable) noexcept {
  stage_state& self = stage_state::of(runnable);
  stage_state::row unwanted;
  {
    std::lock_guard const lock{self.ready_mutex_};
    if (self.is_unwanted(runnable)) unwanted.append(runnable);
    else runnable.started_ = true;
  }
  if (unwanted.first != nullptr) return stage_state::refuse(unwanted);
  self.word_.fetch_add(runner_word::running);
  while (!self.execute(runnable, false)) {
    std::this_thread::sleep_for(self.delay_after(runnable.failed_attempts()));
  }
  (void)self.finish(runnable, runner_word::finished - runner_word::running, false);
}

// ---- attempts

bool stage_core::tries_again(cell const& failed) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  if (self.is_cancelled(failed)) return false;
  self.retried_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

std::chrono::milliseconds stage_state::delay_after(int attempts) const noexcept {
  return backoff_ * (1 << std::min(attempts - 1, most_doublings));
}

// Without memory to wait in, the time has come.
void stage_state::retry_later(cell& failed) noexcept {
  failed.set_ready_at(0, 0);  // the wait for another attempt is no wait for a slot
  std::uint64_t const ticket = failed.place_.ticket;
  auto const due = delayed_cells::clock::now() + delay_after(failed.failed_attempts());
  if (!engine::instance().delay(failed, due)) return enqueue(failed);
  if (is_cancelled(ticket)) end_delayed();  // by somebody who looked for it too early
}

// Ends cancelled cells that wait for their next attempt, with the failure of the last one.
void stage_state::end_delayed() noexcept {
  if (backoff_.count() == 0 || node_.load(std::memory_order_acquire) == nullptr) return;  // there can be none
  row ended;
  engine::instance().take_delayed([this](cell const& each) { return &of(each) == this && is_cancelled(each); },
                                  [&ended](cell& each) { ended.append(each); });
  while (cell* const each = ended.take()) {
    each->release_arguments();
    (void)finish(*each, runner_word::finished, false);
  }
}

void stage_state::count_failure(cell const& ended) noexcept {
  if (ended.was_dropped()) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  failed_.fetch_add(1, std::memory_order_relaxed);
  bool const is_origin = !ended.failure_inherited_ && ended.failure_->kind != error_kind::cancelled;
  if (is_origin && max_errors_ != unlimited && errors_.fetch_add(1) + 1 == max_errors_) {
    cancel(intake::too_many_errors);
  }
}

// ---- the end of a cell

// Ends a cell whose result or failure is there: counts it (`change` is what happens to the word), tells who waits for
// it, lets it go. In a runner, returns one dependent cell that has a slot of its stage and is to be run next.
cell* stage_state::finish(cell& ended, std::uint64_t change, bool in_runner) noexcept {
  // Counted before anybody can see the result, so that counts are exact once gather has returned.
  if (ended.failure_ != nullptr) count_failure(ended);
  bool const discard = discards_ && !ended.has_failed();
  std::uint64_t const word = word_.fetch_add(change) + change;
  link* newest = ended.waiters_.exchange(&cell::finished_mark, std::memory_order_seq_cst);
  order_list::hand_over(ended, discard);  // it may be freed now
  timed_waits::notify_if_any(&ended);

  if (blocked_.load(std::memory_order_relaxed) > 0) {
    // Not for every place: a wake-up costs more than many items.
    std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
    if (in_flight(word) <= capacity - std::max(1U, capacity / 4)) room_.notify_one();
  }
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

// Takes a slot for a cell that is to be run at once, if its stage's bodies are short and nothing waits there.
bool stage_state::enter_directly(cell& runnable) noexcept {
  if (!short_bodies_.load(std::memory_order_relaxed) || has_queued() || is_cancelled(runnable)) return false;
  // Before the slot is taken: who ends what has not started halts the word first, and looks at this afterwards.
  runnable.started_.store(true, std::memory_order_relaxed);
  if (take_slot(runner_word::running, runner_word::halted)) return true;
  runnable.started_.store(false, std::memory_order_relaxed);
  return false;
}

// Runs a cell of a later stage, and what becomes ready by it. This runner's slot may be given to another one meanwhile:
// false then.
bool stage_state::run_descendants(cell* next) noexcept {
  away_.fetch_add(1, std::memory_order_seq_cst);
  if ((word_.load(std::memory_order_seq_cst) & runner_word::halted) != 0) give_back_away_slots();
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

void stage_state::rescue() noexcept {
  constexpr std::uint64_t not_now = runner_word::waking | runner_word::halted;
  if (!has_queued()) return;
  if (take_slot(runner_word::waking, not_now)) return post_runner();
  if ((word_.load() & not_now) != 0) return;
  // All slots are in use: that of a runner which is away will do.
  if (!recall_runner()) return;
  if ((word_.fetch_or(runner_word::waking) & runner_word::waking) != 0) away_.fetch_add(1);
  else post_runner();
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
  owner_->leave_slot();
}
slot_given_back::~slot_given_back() {
  if (owner_ != nullptr) owner_->regain_slot();
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
  // NOLINTNEXTLINE(clang-analyzer-core.StackAddressEscape): hand_slot_on() takes `here` out of the list before it ends
  here.granted.sleep();
}

}  // namespace penstock::detail
