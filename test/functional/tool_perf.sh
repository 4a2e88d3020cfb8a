#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk perf on emulated NVMe: where a job begins and ends; what the result says.

. "$(dirname "$0")/tool.bash"

good='.errors == 0 and .verify_errors == 0 and .coherence.violations == 0 and .status == "done"'

# Zones: of a capacity that --bs does not divide; more passes than one; as many as may be open, and no more.
zoned=emu:nvme,size=16m,zoned=1,zone=1m,zone_cap=772k,max_open=3,max_active=4
for words in '--rw=write' '--rw=write --bs=128k --numjobs=2' '--rw=read' '--rw=randread --number_ios=300' \
	'--rw=write --bs=128k --size=5m --runtime=300ms --time_based'; do
	for path in none:coherent all:nosnoop; do
		checked='.verify.read_back'
		[[ $words == *read* ]] && checked='.verify.blocks_checked >= .ios'
		# shellcheck disable=SC2086
		result "zones: $words, nosnoop=${path%:*}" 0 \
			"$good and .options.zonemode == \"zbd\" and .ios > 0 and $checked" \
			"$zoned,nosnoop=${path%:*}" --zonemode=zbd --verify --iodepth=5 --policy="${path#*:}" $words
	done
done
result 'zones: reads beside writes' 0 "$good and .ios == 4000" \
	$zoned --zonemode=zbd --rw=rw --iodepth=4 --number_ios=4000 --time_based --runtime=60s
result 'zones: read as any other' 0 "$good and .ios == 500" $zoned --rw=randread --number_ios=500 --iodepth=4
refuses 'zones: written as any other' 1 'say --zonemode=zbd' perf $zoned --rw=write
refuses 'zones: written in any order' 2 'zones from their start on' perf $zoned --zonemode=zbd --rw=randwrite
refuses 'zones: of what has none' 1 'is for zoned namespaces' perf emu:nvme --zonemode=zbd
refuses 'zones: more jobs than may be open' 1 'numjobs=4 is more' perf $zoned --zonemode=zbd --rw=write --numjobs=4
refuses 'zones: not from the start of one' 1 'not at the start' perf $zoned --zonemode=zbd --offset=512k
refuses 'zones: less than one' 1 'too few' perf $zoned --zonemode=zbd --size=512k
refuses 'zones: blocks that are larger' 1 'more than the 790528 bytes' perf $zoned --zonemode=zbd --bs=1m
refuses 'zones: one that cannot be written' 1 'READONLY: give --offset' perf $zoned,zones_ro=1 --zonemode=zbd --rw=write
refuses 'zones: what mode?' 2 'none or zbd' perf $zoned --zonemode=some

# --- interrupts -----------------------------------------------------------------------------------

