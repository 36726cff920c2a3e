// SPDX-License-Identifier: Apache-2.0
// Fuses three stages into a pipeline, each with its own bounds: reading is waiting, so six at once may; the store takes two
// at a time. A line without anything in it is dropped on the way; a bad one fails, with the name of the stage.
#include <penstock/penstock.hpp>

#include <barrier>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

int main() {
  std::vector<std::string> const gauges{"intake 310", "", "weir 45", "spillway high", "surge tank 96", "tailrace 12"};
  std::barrier pair{2};

  penstock::thread_stage read{{.concurrency = 6, .name = "read"}, [&](std::size_t number) {
                                std::this_thread::sleep_for(50ms);  // the station is far away
                                return gauges.at(number);
                              }};
  penstock::thread_stage parse{{.concurrency = 2, .name = "parse"},
                               [](std::string const& line) -> std::optional<std::tuple<std::string, int>> {
                                 if (line.empty()) return std::nullopt;  // this item goes no further
                                 auto const space = line.rfind(' ');
                                 if (std::isdigit(line.back()) == 0) throw std::runtime_error{"no level: " + line};
                                 return std::tuple{line.substr(0, space), std::stoi(line.substr(space + 1))};
                               }};
  penstock::thread_stage store{{.concurrency = 2, .capacity = 2, .name = "store"},
                               [&](std::string const& place, int level) {  // one parameter an element of the tuple
                                 pair.arrive_and_wait();                   // two are in here at once, as allowed
                                 return place + " stands at " + std::to_string(level) + " cm";
                               }};

  auto levels = read | parse | store;
  for (std::size_t i = 0; i < gauges.size(); ++i) levels.scatter(i);
  for (auto const& outcome : levels.outcomes()) {  // in the order of the gauges
    if (outcome) {
      std::puts(outcome->c_str());
    } else {
      auto const& error = outcome.error();
      std::printf("item %zu, stage '%s': %s\n", outcome.index(), error.stage().c_str(), error.what());
    }
  }
  for (auto const& [stage, stats] :
       {std::pair{"read", read.stats()}, {"parse", parse.stats()}, {"store", store.stats()}}) {
    std::printf("%s: %d done, %d failed, %d dropped\n", stage, static_cast<int>(stats.done),
                static_cast<int>(stats.failed), static_cast<int>(stats.dropped));
  }
}
