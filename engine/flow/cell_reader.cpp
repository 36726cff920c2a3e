// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/cell_reader.hpp>

#include "engine/flow/stage_state.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

namespace penstock::detail {
namespace {

constexpr int looks_before_sleep = 200;

stage_state& state_of(stage_core& stage) noexcept { return static_cast<stage_state&>(stage); }

}  // namespace

void stage_state::tell_readers() noexcept {
  news_for_readers_.fetch_add(1, std::memory_order_release);
  news_for_readers_.notify_all();
}

cell_reader::cell_reader(stage_core& stage, bool in_order) : stage_{&stage}, in_order_{in_order} {
  stage_state& core = state_of(stage);
  core.check_gather();
  first_ = core.order_.first_listed();
  core.order_.add_reader();
}

cell_reader::~cell_reader() {
  for (; next_ < end_; ++next_) stage_state::put_back(*taken_[next_]);
  stage_state& core = state_of(*stage_);
  core.order_.remove_reader();
  core.admitting().room_.notify_all();  // what is unread does not count any more
}

cell* cell_reader::next() noexcept {
  stage_state& core = state_of(*stage_);
  for (int looks = 0; next_ == end_; ++looks) {
    std::uint32_t const news = core.news_for_readers_.load(std::memory_order_acquire);
    bool const last_look = core.capacity_.load(std::memory_order_seq_cst) == 0;
    next_ = 0;
    end_ = core.order_.take_finished(in_order_, taken_);
    if (end_ != 0) break;
    if (last_look && core.order_.unfinished_before(core.order_.next_ticket()) == nullptr) {
      end_ = core.order_.take_finished(in_order_, taken_);  // what has finished since
      if (end_ != 0) break;
      return nullptr;
    }
    if (looks < looks_before_sleep) {
      spin_pause();
      continue;
    }
    batch_wanted const wanted{core, batch_wanted::by::reader};
    slot_given_back const meanwhile;
    core.news_for_readers_.wait(news, std::memory_order_acquire);
  }
  return taken_[next_++];
}

void cell_reader::pass(cell& read) noexcept {
  stage_state& home = stage_state::of(read);
  stage_state::pass(read);
  stage_state& core = home.admitting();
  if (core.blocked_.load(std::memory_order_relaxed) > 0) core.tell_of_room(core.word_.load());
}

std::size_t cell_reader::index(cell const& read) const noexcept {
  return state_of(*stage_).order_.total(read.place_.ticket) - first_;
}

}  // namespace penstock::detail
