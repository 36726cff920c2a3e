// SPDX-License-Identifier: Apache-2.0
// Does it pay to do what explain() says? Pipelines whose bottleneck is first, in the middle, last, or in one branch of a
// diamond are run, asked, and run again with the widths that the text names. The bodies sleep, so processors are no limit.
#include <penstock/penstock.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using stage = penstock::thread_stage<int(int)>;

constexpr int items = 200;

struct shape {
  std::chrono::milliseconds body;
  int concurrency;
};
struct pipeline {
  char const* bottleneck;
  std::array<shape, 3> stages;
  bool is_diamond = false;  // both of the first two feed the third, and take what a stage before them makes
};
using widths = std::map<std::string, int>;

struct outcome {
  double items_per_second;
  std::string advice;
};

outcome run(pipeline const& asked, widths const& changed) {
  auto const options = [&](std::string const& name, int concurrency) {
    auto const found = changed.find(name);
    return penstock::stage_options{.concurrency = found != changed.end() ? found->second : concurrency, .name = name};
  };
  auto const nap = [](std::chrono::milliseconds time) {
    return [time](int x) {
      std::this_thread::sleep_for(time);
      return x;
    };
  };
  auto const& [a, b, c] = asked.stages;
  stage source{options("source", 4), nap(0ms)};
  stage first{options("first", a.concurrency), nap(a.body)};
  stage middle{options("middle", b.concurrency), nap(b.body)};
  penstock::thread_stage last{options("last", c.concurrency), [nap = nap(c.body)](int x, int y) { return nap(x + y); }};
  auto const start = std::chrono::steady_clock::now();
  for (int i = 0; i < items; ++i) {
    if (asked.is_diamond) {
      auto const item = source.scatter(i);
      last.scatter(first.scatter(item), middle.scatter(item));
    } else {
      last.scatter(middle.scatter(first.scatter(i)), 0);
    }
  }
  (void)last.gather();
  std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
  return {items / elapsed.count(), last.explain()};
}

widths named_in(std::string const& advice) {
  widths found;
  std::regex const change{"\\.concurrency = ([0-9]+) for '([a-z]+)'"};
  for (std::sregex_iterator each{advice.begin(), advice.end(), change}, end; each != end; ++each) {
    found[(*each)[2]] = std::stoi((*each)[1]);
  }
  return found;
}

}  // namespace

int main() {
  std::vector<pipeline> const pipelines{{"first", {{{5ms, 2}, {1ms, 4}, {1ms, 4}}}},
                                        {"middle", {{{1ms, 4}, {5ms, 2}, {1ms, 4}}}},
                                        {"last", {{{1ms, 4}, {1ms, 4}, {5ms, 2}}}},
                                        {"middle", {{{1ms, 4}, {5ms, 2}, {1ms, 4}}}, true}};
  bool all_well = true;
  for (auto const& each : pipelines) {
    outcome const before = run(each, {});
    outcome const after = run(each, named_in(before.advice));
    bool const is_named = before.advice.starts_with("Stage '" + std::string{each.bottleneck} + "' is");
    double const speed_up = after.items_per_second / before.items_per_second;
    std::printf("bottleneck %s%s: %.0f items a second, then %.0f: %.1f times as many%s\n  before: %s\n  after: %s\n",
                each.bottleneck, each.is_diamond ? " (diamond)" : "", before.items_per_second, after.items_per_second,
                speed_up, is_named ? "" : "; the advice names another stage", before.advice.c_str(),
                after.advice.c_str());
    all_well = all_well && is_named && speed_up >= 1.3;
  }
  return all_well ? 0 : 1;
}
