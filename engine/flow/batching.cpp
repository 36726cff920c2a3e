// SPDX-License-Identifier: Apache-2.0
// How the ready items of a stage become batches, and what becomes of a batch that has run.
#include "engine/flow/batching.hpp"

#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/stage_state.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace penstock::detail {
namespace {

std::atomic<bool> any_stage_takes_batches{false};

// When a cell became ready, in units of 66 us modulo 2^32, which is three days.
constexpr unsigned unit_bits = 16;
std::uint32_t units_at(batching::clock::time_point time) noexcept {
  return static_cast<std::uint32_t>(time.time_since_epoch() / std::chrono::nanoseconds{1} >> unit_bits);
}

}  // namespace

void batching::open(std::size_t limit, std::chrono::milliseconds wait) noexcept {
  limit_ = static_cast<std::uint32_t>(std::min<std::size_t>(limit, std::numeric_limits<std::uint32_t>::max()));
  wait_ = wait;
  set_forming(0, 0);
  set_start(false);
  if (!any_stage_takes_batches.load(std::memory_order_relaxed)) any_stage_takes_batches = true;
}

void batching::add(std::uint32_t ready, clock::time_point now) noexcept {
  forming_.fetch_add(ready, std::memory_order_seq_cst);
  if (starts_.load(std::memory_order_relaxed)) return;
  if (wait() == clock::duration::zero()) set_start(true);
  else if (due() == clock::time_point::max()) due_.store(now + wait(), std::memory_order_seq_cst);
}

void batching::set_start(bool starts, clock::time_point due) noexcept {
  starts_.store(starts, std::memory_order_seq_cst);
  due_.store(due, std::memory_order_seq_cst);
}

// ---- into a batch

void stage_state::enqueue_for_batch(cell& newest, cell& oldest) noexcept {
  cell* first = nullptr;  // the row, from the oldest on
  for (cell* each = &newest; first != &oldest;) {
    cell* const next = std::exchange(each->next_, first);
    first = std::exchange(each, next);
  }
  row unwanted;
  {
    std::lock_guard const lock{ready_mutex_};
    auto const now = batching::clock::now();
    std::uint32_t ready = 0;
    std::uint32_t alone = 0;
    while (first != nullptr) {
      cell& each = *std::exchange(first, first->next_);
      bool const again = each.started_.load(std::memory_order_relaxed);  // then only cancelling can refuse it
      // One that was ended may be of a former stage of this core; the body cannot be asked about it.
      bool refused = is_unwanted(each);
      if (!refused && !again && batch_body_.load(std::memory_order_relaxed)->has_failed_input(each)) {
        each.started_.store(true, std::memory_order_relaxed);
        refused = true;
      }
      if (refused) {
        if (again) batching_.end_apart();
        unwanted.append(each);
        continue;
      }
      if (again) {
        alone_.append(each);
        ++alone;
        continue;
      }
      each.pending_.store(units_at(now), std::memory_order_relaxed);  // all its inputs are there
      each.set(cell::forming);
      if (each.has(cell::awaited)) batching_.add_awaited();
      push_ready(each);
      ++ready;
    }
    if (alone > 0) batching_.add_alone(alone);
    if (ready > 0) {
      batching_.add(ready, now);
      if (is_last_batch()) batching_.set_start(true);
    }
  }
  if ((word_.load(std::memory_order_seq_cst) & runner_word::halted) != 0 || has_queued()) wake_for_queue();
  else engine::instance().keep_watch();
  refuse(unwanted);
}

void stage_state::push_ready(cell& newest) noexcept {
  cell* head = incoming_.load(std::memory_order_relaxed);
  do newest.next_ = head;
  while (!incoming_.compare_exchange_weak(head, &newest, std::memory_order_seq_cst, std::memory_order_relaxed));
}

// With ready_mutex_ held: whether the items that are ready should not wait for others.
// - Somebody waits for one item: if it may be among these, and no body is at work that will make the next ones.
// - Somebody waits for all there are, or the stage takes nothing in: if no other one can come. Those that are in a batch
//   already are none of these.
// - The stage is full, or somebody waits for room, or for an item of his stream: the same, but the end of those that are in
//   a batch makes room, and then more will come.
bool stage_state::is_last_batch() const noexcept {
  if (batching_.is_awaited() && batching_.is_idle()) return true;
  bool const no_more = batching_.is_gathered() || capacity_.load(std::memory_order_seq_cst) == 0;
  return (no_more && can_only_come(batching_.running())) || (waits_for_room() && can_only_come(0));
}

