// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace {

using penstock::detail::acquire_block;
using penstock::detail::release_block;

TEST(BlockPool, BlocksAreAlignedAndNeverHandedOutTwice) {
  std::vector<std::pair<void*, std::size_t>> held;
  std::mt19937 random{1};
  for (int i = 0; i < 20'000; ++i) {
    std::size_t const size = 1 + random() % 1'000;
    void* const block = acquire_block(size, 64);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
    std::memset(block, static_cast<int>(size % 251), size);
    held.emplace_back(block, size);
    if (random() % 2 == 0) {
      std::swap(held[random() % held.size()], held.back());
      auto const [freed, freed_size] = held.back();
      held.pop_back();
      auto const* const bytes = static_cast<unsigned char const*>(freed);
      for (std::size_t k = 0; k < freed_size; ++k) ASSERT_EQ(bytes[k], freed_size % 251) << "two owners of one block";
      release_block(freed, freed_size, 64);
    }
  }
  for (auto const& [block, size] : held) release_block(block, size, 64);
}

TEST(BlockPool, BlocksTravelBetweenThreadsThatComeAndGo) {
  std::mutex mutex;
  std::vector<void*> passed;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          void* const block = acquire_block(128, 8);
          std::memset(block, 1, 128);
          std::lock_guard const lock{mutex};
          passed.push_back(block);
          if (i % 2 == 1) {
            release_block(passed.front(), 128, 8);
            passed.front() = passed.back();
            passed.pop_back();
          }
        }
      });
    }
  }
  for (void* const block : passed) release_block(block, 128, 8);
}

}  // namespace
