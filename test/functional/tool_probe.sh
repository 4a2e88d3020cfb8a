#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk doctor --probe: it tells DMA that is snooped from DMA that is not, and leaves the disk as it
# found it, however it ends.

. "$(dirname "$0")/tool.bash"

head -c 1M /dev/urandom > "$work/before"
cp "$work/before" "$work/disk"

# probed NAME FILTER OPTIONS-OF-THE-DEVICE... : status 0, the jq filter is true, the disk is as before
probed()
{
	local name=$1 filter=$2
	run doctor --probe "emu:nvme,file=$work/disk$3" --yes-overwrite-lba=7 --json
	# The cache model's seed is for those who want to see the same again.
	sed -i "/the adversary's seed is/d" "$work/err"
	if [[ $status != 0 || -s $work/err ]]; then
		not_ok "$name" "expected status 0 and no word, got $(said)"
	elif [[ $(jq -e "$filter" "$work/out" 2>&1) != true ]]; then
		not_ok "$name" "not true: $filter of $(jq -c . "$work/out")"
	elif ! cmp -s "$work/before" "$work/disk"; then
		not_ok "$name" "the disk differs: $(cmp "$work/before" "$work/disk" 2>&1)"
	else
		ok "$name"
	fi
}

all_snooped='.snooped == .lines and .lines >= 1000 and .answer == "snooped"'
none_snooped='.not_snooped >= .lines * 9 / 10 and .neither == 0 and .lines >= 1000 and
	.answer == "not snooped"'
for lba in 512 4096; do
	probed "probe: a platform that snoops, blocks of $lba bytes" "
		.answer == \"snooped\" and .verdict.state == \"enforced\" and .policy == \"coherent\"
		and .enable_no_snoop == false and (.device_writes | $all_snooped)
		and (.device_reads | $all_snooped) and .restored and (.contradiction | not)" \
		",lba=$lba"
	for kind in data all; do
		probed "probe: nosnoop=$kind, blocks of $lba bytes" "
			.answer == \"not snooped\" and .verdict.state == \"permitted\"
			and .policy == \"nosnoop\" and .enable_no_snoop == true
			and (.device_writes | $none_snooped) and (.device_reads | $none_snooped)
			and .restored and (.contradiction | not)" ",lba=$lba,nosnoop=$kind"
	done
done
# The cache evicts what it likes: that must not turn the answer, whatever the seed.
for seed in 1 2 3 4 5 6 7 8; do
	run doctor --probe "emu:nvme,size=1m,nosnoop=all,seed=$seed" --yes-overwrite-lba=0 --json
	[[ $(jq '.answer == "not snooped"' "$work/out" 2> /dev/null) == true ]] || break
done
same 'probe: the same answer under every adversary' 'true 8' \
	"$(jq '.answer == "not snooped"' "$work/out") $seed"

run doctor --probe emu:nvme,size=1m,nosnoop=all --yes-overwrite-lba=2047
check 'probe: for people' grep -Pzq '(?s)LBA 2047 \(512 bytes\).*is restored.*verdict +permitted.*Enable No Snoop 1.*device writes +not snooped.*device reads +not snooped.*answer +not snooped: ' "$work/out"

refuses 'probe: it says first what it would overwrite' 2 \
	'overwrites a block of the first namespace of emu:nvme,size=1m.*--yes-overwrite-lba=N' \
	doctor --probe emu:nvme,size=1m
refuses 'probe: a block beyond the end' 1 'beyond the end.*2048 blocks' \
	doctor --probe emu:nvme,size=1m --yes-overwrite-lba=2048
refuses 'probe: a block that is no number' 2 'yes-overwrite-lba=first' \
	doctor --probe emu:nvme,size=1m --yes-overwrite-lba=first
refuses 'probe: no device' 2 'device is missing' doctor --probe --yes-overwrite-lba=0
refuses 'probe: two devices' 2 'one too many' \
	doctor --probe emu:nvme emu:nvme --yes-overwrite-lba=0
refuses 'probe: a block to overwrite, but no --probe' 2 'for --probe' doctor --yes-overwrite-lba=0
refuses 'probe: a deadline, but no --probe' 2 'io_timeout is for --probe' doctor --io_timeout=1
refuses 'probe: no time at all' 2 'a time above 0' doctor --probe emu:nvme --yes-overwrite-lba=0 --io_timeout=0

# --- when it goes wrong: the disk is as before, or it is said ---------------------------------------

# fails NAME PATTERN LINES DEVICE OPTION... : status 1, so many sentences, nothing on the standard output
fails()
{
	cp "$work/before" "$work/disk"
	TMPDIR=$work run doctor --probe "emu:nvme,file=$work/disk,nosnoop=all,$4" \
		--yes-overwrite-lba=7 --json "${@:5}"
	sed -i "/the adversary's seed is/d" "$work/err"
	if [[ $status != 1 || -s $work/out || $(lines_of "$work/err") != "$3" ]]; then
		not_ok "$1" "expected status 1 and $3 sentences, got $(said)"
	elif ! grep -Eqi "$2" "$work/err"; then
		not_ok "$1" "expected /$2/, got $(said)"
	else
		ok "$1"
	fi
}

for n in 2 3 4; do
	fails "probe: I/O $n fails" 'LBA 7 of namespace 1 failed' 1 fault=badstatus@$n
	check "probe: I/O $n failed, the disk is as before" cmp "$work/before" "$work/disk"
done
fails 'probe: I/O that hangs' 'not completed in 1000 ms' 1 fault=timeout@5 --io_timeout=1
check 'probe: after I/O that hangs the disk is as before' cmp "$work/before" "$work/disk"
fails "probe: gone: it is said that the block could not be restored" \
	'LBA 7 of namespace 1 could NOT be restored' 2 fault=gone@10
same "probe: gone: what it held is in a file" \
	"$(dd if="$work/before" bs=512 skip=7 count=1 status=none | md5sum)" \
	"$(md5sum < "$work"/nsdk-lba7-*)"
rm -f "$work"/nsdk-lba7-*
cp "$work/before" "$work/disk"
run doctor --probe "emu:nvme,file=$work/disk,nosnoop=all,fault=fatal@10" --yes-overwrite-lba=7
same "probe: fatal: the controller is reset, and the block restored" 1 \
	"$(cmp -s "$work/before" "$work/disk" && echo 1)"

changed()
{
	! cmp -s "$work/before" "$work/disk"
}

for signal in INT TERM; do
	cp "$work/before" "$work/disk"
	"$nsdk" doctor --probe "emu:nvme,file=$work/disk,latency_us=50000" --yes-overwrite-lba=7 \
		--json > "$work/out" 2> "$work/err" &
	pid=$!
	until_true 60 changed || not_ok "probe: SIG$signal" "nothing was overwritten: $(said)"
	kill -$signal $pid
	wait $pid
	same "probe: SIG$signal: status 1, one sentence" '1 1' "$? $(grep -c 'stopped after' "$work/err")"
	check "probe: SIG$signal: the disk is as before" cmp "$work/before" "$work/disk"
done

finish
