// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Stages and TBB flow graphs together: a stage as a node of a graph, and a part of a graph as a stage. The only header
/// that includes TBB; what uses it links penstock::tbb.
#include <penstock/detail/continuation.hpp>
#include <penstock/detail/copyable.hpp>
#include <penstock/detail/promised.hpp>
#include <penstock/thread_stage.hpp>

#include <tbb/flow_graph.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock {

namespace detail {

/// The message that carries the arguments for parameters P...: the one, or a tuple of them.
template <class... P>
struct arguments_message {
  using type = std::tuple<std::remove_cvref_t<P>...>;
};
template <class P>
struct arguments_message<P> {
  using type = std::remove_cvref_t<P>;
};
template <>
struct arguments_message<> {
  using type = tbb::flow::continue_msg;
};

/// What a function that scatters takes and gives.
template <class Signature>
struct scatter_signature;
template <class R, class Input>
struct scatter_signature<future<R>(Input)> {
  using input = std::remove_cvref_t<Input>;
  using result = R;
};

/// The error of an item that entered no stage; call it in the handler.
inline item_error refused_item(std::size_t index) {
  return {describe_current_exception(std::make_shared<std::string const>("stage_node"), index, 1), false};
}

/// Takes the item of a future out of its stage's gather, and lets `then(item)` run as a body when it is finished.
template <class T, class Then>
void when_finished(future<T> awaited, Then then) {
  cell_handle<result_cell<T>> item = cell_of(std::move(awaited));
  if (stage_core::claim(*item) == claim_result::gathered && !copyable<T>::value) {
    stage_core::throw_already_gathered(*item);
  }
  cell& input = *item;
  auto run = [item = std::move(item), then = std::move(then)]() mutable noexcept { then(std::move(item)); };
  continuation<decltype(run)>::attach(input, std::move(run));
}

}  // namespace detail

/// A stage, or a chain of stages, as a node of a flow graph: a tbb::flow::async_node that takes messages of type Input
/// and puts out one outcome<Result> for each, when its item is finished.
///
/// `stage_node node{graph, stage}` scatters each message into the stage: its argument, or the tuple of its arguments.
/// `stage_node node{graph, [&](path const& p) { return second.scatter(first.scatter(p)); }}` does what the function does;
/// the items leave their stage's gather. Outcomes come in the order in which items are finished; index() counts the
/// node's messages from 0 in the order of arrival, so a sequencer_node brings them back into it. What fails comes out as
/// an outcome too, also when scatter() threw: nothing is lost, and nothing cancels the graph. Messages are copied, as
/// everywhere in a graph, so Result must be copyable: a std::shared_ptr will do.
///
/// graph.wait_for_all() waits for the items too; no thread does. Messages are scattered one at a time, in order of
/// arrival; at the stage's capacity that blocks one of the graph's threads, and the other messages wait in the node
/// (Policy queueing) or with who sent them (rejecting). Outcomes are put out by the engine's threads.
/// Lifetime: as any node, it may be destroyed after wait_for_all() only. It refers to its stage, which may go first if no
/// more messages come: what has not started comes out as cancelled. An exception that is thrown where outcomes are copied
/// into the graph cancels it, and wait_for_all() throws it.
template <class Input, class Result, class Policy = tbb::flow::queueing>
class stage_node : public tbb::flow::async_node<Input, outcome<Result>, Policy> {
  static_assert(detail::copyable<Result>::value,
                "stage_node: the messages of a flow graph are copied, and the stage's result cannot be; let the stage "
                "return a std::shared_ptr of it");
  using base = tbb::flow::async_node<Input, outcome<Result>, Policy>;
  using gateway = typename base::gateway_type;

 public:
  /// Into a stage; `stage` is referred to.
  template <class R, class... P>
  stage_node(tbb::flow::graph& graph, thread_stage<R(P...)>& stage)
      : stage_node{graph, [&stage](Input const& message) {
                     if constexpr (sizeof...(P) == 0) return stage.scatter();
                     else if constexpr (sizeof...(P) == 1) return stage.scatter(message);
                     else return std::apply([&](auto const&... each) { return stage.scatter(each...); }, message);
                   }} {}

  /// By a function that scatters the message and returns the future of its outcome; it is called by one thread at a time.
  template <class Scatter>
    requires std::is_invocable_r_v<future<Result>, Scatter&, Input const&>
  stage_node(tbb::flow::graph& graph, Scatter scatter)
      : base{graph, tbb::flow::serial, [this](Input const& message, gateway& out) { pass(message, out); }},
        scatter_{std::move(scatter)},
        rethrow_{graph, tbb::flow::unlimited,
                 [](std::exception_ptr const& thrown) -> tbb::flow::continue_msg { std::rethrow_exception(thrown); }} {}

