// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/input_error.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::cli {

/// What the arguments INPUT... stand for: the paths of all items in a fixed order, told without opening a file.
///
/// Files stand for themselves. Folders stand for everything below them except hidden entries, each folder's entries in
/// the order of their names' bytes, a folder's content in the place of its name; links to folders are followed, except
/// into a folder that contains them. `@FILE` stands for the paths in FILE, one a line, folders among them walked.
/// Immutable once made: may be read on many threads. Keeps each folder's path once and each name once, nothing else.
class input_list {
 public:
  /// Walks the arguments. Throws std::runtime_error, one line naming the argument and the reason, where a run should not
  /// begin: an argument that does not exist, a list that cannot be read.
  explicit input_list(std::span<std::string const> arguments);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// The item's path as it was found: the argument, and the names below it.
  [[nodiscard]] std::string path(std::size_t index) const;
  /// Why the item cannot be read, where the walk found out already; else null.
  [[nodiscard]] input_error const* problem(std::size_t index) const;
  /// How many hidden entries of folders were left out.
  [[nodiscard]] std::size_t hidden() const { return hidden_; }

 private:
  struct entry {
    std::size_t name_offset;
    std::uint32_t name_length;
    std::uint32_t folder;
  };
  using folder_identity = std::pair<std::uint64_t, std::uint64_t>;

  void add_argument(std::string const& path);
  void add_list(std::string const& path);
  void add_path(std::string const& path);
  void walk(std::string const& folder, std::vector<folder_identity>& parents);
  void add(std::uint32_t folder, std::string_view name);
  void add_problem(std::uint32_t folder, std::string_view name, input_error problem);

  std::string names_;
  std::vector<std::string> folders_{""};
  std::vector<entry> entries_;
  std::map<std::size_t, input_error> problems_;
  std::size_t hidden_ = 0;
};

}  // namespace penstock::cli
