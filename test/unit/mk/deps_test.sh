#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# mk/deps says the one line to run, and takes the mirror and the key for backports from what apt is
# set up with. apt itself reads the sources, from a folder of the test's own.

set -u

src=${NSDK_SRC:?}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0

for tool in apt-get apt-config dpkg-query; do
	command -v "$tool" > /dev/null || {
		echo "skip - mk/deps: not a Debian system ($tool is missing)"
		exit 0
	}
done
real_apt_get=$(command -v apt-get)
export real_apt_get
chmod 755 "$tmp"

ok() {
	echo "ok - mk/deps: $1"
}

not_ok() {
	echo "not ok - mk/deps: $1: $2"
	status=1
}

# Fakes in front of the real programs: nothing is installed or fetched, and only what $INSTALLED
# lists (PACKAGE=VERSION) is installed.
mkdir "$tmp/bin"
cat > "$tmp/bin/apt-get" << 'END'
#!/bin/bash
for arg in "$@"; do
	case $arg in
	indextargets) exec "$real_apt_get" "$@" ;;
	update | install) echo "$*" >> "$APT_LOG"; exit 0 ;;
	esac
done
END
cat > "$tmp/bin/dpkg-query" << 'END'
#!/bin/bash
for entry in ${INSTALLED:-}; do
	[[ " $* " == *" ${entry%%=*} "* ]] && echo "${entry%%=*} installed ${entry#*=}"
done
exit 0
END
chmod +x "$tmp"/bin/*
export APT_LOG=$tmp/apt.log

# sources KIND CONTENT : a fresh folder of sources for apt, with that in it.
sources() {
	rm -rf "${tmp:?}/etc"
	mkdir -p "$tmp/etc/parts"
	: > "$tmp/etc/sources.list"
	case $1 in
	list) printf '%s\n' "$2" > "$tmp/etc/sources.list" ;;
	deb822) printf '%s\n' "$2" > "$tmp/etc/parts/debian.sources" ;;
	esac
	cat > "$tmp/apt.conf" << CONF
Dir::Etc::sourcelist "$tmp/etc/sources.list";
Dir::Etc::sourceparts "$tmp/etc/parts";
CONF
	export APT_CONFIG=$tmp/apt.conf
	: > "$APT_LOG"
}

deps() {
	PATH=$tmp/bin:$PATH "$src/mk/deps" "$@"
}

# backports NAME FILE EXPECTED : enabling leaves exactly this in that file.
backports() {
	local got

	if ((EUID != 0)); then
		echo "skip - mk/deps: $1: needs root"
		return
	fi
	if ! deps --backports > "$tmp/out" 2>&1; then
		not_ok "$1" "$(tail -n 1 "$tmp/out")"
		return
	fi
	got=$(cat "$tmp/etc/parts/$2" 2> /dev/null)
	if [[ $got == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "$2 holds: ${got//$'\n'/ | }"
	fi
}

# --- where backports come from -----------------------------------------------

key=/usr/share/keyrings/debian-archive-keyring.gpg

sources deb822 "Types: deb
# a remark
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: $key

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
Signed-By: /other.gpg"
backports 'takes mirror and key from a deb822 file' nsdk-backports.sources "Types: deb
URIs: http://mirror.test/debian/
Suites: bookworm-backports
Components: main
Signed-By: $key"

sources deb822 "Types: deb
URIs: http://mirror.test/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----"
backports 'a key that stands there in full comes along' nsdk-backports.sources "Types: deb
URIs: http://mirror.test/debian/
Suites: bookworm-backports
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----"

sources list "# a remark
deb-src http://mirror.test/debian bookworm main
deb [arch=$(dpkg --print-architecture) signed-by=$key] http://mirror.test/debian bookworm main contrib
deb http://mirror.test/security bookworm-security main"
backports 'takes them from a one-line entry with options' nsdk-backports.list \
	"deb [arch=$(dpkg --print-architecture) signed-by=$key] http://mirror.test/debian/ bookworm-backports main"

sources list 'deb http://mirror.test/debian bookworm main'
backports 'and from one without' nsdk-backports.list 'deb http://mirror.test/debian/ bookworm-backports main'

sources list 'deb http://mirror.test/debian bookworm main
deb http://elsewhere.test/debian bookworm-backports main'
backports 'leaves an entry that is there alone' nsdk-backports.list ''

sources list 'deb http://mirror.test/security bookworm-security main'
if ((EUID != 0)); then
	echo 'skip - mk/deps: says when there is no entry to take it from: needs root'
elif deps --backports > "$tmp/out" 2>&1 || ! grep -q 'by hand' "$tmp/out"; then
	not_ok 'says when there is no entry to take it from' "$(tail -n 1 "$tmp/out")"
else
	ok 'says when there is no entry to take it from'
fi

# --- what it says without root -----------------------------------------------

all='gcc=1 libc6-dev=1 make=1 binutils=1 pkg-config=1 libdpdk-dev=1 libpciaccess-dev=1 libnuma-dev=1
	libjson-c-dev=1'
sources list 'deb http://mirror.test/debian bookworm main'

export INSTALLED="$all linux-libc-dev=6.12.95-1~bpo12+1"
if deps --dry-run > "$tmp/out" 2>&1 && [[ ! -s $tmp/out ]]; then
	ok 'says nothing when all is there'
else
	not_ok 'says nothing when all is there' "$(cat "$tmp/out")"
fi

# says NAME STATUS PATTERN : its last line, which is the one to run.
says() {
	local got

	deps --dry-run > "$tmp/out" 2>&1
	got=$?
	if ((got == $2)) && tail -n 1 "$tmp/out" | grep -qxE "$3"; then
		ok "$1"
	else
		not_ok "$1" "status $got: $(tail -n 1 "$tmp/out")"
	fi
}

export INSTALLED="${all/libnuma-dev=1/} linux-libc-dev=6.12.95-1~bpo12+1"
says 'says the line for one package' 1 'sudo apt-get install -y --no-install-recommends libnuma-dev'
# shellcheck source=/dev/null
if [[ $(. /etc/os-release && echo "${VERSION_CODENAME:-}") == bookworm ]]; then
	export INSTALLED="$all linux-libc-dev=6.1.187-1"
	says "Debian 12's kernel headers are too old, and the line enables backports" 1 \
		'sudo .*mk/deps --backports && sudo apt-get install .* linux-libc-dev/bookworm-backports'
	sources list 'deb http://mirror.test/debian bookworm main
deb http://mirror.test/debian bookworm-backports main'
	says 'unless they are enabled' 1 'sudo apt-get install .* linux-libc-dev/bookworm-backports'
else
	echo 'skip - mk/deps: the backport of the kernel headers: not Debian 12'
fi
if deps nonsense > "$tmp/out" 2>&1; then
	not_ok 'refuses an unknown group' 'it did not'
else
	ok 'refuses an unknown group'
fi
exit $status