// With ready_mutex_ held: whether all items are ready, tried again, or among so many others.
bool stage_state::can_only_come(std::int64_t others) const noexcept {
  // Read in this order, one that ends meanwhile seems to come yet; finish() looks again after it.
  std::uint64_t const word = word_.load(std::memory_order_seq_cst);
  return std::int64_t{in_flight(word)} - batching_.apart() - batching_.forming() <= others;
}

// Whether room is wanted that there is not.
bool stage_state::waits_for_room() const noexcept {
  if (batching_.is_out_of_room() || waiting_streams_.load(std::memory_order_seq_cst) > 0) return true;
  if (in_flight(word_.load(std::memory_order_seq_cst)) + order_.unread() >= capacity_.load(std::memory_order_seq_cst)) {
    return true;
  }
  std::int64_t const held =
      input_bytes_.load(std::memory_order_relaxed) + result_bytes_.load(std::memory_order_relaxed);
  return held >= byte_budget_.load(std::memory_order_relaxed);
}

// A thread is going to wait for a cell of this stage, of which it has a handle.
void stage_state::await(cell& wanted) noexcept {
  if (!takes_batches()) return;
  {
    std::lock_guard const lock{ready_mutex_};
    if (wanted.has(cell::awaited)) return;
    wanted.set(cell::awaited);
    if (wanted.has(cell::forming)) batching_.add_awaited();
  }
  look_for_last_batch();
}

void stage_state::start_last_batch() noexcept {
  start_batch_if([this] { return is_last_batch(); });
}

// An item was turned away, so none can come before others end.
void stage_state::start_full_batch() noexcept {
  start_batch_if([this] { return can_only_come(0); });
}

void stage_state::start_batch_if(auto const& is_time) noexcept {
  {
    std::lock_guard const lock{ready_mutex_};
    if (batching_.forming() == 0 || !is_time()) return;
    batching_.set_start(true);
  }
  wake_for_batch();
}

// Not while the stage ends: this may be called with locks held under which nothing can be refused, and it will be soon.
void stage_state::wake_for_batch() noexcept {
  if (take_slot(runner_word::waking, runner_word::waking | runner_word::halted)) post_runner();
}

void stage_state::start_batch() noexcept {
  bool has_items = false;
  {
    std::lock_guard const lock{ready_mutex_};
    has_items = batching_.forming() > 0;
    batching_.set_start(has_items);
  }
  if (has_items) wake_for_batch();
}

// With ready_mutex_ held: counts what is ready anew, after some of it was taken out of the queue.
void stage_state::count_forming() noexcept {
  std::uint32_t ready = 0;
  std::uint32_t awaited = 0;
  for (auto const* queue : {&first_ready_, &incoming_}) {
    for (cell const* each = queue->load(std::memory_order_seq_cst); each != nullptr; each = each->next_) {
      ++ready;
      if (each->has(cell::awaited)) ++awaited;
    }
  }
  batching_.set_forming(ready, awaited);
  set_next_batch();
}

// With ready_mutex_ held: sets when the oldest items that are left are to run.
void stage_state::set_next_batch() noexcept {
  cell const* const oldest = batching_.forming() > 0 ? oldest_ready() : nullptr;
  if (oldest == nullptr) return batching_.set_start(false);
  auto const now = batching::clock::now();
  std::uint32_t const age = units_at(now) - oldest->pending_.load(std::memory_order_relaxed);
  auto const due = now - std::chrono::nanoseconds{std::int64_t{age} << unit_bits} + batching_.wait();
  if (due <= now || is_last_batch()) return batching_.set_start(true);
  batching_.set_start(false, due);
  engine::instance().keep_watch();
}

// With ready_mutex_ held: the cells of the next batch in a row, marked as started; none while the queue is not ripe.
cell* stage_state::take_batch(row& unwanted) noexcept {
  if (cell* const next = take_alone(unwanted); next != nullptr) {
    batching_.begin(1);
    batching_.end_apart();
    next->next_ = nullptr;
    return next;
  }
  if (!batching_.is_ripe()) return nullptr;
  row batch;
  std::uint32_t size = 0;
  std::uint32_t awaited = batching_.awaited();
  while (size < batching_.limit()) {
    cell* const next = take_ready();
    if (next == nullptr) break;
    if (is_unwanted(*next)) {
      unwanted.append(*next);
      continue;
    }
    next->started_.store(true, std::memory_order_relaxed);
    next->clear(cell::forming);
    if (next->has(cell::awaited)) --awaited;
    batch.append(*next);
    ++size;
  }
  batching_.begin(size);
  if (unwanted.first != nullptr) {
    count_forming();
  } else {
    batching_.set_forming(batching_.forming() - size, awaited);
    set_next_batch();
  }
  return batch.first;
}

