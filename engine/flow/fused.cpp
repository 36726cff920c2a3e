// SPDX-License-Identifier: Apache-2.0
// Items of pipelines: how they come into a stage, go on to the next one, wait there, and end. See
// docs/decisions/0006-pipelines.md.
#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/stage_state.hpp"

#include <penstock/detail/pipeline_core.hpp>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace penstock::detail {
namespace {

stage_state& state_of(stage_core& core) noexcept { return static_cast<stage_state&>(core); }

std::string joined_names(std::vector<stage_core*> const& stages) {
  std::string names;
  for (stage_core const* const each : stages) names += (names.empty() ? "" : " | ") + *each->name();
  return names;
}

}  // namespace

// ---- a pipeline

pipeline_core::pipeline_core(std::vector<stage_core*> stages) : stages_{std::move(stages)} {
  if (stages_.size() > most_stages) {
    throw std::invalid_argument{"pipeline: " + std::to_string(stages_.size()) + " stages; at most " +
                                std::to_string(most_stages) + " are allowed"};
  }
  for (stage_core const* const each : stages_) {
    if (each->batch_limit() == 0) continue;
    throw std::invalid_argument{
        "pipeline: stage '" + *each->name() +
        "' takes batches, but a pipeline takes its items through one by one; scatter its futures "
        "into that stage instead"};
  }
  home_ = &stage_core::open(
      {.capacity = unlimited, .name = joined_names(stages_), .discard_results = stages_.back()->discards()}, nullptr,
      {}, this);
  std::uint32_t const serial = home_->serial();
  try {
    std::vector<std::uint32_t> serials;
    for (stage_core* const each : stages_) {
      state_of(*home_).note_new_upstream(each->serial());
      serials.push_back(each->serial());
    }
    auto const circular = core_registry::instance().add_pipeline(serial, std::move(serials));
    for (stage_state* const each : circular) each->admit_parked();
  } catch (...) {
    core_registry::instance().remove_pipeline(serial);
    home_->retire();
    throw;
  }
  for (stage_core* const each : stages_) ++state_of(*each).pipelines_;
}

pipeline_core::~pipeline_core() {
  std::uint32_t const serial = home_->serial();
  home_->retire();
  core_registry::instance().remove_pipeline(serial);
  for (stage_core* const each : stages_) --state_of(*each).pipelines_;
}

void pipeline_core::join_engine() {
  for (stage_core* const each : stages_) {
    stage_state& stage = state_of(*each);
    if (stage.node_.load(std::memory_order_acquire) == nullptr) stage.join_engine();
  }
  joined_.store(true, std::memory_order_release);
}

pipeline_core::admission pipeline_core::admit(ready_cells* batch, std::size_t bytes) {
  if (!joined_.load(std::memory_order_acquire)) join_engine();
  stage_state& stage = state_of(first_stage());
  stage_state::request wanted{.home = &state_of(*home_), .bytes = bytes};
  auto found = stage.take(wanted);
  if (found == stage_state::admission::full) {
    if (batch != nullptr) batch->send();
    found = stage_state::inside_body() ? stage.take(wanted, false) : stage.wait_for_room(wanted);
  }
  if (found == stage_state::admission::refused) throw_refused();
  return take_place(wanted.cancellations, bytes);
}

std::optional<pipeline_core::admission> pipeline_core::try_admit(std::size_t bytes) {
  if (!joined_.load(std::memory_order_acquire)) join_engine();
  stage_state::request wanted{.home = &state_of(*home_), .bytes = bytes};
  switch (state_of(first_stage()).take_exactly(wanted)) {
    case stage_state::admission::taken: return take_place(wanted.cancellations, bytes);
    case stage_state::admission::full: return std::nullopt;
    case stage_state::admission::refused: break;
  }
  throw_refused();
}

void pipeline_core::throw_refused() const {
  stage_state const& home = state_of(*home_);
  if (home.capacity_.load() == 0) home.throw_refused();
  state_of(first_stage()).throw_refused();
}

// There is room in the first stage.
pipeline_core::admission pipeline_core::take_place(std::uint32_t cancellations, std::size_t bytes) {
  stage_state& home = state_of(*home_);
  try {
    std::uint64_t ticket = 0;
    if (home.take_ticket(ticket, false) == stage_state::admission::refused) home.throw_refused();
    return {home.place_of(ticket, bytes), cancellations};
  } catch (...) {
    state_of(first_stage()).give_room_back(bytes);
    throw;
  }
}

