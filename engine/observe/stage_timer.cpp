// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/stage_timer.hpp"

#include "engine/observe/clock_ns.hpp"
#include "engine/observe/histogram.hpp"

#include <sys/resource.h>

#include <new>

namespace penstock::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr auto long_body = std::chrono::microseconds{20};
constexpr auto precise_enough = std::chrono::microseconds{100};
constexpr std::size_t processor_time_every = 16;  // items of long bodies: two calls of the system at each end

std::int64_t processor_time() noexcept { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

// How often this thread has given its processor away to wait.
std::int64_t sleeps() noexcept {
  rusage used{};
  ::getrusage(RUSAGE_THREAD, &used);
  return used.ru_nvcsw;
}

void add(std::atomic<std::int64_t>& sum, nanoseconds duration) noexcept {
  sum.fetch_add(duration.count(), std::memory_order_relaxed);
}

nanoseconds load(std::atomic<std::int64_t> const& sum) noexcept {
  return nanoseconds{sum.load(std::memory_order_relaxed)};
}

}  // namespace

struct stage_timer::record {
  histogram busy;
  histogram wait;
  std::atomic<std::int64_t> blocked_ns{0};
  // Of bodies that have not ended: their number in the low 16 bits, above it the sum of their starts in us, modulo 2^48.
  // One word, so that the two belong together.
  std::atomic<std::uint64_t> running{0};
  // Of the bodies for which it was asked.
  std::atomic<std::int64_t> computed_ns{0};
  std::atomic<std::int64_t> computing_ns{0};  // how long they took
  std::atomic<std::int64_t> sleepless_ns{0};  // and those of them that did not wait
  std::atomic<clock::rep> first_ready{0};
  std::atomic<clock::rep> last_end{0};

  static std::uint64_t running_one(clock::time_point start) noexcept {
    auto const us = std::chrono::duration_cast<std::chrono::microseconds>(start.time_since_epoch()).count();
    return static_cast<std::uint64_t>(us) << 16U | 1U;
  }
  void add_computing(nanoseconds duration, nanoseconds computed, bool sleepless) noexcept {
    add(computing_ns, duration);
    add(computed_ns, computed);
    if (sleepless) add(sleepless_ns, duration);
  }
  void note_moments(clock::time_point ready, clock::time_point end) noexcept {
    clock::rep none = 0;
    if (first_ready.load(std::memory_order_relaxed) == 0) {
      first_ready.compare_exchange_strong(none, ready.time_since_epoch().count(), std::memory_order_relaxed);
    }
    clock::rep const last = last_end.load(std::memory_order_relaxed);
    if (end - clock::time_point{clock::duration{last}} < precise_enough) return;
    last_end.store(end.time_since_epoch().count(), std::memory_order_relaxed);
  }
  void clear() noexcept {
    busy.clear();
    wait.clear();
    running = 0;
    blocked_ns = computed_ns = computing_ns = sleepless_ns = 0;
    first_ready = last_end = 0;
  }
};

stage_timer::~stage_timer() { delete record_.load(std::memory_order_acquire); }

stage_timer::record* stage_timer::made_record() noexcept {
  record* found = record_.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  auto* const made = new (std::nothrow) record;
  if (made == nullptr) return nullptr;
  if (record_.compare_exchange_strong(found, made, std::memory_order_acq_rel)) return made;
  delete made;
  return found;
}

void stage_timer::reset() noexcept {
  times_all_.store(true, std::memory_order_relaxed);
  bodies_wait_.store(false, std::memory_order_relaxed);
  record* const used = record_.load(std::memory_order_acquire);
  if (used != nullptr) used->clear();
}

// Out of the way of the many items that are not measured.
stage_timer::item stage_timer::start_measured(moment ready, moment tick, std::size_t index) noexcept {
  bool const for_all = times_all_.load(std::memory_order_relaxed);
  item::measurement measured{.start = {}, .sampled = index % sampled_every == 0, .for_all = for_all};
  measured.waited_long = ready.exists() && ready.is_long_ago();
  if (!for_all && !measured.sampled && !ready.was_read() && !measured.waited_long) {
    return {.tick = tick, .measured = {}};
  }
  if (for_all && index % processor_time_every == 0) {
    measured.sleeps = sleeps();
    measured.processor_time = processor_time();
  }
  record* const into = made_record();
  measured.start = clock::now();  // nothing that takes long comes between this and the body
  if (for_all && into != nullptr) {
    measured.noted = record::running_one(measured.start);
    into->running.fetch_add(measured.noted, std::memory_order_relaxed);
  }
  return {.tick = tick, .measured = measured};
}

