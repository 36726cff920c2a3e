// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/batching.hpp"
#include "engine/flow/order_list.hpp"
#include "engine/flow/runner_word.hpp"
#include "engine/observe/explain.hpp"
#include "engine/observe/stage_timer.hpp"

#include <penstock/detail/adaptive_mutex.hpp>
#include <penstock/detail/pipeline_core.hpp>
#include <penstock/detail/stage_core.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace penstock::detail {

class runner_node;

/// The engine's part of a stage's core. Every core is one.
///
/// Scattering threads push ready cells on a stack without a lock; runners move them to a FIFO and serve it. A cell that
/// becomes ready when its input ends is run by the same thread, without passing the FIFO, when the bodies of its stage
/// have turned out to be short. A runner that has gone into later stages in this way can be replaced (see stalled()).
class stage_state final : public stage_core {
 public:
  static stage_state& of(cell const& asked) noexcept { return static_cast<stage_state&>(asked.stage()); }

  /// Serves ready cells until there are none; called by the engine for a wake-up that it posted.
  void run(bool in_arena) noexcept;
  /// Its bodies wait most of their time.
  [[nodiscard]] bool bodies_wait() const noexcept { return timer_.bodies_wait(); }
  /// Whether one more runner could do something.
  [[nodiscard]] bool wants_runner() const noexcept { return has_queued() || returning_.load() > 0; }
  /// Whether not all items are in bodies. Also of a stage or a pipeline that has ended meanwhile.
  [[nodiscard]] bool is_backed_up() const noexcept {
    std::uint64_t const word = word_.load(std::memory_order_relaxed);
    return std::cmp_greater(in_flight(word), runner_word::running_in(word));
  }
  /// How many cells are finished, modulo 2^32.
  [[nodiscard]] std::uint32_t finished() const noexcept {
    return runner_word::finished_in(word_.load(std::memory_order_relaxed));
  }
  /// Starts one more runner for cells that wait although there is room; for the engine's watch, when nothing has been
  /// finished for a while.
  void rescue() noexcept;

  /// Whether cells wait only because results have reached .capacity_bytes.
  [[nodiscard]] bool is_held_back() const noexcept {
    return results_differ_.load(std::memory_order_relaxed) && has_queued() &&
           holds_back(word_.load(std::memory_order_seq_cst));
  }
  /// Whether a body runs now.
  [[nodiscard]] bool has_running_body() const noexcept {
    return runner_word::running_in(word_.load(std::memory_order_relaxed)) > 0;
  }
  /// Whether something goes on in the stage, or could.
  [[nodiscard]] bool is_active() const noexcept {
    std::uint64_t const word = word_.load(std::memory_order_relaxed);
    return runner_word::running_in(word) > 0 || runner_word::active_in(word) > 0 || (has_queued() && !is_held_back());
  }
  /// Whether somebody takes the results of a stream at present.
  [[nodiscard]] bool is_read() const noexcept {
    return streams_.load(std::memory_order_relaxed) > waiting_streams_.load(std::memory_order_relaxed);
  }
  /// Starts one body that is held back.
  void exceed_budget() noexcept;

  /// When a batch is due to run though it is not full; clock::time_point::max() when there is none.
  [[nodiscard]] batching::clock::time_point batch_due() const noexcept { return batching_.due(); }
  /// Lets what is ready run as a batch, full or not.
  void start_batch() noexcept;
  /// A thread is going to wait for this one: it need not be in a full batch.
  void await(cell& wanted) noexcept;
  /// Lets it run if somebody wants that and no other item could join.
  void look_for_last_batch() noexcept {
    if (takes_batches() && batching_.forming() > 0 && is_batch_wanted()) start_last_batch();
  }
  /// Whether items wait for others to make a batch; and somebody for them.
  [[nodiscard]] bool has_forming_batch() const noexcept {
    return takes_batches() && batching_.forming() > 0 && !batching_.is_ripe();
  }
  [[nodiscard]] bool is_batch_held_up() const noexcept { return has_forming_batch() && is_batch_wanted(); }
  /// Whether the stage has been closed, and its items may wait for batches of others; for the engine's watch.
  [[nodiscard]] bool look_after_close() noexcept;

  /// Whether this thread is in a body, of any stage.
  [[nodiscard]] static bool inside_body() noexcept;

