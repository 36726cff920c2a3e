// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/call_arguments.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/pipeline_core.hpp>
#include <penstock/detail/pipeline_steps.hpp>
#include <penstock/detail/signature.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace penstock::detail {

/// A pipeline's steps and its core, which goes first: cells need steps.
template <class... P>
// NOLINTNEXTLINE(misc-multiple-inheritance): one of them is data
class pipeline_path final : public pipeline_steps<P...>, public pipeline_core {
 public:
  pipeline_path(pipeline_steps<P...> steps, std::vector<stage_core*> stages)
      : pipeline_steps<P...>{std::move(steps)}, pipeline_core{std::move(stages)} {}
};

/// The cell of one item of a pipeline: the arguments of the first stage in holders H, then what the stages make of them,
/// one after the other.
template <class Signature, class Holders>
class pipeline_call;

template <class R, class... P, class... H>
class pipeline_call<R(P...), type_list<H...>> final : public result_cell<typename result_of<R>::type> {
 public:
  using path = pipeline_path<P...>;

  /// As call::create(). `to` is a pipeline whose steps fit.
  template <class... A>
  static pipeline_call& create(path& to, pipeline_core::admission const& taken, A&&... given) {
    std::size_t const extra = extra_blocks(to);
    void* const block = acquire_block(block_size(extra), alignof(pipeline_call));
    pipeline_call* created = nullptr;
    try {
      created = ::new (block) pipeline_call(to, taken, std::forward<A>(given)...);
      created->way_.extra_blocks = static_cast<std::uint16_t>(extra);
      if constexpr (!arguments::survive()) {
        if (to.first_stage().attempts() > 1) to.first_stage().throw_not_repeatable();
      }
      created->arguments_.claim(*created);
      return *created;
    } catch (...) {
      if (created != nullptr) created->~pipeline_call();
      release_block(block, block_size(extra), alignof(pipeline_call));
      throw;
    }
  }

  /// As those of call.
  void submit() noexcept {
    if (way_.at->runs_inline()) run_inline();
    else if (arguments_.subscribe(*this)) stage_core::ready(*this);
  }
  void submit(ready_cells& batch) noexcept {
    if (way_.at->runs_inline()) run_inline();
    else if (arguments_.subscribe(*this)) batch.add(*this);
  }
  void without_future() noexcept { this->renounce_handle(); }

 private:
  using base = result_cell<typename result_of<R>::type>;
  using arguments = call_arguments<type_list<P...>, type_list<H...>>;

  template <class... A>
  pipeline_call(path& to, pipeline_core::admission const& taken, A&&... given)
      : base{to.home(), taken.at},
        way_{.at = &to.first_stage(), .cancellations = taken.cancellations},
        arguments_{std::in_place, std::forward<A>(given)...} {
    if constexpr (arguments::is_charged) bytes_ = taken.at.bytes;
    this->note_way();
  }
  ~pipeline_call() = default;

  // Small values lie in the cell, others behind it.
  static constexpr std::size_t small_size = 8;
  static constexpr std::size_t unit = 64;
  static std::size_t extra_blocks(path const& to) noexcept {
    if (to.size <= small_size && to.alignment <= alignof(std::uint64_t)) return 0;
    return (to.size + unit - 1) / unit;
  }
  static std::size_t block_size(std::size_t extra) noexcept { return sizeof(pipeline_call) + extra * unit; }

  [[nodiscard]] path& route() const noexcept { return static_cast<path&>(*this->stage().route()); }
  // Where the inputs of later steps lie.
  [[nodiscard]] std::byte* inputs() noexcept {
    return way_.extra_blocks == 0 ? static_cast<std::byte*>(small_)
                                  : reinterpret_cast<std::byte*>(this) + sizeof(pipeline_call);
  }
  [[nodiscard]] void* input(path const& through, std::size_t step) noexcept { return inputs() + through.offset(step); }
  // What the stage before was charged with for the input that is there.
  [[nodiscard]] std::size_t& charged(path const& through) noexcept {
    return *reinterpret_cast<std::size_t*>(inputs() + through.bytes_offset);
  }

