// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/batch.hpp>
#include <penstock/detail/batch_body.hpp>
#include <penstock/detail/call.hpp>
#include <penstock/detail/gathering.hpp>
#include <penstock/detail/scattering.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/detail/time.hpp>
#include <penstock/future.hpp>
#include <penstock/gather_options.hpp>
#include <penstock/outcome.hpp>
#include <penstock/stage_options.hpp>
#include <penstock/stage_stats.hpp>
#include <penstock/stream.hpp>

#include <chrono>
#include <concepts>
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

/// A function that runs on many items at once, on threads: scatter() sends work in, gather() brings results back in
/// scatter order.
///
/// The signature is read off the body: `thread_stage resize{4, [](image picture, int side) { ... }}` is a
/// thread_stage<image(image, int)>. A body may block; `concurrency` bodies run at once, whatever the number of cores.
/// It may throw: that item fails, and the items that depend on it, and no other. A body that returns std::optional<T> may
/// drop its item: the stage's results are T, and what depends on a dropped item is dropped too. A body that takes
/// std::stop_token first is told when cancel() or the destructor want it to stop; the token is no argument of scatter().
///
/// A body that takes a penstock::batch<T>, many items at once, returns std::vector<R>, one value for each, or
/// std::vector<outcome<R>>, where an error fails its own item only; or void. Its stage is a thread_stage<R(T)>: single Ts
/// are scattered, and single Rs come back, in scatter order; a plain call is a batch of one. See stage_options::batch for
/// when it runs. Items that were cancelled, or whose input failed, are in no batch. When the body throws for more than one,
/// it is run again on one half after the other, until the item that it throws for stands alone and fails; `.attempts` and
/// `.backoff` are for that one, and for one that failed by its outcome. (If the stage has been cancelled meanwhile, all of
/// them fail with what was thrown.) If the body returns another number of values than it was given items, all of them fail.
/// Arguments survive such runs: a `batch<T const>` refers to them; a `batch<T>` has copies for every run but the last
/// possible one, that of a single item. What cannot be copied is referred to, and a further run sees what the body has done
/// to it. Such a stage cannot be a part of a pipeline.
///
/// Thread-safe: any thread may scatter, gather and ask. There is one body object, which several threads call at once.
/// So a body that changes what it has captured, as a `mutable` lambda may, needs a lock, or a concurrency of 1.
/// scatter() blocks at capacity, gather() and outcomes() until the items are finished. The destructor cancels what has not
/// started and waits for running bodies, so a body must not destroy its own stage; futures outlive it. A moved-from stage
/// can only be destroyed. Constructing a stage starts no thread; the first scatter of a program does.
template <class Signature>
class thread_stage;
template <class Signature>
class graph_stage;
template <class Signature>
class pipeline;

template <class R, class... P>
class thread_stage<R(P...)> {
  // A stage is callable itself, but to take one as a body is always a copy that was not meant.
  template <class Body>
  static constexpr bool takes_one =
      std::is_invocable_r_v<R, std::decay_t<Body>&, P...> || detail::takes_stop_token<std::decay_t<Body>, R, P...>;
  template <class Body>
  static constexpr bool takes_batches = [] {
    if constexpr (takes_one<Body>) return false;
    else return detail::batch_form<std::decay_t<Body>, R, P...>::fits;
  }();
  template <class Body>
  static constexpr bool accepts =
      (takes_one<Body> || takes_batches<Body>) && !std::is_same_v<std::remove_cvref_t<Body>, thread_stage>;

 public:
  using result_type = typename detail::result_of<R>::type;

  /// Takes ownership of the body. Throws std::invalid_argument for an option out of range, and for a null pointer or an
  /// empty std::function as the body.
  template <class Body>
    requires accepts<Body>
  thread_stage(stage_options const& options, Body&& body)
      : body_{std::make_unique<stored<std::decay_t<Body>>>(check_body(std::forward<Body>(body)))},
        core_{(check_attempts<Body>(options),
               &detail::stage_core::open(options, body_.get(), sizes(), nullptr, body_->as_batch_body()))} {}
  template <class Body>
    requires accepts<Body>
  thread_stage(int concurrency, Body&& body)
      : thread_stage{stage_options{.concurrency = concurrency}, std::forward<Body>(body)} {}
  template <class Body>
    requires accepts<Body>
  explicit thread_stage(Body&& body) : thread_stage{stage_options{}, std::forward<Body>(body)} {}

  thread_stage(thread_stage&&) noexcept = default;
  thread_stage& operator=(thread_stage&&) = delete;
  ~thread_stage() = default;

