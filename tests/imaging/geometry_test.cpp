// SPDX-License-Identifier: Apache-2.0
#include "imaging/geometry.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace penstock::imaging {

namespace {

// 2 x 3 pixels, their reds 1..6 in reading order.
image numbered() {
  image picture = blank_image(2, 3);
  for (std::size_t i = 0; i != 6; ++i) picture.pixels[3 * i] = static_cast<std::uint8_t>(i + 1);
  return picture;
}

std::vector<int> reds(image const& picture) {
  std::vector<int> result;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) result.push_back(picture.pixels[i]);
  return result;
}

}  // namespace

TEST(Geometry, LongSideIsCutToAWholeNumber) {
  crop_plan const plan = plan_crop(640, 427, 256, 224, 1);
  EXPECT_EQ(plan.rows.resized, 256);
  EXPECT_EQ(plan.columns.resized, 383);  // 383.7
}

TEST(Geometry, OffsetsAreHalvesRoundedToEven) {
  EXPECT_EQ(plan_crop(256, 256, 256, 224, 1).columns.first, 16);
  EXPECT_EQ(plan_crop(256, 256, 256, 223, 1).columns.first, 16);  // 16.5
  EXPECT_EQ(plan_crop(256, 256, 256, 225, 1).columns.first, 16);  // 15.5
  EXPECT_EQ(plan_crop(256, 256, 256, 221, 1).columns.first, 18);  // 17.5
  EXPECT_EQ(plan_crop(256, 256, 256, 255, 1).columns.first, 0);   // 0.5
  EXPECT_EQ(plan_crop(256, 256, 256, 253, 1).columns.first, 2);   // 1.5
}

TEST(Geometry, AMirroredAxisCountsTheOffsetFromItsFarEnd) {
  EXPECT_EQ(plan_crop(256, 256, 256, 223, 2).columns.first, 256 - 223 - 16);
  EXPECT_EQ(plan_crop(256, 256, 256, 223, 2).rows.first, 16);
  EXPECT_EQ(plan_crop(256, 256, 256, 223, 6).columns.first, 16);
  EXPECT_EQ(plan_crop(256, 256, 256, 223, 6).rows.first, 256 - 223 - 16);
}

TEST(Geometry, ExtremeShapesDoNotOverflow) {
  crop_plan const plan = plan_crop(1, 2'000'000'000, 256, 224, 1);
  EXPECT_EQ(plan.rows.resized, 512'000'000'000);
  EXPECT_EQ(plan.rows.first, 255'999'999'888);
}

TEST(Geometry, OrientsAsExifDefines) {
  std::vector<std::vector<int>> const expected{{1, 2, 3, 4, 5, 6}, {2, 1, 4, 3, 6, 5}, {6, 5, 4, 3, 2, 1},
                                               {5, 6, 3, 4, 1, 2}, {1, 3, 5, 2, 4, 6}, {5, 3, 1, 6, 4, 2},
                                               {6, 4, 2, 5, 3, 1}, {2, 4, 6, 1, 3, 5}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    image const turned = oriented(numbered(), orientation);
    EXPECT_EQ(turned.width, orientation < 5 ? 2 : 3);
    EXPECT_EQ(turned.height, orientation < 5 ? 3 : 2);
    EXPECT_EQ(reds(turned), expected[static_cast<std::size_t>(orientation) - 1]) << orientation;
  }
}

}  // namespace penstock::imaging
