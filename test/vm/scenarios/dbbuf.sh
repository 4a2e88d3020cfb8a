# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Shadow doorbells: QEMU's controller with them and without, and what it says of the doorbell registers
# that were written. With a doorbell for each I/O, most of them need not reach the registers: the device
# is still at the commands before.
#
# vm: --iommu=intel --smp=1 --nvme=size=64M,dbcs=on --nvme=size=64M,dbcs=off
# trace: pci_nvme_mmio_doorbell_*
# timeout: 120

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

with=0000:00:03.0
without=0000:00:04.0

# Register writes to I/O queues' doorbells so far.
written()
{
	grep -acE 'doorbell_[sc]q [sc]qid [1-9]' "$NSDK_VM_TRACE"
}

# writes NAME DEVICE OPTION...: how many there are for one perf, into $writes
writes()
{
	local before
	before=$(written)
	perf "$1" '.ios == 8000' "$2" --number_ios=8000 --iodepth=32 "${@:3}"
	writes=$(($(written) - before))
}

for device in $with $without; do
	nsdk bind "$device" >/dev/null || not_ok "bind $device" "it could not be bound"
done
same "the controller offers them" "1 0" "$(for device in $with $without; do
	nsdk nvme id-ctrl "$device" --output-format=json | jq '.oacs / 256 % 2 | floor'
done | xargs)"

writes "data is right with shadow doorbells" $with --rw=randrw --verify --iodepth_batch=1
writes "a doorbell for each I/O, in memory" $with --rw=randread --iodepth_batch=1
in_memory=$writes
writes "a doorbell for each I/O, in registers" $without --rw=randread --iodepth_batch=1
in_registers=$writes
# One for each I/O, and those of the completion queue; in memory mostly a tenth and less. How many depends on
# who is faster, the guest that submits or the device that catches up, so less has to do.
if [ "$in_registers" -ge 8000 ] && [ $((10 * in_registers)) -ge $((15 * in_memory)) ]; then
	ok "shadow doorbells: $in_memory register writes instead of $in_registers"
else
	not_ok "fewer register writes" "$in_memory with shadow doorbells, $in_registers without"
fi
writes "no-snoop I/O has its doorbells in registers" $with --rw=randrw --verify --policy=nosnoop \
	--iodepth_batch=1
[ "$writes" -ge 8000 ] || not_ok "no-snoop I/O has its doorbells in registers" "$writes of 8000"

# A reset, and the queues made again: they begin anew in memory, too.
check "reset" nsdk nvme reset $with
writes "after a reset" $with --rw=randrw --verify --iodepth_batch=3
finish
