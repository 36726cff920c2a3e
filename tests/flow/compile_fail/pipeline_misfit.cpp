// SPDX-License-Identifier: Apache-2.0
#include <penstock/pipeline.hpp>

#include <string>

int main() {
  penstock::thread_stage one{[](int x) { return std::to_string(x); }};
  penstock::thread_stage two{
      [](std::string const& text, int times) { return text.size() * static_cast<unsigned>(times); }};
  auto chain = one | two;
}
