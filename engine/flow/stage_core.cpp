// SPDX-License-Identifier: Apache-2.0
// A stage from its construction to its end, and how items come into it and out of it. How they run: stage_running.cpp.
#include <penstock/detail/stage_core.hpp>

#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/environment.hpp"
#include "engine/flow/failure.hpp"
#include "engine/flow/patience.hpp"
#include "engine/flow/stage_state.hpp"
#include "engine/flow/waiting.hpp"

#include <penstock/detail/bundle.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
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

[[noreturn]] void throw_wrong(stage_options const& options, char const* option, auto value, std::string_view why) {
  std::string text = "stage_options: ";
  text.append(option).append(" is ").append(std::to_string(value));
  if (!options.name.empty()) text.append(" for stage '").append(options.name).append("'");
  throw std::invalid_argument{text.append("; ").append(why)};
}

void check(stage_options const& options, bool takes_batches) {
  auto const require = [&options](bool holds, char const* option, auto value, std::string_view allowed) {
    if (!holds) throw_wrong(options, option, value, allowed);
  };
  require(options.concurrency >= 0, ".concurrency", options.concurrency,
          "it must be at least 0, which runs bodies in scatter itself");
  require(options.concurrency <= runner_word::most_active, ".concurrency", options.concurrency,
          "at most " + std::to_string(runner_word::most_active) + " is allowed");
  require(options.capacity >= 1, ".capacity", options.capacity, "it must be at least 1");
  require(options.capacity_bytes >= 1, ".capacity_bytes", options.capacity_bytes, "it must be at least 1");
  require(options.attempts >= 1, ".attempts", options.attempts, "it must be at least 1");
  require(options.backoff.count() >= 0, ".backoff (in ms)", options.backoff.count(), "it must not be negative");
  require(options.backoff <= std::chrono::hours{24}, ".backoff (in ms)", options.backoff.count(),
          "at most 24 hours are allowed");
  require(options.max_errors >= 1, ".max_errors", options.max_errors,
          "it must be at least 1: the number of failed items at which the stage stops");
  require(options.batch >= 1, ".batch", options.batch, "it must be at least 1");
  require(options.batch == 1 || takes_batches, ".batch", options.batch,
          "it must be 1 for a body that takes single items; let the body take a penstock::batch<T>");
  require(options.batch <= options.capacity, ".batch", options.batch,
          "at most .capacity = " + std::to_string(options.capacity) + " is allowed, or no batch would ever be full");
  require(options.batch_wait.count() >= 0, ".batch_wait (in ms)", options.batch_wait.count(),
          "it must not be negative");
  require(options.batch_wait <= std::chrono::hours{24}, ".batch_wait (in ms)", options.batch_wait.count(),
          "at most 24 hours are allowed");
}

bool all_run_inline() {
  return environment_chooses("PENSTOCK_SERIAL", "1", "0", "'1' (bodies run in scatter itself) or '0' (the default)");
}

}  // namespace

// ---- opening and retiring

