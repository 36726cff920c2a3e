// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/stage_core.hpp>

#include "engine/flow/engine.hpp"
#include "engine/flow/sanitizers.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

namespace penstock::detail {
namespace {

constexpr int cells_before_yield = 4096;  // then the runner's thread looks after other stages
constexpr int looks_before_sleep = 200;
// A thread that waits for room looks by itself this often; finishing threads wake it earlier when much room is there.
constexpr auto look_for_room = std::chrono::milliseconds{1};

thread_local stage_core* serving = nullptr;  // the stage whose body this thread is in

// Lets one thread sleep until a cell is finished.
class sleeper final : public waiter {
 public:
  void notify() noexcept override {
    std::lock_guard const lock{mutex_};  // held while notifying: the sleeper may be gone right after
    finished_ = true;
    wake_.notify_one();
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

  stage_core& take() {
    std::lock_guard const lock{mutex_};
    if (unused_.empty()) {
      all_.reserve(all_.size() + 1);
      unused_.reserve(all_.size() + 1);  // give() must not throw
      all_.push_back(new stage_core);
      return *all_.back();
    }
    stage_core& core = *unused_.back();
    unused_.pop_back();
    return core;
  }
  void give(stage_core& core) noexcept {
    std::lock_guard const lock{mutex_};
    unused_.push_back(&core);
  }

 private:
  std::mutex mutex_;
  std::vector<stage_core*> all_;  // these guarded by mutex_
  std::vector<stage_core*> unused_;
};

// ---- cells

void cell::notify() noexcept {
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) stage_->ready(*this);
}

void cell::wait() noexcept {
  for (int i = 0; i < looks_before_sleep; ++i) {
    if (done()) return;
    spin_pause();
  }
  sleeper here;
  link wait{.who = &here};
  if (!subscribe(wait)) return;
  stage_core* const inside = serving;
  if (inside != nullptr) inside->leave_slot();
  here.sleep();
  if (inside != nullptr) inside->regain_slot();
}

bool cell_batch::wait_all() const noexcept {
  if (first_ == nullptr) return true;
  last_->wait();  // the last is usually the last to finish: one sleep instead of many
  bool all_good = true;
  for (cell* each = first_; each != nullptr; each = each->next_listed_) {
    each->wait();
    all_good = all_good && each->failed() == nullptr;
  }
  return all_good;
}

stage_error cell_batch::failure() const {
  std::vector<item_error> failures;
  for (cell const* each = first_; each != nullptr; each = each->next_listed_) {
    if (each->failed()) failures.push_back(each->error());
  }
  item_error const& first = failures.front();
  std::string text = first.what();
  if (failures.size() > 1) {
    text += " (and " + std::to_string(failures.size() - 1) + " more of " + std::to_string(size_) + " items failed)";
  }
  std::string stage = first.stage();
  std::size_t const index = first.index();
  error_kind const kind = first.kind();
  return {kind, std::move(stage), index, text, std::move(failures)};
}

// ---- opening and retiring

stage_core& stage_core::open(stage_options const& options, void* body) {
  if (options.concurrency < 1) {
    throw std::invalid_argument{"stage_options: .concurrency is " + std::to_string(options.concurrency) +
                                "; it must be at least 1"};
  }
  if (options.capacity < 1) throw std::invalid_argument{"stage_options: .capacity is 0; it must be at least 1"};
  static std::atomic<std::size_t> unnamed{0};
  auto name = std::make_shared<std::string const>(options.name.empty() ? "thread_stage " + std::to_string(++unnamed)
                                                                       : options.name);
  (void)no_memory();  // made while there is some
  stage_core& core = core_registry::instance().take();
  core.concurrency_ = options.concurrency;
  core.capacity_ = options.capacity;
  core.unpack_ = options.unpack;
  core.body_ = body;
  core.name_ = std::move(name);
  core.next_index_ = 0;
  core.list_closed_ = false;
  core.cancelled_ = false;
  core.started_ = core.finished_ = core.failed_ = core.refused_ = core.finished_seen_ = core.admitted_ = 0;
  core.freed_ = 0;
  return core;
}

void stage_core::retire() noexcept {
  if (serving == this) {
    std::fprintf(stderr, "penstock: stage '%s' is destroyed by one of its own bodies and would wait for it for ever\n",
                 name_->c_str());
    std::abort();
  }
  cell* unstarted = nullptr;
  {
    std::lock_guard const lock{ready_mutex_};
    cancelled_ = true;  // from here on, no body starts and nothing is queued
    unstarted = std::exchange(first_ready_, nullptr);
    last_ready_ = nullptr;
  }
  while (unstarted != nullptr) refuse(*std::exchange(unstarted, unstarted->next_ready_));

  std::unique_lock lock{ready_mutex_};
  runner_node* const node = node_.load(std::memory_order_relaxed);
  while (node != nullptr && node->claim()) {  // wake-ups that nobody has started
    waking_ = false;
    --active_;
  }
  while (first_returning_ != nullptr && active_ < concurrency_) {  // bodies that waited for those slots
    ++active_;
    hand_slot_on();
  }
  awaited_ = active_ != 0 || paused_ != 0;
  bool const wait = awaited_;
  lock.unlock();
  if (wait) {
    stage_core* const inside = serving;  // a body of another stage, which may have what ours wait for
    if (inside != nullptr) inside->leave_slot();
    quiet_.acquire();
    if (inside != nullptr) inside->regain_slot();
  }

  {
    std::unique_lock order{order_mutex_};
    list_closed_ = true;
    cell_batch const dropped{std::exchange(first_listed_, nullptr), std::exchange(last_listed_, nullptr),
                             std::exchange(listed_, 0)};
    for (cell* each = dropped.first_; each != nullptr; each = each->next_listed_) each->place_ = cell::place::taken;
    order.unlock();  // the handles are dropped outside the lock: values are destroyed then
  }

  // Cells that are left (futures hold them, or they wait for their inputs) keep the core. The count reaches 0 once, here
  // or when the last of them is freed.
  auto const cells = static_cast<std::int64_t>(admitted_.load(std::memory_order_relaxed));
  if (freed_.fetch_sub(cells, std::memory_order_acq_rel) == cells) core_registry::instance().give(*this);
}

void stage_core::forget_cell() noexcept {
  if (freed_.fetch_add(1, std::memory_order_acq_rel) + 1 == 0) core_registry::instance().give(*this);
}

// ---- the scattering side

bool stage_core::try_admit() {
  if (node_.load(std::memory_order_acquire) == nullptr) join_engine();
  std::uint64_t admitted = admitted_.load(std::memory_order_relaxed);
  do {
    if (admitted - finished_seen_.load(std::memory_order_relaxed) >= capacity_) {
      std::uint64_t const finished = finished_.load(std::memory_order_acquire);
      finished_seen_.store(finished, std::memory_order_relaxed);
      // Signed: an admitted_ from long ago may be smaller.
      if (static_cast<std::int64_t>(admitted - finished) >= static_cast<std::int64_t>(capacity_)) return false;
    }
  } while (!admitted_.compare_exchange_weak(admitted, admitted + 1, std::memory_order_relaxed));
  return true;
}

void stage_core::join_engine() {
  static std::mutex one_at_a_time;
  std::lock_guard const lock{one_at_a_time};
  if (node_.load(std::memory_order_relaxed) == nullptr) {
    node_.store(&engine::instance().make_node(*this), std::memory_order_release);
  }
}

void stage_core::admit() {
  if (try_admit()) return;
  if (inside_body()) admitted_.fetch_add(1, std::memory_order_relaxed);
  else wait_for_room();
}

void stage_core::wait_for_room() {
  std::unique_lock lock{room_mutex_};
  blocked_.fetch_add(1, std::memory_order_seq_cst);
  while (!try_admit()) {
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
}

void stage_core::dismiss() noexcept { admitted_.fetch_sub(1, std::memory_order_relaxed); }

void stage_core::enlist(cell& added) noexcept {
  std::lock_guard const lock{order_mutex_};
  added.index_ = next_index_++;
  added.place_ = cell::place::listed;
  added.previous_listed_ = last_listed_;
  (last_listed_ != nullptr ? last_listed_->next_listed_ : first_listed_) = &added;
  last_listed_ = &added;
  ++listed_;
}

claim_result stage_core::claim(cell& listed) noexcept {
  stage_core& core = listed.stage();
  {
    std::lock_guard const lock{core.order_mutex_};
    if (listed.place_ == cell::place::gathered) return claim_result::gathered;
    if (listed.place_ == cell::place::taken) return claim_result::was_taken;
    cell* const previous = listed.previous_listed_;
    cell* const next = listed.next_listed_;
    (previous != nullptr ? previous->next_listed_ : core.first_listed_) = next;
    (next != nullptr ? next->previous_listed_ : core.last_listed_) = previous;
    listed.next_listed_ = listed.previous_listed_ = nullptr;
    listed.place_ = cell::place::taken;
    --core.listed_;
  }
  listed.drop_handle();  // the list's; the caller has one of its own
  return claim_result::was_listed;
}

void stage_core::unclaim(cell& claimed) noexcept {
  stage_core& core = claimed.stage();
  std::lock_guard const lock{core.order_mutex_};
  if (core.list_closed_) return;  // its stage was destroyed meanwhile: nobody will gather it
  claimed.add_handle();
  cell* previous = core.last_listed_;
  while (previous != nullptr && previous->index_ > claimed.index_) previous = previous->previous_listed_;
  cell* const next = previous != nullptr ? previous->next_listed_ : core.first_listed_;
  claimed.previous_listed_ = previous;
  claimed.next_listed_ = next;
  (previous != nullptr ? previous->next_listed_ : core.first_listed_) = &claimed;
  (next != nullptr ? next->previous_listed_ : core.last_listed_) = &claimed;
  claimed.place_ = cell::place::listed;
  ++core.listed_;
}

bool stage_core::gathered(cell const& asked) noexcept {
  std::lock_guard const lock{asked.stage().order_mutex_};
  return asked.place_ == cell::place::gathered;
}

void stage_core::throw_already_gathered(cell const& gathered) {
  throw already_gathered{error_kind::exception, *gathered.stage().name(), gathered.index(),
                         "the future's item was gathered already; scatter or get() a future before its stage's gather"};
}

cell_batch stage_core::detach() {
  if (serving == this) {
    throw would_deadlock{error_kind::exception, *name_, 0,
                         "a body of the stage gathers it and would wait for itself; gather outside, or wait for single "
                         "futures"};
  }
  std::lock_guard const lock{order_mutex_};
  for (cell* each = first_listed_; each != nullptr; each = each->next_listed_) each->place_ = cell::place::gathered;
  next_index_ = 0;
  return {std::exchange(first_listed_, nullptr), std::exchange(last_listed_, nullptr), std::exchange(listed_, 0)};
}

// ---- the running side

bool stage_core::inside_body() noexcept { return serving != nullptr; }

// With ready_mutex_ held: whether the caller is to post one more runner.
bool stage_core::wake_next() noexcept {
  if (first_ready_ == nullptr || waking_ || active_ >= concurrency_) return false;
  waking_ = true;
  ++active_;
  return true;
}

bool stage_core::wants_runner() noexcept {
  std::lock_guard const lock{ready_mutex_};
  return first_ready_ != nullptr || first_returning_ != nullptr || awaited_;
}

void stage_core::post_runner() noexcept { engine::instance().post(*node_.load(std::memory_order_relaxed)); }

void stage_core::ready(cell& runnable) noexcept {
  bool wake = false;
  {
    std::unique_lock lock{ready_mutex_};
    if (cancelled_) {
      lock.unlock();
      return refuse(runnable);
    }
    (last_ready_ != nullptr ? last_ready_->next_ready_ : first_ready_) = &runnable;
    last_ready_ = &runnable;
    wake = wake_next();
  }
  if (wake) post_runner();
}

void stage_core::run() noexcept {
  for (int served = 0;; ++served) {
    std::unique_lock lock{ready_mutex_};
    if (served == 0) waking_ = false;
    if (first_returning_ != nullptr) return hand_slot_on();  // the slot stays taken, this runner ends
    if (first_ready_ == nullptr) return end_runner(lock);
    if (served == cells_before_yield) {
      lock.unlock();
      return post_runner();
    }
    cell& next = *first_ready_;
    first_ready_ = next.next_ready_;
    if (first_ready_ == nullptr) last_ready_ = nullptr;
    started_.store(started_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    bool const wake = wake_next();
    lock.unlock();
    if (wake) post_runner();
    serve(next);
  }
}

void stage_core::end_runner(std::unique_lock<adaptive_mutex>& lock) noexcept {
  --active_;
  bool const last = awaited_ && active_ == 0 && paused_ == 0;
  if (last) awaited_ = false;
  lock.unlock();
  if (last) quiet_.release();
}

struct stage_core::returning_body {
  sleeper granted;
  returning_body* next = nullptr;
};

// With ready_mutex_ held and a body that waits for a slot.
void stage_core::hand_slot_on() noexcept {
  returning_body& oldest = *first_returning_;
  first_returning_ = oldest.next;
  if (first_returning_ == nullptr) last_returning_ = nullptr;
  --paused_;
  oldest.granted.notify();
}

void stage_core::leave_slot() noexcept {
  bool wake = false;
  {
    std::lock_guard const lock{ready_mutex_};
    ++paused_;
    if (first_returning_ != nullptr) {
      hand_slot_on();
    } else {
      --active_;
      wake = wake_next();
    }
  }
  if (wake) post_runner();
}

void stage_core::regain_slot() noexcept {
  returning_body here;
  {
    std::lock_guard const lock{ready_mutex_};
    if (active_ < concurrency_) {
      ++active_;
      --paused_;
      return;
    }
    (last_returning_ != nullptr ? last_returning_->next : first_returning_) = &here;
    last_returning_ = &here;
  }
  // NOLINTNEXTLINE(clang-analyzer-core.StackAddressEscape): hand_slot_on() takes `here` out of the list before it ends
  here.granted.sleep();
}

void stage_core::serve(cell& runnable) noexcept {
  stage_core* const outer = std::exchange(serving, this);
  runnable.run(nullptr);
  serving = outer;
  finish(runnable);
}

void stage_core::refuse(cell& unstarted) noexcept {
  // To finish one may refuse those that depend on it. They are put in a row: a long chain must not fill the stack.
  struct row {
    cell* first = nullptr;
    cell* last = nullptr;
    bool being_refused = false;
  };
  thread_local constinit row refused{};
  unstarted.next_ready_ = nullptr;
  (refused.first != nullptr ? refused.last->next_ready_ : refused.first) = &unstarted;
  refused.last = &unstarted;
  if (std::exchange(refused.being_refused, true)) return;
  while (refused.first != nullptr) {
    cell& next = *std::exchange(refused.first, refused.first->next_ready_);
    stage_core& core = next.stage();
    core.refused_.fetch_add(1, std::memory_order_relaxed);
    next.run(core.cancelled_failure(next));
    core.finish(next);
  }
  refused.being_refused = false;
}

void stage_core::finish(cell& finished) noexcept {
  // Counted before anybody can see the result, so that counts are exact once gather has returned.
  if (finished.failure_ != nullptr) failed_.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t const count = finished_.fetch_add(1, std::memory_order_acq_rel) + 1;

  // Dependants are told in the order in which they came.
  link* newest = finished.waiters_.exchange(&cell::finished_mark, std::memory_order_acq_rel);
  link* oldest = nullptr;
  while (newest != nullptr) {
    link* const next = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, next);
  }
  while (oldest != nullptr) {
    waiter& who = *oldest->who;
    oldest = oldest->next;  // before notify(): the link may be gone after it
    who.notify();
  }
  if (blocked_.load(std::memory_order_relaxed) > 0) {
    // Not for every place: a wake-up costs more than many items.
    std::uint64_t const in_flight = admitted_.load(std::memory_order_relaxed) - count;
    if (in_flight <= capacity_ - std::max<std::size_t>(1, capacity_ / 4)) room_.notify_one();
  }
  finished.drop(1);  // last: it may free the cell, and the last cell of a retired stage gives the core away
}

// ---- what is known of a stage

stage_stats stage_core::stats() const noexcept {
  // Read in this order, a finished item never looks as if it had not started.
  std::uint64_t const failed = failed_.load(std::memory_order_acquire);
  std::uint64_t const refused = refused_.load(std::memory_order_acquire);
  std::uint64_t const finished = finished_.load(std::memory_order_acquire);
  std::uint64_t const started = started_.load(std::memory_order_acquire) + refused;
  std::uint64_t const admitted = admitted_.load(std::memory_order_acquire);
  auto const difference = [](std::uint64_t more, std::uint64_t less) { return more > less ? more - less : 0; };
  return {.queued = difference(admitted, std::max(started, finished)),
          .running = difference(started, finished),
          .done = difference(finished, failed),
          .failed = failed};
}

failure_ptr stage_core::describe_current_exception(cell const& failed) const noexcept {
  failure_ptr described = describe(error_kind::exception, name_, failed.index_, text_of_current_exception,
                                   [](std::string const&) { return std::current_exception(); });
  see_exception_references();
  return described;
}

failure_ptr stage_core::cancelled_failure(cell const& unstarted) const noexcept {
  return describe(
      error_kind::cancelled, name_, unstarted.index_,
      [] { return std::string{"cancelled: its stage was destroyed first"}; },
      [&](std::string const& what) {
        return std::make_exception_ptr(stage_error{error_kind::cancelled, *name_, unstarted.index_, what});
      });
}

}  // namespace penstock::detail
