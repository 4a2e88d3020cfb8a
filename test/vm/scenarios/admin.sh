# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk nvme beside nvme-cli and the kernel's driver: the same JSON and text of the same device; namespaces
# that are attached and detached, formats, features, errors; each seen by the other side. And beside it a
# controller that places data by handles.
#
# One processor, and few changes of drivers: QEMU's emulation of several sometimes breaks off when memory is
# mapped anew.
#
# vm: --iommu=intel --smp=1 --device=nvme-subsys,id=sub0 --nvme=size=0,serial=ADM1,subsys=sub0
# vm: --drive=id=d1,size=64M --device=nvme-ns,drive=d1,nsid=1,bus=nvme0
# vm: --drive=id=d2,size=32M --device=nvme-ns,drive=d2,nsid=2,bus=nvme0
# vm: --drive=id=d3,size=32M --device=nvme-ns,drive=d3,nsid=3,bus=nvme0,detached=on
# vm: --device=nvme-subsys,id=placed,fdp=on,fdp.runs=1M,fdp.nrg=2,fdp.nruh=4
# vm: --device=nvme,id=placer,serial=nsdk-placer,subsys=placed
# vm: --drive=id=d4,size=16M --device=nvme-ns,drive=d4,nsid=1,bus=placer,fdp.ruhs=1;3
# timeout: 240

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:00:03.0

# The controller's character device, once the kernel has it.
ctrlr_of()
{
	local at
	for at in "/sys/bus/pci/devices/$device"/nvme/nvme*; do
		[ -e "$at" ] && printf '/dev/%s' "${at##*/}" && return
	done
	return 1
}

has_ctrlr()
{
	local at
	at=$(ctrlr_of) && [ -c "$at" ] && nvme list-ns "$at" >/dev/null 2>&1
}

# cli SUBCOMMAND ARGUMENT…: nvme-cli on the controller through the kernel's driver
cli()
{
	local sub=$1
	shift
	until_true 20 has_ctrlr
	nvme "$sub" "$(ctrlr_of)" "$@"
}

# While it is bound to vfio-pci, as it stays then
ours()
{
	local sub=$1
	shift
	timeout 60 nsdk nvme "$sub" $device "$@"
}

# same_json NAME LEAST EXCEPT FILE FILE: every key that both have is equal, and they have that many in
# common
same_json()
{
	# shellcheck disable=SC2016
	same "$1" "" "$(jq -r -s --argjson least "$2" --argjson except "$3" '
		.[0] as $kernel | .[1] as $ours
		| [$kernel | keys[] | select(. as $key | ($ours | has($key)) and ($except | index([$key]) | not))]
			as $common
		| if ($common | length) < $least then "only \($common | length) keys in common"
		  else [$common[] | select($kernel[.] != $ours[.])
			| "\(.): nvme-cli \($kernel[.]), nsdk \($ours[.])"] | join("; ") end' "$4" "$5" 2>&1)"
}

# same_text NAME: all but the heading, which names the device
same_text()
{
	same "nsdk nvme $1: nvme-cli's text" "" \
		"$(diff -b <(sed 1d "$WORK/cli.$1.txt" | tr '\t' ' ') <(sed 1d "$WORK/ours.$1.txt" |
			tr '\t' ' ') | head -n 6 | tr '\n' '|')"
}

# answer FILE: its text, or the words and the number of the status that it was refused with
answer()
{
	sed 's/.*NVMe status: \([^:]*\):.*\((0x[0-9a-f]*)\)$/\1 \2/
		s/^nsdk: .* failed: [^:]*: \(.*\) \((0x[0-9a-f]*)\)$/\1 \2/' "$1"
}