stage_core& stage_core::open(stage_options const& options, void* body, item_sizes const& sizes, pipeline_core* route,
                             batch_body* batches) {
  check(options, batches != nullptr);
  bool const is_engines_own = body == nullptr;
  bool const runs_inline = options.concurrency == 0 || (!is_engines_own && all_run_inline());
  static std::atomic<std::size_t> unnamed{0};
  auto name = std::make_shared<std::string const>(options.name.empty() ? "thread_stage " + std::to_string(++unnamed)
                                                                       : options.name);
  (void)failure_without_memory();  // while there is memory
  stage_state& core = core_registry::instance().take(std::move(name));
  core.concurrency_ = options.concurrency;
  std::size_t const fit =
      sizes.fixed == 0 ? options.capacity : std::max<std::size_t>(1, options.capacity_bytes / sizes.fixed);
  core.declared_capacity_ = static_cast<std::uint32_t>(std::min({options.capacity, fit, std::size_t{1} << 31U}));
  core.byte_budget_ = static_cast<std::int64_t>(
      std::min<std::size_t>(options.capacity_bytes, std::numeric_limits<std::int64_t>::max() / 2));
  core.results_differ_ = sizes.results_differ;
  core.expected_result_ = 0;
  core.over_budget_ = 0;
  core.capacity_ = core.declared_capacity_;
  core.max_errors_ = options.max_errors;
  core.unpack_ = options.unpack;
  core.runs_inline_ = runs_inline;
  core.discards_ = options.discard_results;
  core.attempts_ = options.attempts;
  core.bundles_ =
      !runs_inline && batches == nullptr && route == nullptr && (options.attempts == 1 || options.backoff.count() == 0);
  core.batch_limit_ = batches != nullptr ? options.batch : 0;
  if (batches != nullptr) core.batching_.open(options.batch, options.batch_wait);
  core.batch_body_ = batches;
  core.backoff_ = options.backoff;
  core.body_ = body;
  core.route_ = route;
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
  core.cancelled_before_ = order_list::no_ticket;
  core.first_total_ = core.order_.total(core.order_.next_ticket()) + core.guests_;
  core.overflows_ = false;
  core.order_.open();
  core.word_.fetch_and(~runner_word::halted);
  return core;
}

void stage_core::retire() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  auto const end_program_if = [this](bool misused, char const* how) {
    if (!misused) return;
    std::fprintf(stderr, "penstock: %s '%s' is destroyed %s\n", route_ == nullptr ? "stage" : "pipeline",
                 name_->c_str(), how);
    std::abort();
  };
  end_program_if(self.in_own_body(), "by one of its own bodies and would wait for it for ever");
  end_program_if(self.pipelines_ > 0, "before a pipeline that passes it");
  end_program_if(streams_.load() > 0 || self.order_.has_readers(), "before a stream of its results");
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
  (void)look_after_close();
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
  request_stop();  // now that a body which asks for its token finds out by itself that it is to stop
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

void stage_core::close() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  self.refuse_items(stage_state::intake::closed);
  self.want_batches_upstream();
}

// Takes no more items, and cancels those that were accepted, unless it only closes the stage.
void stage_state::refuse_items(intake why) noexcept {
  {
    std::lock_guard const lock{room_mutex_};
    closed_ = closed_ || why == intake::closed;
    intake const now = intake_.load(std::memory_order_relaxed);
    if (now == intake::open || (now == intake::closed && why != intake::closed)) intake_ = why;
    capacity_.store(0, std::memory_order_seq_cst);
    if (why != intake::closed) {
      // From here on next_ticket() shows all tickets of accepted items; see take_ticket().
      std::lock_guard const also{ready_mutex_};
      cancelled_before_ = order_.next_ticket();
      ++cancellations_;
    }
  }
  room_.notify_all();
  tell_readers();
  look_for_last_batch();
  if (route() == nullptr) return;
  for (stage_core* const each : route()->stages()) {
    auto& stage = static_cast<stage_state&>(*each);
    {
      std::lock_guard const lock{stage.room_mutex_};
    }  // who waits there looks for us with the lock held
    stage.room_.notify_all();
  }
}

