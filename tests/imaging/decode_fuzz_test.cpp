// SPDX-License-Identifier: Apache-2.0
// Damaged files give a picture or an image_error, nothing else; meant to run under sanitizers too.
// PENSTOCK_FUZZ_ROUNDS sets the number of damaged copies of each file, PENSTOCK_FUZZ_SEED the first seed.
#include "imaging/decode.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gtest/gtest.h>

#include <zlib.h>

#include <cstdlib>
#include <random>

namespace penstock::imaging {

namespace {

unsigned from_environment(char const* name, unsigned otherwise) {
  char const* const value = std::getenv(name);
  return value == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(value, nullptr, 10));
}

// Some damage in the first bytes, where the headers are, some anywhere; now and then a missing end or a missing middle.
bytes damaged(bytes file, std::mt19937& random) {
  std::size_t const reach = random() % 2 == 0 ? std::min<std::size_t>(file.size(), 700) : file.size();
  for (unsigned left = random() % 8 + 1; left != 0; --left) {
    auto const bit = static_cast<std::byte>(1U << random() % 8);
    std::byte& hit = file[random() % reach];
    hit = random() % 3 == 0 ? static_cast<std::byte>(random()) : hit ^ bit;
  }
  if (random() % 8 == 0) file.resize(random() % file.size());
  if (random() % 8 == 0 && file.size() > 200) {
    auto const from = file.begin() + static_cast<std::ptrdiff_t>(random() % (file.size() - 100));
    file.erase(from, from + static_cast<std::ptrdiff_t>(random() % 100));
  }
  return file;
}

// Without right checksums only their check would be tested.
void repair_checksums(bytes& png) {
  auto const number = [&png](std::size_t at) {
    std::size_t value = 0;
    for (std::size_t i = at; i != at + 4; ++i) value = value << 8 | std::to_integer<std::size_t>(png[i]);
    return value;
  };
  for (std::size_t at = 8; at + 12 <= png.size();) {
    std::size_t const length = number(at);
    if (length > png.size() - at - 12) return;
    auto const sum = crc32(0, reinterpret_cast<Bytef const*>(&png[at + 4]), static_cast<uInt>(length + 4));
    for (std::size_t i = 0; i != 4; ++i) png[at + 8 + length + i] = static_cast<std::byte>(sum >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

class DecodeFuzz : public testing::TestWithParam<char const*> {};

TEST_P(DecodeFuzz, GivesAPictureOrAnImageError) {
  bytes const file = load(GetParam());
  unsigned const seed = from_environment("PENSTOCK_FUZZ_SEED", 1);
  unsigned const rounds = from_environment("PENSTOCK_FUZZ_ROUNDS", 400);
  for (unsigned round = 0; round != rounds; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed + round);
    std::mt19937 random{seed + round};
    bytes candidate = damaged(file, random);
    if (random() % 4 != 0) repair_checksums(candidate);
    transform const how{.resize = 64, .crop = 48, .max_pixels = 2'000'000, .check_rest = random() % 2 == 0};
    try {
      image const picture = decode_resized_crop(candidate, how);
      ASSERT_EQ(picture.pixels.size(), std::size_t{48 * 48 * 3});
    } catch (image_error const&) {
      // as it should be
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, DecodeFuzz,
                         testing::Values("ss_420.jpg", "ss_422.jpg", "ss_444.jpg", "prog_420.jpg", "restart.jpg",
                                         "gray.jpg", "cmyk.jpg", "exif_6.jpg", "tiny_17x31.jpg", "bit1.png",
                                         "pal8_trns.png", "gray16.png"),
                         test_name_of);

}  // namespace penstock::imaging
