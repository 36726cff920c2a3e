// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "imaging/npy_writer.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::imaging {

struct shard_options {
  std::filesystem::path folder;        ///< Where the shards go; must exist.
  element_type type;                   ///< Of every element.
  std::vector<std::size_t> row_shape;  ///< Shape of one row, e.g. {3, 224, 224}.
  std::size_t rows_per_shard = 1024;   ///< Every shard but the last has so many rows.
};

/// Writes rows into `shard-000000.npy`, `shard-000001.npy`, ...; a shard has its name once it is full or finished.
///
/// Not thread-safe; blocks on the disk; throws as npy_writer does.
class shard_writer {
 public:
  struct place {
    std::string shard;  ///< File name, without the folder.
    std::size_t row;    ///< Counted from 0 within that shard.
  };
  struct shard {
    std::string name;
    std::size_t rows;
  };

  explicit shard_writer(shard_options options);

  /// Appends one row and tells where it is.
  place append(std::span<std::byte const> row);
  /// Finishes the shard begun last, if any.
  void finish();
  /// Drops the shard begun last with its rows, if any.
  void abandon() { open_.reset(); }
  /// Whether every row appended is in a file that has its name.
  [[nodiscard]] bool settled() const { return !open_; }
  /// The shards that have their names.
  [[nodiscard]] std::vector<shard> const& shards() const { return shards_; }

  static std::string shard_name(std::size_t number);
  /// Whether `name` (without a folder) is one that shard_name() makes.
  static bool is_shard_name(std::string_view name);

 private:
  shard_options options_;
  std::optional<npy_writer> open_;
  std::vector<shard> shards_;
};

}  // namespace penstock::imaging
