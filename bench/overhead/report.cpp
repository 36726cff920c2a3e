// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/report.hpp"

#include "bench/overhead/measurement.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string>

namespace overhead {
namespace {

using nlohmann::json;
using support::table;
using support::titled;
using support::with_ratio;

// A column a number of stages. All cells of a table have one unit, which suits the first.
void add_chain(std::vector<table>& tables, json const& record) {
  auto const body = record.at("body").get<std::string>();
  auto const title = fmt::format("{}, {}, {}", record.at("title").get<std::string>(),
                                 body == "empty" ? "empty bodies" : "bodies of " + body,
                                 record.at("load") == "idle" ? "idle machine" : record.at("load").get<std::string>());
  double const median = record.at("median");
  table const otherwise = median < 3e3   ? table{{}, {"ns/item"}, {}, 1}
                          : median < 3e5 ? table{{}, {"us/item"}, {}, 1e3}
                                         : table{{}, {"ms/item"}, {}, 1e6};
  table& into = titled(tables, title, otherwise);
  int const stages = record.at("stages");
  auto const column = fmt::format("{} stage{}", stages, stages == 1 ? "" : "s");
  support::put(into, record.at("impl"), column, with_ratio(record, into.unit));
}

void add_other(std::vector<table>& tables, json const& record) {
  table& into = titled(tables, record.at("title"), {{}, {"", record.at("unit")}, {}});
  support::put(into, record.at("impl"), record.at("unit"), with_ratio(record));
}

}  // namespace

void add_ratios(json& records) { support::add_ratios(records, {"bench", "load", "body", "stages"}); }

std::vector<table> tables_of(json const& report) {
  std::vector<table> tables;
  for (json const& record : report.at("records")) {
    if (record.at("bench") == chain_bench) add_chain(tables, record);
    else add_other(tables, record);
  }
  return tables;
}

}  // namespace overhead
