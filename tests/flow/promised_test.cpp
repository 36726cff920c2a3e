// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/promised.hpp>

#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::future;
using penstock::thread_stage;
using penstock::detail::promised;

TEST(Promised, ItsFutureIsAnArgumentAndSomethingToWaitFor) {
  thread_stage twice{2, [](int x) { return 2 * x; }};
  auto& promise = promised<int>::create();
  future<int> result = promise.get_future();
  auto doubled = twice.scatter(result);
  EXPECT_FALSE(result.ready());
  std::jthread const other{[&] { promise.fulfil(21); }};
  EXPECT_EQ(doubled.get(), 42);
  EXPECT_EQ(std::move(result).get(), 21);
}

TEST(Promised, ManyAreFulfilledByManyThreads) {
  constexpr int many = 3'000;
  thread_stage add{{.concurrency = 2, .capacity = many}, [](int x, int y) { return x + y; }};
  std::vector<promised<int>*> promises;
  for (int i = 0; i < many; ++i) promises.push_back(&promised<int>::create());
  for (auto* each : promises) add.scatter(each->get_future(), 1);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&promises, t] {
        for (int i = t; i < many; i += 4) promises[static_cast<std::size_t>(i)]->fulfil(i);
      });
    }
  }
  auto const sums = add.gather();
  for (int i = 0; i < many; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], i + 1);
}

TEST(Promised, WhoWaitsForItMayEndFirst) {
  auto& promise = promised<int>::create();
  future<int> waiting;
  {
    thread_stage same{1, [](int x) { return x; }};
    waiting = same.scatter(promise.get_future());
  }
  EXPECT_THROW((void)waiting.get(), penstock::stage_error);
  promise.fulfil(1);
}

}  // namespace
