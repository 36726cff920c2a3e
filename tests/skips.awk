# SPDX-License-Identifier: Apache-2.0
# awk -v preset=tsan -f tests/skips.awk tests/sanitizer_skips.txt build/tsan/tests.xml: the tests that did not run, by
# ctest's own report, are those of the list. Prints each difference, and exits with 1 if there is any.

FNR == 1 { ++file }

file == 1 && /^\[/ {
  group = $1
  gsub(/[\[\]]/, "", group)
  next
}
file == 1 && NF && !/^#/ {
  if (group == preset) expected[$1] = 1
  else if (group == "any") allowed[$1] = 1
}

file == 2 && /^[ \t]*<testcase name="/ {
  ++tests
  name = $0
  sub(/^[^"]*"/, "", name)
  sub(/".*/, "", name)
  if ($0 !~ / status="(notrun|disabled)"/) next
  ++skipped
  if (name in expected) delete expected[name]
  else if (!(name in allowed)) differ(name " was skipped and is not in " ARGV[1] " under [" preset "]")
}

function differ(what) {
  print what
  wrong = 1
}

END {
  if (!tests) differ("there are no tests in " ARGV[2])
  for (name in expected) differ(name " is in " ARGV[1] " under [" preset "] and was not skipped")
  if (!wrong) printf "%d of %d tests were skipped, as %s says\n", skipped, tests, ARGV[1]
  exit wrong
}
