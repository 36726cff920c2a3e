// SPDX-License-Identifier: Apache-2.0
// A stage from its construction to its end, and how items come into it and out of it. How they run: stage_running.cpp.
#include <penstock/detail/stage_core.hpp>

#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/environment.hpp"
#include "engine/flow/failure.hpp"
#include "engine/flow/stage_state.hpp"
#include "engine/flow/waiting.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::detail {
namespace {

constexpr int looks_for_room = 2'000;
constexpr int pauses_when_nearly_full = 64;  // about as long as ten short bodies take
// A thread that waits for room looks by itself this often; finishing threads wake it earlier when much room is there.
constexpr auto look_for_room = std::chrono::milliseconds{1};

void require(bool holds, char const* option, auto value, std::string_view allowed) {
  if (holds) return;
  throw std::invalid_argument{"stage_options: " + std::string{option} + " is " + std::to_string(value) + "; " +
                              std::string{allowed}};
}

void check(stage_options const& options) {
  require(options.concurrency >= 0, ".concurrency", options.concurrency,
          "it must be at least 0, which runs bodies in scatter itself");
  require(options.concurrency <= runner_word::most_active, ".concurrency", options.concurrency,
          "at most " + std::to_string(runner_word::most_active) + " is allowed");
  require(options.capacity >= 1, ".capacity", options.capacity, "it must be at least 1");
  require(options.attempts >= 1, ".attempts", options.attempts, "it must be at least 1");
  require(options.backoff.count() >= 0, ".backoff (in ms)", options.backoff.count(), "it must not be negative");
  require(options.backoff <= std::chrono::hours{24}, ".backoff (in ms)", options.backoff.count(),
          "at most 24 hours are allowed");
  require(options.max_errors >= 1, ".max_errors", options.max_errors,
          "it must be at least 1: the number of failed items at which the stage stops");
}

bool all_run_inline() {
  return environment_chooses("PENSTOCK_SERIAL", "1", "0", "'1' (bodies run in scatter itself) or '0' (the default)");
}

}  // namespace

// ---- opening and retiring

stage_core& stage_core::open(stage_options const& options, void* body) {
  check(options);
  bool const is_engines_own = body == nullptr;
  bool const runs_inline = options.concurrency == 0 || (!is_engines_own && all_run_inline());
  static std::atomic<std::size_t> unnamed{0};
  auto name = std::make_shared<std::string const>(options.name.empty() ? "thread_stage " + std::to_string(++unnamed)
                                                                       : options.name);
  prepare_for_no_memory();
  stage_state& core = core_registry::instance().take(std::move(name));
  core.concurrency_ = options.concurrency;
  core.declared_capacity_ = static_cast<std::uint32_t>(std::min<std::size_t>(options.capacity, std::size_t{1} << 31U));
  core.capacity_ = core.declared_capacity_;
  core.max_errors_ = options.max_errors;
  core.unpack_ = options.unpack;
  core.runs_inline_ = runs_inline;
  core.discards_ = options.discard_results;
  core.attempts_ = options.attempts;
  core.backoff_ = options.backoff;
  core.body_ = body;
  core.timer_.reset();
  core.short_bodies_ = false;
  core.long_bodies_ = 0;
  core.failed_ = core.dropped_ = core.retried_ = core.dismissed_ = 0;
  core.intake_ = stage_state::intake::open;
  core.closed_ = false;
  core.errors_ = 0;
  core.stop_ = std::stop_source{std::nostopstate};
  core.upstreams_.clear();
  for (auto& recent : core.recent_upstreams_) recent = 0;
  core.cancelled_before_ = core.order_.next_ticket();
  core.first_total_ = core.order_.total(core.order_.next_ticket());
  core.order_.open();
  core.word_.fetch_and(~runner_word::halted);
  return core;
}

void stage_core::retire() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  if (self.in_own_body()) {
    std::fprintf(stderr, "penstock: stage '%s' is destroyed by one of its own bodies and would wait for it for ever\n",
                 name_->c_str());
    std::abort();
  }
  self.retire();
}

void stage_state::retire() noexcept {
  {
    std::lock_guard const lock{ready_mutex_};
    retired_ = true;
    word_.fetch_or(runner_word::halted);
  }
  request_stop();
  end_unstarted();
  runner_node* const node = node_.load(std::memory_order_relaxed);
  while (node != nullptr && node->claim()) {  // wake-ups that nobody has started
    word_.fetch_and(~runner_word::waking);
    slot_released(word_.fetch_sub(runner_word::active) - runner_word::active);
  }
  {
    std::optional<slot_given_back> meanwhile;  // in a body of another stage, which may have what ours wait for
    for (;;) {
      give_back_away_slots();
      std::uint64_t const word = word_.load(std::memory_order_seq_cst);
      if (runner_word::active_in(word) == 0 && in_flight(word) == 0) break;
      if (!meanwhile) meanwhile.emplace();
      word_.wait(word);
    }
  }
  order_.close();
  {
    std::lock_guard const lock{ready_mutex_};
    retired_ = false;
  }
  core_registry::instance().give(*this);
}

