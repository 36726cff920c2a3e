// SPDX-License-Identifier: Apache-2.0
// Random programs over stages, each made of one seed. What must hold whatever the seed: nothing hangs, every future becomes
// ready, every item ends once, where it belongs, with the right value or the right error, and in the end the process has
// no more threads, descriptors and memory than before. `./dev soak` runs many more of them, or one.
#include "tests/support/detached.hpp"
#include "tests/support/process_counts.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/watchdog.hpp"

#include <penstock/penstock.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::thread_stage;
using penstock::test::watchdog;

// A value that knows which call has made it, and how many of its kind are alive.
struct item {
  static inline std::atomic<int> alive{0};
  int call = -1;
  long number = 0;
  item(int made_by, long n) : call{made_by}, number{n} { ++alive; }
  item(item const& other) : call{other.call}, number{other.number} { ++alive; }
  item(item&& other) noexcept : call{other.call}, number{other.number} { ++alive; }
  item& operator=(item const&) = default;
  item& operator=(item&&) = default;
  ~item() { --alive; }
};

struct program_error : std::runtime_error {
  explicit program_error(int of) : std::runtime_error{"call " + std::to_string(of)}, call{of} {}
  int call;
};

// What the body of one call is to do.
struct order {
  enum class below : std::uint8_t { nothing, scatter_and_wait, scatter };

  int call = 0;
  long salt = 0;
  int fails_first = 0;  // so many attempts throw
  std::shared_ptr<std::atomic<int>> tries{};
  bool yields = false;
  bool drops = false;
  below then = below::nothing;
};

class random_source {
 public:
  explicit random_source(std::uint32_t seed) : engine_{seed} {}
  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(engine_); }
  bool one_in(int n) { return pick(1, n) == 1; }
  std::size_t below(std::size_t size) { return std::uniform_int_distribution<std::size_t>{0, size - 1}(engine_); }
  std::uint32_t seed() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

// Failures that nobody asks about are meant here; each may be told of once in a round.
class told_failures {
 public:
  told_failures() {
    before_ = penstock::on_unobserved_error([this](penstock::item_error const& error) {
      std::lock_guard const lock{mutex_};
      EXPECT_TRUE(told_.insert(error.stage() + " item " + std::to_string(error.index()) + ": " + error.what()).second)
          << "twice: " << error.stage() << " item " << error.index() << ": " << error.what();
    });
  }
  ~told_failures() { penstock::on_unobserved_error(before_); }
  told_failures(told_failures const&) = delete;
  told_failures& operator=(told_failures const&) = delete;

 private:
  std::mutex mutex_;
  std::set<std::string> told_;
  penstock::unobserved_error_handler before_;
};

// One thread drives up to six stages in every way there is, and keeps book of every call: what must become of it, and who
// has it. Bodies scatter into one more stage.
class driven_program {
 public:
  driven_program(std::uint32_t seed, watchdog& watch) : random_{seed}, watch_{watch} {}
  ~driven_program() { finish_coroutines(); }
  driven_program(driven_program const&) = delete;
  driven_program& operator=(driven_program const&) = delete;

