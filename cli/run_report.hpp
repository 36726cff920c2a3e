// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/manifest.hpp"
#include "cli/options.hpp"
#include "imaging/shard_writer.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cli {

inline constexpr std::string_view run_file_name = "run.json";
inline constexpr std::string_view contact_file_name = "contact.png";

/// What one stage did.
struct stage_figures {
  std::string name;
  int concurrency = 1;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;              ///< In this stage itself, not in one before it.
  std::chrono::duration<double> busy{};  ///< Time in bodies, all of them together.
};

/// How many items came to what end.
struct tally {
  struct named_failure {
    std::string input;
    item_failure failure;
  };
  static constexpr std::size_t max_named = 5;

  std::size_t written = 0;
  std::size_t failed = 0;
  std::map<std::string, std::size_t> failed_by_kind;
  std::vector<named_failure> first_failures;  ///< At most max_named.

  void add_failed(std::string_view input, item_failure const& failure);
  [[nodiscard]] std::size_t finished() const { return written + failed; }
};

/// What came of a run: the content of run.json and of the summary.
struct run_report {
  std::size_t inputs = 0;
  std::size_t hidden = 0;  ///< Entries of folders that were left out.
  tally items;
  std::size_t on_sheet = 0;
  bool interrupted = false;
  std::string error;   ///< Why the run stopped early; empty when it did not fail.
  bool saved = false;  ///< Whether the folder holds a manifest of what was written.
  std::chrono::duration<double> elapsed{};
  std::vector<stage_figures> stages;
  std::vector<imaging::shard_writer::shard> shards;

  [[nodiscard]] exit_code code() const;
};

/// run.json's text, with a newline at its end.
std::string to_json(run_report const& report, preprocess_options const& options);
/// A few lines for a person.
std::string to_text(run_report const& report, preprocess_options const& options);

}  // namespace penstock::cli
