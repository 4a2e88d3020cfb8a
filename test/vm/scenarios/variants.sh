# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# NVMe disks that are unlike the usual one: tiny queues and a memory buffer of before NVMe 1.4, a small
# transfer limit without doorbell buffers but with a memory buffer, many namespaces, one namespace behind two
# controllers, namespaces with metadata and with zones beside one without, and a persistent memory region.
#
# vm: --iommu=intel --smp=1 --mem=3G --hugepages=256
# vm: --nvme=max_ioqpairs=1,mqes=7,cmb_size_mb=16,legacy-cmb=on
# vm: --nvme=mdts=1,dbcs=off,cmb_size_mb=64,logical_block_size=4096,physical_block_size=4096
# vm: --nvme=namespaces=256,size=512M,mqes=31
# vm: --device=nvme-subsys,id=both
# vm: --nvme=size=0,subsys=both,serial=both --nvme=size=0,subsys=both,serial=both
# vm: --drive=id=shared,size=64M --device=nvme-ns,bus=nvme3,drive=shared,shared=on,nsid=1
# vm: --device=nvme,id=odd,serial=nsdk-odd
# vm: --drive=id=ms,size=64M --device=nvme-ns,bus=odd,drive=ms,nsid=1,ms=8
# vm: --drive=id=zoned,size=64M --device=nvme-ns,bus=odd,drive=zoned,nsid=2,zoned=on,zoned.zone_size=4M
# vm: --drive=id=even,size=64M --device=nvme-ns,bus=odd,drive=even,nsid=3
# vm: --qemu=-object --qemu=memory-backend-file,id=pmr,share=on,mem-path=@DIR@/pmr,size=1M
# vm: --device=nvme,id=guarded,serial=nsdk-guarded,pmrdev=pmr
# vm: --drive=id=pi,size=64M --device=nvme-ns,bus=guarded,drive=pi,nsid=1,ms=8,pi=1
# timeout: 480

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

tiny=0000:00:03.0
limited=0000:00:04.0
many=0000:00:05.0
one=0000:00:06.0
two=0000:00:07.0
odd=0000:00:08.0
guarded=0000:00:09.0

# Once, as the kernel looks at each namespace whenever it has them back.
for device in $tiny $limited $many $one $two $odd $guarded; do
	nsdk bind "$device" >/dev/null
done

for policy in coherent nosnoop; do
	perf "a queue of eight entries, $policy" '.ios == 1000' \
		$tiny --rw=randrw --verify --policy=$policy --number_ios=1000 --iodepth=7
	perf "MDTS of two pages, no doorbell buffers, a memory buffer, $policy" '.ios == 400' \
		$limited --rw=randrw --verify --policy=$policy --bs=32k --number_ios=400 --iodepth=4
done

# Memory on the controller, where QEMU puts it; that of the first has its address on the bus.
perf "commands in a memory buffer of before NVMe 1.4" '.ios == 500 and .cmb.queues == 1' \
	$tiny --rw=randrw --verify --cmb=sq --policy=nosnoop --number_ios=500 --iodepth=7
perf "data there, too" '.ios == 100 and .cmb.queues == 1 and .cmb.used_bytes > 28672' \
	$tiny --rw=randrw --verify --cmb=sq+data --number_ios=100 --iodepth=7
perf "commands and data in a memory buffer" '.ios == 100 and .cmb.bytes == 67108864' \
	$limited --rw=randrw --verify --cmb=sq+data --policy=nosnoop --bs=16k --number_ios=100 --iodepth=4
perf "commands in a memory buffer" '.ios == 500 and .cmb.queues == 1' \
	$limited --rw=randrw --verify --cmb=sq --number_ios=500 --iodepth=7
check "reset" nsdk nvme reset $limited
same "what the registers say of it" "2 64" "$(nsdk nvme show-regs $limited --output-format=json |
	jq -r '"\(.cmbloc % 8) \(.cmbsz / 4096 | floor)"')"
refuses "more at a time than a queue of eight entries takes" 1 'queue|entries|iodepth' \
	nsdk perf $tiny --rw=randread --iodepth=32 --number_ios=100
refuses "priorities, which QEMU's controllers do not offer" 1 'does not offer weighted round robin' \
	nsdk perf $tiny --wrr_priority=high --number_ios=1

# Each of them is a disk of its own.
check "identify lists 256 namespaces" nsdk identify $many --json="$WORK/many.json"
same "256 namespaces" "256 1 256" \
	"$(jq -r '[.namespaces[].nsid] | "\(length) \(.[0]) \(.[-1])"' "$WORK/many.json")"
for nsid in 1 256; do
	perf "namespace $nsid of 256" '.ios == 200' \
		$many --ns=$nsid --rw=randrw --verify --number_ios=200 --iodepth=8
done
refuses "namespace 257 of 256" 1 'namespace' nsdk perf $many --ns=257 --number_ios=1

# What one controller writes, the other reads.
head -c 1M /dev/urandom >"$WORK/written"
check "two controllers of a subsystem: one writes" \
	nvme_rw pci:$one write 100 2048 "$WORK/written" --policy=coherent
check "two controllers of a subsystem: the other reads" \
	nvme_rw pci:$two read 100 2048 "$WORK/read" --policy=nosnoop
same "two controllers of a subsystem: it is the same" \
	"$(sha256sum <"$WORK/written")" "$(sha256sum <"$WORK/read")"
perf "two controllers of a subsystem, both at work" '.ios == 300' \
	$one $two --rw=randread --number_ios=300 --iodepth=4

# What is stored into the region is in the file behind it.
head -c 70001 /dev/urandom >"$WORK/kept"
check "a persistent memory region keeps what is flushed" \
	"$NSDK_BUILD/test/functional/nvme_pmr" pci:$guarded write 4099 70001 "$WORK/kept"
same "it is in the host's file" "$(sha256sum <"$WORK/kept")" \
	"$(tail -c +4100 "$NSDK_VM_DIR/pmr" | head -c 70001 | sha256sum)"
check "it is there for who comes next" \
	"$NSDK_BUILD/test/functional/nvme_pmr" pci:$guarded read 4099 70001 "$WORK/kept2"
same "it is the same" "$(sha256sum <"$WORK/kept")" "$(sha256sum <"$WORK/kept2")"

# Namespaces of all kinds behind one controller; what there is to metadata, a scenario of its own has.
perf "metadata in the blocks" '.ios == 100' $odd --ns=1 --rw=randrw --verify --number_ios=100
perf "protection information beside a persistent memory region" '.ios == 100' \
	$guarded --rw=randrw --verify --number_ios=100
perf "the namespace beside them" '.ios == 300' \
	$odd --ns=3 --rw=randrw --verify --number_ios=300 --iodepth=8
# A zoned one is read as any other; what else there is to it, zns.sh has.
perf "a zoned namespace is read" '.ios == 50' $odd --ns=2 --rw=read --number_ios=50
nsdk unbind $odd >/dev/null
# Which of its namespaces the kernel shows first, and whether that one has blocks that it can read, varies.
same "the kernel has $odd after all this" nvme "$(driver_of $odd)"
nsdk unbind $tiny >/dev/null
check "the kernel's disk on $tiny works after all this" kernel_disk_works $tiny

finish
