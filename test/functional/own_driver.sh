#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The program of doc/guide/own-driver.md: it is what the guide shows, it says what the guide says, and
# the sync that it leaves out when it is told to is missed by the cache model.

set -u

own=$(dirname "${NSDK:?NSDK says where the tool is}")/own_driver
top=$(cd "$(dirname "$0")/../.." && pwd -P)
guide=$top/doc/guide/own-driver.md
device=emu:nvme,nosnoop=all,seed=4
work=$(mktemp -d "${TMPDIR:-/tmp}/nsdk-own.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

result() { # result NAME STATUS WHY
	if (($2 == 0)); then
		echo "ok - own_driver: $1"
	else
		echo "not ok - own_driver: $1: ${3//$'\n'/ | }"
		failed=1
	fi
}

# run ARGUMENT... : outputs in $work/out and $work/err, the status in $status
run() {
	timeout 30 "$own" "$@" > "$work/out" 2> "$work/err"
	status=$?
}

# Where memory lies is not the guide's to say, nor how much the model had to watch for it.
alike() {
	sed -E 's/0x[0-9a-f]+/0xX/g; /^  watched /s/[0-9]+/N/g'
}

# shown N : the N-th output in the guide, from the line after its command
shown() {
	awk -v wanted="$1" '
		/^    \$ own_driver/ { n++; next }
		/^    / { if (n == wanted) print substr($0, 5); next }
		n == wanted { exit }' "$guide"
}

# shellcheck disable=SC2016 # these are the backquotes of Markdown
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$guide" > "$work/shown"
sed -n '/^#include/,$p' "$top/app/own_driver/own_driver.c" > "$work/tested"
cmp -s "$work/shown" "$work/tested"
result 'is what the guide shows' $? "$(diff "$work/shown" "$work/tested" | head -n 3)"

for n in 1 2; do
	arguments=("$device")
	((n == 2)) || arguments+=(forget)
	run "${arguments[@]}"
	((status == (n == 1)))
	result "${arguments[*]}: status $((n == 1))" $? "status $status: $(cat "$work/out" "$work/err")"
	diff <(shown $n | alike) <(alike < "$work/out") > "$work/diff"
	result "${arguments[*]}: says what the guide says" $? "$(head -n 6 "$work/diff")"
	grep -Fq "\$ own_driver ${arguments[*]}" "$guide"
	result "${arguments[*]}: is the command in the guide" $? 'it is not there'
done
run "$device" forget
[[ $(wc -l < "$work/err") == 1 ]] && grep -q 'cache model: stale read by the CPU' "$work/err"
result 'the model says it in one sentence when it sees it' $? "$(cat "$work/err")"

# Luck is no proof: whatever the seed, the right program is right and the other is caught.
seed=1
while ((seed <= 20)); do
	run "emu:nvme,nosnoop=all,seed=$seed"
	if [[ $status != 0 ]] || ! grep -q "^model: 'NSDK emulated NVMe " "$work/out"; then
		break
	fi
	run "emu:nvme,nosnoop=all,seed=$seed" forget
	if [[ $status != 1 ]] || ! grep -q 'missing: nsdk_sync_for_cpu' "$work/out"; then
		break
	fi
	seed=$((seed + 1))
done
((seed == 21))
result 'the same for twenty seeds' $? "seed $seed: $(cat "$work/out")"

run emu:nvme
((status == 0)) && grep -q "^model: 'NSDK" "$work/out"
result 'a platform that snoops' $? "$(cat "$work/out" "$work/err")"
run emu:nonesuch
((status == 1)) && [[ $(wc -l < "$work/err") == 1 ]]
result 'a device that is not there' $? "$(cat "$work/out" "$work/err")"

exit $failed
