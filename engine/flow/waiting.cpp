// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/waiting.hpp"

#include "engine/flow/order_list.hpp"
#include "engine/flow/patience.hpp"
#include "engine/flow/prefetch.hpp"
#include "engine/flow/sleeper.hpp"
#include "engine/flow/stage_state.hpp"

#include <penstock/detail/bundle.hpp>
#include <penstock/detail/stage_core.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::detail {
namespace {

// A thread's sleep until a cell ends, for which batches start. Whoever ends the cell also ends that: the thread itself may
// come to it late, when it is about to bring more items.
class batch_sleeper final : public waiter {
 public:
  explicit batch_sleeper(cell& awaited) noexcept {
    stage_state::of(awaited).await(awaited);
    wanted_.emplace(stage_state::of(awaited), batch_wanted::by::others);
  }
  cell* notify() noexcept override {
    wanted_.reset();
    return here_.notify();
  }
  void sleep() noexcept { here_.sleep(); }

 private:
  std::optional<batch_wanted> wanted_;
  sleeper here_;
};

// Counts the cells of a gather as they end. Items of bundles are looked for by who gathers: they end before their cell.
class tally {
 public:
  struct one final : waiter {
    cell* notify() noexcept override {
      to->count(*watched);
      return nullptr;
    }
    tally* to = nullptr;
    cell* watched = nullptr;
    link wait;
    std::uint64_t seen = 0;  // of a bundle: items that were counted, or given before
  };

  void count(cell const& ended) noexcept {
    std::lock_guard const lock{mutex_};  // held while notifying: the gathering thread may leave right after
    if (!ended.is_bundle()) ++(ended.has_failed() ? counted_.failed : counted_.done);
    ++cells_;
    counted_one_.notify_one();
  }
  // Blocks until more than `cells` have ended, or until items of bundles may have; how many cells have, and adds to `now`
  // those that were single.
  [[nodiscard]] std::size_t after(std::size_t cells, bool has_bundles, progress& now) noexcept {
    std::unique_lock lock{mutex_};
    auto const has_more = [&] { return cells_ != cells; };
    if (has_bundles) counted_one_.wait_for(lock, look_at_bundles, has_more);
    else counted_one_.wait(lock, has_more);
    now.done += std::exchange(counted_.done, 0);
    now.failed += std::exchange(counted_.failed, 0);
    return cells_;
  }
  static void count_items(bundle const& many, std::uint64_t& seen, progress& now) noexcept {
    for (std::uint32_t at = 0; at < many.size(); ++at) {
      if ((seen >> at & 1U) != 0 || !many.has_ended(at)) continue;
      seen |= std::uint64_t{1} << at;
      ++(many.error_of(at) != nullptr ? now.failed : now.done);
    }
  }

 private:
  static constexpr auto look_at_bundles = std::chrono::milliseconds{5};

  std::mutex mutex_;
  std::condition_variable counted_one_;
  progress counted_;       // single cells, since the last look; these guarded by mutex_
  std::size_t cells_ = 0;  // all that have ended
};

// Also when a stream has given out items of it.
bool has_failed(cell const& ended) noexcept {
  bundle const* const many = bundle_in(ended);
  return many != nullptr ? many->first_error() != nullptr : ended.has_failed();
}

}  // namespace

// ---- one cell

bool cell::is_done_soon() const noexcept {
  return is_soon([this] { return done(); }, looks_before_sleep, stage_state::of(*this));
}

void cell::wait() noexcept {
  if (is_done_soon()) return;
  batch_sleeper here{*this};
  link wait{.next = nullptr, .who = &here};
  if (!subscribe(wait)) return;
  slot_given_back const meanwhile;
  here.sleep();
}

void cell::wait_in_gather() noexcept {
  if (is_done_soon()) return;
  sleeper here;
  link wait{.next = nullptr, .who = &here};
  if (!subscribe(wait)) return;
  slot_given_back const meanwhile;
  here.sleep();
}

void cell::wait_for_stream(bool is_last) noexcept {
  // As in batch_sleeper.
  struct reader final : waiter {
    explicit reader(stage_core& stage) noexcept : of{stage} {}
    cell* notify() noexcept override {
      of.add_waiting_stream(-1);
      return here.notify();
    }
    stage_core& of;
    sleeper here;
  };
  if (is_done_soon()) return;
  reader waiting{stage()};
  link wait{.next = nullptr, .who = &waiting};
  stage().add_waiting_stream(1);
  batch_wanted const wanted{stage_state::of(*this), is_last ? batch_wanted::by::gather : batch_wanted::by::others};
  if (!is_last) stage_state::of(*this).look_for_last_batch();
  if (!subscribe(wait)) return stage().add_waiting_stream(-1);
  slot_given_back const meanwhile;
  waiting.here.sleep();
}

bool cell::wait_until(std::chrono::steady_clock::time_point deadline) noexcept {
  if (done()) return true;
  stage_state::of(*this).await(*this);
  batch_wanted const wanted{stage_state::of(*this), batch_wanted::by::others};
  slot_given_back const meanwhile;
  return timed_waits::wait(this, deadline, [this] { return done(); });
}

// ---- with a deadline

