// SPDX-License-Identifier: Apache-2.0
#include "imaging/decode.hpp"

#include "imaging/geometry.hpp"
#include "kernels/resample.hpp"
#include "tests/imaging/libpng_reader.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <thread>

namespace penstock::imaging {

namespace {

// The same result by another way: everything decoded and turned first, resized from memory after.
image resized_from_whole(bytes const& file, transform const& how) {
  image const whole = decode(file, how);
  crop_plan const plan = plan_crop(whole.width, whole.height, how.resize, how.crop, 1);
  image result = blank_image(how.crop, how.crop);
  kernels::crop_resampler resampler{plan.columns, plan.rows, result.pixels};
  for (int y = resampler.source_rows().begin; y != resampler.source_rows().end; ++y) {
    resampler.push(whole.row(y).data() + std::ptrdiff_t{3} * resampler.source_columns().begin);
  }
  return result;
}

bytes with_orientation(bytes file, int orientation) {
  // Tag 0x0112, type SHORT, one value; then the value itself. Pillow writes EXIF big-endian or little-endian.
  using namespace std::string_view_literals;
  bool const big_endian = text_of(file).find("MM\0*"sv) != std::string_view::npos;
  auto const tag = big_endian ? "\x01\x12\x00\x03\x00\x00\x00\x01"sv : "\x12\x01\x03\x00\x01\x00\x00\x00"sv;
  file[find(file, tag) + 8 + (big_endian ? 1 : 0)] = static_cast<std::byte>(orientation);
  return file;
}

}  // namespace

class DecodeGolden : public testing::TestWithParam<char const*> {};

TEST_P(DecodeGolden, IsWithinOneLevelOfPillow) {
  image const expected = read_with_libpng(load(std::string{"expected/"} + GetParam() + ".png"));
  expect_near(decode_resized_crop(load(GetParam()), {}), expected, 1, 0.2);
}

INSTANTIATE_TEST_SUITE_P(Files, DecodeGolden,
                         testing::Values("ss_420.jpg", "ss_422.jpg", "ss_444.jpg", "prog_420.jpg", "restart.jpg",
                                         "gray.jpg", "cmyk.jpg", "exif_6.jpg", "odd_255x257.jpg", "strip_640x40.jpg",
                                         "tiny_17x31.jpg", "one_px.jpg", "bit1.png", "pal8_trns.png", "gray16.png"),
                         test_name_of);

TEST(Decode, PartOfAPictureIsThatPartOfTheWhole) {
  std::mt19937 random{20240611};
  for (char const* name : {"ss_420.jpg", "ss_422.jpg", "ss_444.jpg", "prog_420.jpg", "restart.jpg", "gray.jpg",
                           "cmyk.jpg", "odd_255x257.jpg", "bit1.png", "gray16.png"}) {
    bytes const file = load(name);
    for (int round = 0; round != 40; ++round) {
      unsigned const resize = 1 + static_cast<unsigned>(random() % 700);
      unsigned const crop = 1 + static_cast<unsigned>(random() % std::min(resize, 256U));
      transform const how{.resize = static_cast<int>(resize), .crop = static_cast<int>(crop)};
      ASSERT_EQ(decode_resized_crop(file, how), resized_from_whole(file, how))
          << name << ", resize " << how.resize << ", crop " << how.crop;
    }
  }
}

TEST(Decode, TurnsThePictureAsExifSays) {
  bytes const file = load("exif_6.jpg");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    bytes const turned = with_orientation(file, orientation);
    image const stored = decode(turned, {.exif = false});
    EXPECT_EQ(decode(turned, {}), oriented(stored, orientation));
    // An odd difference of sides makes the offsets of the crop differ by one when mirrored.
    for (transform const& how :
         {transform{}, transform{.resize = 101, .crop = 64}, transform{.resize = 90, .crop = 90}}) {
      expect_near(decode_resized_crop(turned, how), resized_from_whole(turned, how), 1, 0.2);
    }
    EXPECT_EQ(decode_resized_crop(turned, {.exif = false}), decode_resized_crop(file, {.exif = false}));
  }
}

TEST(Decode, TellsTheSizeOfTheWholePictureAsDisplayed) {
  bytes const file = load("exif_6.jpg");
  picture_size size;
  decode_resized_crop(file, {}, &size);
  EXPECT_EQ(size.width, 200);
  EXPECT_EQ(size.height, 300);
  decode_resized_crop(file, {.exif = false}, &size);
  EXPECT_EQ(size.width, 300);
  EXPECT_EQ(size.height, 200);
}

TEST(Decode, SeveralThreadsGetTheSameResults) {
  std::vector<bytes> files;
  for (char const* name : {"ss_420.jpg", "prog_420.jpg", "cmyk.jpg", "pal8_trns.png"}) files.push_back(load(name));
  files.emplace_back(files[0].begin(), files[0].begin() + 9000);
  auto const decode_all = [&files] {
    std::vector<image> results;
    for (bytes const& file : files) {
      try {
        results.push_back(decode_resized_crop(file, {}));
      } catch (image_error const&) {
        results.emplace_back();
      }
    }
    return results;
  };
  std::vector<image> const expected = decode_all();
  std::vector<std::thread> threads;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round != 5; ++round) EXPECT_EQ(decode_all(), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Decode, RefusesAnImpossibleTransform) {
  bytes const file = load("one_px.jpg");
  EXPECT_THROW(decode_resized_crop(file, {.resize = 256, .crop = 300}), std::invalid_argument);
  EXPECT_THROW(decode_resized_crop(file, {.resize = 256, .crop = 0}), std::invalid_argument);
  EXPECT_THROW(decode_resized_crop(file, {.resize = 0, .crop = 0}), std::invalid_argument);
}

TEST(Decode, CropMayBeAsLargeAsResize) {
  EXPECT_EQ(decode_resized_crop(load("ss_420.jpg"), {.resize = 300, .crop = 300}).width, 300);
}

}  // namespace penstock::imaging
