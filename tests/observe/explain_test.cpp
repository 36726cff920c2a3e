// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/explain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::detail::advice;
using penstock::detail::advise;
using penstock::detail::explain;
using penstock::detail::stage_figures;
using finding = advice::finding;
using testing::HasSubstr;
using testing::Not;

constexpr int processors = 2;
constexpr std::uint64_t items = 1'000;

// A stage through which all items have gone; its bodies slept.
stage_figures stage(std::string name, int concurrency, std::chrono::nanoseconds body, std::chrono::nanoseconds wait,
                    std::vector<std::size_t> inputs = {}) {
  stage_figures made;
  made.name = std::move(name);
  made.concurrency = concurrency;
  made.capacity = 1024;
  made.finished = made.timing.bodies = made.timing.waits = items;
  made.timing.busy = body * items;
  made.timing.wait = wait * items;
  made.timing.median_wait = wait;
  made.timing.processor_share = 0.01;
  made.timing.first_ready = std::chrono::steady_clock::time_point{1h};
  made.timing.last_end = made.timing.first_ready + 1s;
  made.inputs = std::move(inputs);
  return made;
}

// The stage with `slow` first, and the time that a chain with this bottleneck takes.
std::vector<stage_figures> chain(std::size_t slow) {
  std::vector<stage_figures> made;
  for (std::size_t i = 0; i < 3; ++i) {
    bool const is_slow = i == slow;
    made.push_back(stage(std::string{"abc"}.substr(i, 1), is_slow ? 2 : 4, is_slow ? 5ms : 1ms, is_slow ? 500ms : 10us,
                         i == 0 ? std::vector<std::size_t>{} : std::vector{i - 1}));
    made.back().timing.last_end = made.back().timing.first_ready + 2'500ms;
  }
  return made;
}

TEST(Advise, NamesTheStageWithTheMostTimeForEachSlotAndTheWidthAtWhichTheNextOneBounds) {
  for (std::size_t slow = 0; slow < 3; ++slow) {
    advice const found = advise(chain(slow), processors);
    EXPECT_EQ(found.what, finding::width);
    EXPECT_EQ(found.stage, slow);
    EXPECT_NEAR(found.taken, 1, 0.01);
    EXPECT_GT(found.share_of_waiting, 0.99);
    ASSERT_EQ(found.changes.size(), 1U);
    EXPECT_EQ(found.changes[0].stage, slow);
    EXPECT_EQ(found.changes[0].concurrency, 16);  // eight times two, at most; the others would allow 20
    EXPECT_NEAR(found.speed_up, 8, 0.01);
    std::string const text = explain(chain(slow), processors);
    EXPECT_THAT(text, HasSubstr("Stage '" + std::string{"abc"}.substr(slow, 1) + "' is the bottleneck"));
    EXPECT_THAT(text, HasSubstr(".concurrency = 16 for '" + std::string{"abc"}.substr(slow, 1) + "' (now 2)"));
  }
}

TEST(Advise, IsNotMisledByTheQueueOfAFasterStage) {
  auto figures = chain(1);
  figures[0].timing.wait = figures[1].timing.wait * 3;  // a burst that 'a' is done with long before 'b'
  figures[0].timing.median_wait = figures[1].timing.median_wait * 3;
  advice const found = advise(figures, processors);
  EXPECT_EQ(found.what, finding::width);
  EXPECT_EQ(found.stage, 1U);
}

TEST(Advise, WidensAllStagesThatAreAlikeSlow) {
  auto figures = chain(1);
  figures[2] = stage("c", 2, 4ms, 100ms, {1});
  advice const found = advise(figures, processors);
  ASSERT_EQ(found.changes.size(), 2U);
  EXPECT_EQ(found.changes[0].stage, 1U);
  EXPECT_EQ(found.changes[0].concurrency, 16);
  EXPECT_EQ(found.changes[1].stage, 2U);
  EXPECT_EQ(found.changes[1].concurrency, 13);
  EXPECT_NEAR(found.speed_up, 8, 0.01);
}

TEST(Advise, DoublesAStageThatIsAlone) {
  std::vector<stage_figures> const alone{stage("a", 3, 5ms, 100ms)};
  advice const found = advise(alone, processors);
  EXPECT_EQ(found.what, finding::width);
  ASSERT_EQ(found.changes.size(), 1U);
  EXPECT_EQ(found.changes[0].concurrency, 6);
}

TEST(Advise, FindsTheSlowBranchOfADiamond) {
  std::vector<stage_figures> const diamond{stage("d", 4, 1ms, 0ms, {1, 2}), stage("b", 4, 1ms, 0ms, {3}),
                                           stage("c", 2, 5ms, 100ms, {3}), stage("a", 4, 1ms, 1ms)};
  EXPECT_EQ(advise(diamond, processors).stage, 2U);
}

TEST(Advise, SaysSoWhenTheSourceIsSlow) {
  auto figures = chain(1);
  figures[1].timing.wait = 10us * items;
  figures[1].timing.median_wait = 10us;
  for (auto& each : figures) each.timing.last_end = each.timing.first_ready + 10s;
  EXPECT_EQ(advise(figures, processors).what, finding::source);
  EXPECT_THAT(explain(figures, processors), HasSubstr("No stage is the bottleneck"));
  figures[0].timing.blocked = 5s;  // it waits for room all the time: it is not slow
  EXPECT_EQ(advise(figures, processors).what, finding::width);
}

