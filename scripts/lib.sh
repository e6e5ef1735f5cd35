# What the scripts share: where the project is, what the system must have, the environment.
# Sourced, not run. Every function ends the script with one clear line when it cannot do its work.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT"
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '==> %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# find_python: the first Python >= 3.11 that can make environments and compile extensions,
# else the first one at all, else nothing.
find_python() {
    local name first=
    for name in python3.13 python3.12 python3.11 python3.14 python3; do
        command -v "$name" >/dev/null || continue
        name=$("$name" -c 'import sys
print(sys.executable if sys.version_info >= (3, 11) else "")' 2>/dev/null) || continue
        [ -n "$name" ] || continue
        first=${first:-$name}
        if has_venv "$name" && has_headers "$name"; then first=$name && break; fi
    done
    echo "$first"
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
has_headers() {
    "$1" -c 'import os, sysconfig
raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}
compiles() { # compiles HEADER...: does a C program that includes these build?
    printf '#include <%s>\n' stddef.h stdio.h "$@" | cc -fsyntax-only -x c - 2>/dev/null
}

# Debian's names of what is missing to build fastbench with the Python $1.
missing_packages() {
    local version
    version=$("$1" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    has_venv "$1" || echo "$version-venv"
    has_headers "$1" || echo "$version-dev"
    # Without a compiler nothing can be asked about headers: name them all, apt skips what is there.
    compiles stdlib.h || echo gcc libc6-dev
    compiles openssl/ssl.h || echo libssl-dev
    compiles nghttp2/nghttp2.h || echo libnghttp2-dev
    [ "$(uname -m)" != x86_64 ] || compiles jpeglib.h || echo libjpeg-dev # for pillow-simd,
    [ "$(uname -m)" != x86_64 ] || compiles zlib.h || echo zlib1g-dev     # built from source
}

apt_install() {
    say "installing system packages: $*"
    # dpkg needs the sbin folders, which a bare PATH lacks.
    PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@" >/dev/null
    ' apt "$@" >&2
}

# require_packages PACKAGE...: installs them when root, else stops with the command to type.
require_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing system packages (Debian's names): $*"
    [ "$(id -u)" = 0 ] || die "missing system packages; run: sudo apt-get install -y $*"
    apt_install "$@" || die "apt-get could not install: $*"
}

# want_packages FILE=PACKAGE...: the same for packages that only some tests need; never stops.
want_packages() {
    local pair missing=()
    for pair; do
        [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt_install "${missing[@]}"; then
        return 0
    fi
    say "some tests will be skipped; to run them: sudo apt-get install -y ${missing[*]}"
}

# True when .venv was made whole, here: a moved one has the old path in its programs.
venv_is_whole() {
    grep -qsF "$VENV/bin/python" "$VENV/bin/pip" &&
        "$PYTHON" -c 'import pip, sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    local python
    python=$(find_python)
    [ -n "$python" ] || die "no Python >= 3.11 found (looked for python3.11 to python3.14, python3)"
    # shellcheck disable=SC2046 # one word per package
    require_packages $(missing_packages "$python")
    say "making .venv with $("$python" -V) ($python)"
    "$python" -m venv --clear "$VENV"
    "$PYTHON" -m pip install -q --upgrade pip
}

digest() { # of the files and folders named: changes when a byte or a name does
    find "$@" -type f ! -name '*.py' ! -path '*/__pycache__/*' -print0 | sort -z |
        xargs -0 sha256sum | sha256sum
}

# once NAME DIGEST COMMAND...: runs COMMAND unless it ended well before with the same DIGEST.
once() {
    local stamp=$VENV/fastbench-$1 digest=$2
    shift 2
    [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ] && return
    rm -f "$stamp"
    "$@"
    echo "$digest" >"$stamp"
}

install_dependencies() { # install_dependencies GROUP
    # shellcheck disable=SC2046 # one word per package
    require_packages $(missing_packages "$PYTHON")
    say "installing dependencies ($1; the first time takes a minute or two)"
    "$PYTHON" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' |
        "$PYTHON" -m pip install -q --group "$1" -r /dev/stdin ||
        die "pip could not install the dependencies: the reason stands above"
}

# Editable, so that an edited .py counts at once, and with a fixed build folder, so that only what
# changed is compiled again.
install_fastbench() {
    say "compiling and installing fastbench"
    "$PYTHON" -m pip install -q --no-deps --no-build-isolation \
        '-Cbuild-dir=build/{wheel_tag}' -e . || die "fastbench did not build: the reason stands above"
}

# environment [dev]: .venv with fastbench in it; with dev, also what tests and checks need.
environment() {
    venv_is_whole || make_venv
    once build-dependencies "$(digest pyproject.toml)" install_dependencies build
    if [ "${1:-}" = dev ]; then
        once dev-dependencies "$(digest pyproject.toml)" install_dev_dependencies
    fi
    once installed "$(digest csrc src CMakeLists.txt pyproject.toml)" install_fastbench
    export PATH=$VENV/bin:$PATH
}

install_dev_dependencies() {
    install_dependencies dev
    "$PYTHON" -m pip install -q --no-deps --group dev-no-deps
}