# look WHO: what nvme-cli (cli) or nsdk nvme (ours) says of everything, into files
look()
{
	local who=$1 sub feature
	for sub in id-ctrl 'id-ns -n 1' 'ns-descs -n 1' list-ns smart-log 'effects-log -c 0' fw-log error-log \
		list-ctrl nvm-id-ctrl 'nvm-id-ns -n 1' id-iocs primary-ctrl-caps list-secondary; do
		# The words are words.
		# shellcheck disable=SC2086
		$who $sub -o json >"$WORK/$who.${sub%% *}.json" 2>/dev/null
		# shellcheck disable=SC2086
		$who $sub >"$WORK/$who.${sub%% *}.txt" 2>/dev/null
	done
	for sub in id-ns-lba-format nvm-id-ns-lba-format id-ns-granularity id-uuid; do
		$who $sub >"$WORK/$who.$sub.txt" 2>&1
		echo "exit status $?" >>"$WORK/$who.$sub.txt"
	done
	$who get-log -i 3 -l 512 >"$WORK/$who.get-log.txt"
	$who admin-passthru --opcode=6 --data-len=4096 --cdw10=1 -r >"$WORK/$who.admin-passthru.txt" \
		2>"$WORK/$who.result"
	for feature in 0x01 0x02 0x04 0x06 0x08 0x0b; do
		$who get-feature -f $feature -s 1 -H
	done >"$WORK/$who.features" 2>&1
	$who get-feature -f 6 -s 3 >"$WORK/$who.capabilities"
	$who list-ns --all >"$WORK/$who.all"
}

look cli
check "nsdk bind" nsdk bind $device
look ours

same_json "nsdk nvme id-ctrl: nvme-cli's JSON" 85 '[]' "$WORK/cli.id-ctrl.json" "$WORK/ours.id-ctrl.json"
same_text id-ctrl
same_json "nsdk nvme id-ns: nvme-cli's JSON" 37 '[]' "$WORK/cli.id-ns.json" "$WORK/ours.id-ns.json"
same_text id-ns
same_json "nsdk nvme ns-descs: nvme-cli's JSON" 1 '[]' "$WORK/cli.ns-descs.json" "$WORK/ours.ns-descs.json"
same_text ns-descs
same_json "nsdk nvme list-ns: nvme-cli's JSON" 1 '[]' "$WORK/cli.list-ns.json" "$WORK/ours.list-ns.json"
same "nsdk nvme list-ns --all: nvme-cli's text" "$(cat "$WORK/cli.all")" "$(cat "$WORK/ours.all")"
for sub in list-ctrl nvm-id-ctrl nvm-id-ns primary-ctrl-caps list-secondary; do
	same_json "nsdk nvme $sub: nvme-cli's JSON" 2 '[]' "$WORK/cli.$sub.json" "$WORK/ours.$sub.json"
done
for sub in nvm-id-ctrl nvm-id-ns id-iocs primary-ctrl-caps; do
	same_text $sub
done
same "nsdk nvme list-ctrl, list-secondary: nvme-cli's text" "$(cat "$WORK"/cli.list-{ctrl,secondary}.txt)" \
	"$(cat "$WORK"/ours.list-{ctrl,secondary}.txt)"
for sub in id-ns-lba-format nvm-id-ns-lba-format id-ns-granularity id-uuid; do
	same "nsdk nvme $sub: what nvme-cli says" "$(answer "$WORK/cli.$sub.txt")" "$(answer "$WORK/ours.$sub.txt")"
done
# The kernel may have looked for partitions in between.
same_json "nsdk nvme smart-log: nvme-cli's JSON" 20 '["data_units_read", "host_read_commands"]' \
	"$WORK/cli.smart-log.json" "$WORK/ours.smart-log.json"
check "nsdk nvme smart-log: the reads go on counting" jq -e -s \
	'(.[1].host_read_commands | tonumber) >= (.[0].host_read_commands | tonumber)' \
	"$WORK/cli.smart-log.json" "$WORK/ours.smart-log.json"
same "nsdk nvme smart-log: nvme-cli's text" "" \
	"$(diff <(grep -v -i read "$WORK/cli.smart-log.txt" | sed 1d) \
		<(grep -v -i read "$WORK/ours.smart-log.txt" | sed 1d) | head -n 6 | tr '\n' '|')"
effects='[.[] | .admin_cmd_set, .io_cmd_set | to_entries[] | [(.key | sub(" .*"; "")), .value]]'
same "nsdk nvme effects-log: nvme-cli's opcodes and effects" "$(jq -c "$effects" "$WORK/cli.effects-log.json")" \
	"$(jq -c "$effects" "$WORK/ours.effects-log.json")"