// ---- cancelling and closing

void stage_core::cancel() noexcept { static_cast<stage_state&>(*this).cancel(stage_state::intake::cancelled); }

void stage_state::cancel(intake why) noexcept {
  refuse_items(why);
  request_stop();
  std::lock_guard const one_at_a_time{ending_mutex_};
  ++endings_;
  word_.fetch_or(runner_word::halted);
  end_unstarted();
  {
    std::lock_guard const lock{ready_mutex_};
    if (--endings_ > 0 || retired_) return;
    word_.fetch_and(~runner_word::halted);
  }
  if (has_queued()) wake_for_queue();
}

void stage_core::close() noexcept { static_cast<stage_state&>(*this).refuse_items(stage_state::intake::closed); }

// From here on: a ticket taken before this returns is one that next_ticket() shows; see take_ticket().
void stage_state::refuse_items(intake why) noexcept {
  {
    std::lock_guard const lock{room_mutex_};
    closed_ = closed_ || why == intake::closed;
    if (intake_.load(std::memory_order_relaxed) == intake::open) intake_ = why;
    capacity_.store(0, std::memory_order_seq_cst);
  }
  room_.notify_all();
}

void stage_core::reopen() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  using intake = stage_state::intake;
  self.errors_.store(0, std::memory_order_relaxed);
  if (self.intake_.load(std::memory_order_acquire) == intake::open) return;
  std::lock_guard const lock{self.room_mutex_};
  if (self.intake_ == intake::closed) return;
  self.stop_ = std::stop_source{std::nostopstate};
  self.intake_ = self.closed_ ? intake::closed : intake::open;
  if (!self.closed_) self.capacity_ = self.declared_capacity_;
}

void stage_state::throw_refused() const {
  std::size_t const index = order_list::index(order_.next_ticket());
  std::string const usable = "; it can be used again when gather() or outcomes() has returned";
  std::lock_guard const lock{room_mutex_};
  if (closed_) {
    throw stage_closed{error_kind::stage_closed, *name_, index, "the stage was closed and takes no more items"};
  }
  if (intake_.load() == intake::too_many_errors) {
    throw stage_error{
        error_kind::cancelled, *name_, index,
        "the stage has stopped at .max_errors = " + std::to_string(max_errors_) + " failed items" + usable};
  }
  throw stage_error{error_kind::cancelled, *name_, index, "the stage was cancelled" + usable};
}

std::stop_token stage_core::stop_token() {
  auto& self = static_cast<stage_state&>(*this);
  std::lock_guard const lock{self.room_mutex_};
  if (!self.stop_.stop_possible()) {
    self.stop_ = std::stop_source{};
    auto const now = self.intake_.load(std::memory_order_relaxed);
    bool const cancelled = now == stage_state::intake::cancelled || now == stage_state::intake::too_many_errors;
    if (cancelled || self.retired_) self.stop_.request_stop();  // nobody can have registered a callback
  }
  return self.stop_.get_token();
}

void stage_state::request_stop() noexcept {
  std::stop_source stop{std::nostopstate};
  {
    std::lock_guard const lock{room_mutex_};
    stop = stop_;
  }
  stop.request_stop();  // NOLINT(clang-analyzer-cplusplus.Move): it was assigned to
}

// Ends what has not started as cancelled, wherever it waits. The word is halted, so no more bodies start meanwhile.
void stage_state::end_unstarted() noexcept {
  std::lock_guard const one_at_a_time{ending_mutex_};
  {
    std::lock_guard const lock{ready_mutex_};
    cancelled_before_ = order_.next_ticket();
  }
  std::array<cell*, order_list::chunk_size> held{};
  std::size_t cursor = 0;
  for (std::size_t count = 0; (count = order_.hold_unfinished(cursor, held)) != 0;) {
    for (std::size_t i = 0; i < count; ++i) {
      cell& each = *held[i];
      bool unstarted = false;
      {
        std::lock_guard const lock{ready_mutex_};
        unstarted = is_cancelled(each) && !each.started_.load() && !each.ended_.load();
        if (unstarted) each.ended_ = true;
      }
      if (unstarted) {
        each.add_handle();  // of whoever finds it ready
        each.fail(cancelled_failure(each), false);
        (void)finish(each, runner_word::finished, false);
      }
      order_list::release(each);
    }
  }
  drain();
  end_delayed();
}

