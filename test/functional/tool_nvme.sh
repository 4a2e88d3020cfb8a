#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk nvme on emulated controllers: every subcommand succeeds and fails, what is dangerous asks first,
# and what it answers is what is there.

. "$(dirname "$0")/tool.bash"

d=emu:nvme,size=8m,namespaces=3

# json NAME FILTER WORD... : a subcommand with --output-format=json, for which the jq filter is true
json()
{
	local name=$1 filter=$2
	shift 2
	run nvme "$@" -o json
	if [[ $status == 0 ]] && jq -e "$filter" "$work/out" > "$work/check" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "not true: $filter of $(said)"
	fi
}

# says NAME PATTERN WORD... : a subcommand succeeds, and its text matches
says()
{
	local name=$1 pattern=$2
	shift 2
	run nvme "$@"
	if [[ $status == 0 ]] && grep -Eq -- "$pattern" "$work/out"; then
		ok "$name"
	else
		not_ok "$name" "expected /$pattern/, got $(said)"
	fi
}

# bytes NAME COUNT WORD... : a subcommand succeeds and shows so many bytes
bytes()
{
	local name=$1 count=$2
	shift 2
	run nvme "$@"
	same "$name" "0 $count" "$status $(wc -c < "$work/out")"
}

# --- every subcommand has help, and wants a device --------------------------------------------------

subs='id-ctrl id-ns list-ns smart-log error-log fw-log effects-log self-test-log sanitize-log get-log
	telemetry-log ana-log get-lba-status ns-descs
	get-feature set-feature create-ns delete-ns attach-ns detach-ns format sanitize device-self-test
	fw-download fw-commit security-send security-recv reset flush admin-passthru io-passthru
	dir-receive dir-send read write compare dsm write-zeroes write-uncor verify copy resv-register resv-acquire
	resv-release resv-report list-ctrl list-endgrp list-secondary primary-ctrl-caps nvm-id-ctrl nvm-id-ns
	cmdset-ind-id-ns id-iocs id-nvmset id-domain id-ns-lba-format nvm-id-ns-lba-format id-ns-granularity id-uuid'
for sub in $subs; do
	run nvme "$sub" --help
	same "nvme $sub --help" "0 usage: nsdk nvme $sub DEVICE [OPTION]..." "$status $(head -n 1 "$work/out")"
	refuses "nvme $sub: a device is missing" 2 'a device is missing' nvme "$sub"
done
same 'nvme --help has all of them' '' "$(run nvme --help; for sub in $subs; do
	grep -Eq -- "(^|[ ,])$sub(,|\$)" "$work/out" || echo "$sub"; done)"

# --- what is there ----------------------------------------------------------------------------------

json 'id-ctrl' '.nn == 3 and .oacs == 543 and .tnvmcap == "25165824" and .fr == "1.0     " and (.psds | length) == 1' \
	id-ctrl $d
says 'id-ctrl: text' '^oacs      : 0x21f$' id-ctrl $d
bytes 'id-ctrl: bytes' 4096 id-ctrl $d -b
json 'id-ns' '.nsze == 16384 and .nlbaf == 1 and [.lbafs[].ds] == [9, 12]' id-ns $d -n 2
says 'id-ns: text' '^lbaf  0 : ms:0   lbads:9  rp:0 \(in use\)$' id-ns $d -n 2
refuses 'id-ns: which?' 1 'more than one active namespace; say which' nvme id-ns $d
refuses 'id-ns: none such' 1 'Invalid Namespace or Format' nvme id-ns $d -n 9
json 'ns-descs' '[."ns-descs"[] | .type] == ["uuid", "csi"] and ."ns-descs"[1].loc == 20 and
	(."ns-descs"[0].uuid | test("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))' ns-descs $d -n 2
says 'ns-descs: text' '^uuid    : [0-9a-f]{8}-' ns-descs $d -n 2
bytes 'ns-descs: bytes' 4096 ns-descs $d -n 2 -b
refuses 'ns-descs: none such' 1 'Invalid Namespace' nvme ns-descs $d -n 9
json 'list-ns' '[.nsid_list[].nsid] == [1, 2, 3]' list-ns $d
json 'list-ns --namespace-id' '[.nsid_list[].nsid] == [2, 3]' list-ns $d -n 2
json 'list-ns --csi' '[.nsid_list[].nsid] == [1, 2, 3]' list-ns $d --csi=0
json 'list-ns --csi --all' '[.nsid_list[].nsid] == [1, 2, 3]' list-ns $d -y 0 -a
refuses 'list-ns: no such command set' 1 'Invalid Field' nvme list-ns $d -y 2
json 'list-ctrl' '. == {"num_ctrl": 1, "ctrl_list": [{"ctrl_id": 0}]}' list-ctrl $d
says 'list-ctrl: text' '^\[   0\]:0$' list-ctrl $d -n 2
json 'list-ctrl: above all there are' '.num_ctrl == 0' list-ctrl $d --cntid=1
json 'list-endgrp' '.num_endgrp_id == 1 and .endgrp_list[0].endgrp_id == 1' list-endgrp emu:nvme,size=4m,fdp=1
says 'list-endgrp: above all there are' '^num of endurance group ids: 0$' list-endgrp emu:nvme,size=4m,fdp=1 -i 2
json 'nvm-id-ctrl' '. == {"vsl": 4, "wzsl": 0, "wusl": 0, "dmrl": 0, "dmrsl": 0, "dmsl": 0}' nvm-id-ctrl $d
json 'nvm-id-ns' '[.elbafs[] | [.pif, .sts]] == [[0, 0], [0, 0], [1, 16], [1, 16]]' \
	nvm-id-ns emu:nvme,size=4m,ms=16,pif=1
says 'nvm-id-ns: text' '^elbaf  0 : pif:0 lbads:0  \(in use\)$' nvm-id-ns $d -n 2
json 'cmdset-ind-id-ns' '.nstat == 1 and .rescap == 255 and .anagrpid == 1' cmdset-ind-id-ns $d,ana=1 -n 2
says 'id-iocs' '^I/O Command Set Combination\[0\]:5$' id-iocs emu:nvme,size=16m,zoned=1,zone=2m
bytes 'id-iocs: bytes' 4096 id-iocs $d -b
json 'id-ns-lba-format' '. == {"nlbaf": 3, "mc": 3, "dpc": 31, "nulbaf": 0, "lbafs": [{"ms": 0, "ds": 9, "rp": 0},
	{"ms": 0, "ds": 12, "rp": 0}, {"ms": 16, "ds": 9, "rp": 0}, {"ms": 16, "ds": 12, "rp": 0}]}' \
	id-ns-lba-format emu:nvme,size=4m,ms=16,pif=1 -i 3
