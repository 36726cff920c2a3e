// SPDX-License-Identifier: Apache-2.0
// Random programs over pipelines that share stages: tiny capacities, throws, drops, attempts, cancels of stages and of
// pipelines, nested scatters, destruction in mid-flight. Whatever the seed: nothing hangs, every future becomes ready
// with the right outcome, no stage runs more bodies than it may, and all counts are right at the end.
#include "tests/support/random_rounds.hpp"

#include <penstock/pipeline.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::pipeline;
using penstock::thread_stage;

struct value_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value that knows how many of its kind are alive. It counts the bodies that it has been through.
template <int Size>
struct tracked {
  explicit tracked(long n, long s = 0) : number{n}, steps{s} { ++alive(); }
  tracked(tracked const& other) : number{other.number}, steps{other.steps} { ++alive(); }
  tracked(tracked&& other) noexcept : number{std::exchange(other.number, -1)}, steps{other.steps} { ++alive(); }
  tracked& operator=(tracked const&) = default;
  tracked& operator=(tracked&&) = default;
  ~tracked() { --alive(); }
  static std::atomic<int>& alive() {
    static std::atomic<int> count{0};
    return count;
  }

  long number;
  long steps;
  std::array<char, Size> ballast{};
};
using value = tracked<1>;

using stage = thread_stage<std::optional<value>(value)>;
using chain = pipeline<std::optional<value>(value)>;

// A stage, and what it is checked for.
struct guarded_stage {
  int concurrency = 1;
  std::atomic<int> inside{0};
  std::atomic<std::uint64_t> returned{0};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::uint64_t> thrown{0};
  std::unique_ptr<stage> it;
};

bool throws(long number, long step) { return (number * 7 + step) % 23 == 22; }
bool drops(long number, long step) { return (number * 5 + step) % 29 == 28; }

class random_program {
 public:
  explicit random_program(std::mt19937::result_type seed) : random_{seed} {}

  void run() {
    int const stage_count = pick(1, 4);
    for (int i = 0; i < stage_count; ++i) add_stage();
    inner_ = std::make_unique<chain>(any() | any());
    int const chain_count = pick(1, 4);
    for (int i = 0; i < chain_count; ++i) add_chain();
    {
      std::vector<std::jthread> users;
      int const user_count = pick(1, 3);
      for (int i = 0; i < user_count; ++i) users.emplace_back([this, seed = random_()] { use(seed); });
      if (pick(0, 1) == 0) users.emplace_back([this, seed = random_()] { disturb(seed); });
    }
    if (pick(0, 2) == 0) chains_.clear();  // in mid-flight
    for (auto& each : chains_) {
      if (pick(0, 1) == 0) (void)each->outcomes();
    }
    for (auto& each : stages_) {
      if (pick(0, 1) == 0) (void)each->it->outcomes();
    }
    chains_.clear();
    for (auto& each : stages_) {
      (void)each->it->outcomes();
      auto const stats = each->it->stats();
      EXPECT_EQ(stats.queued, 0U);
      EXPECT_EQ(stats.running, 0U);
      EXPECT_EQ(stats.done, each->returned);
      EXPECT_GE(stats.dropped, each->dropped);                // inputs may have been dropped as well,
      EXPECT_GE(stats.failed + stats.retried, each->thrown);  // have failed, or been cancelled
    }
    inner_.reset();
    stages_.clear();
  }