// ---- the scattering side

// Unbounded, it never finds the stage full.
stage_state::admission stage_state::take_ticket(std::uint64_t& ticket, bool bounded) {
  std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
  ticket = order_.next_ticket();
  for (;;) {
    auto const total = static_cast<std::uint32_t>(order_.total(ticket));
    if (bounded && total - finished_seen_.load(std::memory_order_relaxed) >= capacity) {
      std::uint32_t const finished = runner_word::finished_in(word_.load(std::memory_order_acquire));
      finished_seen_.store(finished, std::memory_order_relaxed);
      // Signed: a total from long ago may be smaller.
      if (static_cast<std::int32_t>(total - finished) >= 0 && total - finished >= capacity) {
        if (std::exchange(ticket, order_.next_ticket()) != ticket) continue;
        return capacity_.load(std::memory_order_relaxed) == 0 ? admission::refused : admission::full;
      }
      // Who is that far ahead of the runners would read their word for every item, and so hold them up. Left alone for a
      // moment, they make room for many.
      if (capacity - (total - finished) < capacity / 8 && !inside_body()) {
        for (int i = 0; i < pauses_when_nearly_full; ++i) spin_pause();
      }
    }
    if (order_.advance(ticket, 1)) break;
  }
  // Looked at again behind the ticket, so that whoever refuses items sees every ticket of an accepted one.
  if (capacity_.load(std::memory_order_seq_cst) != 0) return admission::taken;
  dismiss(place_of(ticket));
  return admission::refused;
}

place stage_state::place_of(std::uint64_t ticket) {
  try {
    return {ticket, &order_.slot(ticket)};
  } catch (...) {
    // Without an entry, only the newest ticket can be given back. Those who have newer ones are in the same trouble, or
    // have made the entry.
    for (; !order_.retract(ticket); std::this_thread::yield()) {
      try {
        dismiss({ticket, &order_.slot(ticket)});
        break;
      } catch (std::bad_alloc const&) {
        continue;
      }
    }
    throw;
  }
}

std::optional<place> stage_core::try_admit() {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  std::uint64_t ticket = 0;
  switch (self.take_ticket(ticket)) {
    case stage_state::admission::taken: return self.place_of(ticket);
    case stage_state::admission::full: return std::nullopt;
    case stage_state::admission::refused: break;
  }
  self.throw_refused();
}

place stage_core::admit(ready_cells* batch) {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  std::uint64_t ticket = 0;
  auto found = self.take_ticket(ticket);
  if (found == stage_state::admission::full) {
    if (batch != nullptr) batch->send();
    if (stage_state::inside_body()) found = self.take_ticket(ticket, false);
    else return self.place_of(self.wait_for_room());
  }
  if (found == stage_state::admission::refused) self.throw_refused();
  return self.place_of(ticket);
}

void stage_state::join_engine() {
  if (runs_inline_) return;
  static std::mutex one_at_a_time;
  std::lock_guard const lock{one_at_a_time};
  if (node_.load(std::memory_order_relaxed) == nullptr) {
    node_.store(&engine::instance().make_node(*this), std::memory_order_release);
  }
}

std::uint64_t stage_state::wait_for_room() {
  std::uint64_t ticket = 0;
  auto found = admission::full;
  for (int looks = 0; looks < looks_for_room && found == admission::full; ++looks) {
    spin_pause();
    if (looks % 16 == 15) found = take_ticket(ticket);
  }
  if (found == admission::full) {
    auto const since = std::chrono::steady_clock::now();
    std::unique_lock lock{room_mutex_};
    blocked_.fetch_add(1, std::memory_order_seq_cst);
    while ((found = take_ticket(ticket)) == admission::full) {
      if (looked_for_) {
        room_.wait(lock);
        continue;
      }
      looked_for_ = true;
      room_.wait_for(lock, look_for_room);
      looked_for_ = false;
    }
    blocked_.fetch_sub(1, std::memory_order_relaxed);
    timer_.blocked(std::chrono::steady_clock::now() - since);
    room_.notify_one();  // there may be more room, and somebody has to look for it
  }
  if (found == admission::refused) throw_refused();
  return ticket;
}

void stage_core::dismiss(place const& unused) noexcept { static_cast<stage_state&>(*this).dismiss(unused); }

void stage_state::dismiss(place const& unused) noexcept {
  if (order_.retract(unused.ticket)) return;
  order_list::publish_nothing(*unused.slot);
  dismissed_.fetch_add(1, std::memory_order_relaxed);
  word_.fetch_add(runner_word::finished);
}

void stage_core::publish(cell& added) noexcept {
  added.serial_ = added.stage().serial();
  order_list::publish(added);
}