same "nsdk nvme fw-log: nvme-cli's keys and values" "$(jq -c '.[]' "$WORK/cli.fw-log.json")" \
	"$(jq -c '.[]' "$WORK/ours.fw-log.json")"
same_text fw-log
same_json "nsdk nvme error-log: nvme-cli's JSON" 1 '[]' "$WORK/cli.error-log.json" "$WORK/ours.error-log.json"
same_text get-log
same_text admin-passthru
same "nsdk nvme admin-passthru: the result's line" "$(cat "$WORK/cli.result")" "$(cat "$WORK/ours.result")"
same "nsdk nvme get-feature: nvme-cli's lines of defaults" "$(cat "$WORK/cli.features")" "$(cat "$WORK/ours.features")"
same "nsdk nvme get-feature: the capabilities" "$(cat "$WORK/cli.capabilities")" "$(cat "$WORK/ours.capabilities")"

check "nsdk nvme set-feature" ours set-feature -f 4 -v 0x150
refuses "nsdk nvme get-feature: what there is not" 1 'Invalid Field in Command' nsdk nvme get-feature $device -f 0x99
refuses "nsdk nvme: a command that QEMU has not" 1 'Invalid Command Opcode' nsdk nvme create-ns $device -s 10 -c 10
refuses "nsdk nvme set-feature: what would break the driver" 1 'would break the driver' \
	nsdk nvme set-feature $device -f 7 -v 0

# ---- Namespaces ----

refuses "nsdk nvme delete-ns wants --yes" 2 'say --yes' nsdk nvme delete-ns $device -n 2
# QEMU attaches again whatever is not "detached" when the controller is enabled, so that a change is seen
# within one run only: by the driver, which logs the event, and by what the same command then answers.
same "nsdk nvme detach-ns" "detach-ns: Success, nsid:2" "$(ours detach-ns -n 2 2>"$WORK/heard")"
check "nsdk nvme detach-ns: the driver hears of it" grep -q 'namespace attributes changed' "$WORK/heard"
check "nsdk nvme attach-ns" ours attach-ns -n 3
refuses "nsdk nvme attach-ns: what is attached" 1 'Namespace Already Attached' nsdk nvme attach-ns $device -n 2
refuses "nsdk nvme attach-ns: to whom there is not" 1 'Controller List Invalid|Invalid' \
	nsdk nvme attach-ns $device -n 3 -c 7
same "nsdk nvme id-ns --force: of one that may not be attached" 8 \
	"$(ours id-ns -n 3 --force -o json | jq '.lbafs | length')"

# ---- Format, seen by both sides ----

refuses "nsdk nvme format wants --yes" 2 'say --yes' nsdk nvme format $device -n 2 -l 4
check "nsdk nvme format: blocks of 4096 bytes" ours format -n 2 -l 4 --yes
refuses "nsdk nvme format: a format that there is not" 1 'no format with blocks of 1024 bytes' \
	nsdk nvme format $device -n 2 --block-size=1024 --yes
check "nsdk unbind" nsdk unbind $device
same "nsdk nvme format: the kernel sees them" 4 "$(cli id-ns -n 2 -o json | jq .flbas)"
check "the kernel's disk works after all that" kernel_disk_works $device

# ---- I/O, seen by both sides ----

check "nsdk bind, again" nsdk bind $device
check "nsdk nvme format --block-size" ours format -n 2 --block-size=512 --yes
check "nsdk nvme flush" ours flush
head -c 4096 /dev/urandom >"$WORK/data"
check "nsdk nvme io-passthru: a write" ours io-passthru -o 1 -n 2 -l 4096 -w -i "$WORK/data" --cdw10=8 --cdw12=7 --yes
ours io-passthru -o 2 -n 2 -l 4096 -r --cdw10=8 --cdw12=7 -b >"$WORK/back"
check "nsdk nvme io-passthru: what it wrote it reads" cmp "$WORK/data" "$WORK/back"
check "nsdk nvme write" ours write -n 2 --start-block=32 --block-count=7 --data="$WORK/data" --yes
check "nsdk nvme compare" ours compare -n 2 -s 32 -c 7 -d "$WORK/data"
check "nsdk nvme copy" ours copy -n 2 --slbs=36,32 --blocks=3,3 -d 64 --yes
check "nsdk nvme write-zeroes" ours write-zeroes -n 2 -s 33 --yes
check "nsdk nvme dsm" ours dsm -n 2 -s 128 -b 8 --ad --yes
refuses "nsdk nvme compare: a difference" 1 'Compare Failure' \
	nsdk nvme compare $device -n 2 -s 32 -c 7 -d "$WORK/data"
