// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/image.hpp"
#include "tests/imaging/test_pictures.hpp"

#include <gtest/gtest.h>

#include <png.h>

namespace penstock::imaging {

/// Any PNG as RGB by libpng's simplified interface, which shares no code with ours. Colours that are transparent come
/// out on black.
inline image read_with_libpng(bytes const& file) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&png, file.data(), file.size()), 0) << png.message;
  png.format = PNG_FORMAT_RGB;
  image result = blank_image(static_cast<int>(png.width), static_cast<int>(png.height));
  EXPECT_NE(png_image_finish_read(&png, nullptr, result.pixels.data(), 0, nullptr), 0) << png.message;
  return result;
}

}  // namespace penstock::imaging
