// SPDX-License-Identifier: Apache-2.0
// A light_switch: people share a restroom, and the janitor cleans it when nobody is inside. The first one in turns the
// light on, which locks the janitor out; the last one out turns it off. The janitor is sent when person 0 is inside, and
// has to wait for all of them, since somebody is always inside: when one leaves, another has come.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

// What happened, in order, for those who wait for it to happen.
class diary {
 public:
  void note(std::string event) {
    std::lock_guard const lock{mutex_};
    std::printf("%s%s", events_.empty() ? "" : " ", event.c_str());
    events_.push_back(std::move(event));
    noted_.notify_all();
  }
  void wait_for(std::string const& event) {
    std::unique_lock lock{mutex_};
    noted_.wait(lock, [&] { return std::ranges::find(events_, event) != events_.end(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable noted_;
  std::vector<std::string> events_;  // guarded by mutex_
};

std::string person(int id, char does) { return "p" + std::to_string(id) + does; }

}  // namespace

int main() {
  constexpr int people = 5;
  diary day;
  penstock::unowned_mutex light;  // on: locked
  penstock::light_switch restroom{light};

  penstock::thread_stage janitor{1, [&] {
                                   std::lock_guard const cleaning{light};
                                   day.note("j+");
                                   day.note("j-");
                                 }};
  penstock::thread_stage visit{people, [&](int id) {
                                 if (id == 1) day.wait_for(person(0, '+'));
                                 if (id >= 2) day.wait_for(person(id - 2, '-'));
                                 std::lock_guard const inside{restroom};
                                 day.note(person(id, '+'));
                                 if (id == 0) janitor.scatter();
                                 if (id + 1 < people) day.wait_for(person(id + 1, '+'));
                                 else day.wait_for(person(id - 1, '-'));
                                 day.note(person(id, '-'));
                               }};
  for (int id = 0; id < people; ++id) visit.scatter(id);
  visit.gather();
  janitor.gather();
  std::puts("");
}