  stage_node(stage_node const&) = delete;
  stage_node& operator=(stage_node const&) = delete;
  ~stage_node() override = default;

 private:
  void pass(Input const& message, gateway& out) noexcept {
    std::size_t const index = arrived_++;
    out.reserve_wait();
    try {
      using item = detail::cell_handle<detail::result_cell<Result>>;
      detail::when_finished(scatter_(message), [this, &out, index](item finished) noexcept {
        put(out, [&finished, index] { return outcome_of(std::exchange(finished, {}), index); });
      });
    } catch (...) {
      put(out, [index] { return outcome<Result>{index, detail::refused_item(index)}; });
    }
  }

  // Puts out what `make` returns, and ends the wait that was reserved for it.
  template <class Make>
  void put(gateway& out, Make make) noexcept {
    try {
      out.try_put(make());
    } catch (...) {
      rethrow_.try_put(std::current_exception());
    }
    out.release_wait();  // the node may be gone now
  }

  static outcome<Result> outcome_of(detail::cell_handle<detail::result_cell<Result>> finished, std::size_t index) {
    if (finished->failed()) return {index, finished->error()};
    return {index, finished->take()};
  }

  std::function<future<Result>(Input const&)> scatter_;
  tbb::flow::function_node<std::exception_ptr, tbb::flow::continue_msg> rethrow_;
  std::size_t arrived_ = 0;
};

template <class R, class... P>
stage_node(tbb::flow::graph&, thread_stage<R(P...)>&)
    -> stage_node<typename detail::arguments_message<P...>::type, std::remove_cvref_t<R>>;
template <detail::has_signature Scatter>
stage_node(tbb::flow::graph&, Scatter)
    -> stage_node<typename detail::scatter_signature<detail::signature_t<Scatter>>::input,
                  typename detail::scatter_signature<detail::signature_t<Scatter>>::result>;

namespace detail {

/// Whose a message is: the item of a graph_stage that waits for the graph's answer. Shared by all copies of its messages;
/// the first answer counts, and when the last copy goes without one, that is an answer too.
class ticket {
 public:
  ticket(ticket const&) = delete;
  ticket& operator=(ticket const&) = delete;
  virtual ~ticket() = default;

  virtual void fail(std::exception_ptr why) noexcept = 0;
  [[nodiscard]] void const* owner() const noexcept { return owner_; }

 protected:
  explicit ticket(void const* owner) noexcept : owner_{owner} {}

 private:
  void const* owner_;
};

/// What the graph made of an item.
template <class Stored>
using answer = std::variant<std::exception_ptr, std::unique_ptr<Stored>>;

template <class Stored>
class ticket_for final : public ticket {
 public:
  explicit ticket_for(void const* owner) : ticket{owner}, item_{&promised<answer<Stored>>::create()} {}
  ~ticket_for() override {
    if (answered_) return;
    try {
      throw std::runtime_error{
          "the graph gave no result for it: a node passed nothing on or refused it, no edge leads to exit(), or the graph "
          "was cancelled"};
    } catch (...) {
      fail(std::current_exception());
    }
  }

  [[nodiscard]] future<answer<Stored>> get_future() noexcept { return item_->get_future(); }
  void fail(std::exception_ptr why) noexcept override { settle(std::move(why)); }
  void fulfil(Stored const& result) noexcept {
    try {
      settle(std::make_unique<Stored>(result));
    } catch (...) {
      fail(std::current_exception());
    }
  }

 private:
  void settle(answer<Stored> made) noexcept {
    if (!answered_.exchange(true)) item_->fulfil(std::move(made));
  }

  promised<answer<Stored>>* item_;
  std::atomic<bool> answered_{false};
};

}  // namespace detail

/// One item of a graph_stage on its way through a graph: a message with a value, and whose it is. Nodes pass it on with
/// another value; it finds its future by itself, so they may run at the same time and in any order.
///
/// As cheap to copy as its value and a std::shared_ptr. An item without a value has failed already, or was made by
/// default: nodes pass it on and leave it alone. Not thread-safe by itself; its copies may be used on any thread.
template <class T>
class graph_item {
 public:
  using value_type = T;

  graph_item() = default;

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /// The value, unchecked.
  [[nodiscard]] T const& operator*() const noexcept { return *value_; }
  [[nodiscard]] T const* operator->() const noexcept { return &*value_; }

