// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace penstock::detail {

/// Memory for one cell of `size` bytes, aligned for any type up to 64-byte alignment. Thread-safe; does not block for
/// longer than one system allocation. The memory belongs to the caller until `release_block` is called with the same
/// size, on any thread. Throws std::bad_alloc.
[[nodiscard]] void* acquire_block(std::size_t size);
void release_block(void* block, std::size_t size) noexcept;

}  // namespace penstock::detail
