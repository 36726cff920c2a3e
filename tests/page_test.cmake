# SPDX-License-Identifier: Apache-2.0
# cmake -DPAGE=README.md -DEXAMPLE=examples/x.cpp [-DOUTPUT=examples/expected/x.txt] -P page_test.cmake: the program on
# the page is the one that is built, and the output below it is the one that is tested.
file(READ ${PAGE} page)
file(READ ${EXAMPLE} example)
string(REGEX REPLACE "^// SPDX[^\n]*\n" "" example "${example}")
string(FIND "${page}" "```cpp\n${example}```\n" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${PAGE} does not show ${EXAMPLE} as it is; copy the program into it again")
endif()

if(OUTPUT)
  file(READ ${OUTPUT} output)
  cmake_path(GET EXAMPLE STEM name)
  string(FIND "${page}" "```\n$ ${name}\n${output}```\n" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${PAGE} does not show ${OUTPUT} as it is; copy the output into it again")
  endif()
endif()