  void run_inline() noexcept {
    arguments_.wait();
    this->stage().route()->run_inline(*this);
  }

  // Runs the body of the next step, or refuses to. The step is the one after it when it has resulted in a value.
  bool run(failure_ptr refusal) noexcept override {
    bool over = true;
    cell const* const failed = way_.step == 0 ? arguments_.gravest_input() : nullptr;
    if (failed != nullptr) {
      this->fail(failed->failed(), true);
    } else if (refusal == nullptr) {
      over = attempt();
    } else if (this->failed() == nullptr) {
      this->fail(std::move(refusal), false);
    }
    if (over) release_arguments();
    if (over && this->failed() == nullptr) ++way_.step;
    return over;
  }

  // False when another attempt is to come later.
  bool attempt() noexcept {
    stage_core& stage = *way_.at;
    for (;;) {
      int const number = this->failed_attempts() + 1;
      bool const last = number >= stage.attempts();
      if (number > 1) stage.count_retry(*this);
      try {
        bool const kept = invoke(stage, last);
        this->forget_failure();
        if (!kept) this->fail(stage.dropped_failure(this->index()), false);
        return true;
      } catch (...) {
        this->fail(stage.failure_of_current_exception(this->index(), number), false);
      }
      // Without memory to count attempts in, there are no more.
      if (last || this->failed_attempts() < number || !stage.tries_again(*this)) return true;
      if (stage.backoff().count() > 0) return false;
    }
  }

  bool invoke(stage_core& stage, bool last) {
    path const& through = route();
    std::size_t const step = way_.step;
    bool const is_last = step == through.later.size();
    outlet out{is_last ? static_cast<void*>(&this->value_) : input(through, step + 1), is_last};
    bool const kept = step == 0 ? arguments_.pass_to(last, *through.pipeline_steps<P...>::first, stage, out)
                                : through.later[step - 1]->run(stage, input(through, step), out, last);
    if (is_last && kept) this->note_result();
    else if (kept && through.later[step]->is_charged()) charge_input(stage, through, step + 1);
    return kept;
  }

  // The body before the step has made its input.
  void charge_input(stage_core& maker, path const& through, std::size_t step) {
    later_step const& next = *through.later[step - 1];
    std::size_t bytes = 0;
    try {
      bytes = next.bytes(input(through, step));
    } catch (...) {  // from a size_bytes() of the program's own
      next.destroy(input(through, step));
      throw;
    }
    charged(through) = bytes;
    maker.note_result_size(bytes);
    maker.charge_result(bytes);
  }

  void release_arguments() noexcept override {
    if (way_.step == 0) {
      arguments_.release();
      if constexpr (arguments::is_charged) {
        if (bytes_ != 0) way_.at->discharge_arguments(std::exchange(bytes_, 0));
      }
    } else {
      path const& through = route();
      later_step const& step = *through.later[way_.step - 1U];
      step.destroy(input(through, way_.step));
      if (step.is_charged()) through.stages()[way_.step - 1U]->discharge_result(charged(through));
    }
  }

  void dispose() noexcept override {
    std::size_t const size = block_size(way_.extra_blocks);
    this->~pipeline_call();
    release_block(this, size, alignof(pipeline_call));
  }

  [[nodiscard]] passage* way() const noexcept override { return &way_; }

  passage mutable way_;
  [[no_unique_address]] arguments arguments_;
  [[no_unique_address]] std::conditional_t<arguments::is_charged, std::size_t, std::tuple<>> bytes_{};
  // NOLINTNEXTLINE(modernize-avoid-c-arrays): raw memory
  alignas(std::uint64_t) std::byte small_[small_size];
};

}  // namespace penstock::detail