says 'id-ns-lba-format: text' '^lbaf  1 : ms:0   lbads:12 rp:0 $' id-ns-lba-format $d
json 'nvm-id-ns-lba-format' '.pic == 0 and [.elbafs[] | [.pif, .sts]] == [[0, 0], [0, 0], [1, 16], [1, 16]]' \
	nvm-id-ns-lba-format emu:nvme,size=4m,ms=16,pif=1 -i 3
says 'nvm-id-ns-lba-format: text' '^elbaf  1 : pif:0 lbads:0  $' nvm-id-ns-lba-format $d -U 1
refuses 'nvm-id-ns-lba-format: no such format' 1 'Identify failed: .*Invalid Field' nvme nvm-id-ns-lba-format $d -i 2
json 'id-ns-granularity' '.attributes == 1 and ."num-descriptors" == 1 and (."namespace-granularity-list" | map(
	[."namespace-size-granularity", ."namespace-capacity-granularity"])) == [[512, 512], [4096, 4096]]' \
	id-ns-granularity $d
says 'id-ns-granularity: text' '^     NCG       : Namespace Capacity Granularity : 0x1000$' id-ns-granularity $d
json 'id-uuid' '[."UUID-list"[] | .association] == [1, 0] and
	."UUID-list"[0].uuid == "4e53444b-2065-806d-8075-000000000000"' id-uuid $d
says 'id-uuid -H' '^association  : 0x1 associated with PCI Vendor ID$' id-uuid $d -H
bytes 'id-uuid: bytes' 4096 id-uuid $d -b
# What the model has none of; the scenario admin shows them of another.
for sub in list-endgrp primary-ctrl-caps list-secondary id-nvmset id-domain; do
	refuses "$sub: a controller without" 1 'Identify failed: .*Invalid Field' nvme $sub $d
done
json 'smart-log' '.temperature == 303 and .avail_spare == 100 and .host_read_commands == "0"' smart-log $d
says 'smart-log: text' '30°C \(303 Kelvin\)' smart-log $d
bytes 'smart-log: bytes' 512 smart-log $d -o binary
json 'error-log' '(.errors | length) == 64 and .errors[0].error_count == 0' error-log $d
json 'error-log --log-entries' '.errors | length == 2' error-log $d -e 2
refuses 'error-log: none wanted' 2 'log-entries=0' nvme error-log $d -e 0
says 'fw-log' '^frs1 : 0x2020202020302e31 \(1\.0\.\.\.\.\.\)$' fw-log $d
json 'effects-log' '.[0].admin_cmd_set["ACS_128 (Format NVM)"] == 7' effects-log $d
refuses 'effects-log: another command set' 1 'Get Log Page 05h failed: .*Invalid Field' nvme effects-log $d -c 2
json 'self-test-log' '."List of Valid Reports" | length == 20' self-test-log $d
says 'sanitize-log' 'never been sanitized' sanitize-log $d
bytes 'get-log: any number of bytes' 5001 get-log $d -i 5 -l 5001 -b
says 'get-log: text' '^0000: 00 2f 01 64 0a' get-log $d --log-id=2 --log-len=64
refuses 'get-log: none such' 1 'Get Log Page c0h failed: .*Invalid Log Page' nvme get-log $d -i 0xc0 -l 512
refuses 'get-log: how much?' 2 'log-len is missing' nvme get-log $d -i 2
refuses 'get-log: which?' 2 'log-id is missing' nvme get-log $d -l 64
refuses 'get-log: an odd place' 2 'lpo=3' nvme get-log $d -i 2 -l 64 --lpo=3
# Telemetry: the header, and the data of as many areas as are wanted, all of one time.
# There is no fourth one, so that the third is the end of it.
for area in 1 2 3 4; do
	run nvme telemetry-log $d --output-file="$work/telemetry" -d $area
	same "telemetry-log: area $area" "0 $((512 * (area >= 3 ? 8 : 2 * area + 1))) 7 1" \
		"$status $(wc -c < "$work/telemetry") $(od -An -tu1 -j0 -N1 "$work/telemetry" | xargs) $(od -An -tu1 \
			-j1023 -N1 "$work/telemetry" | xargs)"
