// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.hpp"

#include "cli/text.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace penstock::cli {

namespace {

using namespace std::chrono_literals;
constexpr auto redraw_interval = 100ms;
constexpr auto line_interval = 5s;

std::size_t terminal_width() {
  std::size_t width = 0;
  if (char const* const columns = std::getenv("COLUMNS")) {
    std::string_view const text = columns;
    std::from_chars(text.data(), text.data() + text.size(), width);
  }
  winsize size{};
  if (width == 0 && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) width = size.ws_col;
  return width == 0 ? 80 : width;
}

std::string clock_text(double seconds) {
  auto const whole = static_cast<long>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string progress_line(std::size_t done, std::size_t total, std::size_t failed,
                          std::chrono::duration<double> elapsed, std::size_t width) {
  double const rate = elapsed.count() > 0 ? static_cast<double>(done) / elapsed.count() : 0;
  std::string line = fmt::format("{}/{}  {} %", done, total, total == 0 ? 100 : done * 100 / total);
  if (rate > 0) line += fmt::format("  {:.1f} images/s", rate);
  if (failed > 0) line += fmt::format("  {} failed", failed);
  if (rate > 0) line += fmt::format("  {} left", clock_text(static_cast<double>(total - done) / rate));
  if (line.size() > width) line.resize(width);
  return line;
}

progress::progress(progress_mode mode, std::size_t total) : total_{total}, start_{clock::now()} {
  bool const terminal = ::isatty(STDERR_FILENO) == 1;
  if (mode == progress_mode::always || (mode == progress_mode::automatic && terminal)) style_ = style::in_place;
  if (mode == progress_mode::automatic && !terminal) style_ = style::lines;
  next_draw_ = style_ == style::lines ? start_ + line_interval : start_;
}

void progress::update(std::size_t done, std::size_t failed) {
  if (style_ == style::none) return;
  auto const now = clock::now();
  if (now < next_draw_) return;
  if (style_ == style::lines) {
    write_stderr(progress_line(done, total_, failed, now - start_, std::string::npos) + "\n");
    next_draw_ = now + line_interval;
    return;
  }
  // The last column stays free: some terminals wrap as soon as it is written.
  write_stderr(fmt::format("\r{}\x1b[K", progress_line(done, total_, failed, now - start_, terminal_width() - 1)));
  drawn_ = true;
  next_draw_ = now + redraw_interval;
}

void progress::clear() {
  if (!drawn_) return;
  write_stderr("\r\x1b[K");
  drawn_ = false;
}

}  // namespace penstock::cli
