# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# No IOMMU: a device could write anywhere, so it is refused.
#
# vm: --iommu=none --smp=1

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
lab_checks none 1
need_nsdk

device=0000:00:03.0
for how in iommufd type1; do
	refuses "no IOMMU, $how: perf is refused" 1 'IOMMU' \
		env NSDK_IOMMU=$how nsdk perf $device --rw=randread --number_ios=100
	same "no IOMMU, $how: the device is the kernel's" nvme "$(driver_of $device)"
done
refuses "no IOMMU: perf is refused" 1 'IOMMU' nsdk perf $device --rw=randread --number_ios=100
check "no IOMMU: nsdk doctor" nsdk doctor --json="$WORK/doctor.json"
same "no IOMMU: nsdk doctor's verdict" refused \
	"$(jq -r '.devices[] | select(.bdf == "0000:00:03.0").verdict.state' "$WORK/doctor.json")"
check "no IOMMU: the kernel's disk works after that" kernel_disk_works $device
perf "no IOMMU: an emulated device needs none" '.ios == 1000' \
	emu:nvme,size=64M --rw=randrw --verify --number_ios=1000

finish
