// SPDX-License-Identifier: Apache-2.0
// Random programs that scatter many items at once into a stage with short bodies, while others cancel it, gather, read
// streams and leave them, and bodies throw, drop, wait for each other and scatter. What must hold whatever the seed:
// nothing hangs, no item runs twice, every accepted item has one outcome, the right one, and no value is kept.
#include "tests/support/bundles.hpp"
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
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

using penstock::outcome;

// A value that knows how many of its kind are alive.
struct tracked {
  static inline std::atomic<int> alive{0};
  int number;
  explicit tracked(int n) noexcept : number{n} { ++alive; }
  tracked(tracked const& other) noexcept : number{other.number} { ++alive; }
  tracked& operator=(tracked const&) = default;
  ~tracked() { --alive; }
};

constexpr int most_items = 20'000;
constexpr int harmless = -1;

// What the body does with item `number`.
bool throws(int number) { return number % 97 == 13; }
bool drops(int number) { return number % 31 == 7; }
bool dawdles(int number) { return number % 53 == 5; }
bool scatters(int number) { return number % 1'009 == 3; }

class random_program {
 public:
  explicit random_program(unsigned seed) : random_{seed} {
    penstock::stage_options options{.concurrency = pick(1, 4), .capacity = static_cast<std::size_t>(pick(32, 300))};
    if (pick(0, 3) == 0) options.max_errors = static_cast<std::size_t>(pick(1, 20));
    options.discard_results = pick(0, 3) == 0;
    is_kept_ = !options.discard_results;
    stage_ = std::make_unique<tested>(options, [this](int item) { return body(item); });
  }

  void run() {
    warm_up(*stage_, harmless);
    at_start_ = stage_->stats();
    {
      std::jthread const canceller{[this, seed = random_()](std::stop_token const& stop) { cancel(seed, stop); }};
      std::vector<std::jthread> users;
      int const count = pick(1, 3);
      for (int i = 0; i < count; ++i) users.emplace_back([this, seed = random_()] { use(seed); });
    }
    if (pick(0, 2) > 0) check_all();
    stage_.reset();  // else in mid-flight
  }

 private:
  using tested = penstock::thread_stage<std::optional<tracked>(int)>;

  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }

  std::optional<tracked> body(int number) {
    if (number == harmless) return tracked{number};
    if (runs_[static_cast<std::size_t>(number)].fetch_add(1) != 0) ADD_FAILURE() << "item " << number << " ran twice";
    if (throws(number)) throw std::runtime_error{std::to_string(number)};
    if (drops(number)) return std::nullopt;
    if (dawdles(number)) std::this_thread::yield();
    if (scatters(number)) {
      try {
        scatter(40);
      } catch (penstock::stage_error const&) {  // cancelled meanwhile
      }
    }
    return tracked{number};
  }

  void cancel(std::mt19937::result_type seed, std::stop_token const& stop) {
    std::mt19937 random{seed};
    bool const is_patient = random() % 2 == 0;
    while (!stop.stop_requested()) {
      for (auto pause = random() % (is_patient ? 20'000 : 300); pause > 0 && !stop.stop_requested(); --pause) {
        std::this_thread::yield();
      }
      stage_->cancel();
    }
  }

  void scatter(int count) {
    int const first = next_.fetch_add(count);
    if (first + count > most_items) return;
    stage_->scatter_many(std::views::iota(first, first + count));
  }

  void use(std::mt19937::result_type seed) {
    std::mt19937 random{seed};
    for (int step = 0; step < 60; ++step) {
      try {
        switch (random() % 12) {
          case 0: keep(stage_->outcomes()); break;
          case 1: keep_results(stage_->gather_for(std::chrono::microseconds{random() % 300})); break;
          case 2: read(stage_->stream(), 1 + random() % 100); break;
          case 3: read(stage_->as_completed(), 1 + random() % 100); break;
          case 4:
            for (int i = 0; i < 5; ++i) {
              int const number = next_.fetch_add(1);
              if (number < most_items) stage_->scatter(number);
            }
            break;
          default: scatter(static_cast<int>(random() % 200));
        }
      } catch (penstock::gather_error<tracked>& error) {
        keep(error.take_outcomes());
      } catch (penstock::stage_error const&) {  // cancelled
      }
    }
  }

  // At least one, unless the stage is cancelled.
  void read(auto stream, std::size_t most) {
    std::size_t count = 0;
    for (auto& each : stream) {
      keep_one(each);
      if (++count >= most) break;
    }
  }

  void keep_results(std::optional<std::vector<tracked>> const& results) {
    if (!results) return;
    for (tracked const& each : *results) keep_value(each.number);
    // Drops leave no trace here.
    has_gap_ = true;
  }
  void keep(std::vector<outcome<tracked>> const& outcomes) {
    for (auto const& each : outcomes) keep_one(each);
  }
  void keep_one(outcome<tracked> const& each) {
    ++kept_;
    if (each.has_value()) return keep_value(each->number);
    auto const& error = each.error();
    if (error.kind() == penstock::error_kind::exception) {
      EXPECT_TRUE(throws(std::stoi(error.what())));
    }
  }
  void keep_value(int number) {
    if (number == harmless) return;
    EXPECT_FALSE(throws(number) || drops(number));
    if (kept_values_[static_cast<std::size_t>(number)].fetch_add(1) != 0) {
      ADD_FAILURE() << "item " << number << " was given out twice";
    }
  }

  void check_all() {
    keep(stage_->outcomes());
    keep(stage_->outcomes());  // what bodies have scattered
    auto const stats = stage_->stats();
    EXPECT_EQ(stats.queued + stats.running, 0U);
    for (std::size_t i = 0; i < most_items; ++i) {
      int const number = static_cast<int>(i);
      bool const has_value = runs_[i] != 0 && !throws(number) && !drops(number);
      EXPECT_EQ(kept_values_[i], has_value && is_kept_ ? 1 : 0) << "item " << number;
    }
    if (is_kept_ && !has_gap_) {
      EXPECT_EQ(kept_, stats.done + stats.failed + stats.dropped - at_start_.done);
    }
  }

  std::mt19937 random_;
  bool is_kept_ = true;
  std::atomic<bool> has_gap_{false};
  penstock::stage_stats at_start_;
  std::atomic<int> next_{0};
  std::atomic<std::uint64_t> kept_{0};
  std::vector<std::atomic<int>> runs_ = std::vector<std::atomic<int>>(most_items);
  std::vector<std::atomic<int>> kept_values_ = std::vector<std::atomic<int>>(most_items);
  std::unique_ptr<tested> stage_;
};

TEST(BundleStress, EveryAcceptedItemEndsOnceWithTheRightOutcome) {
  auto const before = penstock::on_unobserved_error([](penstock::item_error const&) {});
  for_each_seed(200, [](unsigned seed) {
    random_program{seed}.run();
    ASSERT_EQ(tracked::alive, 0) << "a value was lost or kept";
  });
  penstock::on_unobserved_error(before);
}

}  // namespace
