// SPDX-License-Identifier: Apache-2.0
// What is not a good picture: the kind of error, its words, and that nothing is printed or held.
#include "imaging/decode.hpp"
#include "imaging/png_write.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// clang-format off: jpeglib.h needs FILE and size_t to be declared
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include <cstddef>
#include <cstdlib>

namespace penstock::imaging {

namespace {

using namespace std::string_view_literals;
using testing::HasSubstr;
using enum image_error_kind;

void expect_refused(bytes const& file, image_error_kind kind, std::string_view words, transform const& how = {}) {
  testing::internal::CaptureStderr();
  try {
    decode_resized_crop(file, how);
    ADD_FAILURE() << "decoded; " << to_string(kind) << " expected";
  } catch (image_error const& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(std::string{words}));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

bytes front_of(bytes const& file, std::size_t size) {
  return {file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)};
}

bytes patched(bytes file, std::size_t at, std::string_view with) {
  std::ranges::copy(bytes_of(with), file.begin() + static_cast<std::ptrdiff_t>(at));
  return file;
}

// Height and width in the frame header that begins with `marker`.
bytes with_jpeg_size(bytes const& file, std::string_view marker, std::string_view height_and_width) {
  return patched(file, find(file, marker) + 5, height_and_width);
}

constexpr auto baseline_frame = "\xff\xc0"sv;
constexpr auto progressive_frame = "\xff\xc2"sv;
constexpr auto scan_start = "\xff\xda"sv;

bytes photo() { return load("ss_420.jpg"); }
bytes progressive_photo() { return load("prog_420.jpg"); }
bytes png_photo() { return encode_png(decode(photo(), {})); }

// The scan at the end of a progressive file, over and over.
bytes with_last_scan_repeated(bytes const& file, int times) {
  auto const last = file.begin() + static_cast<std::ptrdiff_t>(text_of(file).rfind(scan_start));
  bytes const scan{last, file.end() - 2};
  bytes result{file.begin(), file.end() - 2};
  for (int i = 0; i != times; ++i) result = joined(std::move(result), scan);
  return joined(std::move(result), bytes_of("\xff\xd9"));
}

// A correct file, but each of the 64 frequencies of each colour in a scan of its own.
bytes with_a_scan_per_frequency() {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = info.image_height = 32;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  std::vector<jpeg_scan_info> scans{{3, {0, 1, 2, 0}, 0, 0, 0, 0}};
  for (int component = 0; component != 3; ++component) {
    for (int frequency = 1; frequency != 64; ++frequency) {
      scans.push_back({1, {component, 0, 0, 0}, frequency, frequency, 0, 0});
    }
  }
  info.scan_info = scans.data();
  info.num_scans = static_cast<int>(scans.size());
  jpeg_start_compress(&info, TRUE);
  std::vector<JSAMPLE> row(32 * 3, 77);
  JSAMPROW pointer = row.data();
  while (info.next_scanline < info.image_height) jpeg_write_scanlines(&info, &pointer, 1);
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  auto const content = std::as_bytes(std::span{buffer, size});
  bytes result{content.begin(), content.end()};
  std::free(buffer);
  return result;
}

}  // namespace

TEST(DecodeRefuses, AnEmptyFile) { expect_refused({}, empty, "0 bytes"); }

TEST(DecodeRefuses, OtherFormatsByName) {
  expect_refused(bytes_of("RIFF\x10\x20\0\0WEBPVP8 "sv), unsupported_format, "a WebP picture; JPEG and PNG are read");
  expect_refused(bytes_of("GIF89a\x01\0"sv), unsupported_format, "a GIF picture");
  expect_refused(bytes_of("BM\x36\x10\0\0\0\0\0\0\x36"sv), unsupported_format, "a BMP picture");
  expect_refused(bytes_of("II*\0\x08\0"sv), unsupported_format, "TIFF");
  expect_refused(bytes_of("\0\0\0\x1c"
                          "ftypavif\0\0"sv),
                 unsupported_format, "AVIF");
  expect_refused(bytes_of("\0\0\0\x1c"
                          "ftypheic\0\0"sv),
                 unsupported_format, "HEIF");
  expect_refused(bytes_of("%PDF-1.4"), unsupported_format, "a PDF document");
}

TEST(DecodeRefuses, WhatItDoesNotKnowByItsFirstBytes) {
  expect_refused(bytes_of("not an image\n"), unsupported_format, "starts with bytes 6e 6f 74 20 61 6e 20 69;");
  expect_refused(bytes_of("B"), unsupported_format, "starts with bytes 42;");
  expect_refused(bytes_of("BMW is no bitmap"), unsupported_format, "not a picture format");
}

TEST(DecodeRefuses, FilesThatEndTooEarly) {
  bytes const jpeg = photo();
  bytes const progressive = progressive_photo();
  bytes const png = png_photo();
  for (std::size_t const size : {std::size_t{2}, std::size_t{100}, jpeg.size() / 2, jpeg.size() - 2}) {
    expect_refused(front_of(jpeg, size), truncated, "JPEG: the file ends before");
  }
  expect_refused(front_of(progressive, progressive.size() / 2), truncated, "JPEG: the file ends before");
  for (std::size_t const size : {std::size_t{5}, std::size_t{20}, png.size() / 2, png.size() - 1}) {
    expect_refused(front_of(png, size), truncated, "PNG: the file ends before");
  }
}

TEST(DecodeRefuses, DamageInTheMiddle) {
  bytes jpeg = photo();
  for (std::size_t i = jpeg.size() / 3; i != jpeg.size() / 3 + 64; ++i) {
    jpeg[i] = static_cast<std::byte>((std::to_integer<unsigned>(jpeg[i]) * 7 + 13) & 0xfe);
  }
  expect_refused(jpeg, corrupt, "JPEG: Corrupt JPEG data");
  EXPECT_NO_THROW(decode_resized_crop(jpeg, {.check_rest = false}));

  bytes png = png_photo();
  png[png.size() / 2] ^= std::byte{0xff};
  expect_refused(png, corrupt, "PNG: chunk IDAT at byte 33 has checksum");
}

TEST(DecodeRefuses, BrokenTables) {
  bytes const file = photo();
  expect_refused(patched(file, find(file, "\xff\xc4") + 5, std::string(16, '\xff')), corrupt, "Huffman table");
  expect_refused(with_jpeg_size(file, baseline_frame, "\0\0\0\0"sv), corrupt, "JPEG: ");
}

TEST(DecodeRefuses, MorePixelsThanAllowed) {
  expect_refused(with_jpeg_size(photo(), baseline_frame, "\xff\xdc\xff\xdc"sv), too_large,
                 "JPEG: 65500 x 65500 pixels is 4290250000; at most 179000000 are decoded (raise --max-pixels)");
  expect_refused(patched(png_photo(), 16, "\x7f\xff\xff\xff\x7f\xff\xff\xff"sv), too_large,
                 "PNG: 2147483647 x 2147483647 pixels");
  expect_refused(patched(png_photo(), 16, "\x00\x20\x00\x00\x00\x00\x00\x01"sv), too_large, "PNG: 2097152 pixels wide");
  expect_refused(photo(), too_large, "at most 1000 are decoded", {.max_pixels = 1000});
  bytes const zero = patched(png_photo(), 16, "\0\0\0\0"sv);
  expect_refused(zero, corrupt, "PNG: 0 x ");
}

TEST(DecodeRefuses, ProgressivePicturesThatNeedTooMuchMemory) {
  // 16000 x 11000: few enough pixels, but 503 MiB of coefficients.
  bytes const file = with_jpeg_size(progressive_photo(), progressive_frame, "\x2a\xf8\x3e\x80"sv);
  expect_refused(file, too_large, "11000 pixels in more than one scan need more than 256 MiB of memory");
}

TEST(DecodeRefuses, TooManyScans) {
  expect_refused(with_last_scan_repeated(progressive_photo(), 300), corrupt, "Inconsistent progression");
  expect_refused(with_a_scan_per_frequency(), too_large, "more than 100 scans");
}

TEST(DecodeRefuses, EveryKindHasItsWord) {
  EXPECT_EQ(to_string(unsupported_format), "unsupported_format");
  EXPECT_EQ(to_string(truncated), "truncated");
  EXPECT_EQ(to_string(corrupt), "corrupt");
  EXPECT_EQ(to_string(too_large), "too_large");
  EXPECT_EQ(to_string(empty), "empty");
}

}  // namespace penstock::imaging