// With ready_mutex_ held: the next cell that is tried again. What was cancelled is apart no more.
cell* stage_state::take_alone(row& unwanted) noexcept {
  while (cell* const next = alone_.take()) {
    batching_.take_alone();
    if (!is_unwanted(*next)) return next;
    batching_.end_apart();
    unwanted.append(*next);
  }
  return nullptr;
}

// ---- the last batches of a stage that is closed

// As in a gather, those that its items come from are to start theirs, too, until all its items are there.
void stage_state::want_batches_upstream() noexcept {
  if (!any_stage_takes_batches.load(std::memory_order_relaxed)) return;
  if (runs_inline_ || in_flight(word_.load(std::memory_order_seq_cst)) == 0) return;
  try {
    if (node_.load(std::memory_order_acquire) == nullptr) join_engine();  // a pipeline: the watch is to know it
  } catch (std::bad_alloc const&) {
    return;
  }
  std::unique_ptr<batch_wanted> wants{new (std::nothrow) batch_wanted{*this, batch_wanted::by::gather}};
  if (wants == nullptr || !wants->has_any()) return;
  {
    std::lock_guard const lock{room_mutex_};
    closed_wants_.swap(wants);
    is_closed_and_wants_ = true;
  }
  engine::instance().keep_watch();
}

bool stage_state::look_after_close() noexcept {
  if (!is_closed_and_wants_.load(std::memory_order_relaxed)) return false;
  if (in_flight(word_.load(std::memory_order_seq_cst)) > 0) return true;
  std::unique_ptr<batch_wanted> over;
  std::lock_guard const lock{room_mutex_};
  closed_wants_.swap(over);
  is_closed_and_wants_ = false;
  return false;
}

// ---- out of a batch

// Runs a batch that is counted as running, and ends its cells. Returns a dependent cell to be run next, as finish() does.
cell* stage_state::run_batch(cell& first) noexcept {
  row done;
  row later;
  execute_batch(first, true, done, later);
  bool const some_later = later.first != nullptr;
  while (cell* const each = later.take()) {
    batching_.set_apart();
    batching_.end_one();
    retry_later(*each);
  }
  if (some_later) look_for_last_batch();
  if (done.first == nullptr) {
    word_.fetch_sub(runner_word::running);
    return nullptr;
  }
  cell* descendant = nullptr;
  while (cell* const each = done.take()) {
    bool const last = done.first == nullptr;
    each->release_arguments();
    batching_.end_one();
    std::uint64_t const body = last ? runner_word::running : 0;
    descendant = finish(*each, runner_word::finished - body, last);
  }
  return descendant;
}

// Runs the body on one item, on this thread; false when it is to be tried again later.
bool stage_state::execute_alone(cell& runnable) noexcept {
  row done;
  row later;
  runnable.next_ = nullptr;
  execute_batch(runnable, false, done, later);
  if (later.first != nullptr) return false;
  runnable.release_arguments();
  return true;
}

// ---- who wants a batch

batch_wanted::batch_wanted(stage_state const& stage, by who) noexcept : who_{who} {
  if (!any_stage_takes_batches.load(std::memory_order_relaxed)) return;
  try {
    wanted_ = core_registry::instance().upstreams_of(stage, who != by::others);
  } catch (std::bad_alloc const&) {  // then all wait for their time
  }
  std::erase_if(wanted_, [](stage_state const* each) { return !each->takes_batches(); });
  count(1);
  for (stage_state* const each : wanted_) {
    each->look_for_last_batch();
    if (each->has_forming_batch()) engine::instance().keep_watch();
  }
}

batch_wanted::~batch_wanted() { count(-1); }

void batch_wanted::count(int change) const noexcept {
  for (stage_state* const each : wanted_) counter(each->batching_).fetch_add(change, std::memory_order_seq_cst);
}

std::atomic<int>& batch_wanted::counter(batching& batches) const noexcept {
  switch (who_) {
    case by::gather: return batches.gathers_;
    case by::scatter: return batches.scatters_;
    case by::reader:
    case by::others: break;
  }
  return batches.awaits_;
}

}  // namespace penstock::detail
