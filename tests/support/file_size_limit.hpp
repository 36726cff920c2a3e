// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <cstddef>

namespace penstock::test {

/// While alive, no file of this process can grow beyond `size_bytes`: writing fails with EFBIG, as on a full disk.
class file_size_limit {
 public:
  explicit file_size_limit(std::size_t size_bytes) {
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limited = before_;
    limited.rlim_cur = size_bytes;
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  file_size_limit(file_size_limit const&) = delete;
  file_size_limit& operator=(file_size_limit const&) = delete;
  ~file_size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace penstock::test