  /// The same for all messages of one item that is under way, and no other's: for join_node with tag_matching.
  [[nodiscard]] tbb::flow::tag_value tag() const noexcept { return reinterpret_cast<std::uintptr_t>(ticket_.get()); }

  /// The same item with another value; none stays none.
  template <class U>
  [[nodiscard]] graph_item<std::decay_t<U>> with(U&& value) const {
    graph_item<std::decay_t<U>> next{ticket_};
    if (has_value()) next.value_.emplace(std::forward<U>(value));
    return next;
  }
  /// The same item without its value.
  template <class U>
  [[nodiscard]] graph_item<U> pass_on() const noexcept {
    return graph_item<U>{ticket_};
  }
  /// Ends the item with an error: the exception that its future throws. Returns what to pass on, without a value.
  template <class U = T>
  graph_item<U> failed(std::exception_ptr why) const noexcept {
    if (ticket_) ticket_->fail(std::move(why));
    return pass_on<U>();
  }

 private:
  template <class Other>
  friend class graph_item;
  template <class Signature>
  friend class graph_stage;

  explicit graph_item(std::shared_ptr<detail::ticket> whose) noexcept : ticket_{std::move(whose)} {}

  std::shared_ptr<detail::ticket> ticket_;
  std::optional<T> value_;
};

/// A function on values as the body of a node on items: `function_node<graph_item<int>, graph_item<text>>{graph, 4,
/// penstock::on_items([](int x) { ... })}`. A tuple is unpacked where the function does not take it whole; a function of
/// void gives std::monostate. What it throws fails the item and does not reach the graph.
template <class Function>
[[nodiscard]] auto on_items(Function function) {
  return [function = std::move(function)]<class T>(graph_item<T> const& item) {
    auto const call = [&function](T const& value) -> decltype(auto) {
      if constexpr (std::is_invocable_v<Function const&, T const&>) return function(value);
      else return std::apply(function, value);
    };
    using result = std::remove_cvref_t<decltype(call(*item))>;
    using stored = std::conditional_t<std::is_void_v<result>, std::monostate, result>;
    if (!item) return item.template pass_on<stored>();
    try {
      if constexpr (std::is_void_v<result>) {
        call(*item);
        return item.with(stored{});
      } else {
        return item.with(call(*item));
      }
    } catch (...) {
      return item.template failed<stored>(std::current_exception());
    }
  };
}

/// How a graph_stage behaves; see stage_options.
struct graph_stage_options {
  /// How many items may be scattered and not yet finished, in the graph or waiting for their inputs; at least 1.
  std::size_t capacity = 1024;

  /// What errors call this stage.
  std::string name = "graph_stage";

  /// Whether the future of a tuple, as an argument, fills one parameter an element.
  bool unpack = true;
};

/// A stage whose body is a part of your flow graph: `graph_stage<R(P...)>` sends an item's arguments out of entry() when
/// they are there, and takes its result in at exit(). What lies between them are nodes of any kind, and as concurrent as
/// they are, on messages that know whose they are: graph_item<P>, or graph_item<std::tuple<P...>>, to begin with, and
/// graph_item<R> at the end (graph_item<std::monostate> for void). on_items() makes bodies for them.
///
/// scatter, futures, gather and outcomes are those of a thread_stage; no thread waits for the graph. Each item must come
/// to exit() once. If it comes more than once, the first time counts. If it does not, its future throws
/// std::runtime_error as soon as the last copy of its message is gone: a node dropped it, or an exception cancelled the
/// graph. Messages that a cancelled graph's nodes have buffered go when it is reset, or with the nodes.
///
/// Thread-safe. scatter() blocks at capacity as a thread_stage's does: not in a node of the same graph, which may be the
/// one that others wait for. A node that may refuse messages needs a tbb::flow::queue_node between entry() and itself.
/// Lifetime: as a node it may go after graph.wait_for_all() only, and when nothing that was scattered can enter the graph
/// any more: gather first. The destructor cancels what still waits for its inputs; futures outlive it.
template <class R, class... P>
class graph_stage<R(P...)> {
  static_assert(sizeof...(P) > 0, "graph_stage: an item needs a message; give the stage a parameter");
  static_assert(std::is_same_v<R, std::remove_cvref_t<R>>,
                "graph_stage: its results are values: no reference or const");

 public:
  using result_type = R;
  using argument_type = typename detail::arguments_message<P...>::type;
  using exit_type = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
  static_assert(detail::copyable<argument_type>::value && detail::copyable<exit_type>::value,
                "graph_stage: the messages of a flow graph are copied; use a std::shared_ptr to what cannot be");

