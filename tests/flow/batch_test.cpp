// SPDX-License-Identifier: Apache-2.0
#include <penstock/batch.hpp>

#include "tests/support/batches.hpp"

#include <penstock/pipeline.hpp>
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <iterator>
#include <latch>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using penstock::batch;
using penstock::error_kind;
using penstock::future;
using penstock::outcome;
using penstock::stage_options;
using penstock::thread_stage;
using penstock::test::call_log;
using penstock::test::doubling;
using penstock::test::for_ever;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string error_of(auto const& call) {
  try {
    call();
  } catch (std::invalid_argument const& thrown) {
    return thrown.what();
  }
  return "nothing was thrown";
}

// ---- what a body sees

TEST(Batch, IsARandomAccessRangeOfItemsWithTheirIndices) {
  static_assert(std::random_access_iterator<batch<int>::iterator>);
  static_assert(std::ranges::random_access_range<batch<int const>> && std::ranges::sized_range<batch<int const>>);
  static_assert(std::is_same_v<std::ranges::range_reference_t<batch<std::string>>, std::string&>);
  static_assert(std::is_same_v<std::ranges::range_reference_t<batch<std::string const>>, std::string const&>);
  thread_stage stage{stage_options{.concurrency = 1, .batch = 4, .batch_wait = for_ever}, [](batch<int> items) {
                       EXPECT_EQ(items.end() - items.begin(), static_cast<std::ptrdiff_t>(items.size()));
                       EXPECT_EQ(&items.begin()[1], &items[1]);
                       EXPECT_EQ(&items.back(), &items[items.size() - 1]);
                       std::ranges::reverse(std::views::counted(items.begin(), 2));
                       std::vector<std::string> texts;
                       for (std::size_t i = 0; i < items.size(); ++i) {
                         texts.push_back(std::to_string(items.index(i)) + ":" + std::to_string(items[i]));
                       }
                       return texts;
                     }};
  static_assert(std::is_same_v<decltype(stage), thread_stage<std::string(int)>>);
  for (int i = 0; i < 4; ++i) stage.scatter(10 + i);
  EXPECT_THAT(stage.gather(), ElementsAre("0:11", "1:10", "2:12", "3:13"));
}

TEST(Batch, TheStageIsOneOfSingleItems) {
  auto const of_const = [](batch<std::string const> all) { return std::vector<std::size_t>(all.size()); };
  auto const by_reference = [](std::stop_token const&, batch<int> const& all) {
    return std::vector<outcome<bool>>(all.size());
  };
  auto const of_void = [](std::stop_token, batch<std::unique_ptr<int>>) {};
  static_assert(std::is_same_v<decltype(thread_stage{of_const}), thread_stage<std::size_t(std::string)>>);
  static_assert(std::is_same_v<decltype(thread_stage{by_reference}), thread_stage<bool(int)>>);
  static_assert(std::is_same_v<decltype(thread_stage{of_void}), thread_stage<void(std::unique_ptr<int>)>>);
  // A signature that is spelled out takes both kinds of bodies.
  thread_stage<int(int)> plain{[](auto x) { return x; }};
  thread_stage<int(int)> batched{{.batch = 2},
                                 [](batch<int const> all) { return std::vector<int>(all.begin(), all.end()); }};
  plain.scatter(batched.scatter(5));
  EXPECT_THAT(plain.gather(), ElementsAre(5));
}

TEST(Batch, FullOnesRunWithoutWaitingForTime) {
  call_log calls;
  thread_stage stage{{.concurrency = 3, .batch = 4, .batch_wait = for_ever}, doubling(calls)};
  std::vector<future<int>> all;
  for (int i = 0; i < 12; ++i) all.push_back(stage.scatter(i));
  for (int i = 0; i < 12; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), 2 * i);
  EXPECT_THAT(calls.sizes(), ElementsAre(4, 4, 4));
}

