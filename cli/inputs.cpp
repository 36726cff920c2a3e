// SPDX-License-Identifier: Apache-2.0
#include "cli/inputs.hpp"

#include "cli/text.hpp"

#include <fmt/format.h>

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace penstock::cli {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

struct folder_entry {
  std::string name;
  unsigned char type;  // as in dirent; DT_UNKNOWN on file systems that do not tell
};

struct close_folder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// The entries of `folder` in the order of their names' bytes; throws input_error where it cannot be read.
std::vector<folder_entry> sorted_entries(std::string const& folder) {
  std::unique_ptr<DIR, close_folder> const handle{::opendir(folder.c_str())};
  if (!handle) throw input_error{input_error_kind::unreadable, "reading the folder: " + reason(errno)};
  std::vector<folder_entry> entries;
  while (true) {
    errno = 0;
    dirent const* const next = ::readdir(handle.get());
    if (next == nullptr) break;
    std::string_view const name = next->d_name;
    if (name != "." && name != "..") entries.push_back({std::string{name}, next->d_type});
  }
  if (errno != 0) throw input_error{input_error_kind::unreadable, "reading the folder: " + reason(errno)};
  std::ranges::sort(entries, {}, &folder_entry::name);
  return entries;
}

bool is_folder(std::string const& path, unsigned char type) {
  if (type == DT_DIR) return true;
  if (type != DT_LNK && type != DT_UNKNOWN) return false;
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

input_list::input_list(std::span<std::string const> arguments) {
  for (std::string const& argument : arguments) {
    if (argument.starts_with('@')) {
      add_list(argument.substr(1));
    } else {
      add_argument(argument);
    }
  }
}

std::string input_list::path(std::size_t index) const {
  entry const& item = entries_[index];
  return folders_[item.folder] + names_.substr(item.name_offset, item.name_length);
}

input_error const* input_list::problem(std::size_t index) const {
  auto const found = problems_.find(index);
  return found == problems_.end() ? nullptr : &found->second;
}

void input_list::add_argument(std::string const& path) {
  struct stat status{};
  // A link to nothing exists: it is listed as an item that failed, like one found in a folder.
  if (::lstat(path.c_str(), &status) != 0) {
    throw std::runtime_error{fmt::format("input '{}': {}", path, reason(errno))};
  }
  add_path(path);
}

void input_list::add_list(std::string const& path) {
  std::ifstream list{path};
  struct stat status{};
  if (!list || (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode))) {
    throw std::runtime_error{fmt::format("input '@{}': {}; @ names a file with one path a line", path,
                                         list ? reason(EISDIR) : reason(errno))};
  }
  std::string line;
  while (std::getline(list, line)) {
    if (line.find('\0') != std::string::npos) {
      throw std::runtime_error{fmt::format(
          "input '@{}': it holds a zero byte; one path a line is read, as `find` prints without -print0", path)};
    }
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) add_path(line);
  }
  if (list.bad()) throw std::runtime_error{fmt::format("input '@{}': {}", path, reason(EIO))};
}

void input_list::add_path(std::string const& path) {
  if (is_folder(path, DT_UNKNOWN)) {
    std::vector<folder_identity> parents;
    walk(path, parents);
  } else {
    add(0, path);
  }
}

void input_list::walk(std::string const& folder, std::vector<folder_identity>& parents) {
  struct stat status{};
  ::stat(folder.c_str(), &status);
  folder_identity const self{status.st_dev, status.st_ino};
  if (std::ranges::find(parents, self) != parents.end()) {
    add_problem(0, folder, {input_error_kind::not_a_file, "is a link to a folder that contains it"});
    return;
  }
  std::vector<folder_entry> entries;
  try {
    entries = sorted_entries(folder);
  } catch (input_error const& error) {
    add_problem(0, folder, error);
    return;
  }
  parents.push_back(self);
  std::string const prefix = folder.ends_with('/') ? folder : folder + '/';
  auto const number = static_cast<std::uint32_t>(folders_.size());
  folders_.push_back(prefix);
  for (auto const& [name, type] : entries) {
    if (name.starts_with('.')) {
      ++hidden_;
    } else if (is_folder(prefix + name, type)) {
      walk(prefix + name, parents);
    } else {
      add(number, name);
    }
  }
  parents.pop_back();
}

void input_list::add(std::uint32_t folder, std::string_view name) {
  entries_.push_back({names_.size(), static_cast<std::uint32_t>(name.size()), folder});
  names_ += name;
}

void input_list::add_problem(std::uint32_t folder, std::string_view name, input_error problem) {
  problems_.emplace(entries_.size(), std::move(problem));
  add(folder, name);
}

}  // namespace penstock::cli
