# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# End-to-end protection on QEMU's controller: each shape of metadata with everything that the driver does with
# it, loads that are verified, and what the kernel's driver and nvme-cli leave there or find there.
#
# One processor, as for admin.sh.
#
# vm: --iommu=intel --smp=1 --nvme=size=0,mdts=3
# vm: --drive=id=n1,size=8M --device=nvme-ns,bus=nvme0,drive=n1,nsid=1,ms=8,pi=1
# vm: --drive=id=n2,size=8M --device=nvme-ns,bus=nvme0,drive=n2,nsid=2,ms=8,pi=2,mset=1
# vm: --drive=id=n3,size=8M --device=nvme-ns,bus=nvme0,drive=n3,nsid=3,logical_block_size=4096,physical_block_size=4096,ms=8,pi=3
# vm: --drive=id=n4,size=8M --device=nvme-ns,bus=nvme0,drive=n4,nsid=4,logical_block_size=4096,physical_block_size=4096,ms=8,pi=1,mset=1,pil=1
# vm: --drive=id=n5,size=8M --device=nvme-ns,bus=nvme0,drive=n5,nsid=5,ms=16,pi=2,pil=1
# vm: --drive=id=n6,size=8M --device=nvme-ns,bus=nvme0,drive=n6,nsid=6,logical_block_size=4096,physical_block_size=4096,ms=64,mset=1,pi=1
# vm: --drive=id=n7,size=8M --device=nvme-ns,bus=nvme0,drive=n7,nsid=7,ms=16,pi=1,pif=2
# vm: --drive=id=n8,size=8M --device=nvme-ns,bus=nvme0,drive=n8,nsid=8,ms=8
# timeout: 240

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:00:03.0

# name_of NSID: the kernel numbers its disks in any order
name_of()
{
	local file
	for file in /sys/block/nvme0n*/nsid; do
		[ "$(cat "$file")" = "$1" ] && basename "$(dirname "$file")" && return
	done
	return 1
}

kernel_has_them()
{
	local nsid
	for nsid in 1 2 3 4 8; do
		[ -b "/dev/$(name_of $nsid)" ] || return 1
	done
}

# moves WRITE|READ NSID FILE: 1 MiB from the namespace's start on, in every shape of I/O
moves()
{
	"$NSDK_BUILD/test/functional/nvme_rw" pci:$device "$1" 0 $((1048576 / (block[$2]))) "$3" --ns="$2"
}

block=(0 512 512 4096 4096 512 4096 512 512)

# ---- The driver, on this controller ----

check "nsdk bind" nsdk bind $device
NSDK_PI_DEVICE=pci:$device tested "" "$NSDK_BUILD/test/functional/nvme_pi_test"
same "all of it ran" 5 "$(grep -c '^ok - nvme protection' "$WORK/out")"

for how in 1:0 1:1 4:0 7:0; do
	perf "namespace ${how%:*} is written and verified, --pi_act=${how#*:}" '.ios == 200 and .verify.read_back' \
		$device --ns="${how%:*}" --rw=randrw --verify --number_ios=200 --iodepth=8 --bs=8k \
		--pi_act="${how#*:}" --pi_chk=GUARD,REFTAG,APPTAG
done
perf "metadata without protection information" '.ios == 200 and .verify.read_back' \
	$device --ns=8 --rw=randrw --verify --number_ios=200 --iodepth=8 --policy=nosnoop

# ---- What we leave, the kernel finds; and the other way round ----

head -c 1048576 /dev/urandom >"$WORK/ours"
head -c 1048576 /dev/urandom >"$WORK/theirs"
for nsid in 1 2 3 4; do
	check "namespace $nsid: written" moves write $nsid "$WORK/ours"
done
nsdk unbind $device >/dev/null
check "the kernel has them again" until_true 30 kernel_has_them
for nsid in 1 2 3 4; do
	same "namespace $nsid: the kernel reads what we wrote" "$(sha256sum <"$WORK/ours")" \
		"$(dd "if=/dev/$(name_of $nsid)" bs=64k count=16 iflag=direct status=none | sha256sum)"
	check "namespace $nsid: the kernel writes" \
		dd "if=$WORK/theirs" "of=/dev/$(name_of $nsid)" bs=32k oflag=direct status=none
done
# Of extended blocks nvme-cli sees all: here, of the third, the application tag (0) and the reference tag.
second=$(name_of 2)
generic=/dev/ng${second#nvme}
nvme read "$generic" -s 2 -c 0 -z 520 --prinfo=7 --ref-tag=2 -d "$WORK/block" >"$WORK/out" 2>"$WORK/err"
same "tags as the kernel left them" "00 00 00 00 00 02" \
	"$(tail -c 6 "$WORK/block" | od -An -tx1 | xargs)"
# It leaves a block with one bit wrong, and its protection information as it was.
cp "$WORK/block" "$WORK/wrong"
printf '\001' | dd of="$WORK/wrong" bs=1 seek=100 conv=notrunc status=none
cmp -s "$WORK/block" "$WORK/wrong" && printf '\002' | dd of="$WORK/wrong" bs=1 seek=100 conv=notrunc status=none
check "nvme-cli writes a block that is not what it says" \
	nvme write "$generic" -s 2 -c 0 -z 520 --prinfo=0 -d "$WORK/wrong"

check "nsdk bind, again" nsdk bind $device
for nsid in 1 3 4; do
	check "namespace $nsid: read" moves read $nsid "$WORK/back"
	same "namespace $nsid: we read what the kernel wrote" "$(sha256sum <"$WORK/theirs")" \
		"$(sha256sum <"$WORK/back")"
done
refuses "namespace 2: what nvme-cli left is found" 1 'LBA 2 .*End-to-end Guard Check Error' \
	nsdk perf $device --ns=2 --rw=read --bs=512 --size=8k
nsdk unbind $device >/dev/null

finish
