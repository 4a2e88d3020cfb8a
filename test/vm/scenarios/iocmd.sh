# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every I/O command that QEMU's controller offers, on it; and payloads by SGLs, of which it takes any.
#
# vm: --iommu=intel --smp=1 --nvme=size=64M --nvme=size=64M,logical_block_size=4096,physical_block_size=4096
# vm: --nvme=size=64M,mdts=1 --nvme=size=0
# vm: --drive=id=copies,size=64M --device=nvme-ns,bus=nvme3,drive=copies,nsid=1
# timeout: 120

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

# commands DEVICE POLICY NAME: its own lines are the checks
commands()
{
	nsdk bind "$1" >/dev/null || not_ok "$3" "it could not be bound"
	tested "$3, " "$NSDK_BUILD/test/functional/nvme_commands" "pci:$1" "$2"
	[ -s "$WORK/out" ] || not_ok "$3" "$(said)"
}

commands 0000:00:03.0 coherent "blocks of 512 bytes"
commands 0000:00:03.0 nosnoop "blocks of 512 bytes"
commands 0000:00:04.0 nosnoop "blocks of 4096 bytes"
commands 0000:00:05.0 coherent "limits of two pages"
# The namespace that comes with QEMU's controller has limits of no blocks for Copy; one of its own has not.
commands 0000:00:06.0 coherent "a namespace that copies"
commands 0000:00:06.0 nosnoop "a namespace that copies"
same "Copy was used" 1 "$(grep -c '^ok.*copies three ranges' "$WORK/out")"

# What is said by one data block, by lists of PRPs and by segments is the same data.
perf "64 KiB at a time" '.ios == 300' \
	0000:00:03.0 --rw=randrw --verify --bs=64k --number_ios=300 --iodepth=8

finish
