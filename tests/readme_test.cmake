# SPDX-License-Identifier: Apache-2.0
# cmake -DREADME=README.md -DEXAMPLE=examples/x.cpp -P readme_test.cmake: the program in the README is the one that is built.
file(READ ${README} readme)
file(READ ${EXAMPLE} example)
string(REGEX REPLACE "^// SPDX[^\n]*\n" "" example "${example}")
string(FIND "${readme}" "```cpp\n${example}```" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${README} does not show ${EXAMPLE} as it is; copy the program into it again")
endif()
