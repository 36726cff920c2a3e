// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <initializer_list>
#include <string>
#include <vector>

// A report is {"machine", "quick", "records"} and perhaps "commit"; a record has "bench", "impl", "unit", "median" and
// "runs" at least.
namespace support {

/// Gives every record its "ratio" to the first one with the same values of these keys: the median of the ratios of the
/// single rounds, whose runs lie next to each other.
void add_ratios(nlohmann::json& records, std::initializer_list<char const*> keys);

struct table {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  double unit = 1;
};

/// The table with that title; a new one, otherwise like this, goes to the end: tables stay in the order of the records.
table& titled(std::vector<table>& tables, std::string const& title, table const& otherwise);
/// Puts a cell into the table, whose row and column are made if there are none; "-" stands where there is no cell.
void put(table& into, std::string const& row, std::string const& column, std::string cell);

/// Three significant digits, without an exponent.
std::string short_number(double value);
/// A record's median and ratio, for a cell.
std::string with_ratio(nlohmann::json const& record, double unit = 1);

/// The report for a terminal, or the same for docs/benchmarks.md.
std::string to_text(nlohmann::json const& report, std::vector<table> const& tables);
std::string to_markdown(nlohmann::json const& report, std::vector<table> const& tables);

}  // namespace support
