// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/explain.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string_view>
#include <utility>

namespace penstock::detail {
namespace {

using finding = advice::finding;
using seconds = std::chrono::duration<double>;

constexpr std::uint64_t enough_items = 30;
constexpr seconds shortest_wait{100e-6};  // below, a wait may be that for a thread to wake up
constexpr seconds short_body{2e-6};
constexpr seconds unknown_body{20e-6};  // processor time is measured from here on
constexpr double clearly = 1.5;         // slower by so much, a stage is worth an attempt
constexpr double most_growth = 8;
constexpr double most_slots = 16'383;

double in_seconds(std::chrono::nanoseconds duration) { return seconds{duration}.count(); }

// A stage as the reckoning sees it. Times are sums over all its items.
struct load {
  double busy = 0;
  double computed = 0;  // by its bodies' threads
  double waited = 0;
  double slots = 1;
  double room = 1;  // items that can be in it
  double mean_body = 0;
  bool needs_processor = false;  // its bodies hardly wait

  [[nodiscard]] double per_slot() const { return busy / slots; }
};

double sum_of(std::vector<load> const& loads, double load::* part) {
  return std::accumulate(loads.begin(), loads.end(), 0.0,
                         [part](double sum, load const& each) { return sum + each.*part; });
}

std::uint64_t started(stage_figures const& stage) { return stage.finished + stage.in_bodies; }

// What `measured` durations come to for all items: how many items a sampled one stands for is known when all have run.
double of_all(stage_figures const& stage, std::chrono::nanoseconds sum, std::uint64_t measured) {
  if (measured == 0) return 0;
  return in_seconds(sum) / static_cast<double>(measured) * static_cast<double>(stage.finished);
}

// How many items can be in each stage: those behind it hold a place for each.
std::vector<double> rooms(std::vector<stage_figures> const& chain) {
  std::vector<double> found;
  found.reserve(chain.size());
  for (auto const& each : chain) found.push_back(static_cast<double>(each.capacity));
  for (std::size_t round = 0; round < chain.size(); ++round) {
    for (std::size_t i = 0; i < chain.size(); ++i) {
      for (std::size_t const input : chain[i].inputs) found[input] = std::min(found[input], found[i]);
    }
  }
  return found;
}

std::vector<load> loads_of(std::vector<stage_figures> const& chain) {
  std::vector<double> const room = rooms(chain);
  std::vector<load> loads;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    timing_figures const& timing = chain[i].timing;
    double const ended = of_all(chain[i], timing.busy, timing.bodies);
    load& each = loads.emplace_back();
    each.waited = of_all(chain[i], timing.wait, timing.waits) + in_seconds(chain[i].ready_for);
    each.room = room[i];
    each.slots = std::max(1.0, std::min(static_cast<double>(chain[i].concurrency), room[i]));
    double running = in_seconds(timing.running);
    // Where an item waits, all slots have been taken for as long, also by bodies that are not measured.
    auto const in_bodies = static_cast<double>(chain[i].in_bodies);
    if (in_bodies >= each.slots) running = std::max(running, in_bodies * in_seconds(chain[i].longest_ready_for));
    each.busy = ended + running;
    if (started(chain[i]) > 0) each.mean_body = each.busy / static_cast<double>(started(chain[i]));
    double share = timing.processor_share;
    if (share < 0) share = each.mean_body < unknown_body.count() ? 1 : 0;
    each.computed = ended * std::min(share, 1.0);
    each.needs_processor = each.computed > 0.8 * each.busy || (timing.never_slept && ended > 0.8 * each.busy);
  }
  return loads;
}

// From the first item until the last has ended, or now.
double elapsed(std::vector<stage_figures> const& chain) {
  std::chrono::steady_clock::time_point const never{};
  std::chrono::steady_clock::time_point first = std::chrono::steady_clock::time_point::max();
  std::chrono::steady_clock::time_point last = never;
  for (auto const& each : chain) {
    if (each.timing.first_ready != never) first = std::min(first, each.timing.first_ready);
    last = std::max(last, each.timing.last_end);
    if (each.in_bodies + each.ready > 0) last = std::max(last, std::chrono::steady_clock::now());
  }
  return std::max(seconds{last - first}.count(), 1e-9);
}

bool holds_items_up(stage_figures const& stage, load const& its, std::vector<stage_figures> const& chain,
                    double taken) {
  if (stage.runs_inline) return taken > 0.5;
  if (in_seconds(stage.timing.median_wait) > std::max(its.mean_body / 4, shortest_wait.count())) return true;
  // Its bodies have become slow, or hang.
  double const longest = in_seconds(stage.longest_ready_for);
  if (static_cast<double>(stage.in_bodies) >= its.slots && longest > std::max(4 * its.mean_body, shortest_wait.count()))
    return true;
  double blocked = 0;
  for (auto const& each : chain) blocked += in_seconds(each.timing.blocked);
  return blocked > its.per_slot() / 4;
}

// What the chain can come to: sums of time for all items, as in `load`.
double target(std::vector<load> const& loads, std::size_t slowest, double processors) {
  double const now = loads[slowest].per_slot();
  double next = 0;
  for (auto const& each : loads) {
    if (each.per_slot() * clearly <= now) next = std::max(next, each.per_slot());
  }
  if (next == 0) next = now / 2;  // there is no other, or all are alike
  return std::max({next, now / most_growth, sum_of(loads, &load::computed) / processors});
}

void widen(advice& found, std::vector<stage_figures> const& chain, std::vector<load> const& loads, double goal,
           int processors) {
  std::vector<std::size_t> order(loads.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return loads[i].per_slot(); });
  double bound = sum_of(loads, &load::computed) / processors;
  for (std::size_t const i : order) {
    load const& its = loads[i];
    double wanted = its.slots;
    if (its.per_slot() > goal * 1.001) {
      wanted = std::min(std::ceil(its.busy / goal - 0.001), most_slots);
      if (its.needs_processor) wanted = std::max(its.slots, std::min(wanted, static_cast<double>(processors)));
    }
    bound = std::max(bound, its.busy / wanted);
    if (wanted <= its.slots) continue;
    advice::change change{.stage = i};
    if (wanted > chain[i].concurrency || chain[i].runs_inline) change.concurrency = static_cast<int>(wanted);
    // A blocked scatter is told when a quarter of the places is free.
    if (wanted * 2 > its.room) change.capacity = static_cast<std::size_t>(wanted) * 2;
    found.changes.push_back(change);
  }
  found.speed_up = loads[found.stage].per_slot() / bound;
}

}  // namespace

