// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace penstock::detail {

/// The engine's own stage for what is to run when a cell is finished. It has no bound and no end.
/// Thread-safe; does not block. Throws std::bad_alloc.
[[nodiscard]] stage_core& continuation_stage();

/// A call of `then()` that waits for one cell, and runs however that ended: with a result, failed, cancelled.
///
/// It is a body like any other: it runs on an engine's thread, on top of no other body, and may block. So user code that
/// waits for an item never runs inside the engine. It belongs to itself; `then` goes when it has run.
template <class Then>
class continuation final : public cell {
  static_assert(std::is_nothrow_move_constructible_v<Then> && std::is_nothrow_invocable_v<Then&>);

 public:
  /// Lets `then()` run once `awaited` is finished, at once if it is. Whoever calls sees to it that `awaited` lives until
  /// then, for example by a handle in `then`. May have run when this returns.
  /// Throws std::bad_alloc, and what making the engine throws; then nothing has happened.
  static void attach(cell& awaited, Then then) {
    stage_core& stage = continuation_stage();
    item_place const at = stage.admit();
    void* block = nullptr;
    try {
      block = acquire_block(sizeof(continuation), alignof(continuation));
    } catch (...) {
      stage.dismiss(at);
      throw;
    }
    auto* const created = ::new (block) continuation{stage, at, std::move(then)};
    stage_core::publish(*created);
    (void)stage_core::claim(*created);  // nobody gathers it,
    created->drop_handle();             // or has a future of it: the engine's share keeps it until it has run
    if (!created->depend_only_on(awaited, created->link_)) stage_core::ready(*created);
  }

 private:
  continuation(stage_core& stage, item_place const& at, Then&& then) noexcept
      : cell{stage, at}, then_{std::move(then)} {}
  ~continuation() = default;

  bool run(failure_ptr /*its stage is never cancelled*/) noexcept override {
    then_();
    return true;
  }
  void release_arguments() noexcept override {}
  void dispose() noexcept override {
    this->~continuation();
    release_block(this, sizeof(continuation), alignof(continuation));
  }

  link link_;
  Then then_;
};

}  // namespace penstock::detail