  void run() {
    int const stage_count = random_.pick(1, 5);
    for (int i = 0; i < stage_count; ++i) make_stage();
    int const steps = random_.pick(20, 300);
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) one_step();
    if (random_.one_in(3)) {
      while (!stages_.empty()) destroy(random_.below(stages_.size()));
    } else if (random_.one_in(2)) {
      for (auto& each : stages_) gather(*each);
    }
    finish_coroutines();
    while (!held_.empty()) take(held_.size() - 1);
    for (auto& each : stages_) {
      gather(*each);
      expect_counts(*each);
    }
    stages_.clear();
    for (int id = 0; std::cmp_less(id, calls_.size()); ++id) {
      EXPECT_NE(at(id).is, place::listed) << "call " << id << " has got lost";
    }
    expect_inner_items();
  }

 private:
  using signature = std::optional<item>(order const&, item const&, item, std::vector<item> const&);
  using stage = thread_stage<signature>;

  enum class ending : std::uint8_t { value, failure, drop };
  enum class place : std::uint8_t { refused, listed, claimed, gathered, discarded, orphaned };

  struct call {
    int stage = 0;
    std::size_t index = 0;
    int attempts = 1;
    order what;
    std::vector<int> inputs;  // calls, in the order of the arguments; -1: a value
    ending end = ending::value;
    int origin = -1;  // of a failure or a drop: the call
    long number = 0;
    bool may_be_cancelled = false;
    place is = place::refused;
  };
  struct open_stage {
    std::unique_ptr<stage> it;
    penstock::stage_options options;
    int number = 0;
    bool cancelled = false;
    bool closed = false;
    std::size_t accepted = 0;    // since it was made
    std::size_t next_index = 0;  // since the last gather
    std::vector<int> calls;      // the same
  };
  struct held_future {
    int call = -1;
    future<item> result;
  };
  struct awaited {
    int call = -1;
    std::optional<item> value{};
    std::exception_ptr thrown{};
  };

  call& at(int id) { return calls_[static_cast<std::size_t>(id)]; }
  static std::string name_of(int number) { return "stage " + std::to_string(number); }

  // ---- stages

  void make_stage() {
    auto made = std::make_unique<open_stage>();
    made->number = stages_made_++;
    made->options = {
        .concurrency = random_.one_in(12) ? 0 : random_.pick(1, 6),
        .capacity = static_cast<std::size_t>(random_.pick(1, random_.one_in(2) ? 3 : 40)),
        .name = name_of(made->number),
        .attempts = random_.pick(1, 3),
        .backoff = std::chrono::milliseconds{random_.one_in(8) ? 1 : 0},
        .max_errors = random_.one_in(8) ? static_cast<std::size_t>(random_.pick(1, 4)) : penstock::unlimited,
        .discard_results = random_.one_in(8)};
    step("make", *made);
    made->it = std::make_unique<stage>(made->options,
                                       [this](order const& what, item const& a, item b, std::vector<item> const& more) {
                                         return body(what, a, std::move(b), more);
                                       });
    stages_.push_back(std::move(made));
  }

  void destroy(std::size_t which) {
    std::swap(stages_[which], stages_.back());
    open_stage const& last = *stages_.back();
    step("destroy", last);
    may_be_cancelled(last);
    for (int id : last.calls) {
      if (at(id).is == place::listed) at(id).is = place::orphaned;
    }
    stages_.pop_back();
  }

  // The calls of a stage that is cancelled or destroyed, and all that hang on them.
  void may_be_cancelled(open_stage const& cancelled) {
    for (auto& each : calls_) {
      each.may_be_cancelled = each.may_be_cancelled || each.stage == cancelled.number || has_cancelled_input(each);
    }
  }
  bool has_cancelled_input(call const& dependent) {
    return std::ranges::any_of(dependent.inputs, [this](int id) { return id >= 0 && at(id).may_be_cancelled; });
  }

  std::optional<item> body(order const& what, item const& a, item b, std::vector<item> const& more) {
    if (what.fails_first > 0 && what.tries->fetch_add(1) < what.fails_first) throw program_error{what.call};
    if (what.yields) std::this_thread::yield();
    long number = mix(what, a.number, b.number);
    for (auto const& each : more) number = mix(what, number, each.number);
    if (what.then != order::below::nothing) {
      ++inner_scattered_;
      auto below = inner_.scatter(item{what.call, number});
      if (what.then == order::below::scatter_and_wait) {
        number = std::move(below).get().number;
        --inner_scattered_;  // it is no longer the inner stage's
      }
    }
    if (what.drops) return std::nullopt;
    return item{what.call, number};
  }
  static long mix(order const& what, long a, long b) { return (3 * a + b + what.salt) % 1'000'003; }

  // ---- scattering

  order make_order() {
    order what{.call = static_cast<int>(calls_.size()), .salt = random_.pick(0, 999)};
    if (random_.one_in(5)) {
      what.fails_first = random_.pick(1, 3);
      what.tries = std::make_shared<std::atomic<int>>(0);
    }
    what.yields = random_.one_in(4);
    what.drops = random_.one_in(10);
    if (random_.one_in(6)) what.then = random_.one_in(2) ? order::below::scatter : order::below::scatter_and_wait;
    return what;
  }

  // Writes a call into the book: what must become of it, if it is accepted.
  call& enter(open_stage const& target, order const& what, std::vector<int> inputs, std::vector<long> const& numbers) {
    call entered{.stage = target.number,
                 .index = target.next_index,
                 .attempts = target.options.attempts,
                 .what = what,
                 .inputs = std::move(inputs)};
    bool const own_errors_cancel = target.options.max_errors != penstock::unlimited;
    entered.may_be_cancelled = own_errors_cancel || has_cancelled_input(entered);
    for (ending const without : {ending::drop, ending::failure}) {  // a failure counts more than a drop
      for (auto id = entered.inputs.rbegin(); id != entered.inputs.rend();
           ++id) {  // and the first more than a later one
        if (*id < 0 || at(*id).end != without) continue;
        entered.end = without;
        entered.origin = at(*id).origin;
      }
    }
    if (entered.end == ending::value) {
      entered.number = mix(what, numbers[0], numbers[1]);
      for (std::size_t i = 2; i < numbers.size(); ++i) entered.number = mix(what, entered.number, numbers[i]);
      if (what.then == order::below::scatter_and_wait) ++entered.number;
      if (what.fails_first >= entered.attempts) entered.end = ending::failure;
      else if (what.drops) entered.end = ending::drop;
      entered.origin = what.call;
    }
    calls_.push_back(std::move(entered));
    return calls_.back();
  }

  // The newest call was accepted: its inputs leave their gathers.
  void accept(open_stage& target) {
    call& accepted = calls_.back();
    accepted.is = place::listed;
    for (int id : accepted.inputs) {
      if (id >= 0 && at(id).is == place::listed) at(id).is = place::claimed;
    }
    EXPECT_FALSE(target.closed) << "a closed stage took an item";
    EXPECT_FALSE(target.cancelled) << "a cancelled stage took an item";
    target.calls.push_back(static_cast<int>(calls_.size()) - 1);
    ++target.next_index;
    ++target.accepted;
  }

  bool has_gathered_input(call const& of, bool or_discarded = false) {
    return std::ranges::any_of(of.inputs, [&](int id) {
      return id >= 0 && (at(id).is == place::gathered || (or_discarded && at(id).is == place::discarded));
    });
  }

  // In a handler: whether the newest call was refused for a reason.
  void expect_refusal(open_stage const& target) {
    try {
      throw;
    } catch (penstock::already_gathered const&) {
      EXPECT_TRUE(has_gathered_input(calls_.back(), true));
      EXPECT_FALSE(target.closed || target.cancelled);
    } catch (penstock::stage_closed const&) {
      EXPECT_TRUE(target.closed);
    } catch (penstock::stage_error const& error) {
      EXPECT_EQ(error.kind(), error_kind::cancelled);
      EXPECT_TRUE(target.cancelled || target.options.max_errors != penstock::unlimited);
    }
  }

  void scatter(open_stage& target, bool only_try) {
    order const what = make_order();
    std::vector<int> inputs{-1, -1};
    item const value_a{-1, random_.pick(0, 999)};
    item const value_b{-1, random_.pick(0, 999)};
    std::vector<long> numbers{value_a.number, value_b.number};
    held_future* a = nullptr;
    held_future* b = nullptr;
    bool move_b = false;
    std::vector<future<item>> more;
    auto const use = [&](std::size_t argument) {
      held_future& used = held_[random_.below(held_.size())];
      if (argument == inputs.size()) {
        inputs.push_back(-1);
        numbers.push_back(0);
      }
      inputs[argument] = used.call;
      numbers[argument] = at(used.call).number;
      return &used;
    };
    if (!held_.empty()) {
      if (random_.one_in(2)) a = use(0);
      if (random_.one_in(3)) b = use(1);
      move_b = b != nullptr && b != a && random_.one_in(2);
      for (int i = random_.one_in(5) ? random_.pick(1, 3) : 0; i > 0; --i) {
        held_future* const used = use(inputs.size());
        more.push_back(used->result);
      }
    }
    step(only_try ? "try_scatter" : "scatter", target, inputs, what.call);
    call const& entered = enter(target, what, std::move(inputs), numbers);
    EXPECT_EQ(entered.what.call, what.call);
    future<item> result;
    try {
      auto const with_both = [&](auto const& first, auto&& second) {
        auto const send = [&](auto&&... arguments) {
          if (!only_try) result = target.it->scatter(std::forward<decltype(arguments)>(arguments)...);
          else if (auto sent = target.it->try_scatter(std::forward<decltype(arguments)>(arguments)...)) {
            result = std::move(*sent);
          } else {
            EXPECT_EQ(more.size() + 2, calls_.back().inputs.size()) << "a refused vector was touched";
            EXPECT_TRUE(b == nullptr || b->result.valid()) << "a refused future was touched";
          }
        };
        send(what, first, std::forward<decltype(second)>(second), std::move(more));
      };
      auto const with_b = [&](auto const& first) {
        if (b == nullptr) with_both(first, value_b);
        else if (move_b) with_both(first, std::move(b->result));
        else with_both(first, std::as_const(b->result));
      };
      if (a == nullptr) with_b(value_a);
      else with_b(std::as_const(a->result));
    } catch (penstock::stage_error const&) {
      expect_refusal(target);
    }
    if (result.valid()) {
      EXPECT_FALSE(has_gathered_input(calls_.back())) << "a gathered future was taken";
      accept(target);
    }
    std::erase_if(held_, [](held_future const& each) { return !each.result.valid(); });
    if (result.valid() && !random_.one_in(4)) held_.push_back({what.call, std::move(result)});
  }

  void scatter_many(open_stage& target) {
    std::vector<std::tuple<order, item, item, std::vector<item>>> all;
    int const count = random_.pick(0, 6);
    // With a stage that may stop by itself, nobody knows how far a range of several has come.
    bool const stops_itself = target.options.max_errors != penstock::unlimited;
    step("scatter_many", target, {count});
    for (int i = 0; i < (stops_itself ? 1 : count); ++i) {
      order const what = make_order();
      item const a{-1, random_.pick(0, 999)};
      item const b{-1, random_.pick(0, 999)};
      bool const refused = target.closed || target.cancelled;
      enter(target, what, {-1, -1}, {a.number, b.number});
      all.emplace_back(what, a, b, std::vector<item>{});
      if (!refused && !stops_itself) accept(target);
    }
    try {
      if (random_.one_in(2)) target.it->scatter_many(all);
      else target.it->scatter_many(std::move(all));
      if (stops_itself) accept(target);
    } catch (penstock::stage_error const&) {
      expect_refusal(target);
    }
  }

  // ---- what becomes of calls

  // Whether a failure of call `id` may have begun at `origin`.
  void expect_origin(int id, int origin) {
    call const& failed = at(id);
    bool const expected = failed.end == ending::failure && failed.origin == origin;
    // One that was cancelled between two attempts keeps the error of the first.
    EXPECT_TRUE(expected || (failed.may_be_cancelled && at(origin).what.fails_first > 0))
        << "call " << id << " has the error of call " << origin << "\n"
        << describe(id) << describe(origin);
  }

  std::string describe(int id) {
    call const& c = at(id);
    std::string_view const becomes = c.end == ending::value     ? "a value"
                                     : c.end == ending::failure ? "a failure"
                                                                : "a drop";
    std::string text = "  call " + std::to_string(id) + ", item " + std::to_string(c.index) + " of " +
                       name_of(c.stage) + ": " + std::string{becomes} + " of call " + std::to_string(c.origin) +
                       (c.may_be_cancelled ? ", may be cancelled" : "") + "; inputs:";
    for (int each : c.inputs) text += " " + std::to_string(each);
    return text + "\n";
  }

  void expect_thrown(int id, std::exception_ptr const& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (program_error const& error) {
      expect_origin(id, error.call);
    } catch (penstock::stage_error const& error) {
      if (error.kind() == error_kind::dropped) EXPECT_EQ(at(id).end, ending::drop) << id;
      else EXPECT_TRUE(error.kind() == error_kind::cancelled && at(id).may_be_cancelled) << id << ": " << error.what();
    }
  }

  void expect_value(int id, item const& value) {
    EXPECT_EQ(at(id).end, ending::value) << id;
    EXPECT_EQ(value.call, id);
    EXPECT_EQ(value.number, at(id).number) << id;
  }

  void expect_outcome(int id, penstock::outcome<item> const& outcome) {
    EXPECT_EQ(outcome.index(), at(id).index) << id;
    if (outcome) return expect_value(id, *outcome);
    auto const& error = outcome.error();
    expect_thrown(id, error.cause());
    if (error.kind() != error_kind::exception && error.kind() != error_kind::upstream) return;
    int origin = -1;
    try {
      std::rethrow_exception(error.cause());
    } catch (program_error const& thrown) {
      origin = thrown.call;
    }
    EXPECT_EQ(error.kind(), origin == id ? error_kind::exception : error_kind::upstream) << id;
    EXPECT_EQ(error.stage(), name_of(at(origin).stage));
    EXPECT_EQ(error.index(), at(origin).index);
    EXPECT_TRUE(error.attempts() == at(origin).attempts || at(id).may_be_cancelled) << id;
  }

  void take(std::size_t which) {
    std::swap(held_[which], held_.back());
    held_future taken = std::move(held_.back());
    held_.pop_back();
    step("take", taken.call);
    expect_outcome(taken.call, std::move(taken.result).outcome());
    if (at(taken.call).is == place::listed) at(taken.call).is = place::claimed;
  }

  void look(held_future const& which) {
    step("get", which.call);
    if (random_.one_in(2)) (void)which.result.wait_for(std::chrono::microseconds{random_.pick(0, 50)});
    try {
      expect_value(which.call, which.result.get());
      EXPECT_TRUE(which.result.ready());
    } catch (program_error const&) {
      expect_thrown(which.call, std::current_exception());
    } catch (penstock::stage_error const&) {
      expect_thrown(which.call, std::current_exception());
    }
  }

  void await(std::size_t which) {
    std::swap(held_[which], held_.back());
    held_future taken = std::move(held_.back());
    held_.pop_back();
    step("co_await", taken.call);
    if (at(taken.call).is == place::listed) at(taken.call).is = place::claimed;
    awaited_.push_back(std::make_unique<awaited>(awaited{.call = taken.call}));
    ++*coroutines_;
    await_one(*awaited_.back(), std::move(taken.result), coroutines_, random_.one_in(3));
  }
  penstock::test::detached await_one(awaited& into, future<item> result, std::shared_ptr<std::atomic<int>> running,
                                     bool scatter_then) {
    try {
      into.value = co_await std::move(result);
    } catch (...) {
      into.thrown = std::current_exception();
    }
    if (scatter_then) {
      ++inner_scattered_;
      inner_.scatter(item{-1, 0});
    }
    --*running;
    running->notify_all();
  }
  void finish_coroutines() {
    watch_.step("wait for coroutines");
    for (int left = *coroutines_; left > 0; left = *coroutines_) coroutines_->wait(left);
    for (auto const& each : awaited_) {
      if (each->value) expect_value(each->call, *each->value);
      else expect_thrown(each->call, each->thrown);
    }
    awaited_.clear();
  }

  // ---- gathering

  void gather(open_stage& from, bool patient = true) {
    std::vector<int> listed;
    for (int id : from.calls) {
      if (at(id).is == place::listed) listed.push_back(id);
    }
    int const form = random_.pick(0, 2);
    step(form == 0 ? "outcomes" : form == 1 ? "gather" : "gather_for", from);
    try {
      if (form == 0) {
        expect_outcomes(from, listed, from.it->outcomes());
      } else if (form == 1) {
        penstock::progress last;
        auto const results = from.it->gather({.progress = [&](penstock::progress const& now) { last = now; }});
        EXPECT_EQ(last.done, last.total);
        expect_results(from, listed, results);
      } else {
        std::chrono::microseconds const patience =
            patient ? std::chrono::hours{1} : std::chrono::microseconds{random_.pick(0, 200)};
        auto const results = from.it->gather_for(patience);
        if (!results) return;
        expect_results(from, listed, *results);
      }
    } catch (penstock::gather_error<item>& error) {
      EXPECT_FALSE(error.failures().empty());
      expect_outcomes(from, listed, error.take_outcomes());
    }
    from.cancelled = false;
    from.next_index = 0;
    from.calls.clear();
  }

  void expect_outcomes(open_stage const& from, std::vector<int> const& listed,
                       std::vector<penstock::outcome<item>> const& outcomes) {
    std::size_t next = 0;
    for (int id : listed) {
      if (next < outcomes.size() && outcomes[next].index() == at(id).index) {
        expect_outcome(id, outcomes[next++]);
        at(id).is = place::gathered;
        continue;
      }
      EXPECT_TRUE(from.options.discard_results && at(id).end != ending::failure)
          << "call " << id << " is missing in the outcomes of " << name_of(from.number);
      at(id).is = place::discarded;
    }
    EXPECT_EQ(next, outcomes.size()) << "too many outcomes from " << name_of(from.number);
  }

  void expect_results(open_stage const& from, std::vector<int> const& listed, std::vector<item> const& results) {
    std::size_t next = 0;
    for (int id : listed) {
      EXPECT_NE(at(id).end, ending::failure) << "gather has not told of the failure of call " << id;
      at(id).is = from.options.discard_results ? place::discarded : place::gathered;
      if (from.options.discard_results || at(id).end == ending::drop) continue;
      if (next < results.size()) expect_value(id, results[next]);
      ++next;
    }
    EXPECT_EQ(next, results.size()) << name_of(from.number);
  }

  void expect_counts(open_stage const& gathered) {
    step("wait for rest", gathered);
    auto stats = gathered.it->stats();
    // An item that a call took which was cancelled itself is waited for by nobody.
    for (; stats.queued + stats.running > 0; stats = gathered.it->stats()) std::this_thread::yield();
    EXPECT_EQ(stats.done + stats.failed + stats.dropped, gathered.accepted);
  }

  void expect_inner_items() {
    auto const left = inner_.outcomes();
    EXPECT_EQ(left.size(), static_cast<std::size_t>(inner_scattered_.load()));
    std::set<int> seen;
    for (auto const& each : left) {
      ASSERT_TRUE(each.has_value());
      EXPECT_TRUE(each->call < 0 || seen.insert(each->call).second) << "twice: " << each->call;
    }
  }

  // ---- one step

  void one_step() {
    int const kind = random_.pick(0, 99);
    if (stages_.empty() || (kind < 2 && stages_.size() < 6)) return make_stage();
    if (kind < 4) return destroy(random_.below(stages_.size()));
    open_stage& target = *stages_[random_.below(stages_.size())];
    if (kind < 11) return gather(target, random_.one_in(2));
    if (kind < 13) {
      step("cancel", target);
      may_be_cancelled(target);
      target.cancelled = true;
      return target.it->cancel();
    }
    if (kind < 14) {
      step("close", target);
      target.closed = true;
      return target.it->close();
    }
    if (!held_.empty()) {
      std::size_t const which = random_.below(held_.size());
      if (kind < 20) return take(which);
      if (kind < 23) return look(held_[which]);
      if (kind < 28) return await(which);
    }
    if (kind < 33) return scatter_many(target);
    scatter(target, kind < 45);
  }

  void step(char const* what, open_stage const& with, std::vector<int> const& inputs = {}, int id = -1) {
    std::string text = std::string{what} + " " + name_of(with.number) + " (" +
                       std::to_string(with.options.concurrency) + " of " + std::to_string(with.options.capacity) + ")";
    if (id >= 0) text += " call " + std::to_string(id);
    for (int each : inputs) text += " " + std::to_string(each);
    watch_.step(std::move(text));
  }
  void step(char const* what, int id) { watch_.step(std::string{what} + " call " + std::to_string(id)); }

  random_source random_;
  watchdog& watch_;
  told_failures told_;  // ends after the stages
  std::vector<call> calls_;
  int stages_made_ = 0;
  std::atomic<int> inner_scattered_{0};
  thread_stage<item(item const&)> inner_{
      penstock::stage_options{.concurrency = random_.pick(1, 3),
                              .capacity = static_cast<std::size_t>(random_.pick(1, 4))},
      [](item const& x) { return item{x.call, x.number + 1}; }};
  std::vector<std::unique_ptr<awaited>> awaited_;
  std::shared_ptr<std::atomic<int>> coroutines_ = std::make_shared<std::atomic<int>>(0);
  std::vector<held_future> held_;
  std::vector<std::unique_ptr<open_stage>> stages_;
};

