// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

#include "engine/flow/sanitizers.hpp"
#include "tests/support/failing_allocations.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

using penstock::detail::acquire_block;
using penstock::detail::release_block;

// Sanitizers are to see every use after free, so there blocks come from the system, and addresses tell nothing.
constexpr bool pooled = PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER == 0;

TEST(BlockPool, BlocksAreAlignedAndNeverHandedOutTwice) {
  std::vector<std::pair<void*, std::size_t>> held;
  std::mt19937 random{1};
  auto const release_any = [&] {
    std::swap(held[random() % held.size()], held.back());
    auto const [freed, freed_size] = held.back();
    held.pop_back();
    auto const* const bytes = static_cast<unsigned char const*>(freed);
    for (std::size_t k = 0; k < freed_size; ++k) ASSERT_EQ(bytes[k], freed_size % 251) << "two owners of one block";
    release_block(freed, freed_size, 64);
  };
  for (int i = 0; i < 20'000; ++i) {
    std::size_t const size = 1 + random() % 1'000;
    void* const block = acquire_block(size, 64);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
    std::memset(block, static_cast<int>(size % 251), size);
    held.emplace_back(block, size);
    if (random() % 2 == 0) release_any();
  }
  while (!held.empty()) release_any();
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

TEST(BlockPool, BlocksThatOneThreadMakesAndAnotherFreesAreUsedAgain) {
  for (std::size_t const size : {64U, 128U, 192U, 512U}) {
    std::unordered_set<void*> seen;
    std::array<std::atomic<void*>, 100> passed{};
    constexpr int blocks = 50'000;
    std::jthread const frees{[&] {
      for (int i = 0; i < blocks; ++i) {
        auto& place = passed.at(static_cast<std::size_t>(i) % passed.size());
        place.wait(nullptr);
        void* const block = place.exchange(nullptr);
        place.notify_one();
        for (std::size_t k = 0; k < size; ++k) ASSERT_EQ(static_cast<unsigned char*>(block)[k], 0xa5);
        release_block(block, size, 64);
      }
    }};
    for (int i = 0; i < blocks; ++i) {
      auto& place = passed.at(static_cast<std::size_t>(i) % passed.size());
      while (void* const earlier = place.load()) place.wait(earlier);
      void* const block = acquire_block(size, 64);
      seen.insert(block);
      std::memset(block, 0xa5, size);
      place = block;
      place.notify_one();
    }
    EXPECT_TRUE(!pooled || seen.size() < 1'000) << seen.size() << " blocks of size " << size;
  }
}

struct used_block {
  void* address = nullptr;
  bool is_freed = false;
};

// How many different blocks `use` names in one thread after the other. What it does not free is freed afterwards.
template <class Use>
std::size_t blocks_of_many_threads(std::size_t size, Use use) {
  std::unordered_set<void*> seen;
  for (int i = 0; i < 600; ++i) {
    used_block block;
    std::jthread{use, &block}.join();
    seen.insert(block.address);
    if (!block.is_freed) release_block(block.address, size, 64);
  }
  return seen.size();
}

// One made before the thread has blocks is destroyed after it has handed them on.
struct late_action {
  std::function<void()> action;
  ~late_action() { action(); }
};

TEST(BlockPool, AThreadThatEndsKeepsNoBlocks) {
  std::size_t const blocks =
      blocks_of_many_threads(320, [](used_block* block) { block->address = acquire_block(320, 64); });
  EXPECT_TRUE(!pooled || blocks < 300) << blocks << " blocks";
}

TEST(BlockPool, ABlockThatIsAcquiredAtTheVeryEndOfAThreadCostsNoOther) {
  std::size_t const blocks = blocks_of_many_threads(384, [](used_block* block) {
    thread_local late_action late;
    release_block(acquire_block(384, 64), 384, 64);
    late.action = [block] { block->address = acquire_block(384, 64); };
  });
  EXPECT_TRUE(!pooled || blocks < 300) << blocks << " blocks";
}

TEST(BlockPool, ABlockThatIsReleasedAtTheVeryEndOfAThreadIsUsedAgain) {
  std::size_t const blocks = blocks_of_many_threads(448, [](used_block* block) {
    thread_local late_action late;
    *block = {acquire_block(448, 64), true};
    late.action = [freed = block->address] { release_block(freed, 448, 64); };
  });
  EXPECT_TRUE(!pooled || blocks < 300) << blocks << " blocks";
}

TEST(BlockPool, NoBlockIsLostWhenThereIsNoMemoryToKeepThemIn) {
  std::vector<void*> held(5'000);
  for (void*& each : held) each = acquire_block(256, 64);
  std::unordered_set<void*> const before(held.begin(), held.end());
  penstock::test::allocations_to_fail = pooled ? 1'000 : 0;
  for (void* const each : held) release_block(each, 256, 64);
  EXPECT_TRUE(!pooled || penstock::test::allocations_to_fail < 1'000) << "memory was not asked for";
  penstock::test::allocations_to_fail = 0;
  std::size_t used_again = 0;
  for (void*& each : held) {
    each = acquire_block(256, 64);
    used_again += before.count(each);
  }
  constexpr std::size_t others = 64;  // that were free before, at most
  EXPECT_TRUE(!pooled || used_again + others >= held.size()) << used_again << " blocks";
  for (void* const each : held) release_block(each, 256, 64);
}

}  // namespace
