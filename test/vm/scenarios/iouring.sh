# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# I/O a second beside the kernel's io_uring: the same device, the same boot, 4 KiB random reads at depth 1
# and 32. Both take turns, and the median of what each reached is shown. What each reached at best is compared,
# as other programs on the machine make both slower by turns; they get more turns when that is not enough.
#
# vm: --iommu=intel --smp=1 --nvme=size=64M
# timeout: 240

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:00:03.0
rounds=3
most_rounds=10
command -v fio >/dev/null || {
	skip "I/O a second beside io_uring" "fio is missing (apt-get install fio)"
	finish
}

median()
{
	printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"
}

# by_kernel DEPTH: reads a second, by fio through io_uring, polling where that helps it
by_kernel()
{
	fio --name=reads --filename="/dev/$(disk_of $device)" --readonly --direct=1 --rw=randread --bs=4k \
		--ioengine=io_uring --registerfiles --fixedbufs --iodepth="$1" --runtime=1 --time_based \
		--output-format=json 2>"$WORK/err" | jq '.jobs[0].read.iops'
}

by_nsdk()
{
	nsdk perf $device --rw=randread --bs=4k --iodepth="$1" --runtime=1 --time_based --json 2>"$WORK/err" |
		jq '.iops'
}

# best NUMBER…
best()
{
	printf '%s\n' 0 "$@" | sort -g | tail -n 1
}

# faster DEPTH: the best of ours is better than the best of the kernel's, or the middle than the middle
# shellcheck disable=SC2086 # lists of numbers
faster()
{
	jq -en "$(best ${own[$1]}) > $(best ${kernel[$1]}) or
		$(median 0 ${own[$1]}) > $(median 0 ${kernel[$1]})" >/dev/null
}

declare -A kernel=() own=()
for ((round = 0; round < most_rounds; round++)); do
	if [ $round -ge $rounds ] && { [ $SECONDS -ge 150 ] || { faster 1 && faster 32; }; }; then
		break
	fi
	for depth in 1 32; do
		until_true 20 has_disk $device || not_ok "round $round" "the kernel does not show the disk"
		kernel[$depth]+=" $(by_kernel $depth)"
		check "bind, round $((round + 1)), depth $depth" nsdk bind $device
		own[$depth]+=" $(by_nsdk $depth)"
		check "unbind, round $((round + 1)), depth $depth" nsdk unbind $device
	done
done
for depth in 1 32; do
	# shellcheck disable=SC2086 # a list of numbers
	read -r ours theirs < <(echo "$(median ${own[$depth]}) $(median ${kernel[$depth]})")
	ratio=$(jq -n "(${ours:-0} / ${theirs:-1} * 100 | round) / 100") || ratio=0
	line="depth $depth: ${ours%.*} I/Os a second, io_uring ${theirs%.*}, $ratio times as many"
	if faster $depth; then
		ok "$line"
	else
		not_ok "faster than io_uring" "$line; ours:${own[$depth]}, io_uring:${kernel[$depth]}"
	fi
done
finish
