// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace penstock::cli {

/// The folder that one run writes to: made if missing, held against other runs while this object lives.
///
/// Refuses a folder that holds the results of a run; removes the hidden partial files of a run that was killed.
/// Throws std::system_error or std::runtime_error, one line naming the folder and the reason.
class output_folder {
 public:
  explicit output_folder(std::filesystem::path path);
  output_folder(output_folder const&) = delete;
  output_folder& operator=(output_folder const&) = delete;
  ~output_folder();

  [[nodiscard]] std::filesystem::path const& path() const { return path_; }

 private:
  void lock();
  void require_unused() const;
  void remove_partial_files() const;

  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace penstock::cli
