// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock::kernels {

/// One axis of a resize of which only a window is wanted: `source` pixels become `resized` pixels, of which
/// [first, first + count) are computed.
struct axis_window {
  int source = 0;
  std::int64_t resized = 0;
  std::int64_t first = 0;
  int count = 0;
};

/// Half-open range of pixels.
struct pixel_range {
  int begin = 0;
  int end = 0;
  [[nodiscard]] int size() const { return end - begin; }
  friend bool operator==(pixel_range const&, pixel_range const&) = default;
};

/// The weights of an antialiased triangle filter along one axis, as Pillow's `BILINEAR` and torchvision's
/// `antialias=True` define them: a triangle of half-width max(scale, 1) source pixels around the centre of the output
/// pixel, cut at the edges of the picture and normalised to 1, where scale = source / resized.
///
/// Weights are fixed-point with `fraction_bits()` bits after the point; those of one output pixel add up to exactly 1,
/// so that a constant picture stays constant. Immutable after construction, hence thread-safe.
/// Throws std::invalid_argument if a size is below 1 or the window leaves the resized picture.
class triangle_filter {
 public:
  /// Weights shrink as 1 / scale; each doubling of the scale adds a bit after the point, up to `max_extra_bits`, so
  /// that they keep about 14 significant bits in 16.
  triangle_filter(axis_window const& window, int max_extra_bits);

  /// 14 or more.
  [[nodiscard]] int fraction_bits() const { return fraction_bits_; }
  [[nodiscard]] int size() const { return static_cast<int>(taps_.size()); }
  /// The source pixels that output pixel `output` of the window is made of.
  [[nodiscard]] pixel_range taps(int output) const { return taps_[static_cast<std::size_t>(output)]; }
  /// Weights of taps(output), followed by a zero if their number is odd.
  [[nodiscard]] std::span<std::int16_t const> weights(int output) const {
    auto const length = static_cast<std::size_t>(taps(output).size() + 1) / 2 * 2;
    return {weights_.data() + static_cast<std::size_t>(output) * stride_, length};
  }
  /// Weight of source pixel `source` in `output`; 0 outside taps(output).
  [[nodiscard]] std::int16_t weight(int output, int source) const {
    pixel_range const range = taps(output);
    if (source < range.begin || source >= range.end) return 0;
    return weights_[static_cast<std::size_t>(output) * stride_ + static_cast<std::size_t>(source - range.begin)];
  }
  /// The union of all taps.
  [[nodiscard]] pixel_range source_range() const { return {taps_.front().begin, taps_.back().end}; }

 private:
  int fraction_bits_ = 0;
  std::size_t stride_ = 0;
  std::vector<pixel_range> taps_;
  std::vector<std::int16_t> weights_;
};

}  // namespace penstock::kernels
