// SPDX-License-Identifier: Apache-2.0
// stream() and as_completed(), with a source and without.
#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::stage_closed;
using penstock::stage_error;
using penstock::thread_stage;
using testing::ElementsAre;

// ---- with a source

TEST(Stream, GivesOutcomesInTheOrderOfTheSource) {
  std::barrier both{2};
  thread_stage pairs{{.concurrency = 2}, [&both](int x) {
                       both.arrive_and_wait();  // an item ends with its neighbour
                       if (x == 5) throw std::domain_error{"five"};
                       return 2 * x;
                     }};
  std::vector<int> const source{0, 1, 2, 3, 4, 5, 6, 7};
  std::size_t next = 0;
  for (auto&& each : pairs.stream(source)) {
    EXPECT_EQ(each.index(), next);
    if (next == 5) EXPECT_STREQ(each.error().what(), "five");
    else EXPECT_EQ(*each, 2 * static_cast<int>(next));
    ++next;
  }
  EXPECT_EQ(next, source.size());
  EXPECT_TRUE(pairs.gather().empty());
}

TEST(Stream, TakesFromAnEndlessSourceWhatThereIsRoomFor) {
  int taken = 0;  // by the one thread that reads
  auto const endless = std::views::iota(0) | std::views::transform([&taken](int x) {
                         ++taken;
                         return x;
                       });
  thread_stage same{{.concurrency = 2, .capacity = 10}, [](int x) { return x; }};
  int read = 0;
  for (auto&& each : same.stream(endless)) {
    ASSERT_EQ(*each, read++);
    ASSERT_LE(taken, read + 10);
    if (read == 5'000) break;
  }
  EXPECT_TRUE(same.gather().empty()) << "what was left behind is nobody's";
  same.scatter(-1);
  EXPECT_THAT(same.gather(), ElementsAre(-1));
}

TEST(Stream, AnEmptySourceGivesNothing) {
  thread_stage same{[](int x) { return x; }};
  for (auto&& each : same.stream(std::vector<int>{})) ADD_FAILURE() << *each;
}

TEST(Stream, MovesTheElementsOfAnRvalue) {
  thread_stage next{2, [](std::unique_ptr<int> x) { return std::make_unique<int>(*x + 1); }};
  std::vector<std::unique_ptr<int>> source;
  for (int i = 0; i < 100; ++i) source.push_back(std::make_unique<int>(i));
  int read = 0;
  for (auto&& each : next.stream(std::move(source))) EXPECT_EQ(*std::move(*each), ++read);
  EXPECT_EQ(read, 100);
}

TEST(Stream, ElementsAreArguments) {
  thread_stage first{2, [](int x) { return std::tuple{x, std::string{"a"}}; }};
  thread_stage join{2, [](int x, std::string const& text) { return text + std::to_string(x); }};
  std::vector<std::string> texts;
  for (auto&& each : join.stream(std::vector{std::tuple{1, "b"}, std::tuple{2, "c"}})) texts.push_back(*each);
  EXPECT_THAT(texts, ElementsAre("b1", "c2"));

  thread_stage one{2, [](int x) { return x + 1; }};
  thread_stage two{2, [](int x) { return 10 * x; }};
  std::vector<int> numbers;
  auto const futures = std::views::iota(0, 3) | std::views::transform([&one](int x) { return one.scatter(x); });
  for (auto&& each : two.stream(futures)) numbers.push_back(*each);
  EXPECT_THAT(numbers, ElementsAre(10, 20, 30));
  EXPECT_TRUE(one.gather().empty());
}

TEST(Stream, ShowsWhatWasDroppedAndWhatReturnsNothing) {
  thread_stage even{2, [](int x) { return x % 2 == 0 ? std::optional{x} : std::nullopt; }};
  std::vector<error_kind> dropped;
  for (auto&& each : even.stream(std::views::iota(0, 5))) {
    if (!each) dropped.push_back(each.error().kind());
  }
  EXPECT_THAT(dropped, ElementsAre(error_kind::dropped, error_kind::dropped));

  std::atomic<int> sum{0};
  thread_stage add{2, [&sum](int x) { sum += x; }};
  for (auto&& each : add.as_completed(std::views::iota(0, 5))) EXPECT_TRUE(each.has_value());
  EXPECT_EQ(sum, 10);
}

TEST(Stream, WhatTheSourceThrowsComesAfterTheItemsBefore) {
  thread_stage same{2, [](int x) { return x; }};
  auto const failing = std::views::iota(0, 10) |
                       std::views::transform([](int x) { return x < 3 ? x : throw std::domain_error{"no more"}; });
  std::vector<int> read;
  EXPECT_THROW(
      {
        for (auto&& each : same.stream(failing)) read.push_back(*each);
      },
      std::domain_error);
  EXPECT_THAT(read, ElementsAre(0, 1, 2));
}

TEST(Stream, AClosedStageGivesWhatItHasAccepted) {
  std::optional<thread_stage<int(int)>> same;
  same.emplace(penstock::stage_options{.concurrency = 1, .capacity = 4}, [](int x) { return x; });
  std::vector<int> read;
  EXPECT_THROW(
      {
        for (auto&& each : same->stream(std::views::iota(0))) {
          read.push_back(*each);
          if (read.size() == 3) same->close();
        }
      },
      stage_closed);
  ASSERT_GE(read.size(), 3U);
  ASSERT_LE(read.size(), 7U);
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], static_cast<int>(i));
}

