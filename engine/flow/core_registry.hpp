// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/observe/explain.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace penstock::detail {

class stage_state;

/// All cores of the program: those in use, each with the serial of its stage, and those that wait for their next stage.
/// Thread-safe; does not block.
class core_registry {
 public:
  static core_registry& instance();

  /// A core for a new stage, with a serial of its own.
  [[nodiscard]] stage_state& take(std::shared_ptr<std::string const> name);
  /// The stage is destroyed.
  void give(stage_state& core) noexcept;

  /// The name of a stage that may have been destroyed since.
  [[nodiscard]] std::string name_of(std::uint32_t serial);
  /// Whether items of stage `upstream` have been arguments of `downstream`, directly or through other stages.
  [[nodiscard]] bool reaches(std::uint32_t upstream, stage_state const& downstream) {
    return reaches(upstream, downstream, false);
  }
  /// The same, or in a pipeline.
  [[nodiscard]] bool feeds(std::uint32_t upstream, stage_state const& downstream) {
    return reaches(upstream, downstream, true);
  }
  /// Whether a stream takes results of the stage at present, or of a pipeline that ends in it.
  [[nodiscard]] bool is_read(stage_state const& maker);
  /// All stages that exist of which items have been arguments of `downstream`, directly or through other stages; the stage
  /// itself if that is asked for, and only then.
  [[nodiscard]] std::vector<stage_state*> upstreams_of(stage_state const& downstream, bool with_itself);
  /// What is known of a stage, which goes first, and of all that its items have come from, as far as they have not been
  /// destroyed. The engine's own stages are left out.
  [[nodiscard]] std::vector<stage_figures> figures_of(stage_state const& last);

  /// A pipeline, and the stages that it passes. Returns those in front of which items could wait for each other for ever, as
  /// pipelines lead round in a circle; they overflow from now on. Throws std::bad_alloc.
  [[nodiscard]] std::vector<stage_state*> add_pipeline(std::uint32_t home, std::vector<std::uint32_t> stages);
  void remove_pipeline(std::uint32_t home) noexcept;

 private:
  struct pipeline {
    std::uint32_t home;
    std::vector<std::uint32_t> stages;
  };

  [[nodiscard]] bool reaches(std::uint32_t upstream, stage_state const& downstream, bool in_pipelines);
  void for_each_before(std::uint32_t serial, auto const& visit) const;
  [[nodiscard]] stage_state* core_of(std::uint32_t serial) const noexcept;
  [[nodiscard]] bool room_waits_for(std::uint32_t from, std::uint32_t to) const;

  std::mutex mutex_;
  std::vector<stage_state*> all_;  // these guarded by mutex_
  std::vector<stage_state*> unused_;
  std::vector<pipeline> pipelines_;
  std::uint32_t last_serial_ = 0;
  std::array<std::pair<std::uint32_t, std::shared_ptr<std::string const>>, 4096> names_;  // of the newest stages
};

}  // namespace penstock::detail