done
run nvme telemetry-log $d -O "$work/telemetry" --host-generate=0
same 'telemetry-log: what was taken last, which is nothing' "0 512" "$status $(wc -c < "$work/telemetry")"
run nvme telemetry-log $d -O "$work/telemetry" --controller-init
same 'telemetry-log: what the controller has taken, which is nothing' "0 512 8" \
	"$status $(wc -c < "$work/telemetry") $(od -An -tu1 -N1 "$work/telemetry" | xargs)"
refuses 'telemetry-log: where to?' 2 'output-file is missing' nvme telemetry-log $d
refuses 'telemetry-log: not there' 1 '/dev/full cannot be written: No space' nvme telemetry-log $d -O /dev/full
refuses 'telemetry-log: area 0' 2 'data-area=0' nvme telemetry-log $d -O "$work/telemetry" -d 0
refuses 'telemetry-log: whose?' 2 'host-generate is not for' nvme telemetry-log $d -O "$work/telemetry" -c -g 1
json 'ana-log' '.ngrps == 1 and ."ANA DESC LIST "[0] == {"grpid": 1, "nnsids": 3, "chgcnt": 0,
	"state": "optimized", "NSIDS": [1, 2, 3]}' ana-log $d,ana=1
json 'ana-log: groups only' '."ANA DESC LIST "[0].nnsids == 0' ana-log $d,ana=1 --groups
says 'ana-log: text' '^	nsid	:	3$' ana-log $d,ana=1
bytes 'ana-log: bytes' 60 ana-log $d,ana=1 -o binary
bytes 'ana-log: as large as it is, whatever Identify says' 60 ana-log $d,ana=1,fault=identify -o binary
refuses 'ana-log: a controller without' 1 'does not report asymmetric namespace access' nvme ana-log $d
json 'get-lba-status' '.nlsd == 1 and .cmpc == 2 and .list == [{"dslba": 77, "nlb": 1, "status": 0}]' \
	get-lba-status $d,bad=77 -n 2
says 'get-lba-status: text' '^[{] DSLBA: 0x000000000000004d, NLB: 0x00000001, Status: 0x00 [}]$' \
	get-lba-status $d,bad=77 -n 2 --action=0x10 -s 70 -l 8
json 'get-lba-status: elsewhere' '.nlsd == 0 and .cmpc == 2' get-lba-status $d,bad=77 -n 2 -s 70 -l 7
json 'get-lba-status: no room' '.nlsd == 0 and .cmpc == 1' get-lba-status $d,bad=77 -n 2 -m 4
bytes 'get-lba-status: bytes' 24 get-lba-status $d,bad=77 -n 2 -m 5 -o binary
refuses 'get-lba-status: beyond the end' 1 'LBA Out of Range' nvme get-lba-status $d -n 1 -s 16384
refuses 'get-lba-status: of which?' 1 'more than one active namespace' nvme get-lba-status $d
refuses 'get-lba-status: to do what?' 2 'action=9: 0x10 or 0x11' nvme get-lba-status $d -n 1 -a 9
refuses 'get-lba-status: no answer wanted' 2 'max-dw=0' nvme get-lba-status $d -n 1 -m 0
says 'get-feature' '^get-feature:0x04 \(Temperature Threshold\), Current value:0x00000157$' get-feature $d -f 4
for fields in '1|Low Priority Weight    \(LPW\): 1' '1|Arbitration Burst       \(AB\): 1' \
	'2|Power State   \(PS\): 0' '4|\(TMPTH\): 70°C \(343 Kelvin\)' '6|\(WCE\): Enabled' '7|\(NSQA\): 1' \
	'8|\(THR\): 1' '0xb|Namespace Attribute Notices +: Send async event'; do
	says "get-feature: fields of $fields" "^	.*${fields#*|}\$" get-feature $d -f "${fields%%|*}" -H
done
says 'get-feature: capabilities' 'Feature is changeable' get-feature $d -f 4 -s 3
refuses 'get-feature: none such' 1 'Get Features failed: .*Invalid Field' nvme get-feature $d -f 0x99
says 'set-feature' '^set-feature:0x04 .*, value:0x0000012c, cdw12:00000000, save:0$' set-feature $d -f 4 -v 300
refuses 'set-feature: cannot be kept' 1 'Not Saveable' nvme set-feature $d -f 4 -v 300 --save
refuses 'set-feature: would break the driver' 1 'would break the driver' nvme set-feature $d -f 7 -v 0
refuses 'set-feature: to what?' 2 'value is missing' nvme set-feature $d -f 7

# --- what changes things ----------------------------------------------------------------------------

for words in 'format -n 1 -l 1' 'sanitize -a 2' 'delete-ns -n 1' 'fw-commit -a 1' 'security-send -f /dev/null' \
	'admin-passthru -o 0x80' 'io-passthru -o 1 -l 512 -w -i /dev/zero' 'io-passthru -o 8' \
	'fw-download -f /dev/zero -a 1' write write-zeroes write-uncor 'dsm -d -b 8' 'dsm -c 4 -s 8' \
	'copy -b 1 -d 8'; do
	read -ra list <<< "$words"
	refuses "$words: wants --yes" 2 'say --yes' nvme "${list[@]}" $d