TEST(Stream, ACancelledStageEndsItAndIsUsableAgain) {
  thread_stage same{{.concurrency = 1, .capacity = 4}, [](int x) { return x; }};
  std::size_t read = 0;
  EXPECT_THROW(
      {
        for (auto&& each : same.stream(std::views::iota(0))) {
          EXPECT_TRUE(each.has_value() || each.error().kind() == error_kind::cancelled);
          if (++read == 3) same.cancel();
        }
      },
      stage_error);
  EXPECT_GE(read, 3U);
  same.scatter(1);
  EXPECT_THAT(same.gather(), ElementsAre(1));
}

TEST(Stream, WorksInABodyOfAnotherStage) {
  thread_stage same{{.concurrency = 1, .capacity = 3}, [](int x) { return x; }};
  thread_stage sums{{.concurrency = 1}, [&same](int n) {
                      int sum = 0;
                      for (auto&& each : same.stream(std::views::iota(0, n))) sum += *each;
                      for (auto&& each : same.as_completed(std::views::iota(0, n))) sum += *each;
                      return sum;
                    }};
  for (int i = 0; i < 20; ++i) sums.scatter(10);
  for (int const sum : sums.gather()) EXPECT_EQ(sum, 90);
}

TEST(Stream, RunsInlineStages) {
  thread_stage twice{{.concurrency = 0}, [](int x) { return 2 * x; }};
  int sum = 0;
  for (auto&& each : twice.stream(std::views::iota(0, 4))) sum += *each;
  for (auto&& each : twice.as_completed(std::views::iota(0, 4))) sum += *each;
  EXPECT_EQ(sum, 24);
}

TEST(AsCompleted, GivesOutcomesAsTheyFinish) {
  std::latch last{1};
  thread_stage same{{.concurrency = 2}, [&last](int x) {
                      if (x == 0) last.wait();
                      return x;
                    }};
  std::vector<std::size_t> indices;
  for (auto&& each : same.as_completed(std::views::iota(0, 20))) {
    EXPECT_EQ(static_cast<std::size_t>(*each), each.index());
    indices.push_back(each.index());
    if (indices.size() == 19) last.count_down();  // it comes last: there would be a hang if it were waited for
  }
  ASSERT_EQ(indices.size(), 20U);
  EXPECT_EQ(indices.back(), 0U);
  std::ranges::sort(indices);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(indices[i], i);
}

TEST(AsCompleted, WhoeverLeavesDoesNotAskForFailures) {
  std::atomic<int> reported{0};
  auto before = penstock::on_unobserved_error([&reported](penstock::item_error const& /*lost*/) { ++reported; });
  {
    thread_stage fails{{.concurrency = 2, .capacity = 50},
                       [](int x) { return x == 0 ? x : throw std::domain_error{"no"}; }};
    for (int round = 0; round < 50; ++round) {
      for (auto&& each : fails.stream(std::views::iota(0, 40))) {
        if (each) break;
      }
      for (auto&& each : fails.as_completed(std::views::iota(0, 40))) {
        if (each) break;
      }
    }
  }
  EXPECT_EQ(reported, 0);
  (void)penstock::on_unobserved_error(std::move(before));
}

