// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/suite.hpp"

#include "bench/overhead/measurement.hpp"
#include "bench/support/child.hpp"
#include "bench/support/named.hpp"
#include "bench/support/turns.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace overhead {
namespace {

using nlohmann::json;
using support::busy_core;
using support::figures;
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

class suite {
 public:
  explicit suite(bool quick) : quick_{quick}, turns_{quick} {}

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

  void run_columns(bench const& of, std::vector<column> columns, std::string_view title) {
    for (column& each : columns) each.runs.resize(of.candidates.size());
    turns_.run(title, columns.size(), of.candidates.size(), [&](std::size_t at, std::size_t row) {
      conditions const& asked = columns[at].asked;
      figures const taken =
          support::measured_in_a_process({of.name, std::string{of.candidates[row].name}, std::to_string(asked.stages),
                                          std::to_string(asked.items), std::to_string(asked.body.turns)});
      columns[at].runs[row].push_back(taken.front());
    });
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
                  {"median", support::median(runs)},
                  {"runs", runs}};
      record.update(measured.variant);
      records_.push_back(std::move(record));
    }
  }

  bool quick_;
  support::turns turns_;
  json records_ = json::array();
};

}  // namespace

json measure_all(bool quick) { return suite{quick}.run(); }

double measure_one(std::string_view bench, std::string_view impl, int stages, int items, long turns) {
  return support::named(support::named(catalogue(), bench).candidates, impl)
      .measure({static_cast<std::size_t>(stages), items, {turns}});
}

}  // namespace overhead
