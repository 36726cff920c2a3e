// SPDX-License-Identifier: Apache-2.0
// Random programs over stages: fan-out, joins, throws, tiny capacities, nested scatters, gathers in between, destruction
// in mid-flight. What must hold whatever the seed: nothing hangs, every future becomes ready, every outcome is right.
#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using penstock::future;
using penstock::thread_stage;

struct value_error : std::runtime_error {
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

using stage = thread_stage<tracked(tracked const&, tracked)>;

// A future and what it must become; none: a failure, or unknown once a stage has been destroyed.
struct expectation {
  future<tracked> result;
  std::optional<long> number;
  bool may_be_cancelled = false;
};

class random_program {
 public:
  explicit random_program(unsigned seed) : random_{seed} {}

  void run() {
    int const stage_count = pick(1, 5);
    for (int i = 0; i < stage_count; ++i) stages_.push_back(make_stage());
    int const steps = pick(20, 300);
    for (int step = 0; step < steps; ++step) one_step();
    if (pick(0, 1) == 0) {
      while (!stages_.empty()) destroy_one();  // in mid-flight
    }
    for (auto& each : expected_) check(each);
    for (auto& each : stages_) (void)each->outcomes();
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }
  std::size_t index_below(std::size_t size) { return std::uniform_int_distribution<std::size_t>{0, size - 1}(random_); }

  std::unique_ptr<stage> make_stage() {
    return std::make_unique<stage>(
        penstock::stage_options{.concurrency = pick(1, 6), .capacity = static_cast<std::size_t>(pick(1, 40))},
        [](tracked const& a, tracked b) {
          if ((a.number + b.number) % 11 == 10) throw value_error{std::to_string(a.number + b.number)};
          if (b.number % 5 == 0) std::this_thread::yield();
          return tracked{a.number * 3 + b.number};
        });
  }

  static std::optional<long> result_of(std::optional<long> a, std::optional<long> b) {
    if (!a || !b || (*a + *b) % 11 == 10) return std::nullopt;
    return *a * 3 + *b;
  }

  void one_step() {
    int const kind = pick(0, 19);
    if (stages_.empty() || kind == 0) return stages_.push_back(make_stage());
    if (kind == 1) return destroy_one();
    stage& target = *stages_[index_below(stages_.size())];
    if (kind == 2) return (void)target.outcomes();
    if (kind <= 4 && !expected_.empty()) {
      std::swap(expected_[index_below(expected_.size())], expected_.back());
      check(expected_.back());
      return expected_.pop_back();
    }
    long const number = pick(0, 50);
    expectation made;
    expectation* const input =
        expected_.empty() || pick(0, 2) == 0 ? nullptr : &expected_[index_below(expected_.size())];
    try {
      if (input == nullptr) {
        made = {target.scatter(tracked{7}, tracked{number}), result_of(7, number)};
      } else if (pick(0, 1) == 0) {
        made = {target.scatter(input->result, input->result), result_of(input->number, input->number)};
        made.may_be_cancelled = input->may_be_cancelled;
      } else {
        made = {target.scatter(tracked{number}, input->result), result_of(number, input->number)};
        made.may_be_cancelled = input->may_be_cancelled;
      }
    } catch (penstock::already_gathered const&) {
      return;
    }
    expected_.push_back(std::move(made));
  }

  void destroy_one() {
    std::swap(stages_[index_below(stages_.size())], stages_.back());
    for (auto& each : expected_) each.may_be_cancelled = true;  // the stage's own, and all that hang on them
    stages_.pop_back();
  }

  static void check(expectation& each) {
    auto const outcome = std::move(each.result).outcome();
    if (outcome) {
      ASSERT_TRUE(each.number.has_value());
      EXPECT_EQ(outcome->number, *each.number);
    } else if (outcome.error().kind() == penstock::error_kind::cancelled) {
      EXPECT_TRUE(each.may_be_cancelled);
    } else {
      EXPECT_FALSE(each.number.has_value());
      EXPECT_THROW(std::rethrow_exception(outcome.error().cause()), value_error);
    }
  }

  std::mt19937 random_;
  std::vector<std::unique_ptr<stage>> stages_;
  std::vector<expectation> expected_;
};

// Bodies that wait for futures of lower stages, gather them, build and destroy stages of their own; threads that scatter,
// gather and wait at the same time.
class nested_program {
 public:
  explicit nested_program(unsigned seed) : random_{seed} {}

  void run() {
    int const stages = pick(1, 3);
    for (int i = 0; i < stages; ++i) upper_.push_back(make_upper(pick(0, 3)));
    std::vector<std::vector<future<tracked>>> results(2);
    {
      std::vector<std::jthread> users;
      for (auto& mine : results) users.emplace_back([this, &mine, seed = random_()] { use(mine, seed); });
    }
    if (pick(0, 1) == 0) upper_.clear();  // in mid-flight
    for (auto& mine : results) {
      for (auto& each : mine) (void)std::move(each).outcome();
    }
    results.clear();
    upper_.clear();
    (void)base_.outcomes();
  }

 private:
  using stage = thread_stage<tracked(tracked const&)>;

  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }
  penstock::stage_options small_options() {
    return {.concurrency = pick(1, 3), .capacity = static_cast<std::size_t>(pick(1, 6))};
  }

  std::unique_ptr<stage> make_upper(int kind) {
    return std::make_unique<stage>(small_options(), [this, kind](tracked const& x) {
      switch (kind) {
        case 0: return tracked{base_.scatter(x).get().number};
        case 1: {
          auto first = base_.scatter(x);
          auto second = base_.scatter(tracked{x.number + 1});
          return tracked{first.get().number + std::move(second).get().number};
        }
        case 2: {
          stage own{1, [this](tracked const& y) { return base_.scatter(y).get(); }};
          own.scatter(x);
          auto const second = own.scatter(tracked{x.number + 3});
          if (x.number % 2 == 0) second.wait();
          return x;
        }
        default: (void)base_.outcomes(); return x;
      }
    });
  }

  void use(std::vector<future<tracked>>& mine, std::mt19937::result_type seed) {
    std::mt19937 random{seed};
    for (int i = 0; i < 40; ++i) {
      stage& target = *upper_[random() % upper_.size()];
      try {
        if (mine.empty() || random() % 2 == 0)
          mine.push_back(target.scatter(tracked{static_cast<long>(random() % 50)}));
        else mine.push_back(target.scatter(mine[random() % mine.size()]));
        if (random() % 10 == 0) (void)target.outcomes();
        if (random() % 7 == 0) (void)mine[random() % mine.size()].get();
      } catch (penstock::already_gathered const&) {
      } catch (value_error const&) {
      }
    }
  }

  std::mt19937 random_;
  stage base_{small_options(), [](tracked const& x) {
                if (x.number % 13 == 12) throw value_error{"thirteen"};
                return tracked{x.number + 1};
              }};
  std::vector<std::unique_ptr<stage>> upper_;
};

template <class Program>
void run_programs(int default_rounds) {
  char const* const asked = std::getenv("PENSTOCK_STRESS_ROUNDS");
  int const rounds = asked == nullptr ? default_rounds : std::atoi(asked);
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("seed " + std::to_string(round));
    Program{static_cast<unsigned>(round)}.run();
    ASSERT_EQ(tracked::alive, 0) << "a value was lost or kept";
    if (testing::Test::HasFailure()) return;
  }
}

TEST(RandomGraph, EveryItemEndsOnceWithTheRightOutcome) { run_programs<random_program>(500); }
TEST(RandomGraph, BodiesMayWaitGatherBuildAndDestroyStages) { run_programs<nested_program>(200); }

}  // namespace