done
says 'format' '^Success formatting namespace:1$' format $d -n 1 -l 1 --yes
says 'format --block-size' '^Success formatting' format $d -n 1 -b 4096 --force
refuses 'format: none such' 1 'Format NVM failed: .*Invalid Format' nvme format $d -n 1 -l 7 --yes
refuses 'format: no such blocks' 1 'no format with blocks of 1000 bytes' nvme format $d -n 1 -b 1000 --yes
refuses 'format: which?' 2 'namespace-id is missing' nvme format $d -l 1 --yes
refuses 'format: to what?' 2 'lbaf or --block-size is missing' nvme format $d -n 1 --yes
run nvme sanitize $d -a start-block-erase --yes
same 'sanitize' 0 "$status"
refuses 'sanitize: none such' 1 'Sanitize failed: .*Invalid Field' nvme sanitize $d -a 4 --yes
refuses 'sanitize: to do what?' 2 'sanact=5' nvme sanitize $d -a 5 --yes
says 'delete-ns' 'Success, deleted nsid:2' delete-ns $d -n 2 --yes
refuses 'delete-ns: none such' 1 'Invalid Namespace' nvme delete-ns $d -n 7 --yes
refuses 'create-ns: no room' 1 'Namespace Identifier Unavailable' nvme create-ns $d -s 8 -c 8
says 'detach-ns' 'detach-ns: Success, nsid:3' detach-ns $d -n 3 -c 0
refuses 'attach-ns: it is' 1 'Namespace Already Attached' nvme attach-ns $d -n 3
refuses 'attach-ns: to whom?' 2 'controllers=x' nvme attach-ns $d -n 3 -c x
says 'device-self-test: short, to its end' 'Completed successfully' device-self-test $d -s 1
says 'device-self-test: extended' 'Extended Device self-test started' device-self-test $d -s 2
says 'device-self-test: what goes on' 'no device self test in progress' device-self-test $d
refuses 'device-self-test: none such' 1 'Device Self-test failed: .*Invalid Field' nvme device-self-test $d -s 3
printf 'NSDKFW1:9.9-test%048d' 0 > "$work/image"
says 'fw-download' 'Firmware download success' fw-download $d -f "$work/image"
says 'fw-download --action' 'Success committing firmware action:1 slot:2' fw-download $d -f "$work/image" -s 2 -a 1 --yes
head -c 4096 /dev/zero > "$work/zeroes"
refuses 'fw-download: no image' 1 'no multiple of 4' nvme fw-download $d -f <(printf 'abc')
run nvme fw-download $d -f "$work/zeroes" -s 2 -a 1 --yes
same 'fw-download: not for this controller' 1 "$status"
refuses 'fw-commit: nothing in it' 1 'Invalid Firmware Slot' nvme fw-commit $d -s 2 -a 2 --yes
says 'security-recv: what protocols there are' '^0000: 00 00 00 00 00 00 00 02 00 f0' security-recv $d -x 512
bytes 'security-recv: bytes' 100 security-recv $d -x 100 -b
refuses 'security-recv: no such protocol' 1 'Security Receive failed: .*Invalid Field' nvme security-recv $d -p 1 -x 512
head -c 300 /dev/urandom > "$work/secret"
says 'security-send' 'Security Send Command Success' security-send $d -p 0xf0 -f "$work/secret" --yes
refuses 'security-send: no such protocol' 1 'Security Send failed: .*Invalid Field' \
	nvme security-send $d -p 1 -f "$work/secret" --yes
says 'reset' 'ready again' reset $d

# --- raw commands -----------------------------------------------------------------------------------

says 'flush' '^NVMe Flush: success$' flush $d
bytes 'admin-passthru' 100 admin-passthru $d -o 6 --cdw10=1 -l 100 -r -b
refuses 'admin-passthru: would break the driver' 1 'would break the driver' nvme admin-passthru $d -o 1 --yes
refuses 'admin-passthru: the other way' 2 'the other way' nvme admin-passthru $d -o 6 -l 64 -w -i /dev/zero
refuses 'admin-passthru: which way?' 2 'wants --read or --write' nvme admin-passthru $d -o 6 -l 64
says 'admin-passthru --dry-run' '^opcode       : 80$' admin-passthru $d -o 0x80 --dry-run
bytes 'io-passthru' 4096 io-passthru $d -n 2 -o 2 --cdw12=7 -l 4096 -r -b
refuses 'io-passthru: beyond the end' 1 'Read failed: .*LBA Out of Range' \
	nvme io-passthru $d -n 2 -o 2 --cdw10=16384 -l 512 -r
run nvme io-passthru "emu:nvme,file=$work/disk,size=1m" -o 1 -l 512 -w -i "$work/image" --cdw10=5 --yes
same 'io-passthru: what it wrote is on the disk' '0 NSDKFW1:9.9-test' \
	"$status $(dd if="$work/disk" bs=512 skip=5 count=1 status=none | head -c 16)"

# --- blocks -----------------------------------------------------------------------------------------

b=emu:nvme,file=$work/blocks,size=1m
head -c 2000 /dev/urandom > "$work/data"
# As nvme-cli has it: the last block is filled up with zeroes, and what a device has too much is left.
run nvme write "$b" -s 5 -c 3 -z 2000 -d "$work/data" --yes
same 'write' '0 Rounding data size to fit block count (2048 bytes) write: Success' "$status $(xargs < "$work/err")"
cp "$work/data" "$work/whole"
head -c 48 /dev/zero >> "$work/whole"
check 'write: it is on the disk' cmp <(dd if="$work/blocks" bs=512 skip=5 count=4 status=none) "$work/whole"
run nvme read "$b" --start-block=5 --block-count=3
same 'read: to the standard output' '0 read: Success' "$status $(cat "$work/err")"
check 'read: what was written' cmp "$work/out" "$work/whole"
run nvme read "$b" -s 6 --data="$work/back" --force-unit-access --limited-retry --latency
check 'read: to a file' cmp <(tail -c +513 "$work/whole" | head -c 512) "$work/back"
check 'read: how long it took' grep -Eq '^ latency: read: [0-9]+ us$' "$work/err"
same 'compare: from the standard input' 'compare: Success' \
	"$("$nsdk" nvme compare "$b" -s 5 -c 3 < "$work/data" 2>&1)"
