# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the scenarios share. It is read by bash inside of the guest; every check prints one line
# `ok - NAME`, `not ok - NAME: why` or `skip - NAME: reason`.

set -u

# The files of one check: what a command said
export WORK=/tmp/scenario
mkdir -p $WORK
failures=0

ok()
{
	printf 'ok - %s\n' "$1"
}

not_ok()
{
	printf 'not ok - %s: %s\n' "$1" "$2"
	failures=$((failures + 1))
}

skip()
{
	printf 'skip - %s: %s\n' "$1" "$2"
}

# The last line of every scenario: its status tells a failure, and that the end was reached
finish()
{
	[ "$failures" -eq 0 ]
	exit
}

# What a command wrote, in one line, for the reason of a failure
said()
{
	local text
	text=$(tail -n 3 "$WORK/err" 2>/dev/null | tr '\n' ' ')
	printf '%s' "${text:-nothing on standard error}"
}

# check NAME COMMAND…: the command succeeds
check()
{
	local name=$1 status
	shift
	"$@" >"$WORK/out" 2>"$WORK/err"
	status=$?
	if [ $status -eq 0 ]; then
		ok "$name"
	else
		not_ok "$name" "status $status, $(said)"
	fi
	return $status
}

# The same language; jq itself takes half a second to begin under emulation. Keys come sorted
jq() { gojq "$@"; }

# same NAME EXPECTED ACTUAL
same()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "'$3' instead of '$2'"
	fi
}

# refuses NAME STATUS PATTERN COMMAND…: the command ends with that status and one sentence that
# matches the extended regular expression, and in time
refuses()
{
	local name=$1 want=$2 pattern=$3 status
	shift 3
	timeout 60 "$@" >"$WORK/out" 2>"$WORK/err"
	status=$?
	if [ $status -ne "$want" ]; then
		not_ok "$name" "status $status instead of $want, $(said)"
	elif ! grep -Eqi -- "$pattern" "$WORK/err"; then
		not_ok "$name" "no sentence with '$pattern': $(said)"
	elif [ "$want" -eq 1 ] && [ "$(wc -l <"$WORK/err")" -ne 1 ]; then
		not_ok "$name" "$(wc -l <"$WORK/err") lines instead of one sentence: $(said)"
	else
		ok "$name"
	fi
}

# Waits until a command succeeds: until SECONDS COMMAND…
until_true()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

need_nsdk()
{
	if ! command -v nsdk >/dev/null; then
		not_ok nsdk "it is not built in $NSDK_BUILD"
		finish
	fi
}

# The driver of the PCI device, or nothing
driver_of()
{
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") && printf '%s' "${link##*/}"
}

# The kernel's disk on the PCI device: nvme0n1
disk_of()
{
	local disk
	for disk in "/sys/bus/pci/devices/$1"/nvme/nvme*/nvme*n*; do
		[ -e "$disk" ] || continue
		printf '%s' "${disk##*/}"
		return
	done
	return 1
}

has_disk()
{
	local disk
	disk=$(disk_of "$1") && [ -b "/dev/$disk" ]
}

kernel_disk_works()
{
	local disk
	until_true 10 has_disk "$1" || return 1
	disk=$(disk_of "$1")
	dd if="/dev/$disk" of=/dev/null bs=64k count=16 iflag=direct status=none
}

# By hand, as an administrator would without nsdk
bind_by_hand()
{
	local device=/sys/bus/pci/devices/$1
	printf '%s\n' "$2" >"$device/driver_override" || return
	if [ -e "$device/driver" ]; then
		printf '%s\n' "$1" >"$device/driver/unbind" || return
	fi
	printf '%s\n' "$1" >/sys/bus/pci/drivers_probe || return
	[ "$(driver_of "$1")" = "$2" ]
}

# What the lab itself promises, without nsdk: lab_checks KIND DISKS. KIND none has no IOMMU.
lab_checks()
{
	local kind=$1 disks=$2 i address
	for ((i = 0; i < disks; i++)); do
		address=0000:00:0$((3 + i)).0
		same "lab, $kind: an NVMe controller of the kernel's driver at $address" nvme \
			"$(driver_of "$address")"
		same "lab, $kind: nvme id-ctrl of $address" "nsdk-nvme$i" \
			"$(nvme id-ctrl -o json "/dev/$(disk_of "$address")" |
				jq -r '.sn | sub(" *$"; "")')"
	done
	address=0000:00:03.0
	if [ "$kind" = none ]; then
		if [ -e /sys/bus/pci/devices/$address/iommu_group ]; then
			not_ok "lab, $kind: no IOMMU group" "there is one"
		else
			ok "lab, $kind: no IOMMU group"
		fi
		if bind_by_hand $address vfio-pci; then
			not_ok "lab, $kind: vfio-pci does not take $address" "it did"
		else
			ok "lab, $kind: vfio-pci does not take $address"
		fi
	else
		check "lab, $kind: $address goes to vfio-pci" bind_by_hand $address vfio-pci
		check "lab, $kind: its VFIO character device" \
			test -c /dev/vfio/devices/vfio0
		check "lab, $kind: its VFIO group" test -c \
			"/dev/vfio/$(basename "$(readlink /sys/bus/pci/devices/$address/iommu_group)")"
		check "lab, $kind: iommufd" test -c /dev/iommu
	fi
	check "lab, $kind: $address goes back" bind_by_hand $address nvme
	printf '\n' >/sys/bus/pci/devices/$address/driver_override
	check "lab, $kind: the disk of $address works after that" kernel_disk_works $address
}

