// SPDX-License-Identifier: Apache-2.0
// What penstock costs on top of the bodies, beside its peers: time an item, a task and a round, time to the first result,
// memory. A driver of its own rather than Google Benchmark, which measures one row after the other in one process: here
// rows take turns, each in a fresh process, on an idle machine and beside a foreign load. docs/benchmarks.md explains it.
#include "bench/overhead/child.hpp"
#include "bench/overhead/machine.hpp"
#include "bench/overhead/measurement.hpp"
#include "bench/overhead/report.hpp"
#include "bench/overhead/suite.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using nlohmann::json;

struct run_options {
  bool quick = false;
  std::string save;
  std::string commit;
  std::string python;
};

// Adds the Python peers' records. That they are missing is told, and is no reason to throw the others away.
void add_python(json& report, run_options const& options) {
  if (options.python.empty()) return;
  std::vector<std::string> command{options.python, PENSTOCK_LOX_OVERHEAD};
  if (options.quick) command.emplace_back("--quick");
  try {
    fmt::print(stderr, "[      ] lox and ThreadPoolExecutor\n");
    json const measured = json::parse(overhead::output_of(command));
    report["machine"]["python"] = measured.at("python");
    for (json record : measured.at("records")) {
      overhead::bench const& of = overhead::named(overhead::catalogue(), record.at("bench").get<std::string>());
      record.update({{"title", of.title}, {"unit", of.unit}});
      report["records"].push_back(std::move(record));
    }
  } catch (std::exception const& error) {
    fmt::print(stderr, "overhead: no rows for lox and ThreadPoolExecutor: {}\n", error.what());
  }
}

void run(run_options const& options) {
  json report{{"machine", overhead::describe_machine()}, {"quick", options.quick}};
  if (!options.commit.empty()) report["commit"] = options.commit;
  report["records"] = overhead::measure_all(options.quick);
  add_python(report, options);
  overhead::add_ratios(report["records"]);
  if (!options.save.empty()) {
    std::ofstream file{options.save};
    file << report.dump(1) << '\n';
    if (!file.flush()) throw std::runtime_error{"cannot write " + options.save};
  }
  fmt::print("{}", overhead::to_text(report));
}

json load(std::string const& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  return json::parse(file);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Measures what penstock costs on top of the bodies, beside its peers.", "overhead"};
  app.require_subcommand(0, 1);
  run_options options;
  app.add_flag("--quick", options.quick, "less of everything: shows that it works, not how fast");
  app.add_option("--json", options.save, "also write all figures to this file");
  app.add_option("--commit", options.commit, "what to call the measured source");
  app.add_option("--python", options.python, "a Python that has lox: measure it and ThreadPoolExecutor too");

  std::string path;
  auto* const text = app.add_subcommand("show", "print the table of such a file");
  auto* const markdown = app.add_subcommand("markdown", "print it as Markdown");
  for (auto* const command : {text, markdown}) command->add_option("file", path)->required();

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

  try {
    app.parse(std::vector<std::string>{std::reverse_iterator{argv + argc}, std::reverse_iterator{argv + 1}});
    if (measure->parsed()) fmt::print("{}\n", overhead::measure_one(bench, impl, stages, items, turns));
    else if (text->parsed()) fmt::print("{}", overhead::to_text(load(path)));
    else if (markdown->parsed()) fmt::print("{}", overhead::to_markdown(load(path)));
    else run(options);
    return 0;
  } catch (CLI::ParseError const& error) {
    return app.exit(error);
  } catch (std::exception const& error) {
    fmt::print(stderr, "overhead: {}\n", error.what());
    return 1;
  }
}
