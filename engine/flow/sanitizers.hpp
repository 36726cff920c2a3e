// SPDX-License-Identifier: Apache-2.0
#pragma once

// 1 in builds with that sanitizer, else 0; gcc and clang say it in different ways.
#if defined(__has_feature)
#define PENSTOCK_ADDRESS_SANITIZER (__has_feature(address_sanitizer))
#define PENSTOCK_THREAD_SANITIZER (__has_feature(thread_sanitizer))
#else
#if defined(__SANITIZE_ADDRESS__)
#define PENSTOCK_ADDRESS_SANITIZER 1
#else
#define PENSTOCK_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__)
#define PENSTOCK_THREAD_SANITIZER 1
#else
#define PENSTOCK_THREAD_SANITIZER 0
#endif
#endif

#if PENSTOCK_THREAD_SANITIZER
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#define PENSTOCK_NO_THREAD_SANITIZER [[gnu::no_sanitize("thread")]]
#else
#define PENSTOCK_NO_THREAD_SANITIZER
#endif

namespace penstock::detail {

// Tell ThreadSanitizer of hand-overs inside libraries that are not instrumented, libtbb above all: what happened before
// tsan_release(tag) happened before what follows tsan_acquire(tag). Nothing in other builds.
inline void tsan_release([[maybe_unused]] void* tag) noexcept {
#if PENSTOCK_THREAD_SANITIZER
  __tsan_release(tag);
#endif
}

inline void tsan_acquire([[maybe_unused]] void* tag) noexcept {
#if PENSTOCK_THREAD_SANITIZER
  __tsan_acquire(tag);
#endif
}

}  // namespace penstock::detail
