// SPDX-License-Identifier: Apache-2.0
#include "imaging/geometry.hpp"

#include <algorithm>
#include <cstdint>

namespace penstock::imaging {

namespace {

// Displayed (x, y) shows stored (x, y), first exchanged if `swapped`, then counted from the far end if mirrored.
struct turn {
  bool swapped;
  bool mirrored_x;
  bool mirrored_y;
};

turn turn_of(int orientation) {
  return {.swapped = orientation >= 5,
          .mirrored_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
          .mirrored_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7};
}

std::int64_t half_to_even(std::int64_t value) {
  std::int64_t const down = value / 2;
  return value % 2 == 0 || down % 2 == 0 ? down : down + 1;
}

kernels::axis_window centred(int source, int other_side, int resize, int crop, bool mirrored) {
  std::int64_t const resized = source <= other_side ? resize : std::int64_t{resize} * source / other_side;
  std::int64_t const offset = half_to_even(resized - crop);
  return {.source = source, .resized = resized, .first = mirrored ? resized - crop - offset : offset, .count = crop};
}

}  // namespace

crop_plan plan_crop(int width, int height, int resize, int crop, int orientation) {
  turn const turned = turn_of(orientation);
  return {centred(width, height, resize, crop, turned.mirrored_x),
          centred(height, width, resize, crop, turned.mirrored_y)};
}

image oriented(image stored, int orientation) {
  if (orientation == 1) return stored;
  turn const turned = turn_of(orientation);
  image result = turned.swapped ? blank_image(stored.height, stored.width) : blank_image(stored.width, stored.height);
  for (int y = 0; y != result.height; ++y) {
    std::uint8_t* to = result.row(y).data();
    for (int x = 0; x != result.width; ++x, to += 3) {
      int const u = turned.swapped ? y : x;
      int const v = turned.swapped ? x : y;
      int const from_x = turned.mirrored_x ? stored.width - 1 - u : u;
      int const from_y = turned.mirrored_y ? stored.height - 1 - v : v;
      std::copy_n(stored.row(from_y).data() + std::ptrdiff_t{3} * from_x, 3, to);
    }
  }
  return result;
}

}  // namespace penstock::imaging