advice advise(std::vector<stage_figures> const& chain, int processors) {
  advice found;
  std::vector<load> const loads = loads_of(chain);
  auto const by_slot = [&](std::size_t i, std::size_t j) { return loads[i].per_slot() < loads[j].per_slot(); };
  auto const slowest_by = [&](auto const& is_less) {
    std::size_t slowest = 0;
    for (std::size_t i = 1; i < loads.size(); ++i) slowest = is_less(slowest, i) ? i : slowest;
    return slowest;
  };
  found.stage = slowest_by(by_slot);
  load const& its = loads[found.stage];
  found.taken = std::min(1.0, its.per_slot() / elapsed(chain));
  double const waited = sum_of(loads, &load::waited);
  if (waited > 0) found.share_of_waiting = its.waited / waited;

  if (std::ranges::all_of(chain, [](auto const& each) { return started(each) < enough_items; })) return found;
  found.what = finding::source;
  if (!holds_items_up(chain[found.stage], its, chain, found.taken)) return found;
  found.what = finding::short_bodies;
  if (its.mean_body < short_body.count()) return found;

  found.what = finding::width;
  widen(found, chain, loads, target(loads, found.stage, processors), processors);
  double const needed = sum_of(loads, &load::computed) / processors;
  if (needed < 0.8 * its.per_slot() && (!its.needs_processor || its.slots < processors)) return found;
  found.what = finding::processors;
  found.changes.clear();
  found.speed_up = 1;
  if (needed >= 0.8 * its.per_slot()) {
    found.stage = slowest_by([&](std::size_t i, std::size_t j) { return loads[i].computed < loads[j].computed; });
    if (waited > 0) found.share_of_waiting = loads[found.stage].waited / waited;
    found.taken = std::min(1.0, loads[found.stage].per_slot() / elapsed(chain));
  }
  return found;
}

// ---- in words

