// SPDX-License-Identifier: Apache-2.0
#include "imaging/exif.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

namespace penstock::imaging {

namespace {

using namespace std::string_view_literals;

int orientation(std::string_view exif) { return exif_orientation(std::as_bytes(std::span{exif})); }

// A directory at byte 8 with one entry: tag, type, count 1, value.
constexpr auto big_endian = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"sv;
constexpr auto little_endian = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0"sv;
constexpr auto long_value = "II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x03\0\0\0\0\0\0\0"sv;

}  // namespace

TEST(Exif, ReadsBothByteOrders) {
  EXPECT_EQ(orientation(big_endian), 6);
  EXPECT_EQ(orientation(little_endian), 8);
  EXPECT_EQ(orientation(long_value), 3);
}

TEST(Exif, AcceptsTheMarkerOfJpegFiles) {
  EXPECT_EQ(orientation(std::string{"Exif\0\0"sv} + std::string{big_endian}), 6);
}

TEST(Exif, WhatCannotBeReadMeansAsStored) {
  EXPECT_EQ(orientation(""), 1);
  EXPECT_EQ(orientation("http://ns.adobe.com/xap/1.0/"), 1);
  EXPECT_EQ(orientation(big_endian.substr(0, 12)), 1);
  for (char const value : {'\0', '\x09', '\xff'}) {
    std::string exif{big_endian};
    exif[19] = value;
    EXPECT_EQ(orientation(exif), 1);
  }
}

TEST(Exif, AnyBytesAreSafe) {
  std::mt19937 random{3};
  for (int round = 0; round != 20000; ++round) {
    std::string exif{round % 2 == 0 ? big_endian : little_endian};
    for (int change = 0; change != 4; ++change) exif[random() % exif.size()] = static_cast<char>(random());
    exif.resize(random() % (exif.size() + 1));
    int const found = orientation(exif);
    ASSERT_GE(found, 1);
    ASSERT_LE(found, 8);
  }
}

}  // namespace penstock::imaging