refuses 'write: of nothing at all' 1 'the standard input is empty' nvme write $d -n 1 --yes
refuses 'compare: a difference' 1 'Compare failed: .*Compare Failure' nvme compare "$b" -s 6 -d "$work/data"
says 'copy' '^NVMe Copy: success$' copy "$b" --slbs=5,8 --blocks=0,0 -d 100 --yes
check 'copy: the ranges are one behind the other' cmp <(dd if="$work/blocks" bs=512 skip=100 count=2 status=none) \
	<(head -c 512 "$work/whole"; tail -c 512 "$work/whole")
says 'write-zeroes' '^NVME Write Zeroes Success$' write-zeroes "$b" -s 6 -c 1 --deac --yes
says 'dsm' '^NVMe DSM: success$' dsm "$b" --slbs=5,0x64 --blocks=1,1 --ad --ctx-attrs=0x10 --yes
check 'write-zeroes, dsm: where they were told to' cmp <(dd if="$work/blocks" bs=512 skip=5 count=4 status=none) \
	<(head -c 1536 /dev/zero; tail -c 512 "$work/whole")
check 'dsm: the other range, too' cmp <(dd if="$work/blocks" bs=512 skip=100 count=2 status=none) \
	<(head -c 512 /dev/zero; tail -c 512 "$work/whole")
says 'dsm: hints take nothing away' '^NVMe DSM: success$' dsm $d -n 1 --idr --idw -b 8
says 'write-uncor' '^NVME Write Uncorrectable Success$' write-uncor $d -n 1 -s 1 -c 1 --yes
says 'verify' '^NVME Verify Success$' verify $d,bad=77 -n 1 -s 76
refuses 'verify: a bad block' 1 'Verify failed: .*Unrecovered Read Error' nvme verify $d,bad=77 -n 1 -s 77
says 'write --dry-run' '^dsmgmt       : 00070003$' write $d -n 1 --dry-run --show-command -D 3 -T 2 -S 7 -c 9
same 'write --dry-run: the command' '0020 0009' "$(sed -n 's/^control *: //p; s/^nblocks *: //p' "$work/out" | xargs)"
# Metadata: with the data, apart, or the controller's own affair.
pi=emu:nvme,size=1m,ms=8,pi=1
run nvme write $pi -c 3 -d "$work/data" --yes
same 'write: protection information of the controller' 0 "$status"
head -c 32 /dev/zero > "$work/tuples"
run nvme write emu:nvme,size=1m,ms=8,mset=0 -c 3 -d "$work/data" -M "$work/tuples" --yes
same 'write: metadata apart' 0 "$status"
refuses 'write: protection information that is wrong' 1 'Guard Check' \
	nvme write $pi -c 3 -d "$work/data" -M "$work/tuples" -p 4 --yes
run nvme read emu:nvme,size=1m,ms=16 -c 3 -M "$work/md" -d "$work/back"
same 'read: metadata apart, into its file' '0 64 2048' "$status $(wc -c < "$work/md") $(wc -c < "$work/back")"
bytes 'read: metadata among the data' 2112 read emu:nvme,size=1m,ms=16,mset=1 -c 3
refuses 'read: where to with the metadata?' 2 '16 bytes of metadata apart' nvme read emu:nvme,size=1m,ms=16
refuses 'read: there is none' 2 'no metadata apart' nvme read $d -n 1 -M "$work/md"
refuses 'read: beyond the end' 1 'beyond the end of namespace 1, which has 16384' nvme read $d -n 1 -s 16383 -c 1
refuses 'read: too much' 2 'data-size=513 is more than the 1 block' nvme read $d -n 1 -z 513
refuses 'read: where to?' 1 '/dev/full cannot be written: No space' nvme read $d -n 1 -d /dev/full
refuses 'read: of which?' 1 'more than one active namespace' nvme read $d
refuses 'write: of nothing' 1 '/dev/null is empty' nvme write $d -n 1 -d /dev/null --yes
refuses 'write: what?' 1 'none cannot be read: No such' nvme write $d -n 1 -d "$work/none" --yes
refuses 'read: somebody else has it for himself' 1 'Reservation Conflict' nvme read $d,rival=2 -n 1
refuses 'write-zeroes: beyond the end' 1 'beyond the end' nvme write-zeroes $d -n 1 -s 16384 --yes
refuses 'dsm: which blocks?' 2 'which ranges' nvme dsm $d -n 1 -d --yes
refuses 'dsm: what about them?' 2 '--ad, --idr' nvme dsm $d -n 1 -b 8
refuses 'dsm: no numbers' 2 'slbs: up to 256 whole numbers' nvme dsm $d -n 1 -r -s 1,x
refuses 'dsm: beyond the end' 1 'beyond the end' nvme dsm $d -n 1 -r -s 16380 -b 5
refuses 'dsm: a controller without' 1 'does not offer Dataset Management' \
	nvme dsm emu:nvme,size=16m,zoned=1,zone=2m -r -b 1
