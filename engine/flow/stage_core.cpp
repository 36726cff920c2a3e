// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/stage_core.hpp>

#include "engine/flow/engine.hpp"
#include "engine/flow/sanitizers.hpp"
#include "engine/flow/stage_state.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

namespace penstock::detail {
namespace {

constexpr int cells_before_yield = 4096;  // then the runner's thread looks after other stages
constexpr int looks_before_sleep = 200;
constexpr int looks_before_end = 64;  // of a runner, about as long as it takes to post one
constexpr int looks_for_room = 2'000;
constexpr int pauses_when_nearly_full = 64;  // about as long as ten short bodies take
constexpr std::uint64_t sampled_every = 64;  // items
constexpr auto short_body = std::chrono::nanoseconds{500};
// A thread that waits for room looks by itself this often; finishing threads wake it earlier when much room is there.
constexpr auto look_for_room = std::chrono::milliseconds{1};

thread_local stage_state* serving = nullptr;  // the stage whose body this thread is in

// Lets one thread sleep until a cell is finished.
class sleeper final : public waiter {
 public:
  cell* notify() noexcept override {
    std::lock_guard const lock{mutex_};  // held while notifying: the sleeper may be gone right after
    finished_ = true;
    wake_.notify_one();
    return nullptr;
  }
  void sleep() noexcept {
    std::unique_lock lock{mutex_};
    wake_.wait(lock, [this] { return finished_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
};

std::string text_of_current_exception() {
  try {
    throw;
  } catch (std::exception const& thrown) {
    char const* const text = thrown.what();
    return text != nullptr ? text : "an exception without a text was thrown";
  } catch (...) {
    std::type_info const* const type = abi::__cxa_current_exception_type();
    if (type == nullptr) return "something unknown was thrown";
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> const name{abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                           &std::free};
    return std::string{"something of type "} + (status == 0 ? name.get() : type->name()) + " was thrown";
  }
}

// Tells ThreadSanitizer that whoever drops the last reference to an exception does so after all others: libstdc++ counts
// these references inside its own library, unseen.
void see_exception_references() noexcept {
  [[maybe_unused]] static char tag = 0;
  tsan_release(&tag);
  tsan_acquire(&tag);
}

struct recorded_failure : failure {
  ~recorded_failure() { see_exception_references(); }
};

// What is left to say when there is no memory to say it.
failure_ptr const& no_memory() {
  static failure_ptr const& forever = *new failure_ptr{std::make_shared<failure const>(
      failure{error_kind::exception, "no memory was left to describe the failure",
              std::make_shared<std::string const>("unknown"), 0, 1, std::make_exception_ptr(std::bad_alloc{})})};
  return forever;
}

failure_ptr describe(error_kind kind, std::shared_ptr<std::string const> const& stage, std::size_t index,
                     auto const& text, auto const& cause) noexcept {
  try {
    std::string what = text();
    std::exception_ptr original = cause(what);
    return std::make_shared<recorded_failure const>(
        recorded_failure{{kind, std::move(what), stage, index, 1, std::move(original)}});
  } catch (...) {
    return no_memory();
  }
}

}  // namespace

class core_registry {
 public:
  static core_registry& instance() {
    static core_registry& forever = *new core_registry;
    return forever;
  }

  stage_state& take(std::shared_ptr<std::string const> name) {
    std::lock_guard const lock{mutex_};
    if (unused_.empty()) {
      all_.reserve(all_.size() + 1);
      unused_.reserve(all_.size() + 1);  // give() must not throw
      all_.push_back(new stage_state);
      unused_.push_back(all_.back());
    }
    stage_state& core = *unused_.back();
    unused_.pop_back();
    core.serial_ = ++last_serial_;
    core.name_ = std::move(name);
    names_[core.serial_ % names_.size()] = {core.serial_, core.name_};
    return core;
  }
  void give(stage_state& core) noexcept {
    std::lock_guard const lock{mutex_};
    unused_.push_back(&core);
  }
  // Of a stage that may have been destroyed since.
  std::string name_of(std::uint32_t serial) {
    std::lock_guard const lock{mutex_};
    auto const& [of, name] = names_[serial % names_.size()];
    return of == serial ? *name : "(destroyed long ago)";
  }

 private:
  std::mutex mutex_;
  std::vector<stage_state*> all_;  // these guarded by mutex_
  std::vector<stage_state*> unused_;
  std::uint32_t last_serial_ = 0;
  std::array<std::pair<std::uint32_t, std::shared_ptr<std::string const>>, 4096> names_;  // of the newest stages
};

// ---- waiting

void cell::wait() noexcept {
  for (int i = 0; i < looks_before_sleep; ++i) {
    if (done()) return;
    spin_pause();
  }
  sleeper here;
  link wait{.next = nullptr, .who = &here};
  if (!subscribe(wait)) return;
  stage_state* const inside = serving;
  if (inside != nullptr) inside->leave_slot();
  here.sleep();
  if (inside != nullptr) inside->regain_slot();
}

bool cell_batch::wait_all() const noexcept {
  if (empty()) return true;
  cells_.back()->wait();  // the last is usually the last to finish: one sleep instead of many
  bool all_good = true;
  for (std::size_t i = first_; i < cells_.size(); ++i) {
    cells_[i]->wait();
    all_good = all_good && cells_[i]->failed() == nullptr;
  }
  return all_good;
}

void cell_batch::pop() noexcept { order_list::pass(*cells_[first_++]); }

stage_error cell_batch::failure() const {
  std::vector<item_error> failures;
  for (std::size_t i = first_; i < cells_.size(); ++i) {
    if (cells_[i]->failed()) failures.push_back(cells_[i]->error());
  }
  item_error const& first = failures.front();
  std::string text = first.what();
  if (failures.size() > 1) {
    text += " (and " + std::to_string(failures.size() - 1) + " more of " + std::to_string(size()) + " items failed)";
  }
  std::string stage = first.stage();
  std::size_t const index = first.index();
  error_kind const kind = first.kind();
  return {kind, std::move(stage), index, text, std::move(failures)};
}

// ---- opening and retiring

stage_core& stage_core::open(stage_options const& options, void* body) {
  if (options.concurrency < 1 || options.concurrency > runner_word::most_active) {
    throw std::invalid_argument{"stage_options: .concurrency is " + std::to_string(options.concurrency) +
                                (options.concurrency < 1
                                     ? "; it must be at least 1"
                                     : "; at most " + std::to_string(runner_word::most_active) + " is allowed")};
  }
  if (options.capacity < 1) throw std::invalid_argument{"stage_options: .capacity is 0; it must be at least 1"};
  static std::atomic<std::size_t> unnamed{0};
  auto name = std::make_shared<std::string const>(options.name.empty() ? "thread_stage " + std::to_string(++unnamed)
                                                                       : options.name);
  (void)no_memory();  // made while there is some
  stage_state& core = core_registry::instance().take(std::move(name));
  core.concurrency_ = options.concurrency;
  core.capacity_ = static_cast<std::uint32_t>(std::min<std::size_t>(options.capacity, std::size_t{1} << 31U));
  core.unpack_ = options.unpack;
  core.body_ = body;
  core.short_bodies_ = false;
  core.long_bodies_ = 0;
  core.failed_ = core.dismissed_ = 0;
  core.cancelled_before_ = core.order_.next_ticket();
  core.first_total_ = core.order_.total(core.order_.next_ticket());
  core.order_.open();
  core.word_.fetch_and(~runner_word::halted);
  return core;
}

void stage_core::retire() noexcept {
  auto& self = static_cast<stage_state&>(*this);
  if (serving == &self) {
    std::fprintf(stderr, "penstock: stage '%s' is destroyed by one of its own bodies and would wait for it for ever\n",
                 name_->c_str());
    std::abort();
  }
  self.retire();
}

void stage_state::retire() noexcept {
  word_.fetch_or(runner_word::halted);
  {
    std::lock_guard const lock{ready_mutex_};
    retired_ = true;
  }
  end_unstarted();
  runner_node* const node = node_.load(std::memory_order_relaxed);
  while (node != nullptr && node->claim()) {  // wake-ups that nobody has started
    word_.fetch_and(~runner_word::waking);
    slot_released(word_.fetch_sub(runner_word::active) - runner_word::active);
  }
  stage_state* const inside = serving;  // in a body of another stage, which may have what ours wait for
  bool left = false;
  for (;;) {
    std::uint64_t const word = word_.load(std::memory_order_seq_cst);
    if (runner_word::active_in(word) == 0 && in_flight(word) == 0) break;
    if (inside != nullptr && !std::exchange(left, true)) inside->leave_slot();
    word_.wait(word);
  }
  if (left) inside->regain_slot();
  order_.close();
  {
    std::lock_guard const lock{ready_mutex_};
    retired_ = false;
  }
  core_registry::instance().give(*this);
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
        unstarted = !each.started_.load() && !each.ended_.load();
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
}

// ---- the scattering side

bool stage_state::take_ticket(std::uint64_t& ticket) noexcept {
  std::uint32_t const capacity = capacity_.load(std::memory_order_relaxed);
  ticket = order_.next_ticket();
  for (;;) {
    auto const total = static_cast<std::uint32_t>(order_.total(ticket));
    if (total - finished_seen_.load(std::memory_order_relaxed) >= capacity) {
      std::uint32_t const finished = runner_word::finished_in(word_.load(std::memory_order_acquire));
      finished_seen_.store(finished, std::memory_order_relaxed);
      // Signed: a total from long ago may be smaller.
      if (static_cast<std::int32_t>(total - finished) >= 0 && total - finished >= capacity) {
        if (std::exchange(ticket, order_.next_ticket()) == ticket) return false;
        continue;
      }
      // Who is that far ahead of the runners would read their word for every item, and so hold them up. Left alone for a
      // moment, they make room for many.
      if (capacity - (total - finished) < capacity / 8 && !inside_body()) {
        for (int i = 0; i < pauses_when_nearly_full; ++i) spin_pause();
      }
    }
    if (order_.advance(ticket, 1)) return true;
  }
}

place stage_state::place_of(std::uint64_t ticket) {
  try {
    return {ticket, &order_.slot(ticket)};
  } catch (...) {
    // Only the newest ticket can be given back without an entry.
    while (!order_.retract(ticket)) std::this_thread::yield();
    throw;
  }
}

std::optional<place> stage_core::try_admit() {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  std::uint64_t ticket = 0;
  if (!self.take_ticket(ticket)) return std::nullopt;
  return self.place_of(ticket);
}

place stage_core::admit() {
  auto& self = static_cast<stage_state&>(*this);
  if (self.node_.load(std::memory_order_acquire) == nullptr) self.join_engine();
  std::uint64_t ticket = 0;
  if (!self.take_ticket(ticket)) {
    if (stage_state::inside_body()) {
      ticket = self.order_.next_ticket();
      while (!self.order_.advance(ticket, 1)) {
      }
    } else {
      ticket = self.wait_for_room();
    }
  }
  return self.place_of(ticket);
}

void stage_state::join_engine() {
  static std::mutex one_at_a_time;
  std::lock_guard const lock{one_at_a_time};
  if (node_.load(std::memory_order_relaxed) == nullptr) {
    node_.store(&engine::instance().make_node(*this), std::memory_order_release);
  }
}

std::uint64_t stage_state::wait_for_room() {
  std::uint64_t ticket = 0;
  for (int looks = 0; looks < looks_for_room; ++looks) {
    spin_pause();
    if (looks % 16 == 15 && take_ticket(ticket)) return ticket;
  }
  std::unique_lock lock{room_mutex_};
  blocked_.fetch_add(1, std::memory_order_seq_cst);
  while (!take_ticket(ticket)) {
    if (looked_for_) {
      room_.wait(lock);
      continue;
    }
    looked_for_ = true;
    room_.wait_for(lock, look_for_room);
    looked_for_ = false;
  }
  blocked_.fetch_sub(1, std::memory_order_relaxed);
  room_.notify_one();  // there may be more room, and somebody has to look for it
  return ticket;
}

void stage_core::dismiss(place const& unused) noexcept {
  auto& self = static_cast<stage_state&>(*this);
  if (self.order_.retract(unused.ticket)) return;
  order_list::publish_nothing(*unused.slot);
  self.dismissed_.fetch_add(1, std::memory_order_relaxed);
  self.word_.fetch_add(runner_word::finished);
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

cell_batch stage_core::detach() {
  auto& self = static_cast<stage_state&>(*this);
  if (serving == &self) {
    throw would_deadlock{error_kind::exception, *name_, 0,
                         "a body of the stage gathers it and would wait for itself; gather outside, or wait for single "
                         "futures"};
  }
  cell_batch batch{self.order_.detach()};
  self.forget_old_cancellation();
  return batch;
}

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

bool stage_state::inside_body() noexcept { return serving != nullptr; }

// With ready_mutex_ held: whether a queued cell is not to run. It is the caller's to end then, or was ended.
bool stage_state::is_unwanted(cell& queued) const noexcept {
  if (queued.ended_.load(std::memory_order_relaxed)) return true;
  if (!is_cancelled(queued)) return false;
  queued.started_.store(true, std::memory_order_relaxed);
  return true;
}

bool stage_state::is_cancelled(cell const& asked) const noexcept {
  return retired_.load(std::memory_order_relaxed) ||
         order_list::is_before(asked.place_.ticket, cancelled_before_.load(std::memory_order_relaxed));
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

void stage_core::ready(cell& runnable) noexcept { stage_state::of(runnable).enqueue(runnable); }

void stage_state::enqueue(cell& runnable) noexcept {
  cell* head = incoming_.load(std::memory_order_relaxed);
  do runnable.next_ = head;
  while (!incoming_.compare_exchange_weak(head, &runnable, std::memory_order_seq_cst, std::memory_order_relaxed));
  wake_for_queue();
}

// Whoever gives a slot back looks at the queue afterwards, so one of the two sees the other.
void stage_state::wake_for_queue() noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  for (;;) {
    if ((word & runner_word::halted) != 0) return drain();
    int const active = runner_word::active_in(word);
    if ((word & runner_word::waking) != 0 || active >= concurrency_.load(std::memory_order_relaxed)) return;
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
    each->run(core.cancelled_failure(*each));
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
    execute(*next);
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

void stage_state::execute(cell& runnable) noexcept {
  bool const sampled = runnable.index() % sampled_every == 0;
  auto const start = sampled ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
  fetch_dependent(runnable);
  stage_state* const outer = std::exchange(serving, this);
  runnable.run(nullptr);
  serving = outer;
  if (sampled) {
    bool const is_short = std::chrono::steady_clock::now() - start < short_body;
    bool const was_short = short_bodies_.load(std::memory_order_relaxed);
    // One long body among short ones may have met a context switch.
    int const long_ones = is_short ? 0 : long_bodies_.load(std::memory_order_relaxed) + 1;
    long_bodies_.store(long_ones, std::memory_order_relaxed);
    if (is_short != was_short && (is_short || long_ones > 1)) short_bodies_.store(is_short, std::memory_order_relaxed);
  }
}

// Ends a cell whose result or failure is there: counts it (`change` is what happens to the word), tells who waits for
// it, lets it go. In a runner, returns one dependent cell that has a slot of its stage and is to be run next.
cell* stage_state::finish(cell& ended, std::uint64_t change, bool in_runner) noexcept {
  // Counted before anybody can see the result, so that counts are exact once gather has returned.
  if (ended.failure_ != nullptr) failed_.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t const word = word_.fetch_add(change) + change;
  link* newest = ended.waiters_.exchange(&cell::finished_mark, std::memory_order_acq_rel);
  order_list::hand_over(ended);  // it may be freed now

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
  away_.fetch_add(1, std::memory_order_release);
  while (next != nullptr) {
    stage_state& core = of(*next);
    if (next->ended_.load(std::memory_order_acquire)) {
      let_go(*next);
      constexpr std::uint64_t change = runner_word::active + runner_word::running;
      core.slot_released(core.word_.fetch_sub(change) - change);
      break;
    }
    core.execute(*next);
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

// Takes the slot of one runner that is away: its own, when it comes back.
bool stage_state::recall_runner() noexcept {
  int away = away_.load(std::memory_order_relaxed);
  while (away > 0) {
    if (away_.compare_exchange_weak(away, away - 1, std::memory_order_acq_rel)) return true;
  }
  return false;
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

// ---- what is known of a stage

stage_stats stage_core::stats() const noexcept {
  auto const& self = static_cast<stage_state const&>(*this);
  // Read in this order, a finished item never looks as if it had not started.
  std::uint64_t const failed = self.failed_.load(std::memory_order_acquire);
  std::uint64_t const dismissed = self.dismissed_.load(std::memory_order_acquire);
  std::uint64_t const word = self.word_.load(std::memory_order_acquire);
  std::uint64_t const total = self.order_.total(self.order_.next_ticket()) - self.first_total_;
  std::uint64_t const in_flight = self.in_flight(word);
  std::uint64_t const running = runner_word::running_in(word);
  std::uint64_t const finished = total - in_flight - dismissed;
  return {.queued = in_flight - std::min(in_flight, running),
          .running = running,
          .done = finished - std::min(finished, failed),
          .failed = failed};
}

failure_ptr stage_core::describe_current_exception(cell const& failed) const noexcept {
  failure_ptr described = describe(error_kind::exception, name_, failed.index(), text_of_current_exception,
                                   [](std::string const&) { return std::current_exception(); });
  see_exception_references();
  return described;
}

failure_ptr stage_state::cancelled_failure(cell const& unstarted) const noexcept {
  return describe(
      error_kind::cancelled, name_, unstarted.index(),
      [] { return std::string{"cancelled: its stage was destroyed first"}; },
      [&](std::string const& what) {
        return std::make_exception_ptr(stage_error{error_kind::cancelled, *name_, unstarted.index(), what});
      });
}

}  // namespace penstock::detail
