// SPDX-License-Identifier: Apache-2.0
#include "bench/locks/holding.hpp"

#include <penstock/light_switch.hpp>
#include <penstock/queue_lock.hpp>
#include <penstock/rw_lock.hpp>
#include <penstock/unowned_mutex.hpp>

#include <cstddef>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace locks {
namespace {

template <class Lock>
class exclusive {
 public:
  static constexpr bool is_shared = false;

  explicit exclusive(std::size_t) {}
  void hold(auto const& body) {
    std::lock_guard const locked{lock_};
    body(0);
  }

 private:
  Lock lock_;
};

template <class Lock>
class reading {
 public:
  static constexpr bool is_shared = true;

  explicit reading(std::size_t) {}
  void hold(auto const& body) {
    std::shared_lock const locked{lock_};
    body(0);
  }

 private:
  Lock lock_;
};

class light_switch {
 public:
  static constexpr bool is_shared = true;

  explicit light_switch(std::size_t) {}
  void hold(auto const& body) {
    std::lock_guard const inside{room_};
    body(0);
  }

 private:
  penstock::unowned_mutex occupied_;
  penstock::light_switch<penstock::unowned_mutex> room_{occupied_};
};

}  // namespace

std::vector<candidate> mutex_costs() {
  return {{"std::mutex", cost<exclusive<std::mutex>>},
          {"penstock unowned_mutex", cost<exclusive<penstock::unowned_mutex>>},
          {"penstock queue_lock", cost<exclusive<penstock::queue_lock>>},
          {"penstock light_switch, unowned_mutex", cost<light_switch>}};
}

std::vector<candidate> read_costs() {
  return {{"std::shared_mutex", cost<reading<std::shared_mutex>>},
          {"penstock rw_lock", cost<reading<penstock::rw_lock>>}};
}

std::vector<candidate> write_costs() {
  return {{"std::shared_mutex", cost<exclusive<std::shared_mutex>>},
          {"penstock rw_lock", cost<exclusive<penstock::rw_lock>>}};
}

}  // namespace locks
