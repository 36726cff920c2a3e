// SPDX-License-Identifier: Apache-2.0
// Batches under load: random sizes, throws, errors in outcomes, cancellations, gathers while others scatter, futures as
// inputs, tiny capacities. What must hold whatever the seed: nothing hangs, no batch is larger than allowed, every item has
// one outcome, the right one, and those of one scattering thread come in its order.
#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using penstock::batch;
using penstock::error_kind;
using penstock::outcome;
using penstock::thread_stage;

// A number whose copy is not moved from when it is.
struct counted {
  long number = -1;
  explicit counted(long n) : number{n} {}
  counted(counted const&) = default;
  counted(counted&& other) noexcept : number{std::exchange(other.number, -1)} {}
  counted& operator=(counted const&) = default;
  counted& operator=(counted&& other) noexcept {
    number = std::exchange(other.number, -1);
    return *this;
  }
};

constexpr int threads = 3;
constexpr long per_thread = 200;

bool fails_upstream(long number) { return number % 17 == 3; }
bool throws(long number) { return number % 13 == 7; }
bool fails_by_outcome(long number) { return number % 11 == 5; }

class program {
 public:
  explicit program(unsigned seed)
      : random_{seed},
        limit_{pick(1, 9)},
        may_cancel_{pick(0, 3) == 0},
        first_{{.concurrency = pick(1, 3), .capacity = size_of(1, 20)},
               [](long number) {
                 if (fails_upstream(number)) throw std::runtime_error{std::to_string(number)};
                 return counted{number};
               }},
        stage_{penstock::stage_options{.concurrency = pick(1, 4),
                                       .capacity = static_cast<std::size_t>(limit_ + pick(0, 20)),
                                       .attempts = pick(1, 2),
                                       .backoff = std::chrono::milliseconds{pick(0, 3) / 3},
                                       .batch = static_cast<std::size_t>(limit_),
                                       .batch_wait = pick(0, 2) == 0 ? 1ms : std::chrono::milliseconds{1h}},
               [this](batch<counted> all) { return body(all); }} {}

  void run() {
    std::vector<std::thread> scattering;
    std::atomic<int> left{threads};
    for (int t = 0; t < threads; ++t) {
      scattering.emplace_back([this, &left, t, seed = random_()] {
        scatter(t, seed);
        --left;
      });
    }
    std::thread gathering{[&] {
      while (left > 0) collect();
    }};
    if (may_cancel_) {
      for (int i = 0; i < 3; ++i) {
        std::this_thread::yield();
        stage_.cancel();
      }
    }
    for (auto& each : scattering) each.join();
    gathering.join();
    collect();
    check();
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }
  std::size_t size_of(int low, int high) { return static_cast<std::size_t>(pick(low, high)); }

  std::vector<outcome<long>> body(batch<counted> all) {
    if (all.size() > static_cast<std::size_t>(limit_)) ++too_large_;
    std::vector<outcome<long>> made;
    for (auto& each : all) {
      counted const taken = std::move(each);
      if (taken.number < 0) ++emptied_;
      if (throws(taken.number)) throw std::runtime_error{std::to_string(taken.number)};
      if (fails_by_outcome(taken.number)) {
        made.emplace_back(std::make_exception_ptr(std::runtime_error{std::to_string(taken.number)}));
      } else {
        made.emplace_back(taken.number);
      }
    }
    return made;
  }

  void scatter(int thread, unsigned long seed) {
    std::mt19937_64 random{seed};
    for (long i = 0; i < per_thread;) {
      long const number = thread * per_thread + i;
      try {
        switch (random() % 4) {
          case 0: stage_.scatter(first_.scatter(number)); break;
          case 1:
            if (!stage_.try_scatter(counted{number})) continue;
            break;
          default: stage_.scatter(counted{number});
        }
        ++i;
        ++scattered_;
      } catch (penstock::stage_error const&) {  // cancelled, until the next gather
        std::this_thread::yield();
      }
    }
  }

