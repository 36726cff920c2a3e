// SPDX-License-Identifier: Apache-2.0
#include "imaging/png_write.hpp"

#include "imaging/decode.hpp"
#include "tests/imaging/libpng_reader.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

namespace penstock::imaging {

namespace {

image noise(int width, int height) {
  std::mt19937 random{static_cast<unsigned>(width * height)};
  image picture = blank_image(width, height);
  for (std::uint8_t& value : picture.pixels) value = static_cast<std::uint8_t>(random());
  return picture;
}

}  // namespace

TEST(PngWrite, LibpngReadsThePictureBack) {
  for (auto const& picture : {noise(1, 1), noise(37, 5), noise(224, 224)}) {
    EXPECT_EQ(read_with_libpng(encode_png(picture)), picture);
  }
}

TEST(PngWrite, OurDecoderReadsThePictureBack) {
  image const picture = noise(61, 40);
  EXPECT_EQ(decode(encode_png(picture), {}), picture);
}

TEST(PngWrite, SmoothPicturesBecomeSmall) {
  image picture = blank_image(256, 256);
  for (int y = 0; y != 256; ++y) {
    for (std::size_t i = 0; i != picture.row_bytes(); ++i) picture.row(y)[i] = static_cast<std::uint8_t>(i / 3 + i % 3);
  }
  EXPECT_LT(encode_png(picture).size(), picture.size_bytes() / 100);
}

TEST(PngWrite, RefusesPixelsThatDoNotMatchTheSize) {
  EXPECT_THROW(encode_png({}), std::invalid_argument);
  EXPECT_THROW(encode_png({2, 2, std::vector<std::uint8_t>(11)}), std::invalid_argument);
}

}  // namespace penstock::imaging
