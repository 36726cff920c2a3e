// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"
#include "cli/run_report.hpp"

namespace penstock::cli {

/// Runs `penstock preprocess`: reads and decodes all inputs, writes arrays, manifest, run.json and contact sheet, and
/// tells what came of it. Memory is bounded whatever the number of inputs. Takes SIGINT, SIGTERM and SIGHUP while it runs: what
/// is under way is finished and written.
///
/// Throws a std::exception with one line of text where a run cannot begin, and leaves nothing behind then; a run that
/// fails later says why in the report.
run_report preprocess(preprocess_options const& options);

}  // namespace penstock::cli
