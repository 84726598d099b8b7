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

# quietly NAME COMMAND...: output goes to a log, shown if the command fails; two lines if it takes a while.
quietly() {
  local name=$1 log=$folder/$1.log start=$SECONDS said='' pid
  shift
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 $pid 2>/dev/null; do
    sleep 0.2
    if [[ -z $said && $((SECONDS - start)) -ge 3 ]]; then
      said=yes
      echo "build: $name $preset ..." >&2
    fi
  done
  if ! wait $pid; then
    grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | tail -n 80 >&2
    echo "build: $name failed; the whole log is $log" >&2
    exit 1
  fi
  [[ -z $said ]] || echo "build: $name $preset: done in $((SECONDS - start)) s" >&2
}

mkdir -p "$folder"
configured || quietly configure cmake --preset "$preset" "${options[@]}"
build=(cmake --build "$folder" --parallel "${TERN_JOBS:-$(nproc)}")
[[ ${#targets[@]} -eq 0 ]] || build+=(--target "${targets[@]}")
if [[ -t 2 ]]; then
  "${build[@]}" >&2
else
  quietly compile "${build[@]}"
fi
