# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the tests of the tool share. They are told where it is by NSDK, and print a line for each
# thing they tested, as test/run wants it.

set -u

# What somebody measured on this machine is not to decide what is tested.
export NSDK_PROFILE=
nsdk=${NSDK:?NSDK says which nsdk to test}
work=$(mktemp -d "${TMPDIR:-/tmp}/nsdk-tool.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

ok()
{
	echo "ok - tool: $1"
}

# not_ok NAME WHY
not_ok()
{
	echo "not ok - tool: $1: ${2//$'\n'/ | }"
	failures=$((failures + 1))
}

skip()
{
	echo "skip - tool: $1: $2"
}

# check NAME COMMAND... : the command succeeds
check()
{
	local name=$1
	shift
	if "$@" > "$work/check" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "$* -> $(head -c 300 "$work/check")"
	fi
}

# The same language; it begins in a sixth of the time, which hundreds of tests take each.
jq() { gojq "$@"; }

# same NAME EXPECTED ACTUAL
same()
{
	if [[ $2 == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "expected '$2', got '$3'"
	fi
}

# run ARGUMENT... : the tool; its outputs are in $work/out and $work/err, its status in $status
run()
{
	timeout --kill-after=5 60 "$nsdk" "$@" > "$work/out" 2> "$work/err" < /dev/null
	status=$?
}

lines_of()
{
	wc -l < "$1"
}

# What it said, for a "not ok".
said()
{
	echo "status $status, stderr: $(head -c 400 "$work/err") stdout: $(head -c 200 "$work/out")"
}

# refuses NAME STATUS PATTERN ARGUMENT... : exactly one sentence, on the standard error, nothing on
# the standard output, and the status
refuses()
{
	local name=$1 expected=$2 pattern=$3
	shift 3
	run "$@"
	if [[ $status != "$expected" ]]; then
		not_ok "$name" "expected status $expected, got $(said)"
	elif [[ $(lines_of "$work/err") != 1 ]]; then
		not_ok "$name" "expected one line, got $(said)"
	elif [[ -s $work/out ]]; then
		not_ok "$name" "expected nothing on the standard output, got $(said)"
	elif ! grep -Eqi -- "$pattern" "$work/err"; then
		not_ok "$name" "expected /$pattern/, got $(said)"
	else
		ok "$name"
	fi
}

# result NAME STATUS FILTER ARGUMENT... : perf with --json; the output is one whole JSON value, for
# which the jq filter is true
result()
{
	local name=$1 expected=$2 filter=$3
	shift 3
	run perf "$@" --json
	if [[ $status != "$expected" ]]; then
		not_ok "$name" "expected status $expected, got $(said)"
	elif [[ $(jq -e "$filter" "$work/out" 2>&1) != true ]]; then
		not_ok "$name" "not true: $filter of $(jq -c 'if type == "object" then del(.lat_ns, .read, .write) else . end' "$work/out" | head -c 600) $(head -c 300 "$work/err")"
	else
		ok "$name"
	fi
}

# until_true SECONDS COMMAND... : wait until it succeeds
until_true()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

progress='^[a-z ]+: [0-9]+ s(, [0-9]+ %, [0-9]+ s left)?, [0-9.]+[kMGT]? IOPS, .* errors$'

# does_io PID FILE : perf with --eta=always, which speaks to FILE, does the I/O of its load now; or
# it has ended. A machine may be slow: no time that one could sleep tells it.
does_io()
{
	until_true 60 does_io_or_ended "$1" "$2" && kill -0 "$1" 2> /dev/null
}

does_io_or_ended()
{
	grep -Eq '^[a-z]+: .*, ([1-9][0-9]*|[0-9.]+[kMGT]) IOPS, ' "$2" ||
		! kill -0 "$1" 2> /dev/null
}

# hangs FILE : perf with --eta=always, which speaks to FILE, has stopped doing I/O
hangs()
{
	until_true 60 does_no_io "$1"
}

does_no_io()
{
	tail -n 1 "$1" | grep -q ', 0 IOPS, '
}

# What perf with --eta=always said besides
without_progress()
{
	grep -Ev "$progress" "$1"
}

finish()
{
	exit $((failures > 0))
}