void stage_core::reopen() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  using intake = stage_state::intake;
  self.errors_.store(0, std::memory_order_relaxed);
  if (self.intake_.load(std::memory_order_acquire) == intake::open) return;
  std::lock_guard const lock{self.room_mutex_};
  if (self.intake_ == intake::closed) return;
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
  if (self.is_to_stop()) {
    std::stop_source stopped;  // NOLINT(misc-const-correctness): request_stop() is const in libstdc++ alone
    stopped.request_stop();
    return stopped.get_token();
  }
  // That of a cancellation which is over is not for those who came after it.
  if (!self.stop_.stop_possible() || self.stop_.stop_requested()) self.stop_ = std::stop_source{};
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
  std::array<cell*, order_list::chunk_size> held{};
  std::size_t cursor = 0;
  for (std::size_t count = 0; (count = order_.hold_unfinished(cursor, held)) != 0;) {
    for (std::size_t i = 0; i < count; ++i) {
      cell& each = *held[i];
      bool unstarted = false;
      if (bundle* const many = bundle_in(each)) {
        if (is_cancelled(each)) end_rest(*many);
      } else if (route() != nullptr) {
        end_resting(each);
      } else {
        std::lock_guard const lock{ready_mutex_};
        unstarted = is_cancelled(each) && !each.started_.load() && !each.ended_.load();
        if (unstarted) each.ended_ = true;
      }
      if (unstarted) {
        each.add_handle();  // of whoever finds it ready
        each.fail(cancelled_failure(each.index()), false);
        (void)finish(each, runner_word::finished, false);
      }
      order_list::release(each);
    }
  }
  drain();
  end_delayed();
}

// ---- the scattering side

stage_state::admission stage_state::take(request& wanted, bool bounded) {
  if (wanted.bytes != 0 && !take_bytes(wanted.bytes, bounded)) {
    return capacity_.load(std::memory_order_relaxed) == 0 ? admission::refused : admission::full;
  }
  struct bytes_back {
    ~bytes_back() {
      if (bytes != 0) of.input_bytes_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    }
    stage_state& of;
    std::size_t bytes;
  } unless_taken{*this, wanted.bytes};
  admission const found = wanted.home == nullptr ? take_ticket(wanted.ticket, bounded) : take_room(wanted, bounded);
  if (found == admission::taken) unless_taken.bytes = 0;
  return found;
}

stage_state::admission stage_state::take_exactly(request& wanted) {
  admission const found = take(wanted);
  return found == admission::full && has_counted_shared() ? take(wanted) : found;
}

bool stage_state::take_bytes(std::size_t bytes, bool bounded) noexcept {
  auto const more = static_cast<std::int64_t>(bytes);
  std::int64_t inputs = input_bytes_.load(std::memory_order_relaxed);
  for (;;) {
    std::int64_t const held = inputs + result_bytes_.load(std::memory_order_relaxed);
    if (bounded && held > 0 && held + more > byte_budget_.load(std::memory_order_relaxed)) return false;
    if (input_bytes_.compare_exchange_weak(inputs, inputs + more, std::memory_order_relaxed)) return true;
  }
}

stage_state::admission stage_state::take_ticket(std::uint64_t& ticket, bool bounded) {
  std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
  ticket = order_.next_ticket();
  for (;;) {
    std::uint64_t const total = order_.total(ticket) + guests_.load(std::memory_order_relaxed);
    if (bounded && is_full(static_cast<std::uint32_t>(total) + parked(), capacity)) {
      if (std::exchange(ticket, order_.next_ticket()) != ticket) continue;
      return capacity_.load(std::memory_order_relaxed) == 0 ? admission::refused : admission::full;
    }
    if (order_.advance(ticket, 1)) return may_keep(ticket) ? admission::taken : admission::refused;
  }
}

// take_ticket() for an item that is let in as most are; false when that has to be looked into.
inline bool stage_state::take_ticket_at_once(std::uint64_t& ticket) noexcept {
  ticket = order_.next_ticket();
  auto const total = static_cast<std::uint32_t>(order_.total(ticket) + guests_.load(std::memory_order_relaxed));
  std::uint32_t const unfinished = total + parked() - finished_seen_.load(std::memory_order_relaxed);
  return unfinished < capacity_.load(std::memory_order_relaxed) && order_.advance(ticket, 1);
}

// Looked at behind the ticket, so that whoever refuses items sees every ticket of an accepted one. A refused one is given back.
inline bool stage_state::may_keep(std::uint64_t ticket) {
  if (capacity_.load(std::memory_order_seq_cst) != 0) return true;
  give_back(place_of(ticket, 1U), 1);
  return false;
}

