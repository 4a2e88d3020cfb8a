#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# configure refuses what it does not know, names the package of whatever is missing, all of it
# together, and leaves a folder in which make works.

set -u

src=${NSDK_SRC:?}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0
unset CFLAGS CPPFLAGS LDFLAGS CC MAKEFLAGS MFLAGS MAKELEVEL

# A compiler to which the headers and libraries listed in $HIDE do not exist.
cat > "$tmp/cc" << 'END'
#!/bin/bash
for arg in "$@"; do
	[[ $arg == *probe.c ]] || continue
	for hidden in ${HIDE:-}; do
		if grep -qE "$hidden" "$arg"; then
			echo "hidden: $hidden" >&2
			exit 1
		fi
	done
done
exec gcc "$@"
END
chmod +x "$tmp/cc"

# expect NAME STATUS TEXT... -- ARGUMENT... : configure in a new folder; each TEXT is in its output.
expect() {
	local name=$1 wanted=$2 texts=() text out got

	shift 2
	while [[ $1 != -- ]]; do
		texts+=("$1")
		shift
	done
	shift
	rm -rf "$tmp/build"
	mkdir "$tmp/build"
	out=$(cd "$tmp/build" && "$src/configure" "$@" 2>&1)
	got=$?
	if ((got != wanted)); then
		echo "not ok - configure: $name: exit status $got, expected $wanted"
	else
		for text in "${texts[@]}"; do
			if ! grep -qE -- "$text" <<< "$out"; then
				echo "not ok - configure: $name: '$text' is not in its output"
				got=-1
				break
			fi
		done
	fi
	if ((got == wanted)); then
		echo "ok - configure: $name"
	else
		printf '  | %s\n' "${out//$'\n'/$'\n'  | }"
		status=1
	fi
}

# without NAME HIDDEN PACKAGE
without() {
	export HIDE=$2
	expect "without $1 it names $3" 1 "Debian package ${3%%/*}" "^apt-get install .* ?$3" -- --cc="$tmp/cc"
	unset HIDE
	if [[ -e $tmp/build/config.mk ]]; then
		echo "not ok - configure: leaves no config.mk behind: without $1 it did"
		status=1
	fi
}

expect 'knows --help' 0 'usage:' '--with-dpdk=DIR' -- --help
expect 'refuses an unknown option' 1 "unknown option '--frobnicate'" -- --frobnicate
expect 'refuses an unknown sanitizer' 1 "not 'memory'" -- --sanitize=memory
expect 'refuses a relative prefix' 1 'absolute' -- --prefix=here
expect 'refuses a DPDK folder that is not there' 1 'no such folder' -- --with-dpdk="$tmp/none"
expect 'refuses a DPDK folder without DPDK' 1 'DPDK 22.11' -- --with-dpdk="$tmp"
without DPDK rte_eal libdpdk-dev
without libnuma numa.h libnuma-dev
without libpciaccess pciaccess.h libpciaccess-dev
without json-c json-c libjson-c-dev
without iommufd.h iommufd.h linux-libc-dev/bookworm-backports
export HIDE='numa.h pciaccess.h'
expect 'names all that is missing together' 1 \
	'^apt-get install --no-install-recommends libnuma-dev libpciaccess-dev$' -- --cc="$tmp/cc"
unset HIDE
expect 'without a compiler it names one' 1 'Debian package gcc' '^apt-get install .* gcc' -- --cc=/none/cc
export HIDE='CUnit'
expect 'does without CUnit, and says so' 0 'unit tests will be skipped.*libcunit1-dev' -- --cc="$tmp/cc"
unset HIDE

expect 'works in a folder of its own' 0 'Now run: make' -- --cc=gcc --prefix=/opt/x --debug
object=$tmp/build/obj/lib/env/version.o
if make -s -C "$tmp/build" "$object" > "$tmp/out" 2>&1 && [[ -e $object ]]; then
	echo 'ok - configure: and make builds there'
else
	echo 'not ok - configure: and make builds there: see below'
	sed 's/^/  | /' "$tmp/out"
	status=1
fi

# The same again rebuilds nothing; another option does.
before=$(stat -c %Y.%s "$tmp/build/config.mk")
(cd "$tmp/build" && "$src/configure" --cc=gcc --prefix=/opt/x --debug) > /dev/null 2>&1
if [[ $(stat -c %Y.%s "$tmp/build/config.mk") == "$before" ]] &&
	make -s -q -C "$tmp/build" "$object"; then
	echo 'ok - configure: the same options again rebuild nothing'
else
	echo 'not ok - configure: the same options again rebuild nothing: they do'
	status=1
fi
(cd "$tmp/build" && "$src/configure" --cc=gcc) > /dev/null 2>&1
if make -s -q -C "$tmp/build" "$object"; then
	echo 'not ok - configure: another option rebuilds: it did not'
	status=1
else
	echo 'ok - configure: another option rebuilds'
fi

# A DPDK of one's own, laid out as its `ninja install` does.
dpdk=$tmp/dpdk
mkdir -p "$dpdk/include" "$dpdk/lib"
here=$(sed -n 's/^DPDK_CFLAGS *:= //p' "$tmp/build/config.mk")
for word in $here; do
	[[ ! -d $word ]] || cp -rsn "$word"/* "$dpdk/include/"
done
archive=$(gcc -print-file-name=librte_eal.a)
cp -s "$(dirname "$(realpath "$archive")")"/librte_{eal,kvargs,ring,telemetry}.a "$dpdk/lib/"
expect 'finds a DPDK elsewhere' 0 "yes, $dpdk/lib" -- --with-dpdk="$dpdk"
if grep -q "^DPDK_CFLAGS.*-isystem $dpdk/include" "$tmp/build/config.mk" &&
	grep -q "^LIBS.*-L$dpdk/lib" "$tmp/build/config.mk"; then
	echo 'ok - configure: and uses that one'
else
	echo "not ok - configure: and uses that one: $(grep -E '^(DPDK_CFLAGS|LIBS)' "$tmp/build/config.mk")"
	status=1
fi

# A Makefile that is not ours stays.
rm -rf "$tmp/build"
mkdir "$tmp/build"
echo mine > "$tmp/build/Makefile"
if (cd "$tmp/build" && "$src/configure") > /dev/null 2>&1 || [[ $(< "$tmp/build/Makefile") != mine ]]; then
	echo "not ok - configure: leaves somebody else's Makefile alone: it did not"
	status=1
else
	echo "ok - configure: leaves somebody else's Makefile alone"
fi
exit $status
