// SPDX-License-Identifier: Apache-2.0
#include "imaging/contact_sheet.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

namespace penstock::imaging {

namespace {

using colour = std::array<std::uint8_t, 3>;

constexpr colour background{245, 245, 245};
constexpr colour ink{40, 40, 40};
constexpr colour failed_tile{48, 48, 48};
constexpr colour failed_ink{214, 40, 40};
constexpr int margin = 8;
constexpr int glyph_width = 3;
constexpr int glyph_height = 5;
constexpr int glyph_scale = 2;
constexpr int label_height = glyph_height * glyph_scale + 6;
constexpr int cell_width = contact_sheet::tile_side + margin;
constexpr int cell_height = contact_sheet::tile_side + label_height + margin;
constexpr std::size_t max_columns = 20;

// One digit each: rows from the top, the left pixel in the highest of three bits.
constexpr std::array<std::array<std::uint8_t, glyph_height>, 10> digits{{{7, 5, 5, 5, 7},
                                                                         {2, 6, 2, 2, 7},
                                                                         {7, 1, 7, 4, 7},
                                                                         {7, 1, 7, 1, 7},
                                                                         {5, 5, 7, 1, 1},
                                                                         {7, 4, 7, 1, 7},
                                                                         {7, 4, 7, 5, 7},
                                                                         {7, 1, 2, 2, 2},
                                                                         {7, 5, 7, 5, 7},
                                                                         {7, 5, 7, 1, 7}}};

void fill(image& canvas, int left, int top, int width, int height, colour value) {
  for (int y = top; y != top + height; ++y) {
    std::uint8_t* pixel = &canvas.row(y)[static_cast<std::size_t>(left) * 3];
    for (int x = 0; x != width; ++x) pixel = std::ranges::copy(value, pixel).out;
  }
}

void draw_number(image& canvas, std::size_t number, int left, int top, colour value) {
  for (char const digit : std::to_string(number)) {
    auto const& glyph = digits[static_cast<std::size_t>(digit - '0')];
    for (int y = 0; y != glyph_height; ++y) {
      for (int x = 0; x != glyph_width; ++x) {
        if ((glyph[static_cast<std::size_t>(y)] >> (glyph_width - 1 - x) & 1) == 0) continue;
        fill(canvas, left + x * glyph_scale, top + y * glyph_scale, glyph_scale, glyph_scale, value);
      }
    }
    left += (glyph_width + 1) * glyph_scale;
  }
}

void draw_cross(image& canvas, int left, int top) {
  constexpr int inset = 24;
  constexpr int thickness = 5;
  constexpr int side = contact_sheet::tile_side;
  fill(canvas, left, top, side, side, failed_tile);
  for (int i = inset; i != side - inset; ++i) {
    fill(canvas, left + i - thickness / 2, top + i, thickness, 1, failed_ink);
    fill(canvas, left + side - 1 - i - thickness / 2, top + i, thickness, 1, failed_ink);
  }
}

void draw_picture(image& canvas, image const& picture, int left, int top) {
  for (int y = 0; y != picture.height; ++y) {
    std::ranges::copy(picture.row(y), &canvas.row(top + y)[static_cast<std::size_t>(left) * 3]);
  }
}

}  // namespace

image thumbnail(image const& source, int side) {
  image result = blank_image(side, side);
  // The source pixels that pixel i of a side covers; at least one.
  auto const covered = [side](int i, int length) {
    auto const at = [=](int k) { return static_cast<int>(std::int64_t{k} * length / side); };
    return std::pair{at(i), std::max(at(i + 1), at(i) + 1)};
  };
  for (int y = 0; y != side; ++y) {
    std::uint8_t* pixel = result.row(y).data();
    auto const [top, bottom] = covered(y, source.height);
    for (int x = 0; x != side; ++x) {
      auto const [left, right] = covered(x, source.width);
      std::array<std::uint64_t, 3> sum{};
      for (int v = top; v != bottom; ++v) {
        std::uint8_t const* from = &source.row(v)[static_cast<std::size_t>(left) * 3];
        for (int u = left; u != right; ++u) {
          for (std::uint64_t& channel : sum) channel += *from++;
        }
      }
      auto const covers = static_cast<std::uint64_t>(bottom - top) * static_cast<std::uint64_t>(right - left);
      auto const count = std::max<std::uint64_t>(covers, 1);
      for (std::uint64_t const channel : sum) *pixel++ = static_cast<std::uint8_t>((channel + count / 2) / count);
    }
  }
  return result;
}

void contact_sheet::add(std::size_t index, image picture) {
  if (tiles_.size() < max_items) tiles_.push_back({index, false, std::move(picture)});
}

void contact_sheet::add_failed(std::size_t index) {
  if (tiles_.size() < max_items) tiles_.push_back({index, true, {}});
}

image contact_sheet::draw() const {
  auto const count = std::max<std::size_t>(tiles_.size(), 1);
  auto const square = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  auto const columns = std::min(square, max_columns);
  auto const rows = (count + columns - 1) / columns;
  image sheet =
      blank_image(margin + static_cast<int>(columns) * cell_width, margin + static_cast<int>(rows) * cell_height);
  fill(sheet, 0, 0, sheet.width, sheet.height, background);
  for (std::size_t i = 0; i != tiles_.size(); ++i) {
    int const left = margin + static_cast<int>(i % columns) * cell_width;
    int const top = margin + static_cast<int>(i / columns) * cell_height;
    if (tiles_[i].failed) {
      draw_cross(sheet, left, top);
    } else {
      draw_picture(sheet, tiles_[i].picture, left, top);
    }
    draw_number(sheet, tiles_[i].index, left, top + tile_side + 4, tiles_[i].failed ? failed_ink : ink);
  }
  return sheet;
}

}  // namespace penstock::imaging