  /// Throws std::invalid_argument for an option out of range.
  explicit graph_stage(tbb::flow::graph& graph, graph_stage_options const& options = {})
      : entry_{graph},
        exit_{graph, tbb::flow::unlimited, [this](graph_item<exit_type> const& item) noexcept { take(item); }},
        enter_{{.concurrency = 1, .capacity = unbounded, .name = options.name, .unpack = options.unpack},
               [this](std::shared_ptr<detail::ticket> const& whose, P... arguments) {
                 send(whose, std::forward<P>(arguments)...);
               }},
        result_{{.concurrency = 4, .capacity = options.capacity, .name = options.name},
                [](answer&& made) -> R { return result_of(std::move(made)); }} {}
  graph_stage(graph_stage const&) = delete;
  graph_stage& operator=(graph_stage const&) = delete;
  ~graph_stage() = default;

  [[nodiscard]] tbb::flow::sender<graph_item<argument_type>>& entry() noexcept { return entry_; }
  [[nodiscard]] tbb::flow::receiver<graph_item<exit_type>>& exit() noexcept { return exit_; }

  /// Sends one item in and returns the future of what the graph makes of it; see thread_stage::scatter. Items enter the
  /// graph one at a time, in the order in which their arguments become ready.
  template <class... A>
  future<R> scatter(A&&... arguments) {
    return launch(result_.core_->admit(), std::forward<A>(arguments)...);
  }
  /// The same, but never blocks: nothing happens when the stage is at capacity.
  template <class... A>
  [[nodiscard]] std::optional<future<R>> try_scatter(A&&... arguments) {
    auto const admitted = result_.core_->try_admit();
    if (!admitted) return std::nullopt;
    return launch(*admitted, std::forward<A>(arguments)...);
  }

  /// Those of thread_stage. The first two wait for the graph: not in a node of it, nor in a body.
  auto gather(gather_options const& options = {}) { return result_.gather(options); }
  [[nodiscard]] auto outcomes() { return result_.outcomes(); }

  /// Those of thread_stage. Messages of cancelled items that are in the graph already go their way; nobody waits for them.
  void cancel() noexcept {
    result_.cancel();
    enter_.cancel();
    enter_.core_->reopen();  // it is gathered by nobody; that result_ takes nothing in will do
  }
  void close() noexcept { result_.close(); }
  [[nodiscard]] stage_stats stats() const noexcept { return result_.stats(); }

 private:
  static constexpr auto unbounded = std::numeric_limits<std::size_t>::max();
  using ticket = detail::ticket_for<exit_type>;
  using answer = detail::answer<exit_type>;

  // A result waits for its entrance into the graph, whose failure is its own, and for the graph's answer.
  template <class... A>
  future<R> launch(detail::item_place const& at, A&&... arguments) {
    future<void> entered;
    future<answer> made;
    try {
      auto whose = std::make_shared<ticket>(this);
      made = whose->get_future();
      entered = enter_.scatter(std::shared_ptr<detail::ticket>{std::move(whose)}, std::forward<A>(arguments)...);
    } catch (...) {
      result_.core_->dismiss(at);
      throw;
    }
    return decltype(result_)::scattering::launch(result_, at, std::move(entered), std::move(made));
  }

  void send(std::shared_ptr<detail::ticket> const& whose, P... arguments) noexcept {
    try {
      graph_item<argument_type> item{whose};
      item.value_.emplace(std::forward<P>(arguments)...);
      entry_.try_put(item);
    } catch (...) {
      whose->fail(std::current_exception());
    }
  }

  void take(graph_item<exit_type> const& item) noexcept {
    if (!item) return;
    if (item.ticket_->owner() != this) {
      item.failed(std::make_exception_ptr(std::logic_error{"it left the graph by the exit() of another graph_stage"}));
      return;
    }
    static_cast<ticket&>(*item.ticket_).fulfil(*item);
  }

  static R result_of(answer made) {
    if (auto const* const thrown = std::get_if<std::exception_ptr>(&made)) std::rethrow_exception(*thrown);
    if constexpr (!std::is_void_v<R>) return std::move(*std::get<1>(made));
  }

  tbb::flow::broadcast_node<graph_item<argument_type>> entry_;
  tbb::flow::function_node<graph_item<exit_type>, tbb::flow::continue_msg, tbb::flow::lightweight> exit_;
  thread_stage<void(std::shared_ptr<detail::ticket> const&, P...)> enter_;
  thread_stage<R(answer&&)> result_;  // goes first: what it cancels has its name and numbers
};

}  // namespace penstock
