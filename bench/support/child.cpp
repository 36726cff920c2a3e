// SPDX-License-Identifier: Apache-2.0
#include "bench/support/child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace support {
namespace {

constexpr unsigned limit_seconds = 300;

[[noreturn]] void throw_errno(char const* what) { throw std::system_error{errno, std::generic_category(), what}; }

// 0 in the child, which the kernel kills when this thread ends. A terminal's Ctrl-C reaches it anyway.
pid_t fork_that_ends_with_us() {
  pid_t const parent = getpid();
  pid_t const child = fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // the parent has ended in between
  }
  return child;
}

void move_to_last_core() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  for (int core = CPU_SETSIZE - 1; core >= 0; --core) {
    if (!CPU_ISSET(core, &usable)) continue;
    CPU_ZERO(&usable);
    CPU_SET(core, &usable);
    sched_setaffinity(0, sizeof usable, &usable);
    return;
  }
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

std::string output_of(std::vector<std::string> const& command) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe");
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  pid_t const child = fork_that_ends_with_us();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    alarm(limit_seconds);  // outlives exec
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  std::string output;
  std::array<char, 4096> part{};
  for (ssize_t size = 0; (size = read(ends[0], part.data(), part.size())) > 0;) {
    output.append(part.data(), static_cast<std::size_t>(size));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) {
    std::string line;
    for (auto const& word : command) line += word + ' ';
    throw std::runtime_error{line + how_it_ended(status)};
  }
  return output;
}

busy_core::busy_core() : process_{fork_that_ends_with_us()} {
  if (process_ != 0) return;
  move_to_last_core();
  for (unsigned volatile turn = 0;;) turn = turn + 1;
}

busy_core::~busy_core() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace support
