// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csetjmp>

namespace penstock::imaging {

/// Calls `call`, which may do nothing but call a C library whose error handler jumps to `target`; returns whether it
/// came back the normal way. C++ exceptions must not pass through C frames, and a jump must not pass over destructors:
/// `call` therefore owns nothing and throws nothing.
template <typename Call>
[[nodiscard]] bool c_library_call(std::jmp_buf& target, Call const& call) noexcept {
  if (setjmp(target) != 0) return false;
  call();
  return true;
}

}  // namespace penstock::imaging
