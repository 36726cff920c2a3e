// SPDX-License-Identifier: Apache-2.0
// What a stage promises when it is used for long, or when something comes at a bad moment.
#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <stdexcept>
#include <utility>

namespace {

using penstock::thread_stage;
using testing::ElementsAre;

struct fails_to_copy {
  fails_to_copy() = default;
  fails_to_copy(fails_to_copy const&) { throw std::runtime_error{"copy refused"}; }
  fails_to_copy(fails_to_copy&&) = default;
};

TEST(Endurance, ARefusedItemLeavesNothingForLaterGathers) {
  fails_to_copy const refused;
  for (int items = 0; items < 200; ++items) {
    thread_stage stage{1, [](int x, fails_to_copy const&) { return x; }};
    for (int i = 0; i < items; ++i) stage.scatter(i, fails_to_copy{});
    EXPECT_THROW(stage.scatter(items, refused), std::runtime_error);
    EXPECT_EQ(stage.gather().size(), static_cast<std::size_t>(items));
    stage.scatter(7, fails_to_copy{});
    EXPECT_THAT(stage.gather(), ElementsAre(7));
  }
}

}  // namespace
