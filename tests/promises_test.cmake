# SPDX-License-Identifier: Apache-2.0
# cmake -DPAGE=docs/semantics.md -DLEAST=100 -DBUILD=build/dev -DCTEST=ctest -P promises_test.cmake: every test that the page
# names exists, and every promise on it names one; there are LEAST of them at least. A typed test,
# `Suite.Test<type>`, is named without its type (and without the `Suite/` that newer versions of CMake put in front), and so
# is one with parameters, `Sizes/Suite.Test/7`.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${CTEST} -N WORKING_DIRECTORY ${BUILD} OUTPUT_VARIABLE listed RESULT_VARIABLE result)
string(REGEX MATCHALL "Test +#[0-9]+: [^\n]+" listed "${listed}")
list(TRANSFORM listed REPLACE "Test +#[0-9]+: " "")
list(TRANSFORM listed REPLACE "(<.*>|/[^/.]*)$" "")
list(TRANSFORM listed REPLACE "^.*/" "")
if(NOT result EQUAL 0 OR NOT listed)
  message(FATAL_ERROR "${CTEST} -N lists no tests in ${BUILD}")
endif()

file(READ ${PAGE} page)
string(REGEX REPLACE "[;\\[]|\\]" "," page "${page}")  # they mean something in lists
set(name_pattern "`[A-Z][A-Za-z0-9]*\\.[A-Z][A-Za-z0-9_]*`")
set(wrong "")

string(REGEX MATCHALL "${name_pattern}" named "${page}")
list(REMOVE_DUPLICATES named)
foreach(name ${named})
  string(REPLACE "`" "" name ${name})
  if(NOT name IN_LIST listed)
    string(APPEND wrong "\n  there is no test ${name}")
  endif()
endforeach()

string(FIND "${page}" "\n## What is not promised" end)
string(SUBSTRING "${page}" 0 ${end} promises)
string(REGEX REPLACE "\n(- |#)" ";\\1" promises "${promises}")
list(POP_FRONT promises)
set(count 0)
foreach(promise IN LISTS promises)
  if(promise MATCHES "^#")  # a heading, and what stands below it
    continue()
  endif()
  math(EXPR count "${count} + 1")
  if(NOT promise MATCHES "${name_pattern}")
    string(APPEND wrong "\n  a promise names no test: ${promise}")
  endif()
endforeach()
if(count LESS LEAST)
  string(APPEND wrong "\n  only ${count} promises were found on the page")
endif()

if(wrong)
  message(FATAL_ERROR "${PAGE}:${wrong}")
endif()
list(LENGTH named names)
message(STATUS "${count} promises, ${names} tests")
