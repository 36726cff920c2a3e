// SPDX-License-Identifier: Apache-2.0
#include "imaging/contact_sheet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace penstock::imaging {
namespace {

using colour = std::array<std::uint8_t, 3>;

image plain(int width, int height, colour value) {
  image result{width, height, {}};
  for (int i = 0; i != width * height; ++i) result.pixels.insert(result.pixels.end(), value.begin(), value.end());
  return result;
}

std::ptrdiff_t count(image const& picture, colour value) {
  std::ptrdiff_t found = 0;
  for (std::size_t i = 0; i != picture.pixels.size(); i += 3) {
    if (std::equal(value.begin(), value.end(), picture.pixels.begin() + static_cast<std::ptrdiff_t>(i))) ++found;
  }
  return found;
}

TEST(Thumbnail, AveragesWhatAPixelCovers) {
  image const checks{2, 2, {0, 0, 0, 200, 200, 200, 200, 200, 200, 0, 0, 0}};
  EXPECT_THAT(thumbnail(checks, 1).pixels, testing::ElementsAre(100, 100, 100));
}

TEST(Thumbnail, HasTheAskedSizeForAnySource) {
  for (int const side : {1, 31, 112, 224, 333}) {
    auto const tile = thumbnail(plain(side, side, {9, 8, 7}), 112);
    EXPECT_EQ(tile.width, 112);
    EXPECT_EQ(count(tile, {9, 8, 7}), 112 * 112) << side;
  }
}

TEST(ContactSheet, HasATileForEachItem) {
  constexpr std::ptrdiff_t area = contact_sheet::tile_side * contact_sheet::tile_side;
  contact_sheet sheet;
  for (std::size_t i = 0; i != 5; ++i)
    sheet.add(i, plain(contact_sheet::tile_side, contact_sheet::tile_side, {1, 2, 3}));
  sheet.add_failed(5);
  auto const picture = sheet.draw();
  EXPECT_EQ(picture.pixels.size(), static_cast<std::size_t>(picture.width * picture.height * 3));
  EXPECT_EQ(count(picture, {1, 2, 3}), 5 * area);
}

TEST(ContactSheet, MarksFailedItems) {
  contact_sheet good;
  contact_sheet bad;
  good.add(0, plain(contact_sheet::tile_side, contact_sheet::tile_side, {1, 2, 3}));
  bad.add_failed(0);
  constexpr colour red{214, 40, 40};
  EXPECT_EQ(count(good.draw(), red), 0);
  EXPECT_GT(count(bad.draw(), red), 500);
}

TEST(ContactSheet, WritesTheIndexBelowTheTile) {
  contact_sheet one;
  contact_sheet two;
  one.add_failed(1);
  two.add_failed(208);
  EXPECT_NE(one.draw().pixels, two.draw().pixels);
  EXPECT_EQ(one.draw().pixels.size(), two.draw().pixels.size());
}

TEST(ContactSheet, IsBounded) {
  contact_sheet sheet;
  for (std::size_t i = 0; i != 1000; ++i) sheet.add_failed(i);
  EXPECT_EQ(sheet.size(), contact_sheet::max_items);
  auto const picture = sheet.draw();
  EXPECT_LE(picture.width, 3000);
  EXPECT_LE(picture.height, 3000);
}

TEST(ContactSheet, CanBeEmpty) { EXPECT_GT(contact_sheet{}.draw().width, 0); }

}  // namespace
}  // namespace penstock::imaging
