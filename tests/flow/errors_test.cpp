// SPDX-License-Identifier: Apache-2.0
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::thread_stage;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Errors, EveryTenthThrowsAndTheOthersAreUntouched) {
  thread_stage picky{{.concurrency = 4, .name = "picky"}, [](int x) {
                       if (x % 10 == 0) throw std::invalid_argument{"cannot take " + std::to_string(x)};
                       return x;
                     }};
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1000; ++i) picky.scatter(i);
    auto const outcomes = picky.outcomes();
    ASSERT_EQ(outcomes.size(), 1000U);
    int values = 0;
    int errors = 0;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      EXPECT_EQ(outcomes[i].index(), i);
      if (outcomes[i]) {
        EXPECT_EQ(*outcomes[i], static_cast<int>(i));
        ++values;
        continue;
      }
      ++errors;
      EXPECT_EQ(i % 10, 0U);
      EXPECT_EQ(outcomes[i].error().kind(), error_kind::exception);
      EXPECT_EQ(outcomes[i].error().index(), i);
      EXPECT_EQ(outcomes[i].error().stage(), "picky");
      EXPECT_EQ(outcomes[i].error().what(), "cannot take " + std::to_string(i));
      EXPECT_THROW((void)outcomes[i].value(), std::invalid_argument);
    }
    EXPECT_EQ(values, 900);
    EXPECT_EQ(errors, 100);
  }
  picky.scatter(1);
  EXPECT_EQ(picky.gather(), std::vector<int>{1});
}

TEST(Errors, GatherThrowsTheFirstFailureAndHoldsAllOutcomes) {
  thread_stage picky{{.concurrency = 4, .name = "picky"}, [](int x) {
                       if (x == 3 || x == 5) throw std::out_of_range{"no " + std::to_string(x)};
                       return std::make_unique<int>(x);
                     }};
  for (int i = 0; i < 8; ++i) picky.scatter(i);
  try {
    (void)picky.gather();
    FAIL() << "gather did not throw";
  } catch (penstock::gather_error<std::unique_ptr<int>>& error) {
    EXPECT_STREQ(error.what(), "stage 'picky', item 3: no 3 (and 1 more of 8 items failed)");
    EXPECT_EQ(error.kind(), error_kind::exception);
    EXPECT_EQ(error.stage(), "picky");
    EXPECT_EQ(error.index(), 3U);
    ASSERT_EQ(error.failures().size(), 2U);
    EXPECT_EQ(error.failures()[1].index(), 5U);
    auto outcomes = error.take_outcomes();
    ASSERT_EQ(outcomes.size(), 8U);
    EXPECT_EQ(**outcomes[7], 7);
    EXPECT_FALSE(outcomes[5]);
  }
  EXPECT_THAT(picky.gather(), IsEmpty()) << "a gather that throws empties the stage as well";
}

TEST(Errors, DependantsDoNotRunAndKnowTheOrigin) {
  std::atomic<int> second_runs{0};
  thread_stage first{{.concurrency = 2, .name = "first"}, [](int x) {
                       if (x == 1) throw std::logic_error{"boom"};
                       return x;
                     }};
  thread_stage second{{.concurrency = 2, .name = "second"}, [&](int x) {
                        ++second_runs;
                        return x;
                      }};
  thread_stage third{{.concurrency = 2, .name = "third"}, [](int a, int b) { return a + b; }};
  std::vector<penstock::future<int>> last;
  for (int i = 0; i < 3; ++i) last.push_back(third.scatter(100, second.scatter(first.scatter(i))));
  EXPECT_EQ(last[0].get(), 100);
  EXPECT_THROW((void)last[1].get(), std::logic_error) << "the original exception travels";
  auto const outcomes = third.outcomes();
  ASSERT_FALSE(outcomes[1]);
  auto const& error = outcomes[1].error();
  EXPECT_EQ(outcomes[1].index(), 1U);
  EXPECT_EQ(error.kind(), error_kind::upstream);
  EXPECT_EQ(error.stage(), "first");
  EXPECT_EQ(error.index(), 1U);
  EXPECT_STREQ(error.what(), "boom");
  EXPECT_EQ(second_runs, 2);
}

TEST(Errors, OfSeveralFailedInputsTheFirstArgumentCounts) {
  thread_stage fail{2, [](std::string const& why) -> int { throw std::runtime_error{why}; }};
  thread_stage add{2, [](int a, int b) { return a + b; }};
  auto sum = add.scatter(fail.scatter("left"), fail.scatter("right"));
  EXPECT_STREQ(std::move(sum).outcome().error().what(), "left");
}

TEST(Errors, AnythingMayBeThrown) {
  thread_stage thrower{{.concurrency = 1, .name = "thrower"}, [](int x) -> int {
                         if (x == 0) throw 42;
                         throw std::string{"text"};
                       }};
  thrower.scatter(0);
  thrower.scatter(1);
  auto const outcomes = thrower.outcomes();
  EXPECT_STREQ(outcomes[0].error().what(), "something of type int was thrown");
  EXPECT_THAT(outcomes[1].error().what(), HasSubstr("basic_string"));
  EXPECT_THROW((void)outcomes[0].value(), int);
}

struct fails_to_copy {
  bool armed = false;
  fails_to_copy() = default;
  fails_to_copy(fails_to_copy const& other) : armed{other.armed} {
    if (armed) throw std::runtime_error{"copy refused"};
  }
  fails_to_copy(fails_to_copy&&) = default;
};

TEST(Errors, AnArgumentThatThrowsOnCopyScattersNothing) {
  thread_stage number{2, [](int x) { return x; }};
  thread_stage use{{.concurrency = 2, .capacity = 1}, [](int x, fails_to_copy const&) { return x; }};
  fails_to_copy bad;
  bad.armed = true;
  auto input = number.scatter(1);
  for (int i = 0; i < 3; ++i) EXPECT_THROW(use.scatter(input, bad), std::runtime_error);
  EXPECT_THAT(use.gather(), IsEmpty());
  EXPECT_EQ(number.gather(), std::vector<int>{1});
  use.scatter(number.scatter(2), fails_to_copy{});
  EXPECT_EQ(use.gather(), std::vector<int>{2}) << "the place in the stage was given back";
}

TEST(Errors, AFailureWhileTheInputsAreCopiedIsTheItemsOwn) {
  thread_stage make{{.concurrency = 2, .name = "make"}, [](int) {
                      fails_to_copy made;
                      made.armed = true;
                      return made;
                    }};
  thread_stage use{{.concurrency = 2, .name = "use"}, [](fails_to_copy) { return 1; }};
  auto shared = make.scatter(0);
  auto result = use.scatter(shared).outcome();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().stage(), "use");
  EXPECT_STREQ(result.error().what(), "copy refused");
}

TEST(Errors, EveryKindHasItsOwnName) {
  EXPECT_EQ(to_string(error_kind::exception), "exception");
  EXPECT_EQ(to_string(error_kind::worker_died), "worker_died");
  EXPECT_EQ(to_string(error_kind::stage_closed), "stage_closed");
}

}  // namespace