  /// Sends one call of the body in and returns its future. An argument is a value for a parameter, a future of one
  /// (of any stage, in any position), or a vector of futures for a vector of values; the future of a tuple fills one
  /// parameter an element (see stage_options::unpack), the future of void none: it is only waited for. The call starts
  /// when its inputs are there; no thread waits for them. A scattered future leaves its own stage's gather. An argument
  /// future that is moved in passes its result on by move; one that is copied shares it. A value is copied or moved into the
  /// call: a parameter `T&` refers to the call's own T. std::ref(x) lets it refer to x, which the caller keeps alive and
  /// unchanged until the body has run.
  ///
  /// Blocks while the stage is at capacity, except inside a body, where it exceeds the bound rather than deadlock.
  /// Throws what copying an argument throws, already_gathered, std::logic_error for a future without an item,
  /// std::invalid_argument where .unpack = false leaves a tuple with no parameter or .attempts cannot be kept,
  /// stage_closed after close(), a stage_error of kind `cancelled` between cancel() and the end of the next gather,
  /// std::bad_alloc, and, the first time in a program, std::system_error when there is no thread to be had. Then nothing
  /// has been scattered; futures are as they were, but what else was moved in may be gone (see try_scatter).
  template <class... A>
  future<result_type> scatter(A&&... arguments) {
    return scattering::scatter(*this, std::forward<A>(arguments)...);
  }

  /// The same, but never blocks: nothing happens, and the arguments stay untouched, when the stage is at capacity.
  template <class... A>
  [[nodiscard]] std::optional<future<result_type>> try_scatter(A&&... arguments) {
    return scattering::try_scatter(*this, std::forward<A>(arguments)...);
  }

  /// Scatters every element of a range, in order: much cheaper than one call of scatter() each, for small bodies. An element
  /// is the argument of a body with one parameter, else a std::tuple or std::pair of the arguments; those of an rvalue
  /// range are moved. There are no futures: the results are for gather. Blocks at capacity, as scatter() does. When it
  /// throws, what scatter() throws, the elements before have been scattered.
  template <std::ranges::input_range Range>
  void scatter_many(Range&& range) {
    scattering::scatter_many(*this, std::forward<Range>(range));
  }

  /// Waits for the items scattered before the call and not taken out by other scatters, and returns their results in
  /// scatter order, without those that were dropped; the stage is empty afterwards. Of two concurrent gathers, each item
  /// goes to one. A cancelled stage can be used again after it.
  /// Throws gather_error<result_type>, which holds all outcomes, when an item has failed, and would_deadlock inside a body
  /// of this stage, or of one that items have come here from.
  auto gather(gather_options const& options = {}) -> detail::gathered<result_type> {
    return detail::gather<result_type>(*core_, *core_, options);
  }

  /// The same, but gives up after `timeout`: then it returns nothing (false for a body that returns void), and has taken
  /// nothing. Items that other threads scatter meanwhile are not waited for.
  template <class Rep, class Period>
  [[nodiscard]] auto gather_for(std::chrono::duration<Rep, Period> timeout) -> detail::gathered_in_time<result_type> {
    return detail::gather_until<result_type>(*core_, *core_, detail::deadline_after(timeout));
  }

  /// The same as gather() with a value or an error for every item. Does not throw for items.
  [[nodiscard]] std::vector<outcome<result_type>> outcomes() {
    return detail::gather_outcomes<result_type>(*core_, *core_);
  }

  /// Scatters the elements of a source, read when there is room for them, and returns their outcomes in its order: a
  /// range to be read once, by one thread (see outcome_stream). So the source may be endless: no more than `.capacity`
  /// of its items are under way or unread at any time. An element is what it is for scatter_many(); a source that is an
  /// lvalue is referred to. index() counts the elements from 0. Other items of the stage do not come into it.
  /// What reading the source or scattering throws comes out of the range when the items before have been read; so does a
  /// stage_closed or the stage_error of a cancelled stage, which is usable again then.
  template <std::ranges::input_range Source>
  [[nodiscard]] auto stream(Source&& source) {
    return scattering::template stream<detail::in_order<result_type>>(*this, std::forward<Source>(source));
  }
  /// The same in the order in which the items finish.
  template <std::ranges::input_range Source>
  [[nodiscard]] auto as_completed(Source&& source) {
    return scattering::template stream<detail::as_finished<result_type>>(*this, std::forward<Source>(source));
  }

  /// The outcomes of what others scatter, in scatter order, as gather() would take them: a range to be read once, by one
  /// thread. It ends when the stage has been closed, or cancelled, and all has been read; a cancelled stage is usable again
  /// then. As long as the range lives, results that have not been read count against `.capacity`, so it holds up those who
  /// scatter. index() counts the items from the first that the range gives or could have given.
  /// Throws would_deadlock as gather() does.
  [[nodiscard]] auto stream() {
    return outcome_stream{detail::stage_reader<result_type, detail::stage_core>{*core_, true}};
  }
  /// The same in the order in which the items finish.
  [[nodiscard]] auto as_completed() {
    return outcome_stream{detail::stage_reader<result_type, detail::stage_core>{*core_, false}};
  }

