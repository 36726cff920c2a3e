// SPDX-License-Identifier: Apache-2.0
#pragma once

// Tells ThreadSanitizer of the hand-overs that go through libtbb, which is not instrumented: what happened before
// released(tag) happened before what follows handed_over(tag). Nothing in other builds.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace penstock::detail {

inline void release_to_tbb([[maybe_unused]] void* tag) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(tag);
#endif
}

inline void acquire_from_tbb([[maybe_unused]] void* tag) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(tag);
#endif
}

}  // namespace penstock::detail
