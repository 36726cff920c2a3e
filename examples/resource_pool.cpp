// SPDX-License-Identifier: Apache-2.0
// A resource_pool: eight tasks at a time share two connections to a database, simulated here. The pool opens one when it
// is first needed. One breaks while it is used: that task fails, the health check finds the connection broken when it
// comes back, and the next task gets a new one.
#include <penstock/penstock.hpp>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

class connection {
 public:
  explicit connection(std::atomic<int>& opened) { ++opened; }

  std::string ask(int number) {  // from one thread at a time: it has no lock
    if (number == 5) {
      is_alive_ = false;
      throw std::runtime_error{"connection reset by peer"};
    }
    return "row " + std::to_string(number) + " is " + std::to_string(number * number);
  }
  [[nodiscard]] bool is_alive() const { return is_alive_; }

 private:
  bool is_alive_ = true;
};

}  // namespace

int main() {
  std::atomic<int> opened = 0;
  penstock::resource_pool<connection> connections{2, [&] { return connection{opened}; },
                                                  [](connection const& each) { return each.is_alive(); }};

  penstock::thread_stage query{{.concurrency = 8, .name = "query"}, [&](int number) {
                                 auto const mine = connections.acquire();  // waits for one; first come, first served
                                 return mine->ask(number);
                               }};  // given back, also after a throw
  for (int number = 0; number < 10; ++number) query.scatter(number);
  for (auto const& outcome : query.outcomes()) {
    if (outcome) std::puts(outcome->c_str());
    else std::printf("task %zu failed: %s\n", outcome.index(), outcome.error().what());
  }

  auto const first = connections.acquire();  // two connections that work are there for whoever comes
  auto const second = connections.acquire();
  std::printf("%d opened, both alive: %s\n", opened.load(), first->is_alive() && second->is_alive() ? "yes" : "no");
}
