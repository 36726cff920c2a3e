// SPDX-License-Identifier: Apache-2.0
#include <penstock/queue_lock.hpp>

int look(penstock::queue_lock& lock, bool early) {
  lock.lock();
  if (early) return 1;
  lock.unlock();
  return 0;
}
