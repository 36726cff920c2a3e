// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/engine.hpp"

#include "engine/flow/core_registry.hpp"
#include "engine/flow/environment.hpp"
#include "engine/flow/runner_clocks.hpp"
#include "engine/flow/sanitizers.hpp"
#include "engine/observe/moment.hpp"

#include <penstock/usable_processors.hpp>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

namespace penstock::detail {
namespace {

constexpr auto tick_length = std::chrono::milliseconds{1};
constexpr std::uint64_t late_after_ticks = 2;    // at least one whole tick
constexpr std::uint64_t patient_ticks = 16;      // where the arena's slots are in good use
constexpr std::uint64_t recent_ticks = 8;        // within which a body must have ended for that
constexpr std::uint64_t sleep_after_ticks = 50;  // without a wake-up to look after
constexpr std::uint64_t arena_retry_ticks = 64;

bool threads_only() {
  return environment_chooses("PENSTOCK_RUNNERS", "threads", "arena", "'arena' (the default) or 'threads'");
}

}  // namespace

engine& engine::instance() {
  static engine& forever = *new engine;  // its threads may outlive every static object
  return forever;
}

engine::engine() : processors_{usable_processors()}, slots_{std::max(2, processors_)} {
  moment::tick();
  if (!threads_only()) {
    state_ = arena_state::closed;
    // The smallest of all live controls counts, process-wide, so it is held for good.
    allow_workers_.emplace(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(slots_) + 1);
    open_arena();
  }
  std::thread{[this] {
    ::pthread_setname_np(::pthread_self(), "penstock watch");
    watch();
  }}.detach();
}

// Not while somebody else's control allows fewer workers than there are slots: TBB would complain on stderr.
void engine::open_arena() {
  auto const allowed = tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  if (allowed < static_cast<std::size_t>(slots_) + 1) return;
  graph_.reset();              // a first attempt may have failed half-way
  arena_.emplace(slots_, 0U);  // no slot is kept for callers: bodies never run on a thread that scatters
  // A graph belongs to the arena in which it is constructed.
  tsan_release(this);
  arena_->execute([this] {
    tsan_acquire(this);
    graph_.emplace();
    tsan_release(this);
  });
  tsan_acquire(this);
  std::lock_guard const lock{nodes_mutex_};
  for (auto const& node : nodes_) make_flow_node(*node);
  state_ = arena_state::open;
}

void engine::make_flow_node(runner_node& node) {
  node.node = std::make_unique<tbb::flow::function_node<int>>(*graph_, tbb::flow::unlimited, start_runner{*this, node});
}

// The node's body. ThreadSanitizer must not look at how it reads its own two references: they are handed over by libtbb.
PENSTOCK_NO_THREAD_SANITIZER tbb::flow::continue_msg engine::start_runner::operator()(int) const noexcept {
  scheduler.run_from_arena(node);
  return {};
}

runner_node& engine::make_node(stage_state& stage) {
  std::lock_guard const lock{nodes_mutex_};
  auto made = std::make_unique<runner_node>(stage);
  if (state_ == arena_state::open) make_flow_node(*made);
  nodes_.push_back(std::move(made));
  return *nodes_.back();
}

void engine::post(runner_node& node) noexcept {
  node.post(tick_.load(std::memory_order_relaxed));
  // Bodies that wait would keep those out that compute, and the arena has no slots to spare.
  bool const is_for_arena =
      state_.load(std::memory_order_acquire) == arena_state::open && !node.stage().bodies_wait() && !arena_starved();
  if (!is_for_arena) {
    threads_.announce(node);
  } else {
    tsan_release(&node);
    in_arena_.fetch_add(1, std::memory_order_relaxed);
    try {
      node.node->try_put(0);
    } catch (...) {  // no memory for a task
      in_arena_.fetch_sub(1, std::memory_order_relaxed);
      threads_.announce(node);
    }
  }
  keep_watch();
}

void engine::wake_watch() noexcept {
  {
    std::lock_guard const lock{watch_mutex_};
    watch_sleeps_ = false;
  }
  watch_wanted_.notify_one();
}

// Nothing may be thrown from here: one exception cancels the graph and loses every message.
void engine::run_from_arena(runner_node& node) noexcept {
  tsan_acquire(&node);
  in_arena_.fetch_sub(1, std::memory_order_relaxed);
  if (starved_.load(std::memory_order_relaxed)) starved_.store(false, std::memory_order_relaxed);
  if (stage_state::inside_body()) {
    // A body waits in TBB on this thread. A second body on top of it could wait for a lock that the first one holds.
    if (node.posted() > 0) threads_.announce(node);
    return;
  }
  runner_clocks::count_this_thread();
  for (runner_node* at = &node; at != nullptr && at->claim();) {
    // Isolated, so that a body's own parallel loops do not take in our messages while they wait.
    tbb::this_task_arena::isolate([at] { at->stage().run(true); });
    tsan_release(at);
    at = next_in_arena_.exchange(nullptr, std::memory_order_acquire);
  }
}

bool engine::delay(cell& waiting, delayed_cells::clock::time_point due) noexcept {
  try {
    delayed_.add(due, waiting);
  } catch (...) {
    return false;
  }
  keep_watch();
  return true;
}

void engine::watch() noexcept {
  std::uint64_t quiet_ticks = 0;
  for (;;) {
    std::this_thread::sleep_for(tick_length);
    moment::tick();
    while (cell* const due = delayed_.take_due(delayed_cells::clock::now())) stage_state::retry(*due);
    quiet_ticks = look_after_nodes() ? 0 : quiet_ticks + 1;
    if (quiet_ticks < sleep_after_ticks) continue;
    watch_sleeps_.store(true, std::memory_order_seq_cst);
    if (!look_after_nodes()) {  // a post that came before it could see us sleep
      auto const next_due = std::min(delayed_.next_due(), next_batch_due_);
      std::unique_lock lock{watch_mutex_};
      auto const is_wanted = [this] { return !watch_sleeps_.load(); };
      if (next_due == delayed_cells::clock::time_point::max()) watch_wanted_.wait(lock, is_wanted);
      else watch_wanted_.wait_until(lock, next_due, is_wanted);
    }
    watch_sleeps_ = false;
    quiet_ticks = 0;
  }
}

// Gives late wake-ups to engine-owned threads; true when any wake-up is outstanding.
bool engine::look_after_nodes() noexcept {
  std::uint64_t const tick = tick_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (state_ == arena_state::closed && tick % arena_retry_ticks == 0) {
    try {
      open_arena();
    } catch (...) {  // no memory; the threads go on serving
    }
  }
  if (starved_.load(std::memory_order_relaxed) && slots_are_in_good_use(tick)) {
    starved_.store(false, std::memory_order_relaxed);
  }
  bool outstanding = false;
  std::uint64_t longest_wait = 0;
  auto const now = batching::clock::now();
  next_batch_due_ = batching::clock::time_point::max();
  std::lock_guard const lock{nodes_mutex_};
  for (auto const& node : nodes_) {
    if (look_after_batches(*node, now)) outstanding = true;
    if (node->stage().look_after_close()) outstanding = true;
    std::uint32_t const finished = node->stage().finished();
    bool const progressing = std::exchange(node->finished_at_last_tick, finished) != finished;
    if (progressing) body_ended_at_ = node->body_ended_at = tick;
    if (node->posted() == 0) {
      if (!node->stage().wants_runner()) continue;
      outstanding = true;
      if (node->stage().is_held_back()) {
        // Twice, so that a moment between two bodies does not count.
        node->ticks_stuck = can_be_relieved(node->stage()) ? 0 : node->ticks_stuck + 1;
        if (node->ticks_stuck < 2) continue;
        node->ticks_stuck = 0;
        if (!start_batches_after(node->stage())) node->stage().exceed_budget();
        continue;
      }
      if (!progressing) node->stage().rescue();
      continue;
    }
    outstanding = true;
    std::uint64_t const waits = tick - node->posted_at();
    if (waits == 0 || !node->stage().wants_runner()) continue;
    bool const is_in_good_use = slots_are_in_good_use(tick);
    if (waits < late_after_ticks) continue;
    if (is_in_good_use) {  // one more thread would only be in the way
      bool const gets_on = node->stage().has_running_body() && tick - node->body_ended_at < recent_ticks;
      if (gets_on) continue;
      if (waits < patient_ticks) {  // a runner gives way instead
        if (waits > longest_wait) next_in_arena_.store(node.get(), std::memory_order_release);
        longest_wait = std::max(longest_wait, waits);
        continue;
      }
    }
    if (state_ == arena_state::open) starved_.store(true, std::memory_order_relaxed);
    node->postpone(tick);
    threads_.announce(*node);
  }
  return outstanding;
}

// With nodes_mutex_ held: whether something may take results of a stage, or is at work in it.
bool engine::can_be_relieved(stage_state const& held_back) const noexcept {
  if (held_back.is_active() || core_registry::instance().is_read(held_back)) return true;
  try {
    return std::ranges::any_of(nodes_, [&](auto const& each) {
      stage_state const& other = each->stage();
      return &other != &held_back && other.is_active() && core_registry::instance().feeds(held_back.serial(), other);
    });
  } catch (std::bad_alloc const&) {
    return true;  // asked again soon
  }
}

// The same: lets the batches run that wait for more items of a stage which gives none now; false when there are none.
bool engine::start_batches_after(stage_state const& held_back) noexcept {
  bool started = false;
  try {
    for (auto const& each : nodes_) {
      stage_state& other = each->stage();
      if (!other.has_forming_batch() || !core_registry::instance().feeds(held_back.serial(), other)) continue;
      other.start_batch();
      started = true;
    }
  } catch (std::bad_alloc const&) {  // asked again soon
  }
  return started;
}

// Starts a batch whose time has come, or for which somebody waits in vain. True when there will be more to look after.
bool engine::look_after_batches(runner_node& node, batching::clock::time_point now) noexcept {
  stage_state& stage = node.stage();
  auto const due = stage.batch_due();
  if (due <= now) stage.start_batch();
  else next_batch_due_ = std::min(next_batch_due_, due);
  if (!stage.is_batch_held_up()) return due <= now;
  // Items that could join it, and will not: they depend on those in it, or on what somebody else is to do first. Seen
  // twice, so that a moment between two bodies does not count.
  node.ticks_stuck = can_be_joined(stage) ? 0 : node.ticks_stuck + 1;
  if (node.ticks_stuck >= 2) {
    node.ticks_stuck = 0;
    stage.start_batch();
  }
  return true;
}

// Whether something is at work in the stage or in one that its items come from.
bool engine::can_be_joined(stage_state const& forming) noexcept {
  if (forming.is_active()) return true;
  try {
    return std::ranges::any_of(core_registry::instance().upstreams_of(forming, false),
                               [](stage_state const* each) { return each->is_active(); });
  } catch (std::bad_alloc const&) {
    return true;  // asked again soon
  }
}

// Whether bodies end and keep every processor busy. Asked from the tick on before a wake-up may be late. One tick in which
// others had the processors tells nothing.
bool engine::slots_are_in_good_use(std::uint64_t tick) noexcept {
  if (std::exchange(filled_asked_at_, tick) != tick) {
    bool const is_filled = runner_clocks::instance().used() > processors_ - 0.75;
    filled_ = is_filled ? 2 : std::max(filled_ - 1, 0);
  }
  return filled_ > 0 && tick - body_ended_at_ < recent_ticks;
}

}  // namespace penstock::detail