// Whether no more than `total` items have been let in to leave `capacity` of them unfinished.
bool stage_state::is_full(std::uint32_t total, std::uint32_t capacity) noexcept {
  if (total - finished_seen_.load(std::memory_order_relaxed) < capacity) return false;
  std::uint32_t const free = free_places_now(total, capacity);
  // Who is that far ahead of the runners would read their word for every item, and so hold them up. Left alone for a
  // moment, they make room for many.
  if (free > 0 && free < capacity / 8 && !inside_body()) {
    for (int i = 0; i < pauses_when_nearly_full; ++i) spin_pause();
  }
  return free == 0;
}

// For how many items there is room behind `total` that have been let in; not all, if there are many.
std::uint32_t stage_state::free_places(std::uint32_t total, std::uint32_t capacity) noexcept {
  std::uint32_t const unfinished = total - finished_seen_.load(std::memory_order_relaxed);
  if (unfinished < capacity && capacity - unfinished >= order_list::chunk_size) return capacity - unfinished;
  return free_places_now(total, capacity);
}

std::uint32_t stage_state::free_places_now(std::uint32_t total, std::uint32_t capacity) noexcept {
  std::uint32_t const finished = runner_word::finished_in(word_.load(std::memory_order_acquire)) - order_.unread();
  finished_seen_.store(finished, std::memory_order_relaxed);
  // Signed: a total from long ago may be smaller.
  auto const unfinished = static_cast<std::uint32_t>(std::max(0, static_cast<std::int32_t>(total - finished)));
  return capacity - std::min(capacity, unfinished);
}

// Of the first of `count` items that follow each other, in one chunk.
place stage_state::place_of(std::uint64_t ticket, std::uint32_t count) {
  try {
    return {ticket, &order_.slot(ticket)};
  } catch (...) {
    // Without an entry, only the newest tickets can be given back. Those who have newer ones are in the same trouble, or
    // have made the entry.
    for (; !retract(ticket, count); std::this_thread::yield()) {
      try {
        give_back({ticket, &order_.slot(ticket)}, count);
        break;
      } catch (std::bad_alloc const&) {
        continue;
      }
    }
    throw;
  }
}

item_place stage_state::place_of(std::uint64_t ticket, std::size_t bytes) {
  try {
    return {place_of(ticket, 1U), bytes};
  } catch (...) {
    if (bytes != 0) discharge_arguments(bytes);
    throw;
  }
}

std::optional<item_place> stage_core::try_admit(std::size_t bytes) {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  stage_state::request wanted{.bytes = bytes};
  switch (self.take_exactly(wanted)) {
    case stage_state::admission::taken: return self.place_of(wanted.ticket, bytes);
    case stage_state::admission::full:
      if (self.takes_batches()) self.start_full_batch();
      return std::nullopt;
    case stage_state::admission::refused: break;
  }
  self.throw_refused();
}

item_place stage_core::admit(ready_cells* batch, std::size_t bytes) {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  if (std::uint64_t ticket = 0; bytes == 0 && self.take_ticket_at_once(ticket)) {
    if (!self.may_keep(ticket)) self.throw_refused();
    order_slot* const slot = self.order_.ready_slot(ticket);
    return slot != nullptr ? item_place{{ticket, slot}, 0} : self.place_of(ticket, bytes);
  }
  stage_state::request wanted{.bytes = bytes};
  auto found = self.take(wanted);
  if (found == stage_state::admission::full) {
    if (batch != nullptr) batch->send();
    found = stage_state::inside_body() ? self.take(wanted, false) : self.wait_for_room(wanted);
  }
  if (found == stage_state::admission::refused) self.throw_refused();
  return self.place_of(wanted.ticket, bytes);
}

void stage_state::join_engine() {
  if (runs_inline_) return;
  static std::mutex one_at_a_time;
  std::lock_guard const lock{one_at_a_time};
  if (node_.load(std::memory_order_relaxed) == nullptr) {
    node_.store(&engine::instance().make_node(*this), std::memory_order_release);
  }
}

