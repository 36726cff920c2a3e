// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/manifest.hpp"
#include "cli/options.hpp"
#include "cli/prepare.hpp"
#include "cli/run_report.hpp"
#include "imaging/contact_sheet.hpp"
#include "imaging/shard_writer.hpp"

#include <string_view>

namespace penstock::cli {

/// Everything that a run leaves in its folder, fed item by item in input order. No file has its name before it is
/// whole, and the manifest comes last: where there is one, all that it lists is there.
///
/// Keeps no item, but for the tiles of the contact sheet. Not thread-safe; blocks on the disk. Throws std::system_error
/// naming the file and the reason; then only salvage() makes sense. `options` must outlive it.
class run_output {
 public:
  explicit run_output(preprocess_options const& options);

  /// The next item has been prepared.
  void add(std::string_view input, prepared item);
  /// The next item has failed.
  void add_failed(std::string_view input, item_failure const& failure);
  [[nodiscard]] tally const& items() const { return now_; }

  /// Writes what is left; `report` receives what is known here and goes into run.json.
  void finish(run_report& report);
  /// After a failed write: keeps the shards that are whole, and lists just the items up to there. Without a whole shard
  /// nothing is left behind. Does not throw: what cannot be written either is left out.
  void salvage(run_report& report) noexcept;

 private:
  void mark_if_settled();
  void write_sheet() const;
  void commit(run_report& report);

  preprocess_options const& options_;
  imaging::shard_writer shards_;
  manifest manifest_;
  imaging::contact_sheet sheet_;
  tally now_;
  tally marked_;  // as of the last moment at which no shard was open
};

}  // namespace penstock::cli
