# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# An IOMMU that enforces snooping: the coherent path works, the no-snoop path is refused.
#
# vm: --iommu=intel-snoop-control --smp=1

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
lab_checks intel-snoop-control 1
need_nsdk

device=0000:00:03.0
for how in iommufd type1; do
	export NSDK_IOMMU=$how
	perf "enforced, $how: the coherent path" '.ios == 1200 and .verdict.state == "enforced"' \
		$device --rw=randrw --verify --number_ios=1200 --iodepth=16
	refuses "enforced, $how: --policy=nosnoop is refused with the reason" 1 \
		'IOMMU enforces snooping' \
		nsdk perf $device --rw=randrw --verify --policy=nosnoop --number_ios=1200 --json
	same "enforced, $how: the device is given back" nvme "$(driver_of $device)"
	perf "enforced, $how: --policy=auto falls back" \
		'.policy == "coherent" or .coherence.lines_written_back == 0' \
		$device --rw=randrw --verify --policy=auto --number_ios=1000
done
probe "enforced: nsdk doctor --probe measures what the verdict says" '
	.answer == "snooped" and .verdict.state == "enforced" and .policy == "coherent" and .restored
	and (.contradiction | not) and .device_writes.snooped == .device_writes.lines
	and .device_reads.snooped == .device_reads.lines' $device
nsdk bind $device
check "enforced: nsdk doctor" nsdk doctor --json="$WORK/doctor.json"
same "enforced: nsdk doctor's verdict" enforced \
	"$(jq -r '.devices[] | select(.bdf == "0000:00:03.0").verdict.state' "$WORK/doctor.json")"
nsdk unbind $device
check "enforced: the kernel's disk works after that" kernel_disk_works $device

finish