  /// Ends what has not started, here, with errors of kind `cancelled`, and so what depends on it; asks running bodies to
  /// stop, through their stop tokens. Nobody can scatter until the next gather() or outcomes() has returned or thrown; a
  /// scatter that waits for room throws. Does not wait for running bodies. Their items are not tried again.
  void cancel() noexcept { core_->cancel(); }

  /// No more items, for good: the scatter functions throw stage_closed, also where they wait for room. What was accepted is
  /// finished, and can be gathered.
  void close() noexcept { core_->close(); }

  /// A plain call of the body, here and now.
  R operator()(P... parameters) { return body_->call(*core_, std::forward<P>(parameters)...); }

  [[nodiscard]] stage_stats stats() const noexcept { return core_->stats(); }

  /// What to change, in one paragraph: where the items of the chain that ends in this stage wait, for what, and the
  /// .concurrency to try (or that none would help: the source is slow, the processors are busy, the bodies are short).
  /// The chain is this stage and those whose futures have come here, directly or through others; what has been destroyed
  /// is left out, and the text says what else it does not know. It rests on all items since the stages were constructed,
  /// and needs some tens of them. Ask before the stages are destroyed, also while items run. The wording may change.
  [[nodiscard]] std::string explain() const { return core_->explain(); }

 private:
  template <class Other>
  friend class graph_stage;
  template <class Stage, std::ranges::view Source, class Window>
  friend class detail::source_reader;
  template <class Front, class... Parameters>
  friend class detail::scattering;
  template <class Other>
  friend class pipeline;

  template <class Body>
  struct stored_as {
    using type = detail::stored_body<Body, R, P...>;
  };
  template <class Body>
    requires takes_batches<Body>
  struct stored_as<Body> {
    using type = detail::stored_batch_body<Body, R, P...>;
  };
  template <class Body>
  using stored = typename stored_as<Body>::type;

  using scattering = detail::scattering<thread_stage, P...>;

  struct retire {
    void operator()(detail::stage_core* core) const noexcept { core->retire(); }
  };

  static constexpr detail::item_sizes sizes() noexcept {
    [[maybe_unused]] constexpr auto fixed = []<class T>(std::type_identity<T>) {
      if constexpr (detail::has_fixed_size<std::remove_cvref_t<T>>) return sizeof(std::remove_cvref_t<T>);
      else return std::size_t{0};
    };
    return {.fixed = (std::size_t{0} + ... + fixed(std::type_identity<P>{})),
            .results_differ = !detail::has_fixed_size<result_type>};
  }

  template <class Body>
  static Body&& check_body(Body&& body) {
    using plain = std::decay_t<Body>;
    if constexpr (std::is_pointer_v<plain> || detail::is_std_function<plain>) {
      plain const& given = body;
      if (given == nullptr) {
        throw std::invalid_argument{
            "a stage was given no body: a null function pointer, or a std::function without a function"};
      }
    }
    return std::forward<Body>(body);
  }

  // What cannot be copied for every attempt is known from the signature.
  template <class Body>
  static void check_attempts(stage_options const& options) {
    if (options.attempts <= 1 || takes_batches<Body>) return;
    int number = 0;
    [[maybe_unused]] auto const check = [&](bool survives) {
      ++number;
      if (!survives) detail::stage_core::throw_not_repeatable(options, number);
    };
    (check(detail::survives_call<P, std::remove_cvref_t<P>>), ...);
  }

  // For detail::scattering.
  static constexpr bool has_bundles = true;
  using signature = R(P...);
  [[nodiscard]] detail::stage_core& port() const noexcept { return *core_; }
  template <class Start, class... A>
  auto create(detail::item_place const& at, Start const& start, A&&... arguments) {
    try {
      return detail::with_holders<detail::type_list<P...>, A...>(*core_, [&]<class Holders>(Holders) {
        return start(detail::call<R(P...), Holders>::create(*core_, at, std::forward<A>(arguments)...));
      });
    } catch (...) {  // not from `start`
      core_->dismiss(at);
      throw;
    }
  }

  std::unique_ptr<detail::erased_body<R, P...>> body_;
  std::unique_ptr<detail::stage_core, retire> core_;  // goes first: waits until no body runs
};

template <class Body>
thread_stage(Body) -> thread_stage<typename detail::deduced_signature<Body>::type>;
template <class Body>
thread_stage(int, Body) -> thread_stage<typename detail::deduced_signature<Body>::type>;
template <class Body>
thread_stage(stage_options, Body) -> thread_stage<typename detail::deduced_signature<Body>::type>;

}  // namespace penstock
