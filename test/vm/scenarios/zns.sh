# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A zoned namespace of QEMU's: everything that the driver does with one, nsdk nvme zns beside nvme-cli and
# the kernel's driver, each seen by the other, and loads that are verified.
#
# One processor, as for admin.sh.
#
# vm: --iommu=intel --smp=1 --nvme=size=0,zoned.zasl=5
# vm: --drive=id=zones,size=32M --device=nvme-ns,bus=nvme0,drive=zones,nsid=1,zoned=on,zoned.zone_size=1M,zoned.zone_capacity=768K,zoned.max_open=3,zoned.max_active=5,zoned.descr_ext_size=64
# vm: --device=nvme,id=mixed,serial=nsdk-mixed
# vm: --drive=id=plain,size=16M --device=nvme-ns,bus=mixed,drive=plain,nsid=1
# vm: --drive=id=more,size=24M --device=nvme-ns,bus=mixed,drive=more,nsid=2,zoned=on,zoned.zone_size=2M,zoned.cross_read=on
# timeout: 240

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:00:03.0
mixed=0000:00:08.0

# The kernel here has no zoned block devices; the namespace's character device takes commands all the same.
generic=/dev/ng0n1

kernel_has_it()
{
	[ -c $generic ] && nvme zns id-ns $generic >/dev/null 2>&1
}

# ours SUBCOMMAND ARGUMENT…: while it is bound to vfio-pci
ours()
{
	local sub=$1
	shift
	timeout 60 nsdk nvme zns "$sub" $device "$@"
}

# same_text NAME FILE FILE: but for the blanks
same_text()
{
	same "$1" "" "$(diff -b <(tr '\t' ' ' <"$2") <(tr '\t' ' ' <"$3") | head -n 6 | tr '\n' '|')"
}

# same_json NAME: of what both say, but for the attributes, of which nvme-cli 2.3 says 0 always
same_json()
{
	same "$1: nvme-cli's JSON" "" "$(diff <(jq 'del(.zone_list[]?.attrs)' "$WORK/cli.json") \
		<(jq 'del(.zone_list[]?.attrs)' "$WORK/ours.json") | head -n 6 | tr '\n' '|')"
}

# ---- The driver, on this controller ----

check "nsdk bind" nsdk bind $device
NSDK_ZNS_DEVICE=pci:$device tested "" "$NSDK_BUILD/test/functional/nvme_zns_test"
same "all of it ran" 12 "$(grep -c '^ok - nvme zones' "$WORK/out")"

for policy in coherent nosnoop; do
	perf "zones are written and verified, $policy" '.ios == 6144 and .verify.read_back' \
		$device --rw=write --zonemode=zbd --verify --policy=$policy --iodepth=8
	perf "zones are read in any order and verified, $policy" '.ios == 500' \
		$device --rw=randread --zonemode=zbd --verify --policy=$policy --number_ios=500 --bs=16k --iodepth=4
done
perf "zones of two jobs, again and again" '.ios > 0 and .verify.read_back' \
	$device --rw=write --zonemode=zbd --verify --bs=80k --numjobs=2 --iodepth=2 --size=8m --runtime=1s --time_based
refuses "a zoned namespace is not written as any other" 1 'say --zonemode=zbd' \
	nsdk perf $device --rw=randwrite --number_ios=10

# ---- nsdk nvme zns, and what it leaves is what nvme-cli sees ----

head -c 8192 /dev/urandom >"$WORK/data"
head -c 64 "$WORK/data" >"$WORK/ext"
check "nsdk nvme zns reset-zone, all" ours reset-zone -a --yes
same "nsdk nvme zns open-zone" "zns-open-zone: Success zone slba:800 nsid:1" "$(ours open-zone -s 0x800)"
same "nsdk nvme zns zone-append" "Success appended data to LBA 1000" "$(ours zone-append -s 0x1000 -d "$WORK/data")"
same "nsdk nvme zns zone-append, behind it" "Success appended data to LBA 1010" \
	"$(ours zone-append -s 0x1000 -z 4096 -d "$WORK/data")"
