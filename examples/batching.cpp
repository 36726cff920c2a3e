// SPDX-License-Identifier: Apache-2.0
// Many items in one call: a translator that costs as much for eight words as for one. Words are scattered one by one and
// come back one by one; the stage puts together those that are ready. A word that the translator does not know fails
// alone, although it was sent with others: the body says so in its outcome. A second translator can only throw, which
// ends a whole call; the stage then finds out which word it was.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> dictionary{{{"gate", "Tor"},
                                                                                   {"lock", "Schleuse"},
                                                                                   {"pipe", "Rohr"},
                                                                                   {"river", "Fluss"},
                                                                                   {"valve", "Ventil"},
                                                                                   {"weir", "Wehr"}}};

std::string translated(std::string const& word) {
  auto const* const found = std::ranges::find(dictionary, word, &std::pair<std::string_view, std::string_view>::first);
  if (found == dictionary.end()) throw std::out_of_range{"nobody knows the word '" + word + "'"};
  return std::string{found->second};
}

}  // namespace

int main() {
  std::vector<std::string> const words{"river", "weir", "gate", "brook", "lock", "pipe", "valve"};

  std::atomic<int> calls{0};
  penstock::thread_stage translate{
      {.concurrency = 2, .name = "translate", .batch = 8, .batch_wait = 1h},
      [&calls](penstock::batch<std::string const> asked) {
        ++calls;
        std::vector<penstock::outcome<std::string>> answers;  // one for each, in their order
        for (auto const& word : asked) {
          try {
            answers.emplace_back(translated(word));
          } catch (std::out_of_range const&) {
            answers.emplace_back(std::current_exception());
          }
        }
        return answers;
      }};
  for (auto const& word : words) translate.scatter(word);  // a stage of single words
  for (auto const& outcome : translate.outcomes()) {       // it does not wait for an eighth word: none could come
    if (outcome) std::printf("%s: %s\n", words[outcome.index()].c_str(), outcome->c_str());
    else std::printf("item %zu failed: %s\n", outcome.index(), outcome.error().what());
  }
  std::printf("calls: %d\n", calls.exchange(0));

  penstock::thread_stage strict{{.concurrency = 2, .batch = 8, .batch_wait = 1h},
                                [&calls](penstock::batch<std::string const> asked) {
                                  ++calls;
                                  std::vector<std::string> answers;
                                  for (auto const& word : asked) answers.push_back(translated(word));
                                  return answers;
                                }};
  strict.scatter_many(words);
  for (auto const& outcome : strict.outcomes()) {
    if (!outcome) std::printf("item %zu failed: %s\n", outcome.index(), outcome.error().what());
  }
  std::printf("calls: %d, on all, on halves, on halves of these\n", calls.load());
}
