#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Metadata and end-to-end protection by nsdk perf on emulated NVMe: made and checked by controller or host, past the
# caches and not, and what becomes of a block that is wrong.

. "$(dirname "$0")/tool.bash"

good='.errors == 0 and .verify_errors == 0 and .coherence.violations == 0 and .status == "done"'
all='--pi_chk=GUARD,REFTAG,APPTAG'

for path in none:coherent all:nosnoop; do
	for words in "ms=8,pi=1 $all" "ms=8,pi=1 $all --pi_act=0" "ms=64,pi=2,pil=1,mset=1,lba=4096 $all" \
		"ms=64,pi=2,pil=1,mset=1,lba=4096 $all --pi_act=0" "ms=16,pi=3,pif=2 --pi_act=0 --apptag=7" 'ms=24' \
		'ms=16,mset=1'; do
		read -r -a rest <<<"${words#* }"
		[[ $words == *' '* ]] || rest=()
		result "metadata: $words, nosnoop=${path%:*}" 0 "$good and .verify.read_back and .metadata.bytes >= 8" \
			"emu:nvme,size=4m,mdts=1,nosnoop=${path%:*},${words%% *}" --rw=randrw --verify --iodepth=5 \
			--bs=16k --policy="${path#*:}" "${rest[@]}"
	done
done
result 'metadata: what is said of it' 0 \
	"$good and .metadata == {bytes: 16, extended: true, pi_type: 2, guard_bits: 64, pi_act: false,
		check_guard: true, check_ref_tag: false, check_app_tag: true}" \
	emu:nvme,size=1m,ms=16,mset=1,pi=2,pif=2 --rw=write --pi_act=0 --pi_chk=APPTAG,GUARD
result 'metadata: what has none says nothing' 0 "$good and .metadata == null" emu:nvme,size=1m --rw=write
# Which guards this host knows has to be said again.
result 'metadata: after a reset' 0 "$good" \
	emu:nvme,size=4m,ms=16,pi=1,pif=2,fault=fatal@500,nosnoop=all --policy=nosnoop --rw=randrw --verify --pi_act=0

for act in 0 1; do
	result "a wrong guard is found, --pi_act=$act" 1 '.status == "failed" and .errors == 1' \
		emu:nvme,size=1m,ms=8,pi=1,fault=guard@300 --rw=write --bs=512 --verify --pi_act=$act
	check "a wrong guard is named, --pi_act=$act" grep -q 'LBA 299 .*End-to-end Guard Check Error' "$work/err"
done
result 'a wrong guard that nobody looks at is not' 0 "$good" \
	emu:nvme,size=1m,ms=8,pi=1,fault=guard@300 --rw=write --bs=512 --verify --pi_chk=none
refuses 'protection where there is none' 1 'has no protection information' perf emu:nvme --pi_act=0
refuses 'protection where there is other metadata' 1 'has no protection information' perf emu:nvme,ms=8 --pi_chk=GUARD
for words in 'size=1m,fault=identify --pi_act=0' 'size=1m,ms=16,pi=1,pif=1,fault=badstatus@admin7 --zonemode=zbd'; do
	read -ra list <<< "$words"
	refuses "${words#* }: of a namespace that cannot be used" 1 'namespace 1 cannot be used' \
		perf "emu:nvme,${list[0]}" "${list[@]:1}" --rw=read
done
refuses 'pi_chk: what is that?' 2 'GUARD, REFTAG and APPTAG' perf emu:nvme,ms=8,pi=1 --pi_chk=GUARD,FOO
refuses 'pi_act: what is that?' 2 'from 0 to 1' perf emu:nvme,ms=8,pi=1 --pi_act=2
refuses 'apptag: 16 bits' 2 'from 0 to 65535' perf emu:nvme,ms=8,pi=1 --apptag=65536
refuses 'raw reads of blocks with metadata apart' 1 'no memory for the 8 bytes of metadata' \
	nvme io-passthru emu:nvme,size=1m,ms=8 -n 1 -o 2 -l 512 -r
check 'raw reads of blocks whose metadata the controller takes off' \
	"$nsdk" nvme io-passthru emu:nvme,size=1m,ms=8,pi=1 -n 1 -o 2 -l 512 -r --cdw12=0x20000000
refuses 'metadata that travels, with data on the controller' 1 'cmb=data is not for' \
	perf emu:nvme,ms=8,cmb=1m --cmb=data --rw=write

finish
