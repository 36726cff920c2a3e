// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/bundle.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/cell_reader.hpp>
#include <penstock/detail/completions.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/outcome.hpp>

#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace penstock {

/// Outcomes, one after the other, as they are asked for: what stream() and as_completed() of a stage return. To be read
/// once, by one thread: `for (auto&& outcome : stage.stream(source))`; an input range of outcome<T>&, each good until the
/// next is asked for, and free to be moved from. begin() and ++ block until there is one.
///
/// Movable before begin(). Must not outlive its stage (else the program is ended), nor a source that it refers to. It may be
/// left at any time: items that have been scattered run, but their results go, and their failures are reported to nobody.
template <class Reader>
class outcome_stream : public std::ranges::view_interface<outcome_stream<Reader>> {
  using value_type = typename Reader::value_type;

 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = typename Reader::value_type;
    using difference_type = std::ptrdiff_t;

    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    [[nodiscard]] value_type& operator*() const noexcept { return *stream_->current_; }
    [[nodiscard]] value_type* operator->() const noexcept { return &*stream_->current_; }
    iterator& operator++() {
      stream_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t /*end*/) const noexcept { return !stream_->current_; }

   private:
    friend class outcome_stream;
    explicit iterator(outcome_stream& stream) noexcept : stream_{&stream} {}
    outcome_stream* stream_;
  };

  explicit outcome_stream(Reader reader) : reader_{std::move(reader)} {}

  /// Once.
  [[nodiscard]] iterator begin() {
    advance();
    return iterator{*this};
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 private:
  void advance() {
    current_.reset();  // its memory is free before the next is waited for
    reader_.next(current_);
  }

  Reader reader_;
  std::optional<value_type> current_;
};

namespace detail {

/// An outcome of a finished cell whose handle the caller has, numbered anew.
template <class T>
outcome<T> outcome_at(std::size_t index, result_cell<T>& finished, bool sole_owner) {
  if (finished.failed()) return {index, finished.error()};
  return {index, finished.take(sole_owner)};
}

/// The items of a stream that are under way, in the order of the source.
template <class T>
class in_order {
 public:
  in_order() = default;
  in_order(in_order&&) noexcept = default;
  in_order& operator=(in_order&&) = delete;
  ~in_order() {
    for (auto const& each : items_) each->abandon();
  }

  void add(cell_handle<result_cell<T>> item) { items_.push_back(std::move(item)); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] bool ready() noexcept { return !items_.empty() && items_.front()->done(); }
  void wait(stage_core& /*of*/, bool is_last) noexcept { items_.front()->wait_for_stream(is_last); }
  void take(std::optional<outcome<T>>& to) {
    cell_handle<result_cell<T>> const item = std::move(items_.front());
    items_.pop_front();
    to.emplace(outcome_at<T>(read_++, *item, item->sole_handle()));
    item->consume();
  }

 private:
  std::deque<cell_handle<result_cell<T>>> items_;
  std::size_t read_ = 0;
};

/// The same in the order in which they end.
template <class T>
class as_finished {
 public:
  as_finished() = default;
  as_finished(as_finished&& other) noexcept : queue_{std::exchange(other.queue_, nullptr)} {}
  as_finished& operator=(as_finished&&) = delete;
  ~as_finished() {
    if (queue_ != nullptr) queue_->leave();
  }

  void add(cell_handle<result_cell<T>> item) {
    queue_->add(*item);
    item.renounce();
  }
  [[nodiscard]] std::size_t size() const noexcept { return queue_->size(); }
  [[nodiscard]] bool ready() noexcept { return queue_->ready(); }
  void wait(stage_core& of, bool is_last) noexcept { queue_->wait(of, is_last); }
  void take(std::optional<outcome<T>>& to) {
    struct release {
      completions::entry& ended;
      ~release() { completions::release(ended); }
    } const next{queue_->next()};
    auto& item = static_cast<result_cell<T>&>(*next.ended.item);
    to.emplace(outcome_at<T>(next.ended.index, item, item.sole_handle()));
    item.consume();
  }

 private:
  completions* queue_ = &completions::create();
};

/// Whether the elements of a range go with it, so that they may be moved.
template <class Source>
struct owns_elements : std::false_type {};
template <class Container>
struct owns_elements<std::ranges::owning_view<Container>> : std::true_type {};

/// Lets a stage know of a stream that takes its results.
class stream_presence {
 public:
  explicit stream_presence(stage_core& stage) noexcept : stage_{&stage} { stage_->add_stream(1); }
  stream_presence(stream_presence&& other) noexcept : stage_{std::exchange(other.stage_, nullptr)} {}
  stream_presence& operator=(stream_presence&&) = delete;
  ~stream_presence() {
    if (stage_ != nullptr) stage_->add_stream(-1);
  }