refuses "nsdk nvme verify: what QEMU has not" 1 'does not offer Verify' nsdk nvme verify $device -n 2 -s 32 -c 7
refuses "nsdk nvme resv-report: what QEMU has not" 1 'does not offer Reservation Report' \
	nsdk nvme resv-report $device -n 2
refuses "nsdk nvme io-passthru: beyond the end" 1 'LBA Out of Range' \
	nsdk nvme io-passthru $device -o 2 -n 2 -l 512 -r --cdw10=0xfffffff0
check "nsdk nvme reset" ours reset
check "nsdk unbind, again" nsdk unbind $device

# The kernel's disk of that namespace
disk_of_ns()
{
	local at
	for at in "/sys/bus/pci/devices/$device"/nvme/nvme*/nvme*n*; do
		[ "$(cat "$at/nsid" 2>/dev/null)" = "$1" ] && [ -b "/dev/${at##*/}" ] &&
			printf '/dev/%s' "${at##*/}" && return
	done
	return 1
}

until_true 20 disk_of_ns 2 >/dev/null
dd if="$(disk_of_ns 2)" of="$WORK/kernel" bs=512 skip=8 count=8 iflag=direct status=none
check "nsdk nvme io-passthru: the kernel reads it, too" cmp "$WORK/data" "$WORK/kernel"
cli_disk=$(disk_of_ns 2)
{ head -c 512 "$WORK/data"; head -c 512 /dev/zero; tail -c +1025 "$WORK/data"; } >"$WORK/zeroed"
{ tail -c 2048 "$WORK/data"; head -c 2048 "$WORK/data"; } >"$WORK/copied"
check "nsdk nvme write, write-zeroes: nvme-cli compares, too" \
	nvme compare "$cli_disk" -s 32 -c 7 -z 4096 -d "$WORK/zeroed"
check "nsdk nvme copy: nvme-cli compares, too" nvme compare "$cli_disk" -s 64 -c 7 -z 4096 -d "$WORK/copied"
same "nsdk nvme format --block-size: the kernel sees them" 0 "$(cli id-ns -n 2 -o json | jq .flbas)"

# From a kernel driver's hands, and back into them
same "nsdk nvme: of a device that the kernel has" "$(cat "$WORK/ours.all")" "$(ours list-ns --all)"
same "nsdk nvme gives the device back" nvme "$(driver_of $device)"

# ---- Flexible data placement: of four placement identifiers, two handles in each of two groups ----

device=0000:00:08.0

# placement WHO OPTION WHAT…: into $WORK/WHO.WHAT
placement()
{
	local who=$1 format=$2 what option
	shift 2
	for what; do
		case $what in
		status) option= ;;
		events) option="-e 1 -E" ;;
		*) option="-e 1" ;;
		esac
		# shellcheck disable=SC2086
		"$who" "$what" $option -o "$format" >"$WORK/$who.$what"
	done
}

cli_fdp()
{
	local what=$1
	shift
	if [ "$what" = status ]; then
		nvme fdp status "$(disk_of_ns 1)" "$@"
	else
		nvme fdp "$what" "$(ctrlr_of)" "$@"
	fi
}

ours_fdp()
{
	local what=$1
	shift
	timeout 60 nsdk nvme fdp "$what" $device "$@"
}

# same_placement NAME FORMAT WHAT…: nvme-cli 2.3 leaves the handles out of its JSON
same_placement()
{
	local name=$1 format=$2 what filter=cat
	shift 2
	[ "$format" = json ] && filter='gojq del(.configs[]?.ruhs)'
	for what; do
		# shellcheck disable=SC2086
		same "$name: nvme fdp $what, $format" "" "$(diff <($filter <"$WORK/cli_fdp.$what") \
			<($filter <"$WORK/ours_fdp.$what") | head -n 6 | tr '\n' '|')"
	done
}