refuses 'copy: where to?' 2 'sdlba is missing' nvme copy $d -n 1 -b 1 --yes
refuses 'copy: which blocks?' 2 'which ranges' nvme copy $d -n 1 -d 1 --yes
refuses 'copy: from beyond the end' 1 'beyond the end' nvme copy $d -n 1 -d 1 -s 16384 --yes
refuses 'copy: to beyond the end' 1 'beyond the end' nvme copy $d -n 1 -d 16383 -b 1 --yes
refuses 'copy: too much at once' 1 'one Copy takes at most [0-9]+ ranges' nvme copy $d -n 1 -d 8192 -b 8000 --yes

# --- reservations: each run is a controller anew, so what one has registered is not there in the next -----

says 'resv-register' '^NVME Reservation  success$' resv-register $d -n 2 --nrkey=0x55 --cptpl=2
refuses 'resv-register: there is nothing to take back' 1 'Register failed: .*Conflict' \
	nvme resv-register $d -n 2 -r 1 -c 0x55
refuses 'resv-register: to which persistence?' 2 'cptpl=1' nvme resv-register $d -n 2 -p 1
refuses 'resv-acquire: nobody has registered' 1 'Acquire failed: .*Conflict' nvme resv-acquire $d -n 2 --rtype=1 -c 0x55
refuses 'resv-acquire: which?' 2 'rtype is missing' nvme resv-acquire $d -n 2
refuses 'resv-release: nobody has registered' 1 'Release failed: .*Conflict' nvme resv-release $d -n 2 -t 1
refuses 'resv-release: clears' 1 'Release failed: .*Conflict' nvme resv-release $d -n 2 --rrela=1
refuses 'resv-release: whatever key, which there is not' 1 'Release failed: .*Invalid Field' \
	nvme resv-release $d -n 2 --rrela=1 --iekey
refuses 'resv-release: clears of which type?' 2 'takes no --rtype' nvme resv-release $d -n 2 -a 1 -t 1
# … unless it is to persist. Two hosts, by turns: register, acquire, report; what the other one may not do,
# until it preempts; and release.
one=emu:nvme,size=1m,resv_file=$work/resv
two=$one,host=2
says 'resv-register: to persist' 'success' resv-register "$one" --nrkey=0x11 --cptpl=3
says 'resv-acquire' '^NVME Reservation Acquire success$' resv-acquire "$one" -c 0x11 -t 1
json 'resv-report: who holds it' '. == {"gen": 1, "rtype": 1, "regctl": 1, "ptpls": 1, "regctls": [
	{"cntlid": 0, "rcsts": 1, "hostid": 0, "rkey": 17}]}' resv-report "$one"
refuses 'write: the other host has it for itself' 1 'Write failed: .*Reservation Conflict' \
	nvme write "$two" -d "$work/zeroes" --yes
refuses 'resv-acquire: one that has not registered' 1 'Conflict' nvme resv-acquire "$two" -c 0x22 -t 1
says 'resv-register: the other host' 'success' resv-register "$two" -k 0x22
refuses 'resv-acquire: it is held' 1 'Acquire failed: .*Reservation Conflict' nvme resv-acquire "$two" -c 0x22 -t 1
says 'resv-acquire: preempts' 'Acquire success' resv-acquire "$two" -c 0x22 -p 0x11 -t 3 -a 1
json 'resv-report: it has changed hands' '.rtype == 3 and .regctls == [
	{"cntlid": 1, "rcsts": 1, "hostid": 1, "rkey": 34}]' resv-report "$one"
says 'resv-release' '^NVME Reservation Release success$' resv-release "$two" -c 0x22 -t 3
json 'resv-report: nobody holds it' '.rtype == 0 and .regctl == 1' resv-report "$two"
says 'resv-release: clears' 'Release success' resv-release "$two" -c 0x22 -a 1
json 'resv-report: nobody is left' '.rtype == 0 and .regctl == 0' resv-report "$one"
json 'resv-report' '. == {"gen": 1, "rtype": 3, "regctl": 1, "ptpls": 0, "regctls": [
	{"cntlid": 1, "rcsts": 1, "hostid": 1, "rkey": 491395637553}]}' resv-report $d,rival=3 -n 2
says 'resv-report: text' '^  rkey    : 7269766131$' resv-report $d,rival=3 -n 2
json 'resv-report: no room' '.regctl == 1 and .regctls == []' resv-report $d,rival=3 -n 2 --numd=6
bytes 'resv-report: bytes' 48 resv-report $d,rival=3 -n 2 -d 12 -b
refuses 'resv-report: no room at all' 2 'numd=5: the status alone has 6' nvme resv-report $d -n 2 -d 5

# --- zoned namespaces -------------------------------------------------------------------------------

z=emu:nvme,size=16m,zoned=1,zone=2m,zone_cap=1m,max_open=3,max_active=5,zones_ro=1,zones_offline=1
zns='id-ctrl id-ns report-zones open-zone close-zone finish-zone reset-zone offline-zone set-zone-desc zone-append'
for sub in $zns; do
	run nvme zns "$sub" --help
	same "nvme zns $sub --help" "0 usage: nsdk nvme zns $sub DEVICE [OPTION]..." \
		"$status $(head -n 1 "$work/out")"
done
same 'nvme --help has all of zns' '' "$(run nvme --help; for sub in $zns; do
	grep -Eq -- "(^|[ ,])zns $sub(,|\$)" "$work/out" || echo "$sub"; done)"
