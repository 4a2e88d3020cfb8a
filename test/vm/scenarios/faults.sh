# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What goes wrong on real machines: each case is one clear sentence and a non-zero status, and
# everything is as before.
#
# vm: --iommu=intel --smp=1 --nvme --nvme --device=e1000e
# timeout: 300

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:00:03.0
other=0000:00:04.0

refuses "an unknown device" 1 '0000:00:1a\.0' nsdk perf 0000:00:1a.0 --number_ios=1
refuses "a device that is no NVMe controller" 1 'NVMe' nsdk perf 0000:00:08.0 --number_ios=1
same "it stays its driver's" e1000e "$(driver_of 0000:00:08.0)"
refuses "an unknown option" 2 'frobnicate' nsdk perf $device --frobnicate=1
refuses "a word that is no device" 2 'gibberish' nsdk perf gibberish
refuses "an unknown --rw" 2 'rw' nsdk perf $device --rw=sideways
refuses "a range beyond the namespace" 1 'offset|namespace|beyond|size' \
	nsdk perf $device --rw=read --offset=1t --number_ios=1
refuses "a namespace that is not there" 1 'namespace' nsdk perf $device --ns=7 --number_ios=1
same "the device stayed the kernel's" nvme "$(driver_of $device)"

# A disk in use is not taken
mkfs.ext4 -q "/dev/$(disk_of $other)" && mount "/dev/$(disk_of $other)" /mnt
echo precious >/mnt/file
refuses "perf on a mounted disk" 1 'mount' nsdk perf $other --number_ios=1
refuses "bind of a mounted disk" 1 'mount' nsdk bind $other
same "it stays mounted" precious "$(cat /mnt/file)"
same "it stays the kernel's" nvme "$(driver_of $other)"
umount /mnt

# In use by another process
load_begin first $other --rw=randread --runtime=1000 --time_based
refuses "a device that another process drives" 1 'use|busy' nsdk perf $other --number_ios=1
kill -TERM "${load:?}"
wait "${load:?}"
load_result "SIGTERM: the other process gave its result" first '.ios > 0 and .errors == 0'
same "SIGTERM: the device is the kernel's again" nvme "$(driver_of $other)"

load_begin int $device --rw=randrw --runtime=1000 --time_based
kill -INT "${load:?}"
wait "${load:?}"
load_result "SIGINT: perf ends with its result so far" int '.ios > 0 and .errors == 0'
same "SIGINT: the device is the kernel's again" nvme "$(driver_of $device)"
check "SIGINT: and works" kernel_disk_works $device

# Killed in the middle
for _ in 1 2; do
	load_begin killed $device --rw=randrw --runtime=1000 --time_based
	kill -KILL "${load:?}"
	wait "${load:?}" 2>/dev/null
done
perf "after two kill -9 the next run starts clean" '.ios == 800' \
	$device --rw=randrw --verify --number_ios=800
nsdk unbind $device >/dev/null 2>&1
same "after that nsdk unbind leaves it to the kernel" nvme "$(driver_of $device)"
check "after that the kernel's disk works" kernel_disk_works $device

# No hugepages
pages=$(cat /proc/sys/vm/nr_hugepages)
echo 0 >/proc/sys/vm/nr_hugepages
refuses "no hugepages" 1 'hugepage' nsdk perf $device --number_ios=100
same "no hugepages: the device is the kernel's" nvme "$(driver_of $device)"
check "no hugepages: doctor names the mending" nsdk doctor
echo "$pages" >/proc/sys/vm/nr_hugepages

# An ordinary user. The device is bound and handed over by root.
as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp)
nsdk bind $device
refuses "a user without permission" 1 'permi' "${as_nobody[@]}" nsdk perf $device --number_ios=100
chown nobody /dev/vfio/devices/* /dev/iommu /dev/vfio/[0-9]*
for how in iommufd type1; do
	refuses "a user with too little memlock, $how" 1 'memlock' \
		prlimit --memlock=65536:65536 -- \
		"${as_nobody[@]}" NSDK_IOMMU=$how nsdk perf $device --number_ios=100
	timeout 100 prlimit --memlock=1073741824:1073741824 -- \
		"${as_nobody[@]}" NSDK_IOMMU=$how \
		nsdk perf $device --rw=randrw --verify --number_ios=1000 --json \
		>"$WORK/user.json" 2>"$WORK/err"
	same "a user with memlock enough, $how" "0 true" \
		"$? $(jq -e '.ios == 1000 and .errors == 0 and .verify_errors == 0' "$WORK/user.json")"
	[ -s "$WORK/err" ] && sed 's/^/# /' "$WORK/err"
done
nsdk unbind $device
check "after all this the kernel's disk works" kernel_disk_works $device

finish