// Bodies that wait for futures of a lower stage, gather it, build and destroy stages of their own; threads that scatter,
// gather, cancel and wait at the same time.
class crowded_program {
 public:
  crowded_program(std::uint32_t seed, watchdog& watch) : random_{seed}, watch_{watch} {}

  void run() {
    int const stages = random_.pick(1, 3);
    for (int i = 0; i < stages; ++i) upper_.push_back(make_upper(random_.pick(0, 3)));
    bool const disturbed = random_.one_in(2);
    std::vector<std::vector<future<item>>> results(2);
    {
      std::vector<std::jthread> users;
      for (auto& mine : results) users.emplace_back([this, &mine, seed = random_.seed()] { use(mine, seed); });
      if (disturbed) users.emplace_back([this, seed = random_.seed()] { disturb(seed); });
      watch_.step("users");
    }
    if (random_.one_in(2)) {
      watch_.step("destroy the upper stages");
      upper_.clear();  // in mid-flight
    }
    watch_.step("take what was promised");
    for (auto& mine : results) {
      for (auto& each : mine) (void)std::move(each).outcome();
    }
    results.clear();
    watch_.step("gather the upper stages");
    std::uint64_t finished = 0;
    for (auto& each : upper_) {
      (void)each->outcomes();
      auto const stats = each->stats();
      EXPECT_EQ(stats.queued + stats.running, 0U);
      finished += stats.done + stats.failed + stats.dropped;
    }
    EXPECT_TRUE(upper_.empty() || finished == accepted_) << finished << " of " << accepted_ << " items were counted";
    upper_.clear();
    watch_.step("gather the base");
    (void)base_.outcomes();
  }

