// SPDX-License-Identifier: Apache-2.0
// What stages of every kind promise of futures is in tests/support/battery/futures.hpp.
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

using penstock::future;
using penstock::thread_stage;
using testing::ElementsAre;

static_assert(std::is_copy_constructible_v<future<int>>);
static_assert(std::is_copy_constructible_v<future<void>>);
static_assert(!std::is_copy_constructible_v<future<std::unique_ptr<int>>>);
static_assert(!std::is_copy_constructible_v<future<std::vector<std::unique_ptr<int>>>>, "not fooled by std::vector");
static_assert(std::is_nothrow_move_constructible_v<future<std::unique_ptr<int>>>);

TEST(Future, WithoutUnpackingAParameterIsMadeOfTheTuple) {
  struct any_tuple {
    any_tuple(std::tuple<int> t)
        : text{"tuple of " + std::to_string(std::get<0>(t))} {}  // NOLINT(google-explicit-constructor)
    any_tuple(int x) : text{"int " + std::to_string(x)} {}       // NOLINT(google-explicit-constructor)
    std::string text;
  };
  thread_stage load{2, [](int x) { return std::tuple{x}; }};
  thread_stage on{2, [](any_tuple const& a) { return a.text; }};
  thread_stage off{{.concurrency = 2, .unpack = false}, [](any_tuple const& a) { return a.text; }};
  on.scatter(load.scatter(1));
  off.scatter(load.scatter(1));
  EXPECT_THAT(on.gather(), ElementsAre("int 1"));
  EXPECT_THAT(off.gather(), ElementsAre("tuple of 1"));
}

TEST(Future, AWaitInsideABodyGivesItsSlotAway) {
  // With one slot, every level waits for the next one of the same stage: it could never run if waiting kept the slot.
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> depth{{.concurrency = 1, .capacity = 1},
                               [&](int left) { return left == 0 ? 0 : 1 + self.load()->scatter(left - 1).get(); }};
  self = &depth;
  auto whole = depth.scatter(100);
  EXPECT_EQ(whole.get(), 100);
}

TEST(Future, AWaitInsideABodyNeverLetsTooManyRun) {
  std::atomic<int> inside{0};
  std::atomic<bool> too_many{false};
  auto const enter = [&] {
    if (++inside > 2) too_many = true;
    std::this_thread::yield();
    --inside;
  };
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> tree{{.concurrency = 2, .capacity = 100'000}, [&](int depth) {
                                enter();
                                if (depth == 0) return 1;
                                auto left = self.load()->scatter(depth - 1);
                                auto right = self.load()->scatter(depth - 1);
                                int const leaves = std::move(left).get() + std::move(right).get();
                                enter();
                                return leaves;
                              }};
  self = &tree;
  EXPECT_EQ(std::move(tree.scatter(7)).get(), 128);
  EXPECT_FALSE(too_many);
}

}  // namespace
