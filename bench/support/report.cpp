// SPDX-License-Identifier: Apache-2.0
#include "bench/support/report.hpp"

#include "bench/support/figures.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <utility>

namespace support {
namespace {

using nlohmann::json;

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

// Of each column but the first.
std::vector<std::size_t> widths_of(table const& of) {
  std::vector<std::size_t> widths(of.head.size());
  auto const widen = [&](std::vector<std::string> const& cells) {
    for (std::size_t i = 1; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  };
  widen(of.head);
  for (auto const& row : of.rows) widen(row);
  return widths;
}

}  // namespace

void add_ratios(json& records, std::initializer_list<char const*> keys) {
  for (auto& record : records) {
    auto const first = std::ranges::find_if(records, [&](json const& other) {
      return std::ranges::all_of(
          keys, [&](char const* key) { return record.value(key, json{}) == other.value(key, json{}); });
    });
    figures ratios;
    std::ranges::transform(record.at("runs").get<figures>(), first->at("runs").get<figures>(),
                           std::back_inserter(ratios), std::divides{});
    record["ratio"] = median(std::move(ratios));
  }
}

table& titled(std::vector<table>& tables, std::string const& title, table const& otherwise) {
  auto const found = std::ranges::find(tables, title, &table::title);
  if (found != tables.end()) return *found;
  tables.push_back(otherwise);
  tables.back().title = title;
  return tables.back();
}

void put(table& into, std::string const& row, std::string const& column, std::string cell) {
  auto const place = [](auto& range, auto const& proj, std::string const& name) {
    auto const found = std::ranges::find(range, name, proj);
    return static_cast<std::size_t>(found - range.begin());
  };
  auto const at = place(into.head, std::identity{}, column);
  if (at == into.head.size()) {
    into.head.push_back(column);
    for (auto& cells : into.rows) cells.emplace_back("-");
  }
  auto const line = place(into.rows, [](auto const& cells) -> std::string const& { return cells.front(); }, row);
  if (line == into.rows.size()) {
    into.rows.emplace_back(into.head.size(), "-").front() = row;
  }
  into.rows[line][at] = std::move(cell);
}

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

std::string to_text(json const& report, std::vector<table> const& tables) {
  std::size_t first_width = 0;
  for (table const& each : tables) {
    for (auto const& row : each.rows) first_width = std::max(first_width, row.front().size());
  }
  std::string text =
      machine_line(report) + '\n' + warning(report) +
      "Medians; behind them that of the ratios to the first row of the same round (Python's: measured later).\n";
  for (table const& each : tables) {
    text += '\n' + each.title + '\n';
    auto const widths = widths_of(each);
    auto const line = [&](std::vector<std::string> const& cells) {
      text += fmt::format("  {:<{}}", cells.front(), first_width);
      for (std::size_t i = 1; i < cells.size(); ++i) text += fmt::format("  {:>{}}", cells[i], widths[i]);
      text += '\n';
    };
    line(each.head);
    for (auto const& row : each.rows) line(row);
  }
  return text;
}

std::string to_markdown(json const& report, std::vector<table> const& tables) {
  std::string text = machine_line(report) + ".\n";
  if (auto const warned = warning(report); !warned.empty()) text += '\n' + warned;
  for (table const& each : tables) {
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

}  // namespace support