  /// The serials of the stages that items have come from.
  [[nodiscard]] std::vector<std::uint32_t> upstreams() const;
  /// What explain() is to know. With the registry's mutex held, so that the core does not become another stage's.
  [[nodiscard]] stage_figures figures() const;
  /// Whether items of pipelines come in without regard to the capacity, as they could wait for each other otherwise.
  [[nodiscard]] bool overflows() const noexcept { return overflows_.load(); }
  void let_overflow() noexcept { overflows_ = true; }
  /// Lets a cell of a gather be gathered again.
  static void put_back(cell& gathered) noexcept { order_list::put_back(gathered); }
  /// Gives up a gathered, finished cell.
  static void pass(cell& done) noexcept { of(done).order_.pass(done); }
  /// The time for a cell's next attempt has come.
  static void retry(cell& waiting) noexcept;

 private:
  friend class cell;
  friend class stage_core;
  friend class core_registry;
  friend class ready_cells;
  friend class slot_given_back;
  friend class cell_reader;
  friend class batch_wanted;
  friend class pipeline_core;
  struct returning_body;
  using row = cell_row;

  // Whether items are taken in, and why not.
  enum class intake : std::uint8_t { open, cancelled, too_many_errors, closed };
  enum class admission : std::uint8_t { taken, full, refused };

  // The scattering side.
  [[nodiscard]] admission take_ticket(std::uint64_t& ticket, bool bounded);
  [[nodiscard]] bool take_ticket_at_once(std::uint64_t& ticket) noexcept;
  [[nodiscard]] bool may_keep(std::uint64_t ticket);
  [[nodiscard]] bool take_bytes(std::size_t bytes, bool bounded) noexcept;
  [[nodiscard]] place place_of(std::uint64_t ticket, std::uint32_t count);
  [[nodiscard]] item_place place_of(std::uint64_t ticket, std::size_t bytes);
  [[nodiscard]] bool retract(std::uint64_t ticket, std::uint32_t count) noexcept;
  void give_back(place const& unused, std::uint32_t count) noexcept;
  // What a scatter asks for: a ticket, or, for an item of the pipeline `home`, room.
  struct request {
    stage_state const* home = nullptr;
    std::size_t bytes = 0;
    std::uint64_t ticket = 0;
    std::uint32_t cancellations = 0;  // so far, when the room was granted
  };
  // Unbounded, it never finds the stage full.
  [[nodiscard]] admission take(request& wanted, bool bounded = true);
  // Also where room has come only just now; this takes longer when the stage is full.
  [[nodiscard]] admission take_exactly(request& wanted);
  [[nodiscard]] admission wait_for_room(request& wanted);
  [[nodiscard]] bool is_full(std::uint32_t total, std::uint32_t capacity) noexcept;
  [[nodiscard]] std::uint32_t free_places(std::uint32_t total, std::uint32_t capacity) noexcept;
  [[nodiscard]] std::uint32_t free_places_now(std::uint32_t total, std::uint32_t capacity) noexcept;
  // Guests that go first when there is room.
  [[nodiscard]] std::uint32_t parked() const noexcept {
    return static_cast<std::uint32_t>(parked_.load(std::memory_order_relaxed));
  }
  [[noreturn]] void throw_refused() const;
  void join_engine();
  void refuse_items(intake why) noexcept;
  void want_batches_upstream() noexcept;
  void tell_readers() noexcept;

  // What this thread is in.
  [[nodiscard]] bool in_own_body() const noexcept;
  [[nodiscard]] bool is_to_stop() const noexcept;
  [[nodiscard]] bool is_needed_by_this_thread() const;
  void check_gather() const;
  [[nodiscard]] std::uint32_t in_flight(std::uint64_t word) const noexcept {
    return static_cast<std::uint32_t>(order_.total(order_.next_ticket()) + guests_.load()) -
           runner_word::finished_in(word);
  }

  // Ready cells.
  // Whether there are some, and as many as a body starts with.
  [[nodiscard]] bool has_queued() const noexcept {
    bool const some =
        incoming_.load(std::memory_order_seq_cst) != nullptr || first_ready_.load(std::memory_order_relaxed) != nullptr;
    if (takes_batches()) return batching_.alone() > 0 || (some && batching_.is_ripe());
    return some || shared_.load(std::memory_order_seq_cst) > 0;
  }
  void enqueue(cell& runnable) noexcept { enqueue(runnable, runnable); }
  void enqueue(cell& newest, cell& oldest) noexcept;
  static void note_ready(cell& runnable) noexcept {
    moment const now = stage_of(runnable).timer_.ready(runnable.index());
    runnable.set_ready_at(now.low(), now.high());
  }
  void wake_for_queue() noexcept;
  void post_runner() noexcept;
  [[nodiscard]] cell* take_ready() noexcept;
  [[nodiscard]] cell* oldest_ready() noexcept;
  static void fetch_dependent(cell const& input) noexcept;
  static void fetch_descendants(cell const& input) noexcept;
  [[nodiscard]] bool is_unwanted(cell& queued) const noexcept;
  [[nodiscard]] bool start(cell& queued) const noexcept;
  [[nodiscard]] bool is_cancelled(std::uint64_t ticket) const noexcept {
    std::uint64_t const before = cancelled_before_.load();
    return retired_.load() || (before != order_list::no_ticket && order_list::is_before(ticket, before));
  }
  [[nodiscard]] bool is_cancelled(cell const& asked) const noexcept { return is_cancelled(note_of(asked)); }
  void drain() noexcept;
  void forget_old_cancellation() noexcept;
  static void let_go(cell& ended) noexcept;