  void collect() {
    std::map<long, long> last;  // of each thread
    std::size_t index = 0;
    for (auto const& each : stage_.outcomes()) {
      // A scatter that is refused after it has taken a number leaves a gap.
      if (may_cancel_ ? each.index() < index : each.index() != index) ++wrong_;
      index = each.index() + 1;
      // A batch that throws while its stage is cancelled is not run in halves: all have the exception of one.
      if (!each && (each.error().kind() == error_kind::cancelled ||
                    (may_cancel_ && each.error().kind() == error_kind::exception))) {
        ++cancelled_;
        continue;
      }
      long const number = each ? *each : std::stol(each.error().what());
      if (each.has_value() == (throws(number) || fails_by_outcome(number))) {
        // What failed upstream may be any number.
        if (each || each.error().kind() != error_kind::upstream) ++wrong_;
      }
      if (!each && each.error().kind() == error_kind::upstream && !fails_upstream(number)) ++wrong_;
      auto& before = last.try_emplace(number / per_thread, -1).first->second;
      if (std::exchange(before, number) >= number) ++wrong_;
      ++seen_[number];
    }
  }

  void check() {
    EXPECT_EQ(too_large_, 0);
    EXPECT_EQ(emptied_, 0);
    EXPECT_EQ(wrong_, 0);
    long total = cancelled_;
    for (auto const& [number, count] : seen_) {
      EXPECT_EQ(count, 1) << number;
      total += count;
    }
    EXPECT_EQ(total, scattered_);
    EXPECT_TRUE(may_cancel_ || cancelled_ == 0);
    (void)first_.outcomes();
    auto const stats = stage_.stats();
    EXPECT_EQ(stats.queued + stats.running, 0U);
    EXPECT_EQ(stats.done + stats.failed, static_cast<std::uint64_t>(scattered_));
  }

  std::mt19937 random_;
  int limit_;
  bool may_cancel_;
  std::atomic<long> scattered_{0};
  std::atomic<int> too_large_{0};
  std::atomic<int> emptied_{0};
  // Of the gathering thread.
  std::map<long, int> seen_;
  long cancelled_ = 0;
  int wrong_ = 0;
  thread_stage<counted(long)> first_;
  thread_stage<long(counted)> stage_;
};

// Threads that scatter into chains of stages, with batches and without, and wait in every way that there is: whoever waits
// gets what it waits for, although no batch starts because its time has come.
class waits {
 public:
  explicit waits(unsigned seed) : random_{seed}, stages_{make(), make(), make(), make()} {}

  void run() {
    std::vector<std::thread> working;
    for (int t = 0; t < threads; ++t) {
      working.emplace_back([this, seed = random_()] { work(seed); });
    }
    for (auto& each : working) each.join();
    auto rest = stages_[3].stream();
    std::thread closing{[this] {
      for (auto& each : stages_) each.close();
    }};
    if (random_() % 2 == 0) {
      for (auto const& each : stages_[3].outcomes()) count(each);
    }
    for (auto const& each : rest) count(each);
    closing.join();
    EXPECT_EQ(scattered_, seen_);
    EXPECT_EQ(wrong_, 0);
  }

 private:
  // The number of an item, and how many stages have had it.
  struct step {
    long number;
    int depth;
  };
  static bool fails(step const& at) { return at.depth == 1 && at.number % 13 == 7; }

  int pick(int low, int high) { return std::uniform_int_distribution<int>{low, high}(random_); }

  thread_stage<step(step)> make() {
    auto const limit = static_cast<std::size_t>(pick(1, 9));
    penstock::stage_options options{.concurrency = pick(1, 3),
                                    .capacity = limit + static_cast<std::size_t>(pick(0, 12)),
                                    .attempts = pick(1, 2),
                                    .backoff = std::chrono::milliseconds{pick(0, 1)}};
    auto const one = [](step const& at) {
      if (fails(at)) throw std::runtime_error{"no"};
      return step{at.number, at.depth + 1};
    };
    if (pick(0, 3) == 0) return {options, [one](step at) { return one(at); }};
    options.batch = limit;
    options.batch_wait = 1h;
    if (pick(0, 1) == 0) {
      return {options, [one](batch<step const> all) {
                std::vector<step> made;
                for (step const& each : all) made.push_back(one(each));
                return made;
              }};
    }
    return {options, [one](batch<step const> all) {
              std::vector<outcome<step>> made;
              for (step const& each : all) {
                if (fails(each)) made.emplace_back(std::make_exception_ptr(std::runtime_error{"no"}));
                else made.emplace_back(one(each));
              }
              return made;
            }};
  }

