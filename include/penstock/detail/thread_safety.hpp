// SPDX-License-Identifier: Apache-2.0
#pragma once

// What clang's -Wthread-safety has to know of a lock; nothing for other compilers. The names and meanings are those of
// clang's "Thread Safety Analysis". A function that takes or gives back a lock is not looked into itself: it does so by
// means that the analysis does not see.
#if defined(__clang__)
#define PENSTOCK_THREAD_SAFETY(...) __attribute__((__VA_ARGS__))
#else
#define PENSTOCK_THREAD_SAFETY(...)
#endif

#define PENSTOCK_UNCHECKED PENSTOCK_THREAD_SAFETY(no_thread_safety_analysis)
#define PENSTOCK_CAPABILITY(name) PENSTOCK_THREAD_SAFETY(capability(name))
#define PENSTOCK_ACQUIRES PENSTOCK_THREAD_SAFETY(acquire_capability(), no_thread_safety_analysis)
#define PENSTOCK_TRY_ACQUIRES PENSTOCK_THREAD_SAFETY(try_acquire_capability(true), no_thread_safety_analysis)
#define PENSTOCK_RELEASES PENSTOCK_THREAD_SAFETY(release_capability(), no_thread_safety_analysis)
#define PENSTOCK_ACQUIRES_SHARED PENSTOCK_THREAD_SAFETY(acquire_shared_capability(), no_thread_safety_analysis)
#define PENSTOCK_TRY_ACQUIRES_SHARED \
  PENSTOCK_THREAD_SAFETY(try_acquire_shared_capability(true), no_thread_safety_analysis)
#define PENSTOCK_RELEASES_SHARED PENSTOCK_THREAD_SAFETY(release_shared_capability(), no_thread_safety_analysis)
