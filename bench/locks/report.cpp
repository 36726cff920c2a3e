// SPDX-License-Identifier: Apache-2.0
#include "bench/locks/report.hpp"

#include "bench/locks/measurement.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace locks {
namespace {

using nlohmann::json;
using support::figures;
using support::table;

// Of a table of waits, in this order.
constexpr std::array<std::string_view, 9> wait_columns{"p50",         "p99",           "max",    "mean hold", "ideal",
                                                       "p99 / ideal", "p99 / nominal", "spread", "holds/s"};

std::string head_of(json const& record) {
  auto const unit = record.at("unit").get<std::string>();
  auto const name = record.at("figure").get<std::string>();
  return unit.empty() ? name : fmt::format("{}, {}", name, unit);
}

void add_waits(table& into, json const& record) {
  auto const name = record.at("figure").get<std::string>();
  support::put(into, record.at("impl"), head_of(record),
               name == "p99" ? support::with_ratio(record) : support::short_number(record.at("median")));
}

json const& found(json const& records, std::string_view bench, std::string_view figure) {
  auto const record = std::ranges::find_if(records, [&](json const& each) {
    return each.at("bench") == bench && each.at("impl") == semaphore_row && each.at("figure") == figure;
  });
  if (record == records.end()) throw std::runtime_error{fmt::format("there is no {} of {}", figure, bench)};
  return *record;
}

// The best of the first three rounds, so that more rounds do not make it easier.
double best_of_three(json const& record) {
  auto runs = record.at("runs").get<figures>();
  runs.resize(std::min<std::size_t>(runs.size(), 3));
  return std::ranges::min(runs);
}

// What index_semaphore is to reach.
table targets(json const& records) {
  table all{"Targets of index_semaphore", {"", "at most", "measured", ""}, {}};
  auto const add = [&](std::string const& what, double most, double measured, std::string_view unit) {
    all.rows.push_back({what, fmt::format("{:.4g}{}", most, unit), fmt::format("{:.3g}{}", measured, unit),
                        measured <= most ? "met" : "MISSED"});
  };
  json const& idle = found(records, index_bench, "idle");
  add("idle", 15, idle.at("median"), " ns");
  add("idle, against mutex + condvar", 0.6, idle.at("ratio"), "x");
  add("8 threads, 2 slots: p99", 4, found(records, few_waiters_bench, "p99").at("median"), " ms");
  add("8 threads, 2 slots: spread", 1.1, found(records, few_waiters_bench, "spread").at("median"), "");
  add("64 threads, 4 slots: p99 / ideal, best of three", 1.3,
      best_of_three(found(records, many_waiters_bench, "p99 / ideal")), "");
  return all;
}

}  // namespace

std::vector<table> tables_of(json const& report) {
  std::vector<table> tables;
  json const& records = report.at("records");
  auto const table_of = [&](json const& record) -> table& {
    return support::titled(tables, record.at("title"), {{}, {""}, {}});
  };
  for (json const& record : records) {
    if (std::ranges::find(wait_columns, record.at("figure").get<std::string>()) == wait_columns.end())
      support::put(table_of(record), record.at("impl"), record.at("figure"), support::with_ratio(record));
  }
  for (std::string_view const name : wait_columns) {
    for (json const& record : records) {
      if (record.at("figure") == name) add_waits(table_of(record), record);
    }
  }
  tables.push_back(targets(records));
  return tables;
}

}  // namespace locks
