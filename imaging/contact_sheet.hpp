// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/image.hpp"

#include <cstddef>
#include <vector>

namespace penstock::imaging {

/// A copy of `source`, `side` x `side` pixels: each pixel is the mean of those it covers. For looking at, not for
/// computing with. `source` must not be empty.
image thumbnail(image const& source, int side);

/// A sheet a person can look at: one tile an item, its index below, failed items as dark tiles with a red cross.
///
/// Holds at most `max_items` tiles (15 MB); later ones are not shown. Not thread-safe.
class contact_sheet {
 public:
  static constexpr std::size_t max_items = 400;
  static constexpr int tile_side = 112;

  /// Whether the item at `index` gets a tile.
  static bool shows(std::size_t index) { return index < max_items; }

  /// Adds the tile of an item; `picture` is tile_side x tile_side.
  void add(std::size_t index, image picture);
  /// Adds the tile of an item that failed.
  void add_failed(std::size_t index);
  [[nodiscard]] std::size_t size() const { return tiles_.size(); }
  /// The whole sheet, tiles in the order in which they were added.
  [[nodiscard]] image draw() const;

 private:
  struct tile {
    std::size_t index = 0;
    bool failed = false;
    image picture;
  };
  std::vector<tile> tiles_;
};

}  // namespace penstock::imaging