stage_state::admission stage_state::wait_for_room(request& wanted) {
  auto found = admission::full;
  int looks = 0;
  auto const has_room = [&] {
    if (++looks % 16 == 0) found = take(wanted);
    return found != admission::full;
  };
  (void)is_soon(has_room, looks_for_room, *this);
  if (found == admission::full) {
    batch_wanted const meanwhile{wanted.home != nullptr ? *wanted.home : *this, batch_wanted::by::scatter};
    auto const since = std::chrono::steady_clock::now();
    std::unique_lock lock{room_mutex_};
    struct blocked_here {
      explicit blocked_here(stage_state& stage) noexcept : in{stage} {
        in.blocked_.fetch_add(1, std::memory_order_seq_cst);
      }
      blocked_here(blocked_here const&) = delete;
      blocked_here& operator=(blocked_here const&) = delete;
      ~blocked_here() {
        in.blocked_.fetch_sub(1, std::memory_order_relaxed);
        in.room_.notify_one();  // there may be more room, and somebody has to look for it
      }
      stage_state& in;
    } const here{*this};
    while ((found = take_exactly(wanted)) == admission::full) {
      if (looked_for_) {
        room_.wait(lock);
        continue;
      }
      looked_for_ = true;
      room_.wait_for(lock, look_for_room);
      looked_for_ = false;
    }
    timer_.blocked(std::chrono::steady_clock::now() - since);
  }
  return found;
}

void stage_core::dismiss(item_place const& unused) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  if (unused.bytes != 0) discharge_arguments(unused.bytes);
  self.give_back(unused, 1);
}

item_place stage_core::recharge(item_place const& taken, std::size_t bytes) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  auto const change = static_cast<std::int64_t>(bytes) - static_cast<std::int64_t>(taken.bytes);
  self.input_bytes_.fetch_add(change, std::memory_order_relaxed);
  return {taken, bytes};
}

void stage_core::discharge_arguments(std::size_t bytes) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  self.input_bytes_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_seq_cst);
  if (self.blocked_.load(std::memory_order_seq_cst) > 0) self.room_.notify_one();
}

void stage_core::charge_result(std::size_t bytes) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  self.result_bytes_.fetch_add(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
}

void stage_core::discharge_result(std::size_t bytes) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  self.result_bytes_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_seq_cst);
  if (self.blocked_.load(std::memory_order_seq_cst) > 0) self.room_.notify_one();
  if (self.has_queued()) self.wake_for_queue();
}

// A mean in which the last results count most.
void stage_core::note_result_size(std::size_t bytes) noexcept {
  auto& expected = static_cast<stage_state&>(*this).expected_result_;
  auto const made = static_cast<std::int64_t>(bytes);
  std::int64_t const before = expected.load(std::memory_order_relaxed);
  expected.store(before == 0 ? made : before + (made - before) / 8, std::memory_order_relaxed);
}

// The last stage of a pipeline has made the result of its items.
void cell::charge(std::size_t bytes) const noexcept { stage_state::stage_of(*this).charge_result(bytes); }
void cell::discharge(std::size_t bytes) const noexcept { stage_state::stage_of(*this).discharge_result(bytes); }
void cell::note_size(std::size_t bytes) const noexcept { stage_state::stage_of(*this).note_result_size(bytes); }

// Gives the newest tickets back; who takes them again is not cancelled with those before.
bool stage_state::retract(std::uint64_t ticket, std::uint32_t count) noexcept {
  std::lock_guard const lock{ready_mutex_};
  if (!order_.retract(ticket, count)) return false;
  if (cancelled_before_.load() == ticket + count) cancelled_before_ = ticket;
  return true;
}

void stage_state::give_back(place const& unused, std::uint32_t count) noexcept {
  if (!retract(unused.ticket, count)) {
    for (std::uint32_t i = 0; i < count; ++i) order_list::publish_nothing(unused.slot[i]);
    dismissed_.fetch_add(count, std::memory_order_relaxed);
    word_.fetch_add(count * runner_word::finished);
  }
  if (takes_batches()) start_last_batch();
  if (parked_.load() > 0) admit_parked();
}