# An I/O takes long enough that whoever waits for it goes to sleep, now and then at least.
asleep=emu:nvme,size=2m,thread=1,latency_us=300
for mode in interrupt adaptive; do
	for path in none:coherent all:nosnoop; do
		result "--mode=$mode, nosnoop=${path%:*}" 0 \
			"$good and .options.mode == \"$mode\" and .verify.read_back and .lcores[0].sleeps > 0
				and .lcores[0].slept_ns > 0" \
			"$asleep,nosnoop=${path%:*}" --rw=randrw --verify --number_ios=300 --iodepth=4 \
			--policy="${path#*:}" --mode=$mode
		same "--mode=$mode, nosnoop=${path%:*}: no interrupt was missed" '' "$(grep 'did not come' "$work/err")"
	done
done
result '--mode=poll: nobody sleeps' 0 \
	"$good and .options.mode == \"poll\" and .lcores[0].sleeps == 0 and .lcores[0].busy_ns > 0" \
	$asleep --number_ios=20
result '--mode=interrupt: fewer vectors than jobs' 0 "$good and .ios == 400 and (.lcores | length) >= 1" \
	$asleep,vectors=2 --rw=randread --numjobs=4 --number_ios=100 --mode=interrupt
result '--mode=interrupt: a reset' 0 "$good and .ios == 400" \
	$asleep,fault=fatal@200 --rw=randread --number_ios=400 --mode=interrupt
check '--mode=interrupt: a reset: it was one' grep -q 'has been reset and goes on' "$work/err"
result '--mode=interrupt: a command that hangs' 1 '.errors == 1 and .status == "failed"' \
	$asleep,fault=timeout@50 --rw=randread --number_ios=400 --mode=interrupt --io_timeout=500ms
result '--mode=interrupt: pulled out' 1 '.errors > 0 and .status == "failed"' \
	$asleep,fault=gone@50 --rw=randread --number_ios=400 --mode=interrupt
result '--mode=interrupt: interrupts get lost' 0 "$good and .ios == 12" \
	emu:nvme,size=2m,thread=1,latency_us=100000,fault=lostirq@every1 --rw=randread --number_ios=12 --mode=interrupt
same '--mode=interrupt: interrupts get lost: said once' 1 "$(grep -c 'an interrupt of queue 1 did not come' "$work/err")"
result '--mode=interrupt: a model that has to be polled is' 0 "$good and .lcores[0].sleeps == 0" \
	emu:nvme,size=1m --number_ios=100 --mode=interrupt
same '… and that is said' 1 "$(grep -c 'its queues are polled; say thread=1' "$work/err")"
result '--thinktime' 0 "$good and .runtime_ns > 80000000 and .options.thinktime_ns == 20000000" \
	emu:nvme,size=1m --number_ios=5 --thinktime=20ms
refuses '--mode: which?' 2 'poll, interrupt or adaptive' perf emu:nvme --mode=sometimes
refuses '--idle: of what?' 2 'is of --mode=adaptive' perf emu:nvme --mode=interrupt --idle=1ms

result 'a file behind it' 0 "$good" emu:nvme,size=4m,file="$work/disk" --rw=randrw --verify
result 'and what an earlier run left there' 0 "$good" \
	emu:nvme,size=4m,file="$work/disk" --rw=randrw --verify

# --- how much -------------------------------------------------------------------------------------

result 'size: one pass over the namespace' 0 "$good and .ios == 256" emu:nvme,size=1m
result '--size in bytes' 0 '.ios == 16' emu:nvme,size=1m --size=64k
result '--size as a percentage' 0 '.ios == 128' emu:nvme,size=1m --size=50%
result '--offset as a percentage' 0 '.ios == 192' emu:nvme,size=1m --offset=25%
result '--offset and --size' 0 '.ios == 4' emu:nvme,size=1m --offset=1020k --size=4k --bs=1k
result '--number_ios ends it' 0 '.ios == 100' emu:nvme,size=1m --number_ios=100
result '--number_ios does not extend --size' 0 '.ios == 16' \
	emu:nvme,size=1m --size=64k --number_ios=1000
result '--numjobs: each does all of it' 0 '.ios == 1024 and (.cpus | length) == 4' \
	emu:nvme,size=1m --numjobs=4
result '--numjobs --verify: each does its part' 0 "$good and .ios == 256" \
	emu:nvme,size=1m --numjobs=4 --rw=randrw --verify
result '--rwmixread=0' 0 '.read.ios == 0 and .write.ios == 256' \
	emu:nvme,size=1m --rw=randrw --rwmixread=0
result '--rwmixread=100' 0 '.read.ios == 256 and .write.ios == 0' \
	emu:nvme,size=1m --rw=rw --rwmixread=100
result '--rwmixread=90' 0 '.read.ios > 8 * .write.ios * 0.7 and .write.ios > 200' \
	emu:nvme,size=16m --rw=randrw --rwmixread=90
result '--runtime ends it' 0 '.runtime_ns > 3e8 and .ios > 0 and .ios < 256' \
	emu:nvme,size=1m,latency_us=2000 --rw=randread --runtime=300ms
result '--runtime is a limit, not a wish' 0 '.runtime_ns < 1e10 and .ios == 256' \
	emu:nvme,size=1m --runtime=20
result '--time_based goes on to the end' 0 '.runtime_ns > 4e8 and .ios > 256' \
	emu:nvme,size=1m --rw=randread --runtime=500ms --time_based --iodepth=8
result '--time_based --verify' 0 "$good and .ios > 256" \
	emu:nvme,size=1m,nosnoop=data --rw=randrw --runtime=500ms --time_based --iodepth=8 --verify \
	--policy=nosnoop
result '--runtime --verify ends in time' 0 "$good and .verify.read_back" \
	emu:nvme,size=256m,latency_us=100 --rw=randrw --runtime=300ms --verify

# --- what the result says -------------------------------------------------------------------------

keys='(["device", "policy", "verdict", "ios", "iops", "bw_bytes", "errors", "verify_errors", "lat_ns",
	"coherence"] - keys == [])
	and (["state", "reason"] - (.verdict | keys) == [])
	and (["min", "mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"] - (.lat_ns | keys) == [])
	and (["batches", "lines_written_back", "lines_invalidated", "bytes_skipped_clean", "wbinvd",
	      "violations"] - (.coherence | keys) == [])'
