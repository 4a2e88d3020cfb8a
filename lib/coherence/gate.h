/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The WBINVD gate: writing back a whole CPU's caches from user space, on named CPUs only.
 *
 * WBINVD is a privileged instruction, and a hard one: it stops the CPU for up to milliseconds and
 * evicts everybody's data. The gate is how the engine gets at it where the kernel agrees, and the
 * place where it is kept within bounds: only with a proof, only on CPUs that may hold our dirty
 * lines, only so many times a second, each one counted.
 */
#ifndef NSDK_COHERENCE_GATE_H
#define NSDK_COHERENCE_GATE_H

#include <nsdk/types.h>

struct nsdk_gate;

/*
 * How a gate reaches the instruction. One table for each way; tests bring their own.
 * Everything is called with the gate's lock held, except run().
 */
struct nsdk_gate_ops {
	const char *name;
	/* Make what is needed, for the CPUs of the mask. On failure a reason and -errno. */
	int (*open)(void **priv, const nsdk_cpumask_t *cpus, char *reason, size_t reason_bytes);
	void (*close)(void *priv);
	/* Present the device's file as the proof that we may bypass the caches, or take it back. */
	int (*add_proof)(void *priv, int device_fd, char *reason, size_t reason_bytes);
	void (*remove_proof)(void *priv, int device_fd);
	/*
	 * Execute WBINVD on one CPU and wait for it. Called on a thread pinned to that CPU.
	 * @return 0 it was executed there; -errno it was not, or may not have been.
	 */
	int (*run)(void *priv, unsigned cpu);
};

extern const struct nsdk_gate_ops nsdk_gate_kvm; /* lib/coherence/gate_kvm.c */

struct nsdk_gate_stats {
	uint64_t executed;       /* all CPUs added up */
	uint64_t refused_budget; /* asked for, but over the budget */
	uint64_t failed;
};

/*
 * Make a gate. It is closed until a device has been added as proof.
 *
 * @cpus: where it may ever run; one thread is kept on each.
 * @per_second: the budget, in executions on a CPU, all CPUs added up; 0: 10.
 * Returns 0; -errno with a sentence logged.
 */
int nsdk_gate_create(const struct nsdk_gate_ops *ops, const nsdk_cpumask_t *cpus,
		     unsigned per_second, struct nsdk_gate **out);
void nsdk_gate_destroy(struct nsdk_gate *gate);

/*
 * Add a device as proof; the first opens the gate. The caller has asked the verdict: only a device
 * whose address space permits no-snoop may be added, since for another the kernel would skip the
 * instruction silently. The gate then checks the little that can be checked (see gate.c).
 * Returns 0; -EOPNOTSUPP and the gate is as before: nsdk_gate_reason() says why.
 */
int nsdk_gate_add_device(struct nsdk_gate *gate, int device_fd, bool permitted);
/*
 * Take it back; the last closes the gate. A WBINVD that was started and not polled to its end is waited
 * for, and counts as failed.
 */
void nsdk_gate_remove_device(struct nsdk_gate *gate, int device_fd);

bool nsdk_gate_is_open(const struct nsdk_gate *gate);
/* Why it is closed, or "" when it is open. Threading: while nobody else changes the gate. */
const char *nsdk_gate_reason(const struct nsdk_gate *gate);
/* The same. Threading: any; waits for what holds the gate. */
void nsdk_gate_copy_reason(struct nsdk_gate *gate, char *reason, size_t reason_bytes);

/*
 * The same as nsdk_gate_wbinvd() below, without waiting: begin, then poll until it is over.
 *
 * Start returns 0: under way, to be polled by the same caller. -EBUSY: another one is under way.
 * -EAGAIN, -EPERM: as below. None was executed unless 0. Waking the threads that execute it is a
 * system call for each, beside the milliseconds that WBINVD takes.
 * Poll returns 1: not over yet; 0: executed on all; -EIO: not, or not on all: believe none.
 * Threading: as below; from a reactor, too.
 */
int nsdk_gate_start(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus);
int nsdk_gate_poll(struct nsdk_gate *gate);

/*
 * Write back the caches of exactly the CPUs in the mask, all at once, and wait.
 * Returns 0: every one of them has executed it, after this call began. -EAGAIN: over the budget,
 * none was executed. -EPERM: closed, or a CPU of the mask is not the gate's: none was executed.
 * -EIO: one failed; the others may have run; believe none. -EBUSY: one that was started with
 * nsdk_gate_start() is under way.
 * Threading: any thread; calls are serialised. Never from a reactor: it waits.
 */
int nsdk_gate_wbinvd(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus);

void nsdk_gate_stats(struct nsdk_gate *gate, struct nsdk_gate_stats *out);
/* Executions on one CPU. */
uint64_t nsdk_gate_executed_on(const struct nsdk_gate *gate, unsigned cpu);

#endif
