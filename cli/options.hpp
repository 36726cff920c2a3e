// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/progress.hpp"
#include "imaging/decode.hpp"
#include "imaging/npy_writer.hpp"
#include "kernels/normalize.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace penstock::cli {

/// The program's exit codes.
enum class exit_code { all_written = 0, run_failed = 1, usage = 2, some_failed = 3, interrupted = 130 };

/// What `penstock preprocess` was asked to do.
struct preprocess_options {
  std::vector<std::string> inputs;  ///< Files, folders, @lists.
  std::filesystem::path out;        ///< The folder for the results.
  imaging::transform transform{};   ///< From file to picture.
  imaging::element_type dtype = imaging::element_type::f32;
  kernels::channel_statistics statistics{};  ///< For f32: subtracted from values in 0..1, then divided by.
  int workers = 1;                           ///< Pictures decoded at once.
  std::size_t shard_size = 1024;             ///< Rows of a shard.
  std::optional<std::size_t> max_errors;     ///< More failed items than this end the run.
  progress_mode progress = progress_mode::automatic;
  bool json = false;  ///< run.json on stdout in place of the summary.
};

}  // namespace penstock::cli
