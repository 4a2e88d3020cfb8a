#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk doctor, list and identify: they answer on any machine, and what they answer is what is there.

. "$(dirname "$0")/tool.bash"

# --- doctor ---------------------------------------------------------------------------------------

run doctor
same 'doctor: status 0, whatever is missing' 0 "$status"
same 'doctor: nothing on the standard error' '' "$(cat "$work/err")"
for topic in kernel user iommu iommufd 'vfio cdev' 'vfio group' vfio-pci hugepages memlock cpu; do
	check "doctor: $topic" grep -Eq "^$topic +(ok|note|PROBLEM) +[^ ]" "$work/out"
done
same 'doctor: each problem says what mends it' "$(grep -c '^[^ ].* PROBLEM ' "$work/out")" \
	"$(grep -A1 '^[^ ].* PROBLEM ' "$work/out" | grep -Ec '^ +-> .')"

run doctor --json
check 'doctor --json: the keys' jq -e '
	(["kernel", "iommufd", "vfio", "hugepages", "memlock", "cpu", "devices"] - keys == [])
	and (.iommufd | (.available | type) == "boolean" and (.reason | length) > 0)
	and (.vfio | (.cdev | type) == "boolean" and (.group | type) == "boolean")
	and (.devices | type) == "array"' "$work/out"
same 'doctor --json: the kernel' "$(uname -r)" "$(jq -r .kernel "$work/out")"
same 'doctor --json: iommufd' "$([[ -w /dev/iommu ]] && echo true || echo false)" \
	"$(jq .iommufd.available "$work/out")"
same 'doctor --json: hugepages' \
	"$(cat /sys/devices/system/node/node*/hugepages/hugepages-*/nr_hugepages 2> /dev/null | paste -sd+ | sed 's/^$/0/' | bc)" \
	"$(jq '[.hugepages[].total] | add // 0' "$work/out")"
same 'doctor --json: the line size' "$(getconf LEVEL1_DCACHE_LINESIZE)" "$(jq .cpu.line_bytes "$work/out")"
cpu_flags=$(grep -m 1 ^flags /proc/cpuinfo)
expected=clflush
[[ $cpu_flags == *' clflushopt '* ]] && expected=clflushopt
[[ $cpu_flags == *' clwb '* ]] && expected=clwb
[[ $(uname -m) == x86_64 ]] &&
	same 'doctor --json: the instruction that writes back' $expected "$(jq -r .cpu.writeback "$work/out")"

run doctor emu:nvme,size=1m emu:nvme,size=1m,nosnoop=data --json
same 'doctor DEVICE: verdicts' 'enforced permitted' "$(jq -r '[.devices[].verdict.state] | join(" ")' "$work/out")"
check 'doctor DEVICE: reasons' jq -e 'all(.devices[].verdict; (.reason | length) > 10)' "$work/out"
run doctor ffff:ff:1f.7 --json
same 'doctor: a device that is not there is an answer, too' '0 unknown' \
	"$status $(jq -r '.devices[0].verdict.state' "$work/out")"
run doctor emu:nvme,size=0x1
same 'doctor: a device that cannot be made is an answer, too' '0' "$status"
check 'doctor: and a problem' grep -Eq '^emu:nvme,size=0x1 +PROBLEM' "$work/out"

# --- list -----------------------------------------------------------------------------------------

functions=(/sys/bus/pci/devices/*)
if [[ -e ${functions[0]} ]]; then
	run list --all --json
	same 'list --all: every PCI function' "${#functions[@]}" "$(jq '.devices | length' "$work/out")"
	run list --json
	nvme=$(cat /sys/bus/pci/devices/*/class | grep -c 0x010802)
	same 'list: the NVMe controllers' "$nvme" "$(jq '.devices | length' "$work/out")"
	run list
	same 'list: status 0' 0 "$status"
elif [[ -d /sys/bus/pci ]]; then
	run list --all --json
	same 'list --all: a bus without functions' '0 0' "$status $(jq '.devices | length' "$work/out")"
else
	skip 'list' 'there is no PCI here'
fi

# --- identify -------------------------------------------------------------------------------------

run identify emu:nvme,size=8m,namespaces=3,lba=4096,mdts=3 --json
check 'identify: the controller' jq -e '
	.mdts == 3 and (.mn | startswith("NSDK")) and (.sn == (.sn | rtrimstr(" "))) and .nn >= 3
	and .max_transfer_bytes == 32768 and .sqes == 102 and .cqes == 68' "$work/out"
check 'identify: the namespaces' jq -e '
	[.namespaces[].nsid] == [1, 2, 3]
	and all(.namespaces[]; .block_bytes == 4096 and .nsze == 2048 and .size_bytes == 8388608)' "$work/out"
run identify emu:nvme,size=8m,namespaces=3 --ns=2 --json
same 'identify --ns' '[2]' "$(jq -c '[.namespaces[].nsid]' "$work/out")"
run identify emu:nvme,size=8m
check 'identify: for people' grep -q 'namespace 1: 8 MiB in blocks of 512 bytes' "$work/out"
run identify emu:nvme,size=8m --json="$work/identify.json"
check 'identify --json=FILE' jq -e '.namespaces | length == 1' "$work/identify.json"

finish
