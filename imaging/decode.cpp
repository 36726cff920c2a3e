// SPDX-License-Identifier: Apache-2.0
#include "imaging/decode.hpp"

#include "imaging/geometry.hpp"
#include "imaging/picture_source.hpp"
#include "kernels/resample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace penstock::imaging {

namespace {

void check(transform const& how) {
  if (how.crop < 1) throw std::invalid_argument{fmt::format("crop is {}; must be at least 1", how.crop)};
  if (how.crop > how.resize) {
    throw std::invalid_argument{
        fmt::format("crop {} is larger than resize {}; lower crop or raise resize", how.crop, how.resize)};
  }
}

}  // namespace

image decode_resized_crop(std::span<std::byte const> file, transform const& how, picture_size* displayed) {
  check(how);
  auto const source = open_picture(file, how.max_pixels);
  int const orientation = how.exif ? source->orientation() : 1;
  bool const on_its_side = orientation >= 5;
  if (displayed != nullptr) {
    *displayed =
        on_its_side ? picture_size{source->height(), source->width()} : picture_size{source->width(), source->height()};
  }
  crop_plan const plan = plan_crop(source->width(), source->height(), how.resize, how.crop, orientation);
  image result = blank_image(how.crop, how.crop);
  kernels::crop_resampler resampler{plan.columns, plan.rows, result.pixels, {.turned = on_its_side}};
  source->read(resampler.source_columns(), resampler.source_rows(),
               [&resampler](std::uint8_t const* row) { resampler.push(row); });
  if (how.check_rest) source->check_rest();
  return oriented(std::move(result), orientation);
}

image decode(std::span<std::byte const> file, transform const& how) {
  auto const source = open_picture(file, how.max_pixels);
  image result = blank_image(source->width(), source->height());
  int y = 0;
  source->read({0, result.width}, {0, result.height}, [&result, &y](std::uint8_t const* row) {
    std::copy_n(row, result.row_bytes(), result.row(y++).data());
  });
  if (how.check_rest) source->check_rest();
  return oriented(std::move(result), how.exif ? source->orientation() : 1);
}

}  // namespace penstock::imaging
