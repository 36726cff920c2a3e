// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.hpp"

#include <gtest/gtest.h>

namespace penstock::cli {
namespace {

using namespace std::chrono_literals;

TEST(ProgressLine, TellsCountsRateFailuresAndTimeLeft) {
  EXPECT_EQ(progress_line(0, 100, 0, 0s, 80), "0/100  0 %");
  EXPECT_EQ(progress_line(50, 100, 0, 5s, 80), "50/100  50 %  10.0 images/s  0:05 left");
  EXPECT_EQ(progress_line(50, 100, 3, 5s, 80), "50/100  50 %  10.0 images/s  3 failed  0:05 left");
  EXPECT_EQ(progress_line(1, 7201, 0, 1s, 80), "1/7201  0 %  1.0 images/s  2:00:00 left");
}

TEST(ProgressLine, IsCutToTheWidth) { EXPECT_EQ(progress_line(50, 100, 0, 5s, 10), "50/100  50"); }

}  // namespace
}  // namespace penstock::cli