# Room in the units of identifiers 0 and 1, of either group
rooms()
{
	jq -r '[.ruhss[] | select(.pid < 2) | .ruamw] + [.ruhss[] | select(.pid >= 2) | .ruamw] | join(" ")' "$1"
}

has_placed_disk()
{
	disk_of_ns 1 >/dev/null
}

check "the kernel has the controller that places data" until_true 20 has_placed_disk
head -c 8192 /dev/urandom >"$WORK/data"
nvme write "$(disk_of_ns 1)" -s 0 -c 15 -z 8192 -d "$WORK/data" -T 2 -S 0 >/dev/null 2>&1
nvme fdp set-events "$(disk_of_ns 1)" -p 0 -e -t 0,3 >/dev/null
nvme fdp update "$(disk_of_ns 1)" -p 0 >/dev/null
nvme write "$(disk_of_ns 1)" -s 0 -c 15 -z 8192 -d "$WORK/data" -T 2 -S 16385 >/dev/null 2>&1
placement cli_fdp normal configs usage events
placement cli_fdp json stats status
check "nsdk bind, where data is placed" nsdk bind $device
placement ours_fdp normal configs usage events
same_placement "what nvme-cli has left" normal configs usage events
same "what nvme-cli has left: an event" "0x0 (Reclaim Unit Not Fully Written)" \
	"$(sed -n 's/^  Event Type: //p' "$WORK/ours_fdp.events")"
placement ours_fdp json stats status
same_placement "what nvme-cli has left" json stats status
NSDK_FDP_DEVICE=pci:$device tested "" "$NSDK_BUILD/test/functional/nvme_fdp_test"
same "all of it ran" 4 "$(grep -c '^ok - nvme placement' "$WORK/out")"
same "nsdk nvme fdp update" "update: Success" "$(ours_fdp update -p 0,1)"
same "nsdk nvme fdp set-events" "set-events: Success" "$(ours_fdp set-events -p 1 -e -t 0)"
same "nsdk nvme fdp feature" "Yes" "$(ours_fdp feature | sed -n 's/.*(FDPE) *: //p')"
ours_fdp status -o json >"$WORK/before.json"
before=$(rooms "$WORK/before.json")
bytes=$(ours_fdp stats -o json | jq -r .hbmw)
check "nsdk nvme io-passthru: by one handle" \
	ours io-passthru -o 1 -n 1 -l 8192 -w -i "$WORK/data" --cdw12=0x20000f --cdw13=0x10000 --yes
check "nsdk nvme io-passthru: by the other" \
	ours io-passthru -o 1 -n 1 -l 8192 -w -i "$WORK/data" --cdw12=0x200007 --cdw13=0 --yes
placement ours_fdp json stats status configs usage events
read -r -a was <<<"$before"
same "each is counted where it was written" "$((was[0] - 8)) $((was[1] - 16)) ${was[*]:2}" \
	"$(rooms "$WORK/ours_fdp.status")"
same "and all of it together" $((bytes + 12288)) "$(jq -r .hbmw "$WORK/ours_fdp.stats")"
read -r -a was <<<"$(rooms "$WORK/ours_fdp.status")"
same "nsdk perf --fdp=1: by two handles in turn" '["done",0,[1,16385]]' \
	"$(timeout 60 nsdk perf $device --rw=write --bs=4k --number_ios=6 --fdp=1 --plids=1,3 --json |
		jq -c '[.status, .errors, .placement.pids]')"
placement ours_fdp json stats status configs usage events
same "half of it by each" "${was[0]} $((was[1] - 24)) ${was[2]} $((was[3] - 24))" \
	"$(rooms "$WORK/ours_fdp.status")"
refuses "nsdk nvme fdp update: one that is not there" 1 'has no placement identifier 7' \
	nsdk nvme fdp update $device -p 7
nsdk unbind $device >/dev/null
check "the kernel has it again" until_true 20 has_placed_disk
placement cli_fdp json stats status configs usage events
same_placement "what we have left" json stats status configs usage events

finish
