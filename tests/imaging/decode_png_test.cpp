// SPDX-License-Identifier: Apache-2.0
// Every colour type and depth of PNG, written by libpng, against its policy in docs/pictures.md.
#include "imaging/decode.hpp"
#include "imaging/geometry.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gtest/gtest.h>

#include <png.h>

#include <array>
#include <random>

namespace penstock::imaging {

namespace {

constexpr int width = 61;
constexpr int height = 43;

struct png_format {
  int colour_type = PNG_COLOR_TYPE_RGB;
  int bit_depth = 8;
  bool interlaced = false;
};

std::ostream& operator<<(std::ostream& out, png_format const& format) {
  return out << "colour type " << format.colour_type << ", " << format.bit_depth << " bits"
             << (format.interlaced ? ", interlaced" : "");
}

int channels(int colour_type) {
  switch (colour_type) {
    case PNG_COLOR_TYPE_RGB: return 3;
    case PNG_COLOR_TYPE_RGB_ALPHA: return 4;
    case PNG_COLOR_TYPE_GRAY_ALPHA: return 2;
    default: return 1;
  }
}

void append_to(png_structp png, png_bytep data, std::size_t size) {
  auto* const file = static_cast<bytes*>(png_get_io_ptr(png));
  auto const from = std::as_bytes(std::span{data, size});
  file->insert(file->end(), from.begin(), from.end());
}

// Colour i of the palette.
png_color palette_colour(unsigned i) {
  return {static_cast<png_byte>(i), static_cast<png_byte>(255 - i), static_cast<png_byte>(i * 7)};
}

// `samples`: one value per channel and pixel. `prepare` may add chunks.
template <typename Prepare>
bytes write_png(png_format const& format, std::vector<unsigned> const& samples, Prepare const& prepare) {
  bytes file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &file, append_to, nullptr);
  png_set_IHDR(png, info, width, height, format.bit_depth, format.colour_type,
               format.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (format.colour_type == PNG_COLOR_TYPE_PALETTE) {
    std::vector<png_color> palette;
    for (unsigned i = 0; i != 1U << format.bit_depth; ++i) palette.push_back(palette_colour(i));
    png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  }
  prepare(png, info);
  png_write_info(png, info);
  png_set_packing(png);
  png_set_interlace_handling(png);
  auto const row_samples = static_cast<std::size_t>(width * channels(format.colour_type));
  std::vector<std::vector<png_byte>> rows;
  for (std::size_t y = 0; y != height; ++y) {
    auto& row = rows.emplace_back();
    for (std::size_t i = 0; i != row_samples; ++i) {
      unsigned const sample = samples[y * row_samples + i];
      if (format.bit_depth == 16) row.push_back(static_cast<png_byte>(sample >> 8));
      row.push_back(static_cast<png_byte>(sample));
    }
  }
  std::vector<png_bytep> pointers;
  for (auto& row : rows) pointers.push_back(row.data());
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return file;
}

bytes write_png(png_format const& format, std::vector<unsigned> const& samples) {
  return write_png(format, samples, [](png_structp, png_infop) {});
}

std::vector<unsigned> random_samples(png_format const& format) {
  std::mt19937 random{42};
  std::vector<unsigned> samples(static_cast<std::size_t>(width * height * channels(format.colour_type)));
  for (unsigned& sample : samples) sample = static_cast<unsigned>(random() % (1U << format.bit_depth));
  return samples;
}

std::uint8_t eight_bits(unsigned sample, int bit_depth) {
  unsigned const largest = (1U << bit_depth) - 1;
  return static_cast<std::uint8_t>((sample * 255 + largest / 2) / largest);
}

// The policies, pixel by pixel.
image expected(png_format const& format, std::vector<unsigned> const& samples) {
  image result = blank_image(width, height);
  auto const step = static_cast<std::size_t>(channels(format.colour_type));
  for (std::size_t i = 0; i != static_cast<std::size_t>(width * height); ++i) {
    std::uint8_t* const pixel = &result.pixels[3 * i];
    unsigned const* const sample = &samples[step * i];
    if (format.colour_type == PNG_COLOR_TYPE_PALETTE) {
      png_color const colour = palette_colour(*sample);
      pixel[0] = colour.red;
      pixel[1] = colour.green;
      pixel[2] = colour.blue;
      continue;
    }
    for (std::size_t c = 0; c != 3; ++c) pixel[c] = eight_bits(sample[step >= 3 ? c : 0], format.bit_depth);
  }
  return result;
}

std::vector<png_format> all_formats() {
  std::vector<png_format> formats;
  for (bool const interlaced : {false, true}) {
    for (int const bits : {1, 2, 4, 8, 16}) formats.push_back({PNG_COLOR_TYPE_GRAY, bits, interlaced});
    for (int const bits : {1, 2, 4, 8}) formats.push_back({PNG_COLOR_TYPE_PALETTE, bits, interlaced});
    for (int const type : {PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA}) {
      for (int const bits : {8, 16}) formats.push_back({type, bits, interlaced});
    }
  }
  return formats;
}

}  // namespace

TEST(DecodePng, EveryColourTypeAndDepthFollowsItsPolicy) {
  for (png_format const& format : all_formats()) {
    SCOPED_TRACE(format);
    auto const samples = random_samples(format);
    EXPECT_EQ(decode(write_png(format, samples), {}), expected(format, samples));
  }
}

TEST(DecodePng, InterlacingChangesNothing) {
  for (png_format format : all_formats()) {
    if (!format.interlaced) continue;
    SCOPED_TRACE(format);
    auto const samples = random_samples(format);
    image const interlaced = decode_resized_crop(write_png(format, samples), {.resize = 30, .crop = 20});
    format.interlaced = false;
    EXPECT_EQ(interlaced, decode_resized_crop(write_png(format, samples), {.resize = 30, .crop = 20}));
  }
}

TEST(DecodePng, SixteenBitsAreScaledNotCut) {
  png_format const format{PNG_COLOR_TYPE_GRAY, 16};
  std::vector<unsigned> samples(static_cast<std::size_t>(width * height));
  for (std::size_t i = 0; i != samples.size(); ++i) samples[i] = static_cast<unsigned>(i * 24);
  image const decoded = decode(write_png(format, samples), {});
  for (std::size_t i = 0; i != samples.size(); ++i) ASSERT_EQ(decoded.pixels[3 * i], (samples[i] + 128) / 257);
}

TEST(DecodePng, TransparentColoursAndGammaAreIgnored) {
  for (int const type : {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_PALETTE, PNG_COLOR_TYPE_RGB}) {
    png_format const format{type};
    SCOPED_TRACE(format);
    auto const samples = random_samples(format);
    bytes const file = write_png(format, samples, [](png_structp png, png_infop info) {
      std::array<png_byte, 3> const alpha{0, 100, 200};
      png_color_16 colour{.index = 0, .red = 10, .green = 20, .blue = 30, .gray = 40};
      png_set_tRNS(png, info, alpha.data(), 3, &colour);
      png_set_gAMA(png, info, 1.0);
    });
    EXPECT_EQ(decode(file, {}), expected(format, samples));
  }
}

TEST(DecodePng, TurnsThePictureAsItsExifChunkSays) {
  using namespace std::string_view_literals;
  png_format const format{};
  auto const samples = random_samples(format);
  bytes const file = write_png(format, samples, [](png_structp png, png_infop info) {
    std::string exif{"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"sv};
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(exif.size()), reinterpret_cast<png_bytep>(exif.data()));
  });
  EXPECT_EQ(decode(file, {}), oriented(expected(format, samples), 6));
  EXPECT_EQ(decode(file, {.exif = false}), expected(format, samples));
}

}  // namespace penstock::imaging
