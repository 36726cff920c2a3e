// SPDX-License-Identifier: Apache-2.0
#include "imaging/partial_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace penstock::imaging {

namespace {
constexpr std::size_t pending_limit = 64 * 1024;
constexpr std::string_view suffix = ".partial";
}  // namespace

std::filesystem::path partial_file::partial_path(std::filesystem::path const& path) {
  std::string name{'.'};
  name.append(path.filename().string()).append(suffix);
  return path.parent_path() / name;
}

bool partial_file::is_partial_name(std::string_view name) { return name.starts_with('.') && name.ends_with(suffix); }

partial_file::partial_file(std::filesystem::path path) : path_{std::move(path)}, partial_{partial_path(path_)} {
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
}

partial_file::~partial_file() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

void partial_file::append(std::span<std::byte const> bytes) {
  if (pending_.size() + bytes.size() > pending_limit) flush();
  if (bytes.size() > pending_limit) {
    write_at(written_, bytes);
    written_ += bytes.size();
  } else {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  }
}

void partial_file::overwrite(std::uint64_t offset, std::span<std::byte const> bytes) {
  flush();
  write_at(offset, bytes);
}

void partial_file::truncate(std::uint64_t size) {
  if (size >= written_) {
    pending_.resize(static_cast<std::size_t>(size - written_));
    return;
  }
  pending_.clear();
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail();
  written_ = size;
}

void partial_file::commit() {
  flush();
  // Some file systems report a full disk only here; after the rename it would be too late.
  if (::fsync(descriptor_) != 0) fail();
  if (::rename(partial_.c_str(), path_.c_str()) != 0) fail();
  ::close(std::exchange(descriptor_, -1));
}

void partial_file::flush() {
  write_at(written_, pending_);
  written_ += pending_.size();
  pending_.clear();
}

void partial_file::write_at(std::uint64_t offset, std::span<std::byte const> bytes) {
  while (!bytes.empty()) {
    ssize_t const count = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void partial_file::fail() const {
  throw std::system_error{errno, std::generic_category(), "writing " + path_.string()};
}

void sync_folder(std::filesystem::path const& folder) {
  int const descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  int const failed = ::fsync(descriptor);
  int const reason = errno;
  ::close(descriptor);
  if (failed != 0 && reason != EINVAL && reason != ENOTSUP) {
    throw std::system_error{reason, std::generic_category(), "writing " + folder.string()};
  }
}

}  // namespace penstock::imaging