void pipeline_core::dismiss(admission const& unused) noexcept {
  state_of(*home_).give_back(unused.at, 1);
  state_of(first_stage()).give_room_back(unused.at.bytes);
}

pipeline_core::admission pipeline_core::recharge(admission const& taken, std::size_t bytes) const noexcept {
  return {first_stage().recharge(taken.at, bytes), taken.cancellations};
}

std::size_t pipeline_core::capacity() const noexcept {
  std::size_t all = 0;
  for (stage_core const* const each : stages_) all += each->capacity();
  return all;
}

void pipeline_core::reopen() noexcept {
  for (stage_core* const each : stages_) each->reopen();
  home_->reopen();
}

void pipeline_core::run_inline(cell& runnable) const noexcept { state_of(first_stage()).run_guest_inline(runnable); }

// ---- room

stage_state::note stage_state::note_of(cell const& asked) noexcept {
  return {&of(asked), asked.place_.ticket, asked.has(cell::passes) ? asked.way()->cancellations : 0};
}

stage_state::admission stage_state::take_room(request& wanted, bool bounded) noexcept {
  wanted.cancellations = cancellations_.load();  // before it is seen whether the stage is cancelled
  std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
  std::uint32_t const unread = wanted.home->order_.unread();
  std::uint64_t so_far = guests_.load(std::memory_order_relaxed);
  do {
    std::uint64_t const total = order_.total(order_.next_ticket()) + so_far;
    if (bounded && is_full(static_cast<std::uint32_t>(total) + parked() + unread, capacity)) {
      bool const refused = capacity_.load() == 0 || wanted.home->capacity_.load() == 0;
      return refused ? admission::refused : admission::full;
    }
  } while (!guests_.compare_exchange_weak(so_far, so_far + 1));
  if (capacity_.load(std::memory_order_seq_cst) != 0) return admission::taken;
  give_room_back(0);
  return admission::refused;
}

void stage_state::give_room_back(std::size_t bytes) noexcept {
  if (bytes != 0) discharge_arguments(bytes);
  guests_.fetch_sub(1);
  left(word_.load(), false);
}

// Whether there is no room for a guest that has been counted already. Stages and pipelines that scatter at the same moment
// may let one item too many in.
//
// Items that wait for inputs hold a guest up only as long as there are others to wait for: what they wait for may be that
// guest. So a stage that has nothing to run lets one in; and since pipelines do not lead round in a circle without a stage
// that overflows, every guest comes in.
bool stage_state::is_overfull() const noexcept {
  std::uint32_t const capacity = capacity_.load();
  std::uint32_t const bound = capacity != 0 ? capacity : declared_capacity_;  // closed: it finishes what was accepted
  std::uint64_t const word = word_.load();
  if (in_flight(word) <= bound || overflows_.load()) return false;
  bool const is_idle = std::cmp_less_equal(runner_word::running_in(word), waiting_bodies_.load()) && !has_queued();
  return !is_idle || std::cmp_greater_equal(sent_on_.load(), bound);
}

// An item, or a slot, has left the stage, which made the word what it is.
void stage_state::left(std::uint64_t word, bool slot_freed) noexcept {
  if (blocked_.load(std::memory_order_relaxed) > 0) tell_of_room(word);
  if (parked_.load() > 0) admit_parked();
  if (slot_freed) slot_released(word);
  else if ((word & runner_word::halted) != 0) word_.notify_all();
}

// ---- from stage to stage

// An item comes whose body in the stage before has run. It counts here from now on, unless there is no room.
stage_state::arrival stage_state::arrive(cell& item, bool may_run) noexcept {
  passage& way = *item.way();
  way.cancellations = cancellations_.load();  // before it is seen whether the stage is cancelled
  guests_.fetch_add(1);
  if (refuses_guests()) {
    way.at = this;
    return arrival::is_refused;
  }
  if (runs_inline_) {
    way.at = this;
    word_.fetch_add(runner_word::running);
    return arrival::runs;
  }
  if (parked_.load() > 0 || is_overfull()) {
    guests_.fetch_sub(1);
    return arrival::finds_no_room;
  }
  way.at = this;
  bool const runs = may_run && !has_queued() && !holds_back(word_.load(std::memory_order_relaxed)) &&
                    take_slot(runner_word::running, runner_word::halted);
  return runs ? arrival::runs : arrival::is_queued;
}

