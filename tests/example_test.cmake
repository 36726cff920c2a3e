# SPDX-License-Identifier: Apache-2.0
# cmake -DPROGRAM=x -DEXPECTED=x.txt -P example_test.cmake: the program succeeds and prints that text, with any number
# before " s", which no machine gives twice.
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE printed RESULT_VARIABLE result TIMEOUT 50)
file(READ ${EXPECTED} expected)
foreach(text printed expected)
  string(REGEX REPLACE "[0-9]+\\.[0-9]+ s" "N s" ${text} "${${text}}")
endforeach()
if(NOT result STREQUAL "0" OR NOT printed STREQUAL expected)
  message(FATAL_ERROR "${PROGRAM} ended with ${result} and printed\n${printed}\ninstead of ${EXPECTED}\n${expected}")
endif()
