// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace penstock::detail {

/// How far ahead to ask for one of many cells that are gone through: about as long as another core's memory takes to come.
inline constexpr std::size_t cells_ahead = 8;

/// Asks for the cache line at an address, to be written soon; another core may have it. Any address will do.
inline void fetch(void const* address) noexcept {
#if defined(__x86_64__)
  // As an instruction, since compilers that build for every x86-64 ask for a copy to read. The few that lack it ignore it.
  asm volatile("prefetchw %0" : : "m"(*static_cast<char const*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

/// The same for the one behind it, too.
inline void fetch_two_lines(void const* address) noexcept {
  fetch(address);
  fetch(static_cast<std::byte const*>(address) + 64);
}

}  // namespace penstock::detail