  void work(unsigned long seed) {
    std::mt19937_64 random{seed};
    std::deque<penstock::future<step>> kept;
    for (int i = 0; i < 60; ++i) {
      step const first{static_cast<long>(random() % 1000), 0};
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          stages_[3].scatter(stages_[random() % 2 == 0 ? 1 : 2].scatter(stages_[0].scatter(first)));
          ++scattered_;
          break;
        case 3:
          stages_[3].scatter(first);
          ++scattered_;
          break;
        case 4: kept.push_back(stages_[2].scatter(stages_[1].scatter(stages_[0].scatter(first)))); break;
        case 5: {
          std::size_t left = random() % 30;
          for (auto const& each : stages_[random() % 3].stream(std::vector<step>(left, first))) {
            --left;
            if (!each.has_value() || each->depth != 1) ++wrong_;
          }
          if (left != 0) ++wrong_;
          break;
        }
        case 6:
          if (random() % 2 == 0) {
            for (auto const& each : stages_[3].outcomes()) count(each);
          } else if (auto const found = gather_for()) {
            for (auto const& each : *found) count(outcome<step>{each});
          }
          break;
        default: break;
      }
      while (kept.size() > random() % 6) {
        take(std::move(kept.front()), random() % 2 == 0);
        kept.pop_front();
      }
    }
    for (auto& each : kept) take(std::move(each), false);
  }

  std::optional<std::vector<step>> gather_for() {
    try {
      return stages_[3].gather_for(1h);
    } catch (penstock::gather_error<step>& failed) {
      for (auto const& each : failed.take_outcomes()) count(each);
      return std::nullopt;
    }
  }

  void take(penstock::future<step> wanted, bool with_deadline) {
    if (with_deadline && !wanted.wait_for(1h)) ++wrong_;
    auto const end = std::move(wanted).outcome();
    if (end.has_value() ? end->depth != 3 || end->number % 13 == 7 : end.error().kind() == error_kind::cancelled)
      ++wrong_;
  }
  void count(outcome<step> const& each) {
    ++seen_;
    if (each.has_value() && each->depth != 3 && each->depth != 4 && each->depth != 1) ++wrong_;
  }

  std::mt19937 random_;
  std::atomic<long> scattered_{0};
  std::atomic<long> seen_{0};
  std::atomic<int> wrong_{0};
  std::array<thread_stage<step(step)>, 4> stages_;
};

// Calls `run` with one seed after the other.
void for_seeds(auto const& run) {
  auto const before = penstock::on_unobserved_error([](auto const&) {});  // inputs of cancelled items fail, too
  char const* const chosen = std::getenv("PENSTOCK_SEED");
  unsigned const first = chosen != nullptr ? static_cast<unsigned>(std::atol(chosen)) : 1;
  char const* const more = std::getenv("PENSTOCK_SEEDS");
  unsigned const count = more != nullptr ? static_cast<unsigned>(std::atol(more)) : 30;
  for (unsigned seed = first; seed < first + count && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
    run(seed);
  }
  penstock::on_unobserved_error(before);
}

TEST(BatchStress, EveryItemHasItsOutcomeOnce) {
  for_seeds([](unsigned seed) { program{seed}.run(); });
}

TEST(BatchStress, WhoeverWaitsGetsWhatItWaitsFor) {
  for_seeds([](unsigned seed) { waits{seed}.run(); });
}

TEST(BatchStress, StagesMayBeDestroyedAtAnyTime) {
  std::mt19937 random{7};
  for (int round = 0; round < 200; ++round) {
    std::vector<penstock::future<int>> results;
    thread_stage first{2, [](int x) { return x; }};
    {
      thread_stage stage{{.concurrency = 2, .batch = 1 + random() % 8, .batch_wait = 1h},
                         [](batch<int const> all) { return std::vector<int>(all.begin(), all.end()); }};
      int const count = static_cast<int>(random() % 30);
      for (int i = 0; i < count; ++i) {
        if (random() % 2 == 0) results.push_back(stage.scatter(i));
        else results.push_back(stage.scatter(first.scatter(i)));
      }
      if (random() % 3 == 0) stage.close();
    }
    for (auto& each : results) {
      auto const end = std::move(each).outcome();
      EXPECT_TRUE(end || end.error().kind() == error_kind::cancelled);
    }
  }
}

}  // namespace
