# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The WBINVD gate behind an IOMMU that enforces snooping: closed, and nothing happens.
#
# vm: --iommu=intel-snoop-control --smp=4

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
. "$(dirname "$0")/../wbinvd.sh"
need_nsdk

watch_wbinvd || finish

gate 0000:00:03.0 1,2 7
same "enforced: the gate is closed" 0 "$(gate_said open)"
check "enforced: it says why" grep -q 'does not permit no-snoop' "$WORK/gate"
same "enforced: nothing is believed" "0 0" "$(gate_said 'executed 1') $(gate_said 'executed 2')"
same "enforced: the kernel has executed nothing" 0 "$(kernel_count '[0-9]*')"

forget_counts
check "enforced: perf with --wbinvd=kvm" nsdk perf 0000:00:03.0 --rw=randrw --bs=128k --iodepth=16 \
	--number_ios=100 --verify --policy=auto --wbinvd=kvm --json
cp "$WORK/out" "$WORK/engine.json"
check "enforced: coherent, nothing flushed, nothing executed" jq -e \
	'.policy == "coherent" and .coherence.wbinvd == 0 and .coherence.lines_written_back == 0
	 and .flush.wbinvd.executed == 0' "$WORK/engine.json"
same "enforced: the kernel has executed nothing for perf" 0 "$(kernel_count '[0-9]*')"

finish