claim_result stage_core::claim(cell& listed, bool reserve) noexcept { return order_list::claim(listed, reserve); }
void stage_core::commit(cell& claimed) noexcept { order_list::commit(claimed); }
void stage_core::unclaim(cell& claimed) noexcept { stage_state::of(claimed).order_.unclaim(claimed); }

void stage_core::throw_already_gathered(cell const& gathered) {
  throw already_gathered{error_kind::exception, core_registry::instance().name_of(gathered.serial_), gathered.index(),
                         "the future's item was gathered already; scatter or get() a future before its stage's gather"};
}

// ---- gathering

void stage_state::check_gather() const {
  if (!is_needed_by_this_thread()) return;
  throw would_deadlock{error_kind::exception, *name_, 0,
                       "a body of the stage, or of one that its items come from, gathers it and would wait for itself; "
                       "gather outside, or wait for single futures"};
}

cell_batch stage_core::detach() {
  auto& self = static_cast<stage_state&>(*this);
  self.check_gather();
  cell_batch batch{self.order_.detach()};
  self.forget_old_cancellation();
  return batch;
}

std::optional<cell_batch> stage_core::detach_finished(std::chrono::steady_clock::time_point deadline) {
  auto& self = static_cast<stage_state&>(*this);
  self.check_gather();
  std::uint64_t const end = self.order_.next_ticket();
  std::optional<slot_given_back> meanwhile;
  while (void const* const unfinished = self.order_.unfinished_before(end)) {
    if (!meanwhile) meanwhile.emplace();
    auto const has_moved_on = [&] { return self.order_.unfinished_before(end) != unfinished; };
    if (!timed_waits::wait(unfinished, deadline, has_moved_on)) return std::nullopt;
  }
  cell_batch batch{self.order_.detach(end)};
  self.forget_old_cancellation();
  return batch;
}

void stage_core::note_new_upstream(std::uint32_t serial) {
  auto& self = static_cast<stage_state&>(*this);
  std::lock_guard const lock{self.room_mutex_};
  if (std::ranges::find(self.upstreams_, serial) == self.upstreams_.end()) self.upstreams_.push_back(serial);
  recent_upstreams_[1].store(recent_upstreams_[0].load(std::memory_order_relaxed), std::memory_order_relaxed);
  recent_upstreams_[0].store(serial, std::memory_order_relaxed);
}

std::vector<std::uint32_t> stage_state::upstreams() const {
  std::lock_guard const lock{room_mutex_};
  return upstreams_;
}

// ---- what is known of a stage

stage_stats stage_core::stats() const noexcept {
  auto const& self = static_cast<stage_state const&>(*this);
  // Read in this order, a finished item never looks as if it had not started.
  std::uint64_t const failed = self.failed_.load(std::memory_order_acquire);
  std::uint64_t const dropped = self.dropped_.load(std::memory_order_acquire);
  std::uint64_t const dismissed = self.dismissed_.load(std::memory_order_acquire);
  std::uint64_t const word = self.word_.load(std::memory_order_acquire);
  std::uint64_t const total = self.order_.total(self.order_.next_ticket()) - self.first_total_;
  std::uint64_t const in_flight = self.in_flight(word);
  std::uint64_t const running = runner_word::running_in(word);
  std::uint64_t const finished = total - in_flight - dismissed;
  return {.queued = in_flight - std::min(in_flight, running),
          .running = running,
          .done = finished - std::min(finished, failed + dropped),
          .failed = failed,
          .retried = self.retried_.load(std::memory_order_relaxed),
          .dropped = dropped,
          .busy = self.timer_.busy(),
          .wait = self.timer_.wait()};
}

failure_ptr stage_core::failure_of_current_exception(cell const& failed, int attempt) const noexcept {
  return describe_current_exception(name_, failed.index(), attempt);
}

failure_ptr stage_core::dropped_failure(cell const& dropped) const noexcept {
  return describe(error_kind::dropped, name_, dropped.index(), "dropped by the stage's body");
}

failure_ptr stage_state::cancelled_failure(cell const& unstarted) const noexcept {
  char const* why = "cancelled, as its stage was";
  if (retired_.load(std::memory_order_relaxed)) why = "cancelled: its stage was destroyed first";
  else if (intake_.load() == intake::too_many_errors) why = "cancelled: its stage has stopped at .max_errors";
  return describe(error_kind::cancelled, name_, unstarted.index(), why);
}

void stage_core::throw_not_repeatable() const {
  throw std::invalid_argument{"stage '" + *name_ + "': .attempts is " + std::to_string(attempts_) +
                              ", but an argument can neither be copied nor referred to for another attempt; let the "
                              "body take it by reference (T& or T const&), or leave .attempts at 1"};
}

}  // namespace penstock::detail
