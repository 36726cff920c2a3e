// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/gathering.hpp>
#include <penstock/detail/pipeline_call.hpp>
#include <penstock/detail/pipeline_core.hpp>
#include <penstock/detail/pipeline_steps.hpp>
#include <penstock/detail/scattering.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/detail/time.hpp>
#include <penstock/future.hpp>
#include <penstock/gather_options.hpp>
#include <penstock/outcome.hpp>
#include <penstock/stage_stats.hpp>
#include <penstock/stream.hpp>
#include <penstock/thread_stage.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock {

/// Stages one behind the other, fused into one: `pipeline photo = load | resize | store`. What one returns is the next
/// one's argument; scatter(), gather() and the future are those of the whole. An item costs little more than in one
/// stage: the thread that has run one body goes on to the next, as long as there is room and a slot.
///
/// The result of a stage is moved into the next one. A tuple fills one parameter an element (see stage_options::unpack), a
/// stage that returns void is followed by one without parameters. Each stage keeps its own options and counts, for its own
/// items and those of all pipelines together: never do more bodies run at once than its `.concurrency`. An item that
/// finds the next stage at its `.capacity` waits in front of it, without a thread and in order, and counts in the stage
/// before until then; so a slow stage holds up those before it, and at last scatter(). An error names the stage whose body
/// threw, and the item's index in the pipeline. An item that one stage drops goes no further.
///
/// The stages stay usable by themselves, can be in several pipelines, and must outlive them (else the program is ended).
/// cancel() of a stage ends what waits in it or in front of it; until the next gather of the stage, or of a pipeline
/// through it, what arrives there ends too. close() of a stage does not: what the pipeline has accepted is finished. With
/// `.concurrency = 0` a stage's body runs on the thread that brings the item.
///
/// Thread-safe, as thread_stage is. The destructor ends what is in no body and waits for running bodies; futures outlive
/// it. A moved-from pipeline can only be destroyed. A stage that takes batches is refused: std::invalid_argument.
template <class Signature>
class pipeline;

template <class R, class... P>
class pipeline<R(P...)> {
 public:
  using result_type = typename detail::result_of<R>::type;

  /// As those of thread_stage: the arguments are those of the first stage, and so is the capacity at which scatter()
  /// blocks. What they throw of a closed or cancelled stage is meant of the pipeline and of the first stage.
  template <class... A>
  future<result_type> scatter(A&&... arguments) {
    return scattering::scatter(*this, std::forward<A>(arguments)...);
  }
  template <class... A>
  [[nodiscard]] std::optional<future<result_type>> try_scatter(A&&... arguments) {
    return scattering::try_scatter(*this, std::forward<A>(arguments)...);
  }
  template <std::ranges::input_range Range>
  void scatter_many(Range&& range) {
    scattering::scatter_many(*this, std::forward<Range>(range));
  }

  /// As those of thread_stage, for the items of the pipeline. Stages of it that were cancelled can be used again after it.
  /// They throw would_deadlock inside a body of one of the stages, too.
  auto gather(gather_options const& options = {}) -> detail::gathered<result_type> {
    return detail::gather<result_type>(path_->home(), *path_, options);
  }
  template <class Rep, class Period>
  [[nodiscard]] auto gather_for(std::chrono::duration<Rep, Period> timeout) -> detail::gathered_in_time<result_type> {
    return detail::gather_until<result_type>(path_->home(), *path_, detail::deadline_after(timeout));
  }
  [[nodiscard]] std::vector<outcome<result_type>> outcomes() {
    return detail::gather_outcomes<result_type>(path_->home(), *path_);
  }

  /// As those of thread_stage. Of the items of one source, no more are under way or unread than the stages have room for
  /// together. Without a source, results that have not been read count against the capacity of the first stage.
  template <std::ranges::input_range Source>
  [[nodiscard]] auto stream(Source&& source) {
    return scattering::template stream<detail::in_order<result_type>>(*this, std::forward<Source>(source));
  }
  template <std::ranges::input_range Source>
  [[nodiscard]] auto as_completed(Source&& source) {
    return scattering::template stream<detail::as_finished<result_type>>(*this, std::forward<Source>(source));
  }
  [[nodiscard]] auto stream() {
    return outcome_stream{detail::stage_reader<result_type, detail::pipeline_core>{*path_, true}};
  }
  [[nodiscard]] auto as_completed() {
    return outcome_stream{detail::stage_reader<result_type, detail::pipeline_core>{*path_, false}};
  }

  /// Ends everything that is not in a body now, wherever it waits, and what is in one when that has returned. Running
  /// bodies are not asked to stop: only their own stage's cancel() does that. Nobody can scatter until the next gather.
  void cancel() noexcept { path_->home().cancel(); }
  /// No more items, for good. What was accepted is finished, and can be gathered.
  void close() noexcept { path_->home().close(); }

