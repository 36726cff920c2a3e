// SPDX-License-Identifier: Apache-2.0
// What stages of every kind promise of failures is in tests/support/battery/errors.hpp.
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::thread_stage;
using testing::IsEmpty;

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

// Throws while it is copied, when it is told to.
struct slow_to_refuse {
  std::latch* copying;
  std::latch* may_throw;
  slow_to_refuse(std::latch& announce, std::latch& wait) : copying{&announce}, may_throw{&wait} {}
  slow_to_refuse(slow_to_refuse const& other) : copying{other.copying}, may_throw{other.may_throw} {
    copying->count_down();
    may_throw->wait();
    throw std::runtime_error{"copy refused"};
  }
};

TEST(Errors, AScatterThatIsRefusedInTheEndHoldsUpNoGatherFor) {
  thread_stage use{2, [](slow_to_refuse const&) { return 1; }};
  for (int round = 0; round < 50; ++round) {
    std::latch copying{1};
    std::latch may_throw{1};
    slow_to_refuse const bad{copying, may_throw};
    std::jthread const scatters{[&] { EXPECT_THROW(use.scatter(bad), std::runtime_error); }};
    copying.wait();
    std::jthread const gathers{[&] { EXPECT_TRUE(use.gather_for(std::chrono::hours{1})->empty()); }};
    for (int looks = 0; looks < 20 * (round % 5); ++looks) std::this_thread::yield();  // it waits by now, most often
    may_throw.count_down();
  }
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
