// SPDX-License-Identifier: Apache-2.0
#include "bench/support/program.hpp"

#include "bench/support/child.hpp"
#include "bench/support/machine.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace support {
namespace {

using nlohmann::json;

struct run_options {
  bool quick = false;
  std::string save;
  std::string commit;
  std::string python;
};

// That the Python peers' records are missing is told, and is no reason to throw the others away.
void add_python(json& report, subject const& of, run_options const& options) {
  if (options.python.empty()) return;
  std::vector<std::string> command{options.python, "-B", of.python_script};
  if (options.quick) command.emplace_back("--quick");
  try {
    fmt::print(stderr, "[      ] {}\n", of.python_peers);
    json const measured = json::parse(output_of(command));
    report["machine"]["python"] = measured.at("python");
    for (json record : measured.at("records")) {
      of.complete(record);
      report["records"].push_back(std::move(record));
    }
  } catch (std::exception const& error) {
    fmt::print(stderr, "no rows for {}: {}\n", of.python_peers, error.what());
  }
}

void measure(subject const& of, run_options const& options) {
  json report{{"machine", describe_machine()}, {"quick", options.quick}};
  if (!options.commit.empty()) report["commit"] = options.commit;
  report["records"] = of.measure_all(options.quick);
  add_python(report, of, options);
  of.conclude(report["records"]);
  if (!options.save.empty()) {
    std::ofstream file{options.save};
    file << report.dump(1) << '\n';
    if (!file.flush()) throw std::runtime_error{"cannot write " + options.save};
  }
  fmt::print("{}", to_text(report, of.tables_of(report)));
}

json load(std::string const& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  return json::parse(file);
}

}  // namespace

int run(CLI::App& app, subject const& of, int argc, char** argv) {
  app.require_subcommand(0, 1);
  run_options options;
  app.add_flag("--quick", options.quick, "less of everything: shows that it works, not how fast");
  app.add_option("--json", options.save, "also write all figures to this file");
  app.add_option("--commit", options.commit, "what to call the measured source");
  app.add_option("--python", options.python, "a Python that has lox: measure too " + of.python_peers);

  std::string path;
  auto* const text = app.add_subcommand("show", "print the table of such a file");
  auto* const markdown = app.add_subcommand("markdown", "print it as Markdown");
  for (auto* const command : {text, markdown}) command->add_option("file", path)->required();
  auto const print = [&](auto const& written) {
    json const report = load(path);
    fmt::print("{}", written(report, of.tables_of(report)));
  };
  text->callback([&] { print(to_text); });
  markdown->callback([&] { print(to_markdown); });

  try {
    app.parse(std::vector<std::string>{std::reverse_iterator{argv + argc}, std::reverse_iterator{argv + 1}});
    if (app.get_subcommands().empty()) measure(of, options);
    return 0;
  } catch (CLI::ParseError const& error) {
    return app.exit(error);
  } catch (std::exception const& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return 1;
  }
}

}  // namespace support
