#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Broken devices, signals, and people without rights: one sentence each, the result so far, and
# nothing left behind.

. "$(dirname "$0")/tool.bash"

# --- before the run -------------------------------------------------------------------------------

refuses 'a controller that never gets ready' 1 'ready .* 100 ms' perf emu:nvme,size=1m,fault=never-ready \
	--ready_timeout=100ms
refuses 'identify: a controller that never gets ready' 1 'ready' \
	identify emu:nvme,size=1m,fault=never-ready
refuses 'a fatal status during bring-up' 1 'fatal' perf emu:nvme,size=1m,fault=fatal@admin2
refuses 'gone during bring-up' 1 'gone|removed|vanished' perf emu:nvme,size=1m,fault=gone@admin2
refuses 'gone during bring-up, --json' 1 'gone|removed|vanished' \
	perf emu:nvme,size=1m,fault=gone@admin2 --json

# --- in the middle: one sentence, and the result so far -------------------------------------------

# broken NAME PATTERN DEVICE OPTION... (sentences=N: so many, where what is tried is said as well)
sentences=1
broken()
{
	local name=$1 pattern=$2 filter
	shift 2
	filter='.errors > 0 and .status == "failed" and .ios > 0'
	result "$name: the result so far" 1 "$filter" "$@"
	# The cache model's seed is for those who want to see the same again.
	sed -i "/the adversary's seed is/d" "$work/err"
	if [[ $(lines_of "$work/err") == "$sentences" ]] && grep -Eqi "$pattern" "$work/err"; then
		ok "$name: one sentence"
	else
		not_ok "$name: one sentence" "$(said)"
	fi
}

broken 'an I/O error' 'LBA [0-9]+ of namespace 1 failed: .' \
	emu:nvme,size=4m,fault=badstatus@1000 --rw=randrw --iodepth=8 --time_based --runtime=20
sentences=2
broken 'a fatal status, and resets do not help' 'resets did not help' \
	emu:nvme,size=4m,fault=fatal@1000,reset_fails=9 --rw=randrw --iodepth=8 --time_based --runtime=60 \
	--ready_timeout=200ms
broken 'a command that hangs' 'Command Abort Requested' emu:nvme,size=4m,fault=timeout@1000 \
	--rw=randrw --iodepth=8 --io_timeout=1 --time_based --runtime=20
sentences=1
broken 'gone' 'gone|removed|vanished' emu:nvme,size=4m,fault=gone@1000 --rw=randrw --iodepth=8 \
	--time_based --runtime=20
broken 'gone, two jobs' 'gone|removed|vanished' emu:nvme,size=4m,fault=gone@1000 --rw=randrw \
	--iodepth=8 --numjobs=2 --time_based --runtime=20
broken 'gone, no-snoop, verified' 'gone|removed|vanished' emu:nvme,size=16m,fault=gone@6000,nosnoop=data \
	--rw=randrw --iodepth=8 --verify --policy=nosnoop --seed=3
lie='the controller completed command id [0-9]+ on queue 1, which is not outstanding; it has been taken out'
for policy in coherent nosnoop; do
	device=emu:nvme,size=4m,nosnoop=all
	broken "a command that there is not, $policy" "$lie" "$device,fault=badcid@1000" --policy=$policy \
		--rw=randrw --iodepth=8 --time_based --runtime=20
	broken "a completion that comes twice, $policy" "$lie" "$device,fault=twice@1000" --policy=$policy \
		--rw=randrw --iodepth=8 --time_based --runtime=20
done
broken 'an answer for another queue' 'answered on queue 1 for queue 2; it has been taken out' \
	emu:nvme,size=4m,fault=badqid@1000 --rw=randrw --iodepth=8 --time_based --runtime=20
broken 'a head beyond the queue' 'put the head of queue 1 at 16 of 16 entries; it has been taken out' \
	emu:nvme,size=4m,fault=badhead@1000 --rw=randrw --iodepth=8 --time_based --runtime=20
for fault in badcid@admin3 twice@admin4 badqid@admin5 badhead@admin6; do
	refuses "a lie on the admin queue: $fault" 1 'it has been taken out' perf "emu:nvme,size=1m,fault=$fault"
