// SPDX-License-Identifier: Apache-2.0
#include <penstock/resource_pool.hpp>

#include <vector>

int main() { penstock::resource_pool<bool> const pool{std::vector<bool>(3)}; }