same "nsdk nvme zns finish-zone" "zns-finish-zone: Success, action:2 zone:1800 all:0 zcapc:0 nsid:1" \
	"$(ours finish-zone -s 0x1800)"
same "nsdk nvme zns set-zone-desc" "set-zone-desc: Success, zone:2000 nsid:1" \
	"$(ours set-zone-desc -s 0x2000 -d "$WORK/ext")"
refuses "nsdk nvme zns offline-zone" 1 'Invalid Zone State Transition' \
	nsdk nvme zns offline-zone $device -s 0x1000 --yes
refuses "nsdk nvme zns zone-append: a full one" 1 'Zone Is Full' \
	nsdk nvme zns zone-append $device -s 0x1800 -d "$WORK/data"
ours id-ctrl -o json >"$WORK/ours.id-ctrl"
ours id-ns >"$WORK/ours.id-ns.txt"
ours id-ns -o json >"$WORK/ours.id-ns"
ours report-zones >"$WORK/ours.report.txt"
ours report-zones -e >"$WORK/ours.extended.txt"
ours report-zones -o json >"$WORK/ours.report"
ours report-zones -e -o json -d 6 >"$WORK/ours.extended"
ours report-zones -o json -S 1 -s 0x2000 -d 3 >"$WORK/ours.some"

nsdk unbind $device >/dev/null
check "the kernel has it again" until_true 30 kernel_has_it
nvme zns id-ctrl /dev/nvme0 -o json >"$WORK/cli.id-ctrl"
nvme zns id-ns $generic >"$WORK/cli.id-ns.txt"
nvme zns id-ns $generic -o json >"$WORK/cli.id-ns"
nvme zns report-zones $generic >"$WORK/cli.report.txt"
nvme zns report-zones $generic -e >"$WORK/cli.extended.txt"
nvme zns report-zones $generic -o json >"$WORK/cli.report"
nvme zns report-zones $generic -e -o json -d 6 >"$WORK/cli.extended"
nvme zns report-zones $generic -o json -S 1 -s 0x2000 -d 3 >"$WORK/cli.some"
for what in id-ctrl id-ns report extended some; do
	cp "$WORK/cli.$what" "$WORK/cli.json"
	cp "$WORK/ours.$what" "$WORK/ours.json"
	same_json "nsdk nvme zns, $what"
done
for what in id-ns report extended; do
	same_text "nsdk nvme zns, $what: nvme-cli's text" "$WORK/cli.$what.txt" "$WORK/ours.$what.txt"
done
same "what was left in the zones" "EMPTY EMPTY CLOSED FULL CLOSED" \
	"$(jq -r '[.zone_list[:5][].state] | join(" ")' "$WORK/cli.report")"
same "what was appended is there" "$(sha256sum <"$WORK/data")" \
	"$(nvme read $generic -s 0x1000 -c 15 -z 8192 2>/dev/null | sha256sum)"

# ---- What nvme-cli leaves is what we see ----

nvme zns reset-zone $generic -s 0x1800 >/dev/null
nvme zns zone-append $generic -s 0x2800 -z 8192 -d "$WORK/data" >/dev/null
check "nsdk bind, again" nsdk bind $device
same "what nvme-cli has reset and appended" "EMPTY CLOSED 10256" "$(ours report-zones -o json |
	jq -r '[.zone_list[3].state, .zone_list[5].state, .zone_list[5].wp] | join(" ")')"
nsdk unbind $device >/dev/null

# ---- One zoned namespace beside one that is not ----

check "nsdk bind, both kinds" nsdk bind $mixed
perf "the namespace that is not zoned" '.ios == 300' $mixed --ns=1 --rw=randrw --verify --number_ios=300 --iodepth=8
perf "the one beside it that is" '.ios == 300 and .verify.read_back' \
	$mixed --ns=2 --rw=write --zonemode=zbd --verify --number_ios=300 --iodepth=8
refuses "zones of the one that has none" 1 'namespace 1 is not zoned' nsdk nvme zns report-zones $mixed -n 1
same "zones of the one that has" 12 "$(nsdk nvme zns report-zones $mixed -n 2 -o json | jq .nr_zones)"
nsdk unbind $mixed >/dev/null

finish