 private:
  stage_core* stage_;
};

/// Scatters what a source gives, as far as there is room, and gives out what has become of it. Window keeps the items that
/// are under way: in_order or as_finished. Front is a stage or a pipeline, see scattering.
template <class Front, std::ranges::view Source, class Window>
class source_reader {
 public:
  using value_type = outcome<typename Front::result_type>;

  source_reader(Front& front, Source source)
      : front_{&front}, source_{std::move(source)}, presence_{front.port().home()} {}

  void next(std::optional<value_type>& to) {
    fill();
    if (window_.size() != 0) {
      if (!window_.ready()) window_.wait(front_->port().home(), exhausted_ || failure_ != nullptr);
      return window_.take(to);
    }
    if (!std::exchange(over_, true)) front_->port().reopen();
    if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // Whether there is room is asked before the element is read.
  static constexpr std::size_t least_bytes = 1;
  // More than this is taken from the source only while no outcome is there to give out.
  static constexpr int taken_at_once = 2;

  void fill() noexcept {
    auto& port = front_->port();
    try {
      for (int taken = 0; !over_ && failure_ == nullptr && window_.size() < port.capacity(); ++taken) {
        if (taken >= taken_at_once && window_.ready()) return;
        exhausted_ = !has_next();
        if (exhausted_) return;
        // The stage may be full of what others have scattered.
        auto const at =
            window_.size() == 0 ? std::optional{port.admit(nullptr, least_bytes)} : port.try_admit(least_bytes);
        if (!at) return;
        read_ = false;  // also when that throws: an element that cannot be scattered is not met again
        window_.add(scatter_next(*at));
      }
    } catch (...) {  // comes out after the items that are under way
      failure_ = std::current_exception();
    }
  }

  // Moves on only when one more is wanted: an increment may wait for it to come.
  bool has_next() {
    if (!position_) {
      position_.emplace(std::ranges::begin(source_));
      read_ = true;
    } else if (!read_) {
      ++*position_;
      read_ = true;
    }
    return *position_ != std::ranges::end(source_);
  }

  auto scatter_next(auto const& at) {
    using element = std::ranges::range_reference_t<Source>;
    using scattering = typename Front::scattering;
    auto& port = front_->port();
    auto const read = [&]() -> element {
      try {
        return **position_;
      } catch (...) {
        port.dismiss(at);
        throw;
      }
    };
    element&& next = read();
    auto const charged = port.recharge(at, scattering::bytes_of_element(next));
    if constexpr (owns_elements<Source>::value) {
      return scattering::launch_claimed(*front_, charged, std::move(next));
    } else {
      return scattering::launch_claimed(*front_, charged, std::forward<element>(next));
    }
  }

  Front* front_;
  Source source_;
  std::optional<std::ranges::iterator_t<Source>> position_;
  bool read_ = false;  // the element at position_ has not been scattered
  bool exhausted_ = false;
  bool over_ = false;
  stream_presence presence_;
  Window window_;
  std::exception_ptr failure_;
};

/// Gives out what others scatter into a stage or a pipeline, whose port it is.
template <class T, class Port>
class stage_reader {
 public:
  using value_type = outcome<T>;

  stage_reader(Port& port, bool in_order)
      : port_{&port}, cells_{std::make_unique<cell_reader>(port.home(), in_order)} {}

  void next(std::optional<value_type>& to) {
    cell_reader::item const found = cells_->next();
    if (found.in == nullptr) return port_->reopen();
    struct pass {
      cell_reader& cells;
      cell_reader::item read;
      ~pass() { cells.pass(read); }
    } const afterwards{*cells_, found};
    std::size_t const index = cells_->index(found);
    if (bundle* const many = bundle_in(*found.in)) {
      failure_ptr const* const why = many->failure_of(found.at);
      if (why != nullptr) to.emplace(index, item_error{*why, false});
      else to.emplace(index, std::move(static_cast<result_bundle<T>*>(many)->value(found.at)));
    } else {
      to.emplace(outcome_at<T>(index, static_cast<result_cell<T>&>(*found.in), found.in->no_handle()));
    }
  }

 private:
  Port* port_;
  std::unique_ptr<cell_reader> cells_;
};

}  // namespace detail
}  // namespace penstock