TEST(Advise, SaysSoWhenTooFewItemsHaveRun) {
  auto figures = chain(1);
  for (auto& each : figures) each.finished = 29;
  EXPECT_EQ(advise(figures, processors).what, finding::too_few);
  EXPECT_THAT(explain(figures, processors), HasSubstr("Too few items to tell: 29 have run"));
  figures[0].finished = 30;
  EXPECT_NE(advise(figures, processors).what, finding::too_few);
}

TEST(Advise, SaysSoWhenBodiesAreShorterThanTheirHandingOver) {
  EXPECT_EQ(advise({stage("a", 8, 100ns, 1ms)}, processors).what, finding::short_bodies);
}

TEST(Advise, NeverWidensComputationBeyondTheProcessors) {
  auto figures = chain(1);
  figures[1].timing.processor_share = 0.99;
  for (int const concurrency : {2, 8}) {
    figures[1].concurrency = concurrency;
    figures[1].timing.busy = 5ms * items * concurrency / 2;  // what does not fit on the processors takes longer
    figures[1].timing.processor_share = 0.99 * 2 / concurrency;
    EXPECT_EQ(advise(figures, processors).what, finding::processors);
    EXPECT_EQ(advise(figures, processors).stage, 1U);
    EXPECT_TRUE(advise(figures, processors).changes.empty());
    std::string const text = explain(figures, processors);
    EXPECT_THAT(text, HasSubstr("Stage 'b' is the bottleneck"));
    EXPECT_THAT(text, HasSubstr("the body itself must become cheaper"));
    EXPECT_THAT(text, Not(HasSubstr("Try ")));
  }
  figures[1] = stage("b", 1, 5ms, 100ms, {0});
  figures[1].timing.processor_share = 0.99;
  advice const found = advise(figures, 4);
  EXPECT_EQ(found.what, finding::width);
  EXPECT_EQ(found.changes.at(0).concurrency, 4);
}

TEST(Advise, KnowsComputationThatOtherProgramsHoldUp) {
  auto figures = chain(1);
  figures[1].timing.processor_share = 0.4;
  EXPECT_EQ(advise(figures, processors).what, finding::width);
  figures[1].timing.never_slept = true;
  EXPECT_EQ(advise(figures, processors).what, finding::processors);
}

TEST(Advise, NamesTheStageThatComputesMostWhenProcessorsAreShort) {
  std::vector<stage_figures> const figures{stage("a", 1, 2ms, 1s), stage("b", 8, 10ms, 1ms, {0})};
  EXPECT_EQ(advise(figures, processors).stage, 0U);
  auto busy = figures;
  busy[1].timing.processor_share = 0.35;  // 3.5 ms of every item: a processor and three quarters
  advice const found = advise(busy, processors);
  EXPECT_EQ(found.what, finding::processors);
  EXPECT_EQ(found.stage, 1U);
}

TEST(Advise, SpendsNoMoreProcessorsThanThereAre) {
  auto figures = chain(1);
  figures[1].timing.processor_share = 0.2;  // 1 ms of 5
  advice const found = advise(figures, processors);
  ASSERT_EQ(found.changes.size(), 1U);
  EXPECT_EQ(found.changes[0].concurrency, 10);
}

TEST(Advise, RaisesTheCapacityWhereThatIsTheBound) {
  auto figures = chain(1);
  figures[2].capacity = 2;
  figures[1].concurrency = 50;
  advice const found = advise(figures, processors);
  EXPECT_EQ(found.stage, 1U);
  ASSERT_FALSE(found.changes.empty());
  EXPECT_EQ(found.changes[0].concurrency, 0);
  EXPECT_EQ(found.changes[0].capacity, 20U);
  EXPECT_THAT(explain(figures, processors), HasSubstr(".capacity = 20 at least for 'b' and for the stages behind it"));
}

TEST(Advise, SeesAStageWhoseBodiesDoNotEnd) {
  auto figures = chain(1);
  for (auto& each : figures) {
    each.timing.busy = 1us * items;
    each.timing.wait = each.timing.median_wait = 0ns;
  }
  figures[2].in_bodies = 4;
  figures[2].ready = 20;
  figures[2].ready_for = 20s;
  figures[2].longest_ready_for = 1s;
  advice const found = advise(figures, processors);
  EXPECT_EQ(found.stage, 2U);
  EXPECT_EQ(found.what, finding::width);
}

TEST(Advise, WidensABodyThatRunsInScatter) {
  auto figures = chain(0);
  figures[0].runs_inline = true;
  figures[0].concurrency = 0;
  figures[0].timing.wait = figures[0].timing.median_wait = 0ns;
  figures[0].timing.last_end = figures[0].timing.first_ready + 5s;
  advice const found = advise(figures, processors);
  EXPECT_EQ(found.what, finding::width);
  EXPECT_EQ(found.changes.at(0).concurrency, 8);
  EXPECT_THAT(explain(figures, processors), HasSubstr("its bodies run in scatter itself"));
}

}  // namespace