# ---- With nsdk ----

# tested WHAT COMMAND…: a test program, whose own lines are the checks, their names begun with WHAT
tested()
{
	local what=$1 line
	shift
	"$@" >"$WORK/out" 2>"$WORK/err"
	while read -r line; do
		case $line in
		"ok - "*) ok "$what${line#ok - }" ;;
		"not ok - "*) not_ok "$what${line#not ok - }" "$(said)" ;;
		"skip - "*) skip "$what${line#skip - }" "QEMU's controller" ;;
		esac
	done <"$WORK/out"
}

# perf NAME CONDITION ARGUMENT…: `nsdk perf` succeeds without errors and its result fulfils the jq
# condition; the result stays in $WORK/perf.json
perf()
{
	local name=$1 condition=$2 status
	shift 2
	timeout 120 nsdk perf "$@" --json="$WORK/perf.json" >"$WORK/out" 2>"$WORK/err"
	status=$?
	if [ $status -ne 0 ]; then
		not_ok "$name" "nsdk perf $*: status $status, $(said)"
	elif ! jq -e "$results | all(.[]; .errors == 0 and .verify_errors == 0 and .ios > 0 and ($condition))" \
		"$WORK/perf.json" >/dev/null 2>"$WORK/err"; then
		not_ok "$name" "nsdk perf $*: not ($condition) in $(jq -c . "$WORK/perf.json") $(said)"
	else
		ok "$name"
	fi
}

# load_begin NAME ARGUMENT…: `nsdk perf` in the background, its process in $load, its result in
# $WORK/NAME.json, what it says in $WORK/NAME.err; comes back when it does the I/O of its load. A
# guest may be slow: no time that one could sleep tells it.
load_begin()
{
	local name=$1
	shift
	: >"$WORK/$name.err" # not to be mistaken for what this one says
	nsdk perf "$@" --eta=always --json >"$WORK/$name.json" 2>"$WORK/$name.err" &
	load=$!
	if ! until_true 60 does_io_or_ended $load "$WORK/$name.err" || ! kill -0 $load 2>/dev/null; then
		not_ok "$name: I/O is done" "nsdk perf $*: $(tail -n 3 "$WORK/$name.err" | tr '\n' ' ')"
		return 1
	fi
}

does_io_or_ended()
{
	grep -Eq '^[a-z]+: .*, ([1-9][0-9]*|[0-9.]+[kMGT]) IOPS, ' "$2" || ! kill -0 "$1" 2>/dev/null
}

# load_result CHECK NAME CONDITION: the result of a load that has ended
load_result()
{
	local why
	if why=$(jq -e "$3" "$WORK/$2.json" 2>&1) && [ "$why" = true ]; then
		ok "$1"
	else
		not_ok "$1" "not ($3): $why; it said: $(tail -n 5 "$WORK/$2.err" | tr '\n' ' ')"
	fi
}

# probe NAME CONDITION DEVICE: `nsdk doctor --probe` answers, the jq condition is true of it, and the
# kernel finds the disk's first blocks as they were
probe()
{
	local name=$1 condition=$2 device=$3 before status
	head -c 64k /dev/urandom >"/dev/$(disk_of "$device")"
	before=$(first_blocks "$device")
	timeout 120 nsdk doctor --probe "$device" --yes-overwrite-lba=3 --json >"$WORK/probe.json" \
		2>"$WORK/err"
	status=$?
	if [ $status -ne 0 ]; then
		not_ok "$name" "status $status, $(said)"
	elif ! jq -e "$condition" "$WORK/probe.json" >/dev/null 2>"$WORK/err"; then
		not_ok "$name" "not ($condition) in $(jq -c . "$WORK/probe.json") $(said)"
	elif ! until_true 10 has_disk "$device" || [ "$(first_blocks "$device")" != "$before" ]; then
		not_ok "$name" "the disk is not as before, or not the kernel's"
	else
		ok "$name"
	fi
}

first_blocks()
{
	dd if="/dev/$(disk_of "$1")" bs=64k count=1 iflag=direct status=none | md5sum
}

# In jq's words: an array of results; nsdk perf makes one for several devices only
results='(if type == "array" then . else [.] end)'

# As nvme-cli says it; both sides go through the same program, so numbers and strings compare
kernel_id_ctrl()
{
	nvme id-ctrl -o json "/dev/$(disk_of "$1")"
}

kernel_id_ns()
{
	nvme id-ns -o json "/dev/$(disk_of "$1")"
}

# The test program that moves blocks between a disk and a file through libnsdk
nvme_rw()
{
	"$NSDK_BUILD/test/functional/nvme_rw" "$@"
}
