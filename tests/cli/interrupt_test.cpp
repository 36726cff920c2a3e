// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.hpp"

#include <gtest/gtest.h>

#include <signal.h>

#include <cstdlib>

namespace penstock::cli {
namespace {

TEST(InterruptGuardDeathTest, TheFirstSignalIsNotedTheSecondKills) {
  EXPECT_EXIT(
      {
        ::signal(SIGINT, SIG_DFL);
        interrupt_guard const guard;
        ::raise(SIGINT);
        if (!interrupt_guard::requested()) std::_Exit(1);
        ::raise(SIGINT);
        std::_Exit(2);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(InterruptGuardDeathTest, ATerminalThatGoesAwayIsNoted) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_DFL);
        interrupt_guard const guard;
        ::raise(SIGHUP);
        std::_Exit(interrupt_guard::requested() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InterruptGuardDeathTest, AnIgnoredSignalStaysIgnored) {
  EXPECT_EXIT(
      {
        ::signal(SIGINT, SIG_IGN);
        interrupt_guard const guard;
        ::raise(SIGINT);
        std::_Exit(interrupt_guard::requested() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InterruptGuard, NothingIsRequestedAtFirst) {
  interrupt_guard const guard;
  EXPECT_FALSE(interrupt_guard::requested());
}

}  // namespace
}  // namespace penstock::cli