  // Whether results have reached .capacity_bytes, or would with those that are being made.
  [[nodiscard]] bool holds_back(std::uint64_t word) const noexcept {
    if (!results_differ_.load(std::memory_order_relaxed)) return false;
    std::int64_t const coming = items_running(word) * expected_result_.load(std::memory_order_relaxed);
    return result_bytes_.load(std::memory_order_seq_cst) + coming >= byte_budget_.load(std::memory_order_relaxed);
  }

  // Batches; see batching.
  [[nodiscard]] bool takes_batches() const noexcept { return batch_body_.load(std::memory_order_relaxed) != nullptr; }
  [[nodiscard]] bool is_batch_wanted() const noexcept {
    return batching_.is_gathered() || batching_.is_awaited() || capacity_.load(std::memory_order_seq_cst) == 0 ||
           waits_for_room();
  }
  [[nodiscard]] bool waits_for_room() const noexcept;
  [[nodiscard]] bool can_only_come(std::int64_t others) const noexcept;
  [[nodiscard]] bool is_last_batch() const noexcept;
  void start_last_batch() noexcept;
  void start_full_batch() noexcept;
  void start_batch_if(auto const& is_time) noexcept;
  void wake_for_batch() noexcept;
  void push_ready(cell& newest) noexcept;
  void set_next_batch() noexcept;
  void enqueue_for_batch(cell& newest, cell& oldest) noexcept;
  void count_forming() noexcept;
  [[nodiscard]] cell* take_batch(row& unwanted) noexcept;
  [[nodiscard]] cell* take_alone(row& unwanted) noexcept;
  [[nodiscard]] cell* run_batch(cell& first) noexcept;
  void execute_batch(cell& first, bool has_slot, row& done, row& later) noexcept;
  [[nodiscard]] bool execute_alone(cell& runnable) noexcept;
  [[nodiscard]] std::uint32_t items_running(std::uint64_t word) const noexcept {
    std::uint32_t const bodies = runner_word::running_in(word);
    return takes_batches() ? std::max(bodies, batching_.running()) : bodies;
  }
  // Items of pipelines: guests of the stages that they pass. Their cells belong to a core of the pipeline's, their home.
  // What tells whether an item was cancelled; for those who must not look at its cell any more.
  struct note {
    stage_state const* home;
    std::uint64_t ticket;
    std::uint32_t cancellations;  // of a guest
  };
  [[nodiscard]] static note note_of(cell const& asked) noexcept;
  [[nodiscard]] bool is_cancelled(note const& asked) const noexcept {
    if (asked.home == this) return is_cancelled(asked.ticket);
    return retired_.load() || asked.cancellations != cancellations_.load() || asked.home->is_cancelled(asked.ticket);
  }
  [[nodiscard]] bool is_guest(cell const& asked) const noexcept { return &of(asked) != this; }
  // The stage in which an item runs and waits.
  [[nodiscard]] static stage_state& stage_of(cell const& asked) noexcept {
    return asked.has(cell::passes) ? static_cast<stage_state&>(*asked.way()->at) : of(asked);
  }
  // The stage in which there has to be room for what is scattered here.
  [[nodiscard]] stage_state& admitting() noexcept {
    return route() == nullptr ? *this : static_cast<stage_state&>(route()->first_stage());
  }
  enum class arrival : std::uint8_t { runs, is_queued, finds_no_room, is_refused };
  [[nodiscard]] admission take_room(request& wanted, bool bounded) noexcept;
  void give_room_back(std::size_t bytes) noexcept;
  [[nodiscard]] bool is_overfull() const noexcept;
  [[nodiscard]] bool refuses_guests() const noexcept {
    intake const now = intake_.load();
    return now == intake::cancelled || now == intake::too_many_errors || retired_.load();
  }
  [[nodiscard]] arrival arrive(cell& item, bool may_run) noexcept;
  void wait_in_queue(cell& item) noexcept;
  void park(cell& item) noexcept;
  void admit_parked() noexcept;
  [[nodiscard]] cell* take_parked() noexcept;
  [[nodiscard]] stage_state* carry(cell& item, bool in_runner) noexcept;
  void run_guest_inline(cell& item) noexcept;
  static void refuse_one(cell& item) noexcept;
  static void refuse_guest(cell& item) noexcept;
  static void end_guest(cell& item) noexcept;
  void left(std::uint64_t word, bool slot_freed) noexcept;
  void end_resting(cell& item) noexcept;

