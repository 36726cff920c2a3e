// An endless source through a stage, on one thread, in memory that does not grow: the camera is asked for a picture when
// there is room for one, and outcomes come in its order. The stage may hold eight megabytes; a picture has one.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct picture {
  std::size_t number = 0;
  std::vector<std::uint8_t> pixels;
};
std::size_t size_bytes(picture const& of) { return of.pixels.size(); }  // what .capacity_bytes counts

}  // namespace

int main() {
  std::size_t taken = 0;
  auto const camera = std::views::iota(1) | std::views::transform([&taken](int) {
                        ++taken;
                        return picture{taken, std::vector<std::uint8_t>(1'000'000, taken % 100 < 98 ? 10 : 200)};
                      });
  penstock::thread_stage brightest{{.concurrency = 2, .capacity_bytes = 8'000'000, .name = "brightest"},
                                   [](picture seen) {
                                     if (seen.number % 40 == 0)
                                       throw std::runtime_error{"picture " + std::to_string(seen.number) + " is torn"};
                                     auto const value = *std::ranges::max_element(seen.pixels);
                                     return std::pair{std::move(seen), value};
                                   }};

  std::size_t most_ahead = 0;
  std::size_t read = 0;
  for (auto&& outcome : brightest.stream(camera)) {
    most_ahead = std::max(most_ahead, taken - read++);  // those that it holds, the one that is read included
    if (!outcome) {
      std::printf("item %zu: %s\n", outcome.index(), outcome.error().what());
      continue;
    }
    auto const& [seen, value] = *outcome;
    if (value < 100) continue;
    std::printf("picture %zu: there is a light\n", seen.number);
    break;  // the others that were taken end by themselves
  }
  std::printf("never more than 9 pictures at once: %s\n", most_ahead <= 9 ? "yes" : "no");
}
