// SPDX-License-Identifier: Apache-2.0
// Asks a chain which of its stages holds it up, and prints the verdict. The bodies only sleep.
#include <penstock/penstock.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

using namespace std::chrono_literals;

int main() {
  auto const sleep = [](std::chrono::milliseconds time) {
    return [time](int page) {
      std::this_thread::sleep_for(time);
      return page;
    };
  };
  penstock::thread_stage fetch{{.concurrency = 8, .name = "fetch"}, sleep(2ms)};
  penstock::thread_stage parse{{.concurrency = 2, .name = "parse"}, sleep(5ms)};
  penstock::thread_stage store{{.concurrency = 8, .name = "store"}, sleep(1ms)};

  for (int page = 0; page < 100; ++page) store.scatter(parse.scatter(fetch.scatter(page)));
  store.gather();

  std::string const advice = store.explain();  // of the chain that ends here
  std::puts(advice.substr(0, advice.find(':')).c_str());
}
