// SPDX-License-Identifier: Apache-2.0
// Batches under load: random sizes, throws, errors in outcomes, cancellations, gathers while others scatter, futures as
// inputs, tiny capacities. What must hold whatever the seed: nothing hangs, no batch is larger than allowed, every item has
// one outcome, the right one, and those of one scattering thread come in its order.
#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
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

TEST(BatchStress, EveryItemHasItsOutcomeOnce) {
  auto const before = penstock::on_unobserved_error([](auto const&) {});  // inputs of cancelled items fail, too
  char const* const chosen = std::getenv("PENSTOCK_SEED");
  unsigned const first = chosen != nullptr ? static_cast<unsigned>(std::atol(chosen)) : 1;
  char const* const more = std::getenv("PENSTOCK_SEEDS");
  unsigned const count = more != nullptr ? static_cast<unsigned>(std::atol(more)) : 30;
  for (unsigned seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
    program{seed}.run();
    if (HasFailure()) break;
  }
  penstock::on_unobserved_error(before);
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
