# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# virtio-iommu: no hardware information, and the verdict is known all the same.
#
# vm: --iommu=virtio --smp=1

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
lab_checks virtio 1
need_nsdk

device=0000:00:03.0
for how in iommufd type1; do
	export NSDK_IOMMU=$how
	perf "virtio-iommu, $how" '.ios == 1200 and .verdict.state == "permitted"' \
		$device --rw=randrw --verify --number_ios=1200 --iodepth=16
	perf "virtio-iommu, $how, no-snoop" '.ios == 800 and .policy == "nosnoop"' \
		$device --rw=randrw --verify --policy=nosnoop --number_ios=800
done
check "virtio-iommu: the kernel's disk works after that" kernel_disk_works $device

finish