 private:
  using stage = thread_stage<item(item const&)>;

  penstock::stage_options small_options() {
    return {.concurrency = random_.pick(1, 3), .capacity = static_cast<std::size_t>(random_.pick(1, 6))};
  }

  std::unique_ptr<stage> make_upper(int kind) {
    return std::make_unique<stage>(small_options(), [this, kind](item const& x) {
      switch (kind) {
        case 0: return item{0, base_.scatter(x).get().number};
        case 1: {
          auto first = base_.scatter(x);
          auto second = base_.scatter(item{0, x.number + 1});
          return item{0, first.get().number + std::move(second).get().number};
        }
        case 2: {
          stage own{1, [this](item const& y) { return base_.scatter(y).get(); }};
          own.scatter(x);
          auto const second = own.scatter(item{0, x.number + 3});
          if (x.number % 2 == 0) second.wait();
          return x;
        }
        default: (void)base_.outcomes(); return x;
      }
    });
  }

  void use(std::vector<future<item>>& mine, std::uint32_t seed) {
    random_source random{seed};
    for (int i = 0; i < 40; ++i) {
      stage& target = *upper_[random.below(upper_.size())];
      try {
        auto const argument = random.below(2 * mine.size() + 1);
        if (argument >= mine.size()) mine.push_back(target.scatter(item{0, random.pick(0, 49)}));
        else mine.push_back(target.scatter(mine[argument]));
        ++accepted_;
        if (random.one_in(10)) (void)target.outcomes();
        if (random.one_in(10)) (void)target.gather_for(std::chrono::microseconds{random.pick(0, 100)});
        if (random.one_in(7)) (void)mine[random.below(mine.size())].get();
      } catch (penstock::stage_error const&) {  // gathered already, cancelled, or a gather of failures
      } catch (program_error const&) {
      }
    }
  }

