// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace penstock::test {

/// A started program whose stdout and stderr are pipes to this process. Killed, if need be, when this object goes.
class program {
 public:
  struct result {
    int exit_code;  ///< -1 when a signal ended it.
    int signal;     ///< 0 when it exited.
    std::string out;
    std::string err;
  };

  /// `in_child` runs just before the program begins: async-signal-safe calls only.
  explicit program(std::vector<std::string> arguments, std::function<void()> const& in_child = [] {}) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) fail("pipe2");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    process_ = ::fork();
    if (process_ < 0) fail("fork");
    if (process_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      ::signal(SIGINT, SIG_DFL);  // a test runner in the background ignores it
      in_child();
      ::execv(argv[0], argv.data());
      ::_exit(126);
    }
    ::close(out[1]);
    ::close(err[1]);
    pipes_ = {{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
  }
  program(program const&) = delete;
  program& operator=(program const&) = delete;
  ~program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      (void)finish();
    }
    for (pollfd const& pipe : pipes_) {
      if (pipe.fd >= 0) ::close(pipe.fd);
    }
  }

  void send(int signal) const { ::kill(process_, signal); }
  void close_stdout() { ::close(std::exchange(pipes_[0].fd, -1)); }
  /// Reads on until `enough(what stderr said so far)`; false when the program ended before.
  bool read_until(std::function<bool(std::string const&)> const& enough) {
    while (!enough(texts_[1])) {
      if (!read_some()) return false;
    }
    return true;
  }
  /// Reads to the end and waits for it.
  result finish() {
    while (read_some()) continue;
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
    process_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0, texts_[0],
            texts_[1]};
  }

 private:
  [[noreturn]] static void fail(char const* call) { throw std::system_error{errno, std::generic_category(), call}; }

  // Blocks for the next piece of output; false at the end of both.
  bool read_some() {
    if (pipes_[0].fd < 0 && pipes_[1].fd < 0) return false;
    if (::poll(pipes_.data(), pipes_.size(), -1) < 0) return errno == EINTR;
    for (std::size_t i = 0; i != pipes_.size(); ++i) {
      if (pipes_[i].fd < 0 || pipes_[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      ssize_t const count = ::read(pipes_[i].fd, buffer.data(), buffer.size());
      if (count > 0) {
        texts_[i].append(buffer.data(), static_cast<std::size_t>(count));
      } else {
        ::close(std::exchange(pipes_[i].fd, -1));
      }
    }
    return true;
  }

  pid_t process_ = -1;
  std::array<pollfd, 2> pipes_{};
  std::array<std::string, 2> texts_;
};

}  // namespace penstock::test
