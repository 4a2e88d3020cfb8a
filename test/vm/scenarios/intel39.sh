# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# An IOMMU with 39 address bits: virtual addresses do not fit, so I/O addresses are allocated.
#
# vm: --iommu=intel-39 --smp=1

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
lab_checks intel-39 1
need_nsdk

device=0000:00:03.0
for how in iommufd type1; do
	export NSDK_IOMMU=$how
	perf "39 bits, $how" '.ios == 1200 and .verdict.state == "permitted"' \
		$device --rw=randrw --verify --number_ios=1200 --iodepth=16
	perf "39 bits, $how, no-snoop" '.ios == 800 and .policy == "nosnoop"' \
		$device --rw=randrw --verify --policy=nosnoop --number_ios=800
done
check "39 bits: the kernel's disk works after that" kernel_disk_works $device

finish