  // Running.
  // What a runner has served, and where.
  struct turn {
    int served;
    bool in_arena;
  };
  [[nodiscard]] stage_state* serve(turn& mine) noexcept;
  struct work {
    cell* item = nullptr;
    std::uint32_t at = 0;  // of a bundle: its item
  };
  [[nodiscard]] work next_work() noexcept;
  [[nodiscard]] work pop(row& unwanted, bool& slot_is_gone) noexcept;
  [[nodiscard]] work take_item(row& unwanted) noexcept;
  [[nodiscard]] bool linger() const noexcept;
  [[nodiscard]] bool execute(cell& runnable, bool has_slot = true, bool directly = false) noexcept;
  [[nodiscard]] bool await_attempt(cell& failed) noexcept;
  void note_duration(std::chrono::nanoseconds sampled) noexcept;
  [[nodiscard]] bundle* first_shared() const noexcept;
  [[nodiscard]] bundle* stuck_bundle() const noexcept;
  void share(bundle& queued) noexcept;
  void unshare(bundle& over) noexcept;
  void count_shared() noexcept;
  [[nodiscard]] bool has_counted_shared() noexcept;
  struct word_and_uncounted {
    std::uint64_t word;
    std::uint32_t items;  // that have ended, beyond what the word says
  };
  [[nodiscard]] word_and_uncounted counts() const noexcept;
  struct bundle_timing;
  void run_item(bundle& many, std::uint32_t at, bundle_timing& timing) noexcept;
  [[nodiscard]] std::uint32_t run_bundle(bundle& many, std::uint32_t at) noexcept;
  void finish_bundle(bundle& many) noexcept;
  // Takes a bundle that runners work on and that has an item to give out, for a reader: any, or in order the `next` one.
  // Null when there is none.
  [[nodiscard]] bundle* take_shared(bool in_order, void const* next) noexcept;
  void give(bundle& from, std::uint32_t at) noexcept;
  [[nodiscard]] std::uint64_t first_listed() noexcept;
  void end_rest(bundle& many) noexcept;
  void retry_later(cell& failed) noexcept;
  [[nodiscard]] std::chrono::milliseconds delay_after(int attempts) const noexcept;
  void count_failure(failure const& why, bool inherited) noexcept;
  void count_failure(cell const& ended) noexcept { count_failure(*ended.failure_, ended.failure_inherited_); }
  [[nodiscard]] cell* finish(cell& ended, std::uint64_t change, bool in_runner) noexcept;
  void tell_of_room(std::uint64_t word) noexcept;
  [[nodiscard]] bool enter_directly(cell& runnable) noexcept;
  [[nodiscard]] bool run_descendants(cell* next) noexcept;
  void go_away() noexcept;
  [[nodiscard]] bool recall_runner() noexcept;
  void give_back_away_slots() noexcept;
  static void refuse(row unwanted) noexcept;
  void retire() noexcept;
  void cancel(intake why) noexcept;
  void end_unstarted() noexcept;
  void end_delayed() noexcept;
  void request_stop() noexcept;
  [[nodiscard]] failure_ptr cancelled_failure(std::size_t index) const noexcept;

  // Slots: how many bodies may run.
  [[nodiscard]] bool take_slot(std::uint64_t also = 0, std::uint64_t unless = 0) noexcept;
  void slot_released(std::uint64_t word) noexcept;
  /// A body that waits gives its place among the running ones away, and gets one back before it goes on.
  void leave_slot() noexcept;
  void regain_slot() noexcept;
  void hand_slot_on() noexcept;