// Runs an item of a pipeline, which counts as running here, and carries it on through later stages as long as it need
// not wait. A runner brings its slot, and may end up with that of another stage: the one that is returned; null when it
// has none. A thread that scatters runs inline stages only.
//
// While later bodies are known to be short, the runner keeps its slot and can be recalled, as in run_descendants(); with
// a long one, its home is there from then on.
stage_state* stage_state::carry(cell& item, bool in_runner) noexcept {
  stage_state& home = of(item);
  passage const& way = *item.way();
  auto const& stages = home.route()->stages();
  home.word_.fetch_add(runner_word::running);

  stage_state* at = this;                          // runs the body
  stage_state* base = in_runner ? this : nullptr;  // has the slot that the runner serves with
  bool is_away = false;                            // that slot is free to be taken; a body has another one, or none
  bool came_directly = false;                      // from the body before, without a wait
  auto const slot_at = [&] { return (is_away || base == nullptr) && !at->runs_inline_ ? runner_word::active : 0; };
  // The item leaves `at`, and is not carried on. What is to be taken off the word for the slot there, if any.
  auto const stop = [&]() -> std::uint64_t {
    std::uint64_t const freed = slot_at();
    if (!is_away) return freed;
    is_away = false;
    if (base->recall_runner()) return freed;
    base = freed != 0 ? at : nullptr;
    return 0;
  };

  for (;;) {
    while (!at->execute(item, !at->runs_inline_, came_directly)) {
      if (at->runs_inline_) {
        if (at->await_attempt(item)) continue;
        break;
      }
      home.word_.fetch_sub(runner_word::running);
      std::uint64_t const freed = stop();
      std::uint64_t const change = runner_word::running + freed;
      std::uint64_t const word = at->word_.fetch_sub(change) - change;
      if (freed != 0) at->slot_released(word);
      at->retry_later(item);
      return base;
    }

    bool const has_failed = item.failure_ != nullptr;
    if (has_failed) {
      at->count_failure(item);
    } else if (way.step < stages.size() && home.is_cancelled(item.place_.ticket)) {
      item.fail(home.cancelled_failure(item.index()), false);
      item.release_arguments();
    }
    if (item.failure_ != nullptr || way.step == stages.size()) {
      std::uint64_t const freed = stop();
      std::uint64_t const change = runner_word::finished - runner_word::running - freed;
      std::uint64_t const word = at->word_.fetch_add(change) + change;
      (void)home.finish(item, runner_word::finished - runner_word::running, false);
      at->left(word, freed != 0);
      return base;
    }

    stage_state& next = state_of(*stages[way.step]);
    arrival const found = next.arrive(item, in_runner);
    if (found != arrival::runs) {
      if (found != arrival::is_refused) home.word_.fetch_sub(runner_word::running);
      std::uint64_t const freed = stop();
      bool const stays = found == arrival::finds_no_room;
      std::uint64_t const change = (stays ? 0 : runner_word::finished) - runner_word::running - freed;
      std::uint64_t const word = at->word_.fetch_add(change) + change;
      stage_state& from = *at;
      if (found == arrival::is_queued) {
        note_ready(item);
        next.wait_in_queue(item);
      } else if (stays) {
        next.park(item);
      } else {
        home.word_.fetch_sub(runner_word::running);
        refuse_one(item);
      }
      from.left(word, freed != 0);
      return base;
    }

    // The slot of the stage that is left goes, before the next body begins, or stays as one that can be taken.
    std::uint64_t freed = slot_at();
    stage_state* given_up = nullptr;
    if (next.short_bodies_.load(std::memory_order_relaxed)) {
      if (base != nullptr && !is_away) {
        is_away = true;
        base->go_away();
      }
      if (base == nullptr && !next.runs_inline_) base = &next;
    } else {
      if (base != nullptr && !is_away) freed = runner_word::active;
      else if (base != nullptr && base->recall_runner()) given_up = base;
      is_away = false;
      base = in_runner && !next.runs_inline_ ? &next : nullptr;
    }
    std::uint64_t const change = runner_word::finished - runner_word::running - freed;
    std::uint64_t const word = at->word_.fetch_add(change) + change;
    at->left(word, freed != 0);
    if (given_up != nullptr) given_up->leave_slot();
    at = &next;
    came_directly = !next.runs_inline_;
    item.set_ready_at(0, 0);
  }
}

// A new item, on the thread that scatters.
void stage_state::run_guest_inline(cell& item) noexcept {
  if (!passage::rests(item.way()->claim(passage::phase::carried))) return let_go(item);
  if (is_cancelled(item)) return refuse_one(item);
  word_.fetch_add(runner_word::running);
  (void)carry(item, false);
}

