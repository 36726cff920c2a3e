// SPDX-License-Identifier: Apache-2.0
/// Replaces the global operator new, so that a test can let memory run out. For one source file of a program.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace penstock::test {

/// That many of this thread's next allocations fail.
inline thread_local int allocations_to_fail = 0;

}  // namespace penstock::test

// NOLINTBEGIN(misc-definitions-in-headers,cppcoreguidelines-no-malloc)
// None is inlined: g++ would see free() meet new.
[[gnu::noinline]] void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
  if (penstock::test::allocations_to_fail > 0) {
    --penstock::test::allocations_to_fail;
    return nullptr;
  }
  return std::malloc(size);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* const made = operator new(size, std::nothrow)) return made;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* made) noexcept { std::free(made); }
[[gnu::noinline]] void operator delete(void* made, std::size_t) noexcept { std::free(made); }
// NOLINTEND(misc-definitions-in-headers,cppcoreguidelines-no-malloc)
