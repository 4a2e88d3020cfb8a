#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk perf with flush lcores and WBINVD: large batches are shared, the data is right, the cache model
# has nothing to say, and what cannot be had is refused in one sentence.

. "$(dirname "$0")/tool.bash"

cheap=$(dirname "$nsdk")/../test/functional/cheap_profile
good='.errors == 0 and .verify_errors == 0 and .coherence.violations == 0 and .status == "done"'
device=emu:nvme,size=64m,nosnoop=all,mdts=10
load=(--rw=randrw --bs=256k --iodepth=16 --size=32m --verify --policy=nosnoop --cpus_allowed=0)

if [[ ! -x $cheap ]]; then
	not_ok 'flush lcores' "$cheap is not built"
	finish
fi
export NSDK_PROFILE=$work/profile.json
check 'a profile in which flush lcores cost nothing' "$cheap" "$NSDK_PROFILE" crew

if [[ $(nproc) -lt 2 ]]; then
	skip 'flush lcores' 'there is one CPU only'
else
	result 'large batches are shared with a flush lcore' 0 \
		"$good and .flush.flush_cpus == 1 and .flush.batches_shared > 0
		 and .coherence.batches_shared == .flush.batches_shared
		 and .flush.lines_by_flush_cpus > 0 and .flush.lines_by_submitters > 0
		 and .flush.takeovers >= 0 and .flush.flush_cpus_lost >= 0
		 and .flush.wbinvd.executed == 0 and .flush.wbinvd.open == false" \
		$device "${load[@]}" --flush-cpus=1
	result 'reads alone: taken back by them' 0 "$good and .flush.batches_shared > 0" \
		$device --rw=randread --bs=512k --iodepth=8 --size=16m --verify --policy=nosnoop \
		--cpus_allowed=0 --flush-cpus=1
	result 'splits, which wait for parts' 0 "$good and .flush.batches_shared > 0" \
		emu:nvme,size=64m,nosnoop=all,mdts=2 "${load[@]}" --flush-cpus=1
	result 'two devices share them' 0 \
		'all(.[]; .errors == 0 and .verify_errors == 0 and .coherence.violations == 0)' \
		$device emu:nvme,size=64m,nosnoop=data,mdts=10 "${load[@]}" --flush-cpus=1
	run perf $device "${load[@]}" --flush-cpus=1
	check 'the table has a line of them' grep -q '^flush CPUs  1: [1-9][0-9]* batches' "$work/out"
	refuses 'a CPU that does I/O' 1 'CPU 0 .*flush CPU' perf $device --flush-cpus=0 --cpus_allowed=0
fi
result 'coherent: nothing to share' 0 '.errors == 0 and .flush.batches_shared == 0' \
	emu:nvme,size=64m --rw=randrw --bs=256k --iodepth=16 --number_ios=100 --cpus_allowed=0 \
	--wbinvd=kvm
unset NSDK_PROFILE
result 'none asked for: no word of them' 0 'has("flush") == false' emu:nvme,size=1m --number_ios=1

refuses 'a CPU that is not there' 1 'CPU 1023' perf $device --flush-cpus=1023
refuses 'an empty list' 2 '--flush-cpus=: a CPU list' perf $device --flush-cpus=
refuses 'a list that is none' 2 'flush-cpus=1-: ' perf $device --flush-cpus=1-
refuses 'an unknown way to WBINVD' 2 'off or kvm' perf $device --wbinvd=now
refuses 'a budget of nothing' 2 'wbinvd-per-second=0' perf $device --wbinvd=kvm --wbinvd-per-second=0
refuses 'a budget without WBINVD' 2 'want --wbinvd=kvm' perf $device --wbinvd-per-second=5

# The model's caches are not the CPU's: WBINVD of the machine cannot clean them, and is not asked to.
run perf $device "${load[@]}" --wbinvd=kvm --wbinvd-cpus=0 --json
check 'WBINVD is not used for a model' grep -q "caches are a model's" "$work/err"
check 'WBINVD is not used for a model: lines are flushed instead' \
	jq -e "$good and .flush.wbinvd.executed == 0 and .coherence.lines_written_back > 0" "$work/out"

finish
