// SPDX-License-Identifier: Apache-2.0
// A runner that goes on into a later stage, whose bodies have been short, is not missed where it comes from.
#include <penstock/thread_stage.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace {

using namespace std::chrono_literals;
using penstock::thread_stage;

// The sleeps let the engine's watch fall asleep and make the bodies of the first stage long.
TEST(DirectRun, ABodyMayWaitForTheStageThatItsRunnerIsMissedIn) {
  thread_stage first{1, [](int x) {
                       if (x >= 0) std::this_thread::sleep_for(x < 64 ? 0ms : 1ms);
                       return x;
                     }};
  thread_stage next{2, [&first](int x) {
                      if (x != 1000) return x;
                      std::this_thread::sleep_for(200ms);
                      return first.scatter(-1).get();
                    }};
  for (int i = 0; i < 200; ++i) next.scatter(first.scatter(i));
  EXPECT_EQ(next.gather().size(), 200U);
  EXPECT_EQ(next.scatter(first.scatter(1000)).get(), -1);
}

}  // namespace
