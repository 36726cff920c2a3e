// SPDX-License-Identifier: Apache-2.0
#include "cli/prepare.hpp"

#include "imaging/contact_sheet.hpp"
#include "imaging/decode.hpp"
#include "kernels/normalize.hpp"

namespace penstock::cli {

namespace {

// HxWx3 to 3xHxW.
std::vector<std::uint8_t> planes_of(imaging::image const& picture) {
  std::vector<std::uint8_t> planes(picture.pixels.size());
  std::size_t const plane = planes.size() / 3;
  for (std::size_t i = 0; i != plane; ++i) {
    for (std::size_t c = 0; c != 3; ++c) planes[c * plane + i] = picture.pixels[i * 3 + c];
  }
  return planes;
}

std::vector<float> normalized_planes_of(imaging::image const& picture, kernels::channel_statistics const& statistics) {
  std::vector<float> planes(picture.pixels.size());
  kernels::normalize(picture.pixels, statistics, planes);
  return planes;
}

}  // namespace

std::span<std::byte const> row_bytes(prepared const& item) {
  return std::visit([](auto const& elements) { return std::as_bytes(std::span{elements}); }, item.row);
}

prepared prepare(std::span<std::byte const> file, bool with_tile, preprocess_options const& options) {
  imaging::picture_size displayed;
  imaging::image const picture = imaging::decode_resized_crop(file, options.transform, &displayed);
  prepared result{{}, {}, displayed.width, displayed.height};
  if (options.dtype == imaging::element_type::u8) {
    result.row = planes_of(picture);
  } else {
    result.row = normalized_planes_of(picture, options.statistics);
  }
  if (with_tile) result.tile = imaging::thumbnail(picture, imaging::contact_sheet::tile_side);
  return result;
}

}  // namespace penstock::cli