TEST(Batch, SeveralRunAtOnce) {
  std::barrier together{2};
  thread_stage stage{{.concurrency = 2, .batch = 3, .batch_wait = for_ever}, [&](batch<int const> all) {
                       together.arrive_and_wait();
                       return std::vector<int>(all.size(), 1);
                     }};
  for (int i = 0; i < 6; ++i) stage.scatter(i);
  EXPECT_THAT(stage.gather(), SizeIs(6));
}

TEST(Batch, MoveOnlyItemsAndResultsPass) {
  thread_stage stage{{.batch = 8, .batch_wait = for_ever}, [](batch<std::unique_ptr<int>> all) {
                       std::vector<std::unique_ptr<int>> passed;
                       for (auto& each : all) passed.push_back(std::move(each));
                       return passed;
                     }};
  thread_stage read{2, [](std::unique_ptr<int> one) { return *one; }};
  for (int i = 0; i < 5; ++i) read.scatter(stage.scatter(std::make_unique<int>(i)));
  EXPECT_THAT(read.gather(), ElementsAre(0, 1, 2, 3, 4));
}

TEST(Batch, OneThatIsReadRefersToSharedArguments) {
  thread_stage make{1, [](int x) { return std::vector<int>{x}; }};
  std::atomic<int const*> seen{nullptr};
  thread_stage look{{.batch = 2, .batch_wait = for_ever}, [&](batch<std::vector<int> const> all) {
                      seen = all[0].data();
                      return std::vector<int>(all.size());
                    }};
  auto const made = make.scatter(1);
  look.scatter(made);
  look.scatter(made);
  look.gather();
  EXPECT_EQ(seen, made.get().data());
}

TEST(Batch, OneThatIsChangedChangesNobodyElsesArguments) {
  thread_stage make{1, [](int x) { return std::vector<int>{x}; }};
  thread_stage clear{{.batch = 2, .batch_wait = for_ever}, [&](batch<std::vector<int>> all) {
                       for (auto& each : all) each.clear();
                     }};
  auto const made = make.scatter(1);
  clear.scatter(made);
  clear.scatter(made);
  clear.gather();
  EXPECT_THAT(made.get(), ElementsAre(1));
}

TEST(Batch, ItemsMayBeDropped) {
  thread_stage even{{.batch = 4, .batch_wait = for_ever}, [](batch<int const> all) {
                      std::vector<std::optional<int>> kept;
                      for (int const each : all) kept.push_back(each % 2 == 0 ? std::optional{each} : std::nullopt);
                      return kept;
                    }};
  for (int i = 0; i < 6; ++i) even.scatter(i);
  EXPECT_THAT(even.gather(), ElementsAre(0, 2, 4));
  EXPECT_EQ(even.stats().dropped, 3U);
}

TEST(Batch, FuturesOfTuplesFillItsItems) {
  auto const sum = [](batch<std::tuple<int, int> const> all) {
    std::vector<int> sums;
    for (auto const& [a, b] : all) sums.push_back(a + b);
    return sums;
  };
  thread_stage pairs{1, [](int x) { return std::tuple{x, 10 * x}; }};
  thread_stage whole{{.batch = 4, .batch_wait = for_ever}, sum};
  whole.scatter(pairs.scatter(1));
  whole.scatter(std::tuple{2, 3});
  whole.scatter_many(std::vector<std::tuple<int, int>>{{3, 4}, {5, 6}, {7, 8}});
  EXPECT_THAT(whole.gather(), ElementsAre(11, 5, 7, 11, 15));

  thread_stage strict{{.unpack = false, .batch = 4, .batch_wait = for_ever}, sum};
  strict.scatter(pairs.scatter(1));
  EXPECT_THAT(strict.gather(), ElementsAre(11));
}

TEST(Batch, ABodyThatWouldWaitForItselfIsRefused) {
  thread_stage<int(int)>* own = nullptr;
  thread_stage<int(int)> stage{{.batch = 2, .batch_wait = for_ever}, [&](batch<int const> all) {
                                 EXPECT_THROW(own->gather(), penstock::would_deadlock);
                                 return std::vector<int>(all.begin(), all.end());
                               }};
  own = &stage;
  stage.scatter_many(std::views::iota(0, 3));
  EXPECT_THAT(stage.gather(), ElementsAre(0, 1, 2));
}

