// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/report.hpp"

#include "bench/overhead/measurement.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

namespace overhead {
namespace {

using nlohmann::json;

struct table {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  double unit = 1;
};

// Three significant digits, without an exponent.
std::string short_number(double value) {
  if (value >= 99.95) return fmt::format("{:.0f}", value);
  if (value >= 9.995) return fmt::format("{:.1f}", value);
  if (value >= 0.9995) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3f}", value);
}

std::string with_ratio(json const& record, double unit) {
  double const ratio = record.at("ratio");
  return fmt::format("{} {:>6}", short_number(record.at("median").get<double>() / unit),
                     ratio < 9.995 ? fmt::format("{:.2f}x", ratio) : fmt::format("{:.0f}x", ratio));
}

// The table with that title; a new one goes to the end, so that tables stay in the order in which records come.
table& titled(std::vector<table>& tables, std::string const& title, table const& otherwise) {
  auto const found = std::ranges::find(tables, title, &table::title);
  if (found != tables.end()) return *found;
  tables.push_back(otherwise);
  tables.back().title = title;
  return tables.back();
}

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
  auto const impl = record.at("impl").get<std::string>();
  if (std::ranges::find(into.head, column) == into.head.end()) into.head.push_back(column);
  auto row = std::ranges::find_if(into.rows, [&](auto const& each) { return each.front() == impl; });
  if (row == into.rows.end()) row = into.rows.insert(row, {impl});
  row->push_back(with_ratio(record, into.unit));
}

void add_other(std::vector<table>& tables, json const& record) {
  table& into = titled(tables, record.at("title"), {{}, {"", record.at("unit")}, {}});
  into.rows.push_back({record.at("impl"), with_ratio(record, into.unit)});
}

std::vector<table> tables_of(json const& report) {
  std::vector<table> tables;
  for (json const& record : report.at("records")) {
    if (record.at("bench") == chain_bench) add_chain(tables, record);
    else add_other(tables, record);
  }
  return tables;
}

std::string machine_line(json const& report) {
  json const& machine = report.at("machine");
  auto const text = [&](char const* key) { return machine.at(key).get<std::string>(); };
  std::string versions =
      fmt::format("{}, {}, oneTBB {}, penstock {}", text("kernel"), text("compiler"), text("onetbb"), text("penstock"));
  if (report.contains("commit")) versions += fmt::format(" ({})", report.at("commit").get<std::string>());
  if (machine.contains("python")) versions += ", Python " + text("python");
  return fmt::format("{}, {} cores, {}; load average at the start {:.2f}; {}{} rounds", text("processor"),
                     machine.at("cores").get<int>(), versions, machine.at("load_average").get<double>(),
                     report.at("records").front().at("runs").size(), report.at("quick") ? " short" : "");
}

// Printed with the figures, since whoever copies them should copy this too.
std::string warning(json const& report) {
  double const load = report.at("machine").at("load_average");
  std::string text;
  if (report.at("quick")) text += "A quick run: it shows that everything works; the figures are not for quoting.\n";
  if (load > 0.3)
    text += "Something else ran on the machine before the start: run it again before you believe a figure.\n";
  return text;
}

// A bar ends a cell.
std::string escaped(std::string const& cell) {
  std::string text;
  for (char const c : cell) text += c == '|' ? std::string{"\\|"} : std::string{c};
  return text;
}

bool same_variant(json const& a, json const& b) {
  constexpr std::array keys{"bench", "load", "body", "stages"};
  return std::ranges::all_of(keys, [&](char const* key) { return a.value(key, json{}) == b.value(key, json{}); });
}

}  // namespace

void add_ratios(json& records) {
  for (auto& record : records) {
    auto const first = std::ranges::find_if(records, [&](json const& other) { return same_variant(record, other); });
    figures ratios;
    std::ranges::transform(record.at("runs").get<figures>(), first->at("runs").get<figures>(),
                           std::back_inserter(ratios), std::divides{});
    record["ratio"] = median(std::move(ratios));
  }
}

std::string to_text(json const& report) {
  auto const tables = tables_of(report);
  std::size_t first_width = 0;
  for (table const& each : tables) {
    for (auto const& row : each.rows) first_width = std::max(first_width, row.front().size());
  }
  std::string text =
      machine_line(report) + '\n' + warning(report) +
      "Medians; behind them that of the ratios to the first row of the same round (Python's: measured later).\n";
  for (table const& each : tables) {
    text += '\n' + each.title + '\n';
    auto const line = [&](std::vector<std::string> const& cells) {
      text += fmt::format("  {:<{}}", cells.front(), first_width);
      for (std::size_t i = 1; i < cells.size(); ++i) text += fmt::format(" {:>16}", cells[i]);
      text += '\n';
    };
    line(each.head);
    for (auto const& row : each.rows) line(row);
  }
  return text;
}

std::string to_markdown(json const& report) {
  std::string text = machine_line(report) + ".\n";
  if (auto const warned = warning(report); !warned.empty()) text += '\n' + warned;
  for (table const& each : tables_of(report)) {
    text += fmt::format("\n**{}**\n\n", each.title);
    auto const line = [&](std::vector<std::string> const& cells) {
      for (auto const& cell : cells) text += fmt::format("| {} ", escaped(cell));
      text += "|\n";
    };
    line(each.head);
    text += "| --- ";
    for (std::size_t i = 1; i < each.head.size(); ++i) text += "| ---: ";
    text += "|\n";
    for (auto const& row : each.rows) line(row);
  }
  return text;
}

}  // namespace overhead
