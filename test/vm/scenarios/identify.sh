# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Identify, list, bind and unbind against what the kernel's driver says of the same devices.
#
# vm: --iommu=intel --smp=1 --nvme=serial=NSDK-one,size=96M --nvme=logical_block_size=4096,physical_block_size=4096
# vm: --nvme=mdts=1,max_ioqpairs=1 --device=e1000e

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

devices="0000:00:03.0 0000:00:04.0 0000:00:05.0"

# Both call fields by their names in the specification. What both have, is the same; and they have
# most in common. Numbers may be text on one side, text may be padded with blanks, UUIDs have dashes.
# shellcheck disable=SC2016
compare='def plain: tostring | sub(" +$"; "") | gsub("-"; "");
	.[0] as $kernel | .[1] as $ours
	| [$kernel | keys[] | select(. as $key | $ours | has($key))] as $common
	| if ($common | length) < $least then "only \($common | length) fields in common"
	  else [$common[] | select(($kernel[.] | plain) != ($ours[.] | plain))
		| "\(.): the kernel \($kernel[.]), nsdk \($ours[.])"] | join("; ") end'

for device in $devices; do
	kernel_id_ctrl "$device" >"$WORK/kernel.ctrl"
	kernel_id_ns "$device" >"$WORK/kernel.ns"
	check "nsdk identify $device" nsdk identify "$device" --json="$WORK/identify.json"
	jq '.namespaces[0]' "$WORK/identify.json" >"$WORK/identify.ns"
	same "nsdk identify $device: the controller is what the kernel says" "" \
		"$(jq -r -s --argjson least 60 "$compare" "$WORK/kernel.ctrl" "$WORK/identify.json" 2>&1)"
	same "nsdk identify $device: the namespace is what the kernel says" "" \
		"$(jq -r -s --argjson least 25 "$compare" "$WORK/kernel.ns" "$WORK/identify.ns" 2>&1)"
	same "nsdk identify $device gives it back" nvme "$(driver_of "$device")"
	check "the kernel's disk on $device works after that" kernel_disk_works "$device"
done

check "nsdk list" nsdk list --json="$WORK/list.json"
same "nsdk list has the disks" "$devices" \
	"$(jq -r '.devices[] | select(.driver == "nvme") | .bdf' "$WORK/list.json" | xargs)"

check "nsdk bind" nsdk bind 0000:00:03.0
same "nsdk bind: the driver" vfio-pci "$(driver_of 0000:00:03.0)"
check "nsdk doctor" nsdk doctor --json="$WORK/doctor.json"
same "nsdk doctor: the verdict of a bound device" permitted \
	"$(jq -r '.devices[] | select(.bdf == "0000:00:03.0").verdict.state' "$WORK/doctor.json")"
same "nsdk doctor: a device of the kernel's is not asked" unknown \
	"$(jq -r '.devices[] | select(.bdf == "0000:00:04.0").verdict.state' "$WORK/doctor.json")"
same "nsdk doctor: iommufd and both kinds of VFIO" "true true true" \
	"$(jq -r '"\(.iommufd.available) \(.vfio.cdev) \(.vfio.group)"' "$WORK/doctor.json")"
check "nsdk unbind" nsdk unbind 0000:00:03.0
same "nsdk unbind: the driver" nvme "$(driver_of 0000:00:03.0)"
same "nsdk unbind: no override is left" "(null)" \
	"$(cat /sys/bus/pci/devices/0000:00:03.0/driver_override)"
check "nsdk unbind: the kernel's disk works" kernel_disk_works 0000:00:03.0

finish