TEST(Batch, ResultsAreBoundedByBytesWithoutWaitingForTime) {
  call_log calls;
  thread_stage make{{.concurrency = 2, .capacity_bytes = 2500}, [](int) { return std::string(1000, 'x'); }};
  thread_stage stage{{.concurrency = 1, .batch = 8, .batch_wait = for_ever}, [&](batch<std::string const> all) {
                       calls.add(all.size());
                       return std::vector<int>(all.size(), 1);
                     }};
  for (int i = 0; i < 20; ++i) stage.scatter(make.scatter(i));
  EXPECT_THAT(stage.gather(), SizeIs(20));
  EXPECT_LE(std::ranges::max(calls.sizes()), 5U);
}

TEST(Batch, APlainCallIsABatchOfOne) {
  call_log calls;
  thread_stage stage{{.batch = 8}, doubling(calls)};
  EXPECT_EQ(stage(21), 42);
  EXPECT_THAT(calls.sizes(), ElementsAre(1));
  thread_stage failing{{.batch = 8}, [](batch<int const>) {
                         std::vector<outcome<int>> made;
                         made.emplace_back(std::make_exception_ptr(std::out_of_range{"no"}));
                         return made;
                       }};
  EXPECT_THROW(failing(1), std::out_of_range);
  thread_stage forgetful{{.batch = 8}, [](batch<int const>) { return std::vector<int>{}; }};
  EXPECT_THROW(forgetful(1), std::logic_error);
}

TEST(Batch, InlineStagesHaveBatchesOfOne) {
  std::vector<std::size_t> indices;
  thread_stage stage{{.concurrency = 0, .attempts = 2, .backoff = 1ms, .batch = 8, .batch_wait = for_ever},
                     [&, failed = false](batch<int> all) mutable {
                       EXPECT_EQ(all.size(), 1U);
                       indices.push_back(all.index(0));
                       if (all[0] == 1 && !std::exchange(failed, true)) throw std::runtime_error{"once"};
                       return std::vector<int>{all[0]++};
                     }};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(stage.scatter(i).ready());
  EXPECT_THAT(stage.gather(), ElementsAre(0, 1, 2));
  EXPECT_THAT(indices, ElementsAre(0, 1, 1, 2));
  EXPECT_EQ(stage.stats().retried, 1U);
}

TEST(Batch, APipelineRefusesIt) {
  call_log calls;
  thread_stage plain{1, [](int x) { return x; }};
  thread_stage stage{{.name = "infer", .batch = 8}, doubling(calls)};
  EXPECT_THAT(error_of([&] { (void)(plain | stage); }), HasSubstr("stage 'infer' takes batches"));
  EXPECT_THAT(error_of([&] { (void)(stage | plain); }), HasSubstr("one by one"));
}

TEST(Batch, OptionsAreChecked) {
  auto const one = [](int x) { return x; };
  auto const many = [](batch<int> all) { return std::vector<int>(all.size()); };
  EXPECT_THAT(error_of([&] { thread_stage stage{{.batch = 0}, many}; }),
              HasSubstr(".batch is 0; it must be at least 1"));
  EXPECT_THAT(error_of([&] { thread_stage stage{{.batch = 2}, one}; }),
              HasSubstr(".batch is 2; it must be 1 for a body that takes single items"));
  EXPECT_THAT(error_of([&] { thread_stage stage{stage_options{.capacity = 4, .batch = 5}, many}; }),
              HasSubstr(".batch is 5; at most .capacity = 4"));
  EXPECT_THAT(error_of([&] { thread_stage stage{{.batch_wait = -1ms}, many}; }), HasSubstr("must not be negative"));
  EXPECT_THAT(error_of([&] { thread_stage stage{{.batch_wait = 25h}, many}; }), HasSubstr("at most 24 hours"));
  EXPECT_NO_THROW((thread_stage{stage_options{.capacity = 4, .batch = 4, .batch_wait = 24h}, many}));
  EXPECT_NO_THROW(thread_stage{one});
  EXPECT_NO_THROW(thread_stage{many});
}

