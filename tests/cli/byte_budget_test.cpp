// SPDX-License-Identifier: Apache-2.0
#include "cli/byte_budget.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::cli {
namespace {

TEST(ByteBudget, NeverGivesOutMoreThanItHas) {
  byte_budget budget{100};
  std::atomic<int> used{0};
  std::atomic<int> highest{0};
  std::vector<std::jthread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      for (int round = 0; round != 2000; ++round) {
        int const size = (id * 17 + round * 13) % 60;
        auto const lease = budget.acquire(static_cast<std::size_t>(size));
        int const now = used += size;
        for (int seen = highest; seen < now && !highest.compare_exchange_weak(seen, now);) continue;
        used -= size;
      }
    });
  }
  threads.clear();
  EXPECT_LE(highest.load(), 100);
}

TEST(ByteBudget, AMovedLeaseIsGivenBackOnce) {
  byte_budget budget{10};
  {
    auto first = budget.acquire(10);
    auto const second = std::move(first);
  }
  auto whole = budget.acquire(10);
  whole = byte_budget::lease{};
  auto const again = budget.acquire(10);
}

TEST(ByteBudget, ALargerRequestIsServedAlone) {
  byte_budget budget{10};
  auto small = budget.acquire(1);
  std::atomic<bool> served{false};
  std::jthread large{[&] {
    auto const lease = budget.acquire(1000);
    served = true;
  }};
  EXPECT_FALSE(served);
  small = {};
  large.join();
  EXPECT_TRUE(served);
}

}  // namespace
}  // namespace penstock::cli
