// SPDX-License-Identifier: Apache-2.0
// Memory: what a queued item costs, and what a pipeline of large items needs at most.
#include "bench/overhead/measurement.hpp"

#include <penstock/penstock.hpp>

#include <tbb/flow_graph.h>

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <latch>
#include <numeric>
#include <string>
#include <vector>

namespace overhead {
namespace {

// A line of /proc/self/status, in bytes: "VmRSS:" is what is resident now, "VmHWM:" the most that ever was.
double resident_bytes(std::string const& line) {
  std::ifstream status{"/proc/self/status"};
  for (std::string name; status >> name;) {
    double kibibytes = 0;
    if (name == line && status >> kibibytes) return kibibytes * 1024;
  }
  give_up("/proc/self/status does not tell " + line);
}

// --- bytes a queued item ---

// What `queue` adds a call; one call first, which makes the threads and then keeps its body waiting.
template <class Queue>
double bytes_a_call(int items, Queue const& queue) {
  queue(0);
  double const before = resident_bytes("VmRSS:");
  for (int i = 1; i <= items; ++i) queue(i);
  return (resident_bytes("VmRSS:") - before) / items;
}

double queued_in_penstock(conditions const& asked) {
  std::latch open{1};
  penstock::thread_stage<int(int)> blocked{{.concurrency = 1, .capacity = static_cast<std::size_t>(asked.items) + 1},
                                           [&](int x) {
                                             open.wait();
                                             return x + 1;
                                           }};
  double const bytes = bytes_a_call(asked.items, [&](int i) { blocked.scatter(i); });
  open.count_down();
  ordered_results results{{1, asked.items + 1, {}}};
  for (int const value : blocked.gather()) results.take(value);
  return bytes;
}

template <std::size_t Concurrency>
double queued_in_tbb(conditions const& asked) {
  std::latch open{1};
  std::atomic<int> done{0};
  tbb::flow::graph graph;
  tbb::flow::function_node<int> blocked{graph, Concurrency, [&](int) {
                                          open.wait();
                                          ++done;
                                        }};
  double const bytes = bytes_a_call(asked.items, [&](int i) { blocked.try_put(i); });
  open.count_down();
  graph.wait_for_all();
  if (done != asked.items + 1) give_up("messages are missing");
  return bytes;
}

// --- the peak of a pipeline of images ---

constexpr std::size_t image_bytes = 3'000'000;

template <class Options>
concept bounds_bytes = requires(Options& options) { options.capacity_bytes; };

double pipeline_peak(int images, penstock::stage_options const& options) {
  double const own = resident_bytes("VmRSS:");
  penstock::thread_stage make{
      options, [](int seed) { return std::vector<std::uint8_t>(image_bytes, static_cast<std::uint8_t>(seed)); }};
  penstock::thread_stage sum{options, [](std::vector<std::uint8_t> const& image) {
                               return std::accumulate(image.begin(), image.end(), std::uint64_t{0});
                             }};
  for (int i = 0; i < images; ++i) sum.scatter(make.scatter(i));
  std::vector<std::uint64_t> const sums = sum.gather();
  if (sums.size() != static_cast<std::size_t>(images)) give_up("images are missing");
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != image_bytes * static_cast<std::uint8_t>(i)) give_up("an image is wrong, or in a wrong place");
  }
  return (resident_bytes("VmHWM:") - own) / 1e6;
}

double peak_of_four_items(conditions const& asked) {
  return pipeline_peak(asked.items, {.concurrency = 2, .capacity = 4});
}

// glibc keeps freed images in the heap of the thread that made them, unless told to map and unmap large blocks. What is
// left then is what the pipeline itself holds.
template <auto Peak>
double with_mapped_images(conditions const& asked) {
  mallopt(M_MMAP_THRESHOLD, 1'000'000);
  return Peak(asked);
}

template <bounds_bytes Options>
double peak_of_twelve_mebibytes(conditions const& asked) {
  Options options{.concurrency = 2};
  options.capacity_bytes = std::size_t{12} << 20U;
  return pipeline_peak(asked.items, options);
}

template <class Options>
void add_bounded_bytes(std::vector<candidate>& peaks) {
  if constexpr (bounds_bytes<Options>) {
    peaks.push_back({"penstock, .capacity_bytes = 12 MiB", peak_of_twelve_mebibytes<Options>});
    peaks.push_back(
        {"penstock, .capacity_bytes = 12 MiB, images mmapped", with_mapped_images<peak_of_twelve_mebibytes<Options>>});
  }
}

}  // namespace

std::vector<candidate> queued_bytes() {
  return {{"penstock", queued_in_penstock},
          {"tbb::flow::function_node, concurrency 1", queued_in_tbb<tbb::flow::serial>},
          {"tbb::flow::function_node, unlimited", queued_in_tbb<tbb::flow::unlimited>}};
}

std::vector<candidate> peak_rss() {
  std::vector<candidate> peaks{{"penstock, .capacity = 4", peak_of_four_items},
                               {"penstock, .capacity = 4, images mmapped", with_mapped_images<peak_of_four_items>}};
  add_bounded_bytes<penstock::stage_options>(peaks);
  return peaks;
}

}  // namespace overhead