TEST(AsCompleted, MayBeLeftWhileItemsRun) {
  std::latch go{1};
  auto const shared = std::make_shared<int>(1);
  {
    thread_stage same{{.concurrency = 3}, [&go](std::shared_ptr<int> const& x, int i) {
                        if (i > 0) go.wait();
                        return x;
                      }};
    std::vector<std::tuple<std::shared_ptr<int>, int>> source;
    for (int i = 0; i < 10; ++i) source.emplace_back(shared, i);
    for (auto&& each : same.as_completed(std::move(source))) {
      EXPECT_EQ(each.index(), 0U);
      break;
    }
    go.count_down();
  }
  EXPECT_EQ(shared.use_count(), 1) << "results that nobody read are gone";
}

// ---- without

TEST(StageStream, GivesWhatOthersScatterUntilTheStageIsClosed) {
  constexpr int many = 5'000;
  constexpr int capacity = 8;
  std::atomic<int> started{0};
  thread_stage same{{.concurrency = 3, .capacity = capacity}, [&started](int x) {
                      ++started;
                      return x;
                    }};
  auto outcomes = same.stream();
  std::jthread const producer{[&same] {
    for (int i = 0; i < many; ++i) same.scatter(i);
    same.close();
  }};
  int read = 0;
  for (auto&& each : outcomes) {
    ASSERT_EQ(each.index(), static_cast<std::size_t>(read));
    ASSERT_EQ(*each, read++);
    ASSERT_LE(started.load(), read + capacity) << "what is not read counts";
  }
  EXPECT_EQ(read, many);
  EXPECT_TRUE(same.gather().empty());
}

TEST(StageStream, LeavingItReleasesTheProducers) {
  thread_stage same{{.concurrency = 2, .capacity = 4}, [](int x) { return x; }};
  std::vector<int> read;
  {
    std::optional outcomes{same.stream()};
    std::jthread const producer{[&same] {
      for (int i = 0; i < 100; ++i) same.scatter(i);
    }};
    for (auto&& each : *outcomes) {
      read.push_back(*each);
      if (read.size() == 10) break;
    }
    outcomes.reset();
  }
  auto const rest = same.gather();
  read.insert(read.end(), rest.begin(), rest.end());
  EXPECT_TRUE(std::ranges::equal(read, std::views::iota(0, 100)));
}

TEST(StageStream, AsCompletedOvertakesWhatRuns) {
  std::latch go{1};
  thread_stage same{{.concurrency = 2}, [&go](int x) {
                      if (x == 0) go.wait();
                      return x;
                    }};
  for (int i = 0; i < 5; ++i) same.scatter(i);
  same.close();
  std::vector<int> read;
  for (auto&& each : same.as_completed()) {
    EXPECT_EQ(each.index(), static_cast<std::size_t>(*each));
    read.push_back(*each);
    if (read.size() == 4) go.count_down();
  }
  ASSERT_EQ(read.size(), 5U);
  EXPECT_EQ(read.back(), 0);
}

TEST(StageStream, WhatIsTakenElsewhereDoesNotComeAndDoesNotCount) {
  thread_stage same{{.concurrency = 2, .capacity = 2}, [](int x) { return x; }};
  thread_stage next{{.concurrency = 2}, [](int x) { return x + 1; }};
  auto outcomes = same.stream();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(same.scatter(i).get(), i);
  for (int i = 0; i < 50; ++i) next.scatter(same.scatter(i));
  EXPECT_EQ(next.gather().size(), 50U);
  same.scatter(7);
  same.close();
  std::vector<int> read;
  for (auto&& each : outcomes) read.push_back(*each);
  EXPECT_THAT(read, ElementsAre(7));
}

