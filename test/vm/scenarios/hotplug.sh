# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A device that is taken away while it is in use.
#
# vm: --iommu=intel --device=pcie-root-port,id=rp0 --drive=id=hot,size=64M
# vm: --device=nvme,id=plugged,serial=hot,drive=hot,bus=rp0

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:01:00.0

perf "a device behind a root port" '.ios == 1000' $device --rw=randrw --verify --number_ios=1000
load_begin gone $device --rw=randrw --runtime=1000 --time_based
vm-monitor device_del plugged
if until_true 30 test ! -d "/proc/${load:?}"; then
	wait "${load:?}"
	same "perf ends when its device is gone, with status 1" 1 $?
	same "it says in one sentence that the device is gone" 1 \
		"$(grep -c 'gone\|removed' "$WORK/gone.err")"
	load_result "it prints the result so far" gone '.ios > 0'
else
	not_ok "perf ends when its device is gone" "it runs on after 30 s"
	kill -KILL "${load:?}"
	wait "${load:?}"
fi
check "the kernel is rid of the device" until_true 20 test ! -d /sys/bus/pci/devices/$device
# QEMU lets go of the old one's disk a moment after the kernel has.
check "another one is plugged in" until_true 30 vm-monitor device_add nvme,id=again,serial=hot,drive=hot,bus=rp0
check "and the kernel finds it" until_true 20 has_disk $device
perf "and it works" '.ios == 1000' $device --rw=randrw --verify --number_ios=1000

finish
