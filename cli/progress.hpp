// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace penstock::cli {

enum class progress_mode { automatic, always, never };

/// One line of figures, cut to `width` columns: "  120/1000  12 %  812.0 images/s  3 failed  0:01 left".
std::string progress_line(std::size_t done, std::size_t total, std::size_t failed,
                          std::chrono::duration<double> elapsed, std::size_t width);

/// Shows on stderr how far a run is: a line redrawn in place on a terminal, else a plain line every few seconds.
/// `always` draws in place wherever stderr goes. Not thread-safe.
class progress {
 public:
  progress(progress_mode mode, std::size_t total);
  progress(progress const&) = delete;
  progress& operator=(progress const&) = delete;
  ~progress() { clear(); }

  /// Call it as often as you like: it draws at most ten times a second.
  void update(std::size_t done, std::size_t failed);
  /// Takes the line off the terminal, so that something else can be written.
  void clear();

 private:
  using clock = std::chrono::steady_clock;

  enum class style { none, in_place, lines };
  style style_ = style::none;
  std::size_t total_;
  clock::time_point start_;
  clock::time_point next_draw_;
  bool drawn_ = false;
};

}  // namespace penstock::cli