  void disturb(std::uint32_t seed) {
    random_source random{seed};
    for (int i = 0; i < 20; ++i) {
      stage& target = *upper_[random.below(upper_.size())];
      if (random.one_in(2)) target.cancel();
      (void)target.outcomes();
      (void)target.stats();
      std::this_thread::yield();
    }
  }

  random_source random_;
  watchdog& watch_;
  std::atomic<std::uint64_t> accepted_{0};
  stage base_{small_options(), [](item const& x) {
                if (x.number % 13 == 12) throw program_error{0};
                return item{0, x.number + 1};
              }};
  std::vector<std::unique_ptr<stage>> upper_;
};

std::optional<std::uint32_t> number_from(char const* variable) {
  char const* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

// What the process has at the end, it has had before; but for memory that pools keep.
class process_state {
 public:
  void expect_unchanged(watchdog& watch) const {
    // TBB keeps its workers; the engine keeps one thread, the watch. The rest end by themselves.
    int const kept = 1 + 4 * static_cast<int>(std::thread::hardware_concurrency());
    watch.step("wait for idle threads to end");
    while (penstock::test::thread_count() > threads_ + kept) std::this_thread::yield();
    EXPECT_EQ(penstock::test::descriptor_count(), descriptors_);
  }
  // A sanitizer keeps freed memory for itself.
  void expect_no_growth() const {
    EXPECT_TRUE(penstock::test::sanitized || penstock::test::resident_bytes() < resident_ + 32'000'000);
  }

 private:
  int threads_ = penstock::test::thread_count();
  int descriptors_ = penstock::test::descriptor_count();
  std::size_t resident_ = penstock::test::resident_bytes();
};

template <class Program>
void run_programs(std::uint32_t default_rounds) {
  std::uint32_t const rounds = number_from("PENSTOCK_SOAK_ROUNDS").value_or(default_rounds);
  std::uint32_t const first = number_from("PENSTOCK_SOAK_SEED").value_or(0);
  auto const handler = penstock::on_unobserved_error([](penstock::item_error const&) {});  // there are many: be silent
  watchdog watch{std::chrono::minutes{1}};
  process_state const before;
  std::optional<process_state> warm;
  for (std::uint32_t seed = first; seed - first < rounds; ++seed) {
    SCOPED_TRACE("replay: ./dev soak --seed " + std::to_string(seed));
    watch.round(seed);
    Program{seed, watch}.run();
    ASSERT_EQ(item::alive, 0) << "a value was lost or kept";
    if (testing::Test::HasFailure()) return;
    if (seed - first == rounds / 5) warm.emplace();
  }
  penstock::on_unobserved_error(handler);
  before.expect_unchanged(watch);
  if (warm) warm->expect_no_growth();
}

TEST(RandomProgram, EveryItemEndsOnceWithTheRightOutcome) { run_programs<driven_program>(500); }
TEST(RandomProgram, BodiesMayWaitGatherBuildAndDestroyStagesInACrowd) { run_programs<crowded_program>(500); }

TEST(Watchdog, AStalledRoundNamesItsSeedAndItsLastSteps) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        watchdog watch{std::chrono::milliseconds{20}};
        watch.round(4711);
        watch.step("scatter into a stage that is stuck");
        std::this_thread::sleep_for(std::chrono::hours{1});
      },
      "Seed 4711 .*--seed 4711.*\n.*scatter into a stage that is stuck");
}

}  // namespace