TEST(StageStream, EndsWhenTheStageIsCancelled) {
  std::latch started{1};
  thread_stage same{{.concurrency = 1}, [&started](std::stop_token const& stop, int x) {
                      started.count_down();
                      while (!stop.stop_requested()) std::this_thread::yield();
                      return x;
                    }};
  for (int i = 0; i < 3; ++i) same.scatter(i);
  std::jthread const other{[&] {
    started.wait();
    same.cancel();
  }};
  std::vector<bool> good;
  for (auto&& each : same.stream()) good.push_back(each.has_value());
  EXPECT_THAT(good, ElementsAre(true, false, false));
  thread_stage<int(int)> again{[](int x) { return x; }};
  same.scatter(1);
  same.cancel();
  EXPECT_EQ(same.outcomes().size(), 1U) << "it could be used again";
}

TEST(StageStream, ABodyOfTheStageCannotReadIt) {
  thread_stage<int(int)>* self = nullptr;
  thread_stage<int(int)> own{[&self](int x) {
    for (auto&& each : self->stream()) x += *each;
    return x;
  }};
  self = &own;
  EXPECT_THROW((void)own.scatter(1).get(), penstock::would_deadlock);
}

// Producers, readers, claims, gathers and a close in any order: every item comes out once.
TEST(StageStream, LosesNothingAndGivesNothingTwice) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    constexpr int each_one = 300;
    constexpr int producers = 3;
    std::mt19937 random{seed};
    auto const capacity = static_cast<std::size_t>(1 + random() % 20);
    thread_stage same{{.concurrency = 1 + static_cast<int>(random() % 4), .capacity = capacity}, [](int x) {
                        if (x % 7 == 0) throw std::domain_error{std::to_string(x)};
                        return x;
                      }};
    std::vector<std::atomic<int>> read(producers * each_one);
    std::vector<std::atomic<int>> asked(producers * each_one);  // through their futures
    auto const see = [](std::vector<std::atomic<int>>& by, auto const& outcome) {
      ++by[static_cast<std::size_t>(outcome ? *outcome : std::stoi(outcome.error().what()))];
    };
    bool const in_order = random() % 2 == 0;
    bool const gathers = random() % 2 == 0;
    {
      std::vector<std::jthread> threads;
      std::atomic<int> left{producers};
      for (int p = 0; p < producers; ++p) {
        threads.emplace_back([&, p, claims = random() % 3] {
          std::mt19937 own{seed + static_cast<unsigned>(p)};
          for (int i = 0; i < each_one; ++i) {
            auto item = same.scatter(p * each_one + i);
            if (claims != 0 && own() % 4 == 0) see(asked, std::move(item).outcome());
          }
          if (--left == 0) same.close();
        });
      }
      for (int r = 0; r < 2; ++r) {
        threads.emplace_back([&] {
          if (in_order) {
            for (auto&& each : same.stream()) see(read, each);
          } else {
            for (auto&& each : same.as_completed()) see(read, each);
          }
        });
      }
      if (gathers) {
        for (int i = 0; i < 20; ++i) {
          for (auto const& each : same.outcomes()) see(read, each);
        }
      }
    }
    for (auto const& each : same.outcomes()) see(read, each);
    for (std::size_t i = 0; i < read.size(); ++i) {
      ASSERT_LE(read[i].load(), 1) << "item " << i << ", seed " << seed;
      ASSERT_GE(read[i].load() + asked[i].load(), 1) << "item " << i << ", seed " << seed;
    }
    auto const stats = same.stats();
    EXPECT_EQ(stats.done + stats.failed, read.size());
    EXPECT_EQ(stats.queued, 0U);
  }
}

// ---- of a pipeline

