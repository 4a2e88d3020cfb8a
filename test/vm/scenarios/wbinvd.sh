# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The WBINVD gate: what it believes to have executed is what the kernel has executed, on the same
# CPUs, and on no other.
#
# vm: --iommu=intel --smp=4

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

finish
