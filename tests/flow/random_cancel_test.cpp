// SPDX-License-Identifier: Apache-2.0
// Random programs over stages that are cancelled, closed and gathered by several threads while items are tried again,
// dropped and discarded. What must hold whatever the seed: nothing hangs, every outcome is right or `cancelled`, every
// accepted item is counted once, no value is kept.
#include "tests/support/random_rounds.hpp"

#include <penstock/penstock.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::thread_stage;

struct value_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct passing_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value that knows how many of its kind are alive.
struct tracked {
  static inline std::atomic<int> alive{0};
  long number;
  explicit tracked(long n) : number{n} { ++alive; }
  tracked(tracked const& other) : number{other.number} { ++alive; }
  tracked(tracked&& other) noexcept : number{other.number} { ++alive; }
  tracked& operator=(tracked const&) = default;
  tracked& operator=(tracked&&) = default;
  ~tracked() { --alive; }
};

// What the bodies make of two numbers; none where they throw or drop.
std::optional<long> combined(long a, long b) {
  long const sum = a + b;
  if (sum % 11 == 10 || sum % 7 == 6) return std::nullopt;
  return (a * 3 + b) % 1'000;
}

std::optional<tracked> body(std::stop_token const& stop, tracked const& a, tracked b) {
  thread_local std::minstd_rand chance{1};
  if (chance() % 8 == 0) throw passing_error{"try again"};
  long const sum = a.number + b.number;
  if (sum % 11 == 10) throw value_error{"eleven"};
  if (chance() % 16 == 0) std::this_thread::yield();
  for (int i = 0; i < 20 && !stop.stop_requested() && chance() % 4 == 0; ++i) std::this_thread::yield();
  if (auto const number = combined(a.number, b.number)) return tracked{*number};
  return std::nullopt;
}

struct counted_stage {
  thread_stage<std::optional<tracked>(tracked const&, tracked)> stage;
  std::atomic<std::uint64_t> accepted{0};
};

struct expectation {
  future<tracked> result;
  std::optional<long> number;
};

class random_program {
 public:
  explicit random_program(unsigned seed) : random_{seed} {}

  void run() {
    int const stages = pick(1, 4);
    for (int i = 0; i < stages; ++i) stages_.push_back(make_stage());
    {
      std::jthread const canceller{[this, seed = random_()](std::stop_token const& stop) { cancel(seed, stop); }};
      std::vector<std::jthread> users;
      for (int i = 0; i < 2; ++i) users.emplace_back([this, seed = random_()] { use(seed); });
    }
    bool const checked = pick(0, 1) == 0;
    if (checked) {
      for (auto& each : stages_) {
        (void)each->stage.outcomes();
        // Those that other stages took may run yet.
        for (auto stats = each->stage.stats(); stats.queued + stats.running > 0; stats = each->stage.stats())
          std::this_thread::yield();
      }
      for (auto& each : stages_) {
        auto const stats = each->stage.stats();
        EXPECT_EQ(stats.done + stats.failed + stats.dropped, each->accepted);
      }
    }
    stages_.clear();  // else in mid-flight
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }

  std::unique_ptr<counted_stage> make_stage() {
    penstock::stage_options options{.concurrency = pick(0, 4),
                                    .capacity = static_cast<std::size_t>(pick(1, 40)),
                                    .attempts = pick(1, 3),
                                    .backoff = std::chrono::milliseconds{pick(0, 1)}};
    if (pick(0, 2) == 0) options.max_errors = static_cast<std::size_t>(pick(1, 5));
    options.discard_results = pick(0, 3) == 0;
    return std::make_unique<counted_stage>(decltype(counted_stage::stage){options, body});
  }

  void cancel(std::mt19937::result_type seed, std::stop_token const& stop) {
    std::mt19937 random{seed};
    while (!stop.stop_requested()) {
      for (auto pause = random() % 200; pause > 0; --pause) std::this_thread::yield();
      auto& chosen = stages_[random() % stages_.size()]->stage;
      if (random() % 50 == 0) chosen.close();
      else chosen.cancel();
    }
  }

  void use(std::mt19937::result_type seed) {
    std::mt19937 random{seed};
    std::vector<expectation> mine;
    for (int step = 0; step < 150; ++step) {
      counted_stage& target = *stages_[random() % stages_.size()];
      try {
        switch (random() % 16) {
          case 0: (void)target.stage.outcomes(); break;
          case 1: (void)target.stage.gather_for(std::chrono::microseconds{random() % 300}); break;
          case 2: gather_with_progress(target); break;
          case 3: {
            for (auto& each : mine) check(each);
            mine.clear();
            break;
          }
          default: scatter(target, mine, random);
        }
      } catch (penstock::stage_error const&) {  // cancelled, closed, failed, gathered already
      }
    }
    for (auto& each : mine) check(each);
  }

  static void scatter(counted_stage& target, std::vector<expectation>& mine, std::mt19937& random) {
    long const number = static_cast<long>(random() % 50);
    expectation made;
    if (mine.empty() || random() % 3 == 0) {
      made = {target.stage.scatter(tracked{7}, tracked{number}), combined(7, number)};
    } else {
      expectation const& input = mine[random() % mine.size()];
      expectation const& other = mine[random() % mine.size()];
      if (random() % 2 == 0) {
        made.result = target.stage.scatter(input.result, tracked{number});
        if (input.number) made.number = combined(*input.number, number);
      } else {
        made.result = target.stage.scatter(input.result, other.result);
        if (input.number && other.number) made.number = combined(*input.number, *other.number);
      }
    }
    ++target.accepted;
    mine.push_back(std::move(made));
  }

  static void gather_with_progress(counted_stage& target) {
    penstock::progress last;
    (void)target.stage.gather({.progress = [&](penstock::progress const& now) {
      EXPECT_GE(now.done + now.failed, last.done + last.failed);
      EXPECT_LE(now.done + now.failed, now.total);
      last = now;
    }});
    EXPECT_EQ(last.done + last.failed, last.total);
  }

  static void check(expectation& each) {
    auto const outcome = std::move(each.result).outcome();
    if (outcome) {
      ASSERT_TRUE(each.number.has_value());
      EXPECT_EQ(outcome->number, *each.number);
      return;
    }
    try {
      std::rethrow_exception(outcome.error().cause());
    } catch (passing_error const&) {
    } catch (value_error const&) {
      EXPECT_FALSE(each.number.has_value());
    } catch (penstock::stage_error const& error) {
      if (error.kind() == error_kind::dropped) EXPECT_FALSE(each.number.has_value());
      else EXPECT_EQ(error.kind(), error_kind::cancelled);
    }
  }

  std::mt19937 random_;
  std::vector<std::unique_ptr<counted_stage>> stages_;
};

TEST(RandomCancel, EveryAcceptedItemEndsOnceWithTheRightOutcome) {
  auto const before = penstock::on_unobserved_error([](penstock::item_error const&) {});
  for_each_seed(200, [](unsigned seed) {
    random_program{seed}.run();
    ASSERT_EQ(tracked::alive, 0) << "a value was lost or kept";
  });
  penstock::on_unobserved_error(before);
}

}  // namespace
