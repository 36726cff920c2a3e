// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>

int main(int argc, char** argv) {
  // Ten files are read at once, however few cores there are; two texts are counted at once.
  penstock::thread_stage read{{.concurrency = 10, .name = "read"}, [](std::string path) {
                                std::ifstream file{path};
                                if (!file) throw std::runtime_error{"cannot open " + path};
                                return std::tuple{path, std::string{std::istreambuf_iterator<char>{file}, {}}};
                              }};
  penstock::thread_stage count{{.concurrency = 2, .name = "count"}, [](std::string const& path, std::string text) {
                                 std::istringstream words{std::move(text)};
                                 auto const n = std::distance(std::istream_iterator<std::string>{words}, {});
                                 return path + ": " + std::to_string(n) + " words";
                               }};

  for (int i = 1; i < argc; ++i) count.scatter(read.scatter(argv[i]));  // a future is an argument; a tuple is unpacked

  for (auto const& outcome : count.outcomes()) {  // in the order of the arguments; one bad file spoils only itself
    if (outcome) std::puts(outcome->c_str());
    else
      std::printf("item %zu failed in stage '%s': %s\n", outcome.index(), outcome.error().stage().c_str(),
                  outcome.error().what());
  }
}
