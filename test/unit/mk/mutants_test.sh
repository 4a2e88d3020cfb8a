#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# mk/mutants finds every cache operation in the sources, and says so when one cannot be switched off.
# Each case is a small tree of sources; what the mutants do to the tests is seen in make check-mutants.

set -u

src=${NSDK_SRC:?}
if ! command -v python3 > /dev/null; then
	echo 'skip - mk/mutants: python3 is missing (apt-get install python3)'
	exit 0
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0

# A tree that is as it should be.
tree() {
	rm -rf "$tmp/tree"
	mkdir -p "$tmp/tree/lib/coherence" "$tmp/tree/lib/mem" "$tmp/tree/drivers/disk"
	printf 'srcs := io.c\n' > "$tmp/tree/drivers/disk/Makefile"
	printf 'void f(void)\n{\n\tbatch->ops->writeback(va, 1);\n\tbatch->unfenced = true;\n}\n' \
		> "$tmp/tree/lib/coherence/batch.c"
	printf 'void nsdk_sync_for_cpu(int a)\n{\n\tif (a)\n\t\tcoh->ops->fence_for_cpu();\n\telse\n\t\ta = 0;\n}\n' \
		> "$tmp/tree/lib/coherence/sync.c"
	printf 'void p(void)\n{\n\tops->writeback_invalidate(lines, 1);\n}\n' > "$tmp/tree/lib/coherence/gate.c"
	for name in produce shadow crew_job; do
		printf 'void s(void)\n{\n\tops->fence_for_cpu();\n}\n' > "$tmp/tree/lib/coherence/$name.c"
	done
	printf 'void t(void)\n{\n\tops->fence_for_cpu();\n}\n' > "$tmp/tree/lib/coherence/tune.c"
	printf 'void g(void)\n{\n\tops->fence_for_device();\n}\n' > "$tmp/tree/lib/mem/domain.c"
	printf 'bool nsdk_flush_batch_begin(int a)\n{\n\tif (!nsdk_flight_poll(a) && b)\n\t\treturn true;\n}\n' \
		> "$tmp/tree/lib/coherence/flight.c"
	printf 'void h(void)\n{\n\t/* nsdk_sync_for_cpu(1) */\n\tnsdk_sync_for_device(coh, (void *)va,\n\t\t\t     2);\n}\n' \
		> "$tmp/tree/drivers/disk/io.c"
}

listed() {
	NSDK_MUTANTS_SRC=$tmp/tree "$src/mk/mutants" --list "$tmp/build" > "$tmp/out" 2>&1
}

check() { # check NAME COMMAND...
	local name=$1

	shift
	if "$@"; then
		echo "ok - mk/mutants: $name"
	else
		echo "not ok - mk/mutants: $name: $(tr '\n' ' ' < "$tmp/out")"
		status=1
	fi
}

tree
lists_all() {
	listed && cmp -s "$tmp/out" - << 'END'
1 lib/coherence/batch.c:3: batch->ops->writeback(va, 1);
2 lib/coherence/batch.c:4: batch->unfenced = true;
3 lib/coherence/crew_job.c:3: ops->fence_for_cpu();
4 lib/coherence/flight.c:3: nsdk_flight_poll(a)
5 lib/coherence/produce.c:3: ops->fence_for_cpu();
6 lib/coherence/shadow.c:3: ops->fence_for_cpu();
7 lib/coherence/sync.c:4: coh->ops->fence_for_cpu();
8 lib/mem/domain.c:3: ops->fence_for_device();
9 drivers/disk/io.c:4: nsdk_sync_for_device(coh, (void *)va, 2);
END
}
check 'lists calls, questions and marks, no definition, comment or exception' lists_all

complains() { # complains WHERE-AND-WHAT
	! listed && grep -q "^not ok - mutants: $1" "$tmp/out"
}

printf 'int k(void)\n{\n\treturn x + nsdk_sync_for_cpu(coh);\n}\n' > "$tmp/tree/drivers/disk/poll.c"
check 'a call in an expression' complains 'drivers/disk/poll.c:3: .*cannot be switched off'

tree
printf 'void k(void)\n{\n\tx ? ops->fence_for_cpu() : (void)0;\n}\n' > "$tmp/tree/lib/mem/pool.c"
check 'a call in a choice' complains 'lib/mem/pool.c:3: .*cannot be switched off'

tree
printf 'void k(void)\n{\n\tint rc = 0;\n}\n' > "$tmp/tree/lib/mem/domain.c"
check 'a file that has lost all its operations' complains 'lib/mem/domain.c: no cache operation'

tree
printf 'void k(void)\n{\n\tint rc = 0;\n}\n' > "$tmp/tree/drivers/disk/io.c"
check 'a driver that has none' complains 'drivers/disk: a driver without'

tree
rm "$tmp/tree/lib/coherence/gate.c"
check 'an exception for what is gone' complains 'lib/coherence/gate.c: the exception'

exit $status