result 'all the keys' 0 "$keys" emu:nvme,size=1m
result 'latencies are in order' 0 \
	'.lat_ns | .min > 0 and .min <= .p50 and .p50 <= .p90 and .p90 <= .p99 and .p99 <= .p99_9
	 and .p99_9 <= .p99_99 and .p99_99 <= .max and .mean >= .min and .mean <= .max' \
	emu:nvme,size=4m --rw=randread --iodepth=4
result 'latency is what the device takes' 0 '.lat_ns.min >= 5e5 and .lat_ns.p50 < 5e7' \
	emu:nvme,size=256k,latency_us=500
result 'IOPS, bandwidth and time agree' 0 \
	'(.ios / (.runtime_ns / 1e9) / .iops | . > 0.99 and . < 1.01)
	 and (.iops * 4096 / .bw_bytes | . > 0.99 and . < 1.01)' emu:nvme,size=4m
result 'several devices: an array, in order' 0 \
	'type == "array" and length == 2 and .[0].block_bytes == 512 and .[1].block_bytes == 4096
	 and all(.[]; .errors == 0)' emu:nvme,size=1m emu:nvme,size=1m,lba=4096 --verify --rw=randrw
if (($(nproc) >= 2)); then
	result 'two devices on two CPUs: one each' 0 '.[0].cpus != .[1].cpus' \
		emu:nvme,size=1m emu:nvme,size=1m --cpus_allowed=0,1
	result 'jobs take the CPUs of the list in turn' 0 '.cpus == [1, 0, 1]' \
		emu:nvme,size=1m --numjobs=3 --cpus_allowed=1,0
else
	skip 'two devices on two CPUs: one each' 'there is one CPU'
fi
result 'more jobs than CPUs' 0 '.ios == 1280 and .cpus == [0, 0, 0, 0, 0]' \
	emu:nvme,size=1m --numjobs=5 --cpus_allowed=0
result 'auto falls back where snooping is enforced' 0 \
	'.policy == "coherent" and .policy_asked == "auto" and .verdict.state == "enforced"' \
	emu:nvme,size=1m --policy=auto
result 'auto takes no-snoop where it is permitted' 0 '.policy == "nosnoop"' \
	emu:nvme,size=1m,nosnoop=data --policy=auto

# --- --coherence-check ----------------------------------------------------------------------------

result '--coherence-check: everything is watched, and nothing found' 0 '
	.policy == "nosnoop" and .verify.read_back and .device == "emu:nvme,size=1m,nosnoop=all,seed=42"
	and (.cache_model | .seed == 42 and .violations == 0 and .kept == []
		and .watched.device_reads > 500 and .watched.device_writes > 500
		and .watched.lines_written_back > 0 and .watched.fences > 0 and .watched.evictions > 0)' \
	emu:nvme,size=1m --rw=randrw --iodepth=8 --coherence-check=42
same '--coherence-check: not a word' '' "$(cat "$work/err")"
result '--coherence-check: two devices, two jobs each' 0 \
	'all(.[]; .cache_model.violations == 0 and .verify_errors == 0)' \
	emu:nvme,size=1m emu:nvme,size=1m,lba=4096,nosnoop=data --rw=randrw --numjobs=2 --coherence-check
run perf emu:nvme,size=1m --rw=randwrite --coherence-check
check '--coherence-check: for people, with the seed' grep -Pzq \
	"(?s)\ncache model, adversary's seed [1-9][0-9]*\n  watched     [1-9].*\n  violations  none\n\$" \
	"$work/out"
refuses '--coherence-check: hardware is refused, and why' 2 'hardware does not go through' \
	perf 0000:00:03.0 --coherence-check
refuses '--coherence-check: another policy is refused' 2 'takes another' \
	perf emu:nvme --coherence-check --policy=coherent
refuses '--coherence-check: a device without no-snoop is refused' 1 'no-snoop|snoops' \
	perf emu:nvme,size=1m,nosnoop=none --coherence-check

run perf emu:nvme,size=1m --json="$work/result.json"
check '--json=FILE is JSON' jq -e '.ios == 256' "$work/result.json"
check '--json=FILE leaves the table' grep -q 'I/Os in' "$work/out"
same '--json=FILE leaves nothing else' 'result.json' "$(cd "$work" && echo result.json*)"
same '--json=FILE is an ordinary file' "$(stat -c %a "$work/out")" "$(stat -c %a "$work/result.json")"
run perf emu:nvme,size=1m --ns=7 --json="$work/none.json"
same '--json=FILE: a run that fails at once leaves no file' 'none.json*' \
	"$(cd "$work" && echo none.json*)"
echo precious > "$work/kept.json"
run perf emu:nvme,size=1m --ns=7 --json="$work/kept.json"
same '--json=FILE: and an old one alone' precious "$(cat "$work/kept.json")"
run perf emu:nvme,size=1m --json=/dev/null
same '--json=FILE: something that is no regular file' 0 "$status"

