#!/usr/bin/env bash
# Installs what a fresh Debian 12 machine lacks, pinned: Debian packages through apt, and two Python
# environments inside the project (.venv/build: CMake, Halide, lit; .venv/test: the references that
# tests and training compare with). Does nothing, in a fraction of a second, when all is there; may be
# interrupted and run again.
#
#   tools/bootstrap.sh build         what `make run` needs
#   tools/bootstrap.sh build-tests   also what building the unit tests needs, for AArch64 too
#   tools/bootstrap.sh test          also what running all tests needs (torch, llama.cpp: minutes, 6 GB)
#   tools/bootstrap.sh lock          rewrites tools/requirements-*.txt from the .in files
set -euo pipefail
cd "$(dirname "$0")/.."

# Package or package=version pattern.
LLVM='1:22.1.*'
BUILD_PACKAGES=(
  "libmlir-22-dev=$LLVM" "mlir-22-tools=$LLVM" "llvm-22-dev=$LLVM" "llvm-22-tools=$LLVM"
  "liblld-22-dev=$LLVM" "lld-22=$LLVM" "clang-22=$LLVM" "libclang-rt-22-dev=$LLVM"
  'libflatbuffers-dev=2.0.8*' 'flatbuffers-compiler=2.0.8*' 'libcli11-dev=2.1.*'
  'nlohmann-json3-dev=3.11.*' 'libsodium-dev=1.0.*' 'ninja-build=1.11.*'
)
TEST_PACKAGES=(
  'libgtest-dev=1.12.*' 'libgmock-dev=1.12.*' 'libbenchmark-dev=1.7.*'
  "clang-format-22=$LLVM" "clang-tidy-22=$LLVM" 'openssl=3.*'
  'g++-aarch64-linux-gnu=4:12.*' 'qemu-user-static=1:7.2*'
)

fail() {
  printf 'bootstrap: %s\n' "$*" >&2
  exit 1
}

# step TEXT COMMAND...: one line on stderr; the command's output goes to a log, shown if it fails.
step() {
  local text=$1 log start=$SECONDS
  shift
  log=.venv/log/${text//[^A-Za-z0-9.]/-}.log
  mkdir -p .venv/log
  printf 'bootstrap: %s ...\n' "$text" >&2
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    fail "$text failed; the whole log is $log"
  fi
  printf 'bootstrap: %s: done in %d s\n' "$text" $((SECONDS - start)) >&2
}

# Prints those of the given packages that are not installed in the wanted version.
missing_packages() {
  local wanted name pattern installed
  for wanted in "$@"; do
    name=${wanted%%=*} pattern=${wanted#*=}
    # shellcheck disable=SC2016
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$name" 2>/dev/null || true)
    # shellcheck disable=SC2053
    [[ $installed == installed\ $pattern ]] || printf '%s\n' "$wanted"
  done
}

install_packages() {
  local missing sudo=()
  command -v dpkg-query >/dev/null ||
    fail "this is no Debian system; install these by hand, then use CMake directly: $*"
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] && return
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || fail "missing Debian packages, and neither root nor sudo to install them. As root:
  apt-get update && apt-get install --no-install-recommends ${missing[*]@Q}"
    sudo=(sudo)
    sudo -v || fail "sudo was refused. As root:
  apt-get update && apt-get install --no-install-recommends ${missing[*]@Q}"
  fi
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600)
  step 'apt-get update' "${apt[@]}" update
  step "installing ${#missing[@]} Debian packages" \
    "${apt[@]}" install -y --no-install-recommends --allow-downgrades "${missing[@]}"
}

# uv finds the machine's package index and certificates where pip has been told of them.
configure_uv() {
  export UV_NO_PROGRESS=1 UV_HTTP_TIMEOUT=300 UV_LOCK_TIMEOUT=3600
  [[ -n ${PIP_INDEX_URL:-} && -z ${UV_DEFAULT_INDEX:-} ]] && export UV_DEFAULT_INDEX=$PIP_INDEX_URL
  [[ -n ${PIP_CERT:-} && -z ${SSL_CERT_FILE:-} ]] && export SSL_CERT_FILE=$PIP_CERT
  return 0
}

find_python() {
  python=$(command -v "${PYTHON:-python3}") || fail "Python 3.11 or newer is needed (set PYTHON to its path)"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" -V); Python 3.11 or newer is needed (set PYTHON to its path)"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages 'python3-venv=3.*'
  fi
}

create_environment() {
  if ! ".venv/$1/bin/python" -c '' 2>/dev/null; then
    rm -rf ".venv/$1"
    "$python" -m venv "$2" ".venv/$1"
  fi
}

install_uv() {
  create_environment build --upgrade-deps
  .venv/build/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' tools/requirements-build.txt)"
}

# From uv's cache if all is there, whatever the index says of its age: llama-cpp-python takes minutes to build.
install_requirements() {
  local install=(.venv/build/bin/uv pip install --python ".venv/$1/bin/python" -r "tools/requirements-$1.txt")
  "${install[@]}" --offline || "${install[@]}"
}

# The stamp is written last, so an interrupted installation is taken up again.
install_environment() {
  local name=$1 requirements=tools/requirements-$1.txt stamp=.venv/$1/requirements.sha256 digest
  digest=$(sha256sum "$requirements" | cut -d' ' -f1)
  if [[ -f $stamp && $(<"$stamp") == "$digest" ]] && ".venv/$name/bin/python" -c '' 2>/dev/null; then
    return
  fi
  mkdir -p .venv
  exec 9>.venv/lock
  flock 9
  find_python
  configure_uv
  [[ -x .venv/build/bin/uv ]] || step 'installing uv' install_uv
  create_environment "$name" --without-pip
  step "installing .venv/$name" install_requirements "$name"
  printf '%s\n' "$digest" >"$stamp"
  exec 9>&-
}

lock() {
  local name
  configure_uv
  for name in build test; do
    .venv/build/bin/uv pip compile --quiet --upgrade --no-annotate --python .venv/build/bin/python \
      --custom-compile-command 'tools/bootstrap.sh lock' "tools/requirements-$name.in" -o "tools/requirements-$name.txt"
  done
}

case ${1:-} in
build)
  install_packages "${BUILD_PACKAGES[@]}"
  install_environment build
  ;;
build-tests)
  install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
  install_environment build
  ;;
test)
  install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
  install_environment build
  install_environment test
  ;;
lock) lock ;;
*)
  echo "usage: tools/bootstrap.sh build|build-tests|test|lock" >&2
  exit 2
  ;;
esac
