// SPDX-License-Identifier: Apache-2.0
// What it costs to take and give back an index or a lock, and how long those wait who have to: penstock's primitives
// beside their peers. docs/benchmarks.md explains it.
#include "bench/locks/report.hpp"
#include "bench/locks/suite.hpp"
#include "bench/support/program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <string>

int main(int argc, char** argv) {
  CLI::App app{"Measures what penstock's semaphores and locks cost, and how long they let wait, beside their peers.",
               "locks"};
  std::string bench;
  std::string impl;
  std::string column;
  bool quick = false;
  auto* const measure =
      app.add_subcommand("measure", "take the figures of one row and column in this process, and print them");
  measure->add_option("bench", bench)->required();
  measure->add_option("row", impl)->required();
  measure->add_option("column", column, "idle, 2 threads, 4 threads; of a bench of waits: waits")->required();
  measure->add_flag("--quick", quick);
  measure->callback([&] { fmt::print("{}\n", fmt::join(locks::measure_one(bench, impl, column, quick), " ")); });
  return support::run(app,
                      {.measure_all = locks::measure_all,
                       .python_script = PENSTOCK_LOX_LOCKS,
                       .python_peers = "lox and threading",
                       .complete = locks::complete,
                       .conclude = locks::conclude,
                       .tables_of = locks::tables_of},
                      argc, argv);
}
