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

template <class Lock, class Guard, bool LetsManyIn>
class guarded {
 public:
  static constexpr bool is_shared = LetsManyIn;

  explicit guarded(std::size_t) {}
  void hold(auto const& body) {
    Guard const locked{lock_};
    body(0);
  }

 private:
  Lock lock_;
};
template <class Lock>
using exclusive = guarded<Lock, std::lock_guard<Lock>, false>;
template <class Lock>
using reading = guarded<Lock, std::shared_lock<Lock>, true>;

// With its lock.
struct room_of_its_own {
  void lock() { room.lock(); }
  void unlock() { room.unlock(); }

  penstock::unowned_mutex occupied;
  penstock::light_switch<penstock::unowned_mutex> room{occupied};
};
using light_switch = guarded<room_of_its_own, std::lock_guard<room_of_its_own>, true>;

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