namespace timed_waits {
namespace table {

std::atomic<int> waiting{0};

bucket& of(void const* address) noexcept {
  static std::array<bucket, 64>& forever = *new std::array<bucket, 64>;  // NOLINT(bugprone-unhandled-exception-at-new)
  return forever[reinterpret_cast<std::uintptr_t>(address) / sizeof(bucket) % forever.size()];
}

}  // namespace table

void notify(void const* address) noexcept {
  table::bucket& here = table::of(address);
  std::lock_guard const lock{here.mutex};
  here.ended.notify_all();
}

}  // namespace timed_waits

// ---- the cells of a gather

bool cell_batch::wait_all() const noexcept {
  if (empty()) return true;
  batch_wanted const meanwhile{stage_state::of(front()), batch_wanted::by::gather};
  cells_.back()->wait_in_gather();  // the last is usually the last to finish: one sleep instead of many
  bool all_good = true;
  for (std::size_t i = first_; i < cells_.size(); ++i) {
    if (i + cells_ahead < cells_.size()) fetch_two_lines(cells_[i + cells_ahead]);
    cells_[i]->wait_in_gather();
    all_good = all_good && !has_failed(*cells_[i]);
  }
  return all_good;
}

bool cell_batch::wait_all(std::function<void(progress const&)> const& report) const {
  if (report == nullptr) return wait_all();
  progress now{};
  std::exception_ptr thrown;
  auto const tell = [&] {
    if (thrown != nullptr) return;
    try {
      report(now);
    } catch (...) {
      thrown = std::current_exception();
    }
  };
  tally counted;
  std::vector<tally::one> ones(cells_.size() - first_);
  std::vector<tally::one*> bundles;
  for (std::size_t i = 0; i < ones.size(); ++i) {
    ones[i].to = &counted;
    ones[i].watched = cells_[first_ + i];
    ones[i].wait.who = &ones[i];
    if (bundle const* const many = bundle_in(*ones[i].watched)) {
      bundles.push_back(&ones[i]);
      ones[i].seen = many->given();
      now.total += many->size() - static_cast<std::size_t>(std::popcount(ones[i].seen));
    } else {
      ++now.total;
    }
  }
  tell();
  for (tally::one& each : ones) {
    if (!each.watched->subscribe(each.wait)) counted.count(*each.watched);
  }
  std::optional<batch_wanted> wanted;
  if (!empty()) wanted.emplace(stage_state::of(front()), batch_wanted::by::gather);
  for (std::size_t ended = 0; ended < ones.size();) {
    std::size_t const seen = now.done + now.failed;
    {
      slot_given_back const meanwhile;  // not while `report` runs: it is a part of the body
      ended = counted.after(ended, !bundles.empty(), now);
    }
    for (tally::one* const each : bundles) tally::count_items(static_cast<bundle&>(*each->watched), each->seen, now);
    std::erase_if(bundles, [](tally::one const* each) { return each->watched->done(); });
    if (now.done + now.failed != seen) tell();
  }
  if (thrown != nullptr) std::rethrow_exception(thrown);
  return now.failed == 0;
}

void cell_batch::pop() noexcept {
  if (first_ + cells_ahead < cells_.size()) fetch_two_lines(cells_[first_ + cells_ahead]);
  stage_state::pass(*cells_[first_++]);
}

cell_batch::~cell_batch() {
  for (; !empty(); ++first_) stage_state::put_back(front());
}

namespace {

// What to say of the failures after the first: those that were only cancelled are counted by themselves.
std::string rest_of(std::vector<item_error> const& failures, std::size_t items) {
  auto const is_cancelled = [](item_error const& each) { return each.kind() == error_kind::cancelled; };
  auto const cancelled = static_cast<std::size_t>(std::count_if(failures.begin() + 1, failures.end(), is_cancelled));
  std::size_t const failed = failures.size() - 1 - cancelled;
  std::string const of_all = " of " + std::to_string(items) + " items ";
  bool const first_was_cancelled = is_cancelled(failures.front());
  std::string text;
  if (failed > 0) text = std::to_string(failed) + (first_was_cancelled ? "" : " more") + of_all + "failed";
  if (cancelled > 0) {
    text += (failed > 0 ? ", " : "") + std::to_string(cancelled) + (first_was_cancelled ? " more" : "") +
            (failed > 0 ? " " : of_all) + (cancelled == 1 ? "was cancelled" : "were cancelled");
  }
  return text.empty() ? text : " (and " + text + ")";
}

}  // namespace

stage_error cell_batch::failure() const {
  std::vector<item_error> failures;
  for (std::size_t i = first_; i < cells_.size(); ++i) {
    if (!has_failed(*cells_[i])) continue;
    if (bundle const* const many = bundle_in(*cells_[i])) {
      for (std::uint32_t at = 0; at < many->size(); ++at) {
        failure_ptr const* const why = many->is_given(at) ? nullptr : many->error_of(at);
        if (why != nullptr) failures.emplace_back(*why, false);
      }
    } else {
      failures.push_back(cells_[i]->error());
    }
  }
  item_error const& first = failures.front();
  std::string const text = first.what() + rest_of(failures, items());
  std::string stage = first.stage();
  std::size_t const index = first.index();
  error_kind const kind = first.kind();
  return {kind, std::move(stage), index, text, std::move(failures)};
}

}  // namespace penstock::detail
