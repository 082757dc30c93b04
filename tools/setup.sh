# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
# What tools/check and tools/quickstart share: packages, the ordinary user, the TAP device, and a tree that both the builder and
# that user can work with. Sourced by bash, with `set -euo pipefail`. As root everything is mended here; otherwise one error says how.

build_packages=(g++ cmake ninja-build pkg-config ccache libglib2.0-dev libslirp-dev libnl-3-dev libnl-route-3-dev libcap-dev libseccomp-dev
                libcli11-dev nlohmann-json3-dev)
show_packages=(python3 iproute2 util-linux curl)
check_packages=(catch2 clang python3 python3-jsonschema iproute2 util-linux uidmap iputils-ping curl slirp4netns passt bubblewrap udhcpc strace mandoc
                shellcheck flake8 clang-format git
                podman crun runc conmon netavark iptables nftables conntrack buildah rootlesskit busybox-static libcap2-bin)

test_user=netns-helper-test

say() { printf '==> %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}
am_root() { [ "$(id -u)" -eq 0 ]; }

# A caller's PATH may lead to programs under /root, or to other compilers and Pythons than the packages below.
if am_root; then
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
else
  export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
fi
umask 022

# ensure_packages NAME...: installs those of the Debian packages that are missing.
ensure_packages() {
  command -v dpkg-query >/dev/null || {
    say "not a Debian system: expecting the equivalents of: $*"
    return 0
  }
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  am_root || die "missing packages: ${missing[*]}
As root: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
  # The lists of a fresh machine are empty, or too old for what the mirror has now.
  "${install[@]}" </dev/null >/dev/null 2>&1 || { apt-get update -qq </dev/null && "${install[@]}" </dev/null >/dev/null; } ||
    die "could not install: ${missing[*]}"
}

# ensure_tun: /dev/net/tun can be opened by everybody, as distributions ship it. A TAP still needs CAP_NET_ADMIN over its namespace.
ensure_tun() {
  if am_root && [ ! -e /dev/net/tun ]; then
    modprobe tun 2>/dev/null || true
    [ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 0666 /dev/net/tun; } ||
      die "there is no /dev/net/tun, and it could not be made"
    say "made /dev/net/tun"
  fi
  [ -e /dev/net/tun ] || die "there is no /dev/net/tun. As root: modprobe tun"
  case "$(stat -c %a /dev/net/tun)" in
    *[67]) return 0 ;;
  esac
  am_root || { [ -r /dev/net/tun ] && [ -w /dev/net/tun ]; } ||
    die "/dev/net/tun cannot be opened by $(id -un). As root: chmod 0666 /dev/net/tun (as distributions ship it)"
  if am_root; then
    chmod 0666 /dev/net/tun
    say "chmod 0666 /dev/net/tun (distributions ship it so)"
  fi
}

# ensure_user: the ordinary user that root's runs become, with subordinate ids.
ensure_user() {
  id "$test_user" >/dev/null 2>&1 || {
    say "making the ordinary user $test_user"
    useradd --create-home --shell /bin/bash "$test_user"
  }
  local file first
  for file in uid gid; do
    grep -qs "^$test_user:" "/etc/sub$file" && continue
    # Behind everybody's range.
    first=$(awk -F: 'BEGIN { top = 100000 } NF == 3 && $2 + $3 > top { top = $2 + $3 } END { print top }' "/etc/sub$file" 2>/dev/null ||
      echo 100000)
    usermod "--add-sub${file}s" "$first-$((first + 65535))" "$test_user"
  done
}

# ensure_namespaces USER: that user can make user namespaces.
ensure_namespaces() {
  local refused
  refused=$(as_user "$1" unshare --user --map-root-user --net true 2>&1) ||
    die "$1 cannot make a user namespace: $refused
Look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns."
}

# as_user NAME COMMAND...: as that user, without a capability; as it is when we are that user already.
as_user() {
  local name=$1
  shift
  if [ "$name" = "$(id -un)" ]; then
    "$@"
    return
  fi
  setpriv --reuid="$name" --regid="$(id -g "$name")" --init-groups --inh-caps=-all \
    env -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME -u CCACHE_DIR -u SUDO_USER HOME="$(getent passwd "$name" | cut -d: -f6)" \
    USER="$name" LOGNAME="$name" "$@"
}

# Whoever owns the tree builds in it, so that root leaves no files there that its owner cannot remove.
builder_of() {
  local owner
  owner=$(stat -c %U "$1")
  if am_root && [ "$owner" != UNKNOWN ]; then echo "$owner"; else id -un; fi
}

# place_tree SOURCE READER: sets `tree` and `builder`: SOURCE itself when its owner can write there and READER can read all of it, else a
# copy that is removed at the end (a clone below a 0700 directory, a read-only one, one made with umask 077).
place_tree() {
  local source=$1 reader=$2 unreadable
  builder=$(builder_of "$source")
  unreadable=$(as_user "$reader" find "$source" \( -path "$source/build" -o -path "$source/.git" \) -prune \
    -o ! -readable -print -quit 2>&1) || unreadable=$source
  if [ -z "$unreadable" ] && as_user "$builder" test -w "$source" -a -x "$source"; then
    tree=$source
    return
  fi
  scratch_directory
  tree=$scratch/source
  if [ -n "$unreadable" ]; then
    say "$reader cannot read $unreadable: working in a copy, $tree"
  else
    say "$builder cannot write to $source: working in a copy, $tree"
  fi
  builder=$(id -un)
  mkdir "$tree"
  tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$tree" --no-same-owner -xf -
  chmod -R u+w,a+rX "$tree"
}

# scratch_directory: sets `scratch`, a directory that everybody can enter, removed at the end.
scratch_directory() {
  [ -z "${scratch:-}" ] || return 0
  scratch=$(TMPDIR=/tmp mktemp -d -t netns-helper.XXXXXX)
  chmod 0755 "$scratch"
  trap 'rm -rf "$scratch"' EXIT
}

# build PRESET TARGET...: configures and builds in build/PRESET of the tree, as its builder. Tests, which want more packages, only if
# `with_tests` is ON; warnings are errors only if `strict` is ON. `configure_arguments` are added for cmake.
configure_arguments=()
build() {
  local preset=$1 launcher=()
  shift
  ! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  say "building $preset"
  (
    cd "$tree"
    as_user "$builder" cmake --preset "$preset" -DNETNS_HELPER_WERROR="${strict:-OFF}" -DBUILD_TESTING="${with_tests:-ON}" \
      -DNETNS_HELPER_PRECOMPILE=ON "${launcher[@]}" \
      "${configure_arguments[@]}" --log-level=WARNING >/dev/null
    # ccache caches what includes a precompiled header only with this sloppiness.
    as_user "$builder" env CCACHE_BASEDIR="$tree" CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros \
      cmake --build "build/$preset" -- --quiet "$@"
  ) || die "building $preset failed"
}
