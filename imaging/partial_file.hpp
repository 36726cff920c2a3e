// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace penstock::imaging {

/// A file that appears under its name only when it is whole.
///
/// Until commit() the bytes are in a hidden neighbour, `.NAME.partial`; a destroyed, uncommitted object removes it, so
/// only SIGKILL or a power cut can leave one behind. Not thread-safe. Calls block on the disk.
/// Throws std::system_error whose text names the final path and the reason: "writing out/a.npy: No space left on device".
class partial_file {
 public:
  /// Opens the hidden neighbour of `path`; it must not exist yet.
  explicit partial_file(std::filesystem::path path);
  partial_file(partial_file const&) = delete;
  partial_file& operator=(partial_file const&) = delete;
  ~partial_file();

  /// Appends `bytes`; small pieces are collected, so an error may show in a later call.
  void append(std::span<std::byte const> bytes);
  void append(std::string_view text) { append(std::as_bytes(std::span{text})); }
  /// Replaces bytes that were appended before; `offset + bytes.size()` must not pass size_bytes().
  void overwrite(std::uint64_t offset, std::span<std::byte const> bytes);
  /// Forgets everything appended after the first `size` bytes.
  void truncate(std::uint64_t size);
  [[nodiscard]] std::uint64_t size_bytes() const { return written_ + pending_.size(); }

  /// Makes the bytes durable and gives the file its name. Nothing may be called afterwards.
  void commit();

  [[nodiscard]] std::filesystem::path const& path() const { return path_; }

  /// The hidden neighbour that holds the bytes of `path` until it is whole.
  static std::filesystem::path partial_path(std::filesystem::path const& path);
  /// Whether `name` (without a folder) is that of a hidden neighbour.
  static bool is_partial_name(std::string_view name);

 private:
  void flush();
  void write_at(std::uint64_t offset, std::span<std::byte const> bytes);
  [[noreturn]] void fail() const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;
  std::vector<std::byte> pending_;
};

/// Makes the names in `folder` durable (fsync of the folder); file systems that cannot do it are left alone.
void sync_folder(std::filesystem::path const& folder);

}  // namespace penstock::imaging
