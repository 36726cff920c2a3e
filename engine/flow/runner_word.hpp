// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// The running side of a stage in one atomic word, so that one operation ends an item, counts it and frees its slot.
namespace penstock::detail::runner_word {

inline constexpr std::uint64_t halted = 1;  // no body starts: the stage is being cancelled or destroyed
inline constexpr std::uint64_t waking = 2;  // a posted runner has not started yet
inline constexpr std::uint64_t active = 4;  // times: slots in use, by bodies and by runners that look for the next cell
inline constexpr std::uint64_t running = std::uint64_t{1} << 16U;   // times: bodies that have begun and not ended
inline constexpr std::uint64_t finished = std::uint64_t{1} << 32U;  // times: items that have ended, modulo 2^32

inline constexpr int most_active = (1 << 14) - 1;

constexpr int active_in(std::uint64_t word) noexcept { return static_cast<int>(word >> 2U & 0x3fffU); }
constexpr std::uint32_t running_in(std::uint64_t word) noexcept { return word >> 16U & 0xffffU; }
constexpr std::uint32_t finished_in(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word >> 32U); }

}  // namespace penstock::detail::runner_word