 private:
  stage& any() { return *stages_[random_() % stages_.size()]->it; }
  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }

  void add_stage() {
    auto made = std::make_unique<guarded_stage>();
    made->concurrency = pick(1, 3);
    int const attempts = pick(1, 2);
    int const kind = pick(0, 5);
    made->it = std::make_unique<stage>(
        penstock::stage_options{.concurrency = kind == 0 ? 0 : made->concurrency,
                                .capacity = static_cast<std::size_t>(pick(1, 4)),
                                .attempts = attempts,
                                .backoff = std::chrono::milliseconds{pick(0, 1)},
                                .max_errors = pick(0, 3) == 0 ? 3 : penstock::unlimited},
        [this, here = made.get(), is_inline = kind == 0, slow = pick(0, 3) == 0](value x) -> std::optional<value> {
          int const now = ++here->inside;
          if (!is_inline && now > here->concurrency) ADD_FAILURE() << now << " bodies at once";
          if (x.number < 0) ADD_FAILURE() << "a value was moved away";
          if (slow) std::this_thread::sleep_for(std::chrono::microseconds{x.number % 7 * 20});
          if (x.steps == 0 && x.number % 31 == 30) {
            --here->inside;  // it gives its place away while it waits
            nested(x.number);
            ++here->inside;
          }
          --here->inside;
          if (throws(x.number, x.steps)) {
            ++here->thrown;
            throw value_error{std::to_string(x.number)};
          }
          if (drops(x.number, x.steps)) {
            ++here->dropped;
            return std::nullopt;
          }
          ++here->returned;
          return value{x.number, x.steps + 1};
        });
    stages_.push_back(std::move(made));
  }

  // A body that waits for an item of a pipeline, which may need the room that it takes.
  void nested(long number) {
    try {
      (void)inner_->scatter(value{number + 1, 100}).outcome();
    } catch (penstock::stage_error const&) {
    }
  }

  void add_chain() {
    chain made = any() | any();
    int const more = pick(0, 4);
    for (int i = 0; i < more; ++i) made = longer(std::move(made), any());
    chains_.push_back(std::make_unique<chain>(std::move(made)));
    lengths_.push_back(more + 2);
  }
  static chain longer(chain so_far, stage& next) { return so_far | next; }

  // What becomes of a number in so many bodies.
  static std::optional<long> steps_after(long number, long steps, int length) {
    for (int i = 0; i < length; ++i) {
      if (throws(number, steps + i) || drops(number, steps + i)) return std::nullopt;
    }
    return steps + length;
  }

  void use(std::mt19937::result_type seed) {
    std::mt19937 random{seed};
    struct expectation {
      future<value> result;
      std::optional<long> steps;
    };
    std::vector<expectation> expected;
    for (int i = 0; i < 60; ++i) {
      std::size_t const which = random() % chains_.size();
      chain& target = *chains_[which];
      long const number = static_cast<long>(random() % 200);
      try {
        switch (random() % 8) {
          case 0: {
            stage& alone = *stages_[random() % stages_.size()]->it;
            expected.push_back({alone.scatter(value{number}), steps_after(number, 0, 1)});
            break;
          }
          case 1: {  // through two pipelines, or into a stage of one
            auto first = target.scatter(value{number});
            stage& alone = *stages_[random() % stages_.size()]->it;
            auto const length = lengths_[which] + 1;
            expected.push_back({alone.scatter(std::move(first)), steps_after(number, 0, length)});
            break;
          }
          case 2: {
            auto made = target.try_scatter(value{number});
            if (made) expected.push_back({std::move(*made), steps_after(number, 0, lengths_[which])});
            break;
          }
          case 3:
            if (random() % 4 == 0) (void)target.outcomes();
            break;
          default: expected.push_back({target.scatter(value{number}), steps_after(number, 0, lengths_[which])});
        }
      } catch (penstock::already_gathered const&) {
      } catch (penstock::stage_error const& error) {  // cancelled at present
        EXPECT_EQ(error.kind(), error_kind::cancelled);
        (void)target.outcomes();
        for (auto& each : stages_) (void)each->it->outcomes();
      }
      if (random() % 5 == 0 && !expected.empty()) {
        check(expected.back().result, expected.back().steps);
        expected.pop_back();
      }
    }
    for (auto& [result, steps] : expected) check(result, steps);
  }

  static void check(future<value>& result, std::optional<long> steps) {
    auto const outcome = std::move(result).outcome();
    if (outcome) {
      EXPECT_EQ(outcome->steps, steps);
    } else if (outcome.error().kind() == error_kind::exception || outcome.error().kind() == error_kind::upstream) {
      EXPECT_FALSE(steps.has_value());
      EXPECT_THROW(std::rethrow_exception(outcome.error().cause()), value_error);
    } else if (outcome.error().kind() == error_kind::dropped) {
      EXPECT_FALSE(steps.has_value());
    } else {
      EXPECT_EQ(outcome.error().kind(), error_kind::cancelled);
    }
  }

  void disturb(std::mt19937::result_type seed) {
    std::mt19937 random{seed};
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds{random() % 300});
      if (random() % 2 == 0) stages_[random() % stages_.size()]->it->cancel();
      else chains_[random() % chains_.size()]->cancel();
      if (random() % 2 == 0) (void)chains_[random() % chains_.size()]->outcomes();
    }
  }

  std::mt19937 random_;
  std::vector<std::unique_ptr<guarded_stage>> stages_;
  std::vector<std::unique_ptr<chain>> chains_;
  std::vector<int> lengths_;
  std::unique_ptr<chain> inner_;  // for bodies
};

TEST(PipelineStress, EveryItemEndsOnceWithTheRightOutcome) {
  for_each_seed(300, [](unsigned seed) {
    random_program{seed}.run();
    ASSERT_EQ(value::alive(), 0) << "a value was lost or kept";
  });
}

TEST(PipelineStress, EndsWhileAThreadLooksForOneOfItsResults) {
  for_each_seed(300, [](unsigned seed) {
    std::atomic<bool> goes_on{false};
    thread_stage first{1, [&goes_on](int x) {
                         goes_on.wait(false);
                         return x;
                       }};
    thread_stage second{1, [](int x) { return x + 1; }};
    std::optional through{first | second};
    future<int> running = through->scatter(1);
    future<int> queued = through->scatter(2);
    std::atomic<bool> looks{false};
    std::jthread const waiting{[&] {
      looks = true;
      auto const outcome = std::move(queued).outcome();
      if (outcome) EXPECT_EQ(*outcome, 3);
      else EXPECT_EQ(outcome.error().kind(), error_kind::cancelled);
    }};
    while (!looks) std::this_thread::yield();
    for (unsigned i = 0; i < seed % 32 * 200; ++i) (void)looks.load();  // as many looks of the other thread
    goes_on = true;
    goes_on.notify_all();
    through.reset();
    (void)std::move(running).outcome();
  });
}

}  // namespace