namespace {

std::string quoted(stage_figures const& stage) { return "'" + stage.name + "'"; }

std::string percent(double share) { return std::to_string(std::lround(100 * share)) + " %"; }

std::string duration(double in_s) {
  std::array<char, 32> text{};
  if (in_s >= 1) std::snprintf(text.data(), text.size(), "%.1f s", in_s);
  else if (in_s >= 1e-3) std::snprintf(text.data(), text.size(), "%.1f ms", 1e3 * in_s);
  else if (in_s >= 1e-6) std::snprintf(text.data(), text.size(), "%.1f us", 1e6 * in_s);
  else std::snprintf(text.data(), text.size(), "%.0f ns", 1e9 * in_s);
  return text.data();
}

std::string times(double factor) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", factor);
  return text.data();
}

std::string why(stage_figures const& stage, advice const& found, std::string const& mean_body) {
  std::string text = "Stage " + quoted(stage) + " is the bottleneck: ";
  if (stage.runs_inline) {
    text += "its bodies run in scatter itself (.concurrency is 0, or PENSTOCK_SERIAL is set), " + percent(found.taken) +
            " of the time";
  } else {
    text += (stage.concurrency == 1 ? "its one slot was" : "its " + std::to_string(stage.concurrency) + " slots were") +
            " taken " + percent(found.taken) + " of the time";
    if (found.share_of_waiting > 0) {
      text += ", and " + percent(found.share_of_waiting) + " of all the waiting of ready items was there (" +
              duration(in_seconds(stage.timing.median_wait)) + " at the median)";
    }
  }
  return text + "; a body takes " + mean_body + " on average.";
}

std::string change_in_words(stage_figures const& stage, advice::change const& change) {
  std::string text;
  if (change.concurrency > 0) {
    text = ".concurrency = " + std::to_string(change.concurrency) + " for " + quoted(stage) + " (now " +
           std::to_string(stage.runs_inline ? 0 : stage.concurrency) + ")";
  }
  if (change.capacity > 0) {
    text += (text.empty() ? "" : ", with ");
    text += ".capacity = " + std::to_string(change.capacity) + " at least for " + quoted(stage) +
            " and for the stages behind it";
  }
  return text;
}

std::string changes_in_words(std::vector<stage_figures> const& chain, advice const& found) {
  std::string text;
  for (auto const& each : found.changes) {
    text += (text.empty() ? " Try " : ", and ") + change_in_words(chain[each.stage], each);
  }
  return text + ": that may make the chain up to " + times(found.speed_up) +
         " times as fast. If its bodies wait for one " +
         "another (a lock, a disk, a server that takes no more), width will not help.";
}

std::string no_processor_left(std::vector<stage_figures> const& chain, advice const& found, int processors) {
  double computed = 0;
  for (auto const& each : loads_of(chain)) computed += each.computed;
  return " It computes rather than waits, and there " +
         (processors == 1 ? std::string{"is 1 processor"} : "are " + std::to_string(processors) + " processors") +
         ": " + percent(loads_of(chain)[found.stage].computed / std::max(computed, 1e-12)) +
         " of the processor time of all bodies is spent there. More width would not help: the body itself must become "
         "cheaper.";
}

constexpr std::string_view what_is_not_known =
    " Not known: what scatters, other programs on this machine, memory, and stages that have been destroyed.";

}  // namespace

std::string explain(std::vector<stage_figures> const& chain, int processors) {
  advice const found = advise(chain, processors);
  stage_figures const& stage = chain[found.stage];
  std::string const mean_body = duration(loads_of(chain)[found.stage].mean_body);
  std::string text;
  switch (found.what) {
    case finding::too_few: {
      std::uint64_t most = 0;
      for (auto const& each : chain) most = std::max(most, started(each));
      return "Too few items to tell: " + std::to_string(most) + " have run, and it takes " +
             std::to_string(enough_items) + ". Ask again later.";
    }
    case finding::source:
      text =
          "No stage is the bottleneck: hardly an item waits for a slot, so what scatters is slower than the stages, "
          "or waits for results before it scatters more; more width would not help. The stage that is closest to its "
          "limit is " +
          quoted(stage) + ", whose slots were taken " + percent(found.taken) + " of the time.";
      break;
    case finding::short_bodies:
      text = "Stage " + quoted(stage) + " is the slowest, but its bodies take " + mean_body +
             " on average, less than it costs to hand an item over; more width would not help. Put more work into one "
             "item, or use scatter_many.";
      break;
    case finding::width: text = why(stage, found, mean_body) + changes_in_words(chain, found); break;
    case finding::processors: text = why(stage, found, mean_body) + no_processor_left(chain, found, processors); break;
  }
  return text.append(what_is_not_known);
}

}  // namespace penstock::detail