done
refuses 'Identify data that contradicts itself' 1 'Identify reports format 15 of 2' \
	perf emu:nvme,size=1m,fault=identify
refuses 'Identify data that contradicts itself, to be probed' 1 'Identify reports format 15 of 2' \
	doctor --probe emu:nvme,size=1m,fault=identify --yes-overwrite-lba=0
# A buffer that fills all that is mapped for the pool: there is nothing behind it.
for policy in coherent nosnoop; do
	broken "a transfer beyond the buffer, where nothing is mapped, $policy" \
		'is gone: it wrote to IOVA 0x[0-9a-f]+, which is not mapped, and its link was taken down' \
		emu:nvme,size=16m,mdts=9,nosnoop=all,fault=overrun@20 --policy=$policy --bs=2m --rw=read \
		--time_based --runtime=60
done
# What is mapped there is the buffer of another I/O.
result 'a transfer beyond the buffer, into the next one: --verify finds it' 1 \
	'.verify_errors > 0 and .status == "failed" and (.verify.mismatches | length) > 0' \
	emu:nvme,size=4m,fault=overrun@every1 --rw=randrw --iodepth=16 --verify
result 'one of two devices fails: the other goes on' 1 \
	'.[0].status == "failed" and .[1].status == "done" and .[1].ios == 256' \
	emu:nvme,size=1m,fault=gone@100 emu:nvme,size=1m

# --- what the driver mends by itself ---------------------------------------------------------------

mended='.errors == 0 and .verify_errors == 0 and .status == "done" and .ios == 4096'
for fault in fatal@1000 fatal@1000,reset_fails=1; do
	result "fault=$fault is mended" 0 "$mended" emu:nvme,size=16m,nosnoop=all,fault=$fault \
		--rw=randrw --iodepth=8 --verify --policy=nosnoop --seed=5 --ready_timeout=200ms
	check "fault=$fault: it says so" grep -q 'fatal status (CSTS 00000003h); it is reset' "$work/err"
done
result 'a ready bit that flaps is mended' 0 "$mended" emu:nvme,size=16m,nosnoop=all,fault=flap@1000 \
	--rw=randrw --iodepth=8 --verify --policy=nosnoop --seed=5
check 'a ready bit that flaps: it says so' grep -q 'no longer ready (CSTS 00000000h).*it is reset' "$work/err"
result 'two jobs: both go on after a reset' 0 \
	'.errors == 0 and .verify_errors == 0 and .status == "done"' \
	emu:nvme,size=16m,fault=fatal@1000 --rw=randrw --iodepth=8 --verify --numjobs=2

# --- signals --------------------------------------------------------------------------------------

# interrupted NAME SIGNAL SECONDS OPTION...
interrupted()
{
	local name=$1 signal=$2 seconds=$3 pid began
	shift 3
	: > "$work/err" # what the run before said is not to be mistaken for what this one says
	# Whether one hangs takes some time to see.
	[[ $* == *fault=timeout* ]] || set -- "$@" --eta-newline=100ms
	"$nsdk" perf "$@" --eta=always --json > "$work/out" 2> "$work/err" &
	pid=$!
	if ! does_io $pid "$work/err"; then
		kill -KILL $pid 2> /dev/null
		wait $pid 2> /dev/null
		status=$?
		not_ok "$name" "no I/O was done in 60 s: $(said)"
		return
	fi
	[[ $* != *fault=timeout* ]] || hangs "$work/err"
	began=$SECONDS
	kill "-$signal" $pid
	wait $pid
	status=$?
	if [[ $status != 1 ]]; then
		not_ok "$name" "expected status 1, got $(said)"
	elif ((SECONDS - began > seconds)); then
		not_ok "$name" "it took $((SECONDS - began)) s"
	elif [[ $(jq -e '.status == "interrupted" and .ios > 0' "$work/out" 2>&1) != true ]]; then
		not_ok "$name" "$(said)"
	else
		ok "$name"
	fi
}

for signal in INT TERM HUP; do
	interrupted "SIG$signal: the result so far" $signal 20 emu:nvme,size=16m --rw=randrw \
		--time_based --runtime=50 --iodepth=8
	same "SIG$signal: not a word" '' "$(without_progress "$work/err")"
