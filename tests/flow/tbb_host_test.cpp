// SPDX-License-Identifier: Apache-2.0
// Stages in a program that uses TBB itself.
#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <mutex>
#include <thread>

namespace {

using penstock::thread_stage;

class TbbHost : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer cannot see the hand-overs inside TBB's own loops: libtbb is not instrumented";
#endif
  }
};

TEST_F(TbbHost, NoBodyStartsOnTopOfAnother) {
  // Bodies wait inside TBB while they hold a mutex; a second one on the same thread would lock it again.
  thread_local int depth = 0;
  std::atomic<int> nested{0};
  std::mutex held;
  thread_stage leaf{3, [&](int x) {
                      if (depth++ > 0) ++nested;
                      --depth;
                      return x;
                    }};
  thread_stage loop{4, [&](int x) {
                      if (depth++ > 0) ++nested;
                      auto below = leaf.scatter(x);
                      {
                        std::lock_guard const lock{held};
                        tbb::parallel_for(0, 64, [](int) { std::this_thread::yield(); });
                      }
                      --depth;
                      return std::move(below).get();
                    }};
  for (int i = 0; i < 500; ++i) loop.scatter(i);
  EXPECT_EQ(loop.gather().size(), 500U);
  EXPECT_EQ(nested, 0);
}

TEST_F(TbbHost, AStageWorksFromSeveralArenasOfItsHost) {
  thread_stage same{4, [](int x) { return x; }};
  tbb::task_arena mine{2};
  std::atomic<long> sum{0};
  mine.execute([&] { tbb::parallel_for(0, 200, [&](int i) { sum += same.scatter(i).get(); }); });
  EXPECT_EQ(sum, 199 * 100);
}

}  // namespace
