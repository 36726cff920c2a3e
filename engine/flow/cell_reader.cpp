// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/cell_reader.hpp>

#include "engine/flow/patience.hpp"
#include "engine/flow/stage_state.hpp"

#include <penstock/detail/bundle.hpp>

#include <thread>
#include <utility>

namespace penstock::detail {
namespace {

stage_state& state_of(stage_core& stage) noexcept { return static_cast<stage_state&>(stage); }

}  // namespace

void stage_state::tell_readers() noexcept {
  news_for_readers_.fetch_add(1, std::memory_order_release);
  news_for_readers_.notify_all();
}

cell_reader::cell_reader(stage_core& stage, bool in_order) : stage_{&stage}, in_order_{in_order} {
  stage_state& core = state_of(stage);
  core.check_gather();
  first_ = core.first_listed();
  core.order_.add_reader();
}

cell_reader::~cell_reader() {
  while (bundle* const each = first_open_) {
    first_open_ = each->next_read;
    if (each->left() == 0) stage_state::pass(*each);
    else stage_state::put_back(*each);
  }
  for (; next_ < end_; ++next_) stage_state::put_back(*taken_[next_]);
  stage_state& core = state_of(*stage_);
  core.order_.remove_reader();
  core.admitting().room_.notify_all();  // what is unread does not count any more
}

cell_reader::item cell_reader::next() noexcept {
  stage_state& core = state_of(*stage_);
  for (;;) {
    std::uint32_t const news = core.news_for_readers_.load(std::memory_order_acquire);
    bool const last_look = core.capacity_.load(std::memory_order_seq_cst) == 0;
    for (;;) {
      if (item const found = next_in_bundle(); found.in != nullptr) return found;
      if (next_ == end_ || (in_order_ && first_open_ != nullptr)) {
        if (take_more()) continue;
        break;
      }
      cell& taken = *taken_[next_++];
      bundle* const many = bundle_in(taken);
      if (many == nullptr) return {&taken, 0};
      open(*many);
    }
    if (last_look && first_open_ == nullptr && core.order_.unfinished_before(core.order_.next_ticket()) == nullptr) {
      if (take_more()) continue;  // what has finished since
      if (!core.order_.has_listed()) return {nullptr, 0};
      std::this_thread::yield();  // it has finished, but whoever cancels the stage still looks at it
      continue;
    }
    auto const has_news = [&] { return core.news_for_readers_.load(std::memory_order_acquire) != news; };
    if (is_soon(has_news, looks_before_sleep, core)) continue;
    batch_wanted const wanted{core, batch_wanted::by::reader};
    slot_given_back const meanwhile;
    core.news_for_readers_.wait(news, std::memory_order_acquire);
  }
}

cell_reader::item cell_reader::next_in_bundle() noexcept {
  for (bundle* each = first_open_; each != nullptr;) {
    bundle& many = *std::exchange(each, each->next_read);
    if (many.left() == 0) {  // its stage discards results
      pass_bundle(many);
      continue;
    }
    std::uint32_t const at = many.next_left(in_order_);
    if (at < many.size()) return {&many, at};
    if (in_order_) break;
  }
  return {nullptr, 0};
}

// Whether there are more cells, or bundles.
bool cell_reader::take_more() noexcept {
  if (in_order_ && first_open_ != nullptr) return false;
  stage_state& core = state_of(*stage_);
  void const* held_up_by = nullptr;
  next_ = 0;
  end_ = core.order_.take_finished(in_order_, taken_, held_up_by);
  if (end_ != 0) return true;
  bundle* const shared = core.take_shared(in_order_, held_up_by);
  if (shared != nullptr) open(*shared);
  return shared != nullptr;
}

void cell_reader::open(bundle& taken) noexcept {
  taken.next_read = nullptr;
  bundle* last = first_open_;
  while (last != nullptr && last->next_read != nullptr) last = last->next_read;
  (last != nullptr ? last->next_read : first_open_) = &taken;
}

void cell_reader::pass_bundle(bundle& read) noexcept {
  bundle** link = &first_open_;
  while (*link != &read) link = &(*link)->next_read;
  *link = read.next_read;
  stage_state::pass(read);
}

void cell_reader::pass(item const& read) noexcept {
  stage_state& core = stage_state::of(*read.in).admitting();
  if (bundle* const many = bundle_in(*read.in)) {
    core.give(*many, read.at);
    if (many->left() == 0) pass_bundle(*many);
  } else {
    stage_state::pass(*read.in);
  }
  if (core.blocked_.load(std::memory_order_relaxed) > 0) core.tell_of_room(core.word_.load());
}

std::size_t cell_reader::index(item const& read) const noexcept {
  return state_of(*stage_).order_.total(read.in->place_.ticket) + read.at - first_;
}

}  // namespace penstock::detail
