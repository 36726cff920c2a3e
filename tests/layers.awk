# SPDX-License-Identifier: Apache-2.0
# awk -f tests/layers.awk FILE...: checks that includes point down only. A folder is a layer; CONTRIBUTING.md lists
# them. Prints each include that does not, and exits with 1 if there is any.

function refuse(why) {
  printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, why
  refused = 1
}

FNR == 1 {
  layer = FILENAME
  sub(/\/[^\/]*$/, "", layer)
  if (layer ~ /^include\//) layer = "include"
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
  header = $0
  gsub(/^[^"<]*["<]|[">].*$/, "", header)
  is_project = header ~ /^(penstock|engine|kernels|imaging|cli|tests|bench|examples)\//
  is_tbb = header ~ /^(oneapi\/)?tbb\//
  is_thrust = header ~ /^(thrust|cub)\//
  is_cuda = header ~ /^cuda/

  # What lies outside the project.
  if (layer == "include") {
    opted_in = (FILENAME ~ /\/tbb\.hpp$/ && is_tbb) || (FILENAME ~ /\/cuda\.hpp$/ && is_cuda)
    if (!opted_in && header !~ /^penstock\// && header !~ /^[a-z_0-9]+$/)
      refuse("public headers include penstock's and the standard library's only")
  } else if (layer ~ /^(engine|kernels|imaging|cli)/) {
    if (is_tbb && layer !~ /^engine\/flow/) refuse("TBB belongs in engine/flow")
    if (is_thrust && layer !~ /^kernels/) refuse("Thrust belongs in kernels")
    if (is_cuda && layer !~ /^(engine\/device|kernels)/) refuse("CUDA belongs in engine/device and kernels")
  }

  # What lies inside it.
  if (!is_project) next
  if (layer ~ /^engine\/(sync|observe)/) {
    if (header ~ /^(engine|kernels|imaging|cli)\// && index(header, layer "/") != 1 && !(layer ~ /sync$/ && header ~ /^engine\/observe\//))
      refuse("engine/observe knows nobody, engine/sync nobody else")
  } else if (layer ~ /^engine\//) {
    if (header ~ /^engine\/(flow|device|process)\// && index(header, layer "/") != 1) refuse("siblings in engine/ do not know each other")
    if (header ~ /^(imaging|cli)\// || (header ~ /^kernels\// && layer !~ /^engine\/device/)) refuse("the engine knows nothing of pictures")
  } else if (layer ~ /^(kernels|imaging)/) {
    if (header ~ /^penstock\/(penstock|future|outcome|pipeline|[a-z]*_stage|stage_[a-z]*)\.hpp$/) refuse("kernels and imaging know no stages")
    if (header ~ /^(engine|cli)\//) refuse("kernels and imaging know neither engine nor program")
    if (header ~ /^imaging\// && layer ~ /^kernels/) refuse("kernels know no files or formats")
  } else if (layer ~ /^cli/) {
    if (header ~ /^engine\// || header ~ /^penstock\/detail\//) refuse("the program uses public headers only")
  } else if (layer ~ /^examples/) {
    if (header ~ /^(engine|cli|tests|bench)\// || header ~ /^penstock\/detail\//) refuse("examples use what a user may name")
  }
  if (layer !~ /^(tests|bench)/ && header ~ /^(tests|bench)\//) refuse("only tests include tests")
}

END { exit refused }
