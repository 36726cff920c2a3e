// SPDX-License-Identifier: Apache-2.0
// Fetches six pages over the network: one after the other by plain calls, then through a thread stage, four at once.
// Both give the same answers in the same order; the page that does not exist fails alone. The web server runs inside
// the program, on 127.0.0.1, takes its time over every page, and counts the requests that it serves at the same time.
#include "examples/support/http.hpp"

#include <penstock/penstock.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

using namespace std::chrono_literals;

int main() {
  examples::http_server server{{{"/brook", {"runs under the bridge", 80ms}},
                                {"/canal", {"waits for the lock", 120ms}},
                                {"/creek", {"dries up in August", 40ms}},
                                {"/river", {"reaches the sea", 160ms}},
                                {"/spring", {"starts it all", 60ms}}}};
  std::vector<std::string> const paths{"/spring", "/brook", "/creek", "/swamp", "/river", "/canal"};

  penstock::thread_stage fetch{{.concurrency = 4, .name = "fetch"}, [&server](std::string const& path) {
                                 return path + " " + examples::http_get(server.port(), path);
                               }};
  auto start = std::chrono::steady_clock::now();
  auto const print_summary = [&] {
    std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
    std::printf("  %.2f s; requests at once: %d\n", elapsed.count(), server.most_at_once());
  };

  std::puts("one after the other");
  for (auto const& path : paths) {
    try {
      std::printf("  %s\n", fetch(path).c_str());  // a stage is still a function
    } catch (std::exception const& error) {
      std::printf("  failed: %s\n", error.what());
    }
  }
  print_summary();

  std::puts("four at once");
  server.hold_until_together(4);  // it answers nobody before: a stage that fetched fewer at once would wait for ever
  start = std::chrono::steady_clock::now();
  for (auto const& path : paths) fetch.scatter(path);
  for (auto const& outcome : fetch.outcomes()) {  // in the order of the paths, whoever answered first
    if (outcome) std::printf("  %s\n", outcome->c_str());
    else std::printf("  failed: %s\n", outcome.error().what());
  }
  print_summary();
}
