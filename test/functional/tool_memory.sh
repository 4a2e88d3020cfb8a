#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Memory that is on the controller, by nsdk perf on emulated NVMe: queues and data in the controller memory
# buffer, on every path. All that is in it is lost with a reset, and the cache model tells of whoever flushes it.

. "$(dirname "$0")/tool.bash"

good='.errors == 0 and .verify_errors == 0 and .coherence.violations == 0 and .status == "done"'

for path in none:coherent data:nosnoop all:nosnoop; do
	for use in sq data sq+data; do
		result "on the controller: $use, nosnoop=${path%:*}" 0 \
			"$good and .ios == 1024 and .cmb.bytes == 524288 and .options.cmb == \"$use\"" \
			emu:nvme,size=4m,mdts=1,cmb=512k,nosnoop="${path%:*}" --cmb=$use --rw=randrw --verify \
			--policy="${path#*:}" --iodepth=8
		result "on the controller: $use, a reset, nosnoop=${path%:*}" 0 "$good and .ios == 1024" \
			emu:nvme,size=4m,cmb=512k,fault=fatal@700,nosnoop="${path%:*}" --cmb=$use --rw=randread \
			--policy="${path#*:}" --iodepth=8
	done
done
result 'on the controller: split I/O' 0 "$good and .cmb.used_bytes > 524288" \
	emu:nvme,size=4m,mdts=1,cmb=1m,thread=1 --cmb=sq+data --rw=randrw --bs=64k --verify --iodepth=8
result 'queues on the controller: as many as it has room for' 0 "$good and .cmb.queues == 2" \
	emu:nvme,size=8m,cmb=8k,thread=1 --cmb=sq --rw=randrw --verify --numjobs=3 --iodepth=7 --number_ios=500
result 'queues on a controller without memory are elsewhere' 0 "$good and .cmb.bytes == 0" \
	emu:nvme,size=4m --cmb=sq --rw=randrw --verify --iodepth=8 --number_ios=100
run perf emu:nvme,size=4m --cmb=sq --number_ios=1
check 'a controller without memory is said' grep -q 'asked for and is not used: it has none' "$work/err"
refuses 'data for a controller that takes none' 1 'no memory on the controller for data' \
	perf emu:nvme,size=4m,cmb=64k,cmb_for=sq --cmb=data --number_ios=1
refuses 'more data than there is room for' 1 'has no room for 4 KiB' \
	perf emu:nvme,size=4m,cmb=64k --cmb=data --iodepth=32 --number_ios=1
refuses 'data with metadata' 1 '--cmb=data is not for blocks with metadata' \
	perf emu:nvme,size=4m,cmb=64k,ms=8 --cmb=data --number_ios=1
result 'commands on the controller, of blocks with metadata' 0 "$good and .cmb.queues == 1" \
	emu:nvme,size=4m,cmb=64k,ms=8 --cmb=sq --rw=randrw --verify --iodepth=8 --number_ios=200
refuses 'a use that there is not' 2 '--cmb=cq: off, sq, data or sq\+data is wanted' perf emu:nvme --cmb=cq

# Registers, by nvme-cli's names; a memory buffer says of itself only when it is asked to.
run nvme show-regs emu:nvme,cmb=64k,pmr=64k --output-format=json
same 'registers' '8192 65561 1 133208 256 25' \
	"$(jq -r '"\(.cmbloc) \(.cmbsz) \(.cmbmsc) \(.pmrcap) \(.pmrsts) \(length)"' "$work/out" 2>&1)"

finish
