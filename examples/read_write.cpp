// SPDX-License-Identifier: Apache-2.0
// A rw_lock: any number of tasks read a table of prices at once, and one writes it alone. Who reads when
// the writer comes keeps it waiting, and sees the old prices; while it waits, no other reader gets in; who reads after it
// sees the new ones.
#include <penstock/penstock.hpp>

#include <barrier>
#include <cstddef>
#include <cstdio>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <utility>

int main() {
  constexpr int readers = 4;
  penstock::rw_lock table_lock;
  std::map<std::string, int> prices{{"bread", 3}, {"milk", 2}};  // guarded by table_lock
  std::barrier all_inside{readers + 1};                          // the readers, and main()

  penstock::thread_stage read{readers, [&](std::string const& what) {
                                std::shared_lock const reading{table_lock};
                                all_inside.arrive_and_wait();  // they are inside at the same time
                                all_inside.arrive_and_wait();  // and stay until main() lets them go
                                return what + " " + std::to_string(prices.at(what));
                              }};
  penstock::thread_stage write{1, [&](std::string const& what, int price) {
                                 std::lock_guard const writing{table_lock};
                                 int const before = std::exchange(prices[what], price);
                                 return what + " " + std::to_string(before) + " -> " + std::to_string(price);
                               }};
  auto const wait_until_waiting = [&](std::size_t count) {
    while (table_lock.waiting() < count) std::this_thread::yield();
  };

  for (auto const* what : {"bread", "milk", "bread", "milk"}) read.scatter(what);
  all_inside.arrive_and_wait();
  auto const written = write.scatter("bread", 4);
  wait_until_waiting(1);
  bool const one_more = table_lock.try_lock_shared();
  std::printf("%d readers inside, a writer waits; one more reader gets in: %s\n", readers, one_more ? "yes" : "no");
  all_inside.arrive_and_wait();
  for (auto const& line : read.gather()) std::printf("read   %s\n", line.c_str());
  std::printf("wrote  %s\n", written.get().c_str());

  for (auto const* what : {"bread", "milk", "bread", "milk"}) read.scatter(what);
  all_inside.arrive_and_wait();
  all_inside.arrive_and_wait();
  for (auto const& line : read.gather()) std::printf("read   %s\n", line.c_str());
}