done
interrupted 'SIGINT: verified, no-snoop' INT 20 emu:nvme,size=16m,nosnoop=all --rw=randrw \
	--time_based --runtime=50 --iodepth=8 --verify --policy=nosnoop
check 'SIGINT: no verify errors, and what was not read back is said' \
	jq -e '.errors == 0 and .verify_errors == 0 and .verify.read_back == false' "$work/out"
interrupted 'SIGINT: slow I/O is waited for' INT 20 emu:nvme,size=16m,latency_us=500000 \
	--rw=randread --time_based --runtime=50 --iodepth=4
check 'SIGINT: and counts' jq -e '.errors == 0' "$work/out"
interrupted 'SIGINT: a command that hangs is given up at the deadline' INT 30 \
	emu:nvme,size=4m,fault=timeout@1000 --rw=randread --time_based --runtime=50 --stop_timeout=2
check 'SIGINT: and says so' grep -q 'given up' "$work/err"

# signalled_again PID : one more, unless it has ended
signalled_again()
{
	sleep 0.3
	! kill -INT "$1" 2> /dev/null
}

# Two signals: no waiting at all.
: > "$work/err"
"$nsdk" perf emu:nvme,size=4m,fault=timeout@1000 --rw=randread --time_based --runtime=50 \
	--stop_timeout=50 --eta=always --json > "$work/out" 2> "$work/err" &
pid=$!
does_io $pid "$work/err" && hangs "$work/err"
began=$SECONDS
kill -INT $pid
# Two at once would be one, and a busy machine takes its time to deliver the first.
until_true 60 signalled_again $pid
wait $pid
same 'a second SIGINT ends the wait' '1 yes' \
	"$? $( ((SECONDS - began <= 30)) && echo yes || echo "no, $((SECONDS - began)) s")"

: > "$work/err"
"$nsdk" perf emu:nvme,size=4m,file="$work/disk",nosnoop=all --rw=randrw --time_based --runtime=50 \
	--verify --policy=nosnoop --eta=always --eta-newline=100ms > /dev/null 2> "$work/err" &
pid=$!
does_io $pid "$work/err" || not_ok 'I/O before SIGKILL' "$(said)"
kill -KILL $pid
wait $pid 2> /dev/null
result 'killed with -9: the next run starts clean' 0 '.errors == 0 and .verify_errors == 0' \
	emu:nvme,size=4m,file="$work/disk",nosnoop=all --rw=randrw --verify --policy=nosnoop

# --- an ordinary user -----------------------------------------------------------------------------

if [[ $(id -u) != 0 ]]; then
	as_user=()
elif command -v setpriv > /dev/null; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)
else
	skip 'an ordinary user' 'setpriv(1) is not installed'
	finish
fi
# Where the build is may be closed to others; the tool alone is all it takes.
install -m 755 "$nsdk" "$work/nsdk" && chmod 755 "$work"
user_out=$(cd / && prlimit --memlock=65536:65536 "${as_user[@]}" env -u XDG_RUNTIME_DIR \
	"$work/nsdk" perf emu:nvme,size=4m,nosnoop=all --rw=randrw --verify --policy=nosnoop --json \
	2> "$work/err")
status=$?
if [[ $status == 0 && $(jq '.errors == 0 and .verify_errors == 0 and .ios == 1024' \
	<<< "$user_out") == true ]]; then
	ok 'an ordinary user, with 64 KiB to lock: perf on an emulated device'
else
	not_ok 'an ordinary user, with 64 KiB to lock: perf on an emulated device' \
		"status $status $(head -c 300 "$work/err") ${user_out:0:300}"
fi
user_out=$(cd / && prlimit --memlock=65536:65536 "${as_user[@]}" "$work/nsdk" doctor --json \
	2> "$work/err")
same 'an ordinary user: doctor answers' '0 true' \
	"$? $(jq '[.problems[].topic] | index("memlock") != null' <<< "$user_out")"
user_out=$(cd / && "${as_user[@]}" "$work/nsdk" identify emu:nvme,size=1m --json 2> "$work/err")
same 'an ordinary user: identify' '0 1' "$? $(jq '.namespaces | length' <<< "$user_out")"

finish
