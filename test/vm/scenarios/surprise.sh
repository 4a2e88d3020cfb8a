# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Devices that are pulled out without a word, and registers that are taken away.
#
# QEMU's root ports, where the kernel has native hot-plug, let go of a device as soon as their slot's
# power is switched off. Switched off behind the kernel's back, that is somebody who pulls a disk out:
# its registers are not there any more, and then the slot says that it is empty.
#
# vm: --iommu=intel --smp=1 --qemu=-global --qemu=ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
# vm: --device=pcie-root-port,id=rp0 --drive=id=d0,size=64M --device=nvme,id=n0,serial=d0,drive=d0,bus=rp0
# vm: --device=pcie-root-port,id=rp1 --drive=id=d1,size=64M --device=nvme,id=n1,serial=d1,drive=d1,bus=rp1
# vm: --device=pcie-root-port,id=rp2 --drive=id=d2,size=64M --device=nvme,id=n2,serial=d2,drive=d2,bus=rp2
# timeout: 300

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

# What the allocator keeps for later would look as if it grew
export GLIBC_TUNABLES=glibc.malloc.tcache_count=0

# Pulls out what is behind a root port: Power Controller Control and the power indicator off, without an
# interrupt before they are back, and that at once, as the kernel is to hear of it at once
pull_out()
{
	python3 - "/sys/bus/pci/devices/$1/config" <<-'END'
		import sys

		def read(at, bytes):
		    config.seek(at)
		    return int.from_bytes(config.read(bytes), "little")

		def write16(at, value):
		    config.seek(at)
		    config.write(value.to_bytes(2, "little"))

		with open(sys.argv[1], "r+b", buffering=0) as config:
		    express = read(0x34, 1)
		    while read(express, 1) != 0x10:
		        express = read(express + 1, 1)
		    slot_control = express + 0x18
		    before = read(slot_control, 2)
		    write16(slot_control, before & ~0x320 | 0x700)
		    write16(slot_control, before)
	END
}

is_out()
{
	[ ! -d "/sys/bus/pci/devices/$1" ]
}

program_said()
{
	grep -q "$1" "$WORK/said" || ! kill -0 "$program" 2>/dev/null
}

# pulled PORT DEVICE MODE WHEN
pulled()
{
	local device=/sys/bus/pci/devices/$2
	"$NSDK_BUILD/test/functional/nvme_replug" "$2" 1 "$3" >"$WORK/said" 2>"$WORK/replug.err" &
	program=$!
	until_true 120 program_said "begun"
	# When the program lets go of it before the kernel hears that the slot is empty, the kernel resets
	# it, and waits a minute for it to come back
	echo >"$device/reset_method"
	pull_out "$1"
	wait $program
	same "pulled out $4: every I/O is called back once" 0 $?
	same "pulled out $4: one sentence" 1 "$(grep -c 'is gone: ' "$WORK/replug.err")"
	# QEMU's slot does not always say that it is empty
	[ ! -e "$device" ] || echo 1 >"$device/remove"
	check "pulled out $4: the kernel is rid of it" until_true 60 is_out "$2"
	sed 's/^/# /' "$WORK/said"
	sed 's/^/# /' "$WORK/replug.err"
}

# The kernel takes the mapped registers away, and the device is there still: it comes back three times
"$NSDK_BUILD/test/functional/nvme_replug" 0000:00:03.0 3 revoke >"$WORK/said" 2>"$WORK/replug.err"
same "registers are taken away: no crash, every I/O is called back once" 0 $?
same "registers are taken away: one sentence each time" 3 \
	"$(grep -c 'is gone: the kernel has taken its registers away' "$WORK/replug.err")"
sed 's/^/# /' "$WORK/said"

# Not inside of a reset: that is too much for QEMU 10, which crashes. test/functional/nvme_gone_test.c and
# hotplug.sh have it.
pulled 0000:00:08.0 0000:01:00.0 load "under load"
pulled 0000:00:09.0 0000:02:00.0 idle "at rest"
pulled 0000:00:0a.0 0000:03:00.0 load "as the ones before it"

finish
