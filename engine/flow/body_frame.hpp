// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>

#include <cstdint>

namespace penstock::detail {

class stage_state;

// A body that this thread is in; others may be around it, where stages run inline.
struct body_frame {
  stage_state* stage;
  cell const* item;
  std::uint32_t items;  // in its batch; 0 where it takes one at a time
  bool has_slot;
  body_frame const* outer;
};
inline thread_local constinit body_frame const* innermost_body = nullptr;

// While it lives, this thread is in a body of the stage.
class entered_body {
 public:
  entered_body(stage_state& stage, cell const& item, std::uint32_t items, bool has_slot) noexcept
      : frame_{&stage, &item, items, has_slot, innermost_body} {
    innermost_body = &frame_;
  }
  entered_body(entered_body const&) = delete;
  entered_body& operator=(entered_body const&) = delete;
  ~entered_body() { innermost_body = frame_.outer; }

 private:
  body_frame frame_;
};

// The innermost body that `is_wanted` accepts; null when there is none.
inline body_frame const* find_body(auto const& is_wanted) {
  body_frame const* each = innermost_body;
  while (each != nullptr && !is_wanted(*each)) each = each->outer;
  return each;
}

}  // namespace penstock::detail