// ---- errors

TEST(Batch, OnlyTheItemThatIsThrownForFails) {
  std::atomic<int> calls{0};
  thread_stage stage{{.concurrency = 1, .name = "picky", .batch = 8, .batch_wait = for_ever},
                     [&](batch<int const> all) {
                       ++calls;
                       if (std::ranges::find(all, 5) != all.end()) throw std::out_of_range{"no five"};
                       return std::vector<int>(all.begin(), all.end());
                     }};
  for (int i = 0; i < 8; ++i) stage.scatter(i);
  auto const outcomes = stage.outcomes();
  ASSERT_THAT(outcomes, SizeIs(8));
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == 5) continue;
    EXPECT_EQ(*outcomes[i], static_cast<int>(i));
  }
  auto const& error = outcomes[5].error();
  EXPECT_EQ(error.kind(), error_kind::exception);
  EXPECT_EQ(error.stage(), "picky");
  EXPECT_EQ(error.index(), 5U);
  EXPECT_EQ(error.attempts(), 1);
  EXPECT_THROW(std::rethrow_exception(error.cause()), std::out_of_range);
  EXPECT_EQ(calls, 7) << "8, 4, 4, 2, 1, 1, 2";
  EXPECT_EQ(stage.stats().failed, 1U);
  EXPECT_EQ(stage.stats().done, 7U);
}

TEST(Batch, ArgumentsSurviveABodyThatMovedThemAndThrew) {
  thread_stage stage{{.concurrency = 1, .attempts = 3, .batch = 4, .batch_wait = for_ever},
                     [&, failures = 0](batch<std::string> all) mutable {
                       std::vector<std::string> made;
                       for (auto& each : all) made.push_back(std::move(each));
                       if (++failures < 5) throw std::runtime_error{"not yet"};
                       return made;
                     }};
  for (auto const* each : {"a long text that is not kept inside of its string", "b", "c", "d"}) stage.scatter(each);
  EXPECT_THAT(stage.gather(), ElementsAre("a long text that is not kept inside of its string", "b", "c", "d"));
}

TEST(Batch, AttemptsAreForTheOneThatStandsAlone) {
  for (auto const backoff : {0ms, 1ms}) {
    std::atomic<int> alone{0};
    thread_stage stage{{.concurrency = 2, .attempts = 3, .backoff = backoff, .batch = 4, .batch_wait = for_ever},
                       [&](batch<int const> all) {
                         if (std::ranges::find(all, 2) != all.end()) {
                           if (all.size() == 1) ++alone;
                           throw std::runtime_error{"no two"};
                         }
                         return std::vector<int>(all.begin(), all.end());
                       }};
    for (int i = 0; i < 4; ++i) stage.scatter(i);
    auto const outcomes = stage.outcomes();
    EXPECT_EQ(outcomes[2].error().attempts(), 3);
    EXPECT_EQ(*outcomes[0] + *outcomes[1] + *outcomes[3], 4);
    EXPECT_EQ(alone, 3);
    EXPECT_EQ(stage.stats().retried, 2U);
  }
}

TEST(Batch, AnOutcomeFailsItsItemOnly) {
  thread_stage stage{{.name = "judge", .batch = 3, .batch_wait = for_ever}, [](batch<int const> all) {
                       std::vector<outcome<int>> made;
                       for (int const each : all) {
                         if (each == 1) made.emplace_back(std::make_exception_ptr(std::out_of_range{"no one"}));
                         else if (each == 2) made.emplace_back();
                         else made.emplace_back(10 * each);
                       }
                       return made;
                     }};
  for (int i = 0; i < 4; ++i) stage.scatter(i);
  auto const outcomes = stage.outcomes();
  EXPECT_EQ(*outcomes[0], 0);
  EXPECT_EQ(*outcomes[3], 30);
  EXPECT_THROW((void)outcomes[1].value(), std::out_of_range);
  EXPECT_EQ(outcomes[1].error().stage(), "judge");
  EXPECT_EQ(outcomes[1].error().index(), 1U);
  EXPECT_STREQ(outcomes[1].error().what(), "no one");
  EXPECT_STREQ(outcomes[2].error().what(), "an outcome has neither a value nor an error");
}

