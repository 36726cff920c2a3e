// SPDX-License-Identifier: Apache-2.0
// What thread stages promise beyond what tests/support/stage_battery.hpp asks of every kind.
#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

namespace {

using penstock::thread_stage;
using testing::ElementsAre;

int twice(int x) { return 2 * x; }

TEST(Attempts, RefuseWhatCannotBeCopiedByValue) {
  auto const take = [](std::unique_ptr<int> x) { return *x; };
  EXPECT_THROW((thread_stage{{.attempts = 2}, take}), std::invalid_argument);
  thread_stage refer{{.attempts = 2}, [tried = 0](std::unique_ptr<int>& x) mutable {
                       if (tried++ == 0) throw std::runtime_error{"first"};
                       return *x;
                     }};
  refer.scatter(std::make_unique<int>(5));
  EXPECT_THAT(refer.gather(), ElementsAre(5));
}

TEST(WouldDeadlock, IsThrownForAStageFurtherDown) {
  thread_stage<int(int)>* last = nullptr;
  thread_stage first{[&](int x) {
    if (x == 1) (void)last->gather();
    return x;
  }};
  thread_stage middle{twice};
  thread_stage end{twice};
  last = &end;
  end.scatter(middle.scatter(first.scatter(0)));
  EXPECT_THAT(end.gather(), ElementsAre(0));
  EXPECT_THROW((void)first.scatter(1).get(), penstock::would_deadlock);
}

}  // namespace