  /// Plain calls of the bodies, one after the other, here and now. Where one drops the item, the result is empty if it can
  /// be; else a stage_error of kind `dropped` is thrown.
  R operator()(P... parameters) {
    detail::pipeline_steps<P...> const& steps = *path_;
    auto const& stages = path_->stages();
    std::optional<typename detail::result_cell<result_type>::stored> result;
    detail::values_between values{steps};
    for (std::size_t step = 0; step < stages.size(); ++step) {
      bool const is_last = step + 1 == stages.size();
      detail::outlet const out{is_last ? &result : values.input(step + 1), is_last};
      bool const kept = step == 0 ? steps.first->call(*stages[0], out, std::forward<P>(parameters)...)
                                  : steps.later[step - 1]->run(*stages[step], values.input(step), out, true);
      values.advance(kept && !is_last ? step + 1 : 0);
      if (!kept) break;
    }
    if constexpr (detail::result_of<R>::may_drop) {
      return result;
    } else if constexpr (!std::is_void_v<R>) {
      if (result) return *std::move(result);
      throw stage_error{error_kind::dropped, *path_->home().name(), 0, "a body has dropped the item"};
    }
  }

  /// Exact counts of the pipeline's items. An item is `running` also while it is carried from one body to the next. `busy`
  /// and `wait` are empty: the stages have them.
  [[nodiscard]] stage_stats stats() const noexcept { return path_->home().stats(); }
  /// Which stage is the bottleneck, and the `.concurrency` to try: thread_stage::explain() of the last stage.
  [[nodiscard]] std::string explain() const { return path_->stages().back()->explain(); }

 private:
  template <class Stage, std::ranges::view Source, class Window>
  friend class detail::source_reader;
  template <class Front, class... Parameters>
  friend class detail::scattering;
  template <class Other>
  friend class pipeline;
  template <class R1, class... P1, class R2, class... P2>
  friend auto operator|(thread_stage<R1(P1...)>& first, thread_stage<R2(P2...)>& next);
  template <class R1, class... P1, class R2, class... P2>
  friend auto operator|(pipeline<R1(P1...)> const& first, thread_stage<R2(P2...)>& next);

  using path = detail::pipeline_path<P...>;
  using scattering = detail::scattering<pipeline, P...>;

  explicit pipeline(std::unique_ptr<path> joined) noexcept : path_{std::move(joined)} {}

  // The stages so far, of which the last returns R, and `next`.
  template <class R2, class... P2>
  static auto join(detail::pipeline_steps<P...> steps, std::vector<detail::stage_core*> stages,
                   thread_stage<R2(P2...)>& next) {
    steps.add(detail::make_later_step<result_type, R2, P2...>(*next.core_));
    stages.push_back(next.core_.get());
    return pipeline<R2(P...)>{std::make_unique<path>(std::move(steps), std::move(stages))};
  }
  static auto join(thread_stage<R(P...)>& first, auto& next) {
    detail::pipeline_steps<P...> steps;
    steps.first = std::make_shared<detail::body_of_first<R, P...>>();
    return join(std::move(steps), {first.core_.get()}, next);
  }

  // For detail::scattering.
  static constexpr bool has_bundles = false;
  [[nodiscard]] path& port() const noexcept { return *path_; }
  template <class Start, class... A>
  auto create(detail::pipeline_core::admission const& at, Start const& start, A&&... arguments) {
    try {
      return detail::with_holders<detail::type_list<P...>, A...>(path_->first_stage(), [&]<class Holders>(Holders) {
        return start(detail::pipeline_call<R(P...), Holders>::create(*path_, at, std::forward<A>(arguments)...));
      });
    } catch (...) {  // not from `start`
      path_->dismiss(at);
      throw;
    }
  }

  std::unique_ptr<path> path_;
};

/// The stages as a pipeline, which does not own them. Throws std::invalid_argument where `next` has .unpack = false and the
/// tuple it would get fits only unpacked, and where its .attempts cannot be kept.
template <class R1, class... P1, class R2, class... P2>
[[nodiscard]] auto operator|(thread_stage<R1(P1...)>& first, thread_stage<R2(P2...)>& next) {
  return pipeline<R1(P1...)>::join(first, next);
}
/// A pipeline of the same stages and one more; `first` is as it was.
template <class R1, class... P1, class R2, class... P2>
[[nodiscard]] auto operator|(pipeline<R1(P1...)> const& first, thread_stage<R2(P2...)>& next) {
  return pipeline<R1(P1...)>::join(static_cast<detail::pipeline_steps<P1...> const&>(*first.path_),
                                   first.path_->stages(), next);
}
// A pipeline does not own its stages, so each has a name and outlives it.
template <class R1, class... P1, class R2, class... P2>
void operator|(thread_stage<R1(P1...)> const&, thread_stage<R2(P2...)> const&&) = delete;  // name the stages
template <class R1, class... P1, class R2, class... P2>
void operator|(thread_stage<R1(P1...)> const&&, thread_stage<R2(P2...)> const&) = delete;  // name the stages
template <class R1, class... P1, class R2, class... P2>
void operator|(pipeline<R1(P1...)> const&, thread_stage<R2(P2...)> const&&) = delete;  // name the stages

}  // namespace penstock