json 'zns id-ctrl' '.zasl == 3' zns id-ctrl $z,zasl=3
json 'zns id-ns' '.mor == 2 and .mar == 4 and .lbafe == [{"zsze":4096,"zdes":1},{"zsze":512,"zdes":1}]' \
	zns id-ns $z
says 'zns id-ns: the format in use' '^lbafe  0: zsze:0x1000 zdes:1 \(in use\)$' zns id-ns $z -n 1
json 'zns report-zones' '.nr_zones == 8 and [.zone_list[].slba] == [range(0; 32768; 4096)] and
	([.zone_list[].cap] | unique) == [2048] and .zone_list[6].state == "READONLY" and
	.zone_list[7].state == "OFFLINE" and .zone_list[7].wp == 18446744073709551615' zns report-zones $z
json 'zns report-zones: some of them' '.nr_zones == 6 and [.zone_list[].slba] == [8192, 12288]' \
	zns report-zones $z -S 1 -s 0x2000 -d 2
says 'zns report-zones: text' \
	'^SLBA: 0x1000     WP: 0x1000     Cap: 0x800      State: 0x10 Type: 0x2  Attrs: 0    AttrsInfo: 0   $' \
	zns report-zones $z
says 'zns report-zones -v' 'State: READONLY     Type: SEQWRITE_REQ' zns report-zones $z -v
says 'zns open-zone' '^zns-open-zone: Success zone slba:1000 nsid:1$' zns open-zone $z -s 0x1000
says 'zns finish-zone' '^zns-finish-zone: Success, action:2 zone:0 all:1 zcapc:0 nsid:1$' zns finish-zone $z -a
says 'zns reset-zone' '^zns-reset-zone: Success, action:4 zone:2000 all:0' zns reset-zone $z -s 8192 --yes
says 'zns offline-zone' 'action:5 zone:6000' zns offline-zone $z -s 0x6000 --yes
head -c 8192 "$work/zeroes" > "$work/data"
says 'zns zone-append' '^Success appended data to LBA 3000$' zns zone-append $z -s 0x3000 -z 4096 -d "$work/data"
echo extension > "$work/ext"
says 'zns set-zone-desc' '^set-zone-desc: Success, zone:3000 nsid:1$' zns set-zone-desc $z -s 0x3000 -d "$work/ext"
refuses 'zns reset-zone wants --yes' 2 'say --yes' nvme zns reset-zone $z -a
refuses 'zns close-zone: which?' 2 'start-lba or --select-all' nvme zns close-zone $z
refuses 'zns close-zone: it is empty' 1 'Invalid Zone State Transition' nvme zns close-zone $z -s 0
refuses 'zns zone-append: to one that is offline' 1 'Zone Is Offline' \
	nvme zns zone-append $z -s 0x7000 -d "$work/data"
refuses 'zns zone-append: half a block' 1 'not whole blocks' nvme zns zone-append $z -s 0 -d "$work/data" -z 100
refuses 'zns report-zones: beyond the end' 1 'beyond the end of namespace 1' nvme zns report-zones $z -s 32768
refuses 'zns report-zones: not a zoned one' 1 'namespace 2 is not zoned' nvme zns report-zones $d -n 2
refuses 'zns report-zones: none at all' 1 'no active namespace 7' nvme zns report-zones $z -n 7
refuses 'zns: what?' 2 'zns wants another word' nvme zns
refuses 'zns: no such subcommand' 2 "no subcommand 'zns frobnicate'" nvme zns frobnicate $z

# --- directives, flexible data placement ------------------------------------------------------------

p=emu:nvme,size=4m,fdp=1,fdp_rg=2,fdp_ruh=3,fdp_runs=64k
fdp='configs usage stats events status update set-events feature'
for sub in $fdp; do
	run nvme fdp "$sub" --help
	same "nvme fdp $sub --help" "0 usage: nsdk nvme fdp $sub DEVICE [OPTION]..." \
		"$status $(head -n 1 "$work/out")"
done
same 'nvme --help has all of fdp' '' "$(run nvme --help; for sub in $fdp; do
	grep -Eq -- "(^|[ ,])fdp $sub(,|\$)" "$work/out" || echo "$sub"; done)"
json 'fdp configs' '.n == 0 and (.configs | length) == 1 and .configs[0].nrg == 2 and .configs[0].nruh == 3 and
	.configs[0].runs == 65536 and (.configs[0].ruhs | length) == 3' fdp configs $p
says 'fdp configs -H' '^  \[3:0\] : 0x1	Reclaim Group Identifier Format$' fdp configs $p -H -e 1
json 'fdp usage' '.nruh == 3 and [.ruhus[].ruha] == [1, 1, 1]' fdp usage $p
says 'fdp usage: text' '^Reclaim Unit Handle 2 Attributes: 0x1 \(Host Specified\)$' fdp usage $p
json 'fdp stats' '.hbmw == "0" and .mbmw == "0" and .mbe == "0"' fdp stats $p
says 'fdp stats: text' '^Host Bytes with Metadata Written \(HBMW\): 0$' fdp stats $p
json 'fdp events' '.n == 0 and .events == []' fdp events $p -E
json 'fdp status' '.nruhsd == 6 and [.ruhss[].pid] == [0, 32768, 1, 32769, 2, 32770] and
	([.ruhss[].ruamw] | unique) == [128]' fdp status $p
