#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test/run notices each of the ways in which a test program can fail.

set -u

run=${NSDK_SRC:?}/test/run
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0

# program NAME < SCRIPT
program() {
	{
		echo '#!/bin/bash'
		cat
	} > "$tmp/$1"
	chmod +x "$tmp/$1"
}

# expect NAME STATUS LAST-LINE TEXT PROGRAM... : what test/run makes of the programs.
expect() {
	local name=$1 wanted=$2 last=$3 text=$4 out got

	shift 4
	out=$("$run" --strip="$tmp/" "$@" 2>&1)
	got=$?
	if ((got == wanted)) && [[ $(tail -n 1 <<< "$out") == "$last" && $out == *"$text"* ]]; then
		echo "ok - test/run: $name"
	else
		echo "not ok - test/run: $name: status $got, see below"
		# Its lines must not be taken for ours.
		printf '  | %s\n' "${out//$'\n'/$'\n'  | }"
		status=1
	fi
}

program good << 'END'
echo 'ok - one'
echo 'noise'
echo 'skip - two: no reason'
END
program bad << 'END'
echo 'ok - one'
echo 'not ok - two: broken'
echo 'the detail'
exit 1
END
program liar << 'END'
echo 'not ok - two: broken'
END
program crash << 'END'
echo 'ok - one'
kill -SEGV $$
END
program leaves << 'END'
echo 'ok - one'
exit 3
END
program hang << 'END'
echo 'ok - one'
sleep 100
END
program stubborn << 'END'
trap '' TERM
while :; do sleep 1; done
END
program silent << 'END'
echo 'nothing of note'
END
program skips << 'END'
echo 'skip - one: not here'
END
cp "$tmp/good" "$tmp/better"
# Ends only when a later one has.
program slow << END
until [[ -e $tmp/went ]]; do sleep 0.1; done
echo 'ok - slow'
END
program after << END
touch "$tmp/went"
echo 'ok - after'
END
# One that runs alone must not begin while the other looks for it.
program shy << END
touch "$tmp/seen"
echo 'ok - shy'
END
program watchful << END
for ((i = 0; i < 10; i++)); do
	[[ ! -e $tmp/seen ]] || { echo 'not ok - watchful: there it is'; exit 1; }
	sleep 0.1
done
echo 'ok - watchful'
END

expect 'counts, and passes lines on' 0 '1 passed, 0 failed, 1 skipped' 'ok - one' "$tmp/good"
expect 'a failed test fails, with its log' 1 '1 passed, 1 failed, 0 skipped' 'the detail' "$tmp/bad"
expect 'a failure with status 0 is two' 1 '0 passed, 2 failed, 0 skipped' 'in spite of' "$tmp/liar"
expect 'a crash is a failure' 1 '1 passed, 1 failed, 0 skipped' 'SEGV' "$tmp/crash"
expect 'a status without a failure is one' 1 '1 passed, 1 failed, 0 skipped' 'exit status 3' "$tmp/leaves"
expect 'running out of time is a failure' 1 '1 passed, 1 failed, 0 skipped' 'not done after 1 s' "$tmp/hang@1"
expect 'even when it ignores SIGTERM' 1 '0 passed, 1 failed, 0 skipped' 'not done after 1 s' "$tmp/stubborn@1"
expect 'testing nothing is a failure' 1 '0 passed, 1 failed, 0 skipped' 'tested nothing' "$tmp/silent"
expect 'a program that is not there is one' 1 '0 passed, 1 failed, 0 skipped' 'not ok - gone' "$tmp/gone"
expect 'only skips is not a pass' 1 '0 passed, 0 failed, 1 skipped' 'not here' "$tmp/skips"
expect 'nothing to run is not a pass' 1 '0 passed, 0 failed, 0 skipped' ''
expect 'several at once: in order, and each whole' 1 '5 passed, 1 failed, 2 skipped' "ok - one
skip - two: no reason
ok - one
not ok - two: broken
# the log of bad:
#   not ok - two: broken
#   the detail
ok - slow
ok - one
skip - two: no reason
ok - after
" --jobs=3 "$tmp/good" "$tmp/bad" "$tmp/slow@90" "$tmp/better" "$tmp/after"
expect 'one alone, behind all others' 0 '2 passed, 0 failed, 0 skipped' '' \
	--jobs=3 --alone=/shy "$tmp/shy" "$tmp/watchful"
expect 'adds up over programs' 1 '3 passed, 1 failed, 2 skipped' '' "$tmp/good" "$tmp/bad" "$tmp/good"
exit $status
