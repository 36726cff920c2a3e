// SPDX-License-Identifier: Apache-2.0
// Chains stages by their futures: a tuple fills two parameters beside a value of the caller's, one result feeds two
// stages, and a fourth stage joins what those two make of it. Nobody waits but the one who gathers.
#include <penstock/penstock.hpp>

#include <barrier>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <latch>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

using namespace std::chrono_literals;

int main() {
  auto const words = {"gate", "intake", "pipe", "turbine", "valve", "weir"};
  std::latch all_fetching{static_cast<std::ptrdiff_t>(words.size())};
  std::barrier pair{2};

  penstock::thread_stage fetch{10, [&](std::string word) {
                                 all_fetching.arrive_and_wait();  // all six are in here at once, or none comes out
                                 std::this_thread::sleep_for(100ms);
                                 auto const length = word.size();
                                 return std::tuple{std::move(word), length};
                               }};
  penstock::thread_stage process{2, [&](std::string const& word, std::size_t length, char mark) {
                                   pair.arrive_and_wait();  // two are in here at once, as allowed
                                   std::this_thread::sleep_for(100ms);
                                   return std::string(length, mark) + " " + word;
                                 }};
  penstock::thread_stage shout{2, [](std::string word, std::size_t) {
                                 for (char& letter : word) letter = static_cast<char>(std::toupper(letter));
                                 return word + "!";
                               }};
  penstock::thread_stage join{2, [](std::string const& left, std::string const& right) { return left + ", " + right; }};

  auto const start = std::chrono::steady_clock::now();
  for (auto const* word : words) {
    auto const fetched = fetch.scatter(word);
    auto processed = process.scatter(fetched, '~');          // (word, length) and one more argument
    auto shouted = shout.scatter(fetched);                   // the same result for another stage
    join.scatter(std::move(processed), std::move(shouted));  // runs when both are there
  }
  for (auto const& line : join.gather()) std::puts(line.c_str());  // in the order of the words
  std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%.2f s; one after the other, the pauses alone take 1.20 s\n", elapsed.count());
}