says 'fdp status: text' '^Placement Identifier 32769; Reclaim Unit Handle Identifier 1$' fdp status $p
bytes 'fdp configs -b' 96 fdp configs $p -b
bytes 'fdp usage -b' 32 fdp usage $p -b
bytes 'fdp stats -b' 64 fdp stats $p -b
bytes 'fdp events -b' 64 fdp events $p -b
bytes 'fdp status -b' 208 fdp status $p -o binary
printf x > "$work/x"
run nvme write $p -T 2 -S 32769 -d "$work/x" --yes
same 'write: by a placement identifier' '0 write: Success' "$status $(cat "$work/err")"
refuses 'write: by one that there is not' 1 'has no placement identifier 99; use one of the 6' \
	nvme write $p -T 2 -S 99 -d "$work/x" --yes
refuses 'write: without placement' 1 'does not offer Write, or not like that' \
	nvme write $d -n 1 -T 2 -S 0 -d "$work/x" --yes
says 'fdp update' '^update: Success$' fdp update $p -p 0,32770
says 'fdp set-events' '^set-events: Success$' fdp set-events $p -p 2 -e -s -t 0,3,0x81
says 'fdp feature' '^Flexible Direct Placement Enable \(FDPE\)       : Yes$' fdp feature $p
refuses 'fdp feature: not while there are namespaces' 1 'Command Sequence Error' nvme fdp feature $p --disable
refuses 'fdp feature: one or the other' 2 'one or the other' nvme fdp feature $p -d -c 0
refuses 'fdp update: which?' 2 '--pids is missing' nvme fdp update $p
refuses 'fdp update: no numbers' 2 'whole numbers up to 65535' nvme fdp update $p -p 0,,1
refuses 'fdp update: one that is not there' 1 'has no placement identifier 3' nvme fdp update $p -p 0,3
refuses 'fdp set-events: which?' 2 '--event-types is missing' nvme fdp set-events $p
refuses 'fdp set-events: above a byte' 2 'whole numbers up to 255' nvme fdp set-events $p -t 256
refuses 'fdp set-events: no such event' 1 'Invalid Field' nvme fdp set-events $p -t 1
refuses 'fdp status: it has none' 1 'namespace 2 has no flexible data placement' nvme fdp status $d -n 2
refuses 'fdp stats: of which group?' 1 'say --endgrp-id' nvme fdp stats $d
refuses 'fdp stats: no such group' 1 'Get Log Page 22h failed' nvme fdp stats $p -e 2
refuses 'fdp usage: of no group' 2 'endgrp-id=0: endurance groups are counted from 1' nvme fdp usage $p -e 0
refuses 'fdp feature: of no group' 2 'endgrp-id=0' nvme fdp feature $p -e 0
refuses 'fdp: what?' 2 'fdp wants another word' nvme fdp
says 'dir-receive' '^0000: 05 00 ' dir-receive $p -O 1
says 'dir-receive -H' 'Placement Directive : enabled' dir-receive $p -D 0 -O 1 -H
bytes 'dir-receive -b' 64 dir-receive $p -O 1 -l 64 -b
says 'dir-send' '^dir-send: type 0, operation 0x1, spec_val 0, nsid 0x1, result 0' dir-send $p -O 1 -T 2 -e 1
refuses 'dir-send: no such directive' 1 'Invalid Field' nvme dir-send $p -O 1 -T 1 -e 1
refuses 'dir-send: turns on what?' 2 '--target-dir is missing' nvme dir-send $p -O 1 -e 1
refuses 'dir-send: which data?' 2 'input-file is missing' nvme dir-send $p -D 1 -O 2 -l 8
printf abcdef > "$work/six"
refuses 'dir-send: more data than there is' 1 'six has 6 bytes; say a --data-len' \
	nvme dir-send $p -D 1 -O 2 -l 8 -i "$work/six"
refuses 'dir-send: half a dword' 1 'six has 6 bytes; .*a multiple of 4' nvme dir-send $p -D 1 -O 2 -i "$work/six"
refuses 'dir-send: data of no such directive' 1 'Invalid Field' nvme dir-send $p -D 1 -O 2 -l 4 -i "$work/six"
refuses 'dir-receive: which?' 2 '--dir-oper is missing' nvme dir-receive $p
refuses 'dir-receive: half a dword' 2 'a multiple of 4' nvme dir-receive $p -O 1 -l 6

# --- failure ----------------------------------------------------------------------------------------

# Which admin command of a run is the first behind bring-up, is for the driver to change.
for ((first = 5; first < 60; first++)); do
	run nvme smart-log $d,fault=badstatus@admin$first
	grep -q 'Get Log Page 02h failed: Generic: Internal Error' "$work/err" && break
done
same 'a bad status' "1 1" "$status $(lines_of "$work/err")"
refuses 'a command without an answer' 1 'was not answered within 300 ms' \
	nvme format $d,fault=timeout@admin$first -n 1 -l 0 --timeout=300 --yes
refuses 'gone before it' 1 'gone|vanished|no longer there' nvme smart-log $d,fault=gone@admin$((first - 1))
refuses 'gone before I/O' 1 'pulled out' nvme read $d,fault=gone@1 -n 1
refuses 'no such subcommand' 2 "no subcommand 'frobnicate'" nvme frobnicate $d
refuses 'no subcommand' 2 'a subcommand is missing' nvme
refuses 'a format of output that there is not' 2 'output-format=xml' nvme id-ctrl $d -o xml
refuses 'bytes of what has none' 2 'normal or json is wanted' nvme list-ns $d -o binary
run nvme id-ctrl $d --json="$work/id.json"
same '--json=FILE' '0 3' "$status $(jq .nn "$work/id.json")"

finish
