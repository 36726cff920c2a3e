// SPDX-License-Identifier: Apache-2.0
#include "cli/read_file.hpp"

#include "cli/input_error.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <string_view>
#include <system_error>

namespace penstock::cli {

namespace {

class file_descriptor {
 public:
  explicit file_descriptor(int value) : value_{value} {}
  file_descriptor(file_descriptor const&) = delete;
  file_descriptor& operator=(file_descriptor const&) = delete;
  ~file_descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void throw_unreadable(int error) {
  throw input_error{input_error_kind::unreadable, std::generic_category().message(error)};
}

std::string_view name_of_type(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

void require_regular(struct stat const& status) {
  if (S_ISREG(status.st_mode)) return;
  throw input_error{input_error_kind::not_a_file, fmt::format("is {}, not a file", name_of_type(status.st_mode))};
}

// Looks before opening: opening a device or a FIFO can have effects of its own.
void require_file(std::string const& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return require_regular(status);
  int const error = errno;
  if (error == ENOENT && ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) {
    throw input_error{input_error_kind::not_a_file, "is a link to nothing"};
  }
  throw_unreadable(error);
}

// Fills `bytes` as far as the file goes and returns how far that is.
std::size_t read_all(int descriptor, std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done != bytes.size()) {
    ssize_t const count = ::read(descriptor, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_unreadable(errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace

file_bytes read_file(std::string const& path, byte_budget& budget) {
  require_file(path);
  // O_NONBLOCK: a FIFO put in the file's place since then must not hang the run.
  file_descriptor const file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.value() < 0) throw_unreadable(errno);
  struct stat status{};
  if (::fstat(file.value(), &status) != 0) throw_unreadable(errno);
  require_regular(status);
  auto const size = static_cast<std::size_t>(status.st_size);
  if (size > max_file_bytes) {
    throw input_error{input_error_kind::too_large,
                      fmt::format("has {} bytes; at most {} are read", size, max_file_bytes)};
  }
  file_bytes result{budget.acquire(size), {}};
  result.bytes.resize(size);
  result.bytes.resize(read_all(file.value(), result.bytes));
  return result;
}

}  // namespace penstock::cli
