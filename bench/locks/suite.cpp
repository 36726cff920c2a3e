// SPDX-License-Identifier: Apache-2.0
#include "bench/locks/suite.hpp"

#include "bench/locks/measurement.hpp"
#include "bench/support/named.hpp"
#include "bench/support/report.hpp"
#include "bench/support/turns.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace locks {
namespace {

using nlohmann::json;
using support::figures;
using support::named;

json record_of(bench const& of, std::string_view impl, std::string_view name, std::string_view unit,
               figures const& runs) {
  return {{"bench", of.name},
          {"title", of.title},
          {"impl", impl},
          {"figure", name},
          {"unit", unit},
          {"runs", runs},
          {"median", support::median(runs)}};
}

// The figures of a column, one after the other; each has its runs.
void add_records(json& records, bench const& of, column const& measured, std::size_t row,
                 std::vector<figures> const& rounds) {
  for (std::size_t i = 0; i < measured.figures.size(); ++i) {
    figures runs;
    for (figures const& round : rounds) runs.push_back(round.at(i));
    records.push_back(record_of(of, of.candidates[row].name, measured.figures[i].name, measured.figures[i].unit, runs));
  }
}

void measure_bench(json& records, bench const& of, bool quick, support::turns& turns) {
  std::vector taken(of.columns.size(), std::vector<std::vector<figures>>(of.candidates.size()));
  turns.run(of.title, of.columns.size(), of.candidates.size(), [&](std::size_t at, std::size_t row) {
    column const& under = of.columns[at];
    candidate const& who = of.candidates[row];
    if (who.only_alone && under.asked.threads > 1) return;
    std::vector<std::string> words{of.name, std::string{who.name}, under.name};
    if (quick) words.emplace_back("--quick");
    taken[at][row].push_back(support::measured_in_a_process(words));
  });
  for (std::size_t at = 0; at < taken.size(); ++at) {
    for (std::size_t row = 0; row < taken[at].size(); ++row) {
      if (!taken[at][row].empty()) add_records(records, of, of.columns[at], row, taken[at][row]);
    }
  }
}

// For the p99 of a row, what it would be in an ideal line with the holds of the same round.
void add_ideal(json& records, bench const& of, json const& p99, json const& mean_hold) {
  conditions const& asked = of.columns.front().asked;
  auto const waited = p99.at("runs").get<figures>();
  auto const held = mean_hold.at("runs").get<figures>();
  double const nominal = asked.ideal_wait(static_cast<double>(asked.hold.count()) / 1e3);
  figures ideal;
  figures to_ideal;
  figures to_nominal;
  for (std::size_t i = 0; i < waited.size(); ++i) {
    ideal.push_back(asked.ideal_wait(held[i] / 1e3));
    to_ideal.push_back(waited[i] / ideal.back());
    to_nominal.push_back(waited[i] / nominal);
  }
  auto const impl = p99.at("impl").get<std::string>();
  records.push_back(record_of(of, impl, "ideal", "ms", ideal));
  records.push_back(record_of(of, impl, "p99 / ideal", "", to_ideal));
  records.push_back(record_of(of, impl, "p99 / nominal", "", to_nominal));
}

}  // namespace

json measure_all(bool quick) {
  json records = json::array();
  support::turns turns{quick};
  for (bench const& each : catalogue()) measure_bench(records, each, quick, turns);
  return records;
}

figures measure_one(std::string_view bench, std::string_view impl, std::string_view column, bool quick) {
  auto const& of = named(catalogue(), bench);
  auto const& under = named(of.columns, column);
  return named(of.candidates, impl).measure(quick ? under.quick : under.asked);
}

void complete(json& record) {
  bench const& of = named(catalogue(), record.at("bench").get<std::string>());
  auto const name = record.at("figure").get<std::string>();
  record["title"] = of.title;
  for (column const& each : of.columns) {
    for (figure const& some : each.figures) {
      if (some.name == name) record["unit"] = some.unit;
    }
  }
}

void conclude(json& records) {
  json const measured = records;
  for (json const& p99 : measured) {
    if (p99.at("figure") != "p99") continue;
    for (json const& other : measured) {
      if (other.at("figure") != "mean hold" || other.at("bench") != p99.at("bench") ||
          other.at("impl") != p99.at("impl"))
        continue;
      add_ideal(records, named(catalogue(), p99.at("bench").get<std::string>()), p99, other);
    }
  }
  support::add_ratios(records, {"bench", "figure"});
}

}  // namespace locks
