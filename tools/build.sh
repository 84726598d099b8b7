#!/usr/bin/env bash
# Configures a CMake preset once and builds targets of it; quiet unless on a terminal or in trouble.
#
#   tools/build.sh PRESET [-DNAME=VALUE...] [TARGET...]      no target: everything
#
# A -D option that already has this value in the build folder's cache does not configure again.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/build/bin:$PATH

preset=$1
shift
folder=build
[[ $preset == release ]] || folder=build/$preset
options=() targets=()
for argument in "$@"; do
  case $argument in
  -D*) options+=("$argument") ;;
  *) targets+=("$argument") ;;
  esac
done

configured() {
  local option
  [[ -f $folder/build.ninja ]] || return 1
  for option in "${options[@]}"; do
    option=${option#-D}
    grep -qE "^${option%%=*}:[A-Z]+=${option#*=}\$" "$folder/CMakeCache.txt" || return 1
  done
}

# Runs a command with its output in a log, shown if it fails.
quietly() {
  local log=$folder/$1.log
  shift
  if ! "$@" >"$log" 2>&1; then
    grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | tail -n 80 >&2
    echo "build: failed; the whole log is $log" >&2
    exit 1
  fi
}

mkdir -p "$folder"
configured || quietly configure cmake --preset "$preset" "${options[@]}"
build=(cmake --build "$folder" --parallel "${TERN_JOBS:-$(nproc)}")
[[ ${#targets[@]} -eq 0 ]] || build+=(--target "${targets[@]}")
if [[ -t 2 ]]; then
  "${build[@]}" >&2
elif ninja -C "$folder" -n "${targets[@]}" | grep -q 'no work to do'; then
  exit 0
else
  start=$SECONDS
  echo "build: $preset ..." >&2
  quietly build "${build[@]}"
  echo "build: $preset: done in $((SECONDS - start)) s" >&2
fi
