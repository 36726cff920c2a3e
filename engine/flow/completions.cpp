// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/completions.hpp>

#include "engine/flow/patience.hpp"
#include "engine/flow/stage_state.hpp"

#include <penstock/detail/block_pool.hpp>

#include <memory>
#include <utility>

namespace penstock::detail {
cell* completions::entry::notify() noexcept {
  completions& queue = *to;
  if (queue.left_.load(std::memory_order_acquire)) abandon(*this);
  else queue.push(*this);
  queue.drop_share();
  return nullptr;
}

// The caller has a share: the reader may leave as soon as it sees the entry.
void completions::push(entry& ended) noexcept {
  entry* head = arrived_.load(std::memory_order_relaxed);
  do ended.next = head;
  while (!arrived_.compare_exchange_weak(head, &ended, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (head != nullptr) return;
  end_wait();
  arrived_.notify_one();
}

void completions::drop_share() noexcept {
  if (shares_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  abandon_all();  // what ended after the reader had left
  delete this;
}

void completions::leave() noexcept {
  left_.store(true, std::memory_order_release);
  abandon_all();
  drop_share();
}

void completions::abandon(entry& ended) noexcept {
  ended.item->abandon();
  release(ended);
}

void completions::abandon_all() noexcept {
  collect();
  while (first_ != nullptr) abandon(*std::exchange(first_, first_->next));
}

void completions::add(cell& given) {
  void* const block = acquire_block(sizeof(entry), alignof(entry));
  auto& added = *::new (block) entry{*this, given, added_++};
  added.wait.who = &added;
  ++size_;
  shares_.fetch_add(1, std::memory_order_relaxed);
  if (!given.subscribe(added.wait)) (void)added.notify();
}

// Puts what has arrived behind what is known already.
void completions::collect() noexcept {
  entry* newest = arrived_.exchange(nullptr, std::memory_order_acq_rel);
  entry* oldest = nullptr;
  entry* const last = newest;
  while (newest != nullptr) {
    entry* const next = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, next);
  }
  if (oldest == nullptr) return;
  (first_ != nullptr ? last_->next : first_) = oldest;
  last_ = last;
}

bool completions::ready() noexcept {
  if (first_ == nullptr && arrived_.load(std::memory_order_relaxed) != nullptr) collect();
  return first_ != nullptr;
}

void completions::wait(stage_core& of, bool is_last) noexcept {
  auto& stage = static_cast<stage_state&>(of);
  if (is_soon([this] { return ready(); }, looks_before_sleep, stage)) return;
  of.add_waiting_stream(1);
  waits_for_.store(&of, std::memory_order_seq_cst);
  batch_wanted const wanted{stage, is_last ? batch_wanted::by::gather : batch_wanted::by::others};
  if (!is_last) stage.look_for_last_batch();
  {
    slot_given_back const meanwhile;
    while (!ready()) arrived_.wait(nullptr, std::memory_order_relaxed);
  }
  end_wait();
}

void completions::end_wait() noexcept {
  stage_core* const of = waits_for_.exchange(nullptr, std::memory_order_seq_cst);
  if (of != nullptr) of->add_waiting_stream(-1);
}

completions::entry& completions::next() noexcept {
  --size_;
  return *std::exchange(first_, first_->next);
}

void completions::release(entry& given) noexcept {
  given.item->drop_handle();
  std::destroy_at(&given);
  release_block(&given, sizeof(entry), alignof(entry));
}

}  // namespace penstock::detail