  // Set by open(), read by all; atomic for those who come late and find another stage.
  std::atomic<int> concurrency_{0};
  std::atomic<std::uint32_t> capacity_{0};  // 0 while items are refused
  std::uint32_t declared_capacity_ = 0;
  std::size_t max_errors_ = 0;
  std::atomic<std::int64_t> byte_budget_{0};
  std::atomic<bool> results_differ_{false};       // in size, so their bytes are counted
  std::atomic<batch_body*> batch_body_{nullptr};  // null where the body takes single items
  std::atomic<runner_node*> node_{nullptr};       // set at the first scatter, kept when the core is used again
  stage_timer timer_;                             // kept likewise
  std::atomic<bool> short_bodies_{false};         // they take less time than it takes to wake a thread
  // Items with earlier tickets are cancelled; written under ready_mutex_.
  std::atomic<std::uint64_t> cancelled_before_{order_list::no_ticket};
  std::atomic<int> blocked_{0};                     // threads in wait_for_room()
  std::atomic<int> parked_{0};                      // guests that wait for room; written under ready_mutex_
  std::atomic<int> sent_on_{0};                     // items that count here and are parked in front of another stage
  std::atomic<int> waiting_bodies_{0};              // which have given their slots away
  std::atomic<int> pipelines_{0};                   // that pass the stage
  std::atomic<bool> overflows_{false};              // see overflows()
  std::atomic<std::uint32_t> cancellations_{0};     // so far; written under ready_mutex_
  std::atomic<std::uint32_t> news_for_readers_{0};  // counts what may let a reader go on

  // Whoever charges discharges, also after the stage has gone: the first two are never reset.
  std::atomic<std::int64_t> input_bytes_{0};
  std::atomic<std::int64_t> result_bytes_{0};
  std::atomic<std::int64_t> expected_result_{0};  // bytes; 0 while unknown

  // The scattering side.
  order_list order_;
  std::atomic<std::uint32_t> finished_seen_{0};  // a late copy, so that scatter rarely reads the running side
  std::atomic<std::uint64_t> guests_{0};         // so far
  std::mutex mutable room_mutex_;
  std::condition_variable room_;
  bool looked_for_ = false;  // one of the threads that wait for room looks by itself; these guarded by room_mutex_
  bool closed_ = false;
  std::stop_source stop_{std::nostopstate};  // made when a body asks
  std::vector<std::uint32_t> upstreams_;
  std::atomic<intake> intake_{intake::open};  // written under room_mutex_
  std::atomic<std::size_t> errors_{0};        // since the last gather

  alignas(64) std::atomic<cell*> incoming_{nullptr};  // pushed, newest first

  // The running side.
  alignas(64) std::atomic<std::uint64_t> word_{0};  // see runner_word
  adaptive_mutex mutable ready_mutex_;
  std::atomic<cell*> first_ready_{nullptr};    // these written under ready_mutex_
  returning_body* first_returning_ = nullptr;  // bodies that wait for a slot again, oldest first
  returning_body* last_returning_ = nullptr;
  cell* first_parked_ = nullptr;  // guests that wait for room, oldest first, through their next_
  cell* last_parked_ = nullptr;
  std::atomic<bundle*> first_shared_{nullptr};  // bundles that are worked on, oldest first
  std::atomic<int> shared_{0};                  // those of them with items that nobody has claimed
  std::atomic<int> returning_{0};               // their number
  std::atomic<int> away_{0};                    // runners that serve later stages at present
  std::atomic<int> long_bodies_{0};             // samples in a row
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> retried_{0};
  std::atomic<std::uint64_t> over_budget_{0};
  std::atomic<bool> may_exceed_{false};      // one body may start though it would be held back
  std::atomic<std::uint64_t> dismissed_{0};  // places that were not used
  std::atomic<bool> retired_{false};         // written under ready_mutex_; a retired stage's word is halted
  std::uint64_t first_total_ = 0;            // items of the core, when the stage was opened
  std::recursive_mutex ending_mutex_;        // what is ended may let go of what cancels the stage
  int endings_ = 0;                          // guarded by ending_mutex_
  batching batching_;
  row alone_;                                     // items that are tried again; written under ready_mutex_
  std::unique_ptr<batch_wanted> closed_wants_;    // what a closed stage's items come from; guarded by room_mutex_
  std::atomic<bool> is_closed_and_wants_{false};  // whether there is one
};

/// While it lives, the body that this thread is in, if any, leaves its place among the running ones to another one.
class slot_given_back {
 public:
  slot_given_back() noexcept;
  slot_given_back(slot_given_back const&) = delete;
  slot_given_back& operator=(slot_given_back const&) = delete;
  ~slot_given_back();

 private:
  stage_state* owner_ = nullptr;
  std::uint32_t items_ = 0;  // of the body, where it takes batches
};

}  // namespace penstock::detail