// ---- waiting

// Nobody has the item any more: whoever cancels its pipeline finds it here, or is seen by us.
void stage_state::wait_in_queue(cell& item) noexcept {
  passage& way = *item.way();
  way.now.store(passage::phase::waiting);
  if (of(item).is_cancelled(item.place_.ticket)) {
    if (passage::rests(way.claim(passage::phase::carried))) refuse_one(item);
    else let_go(item);
    return;
  }
  enqueue(item);
}

// The same for an item that counts in the stage before.
void stage_state::park(cell& item) noexcept {
  passage& way = *item.way();
  state_of(*way.at).sent_on_.fetch_add(1);
  way.now.store(passage::phase::parked);
  if (of(item).is_cancelled(item.place_.ticket)) {
    of(item).end_resting(item);
    let_go(item);
    return;
  }
  {
    std::lock_guard const lock{ready_mutex_};
    item.next_ = nullptr;
    (last_parked_ != nullptr ? last_parked_->next_ : first_parked_) = &item;
    last_parked_ = &item;
    parked_.fetch_add(1);
  }
  admit_parked();  // room may have come meanwhile
}

// The oldest parked item, if there is room for it or it is not to run; it counts here from now on.
cell* stage_state::take_parked() noexcept {
  std::lock_guard const lock{ready_mutex_};
  cell* const oldest = first_parked_;
  if (oldest == nullptr) return nullptr;
  guests_.fetch_add(1);
  count_shared();
  bool const is_to_end = refuses_guests() || oldest->way()->cancellations != cancellations_.load();
  if (!is_to_end && is_overfull()) {
    guests_.fetch_sub(1);
    return nullptr;
  }
  first_parked_ = oldest->next_;
  if (first_parked_ == nullptr) last_parked_ = nullptr;
  parked_.fetch_sub(1);
  return oldest;
}

void stage_state::admit_parked() noexcept {
  while (cell* const item = take_parked()) {
    passage& way = *item->way();
    if (of(*item).is_cancelled(item->place_.ticket) || !passage::rests(way.claim(passage::phase::carried))) {
      guests_.fetch_sub(1);
      of(*item).end_resting(*item);
      let_go(*item);
      continue;
    }
    stage_state& from = state_of(*std::exchange(way.at, this));
    from.sent_on_.fetch_sub(1);
    std::uint64_t const word = from.word_.fetch_add(runner_word::finished) + runner_word::finished;
    if (refuses_guests() || is_cancelled(*item)) {
      refuse_one(*item);
    } else {
      note_ready(*item);
      wait_in_queue(*item);
    }
    from.left(word, false);
  }
}

// ---- the end

// Ends an item that waits in its stage, which refuses it or has been cancelled.
void stage_state::refuse_guest(cell& item) noexcept {
  passage const& way = *item.way();
  stage_state const& home = of(item);
  if (way.now.load() == passage::phase::ended) return let_go(item);
  (void)item.run((home.is_cancelled(item.place_.ticket) ? home : state_of(*way.at)).cancelled_failure(item.index()));
  end_guest(item);
}

void stage_state::end_guest(cell& item) noexcept {
  stage_state& at = stage_of(item);
  at.count_failure(item);
  std::uint64_t const word = at.word_.fetch_add(runner_word::finished) + runner_word::finished;
  (void)of(item).finish(item, runner_word::finished, false);
  at.left(word, false);
}

// Ends an item of this pipeline, which is being cancelled, if nobody has it.
void stage_state::end_resting(cell& item) noexcept {
  if (!is_cancelled(item.place_.ticket)) return;
  passage& way = *item.way();
  passage::phase const was = way.claim(passage::phase::ended);
  if (!passage::rests(was)) return;
  stage_state& at = state_of(*way.at);
  if (was == passage::phase::parked) at.sent_on_.fetch_sub(1);
  item.add_handle();  // of whoever finds it
  item.ended_ = true;
  item.fail(cancelled_failure(item.index()), false);
  if (way.step > 0) item.release_arguments();  // those of the first step may be waited for still
  if (was == passage::phase::waiting) at.count_failure(item);
  std::uint64_t const word = at.word_.fetch_add(runner_word::finished) + runner_word::finished;
  (void)finish(item, runner_word::finished, false);
  at.left(word, false);
}

}  // namespace penstock::detail
