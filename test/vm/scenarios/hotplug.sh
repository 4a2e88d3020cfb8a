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
nsdk perf $device --rw=randrw --runtime=100 --time_based --json >"$WORK/gone.json" 2>"$WORK/err" &
pid=$!
until_true 20 test "$(driver_of $device)" = vfio-pci
sleep 3
vm-monitor device_del plugged
if until_true 30 test ! -d /proc/$pid; then
	wait $pid
	same "perf ends when its device is gone, with status 1" 1 $?
	same "it says in one sentence that the device is gone" 1 \
		"$(grep -c 'gone\|removed' "$WORK/err")"
	same "it prints the result so far" true "$(jq -e '.ios > 0' "$WORK/gone.json")"
else
	not_ok "perf ends when its device is gone" "it runs on after 30 s"
	kill -KILL $pid
	wait $pid
fi
check "the kernel is rid of the device" until_true 20 test ! -d /sys/bus/pci/devices/$device
check "another one is plugged in" vm-monitor device_add nvme,id=again,serial=hot,drive=hot,bus=rp0
check "and the kernel finds it" until_true 20 has_disk $device
perf "and it works" '.ios == 1000' $device --rw=randrw --verify --number_ios=1000

finish
