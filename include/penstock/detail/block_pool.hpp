// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace penstock::detail {

/// Memory for one cell of `size` bytes. Thread-safe; does not block for longer than one system allocation. The memory
/// belongs to the caller until `release_block` is called with the same size and alignment, on any thread.
/// Throws std::bad_alloc.
[[nodiscard]] void* acquire_block(std::size_t size, std::size_t alignment);
void release_block(void* block, std::size_t size, std::size_t alignment) noexcept;

}  // namespace penstock::detail
