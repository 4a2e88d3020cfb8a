#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The program that the README shows: it reads the first block, and fails with one sentence.

set -u

hello=$(dirname "${NSDK:?NSDK says where the tool is}")/hello_nvme
work=$(mktemp -d "${TMPDIR:-/tmp}/nsdk-hello.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

result() { # result NAME STATUS WHY
	if (($2 == 0)); then
		echo "ok - hello_nvme: $1"
	else
		echo "not ok - hello_nvme: $1: $3"
		failed=1
	fi
}

head -c 1M /dev/urandom > "$work/disk"
for lba in 512 4096; do
	"$hello" "emu:nvme,lba=$lba,file=$work/disk" > "$work/block" 2> "$work/said"
	cmp -s "$work/block" <(head -c "$lba" "$work/disk")
	result "reads the first block of $lba bytes" $? "$(head -c 200 "$work/said")"
done

"$hello" emu:nvme,lba=513 > "$work/block" 2> "$work/said"
[[ $? == 1 && $(wc -l < "$work/said") == 1 && ! -s $work/block ]]
result 'fails with one sentence' $? "$(head -c 200 "$work/said")"

# What the README shows must be the program that was tested.
readme=$(dirname "$0")/../../README.md
program=$(dirname "$0")/../../app/hello_nvme/hello_nvme.c
# shellcheck disable=SC2016 # these are the backquotes of Markdown
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$readme" > "$work/shown"
sed -n '/^#include/,$p' "$program" > "$work/tested"
cmp -s "$work/shown" "$work/tested"
result 'is what the README shows' $? "$(diff "$work/shown" "$work/tested" | sed -n 2p)"

exit $failed
