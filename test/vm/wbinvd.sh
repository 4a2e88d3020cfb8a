# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Watching the kernel execute WBINVD: a probe on wbinvd_ipi, which runs on each CPU that does it.

tracing=/sys/kernel/tracing

# watch_wbinvd : from now on executions are noted; a skip where the kernel cannot.
watch_wbinvd()
{
	if ! echo 'p:nsdk_wbinvd wbinvd_ipi' > $tracing/kprobe_events 2>/dev/null; then
		skip "WBINVD" "this kernel has no probes"
		return 1
	fi
	echo 1 > $tracing/events/kprobes/nsdk_wbinvd/enable
}

# forget_counts : the kernel's notes start afresh.
forget_counts()
{
	echo > $tracing/trace
}

# gate DEVICE CPUS COUNT [BUDGET] : runs the test program, with the kernel's notes started afresh.
gate()
{
	forget_counts
	check "the gate for CPU $2 of $1, $3 times" "$NSDK_BUILD/test/functional/wbinvd_gate" "$@"
	cp "$WORK/out" "$WORK/gate"
}

# gate_said WORDS : the number behind these words in what the program printed.
gate_said()
{
	sed -n "s/^$1 //p" "$WORK/gate"
}

# kernel_count CPU : how often it happened there.
kernel_count()
{
	grep -c "\[0*$1\].*nsdk_wbinvd" $tracing/trace
}