TEST(Batch, AnOutcomeWithAnErrorIsAnAttempt) {
  call_log calls;
  thread_stage stage{{.attempts = 2, .batch = 4, .batch_wait = for_ever}, [&](batch<int const> all) {
                       calls.add(all.size());
                       std::vector<outcome<void>> made;
                       for (int const each : all) {
                         if (each == 1 && all.size() > 1)
                           made.emplace_back(std::make_exception_ptr(std::out_of_range{"no"}));
                         else made.emplace_back(std::monostate{});
                       }
                       return made;
                     }};
  for (int i = 0; i < 4; ++i) stage.scatter(i);
  EXPECT_NO_THROW(stage.gather());
  EXPECT_THAT(calls.sizes(), ElementsAre(4, 1));
}

TEST(Batch, AWrongNumberOfValuesFailsAllAndNamesBothNumbers) {
  std::atomic<int> calls{0};
  thread_stage stage{{.attempts = 3, .batch = 5, .batch_wait = for_ever}, [&](batch<int const>) {
                       ++calls;
                       return std::vector<int>(3);
                     }};
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  for (auto const& each : stage.outcomes()) {
    EXPECT_THROW((void)each.value(), std::logic_error);
    EXPECT_THAT(each.error().what(), HasSubstr("returned 3 values for a batch of 5"));
  }
  EXPECT_EQ(calls, 1);
}

// ---- the end of a stage

TEST(Batch, ItemsThatWaitForOthersEndAsCancelled) {
  std::atomic<int> calls{0};
  thread_stage stage{{.batch = 8, .batch_wait = for_ever}, [&](batch<int const> all) {
                       ++calls;
                       return std::vector<int>(all.size());
                     }};
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  stage.cancel();
  for (auto const& each : stage.outcomes()) EXPECT_EQ(each.error().kind(), error_kind::cancelled);
  for (int i = 0; i < 3; ++i) stage.scatter(i);
  EXPECT_THAT(stage.gather(), SizeIs(3)) << "it can be used again";
  EXPECT_EQ(calls, 1);
  std::optional<future<int>> waiting;
  {
    thread_stage gone{{.batch = 8, .batch_wait = for_ever}, [&](batch<int const> all) {
                        ++calls;
                        return std::vector<int>(all.size());
                      }};
    waiting = gone.scatter(1);
  }
  EXPECT_EQ(std::move(*waiting).outcome().error().kind(), error_kind::cancelled);
  EXPECT_EQ(calls, 1);
}

TEST(Batch, ACancelledOneIsNotRunInHalves) {
  std::atomic<int> calls{0};
  std::latch entered{1};
  thread_stage stage{{.batch = 4, .batch_wait = for_ever}, [&](std::stop_token const& stop, batch<int const>) {
                       ++calls;
                       entered.count_down();
                       while (!stop.stop_requested()) std::this_thread::yield();
                       throw std::runtime_error{"told to stop"};
                     }};
  for (int i = 0; i < 4; ++i) stage.scatter(i);
  entered.wait();
  stage.cancel();
  for (auto const& each : stage.outcomes()) EXPECT_STREQ(each.error().what(), "told to stop");
  EXPECT_EQ(calls, 1);
}

TEST(Batch, StopsAtMaxErrors) {
  thread_stage stage{{.concurrency = 1, .max_errors = 2, .batch = 4, .batch_wait = for_ever},
                     [](batch<int const>) { throw std::runtime_error{"never"}; }};
  // What is in a batch already ends as it does; the last two wait for more.
  for (int i = 0; i < 4; ++i) stage.scatter(i);
  int refused = 0;
  for (int i = 4; i < 6; ++i) {
    try {
      stage.scatter(i);
    } catch (penstock::stage_error const&) {
      ++refused;
    }
  }
  auto const outcomes = stage.outcomes();
  ASSERT_THAT(outcomes, SizeIs(6 - refused));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    // One that comes before the failures are counted may join, or not.
    EXPECT_EQ(outcomes[i].error().kind(), i < 4 ? error_kind::exception : error_kind::cancelled) << i;
  }
  EXPECT_NO_THROW(stage.scatter(0)) << "it can be used again";
  EXPECT_THAT(stage.outcomes(), SizeIs(1));
}