TEST(PipelineStream, TakesFromAnEndlessSourceWhatItsStagesHaveRoomFor) {
  int taken = 0;  // by the one thread that reads
  auto const endless = std::views::iota(0) | std::views::transform([&taken](int x) {
                         ++taken;
                         return x;
                       });
  thread_stage a{{.concurrency = 2, .capacity = 3}, [](int x) { return x + 1; }};
  thread_stage b{{.concurrency = 2, .capacity = 4}, [](int x) {
                   if (x == 100) throw std::domain_error{"a hundred"};
                   return 10 * x;
                 }};
  auto chain = a | b;
  int read = 0;
  for (auto&& each : chain.stream(endless)) {
    ASSERT_EQ(each.index(), static_cast<std::size_t>(read));
    ASSERT_LE(taken, read + 3 + 4);
    if (read == 99) EXPECT_STREQ(each.error().what(), "a hundred");
    else EXPECT_EQ(*each, 10 * (read + 1));
    if (++read == 1'000) break;
  }
  EXPECT_TRUE(chain.gather().empty());
}

TEST(PipelineStream, AsCompletedOvertakesWhatRuns) {
  std::latch go{1};
  thread_stage a{{.concurrency = 2}, [](int x) { return x; }};
  thread_stage b{{.concurrency = 2}, [&go](int x) {
                   if (x == 0) go.wait();
                   return x;
                 }};
  auto chain = a | b;
  std::vector<int> read;
  for (auto&& each : chain.as_completed(std::views::iota(0, 5))) {
    EXPECT_EQ(each.index(), static_cast<std::size_t>(*each));
    read.push_back(*each);
    if (read.size() == 4) go.count_down();
  }
  ASSERT_EQ(read.size(), 5U);
  EXPECT_EQ(read.back(), 0);
}

TEST(PipelineStream, GivesWhatOthersScatterAndHoldsThemUp) {
  constexpr int many = 5'000;
  constexpr int capacity = 8;
  std::atomic<int> started{0};
  thread_stage a{{.concurrency = 2, .capacity = capacity}, [&started](int x) {
                   ++started;
                   return x;
                 }};
  thread_stage b{{.concurrency = 2, .capacity = capacity}, [](int x) { return x; }};
  auto chain = a | b;
  auto outcomes = chain.stream();
  std::jthread const producer{[&chain] {
    for (int i = 0; i < many; ++i) chain.scatter(i);
    chain.close();
  }};
  int read = 0;
  for (auto&& each : outcomes) {
    ASSERT_EQ(each.index(), static_cast<std::size_t>(read));
    ASSERT_EQ(*each, read++);
    ASSERT_LE(started.load(), read + 2 * capacity) << "what is not read counts";
  }
  EXPECT_EQ(read, many);
  EXPECT_TRUE(chain.gather().empty());
}

TEST(PipelineStream, EndsWhenItIsCancelledAndIsUsableAgain) {
  thread_stage a{{.concurrency = 1}, [](int x) { return x; }};
  thread_stage b{{.concurrency = 1}, [](int x) { return x; }};
  auto chain = a | b;
  std::size_t seen = 0;
  EXPECT_THROW(
      for (auto&& each : chain.stream(std::views::iota(0))) {
        if (each.index() == 10) chain.cancel();
        ++seen;
      },
      stage_error);
  EXPECT_GT(seen, 10U);
  auto const again = chain.scatter(7);
  EXPECT_EQ(again.get(), 7);
}

// ---- its stage must outlive it

std::unique_ptr<thread_stage<int(int)>> first_stage() {
  return std::make_unique<thread_stage<int(int)>>(penstock::stage_options{.name = "first"}, [](int x) { return x; });
}
constexpr char const* stage_message = "stage 'first' is destroyed before a stream of its results";

TEST(StreamDeathTest, AStageMustOutliveTheStreamOfASource) {
  EXPECT_DEATH(
      {
        auto stage = first_stage();
        auto const outcomes = stage->stream(std::views::iota(0));
        stage.reset();
      },
      stage_message);
}

TEST(StreamDeathTest, AStageMustOutliveTheStreamOfWhatOthersScatter) {
  EXPECT_DEATH(
      {
        auto stage = first_stage();
        auto const outcomes = stage->as_completed();
        stage.reset();
      },
      stage_message);
}

TEST(StreamDeathTest, APipelineMustOutliveItsStream) {
  EXPECT_DEATH(
      {
        thread_stage a{[](int x) { return x; }};
        thread_stage b{[](int x) { return x; }};
        std::optional chain{a | b};
        auto const outcomes = chain->stream();
        chain.reset();
      },
      "pipeline '.*' is destroyed before a stream of its results");
}

}  // namespace
