// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/stage_core.hpp>
#include <penstock/thread_stage.hpp>

namespace look_for_bundles {
struct tag {};
}  // namespace look_for_bundles

// A friend of stages.
template <>
class penstock::graph_stage<look_for_bundles::tag> {
 public:
  static detail::stage_core& core_of(auto const& stage) { return stage.port(); }
};

// Whether scatter_many() puts many items into one cell at present; the stage needs room for 8.
inline bool makes_bundles(auto const& stage) {
  penstock::detail::stage_core& core = penstock::graph_stage<look_for_bundles::tag>::core_of(stage);
  auto const places = core.admit_bundle(8);
  if (places) core.dismiss(*places);
  return places.has_value();
}

// Runs harmless items until the stage knows that its bodies are short. Its capacity is at least 32.
inline void warm_up(auto& stage, auto const&... harmless) {
  while (!makes_bundles(stage)) {
    for (int i = 0; i < 64; ++i) stage.scatter(harmless...);
    (void)stage.outcomes();
  }
}
