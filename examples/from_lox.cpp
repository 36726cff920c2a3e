// SPDX-License-Identifier: Apache-2.0
// What lox's Announcement and Funnel are for, by futures. Announcement: several subscribers get every item; here a future
// is scattered into several stages, which share its value. Funnel: what several put under one id comes out as one tuple;
// here a stage takes several futures, and starts when all are there. An id that cannot be completed is an error of its own.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

int main() {
  using samples = std::vector<int>;
  penstock::thread_stage record{{.name = "record"}, [](int id) {
                                  if (id == 2) throw std::runtime_error{"the microphone is off"};
                                  return samples{id, 2 * id, 6 * id};
                                }};
  penstock::thread_stage mean{{.name = "mean"}, [](samples const& heard) {
                                return std::accumulate(heard.begin(), heard.end(), 0) / static_cast<int>(heard.size());
                              }};
  penstock::thread_stage loudest{{.name = "loudest"},
                                 [](samples const& heard) { return *std::ranges::max_element(heard); }};
  penstock::thread_stage report{{.name = "report"}, [](int id, int average, int peak) {
                                  return "recording " + std::to_string(id) + ": mean " + std::to_string(average) +
                                         ", loudest " + std::to_string(peak);
                                }};

  std::vector<penstock::future<samples>> recordings;
  for (int id = 1; id <= 4; ++id) {
    auto const recording = recordings.emplace_back(record.scatter(id));
    report.scatter(id, mean.scatter(recording), loudest.scatter(recording));  // announced to two, and joined again
  }
  for (auto const& outcome : report.outcomes()) {
    if (outcome) std::puts(outcome->c_str());
    else std::printf("no report: stage '%s' failed: %s\n", outcome.error().stage().c_str(), outcome.error().what());
  }

  penstock::thread_stage count{{.name = "count"}, [](samples const& heard) { return heard.size(); }};
  count.scatter(recordings.front());  // a late subscriber; Announcement needs a backlog for it
  std::printf("a late one counts %zu samples\n", count.gather().front());
}
