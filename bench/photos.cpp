// SPDX-License-Identifier: Apache-2.0
// Photos a second from JPEG bytes in memory to a normalised 3x224x224 tensor, over the demo's photographs: the program's
// path (only what the crop shows is decoded, rows stream through the resize), and, beside it, decoding alone of the whole
// picture, which is what a pipeline of separate decode and resize steps pays before it resizes anything.
#include "imaging/decode.hpp"
#include "kernels/normalize.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace {

using file_bytes = std::vector<std::byte>;

std::vector<file_bytes> const& photos() {
  static std::vector<file_bytes> const loaded = [] {
    std::vector<file_bytes> files;
    for (auto const& entry : std::filesystem::directory_iterator{PENSTOCK_PHOTOS}) {
      std::ifstream stream{entry.path(), std::ios::binary};
      std::vector<char> const raw{std::istreambuf_iterator<char>{stream}, {}};
      auto const* const first = reinterpret_cast<std::byte const*>(raw.data());
      file_bytes bytes{first, first + raw.size()};
      try {
        (void)penstock::imaging::decode(bytes, {});
        files.push_back(std::move(bytes));
      } catch (penstock::imaging::image_error const&) {  // the one that is damaged on purpose
      }
    }
    return files;
  }();
  return loaded;
}

template <class Work>
void over_photos(benchmark::State& state, Work const& work) {
  std::size_t next = static_cast<std::size_t>(state.thread_index());
  for (auto _ : state) work(photos()[next++ % photos().size()]);
  state.SetItemsProcessed(state.iterations());
}

void photo_to_tensor(benchmark::State& state) {
  std::vector<float> tensor(3 * 224 * 224);
  over_photos(state, [&](file_bytes const& file) {
    auto const picture = penstock::imaging::decode_resized_crop(file, {});
    penstock::kernels::normalize(picture.pixels, {}, tensor);
    benchmark::DoNotOptimize(tensor.data());
  });
}

void decode_whole_photo(benchmark::State& state) {
  over_photos(state, [](file_bytes const& file) { benchmark::DoNotOptimize(penstock::imaging::decode(file, {})); });
}

BENCHMARK(photo_to_tensor)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond)
    ->Repetitions(5)
    ->ReportAggregatesOnly();
BENCHMARK(decode_whole_photo)
    ->Threads(1)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond)
    ->Repetitions(5)
    ->ReportAggregatesOnly();

}  // namespace
