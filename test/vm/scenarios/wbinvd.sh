# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The WBINVD gate: what it believes to have executed is what the kernel has executed, on the same
# CPUs, and on no other.
#
# vm: --iommu=intel --smp=4
# timeout: 240

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
. "$(dirname "$0")/../wbinvd.sh"
need_nsdk

device=0000:00:03.0
watch_wbinvd || finish

gate $device 1,2 7
same "the gate is open" 1 "$(gate_said open)"
same "the gate's count is the kernel's on the CPU asked for" "$(kernel_count 1)" "$(gate_said 'executed 1')"
same "and on the other of its CPUs" "$(kernel_count 2)" "$(gate_said 'executed 2')"
same "seven more on the CPU asked for than on the other" 7 \
	$(($(kernel_count 1) - $(kernel_count 2)))
same "never on CPU 0" 0 "$(kernel_count 0)"
same "never on CPU 3" 0 "$(kernel_count 3)"

gate $device 2 20 5
same "no more than the budget" "$(kernel_count 2)" "$(gate_said 'executed 2')"
check "what is over the budget is refused" test "$(gate_said refused)" -ge 13
same "and the kernel did not see it" 0 \
	$(($(kernel_count 0) + $(kernel_count 1) + $(kernel_count 3)))

mv /dev/kvm /dev/kvm.away
gate $device 1 3
mv /dev/kvm.away /dev/kvm
same "without /dev/kvm the gate is closed" 0 "$(gate_said open)"
same "and nothing is believed" 0 "$(gate_said 'executed 1')"
same "and nothing has happened" 0 "$(kernel_count 1)"

# --- the engine: nsdk perf, with a profile in which WBINVD costs nothing --------------------------

export NSDK_PROFILE=$WORK/profile.json
check "a profile in which WBINVD costs nothing" "$NSDK_BUILD/test/functional/cheap_profile" \
	"$NSDK_PROFILE" wbinvd

# engine NAME JQ ARGUMENT… : perf on two of the four CPUs, with the kernel's notes started afresh
engine()
{
	local name=$1 filter=$2
	shift 2
	forget_counts
	nsdk perf $device --rw=randrw --bs=128k --iodepth=16 --numjobs=2 --cpus_allowed=1,2 --verify \
		--number_ios=200 --json "$@" >"$WORK/engine.json" 2>"$WORK/err"
	cp "$WORK/err" "$WORK/engine.err"
	if jq -e ".errors == 0 and .verify_errors == 0 and .status == \"done\" and ($filter)" \
		"$WORK/engine.json" >/dev/null 2>&1; then
		ok "$name"
	else
		not_ok "$name" "$(said) $(jq -c '{status, errors, verify_errors, coherence, flush}' \
			"$WORK/engine.json" 2>&1)"
	fi
}

# engine_count CPU : executions there, as the engine counts them
engine_count()
{
	jq -r ".flush.wbinvd.executed_on.\"$1\" // 0" "$WORK/engine.json"
}

kernel_counts()
{
	echo "$(kernel_count 0) $(kernel_count 1) $(kernel_count 2) $(kernel_count 3)"
}

engine "the engine cleans batches by WBINVD, and the data is right" \
	'.policy == "nosnoop" and .flush.wbinvd.open and .coherence.wbinvd > 0' \
	--policy=nosnoop --wbinvd=kvm --wbinvd-per-second=100000
same "the engine's count is the kernel's, CPU by CPU" "$(kernel_counts)" \
	"0 $(engine_count 1) $(engine_count 2) 0"
check "it ran on both CPUs that did I/O" test "$(kernel_count 1)" -gt 5 -a "$(kernel_count 2)" -gt 5

engine "over the budget it flushes lines, and the data is right" \
	'.flush.wbinvd.over_budget > 0 and .coherence.lines_written_back > 0' \
	--policy=nosnoop --wbinvd=kvm --wbinvd-per-second=2
same "over the budget: the engine's count is the kernel's" "$(kernel_counts)" \
	"0 $(engine_count 1) $(engine_count 2) 0"

engine "off: lines, and the data is right" \
	'.policy == "nosnoop" and .coherence.wbinvd == 0 and .coherence.lines_written_back > 0' \
	--policy=nosnoop
same "off: the kernel has executed nothing" "0 0 0 0" "$(kernel_counts)"

engine "coherent: nothing to do" '.coherence.wbinvd == 0 and .flush.wbinvd.open == false' \
	--policy=coherent --wbinvd=kvm
same "coherent: the kernel has executed nothing" "0 0 0 0" "$(kernel_counts)"

mv /dev/kvm /dev/kvm.away
engine "without /dev/kvm: lines, and the data is right" \
	'.coherence.wbinvd == 0 and .flush.wbinvd.open == false and .coherence.lines_written_back > 0' \
	--policy=nosnoop --wbinvd=kvm
mv /dev/kvm.away /dev/kvm
check "without /dev/kvm: one sentence says why" grep -q 'WBINVD stays closed (.*kvm.*)' "$WORK/engine.err"
same "without /dev/kvm: the kernel has executed nothing" "0 0 0 0" "$(kernel_counts)"

engine "flush lcores in front of a real device" '.flush.flush_cpus == 1' \
	--policy=nosnoop --flush-cpus=3

# The costs are measured where the gate is open, and kept.
# On a machine that does other things as well it may have to be asked again, as it says itself.
measures_wbinvd()
{
	for _ in 1 2 3 4 5 6 7 8; do
		nsdk tune flush --quick --sizes=4k,1m --cpus=1 --wbinvd=kvm --device=$device \
			--output="$WORK/tuned.json" && return 0
		grep -q 'too busy to measure' "$WORK/err" || return 1
	done
	return 1
}
check "nsdk tune flush measures WBINVD" measures_wbinvd
check "and writes it down" jq -e 'any(.flush.tables[]; .what == "wbinvd")' "$WORK/tuned.json"

finish
