/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wbinvd_gate DEVICE CPUS COUNT [BUDGET]: opens the WBINVD gate for the CPUs with the device as proof,
 * and asks COUNT times for the first of them. Prints what the gate believes, for a test that knows
 * from the kernel what happened:
 *
 *	open 1
 *	executed 1 8     (CPU, times)
 *	refused 0
 *
 * Without arguments it is a skipped test: it takes a device behind VFIO.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>

#include "lib/bus/bus_internal.h"
#include "lib/coherence/gate.h"

int main(int argc, char **argv)
{
	struct nsdk_device_opts opts = { .opts_bytes = sizeof(opts), .bind = true };
	struct nsdk_gate_stats stats;
	nsdk_cpumask_t cpus, first;
	struct nsdk_device *dev;
	struct nsdk_gate *gate;
	int fd, rc;

	if (argc < 4) {
		printf("skip - wbinvd_gate: it takes a device behind VFIO; the VM lab has one\n");
		return argc == 1 ? 0 : 2;
	}
	if (nsdk_cpumask_parse(argv[2], &cpus) != 0 || nsdk_device_attach(argv[1], &opts, &dev) != 0)
		return 1;
	memset(&first, 0, sizeof(first));
	nsdk_cpumask_set(&first, (unsigned)nsdk_cpumask_next(&cpus, 0));
	fd = nsdk_device_fd(dev);
	rc = nsdk_gate_create(&nsdk_gate_kvm, &cpus, argc > 4 ? (unsigned)atoi(argv[4]) : 1000, &gate);
	if (rc != 0) {
		nsdk_device_detach(dev);
		return 1;
	}
	rc = nsdk_gate_add_device(gate, fd,
				  nsdk_device_verdict(dev)->state == NSDK_SNOOP_PERMITTED);
	printf("open %d\n", nsdk_gate_is_open(gate));
	if (!nsdk_gate_is_open(gate))
		printf("reason %s\n", nsdk_gate_reason(gate));
	for (int i = atoi(argv[3]); i > 0; i--)
		(void)nsdk_gate_wbinvd(gate, &first);
	for (int cpu = nsdk_cpumask_next(&cpus, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(&cpus, (unsigned)cpu + 1))
		printf("executed %d %llu\n", cpu,
		       (unsigned long long)nsdk_gate_executed_on(gate, (unsigned)cpu));
	nsdk_gate_stats(gate, &stats);
	printf("refused %llu\n", (unsigned long long)stats.refused_budget);
	if (rc == 0)
		nsdk_gate_remove_device(gate, fd);
	nsdk_gate_destroy(gate);
	nsdk_device_detach(dev);
	return 0;
}