# How much each class gets depends on how long it ran; that none gets more than those above it does not, as
# one CPU does the I/O of all.
cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
result 'queues with priorities' 0 \
	'.errors == 0 and .arbitration.high_weight == 12 and .arbitration.medium_weight == 8 and
	.arbitration.low_weight == 1 and .arbitration.burst == 4 and
	[.arbitration.jobs[].priority] == ["high", "medium", "low", "high"] and
	([.arbitration.jobs[].ios] | add) == .ios and
	.arbitration.jobs[0].ios >= .arbitration.jobs[2].ios and
	.arbitration.jobs[1].share >= .arbitration.jobs[2].share' \
	emu:nvme,size=1m,wrr=1 --rw=randrw --wrr_priority=high,medium,low --high_weight=12 --low_weight=1 \
	--arbitration_burst=4 --numjobs=4 --cpus_allowed="$cpu" --iodepth=64 --runtime=200ms --time_based
run perf emu:nvme,size=1m,wrr=1 --wrr_priority=urgent,low --numjobs=3 --number_ios=50
check 'the table says what each class got' \
	grep -Pzq '(?s)urgent +100 I/Os of 2 jobs, 66.7 %.*low +50 I/Os of 1 job, 33.3 %' "$work/out"
refuses 'priorities on a controller without them' 1 'does not offer weighted round robin' \
	perf emu:nvme,size=1m --wrr_priority=high
result 'writes with placement identifiers' 0 \
	'.errors == 0 and .verify_errors == 0 and .ios == 256 and .placement.select == "random" and
	.placement.pids == [2, 0]' \
	emu:nvme,size=1m,fdp=1 --rw=randrw --verify --fdp=1 --plids=2,0 --plid_select=random --numjobs=2
result 'and with protection information' 0 \
	'.errors == 0 and .verify_errors == 0 and .placement.select == "roundrobin" and
	(.placement.pids | length) > 1' \
	emu:nvme,size=1m,fdp=1,ms=8,pi=1 --rw=write --verify --dataplacement=fdp
refuses 'placement where there is none' 1 'namespace 1 of .* has no flexible data placement' \
	perf emu:nvme,size=1m --rw=write --fdp=1
refuses 'a placement identifier that there is not' 1 '--plids=77: namespace 1 .* has 4 placement identifiers' \
	perf emu:nvme,size=1m,fdp=1 --rw=write --fdp=1 --plids=0,77
run perf emu:nvme,size=1m --rw=randrw --verify
check 'the table names what is in force' \
	grep -Pzq '(?s)enforced: .*policy +coherent.*IOPS.*read.*write.*both.*verify.*coherence.*done' \
	"$work/out"
same 'no progress in a pipe' '' "$(cat "$work/err")"
run perf emu:nvme,size=1m --rw=randread --runtime=700ms --time_based --eta=always --eta-newline=200ms
# Without the option there would be none before a second is over; how many there are is up to the machine.
if grep -Eq '^randread: [0-9]+ s, [0-9]+ %, [0-9]+ s left, .* IOPS, .*/s, 0 errors$' "$work/err" &&
	[[ -z $(without_progress "$work/err") ]]; then
	ok '--eta=always: lines in a pipe'
else
	not_ok '--eta=always: lines in a pipe' "$(said)"
fi
if script -qec true /dev/null > /dev/null 2>&1 < /dev/null; then
	TERM=dumb timeout 30 script -qec \
		"'$nsdk' perf emu:nvme,size=1m --rw=randread --runtime=2500ms --time_based" /dev/null \
		> "$work/tty" < /dev/null
	check 'progress on a terminal' grep -q 'IOPS, .*/s, 0 errors' "$work/tty"
	check 'progress says how long it takes' grep -Eq '[0-9]+ %, [0-9]+ s left' "$work/tty"
	TERM=dumb timeout 30 script -qec \
		"'$nsdk' perf emu:nvme,size=1m --runtime=400ms --time_based --eta=never --eta-newline=100ms" /dev/null \
		> "$work/tty" < /dev/null
	same '--eta=never: not on a terminal either' 0 "$(grep -c ' left' "$work/tty")"
else
	skip 'progress on a terminal' 'script(1) is not installed, or there are no pseudo-terminals (/dev/pts)'
fi
"$nsdk" perf emu:nvme,size=1m > /dev/full 2> "$work/err"
same 'a full disk under the standard output is a failure' 1 $?
"$nsdk" perf emu:nvme,size=1m 2> "$work/err" | true
same 'a reader that went away is none' 0 "${PIPESTATUS[0]}"

finish