TEST(Batch, DiscardedResultsLeaveFailuresOnly) {
  std::atomic<int> alive{0};
  thread_stage stage{{.batch = 4, .batch_wait = for_ever, .discard_results = true}, [&](batch<int const> all) {
                       std::vector<outcome<std::shared_ptr<int>>> made;
                       for (int const each : all) {
                         if (each == 5) {
                           made.emplace_back(std::make_exception_ptr(std::runtime_error{"no"}));
                         } else {
                           ++alive;
                           made.emplace_back(std::shared_ptr<int>{new int{each}, [&](int const* gone) {
                                                                    --alive;
                                                                    delete gone;
                                                                  }});
                         }
                       }
                       return made;
                     }};
  stage.scatter_many(std::views::iota(0, 10));
  auto const outcomes = stage.outcomes();
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_EQ(outcomes[0].index(), 5U);
  EXPECT_EQ(alive, 0);
}

TEST(Batch, WhatWaitsForAnotherAttemptEndsWithItsStage) {
  auto const make = [](std::latch& tried) {
    return thread_stage{
        stage_options{.concurrency = 1, .attempts = 2, .backoff = for_ever, .batch = 4, .batch_wait = 0ms},
        [&tried](batch<int const>) {
          tried.count_down();
          throw std::runtime_error{"tried once"};
        }};
  };
  std::optional<future<void>> waiting;
  {
    std::latch tried{1};
    auto stage = make(tried);
    stage.scatter(1);
    tried.wait();
    stage.cancel();
    EXPECT_STREQ(stage.outcomes()[0].error().what(), "tried once");
  }
  {
    std::latch tried{1};
    auto stage = make(tried);
    waiting = stage.scatter(1);
    tried.wait();
  }
  EXPECT_STREQ(std::move(*waiting).outcome().error().what(), "tried once");
}

TEST(Batch, ACancelledStageEndsItsStream) {
  thread_stage stage{{.batch = 8, .batch_wait = for_ever},
                     [](batch<int const> all) { return std::vector<int>(all.size()); }};
  auto results = stage.stream();
  for (int i = 0; i < 3; ++i) stage.scatter(i);
  stage.cancel();
  int read = 0;
  for (auto const& each : results) {
    EXPECT_EQ(each.error().kind(), error_kind::cancelled);
    ++read;
  }
  EXPECT_EQ(read, 3);
}

TEST(Batch, FiguresCountItems) {
  std::latch entered{1};
  std::latch go{1};
  thread_stage stage{{.concurrency = 1, .batch = 4, .batch_wait = for_ever}, [&](batch<int const> all) {
                       if (all[0] == 0) {
                         entered.count_down();
                         go.wait();
                       }
                     }};
  for (int i = 0; i < 7; ++i) stage.scatter(i);
  entered.wait();
  EXPECT_EQ(stage.stats().running, 4U);
  EXPECT_EQ(stage.stats().queued, 3U);
  go.count_down();
  stage.gather();
  EXPECT_EQ(stage.stats().running, 0U);
  EXPECT_EQ(stage.stats().queued, 0U);
  EXPECT_EQ(stage.stats().done, 7U);
}

TEST(Batch, IsTimedAsOneBody) {
  thread_stage stage{{.concurrency = 1, .batch = 4, .batch_wait = for_ever}, [&](batch<int const>) {
                       std::this_thread::sleep_for(1ms);  // of short bodies, not all are measured
                     }};
  stage.scatter_many(std::views::iota(0, 8));
  stage.gather();
  auto const stats = stage.stats();
  EXPECT_EQ(stats.busy.count, 2U);
  EXPECT_EQ(stats.done, 8U);
}

}  // namespace