void stage_core::publish(cell& added) noexcept {
  added.serial_ = added.stage().serial();
  order_list::publish(added);
}

claim_result stage_core::claim(cell& listed, bool reserve) noexcept {
  return stage_state::of(listed).order_.claim(listed, reserve);
}
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
  cell_batch batch = self.order_.detach();
  self.forget_old_cancellation();
  return batch;
}

std::optional<cell_batch> stage_core::detach_finished(std::chrono::steady_clock::time_point deadline) {
  auto& self = static_cast<stage_state&>(*this);
  self.check_gather();
  std::uint64_t const end = self.order_.next_ticket();
  std::optional<slot_given_back> meanwhile;
  std::optional<batch_wanted> wanted;
  while (void const* const unfinished = self.order_.unfinished_before(end)) {
    if (!wanted) wanted.emplace(self, batch_wanted::by::gather);
    if (!meanwhile) meanwhile.emplace();
    auto const has_moved_on = [&] { return self.order_.unfinished_before(end) != unfinished; };
    if (!timed_waits::wait(unfinished, deadline, has_moved_on)) return std::nullopt;
  }
  cell_batch batch = self.order_.detach(end);
  self.forget_old_cancellation();
  return batch;
}

std::size_t stage_core::capacity() const noexcept { return static_cast<stage_state const&>(*this).declared_capacity_; }

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
  auto const [word, uncounted] = self.counts();
  std::uint64_t const all = self.order_.total(self.order_.next_ticket()) + self.guests_;
  std::uint64_t const total = all - self.first_total_;
  std::uint64_t const in_flight = static_cast<std::uint32_t>(all) - runner_word::finished_in(word) - uncounted;
  std::uint64_t const running = self.items_running(word);
  std::uint64_t const finished = total - in_flight - dismissed;
  return {.queued = in_flight - std::min(in_flight, running),
          .running = running,
          .done = finished - std::min(finished, failed + dropped),
          .failed = failed,
          .retried = self.retried_.load(std::memory_order_relaxed),
          .dropped = dropped,
          .over_budget = self.over_budget_.load(std::memory_order_relaxed),
          .busy = self.timer_.busy(),
          .wait = self.timer_.wait()};
}

failure_ptr stage_core::failure_of_current_exception(std::size_t index, int attempt) const noexcept {
  return describe_current_exception(name_, index, attempt);
}

failure_ptr stage_core::dropped_failure(std::size_t index) const noexcept {
  return describe(error_kind::dropped, name_, index, "dropped by the stage's body");
}

failure_ptr stage_state::cancelled_failure(std::size_t index) const noexcept {
  char const* why = "cancelled, as its stage was";
  if (retired_.load(std::memory_order_relaxed)) why = "cancelled: its stage was destroyed first";
  else if (intake_.load() == intake::too_many_errors) why = "cancelled: its stage has stopped at .max_errors";
  return describe(error_kind::cancelled, name_, index, why);
}

void stage_core::throw_not_repeatable(stage_options const& options, int parameter) {
  throw_wrong(
      options, ".attempts", options.attempts,
      "parameter " + std::to_string(parameter) +
          " of the body is taken by value and cannot be copied for another attempt; take it by reference (T& or "
          "T const&), or leave .attempts at 1");
}

void stage_core::throw_not_repeatable() const {
  throw std::invalid_argument{"stage '" + *name_ + "': .attempts is " + std::to_string(attempts_) +
                              ", but an argument can neither be copied nor referred to for another attempt; let the "
                              "body take it by reference (T& or T const&), or leave .attempts at 1"};
}

void stage_core::throw_not_unpacked() const {
  throw std::invalid_argument{
      "stage '" + *name_ +
      "': a tuple would fill several parameters, but the stage has .unpack = false; let the body "
      "take the tuple, or leave .unpack out"};
}

}  // namespace penstock::detail
