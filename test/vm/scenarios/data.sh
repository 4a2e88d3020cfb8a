# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The two drivers agree about what is on a disk: data written by NSDK and read by the kernel's
# driver is identical, and the other way round; at odd places, in pieces above and below a page.
#
# vm: --iommu=intel --smp=1 --nvme=size=64M --nvme=size=64M,logical_block_size=4096,physical_block_size=4096
# vm: --nvme=size=64M,mdts=1

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

# kernel_moves read|write DEVICE OFFSET BYTES FILE
kernel_moves()
{
	local disk
	until_true 10 has_disk "$2" || return 1
	disk=/dev/$(disk_of "$2")
	if [ "$1" = read ]; then
		dd if="$disk" of="$5" bs=64k iflag=direct,skip_bytes,count_bytes skip="$3" \
			count="$4" status=none
	else
		dd if="$5" of="$disk" bs=64k oflag=direct,seek_bytes iflag=count_bytes seek="$3" \
			count="$4" conv=fsync status=none
	fi
}

# nsdk_moves read|write DEVICE LBA COUNT FILE
nsdk_moves()
{
	nsdk bind "$2" || return
	nvme_rw "pci:$2" "$1" "$3" "$4" "$5" --policy=$policy
	local status=$?
	nsdk unbind "$2" || return
	return $status
}

policy=coherent

sum()
{
	sha256sum <"$1"
}

# exchange DEVICE BLOCK-BYTES LBA BLOCKS HOW
exchange()
{
	local device=$1 block=$2 lba=$3 blocks=$4 name bytes
	name="$1, $4 blocks of $2 bytes at block $3$5"
	bytes=$((block * blocks))
	head -c $bytes /dev/urandom >"$WORK/written"
	rm -f "$WORK/read"
	if check "the kernel writes $name" \
			kernel_moves write "$device" $((lba * block)) $bytes "$WORK/written" &&
		check "NSDK reads $name" nsdk_moves read "$device" "$lba" "$blocks" "$WORK/read"; then
		same "identical: kernel to NSDK, $name" "$(sum "$WORK/written")" "$(sum "$WORK/read")"
	fi
	head -c $bytes /dev/urandom >"$WORK/written"
	rm -f "$WORK/read"
	if check "NSDK writes $name" nsdk_moves write "$device" "$lba" "$blocks" "$WORK/written" &&
		check "the kernel reads $name" \
			kernel_moves read "$device" $((lba * block)) $bytes "$WORK/read"; then
		same "identical: NSDK to kernel, $name" "$(sum "$WORK/written")" "$(sum "$WORK/read")"
	fi
}

exchange 0000:00:03.0 512 0 8192 ""
exchange 0000:00:03.0 512 12345 777 ""
exchange 0000:00:03.0 512 131071 1 ", the last one"
exchange 0000:00:04.0 4096 4321 333 ""
exchange 0000:00:05.0 512 7 4099 ", MDTS of two pages"
policy=nosnoop
exchange 0000:00:03.0 512 99 4321 ", no-snoop"
policy=coherent
export NSDK_IOMMU=type1
exchange 0000:00:03.0 512 54321 999 ", through type1"

finish
