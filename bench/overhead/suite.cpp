// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/suite.hpp"

#include "bench/overhead/child.hpp"
#include "bench/overhead/measurement.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace overhead {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

struct body_kind {
  char const* name;
  std::chrono::nanoseconds time;
  int calls;  // of bodies in one run, all stages together; 0: the bench says how many items there are
  int quick_calls;
};

constexpr std::array body_kinds{body_kind{"empty", 0ns, 0, 0}, body_kind{"10 us", 10us, 60'000, 8'000},
                                body_kind{"1 ms", 1ms, 400, 80}};
constexpr std::array stage_counts{1, 2, 4, 8};

double in_a_process(bench const& of, candidate const& who, conditions const& asked) {
  return std::stod(output_of({"/proc/self/exe", "measure", of.name, std::string{who.name}, std::to_string(asked.stages),
                              std::to_string(asked.items), std::to_string(asked.body.turns)}));
}

class suite {
 public:
  explicit suite(bool quick) : quick_{quick}, rounds_{quick ? 3 : 5} {}

  json run() {
    for (bench const& each : catalogue()) {
      if (each.name == chain_bench) run_chains(each);
      else run_columns(each, {{{1, items_of(each), {}}, json::object(), {}}}, each.name);
    }
    return records_;
  }

 private:
  // Of a table: what its rows are measured under, and what they took, a row and a round.
  struct column {
    conditions asked;
    json variant;
    std::vector<figures> runs;
  };

  [[nodiscard]] int items_of(bench const& of) const { return quick_ ? of.quick_items : of.items; }

  void run_chains(bench const& chains) {
    std::array<long, body_kinds.size()> turns{};
    std::ranges::transform(body_kinds, turns.begin(), turns_in, &body_kind::time);
    for (bool const foreign_load : {false, true}) {
      std::string const load = foreign_load ? "one core busy" : "idle";
      std::optional<busy_core> busy;
      if (foreign_load) busy.emplace();
      std::vector<column> columns;
      for (std::size_t i = 0; i < body_kinds.size(); ++i) {
        body_kind const& kind = body_kinds.at(i);
        for (int const stages : stage_counts) {
          int const calls = quick_ ? kind.quick_calls : kind.calls;
          int const items = calls == 0 ? items_of(chains) : calls / stages;
          columns.push_back({{static_cast<std::size_t>(stages), items, {turns.at(i)}},
                             {{"load", load}, {"body", kind.name}, {"stages", stages}},
                             {}});
        }
      }
      run_columns(chains, std::move(columns), chains.name + ", " + load);
    }
  }

  // In every round each row of each column once, the rows in a new order: so what disturbs the machine for a while, or what
  // a neighbour leaves behind, hits all rows of a column alike, and never all runs of one.
  void run_columns(bench const& of, std::vector<column> columns, std::string_view title) {
    std::vector<std::size_t> order(of.candidates.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (column& each : columns) each.runs.resize(order.size());
    for (int round = 1; round <= rounds_; ++round) {
      fmt::print(stderr, "[{:4.0f} s] {}, round {} of {}\n", watch_.elapsed<std::chrono::seconds>(), title, round,
                 rounds_);
      for (column& each : columns) {
        std::ranges::shuffle(order, random_);
        for (std::size_t const i : order) each.runs[i].push_back(in_a_process(of, of.candidates[i], each.asked));
      }
    }
    for (column const& each : columns) add_records(of, each);
  }

  void add_records(bench const& of, column const& measured) {
    for (std::size_t i = 0; i < of.candidates.size(); ++i) {
      figures const& runs = measured.runs[i];
      json record{{"bench", of.name},
                  {"title", of.title},
                  {"impl", of.candidates[i].name},
                  {"unit", of.unit},
                  {"items", measured.asked.items},
                  {"median", median(runs)},
                  {"runs", runs}};
      record.update(measured.variant);
      records_.push_back(std::move(record));
    }
  }

  bool quick_;
  int rounds_;
  stopwatch watch_;
  std::mt19937 random_{1};
  json records_ = json::array();
};

}  // namespace

json measure_all(bool quick) { return suite{quick}.run(); }

double measure_one(std::string_view bench, std::string_view impl, int stages, int items, long turns) {
  return named(named(catalogue(), bench).candidates, impl).measure({static_cast<std::size_t>(stages), items, {turns}});
}

}  // namespace overhead
