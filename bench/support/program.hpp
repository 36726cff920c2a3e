// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/report.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <string>
#include <vector>

namespace support {

/// What a program measures, and how it tells.
struct subject {
  /// The records of its own rows; a quick run measures less of everything.
  std::function<nlohmann::json(bool quick)> measure_all;
  /// A script that prints {"python", "records"}, the rows of Python's peers, and what to call these.
  std::string python_script;
  std::string python_peers;
  /// Adds to one of these records what only the program knows, as its title.
  std::function<void(nlohmann::json& record)> complete;
  /// Adds what follows from the records, as ratios, when all are there.
  std::function<void(nlohmann::json& records)> conclude;
  std::function<std::vector<table>(nlohmann::json const& report)> tables_of;
};

/// The whole main() of such a program but for its subcommands `measure`, which take one figure in a process and have to
/// do so in a callback. Adds the options that `./dev bench` uses. Returns what main() should.
int run(CLI::App& app, subject const& of, int argc, char** argv);

}  // namespace support
