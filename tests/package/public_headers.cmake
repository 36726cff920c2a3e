# SPDX-License-Identifier: Apache-2.0
# cmake -D compiler=... -D include=... -D scratch=... -P: lists all that <penstock/penstock.hpp> includes, directly or not,
# and fails if something there is TBB's, Thrust's or CUDA's.
file(WRITE ${scratch}/public_headers.cpp "#include <penstock/penstock.hpp>\n")
execute_process(COMMAND ${compiler} -std=c++20 -I ${include} -M ${scratch}/public_headers.cpp
  OUTPUT_VARIABLE included COMMAND_ERROR_IS_FATAL ANY)
if(NOT included MATCHES "penstock/thread_stage\\.hpp")
  message(FATAL_ERROR "the list of included files is not what it should be:\n${included}")
endif()
string(REGEX MATCHALL "[^ \n]*/(tbb|oneapi|thrust|cub|cuda[^/ \n]*)[/.][^ \n]*" foreign "${included}")
if(foreign)
  string(REPLACE ";" "\n  " foreign "${foreign}")
  message(FATAL_ERROR "<penstock/penstock.hpp> includes\n  ${foreign}")
endif()