nanoseconds stage_timer::end_measured(item const& ended, moment ready, bool has_run) noexcept {
  auto const& from = ended.measured;
  bool const is_long = (from ? moment::at(from->start, false) : ended.tick).is_long_ago();
  if (!from && !is_long) return nanoseconds{-1};
  clock::time_point const end = clock::now();
  static constexpr item::measurement none{};
  item::measurement const& measured = from ? *from : none;
  std::int64_t const computed = measured.processor_time < 0 ? -1 : processor_time() - measured.processor_time;
  bool const has_slept = computed >= 0 && sleeps() != measured.sleeps;
  nanoseconds const busy = from ? end - measured.start : ended.tick.until(end);
  nanoseconds const sample = measured.sampled ? busy : nanoseconds{-1};
  // Scattering threads read it too: a line that is not written is not sent from core to core.
  bool const for_all = busy >= long_body;
  if ((measured.sampled || is_long) && times_all_.load(std::memory_order_relaxed) != for_all) {
    times_all_.store(for_all, std::memory_order_relaxed);
  }
  // Seldom: one in 16 long bodies is asked.
  if (computed >= 0) bodies_wait_.store(for_all && has_slept && 2 * computed < busy.count(), std::memory_order_relaxed);

  record* const into = made_record();
  if (into == nullptr) return sample;
  if (measured.noted != 0) into->running.fetch_sub(measured.noted, std::memory_order_relaxed);
  if (!has_run) return sample;
  auto const record_in = [&](histogram& durations, nanoseconds duration, bool alone) {
    if (alone) durations.record(duration, 1);
    else if (measured.sampled) durations.record(duration, sampled_every);
  };
  record_in(into->busy, busy, measured.for_all || is_long);
  nanoseconds wait{0};
  if (measured.at_once) {
    record_in(into->wait, wait, measured.for_all);
  } else if (ready.exists() && from) {
    wait = ready.until(measured.start);
    record_in(into->wait, wait, ready.for_all() || measured.waited_long);
  }
  if (computed >= 0) into->add_computing(busy, nanoseconds{computed}, !has_slept);
  into->note_moments(end - busy - wait, end);
  return sample;
}

void stage_timer::blocked(nanoseconds duration) noexcept {
  if (record* const into = made_record(); into != nullptr) add(into->blocked_ns, duration);
}

duration_summary stage_timer::busy() const noexcept {
  record const* const from = record_.load(std::memory_order_acquire);
  return from != nullptr ? from->busy.summary() : duration_summary{};
}

duration_summary stage_timer::wait() const noexcept {
  record const* const from = record_.load(std::memory_order_acquire);
  return from != nullptr ? from->wait.summary() : duration_summary{};
}

timing_figures stage_timer::figures() const noexcept {
  record const* const from = record_.load(std::memory_order_acquire);
  if (from == nullptr) return {};
  std::uint64_t const running = from->running.load(std::memory_order_relaxed);
  std::uint64_t const count = running & 0xffffU;
  auto const now_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(clock::now().time_since_epoch()).count());
  constexpr std::uint64_t mask = (std::uint64_t{1} << 48U) - 1;
  std::uint64_t const running_us = (count * now_us - (running >> 16U)) & mask;
  nanoseconds const computing = load(from->computing_ns);
  histogram::sums const busy = from->busy.sum();
  histogram::sums const wait = from->wait.sum();
  return {.bodies = busy.count,
          .busy = busy.time,
          .running = std::chrono::microseconds{running_us > mask / 2 ? 0 : static_cast<std::int64_t>(running_us)},
          .waits = wait.count,
          .wait = wait.time,
          .median_wait = from->wait.summary().p50,
          .blocked = load(from->blocked_ns),
          .processor_share = computing.count() == 0 ? -1
                                                    : static_cast<double>(load(from->computed_ns).count()) /
                                                          static_cast<double>(computing.count()),
          .never_slept = load(from->sleepless_ns) * 10 > computing * 9,
          .first_ready = clock::time_point{clock::duration{from->first_ready.load(std::memory_order_relaxed)}},
          .last_end = clock::time_point{clock::duration{from->last_end.load(std::memory_order_relaxed)}}};
}

}  // namespace penstock::detail
