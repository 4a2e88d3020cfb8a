#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk perf --verify on emulated NVMe: every kind of load, on every path, on every kind of controller.

. "$(dirname "$0")/tool.bash"

good='.errors == 0 and .verify_errors == 0 and .coherence.violations == 0 and .status == "done"'

# --- every load, every path, data verified --------------------------------------------------------

# A sanitizer looks at code, which all these share: it gets a fifth, with each value of each of them in it.
each=$((${NSDK_SANITIZE:+5} + 0))
sizes=(4k 512 20k 128k 1m 64k)
# Of each so many that they go over the device several times.
counts=(500 500 400 120 24 200)
n=0
for rw in read write randread randwrite rw randrw; do
	for lba in 512 4096; do
		for path in none:coherent none:auto data:coherent data:auto data:nosnoop all:nosnoop; do
			ios=${counts[n % ${#sizes[@]}]}
			bs=${sizes[n++ % ${#sizes[@]}]}
			((each && n % each)) && continue
			[[ $bs == 512 && $lba == 4096 ]] && bs=4k
			case $path in
			*:coherent | none:auto) policy=coherent ;;
			*) policy=nosnoop ;;
			esac
			flushed='(.coherence.lines_written_back > 0)'
			[[ $policy == coherent ]] && flushed='(.coherence.lines_written_back == 0)'
			result "verify: $rw, bs $bs, lba $lba, nosnoop=${path%:*} --policy=${path#*:}" 0 \
				"$good and .policy == \"$policy\" and $flushed and .ios > 0
				 and .verify.blocks_checked >= .ios" \
				"emu:nvme,size=3m,lba=$lba,nosnoop=${path%:*},seed=$n" --rw=$rw --bs="$bs" \
				--verify --policy="${path#*:}" --iodepth=$((1 + n % 17)) --number_ios="$ios"
		done
	done
done

ios=20000
[[ -z ${NSDK_SANITIZE:-} ]] || ios=4000
result 'the main job, coherent' 0 "$good and .ios == $ios and .verdict.state == \"enforced\"" \
	emu:nvme --rw=randrw --verify --number_ios="$ios" --iodepth=32
result 'the main job, no-snoop' 0 \
	"$good and .ios == $ios and .verdict.state == \"permitted\" and .policy == \"nosnoop\"
	 and .coherence.batches > 0 and .coherence.lines_invalidated > 0 and .verify.read_back" \
	emu:nvme,nosnoop=all --rw=randrw --verify --policy=nosnoop --number_ios="$ios" --iodepth=32
result 'split I/O: mdts=1' 0 "$good and .ios == 64" \
	emu:nvme,size=4m,mdts=1,nosnoop=all --rw=randrw --bs=64k --verify --policy=nosnoop --iodepth=8
# A device with doorbells in memory sleeps when nothing new is in them: one that is not woken up when it
# has to be never completes.
for n in 1 2 31; do
	result "doorbells in memory, $n at a time" 0 "$good" emu:nvme,size=4m,dbbuf=1 --rw=randrw --verify \
		--iodepth=$n --iodepth_batch=$((n % 3)) --number_ios=3000 --io_timeout=5s
	result "doorbells in memory, $n at a time, a device of its own mind" 0 "$good" \
		emu:nvme,size=4m,dbbuf=1,thread=1,mqes=64 --rw=randrw --verify --iodepth=$n \
		--number_ios=$((n > 2 ? 1000 : 200))
done
result 'doorbells in memory are not for the no-snoop path' 0 "$good" \
	emu:nvme,size=4m,dbbuf=1,nosnoop=all --rw=randrw --verify --policy=nosnoop --iodepth=8
# What the device keeps in the memory that it is lent it looks at with each I/O, and after a reset again.
for path in none:coherent data:nosnoop all:nosnoop; do
	result "memory lent to the device, nosnoop=${path%:*}" 0 "$good and .ios == 4096" \
		emu:nvme,size=16m,hmb=5m,nosnoop="${path%:*}" --rw=randrw --verify --policy="${path#*:}" --iodepth=8
	result "memory lent to the device, a reset, nosnoop=${path%:*}" 0 "$good and .ios == 4096" \
		emu:nvme,size=16m,hmb=5m,fault=fatal@1000,nosnoop="${path%:*}" --rw=randread \
		--policy="${path#*:}" --iodepth=8
done
result 'a single I/O queue' 0 "$good" emu:nvme,size=1m,queues=1 --rw=randrw --verify --iodepth=4
result 'a model with a thread of its own' 0 "$good" \
	emu:nvme,size=4m,thread=1,nosnoop=data --rw=randrw --verify --policy=nosnoop --iodepth=8
result 'an IOMMU of 39 bits' 0 "$good" \
	emu:nvme,size=4m,iova_bits=39,nosnoop=data --rw=randrw --verify --policy=nosnoop
result 'the second namespace' 0 "$good and .nsid == 2" \
	emu:nvme,size=4m,namespaces=2 --rw=randrw --verify --ns=2

finish
