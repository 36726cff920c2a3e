// SPDX-License-Identifier: Apache-2.0
// How the ready items of a stage become batches, and what becomes of a batch that has run.
#include "engine/flow/batching.hpp"

#include "engine/flow/core_registry.hpp"
#include "engine/flow/engine.hpp"
#include "engine/flow/stage_state.hpp"

#include <algorithm>
#include <limits>
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
  forming_ = 0;
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
    while (first != nullptr) {
      cell& each = *std::exchange(first, first->next_);
      // One that was ended may be of a former stage of this core; the body cannot be asked about it.
      bool refused = is_unwanted(each);
      if (!refused && batch_body_.load(std::memory_order_relaxed)->has_failed_input(each)) {
        each.started_.store(true, std::memory_order_relaxed);
        refused = true;
      }
      if (refused) {
        unwanted.append(each);
        continue;
      }
      each.pending_.store(units_at(now), std::memory_order_relaxed);  // all its inputs are there
      push_ready(each);
      ++ready;
    }
    if (ready > 0) {
      batching_.add(ready, now);
      if (is_last_batch()) batching_.set_start(true);
    }
  }
  if ((word_.load(std::memory_order_seq_cst) & runner_word::halted) != 0 || batching_.is_ripe()) wake_for_queue();
  else engine::instance().keep_watch();
  refuse(unwanted);
}

void stage_state::push_ready(cell& newest) noexcept {
  cell* head = incoming_.load(std::memory_order_relaxed);
  do newest.next_ = head;
  while (!incoming_.compare_exchange_weak(head, &newest, std::memory_order_seq_cst, std::memory_order_relaxed));
}

// With ready_mutex_ held: whether somebody waits for the items that are ready, and none could join them. While a gather
// waits, or the stage takes nothing in, those that are in a batch already do not count; but their end makes room for one
// who scatters, or reads a stream, and will then bring more.
bool stage_state::is_last_batch() const noexcept {
  bool const no_more = batching_.is_gathered() || capacity_.load(std::memory_order_seq_cst) == 0;
  bool const more_after_others = batching_.is_full() || waiting_streams_.load(std::memory_order_seq_cst) > 0;
  if (!no_more && !more_after_others) return false;
  // Read in this order, one that ends meanwhile seems to come yet; finish() looks again after it.
  std::uint64_t const word = word_.load(std::memory_order_seq_cst);
  std::int64_t const running = batching_.running();
  std::int64_t const others = std::int64_t{in_flight(word)} - batching_.forming();
  return others <= (no_more ? running : 0);
}

void stage_state::start_last_batch() noexcept {
  {
    std::lock_guard const lock{ready_mutex_};
    if (batching_.forming() == 0 || !is_last_batch()) return;
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
  for (cell const* each = first_ready_.load(std::memory_order_relaxed); each != nullptr; each = each->next_) ++ready;
  for (cell const* each = incoming_.load(std::memory_order_seq_cst); each != nullptr; each = each->next_) ++ready;
  batching_.set_forming(ready);
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
  if (!batching_.is_ripe()) return nullptr;
  row batch;
  std::uint32_t size = 0;
  while (size < batching_.limit()) {
    cell* const next = take_ready();
    if (next == nullptr) break;
    if (is_unwanted(*next)) {
      unwanted.append(*next);
      continue;
    }
    next->started_.store(true, std::memory_order_relaxed);
    batch.append(*next);
    ++size;
  }
  batching_.begin(size);
  if (unwanted.first != nullptr) {
    count_forming();
  } else {
    batching_.set_forming(batching_.forming() - size);
    set_next_batch();
  }
  return batch.first;
}

// ---- out of a batch

// Runs a batch that is counted as running, and ends its cells. Returns a dependent cell to be run next, as finish() does.
cell* stage_state::run_batch(cell& first) noexcept {
  row done;
  row later;
  execute_batch(first, true, done, later);
  while (cell* const each = later.take()) {
    batching_.end_one();
    retry_later(*each);
  }
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

batch_wanted::batch_wanted(stage_state& stage, by who) noexcept : who_{who} {
  if (!any_stage_takes_batches.load(std::memory_order_relaxed)) return;
  stage_ = &stage;
  try {
    upstreams_ = core_registry::instance().upstreams_of(stage);
  } catch (std::bad_alloc const&) {  // then what is upstream waits for its time
  }
  std::erase(upstreams_, stage_);
  std::erase_if(upstreams_, [](stage_state const* each) { return !each->takes_batches(); });
  count(stage, 1);
  for (stage_state* const each : upstreams_) count(*each, 1);
}

batch_wanted::~batch_wanted() {
  if (stage_ == nullptr) return;
  count(*stage_, -1);
  for (stage_state* const each : upstreams_) count(*each, -1);
}

void batch_wanted::count(stage_state& in, int change) const noexcept {
  batching& batches = in.batching_;
  (who_ == by::gather ? batches.gathers_ : batches.scatters_).fetch_add(change, std::memory_order_seq_cst);
  if (change < 0) return;
  in.look_for_last_batch();
  if (in.has_forming_batch()) engine::instance().keep_watch();
}

}  // namespace penstock::detail
