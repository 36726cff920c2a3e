// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>

#include <utility>

namespace penstock::detail {

/// Cells in a row, through their next_.
struct cell_row {
  cell* first = nullptr;
  cell* last = nullptr;

  void append(cell& added) noexcept {
    added.next_ = nullptr;
    (first != nullptr ? last->next_ : first) = &added;
    last = &added;
  }
  cell* take() noexcept { return first != nullptr ? std::exchange(first, first->next_) : nullptr; }
};

}  // namespace penstock::detail
