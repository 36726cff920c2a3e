// SPDX-License-Identifier: Apache-2.0
#include "cli/output_folder.hpp"

#include "cli/manifest.hpp"
#include "cli/run_report.hpp"
#include "imaging/partial_file.hpp"
#include "imaging/shard_writer.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace penstock::cli {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(fs::path const& path, int error) {
  throw std::system_error{error, std::generic_category(), fmt::format("--out {}", path.string())};
}

void make_folder(fs::path const& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(path, error.value());
}

bool is_result(std::string const& name) {
  return name == manifest::file_name || name == run_file_name || name == contact_file_name ||
         imaging::shard_writer::is_shard_name(name);
}

}  // namespace

output_folder::output_folder(fs::path path) : path_{std::move(path)} {
  make_folder(path_);
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail(path_, errno);
  try {
    lock();
    require_unused();
    remove_partial_files();
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

output_folder::~output_folder() { ::close(lock_); }

void output_folder::lock() {
  // Where the file system has no locks, two runs into one folder are the user's to avoid.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw std::runtime_error{fmt::format("--out {}: another run is writing there", path_.string())};
  }
}

void output_folder::require_unused() const {
  for (fs::directory_entry const& entry : fs::directory_iterator{path_}) {
    std::string const name = entry.path().filename().string();
    if (!is_result(name)) continue;
    throw std::runtime_error{
        fmt::format("--out {}: already holds results of a run ({}); name another folder, or remove this one first",
                    path_.string(), name)};
  }
}

void output_folder::remove_partial_files() const {
  std::error_code ignored;  // what cannot be removed shows again, with its name, when its file is written
  for (fs::directory_entry const& entry : fs::directory_iterator{path_}) {
    std::string const name = entry.path().filename().string();
    if (!imaging::partial_file::is_partial_name(name)) continue;
    if (is_result(name.substr(1, name.rfind('.') - 1))) fs::remove(entry.path(), ignored);
  }
}

}  // namespace penstock::cli
