// SPDX-License-Identifier: Apache-2.0
#include <penstock/light_switch.hpp>

#include <chrono>

struct untimed_lock {
  void lock() {}
  bool try_lock() { return true; }
  void unlock() {}
};

int main() {
  untimed_lock occupied;
  penstock::light_switch room{occupied};
  return room.try_lock_for(std::chrono::seconds{1}) ? 0 : 1;
}
