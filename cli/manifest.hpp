// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/partial_file.hpp"
#include "imaging/shard_writer.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace penstock::cli {

/// Why one item has no row: where it failed, what kind of failure it was, and its text.
struct item_failure {
  std::string stage;
  std::string kind;
  std::string what;
};

/// `manifest.jsonl`: one JSON object a line, one line an item, in input order. The file has its name once committed.
///
/// Not thread-safe; blocks on the disk; throws as imaging::partial_file does.
class manifest {
 public:
  static constexpr std::string_view file_name = "manifest.jsonl";

  explicit manifest(std::filesystem::path const& folder) : file_{folder / file_name} {}

  /// The next item was written at `where`; the picture had `width` x `height` pixels as displayed.
  void add_written(std::string_view input, imaging::shard_writer::place const& where, int width, int height);
  /// The next item failed.
  void add_failed(std::string_view input, item_failure const& failure);

  /// Remembers this point: rollback() forgets the items after it.
  void mark() { marked_size_bytes_ = file_.size_bytes(); }
  void rollback() { file_.truncate(marked_size_bytes_); }
  void commit() { file_.commit(); }

 private:
  imaging::partial_file file_;
  std::size_t items_ = 0;
  std::uint64_t marked_size_bytes_ = 0;
};

}  // namespace penstock::cli
