// SPDX-License-Identifier: Apache-2.0
// What penstock costs on top of the bodies, beside its peers: time an item, a task and a round, time to the first result,
// memory. A driver of its own rather than Google Benchmark, which measures one row after the other in one process: here
// rows take turns, each in a fresh process, on an idle machine and beside a foreign load. docs/benchmarks.md explains it.
#include "bench/overhead/measurement.hpp"
#include "bench/overhead/report.hpp"
#include "bench/overhead/suite.hpp"
#include "bench/support/named.hpp"
#include "bench/support/program.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string>

namespace {

void complete(nlohmann::json& record) {
  overhead::bench const& of = support::named(overhead::catalogue(), record.at("bench").get<std::string>());
  record.update({{"title", of.title}, {"unit", of.unit}});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Measures what penstock costs on top of the bodies, beside its peers.", "overhead"};
  std::string bench;
  std::string impl;
  int stages = 1;
  int items = 1;
  long turns = 0;
  auto* const measure = app.add_subcommand("measure", "take one figure in this process, and print it");
  measure->add_option("bench", bench)->required();
  measure->add_option("row", impl)->required();
  measure->add_option("stages", stages)->required()->check(CLI::IsMember{{1, 2, 4, 8}});
  measure->add_option("items", items)->required()->check(CLI::PositiveNumber);
  measure->add_option("turns", turns, "of a body's loop")->required()->check(CLI::NonNegativeNumber);
  measure->callback([&] { fmt::print("{}\n", overhead::measure_one(bench, impl, stages, items, turns)); });
  return support::run(app,
                      {.measure_all = overhead::measure_all,
                       .python_script = PENSTOCK_LOX_OVERHEAD,
                       .python_peers = "lox and ThreadPoolExecutor",
                       .complete = complete,
                       .conclude = overhead::add_ratios,
                       .tables_of = overhead::tables_of},
                      argc, argv);
}
