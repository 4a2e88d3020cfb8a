/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process has to flush with: flush lcores, the WBINVD gate, and the costs to choose by.
 *
 * All of it belongs to the process, not to a device, and is set up once, before the first no-snoop
 * engine; without it every batch is cleaned by line operations of the CPU that submits it. Engines
 * hold what is set up, so it cannot go while one is there.
 *
 * The gate may run on the CPUs of the reactors' lcores, or where there are none, on those of the
 * thread that sets up: the CPUs on which stores to DMA buffers are known to be made. A buffer that any
 * other CPU may have stored to is cleaned by line operations.
 */
#include "flusher.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "lib/bus/bus_internal.h"
#include "lib/env/env_internal.h"
#include "lib/env/opts.h"

#define QUIESCE_TIMEOUT_NS ((uint64_t)1000 * 1000 * 1000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nsdk_flusher *the_flusher;
static unsigned holders;

/* The CPUs that the gate may run on. */
static int gate_cpus(const char *list, nsdk_cpumask_t *out)
{
	unsigned count = nsdk_env_lcore_count();
	int error;

	if (list) {
		error = nsdk_cpumask_parse(list, out);
		return error ? error : nsdk_env_check_cpus(out);
	}
	memset(out, 0, sizeof(*out));
	if (count == 0)
		return nsdk_cpumask_get_affinity(out);
	for (unsigned i = 0; i < count; i++)
		nsdk_cpumask_set(out, (unsigned)nsdk_env_lcore_cpu(i));
	return 0;
}

/* Flush lcores never sleep, and an lcore that shares its CPU with one has half of it. */
static int check_overlap(const nsdk_cpumask_t *flush_cpus)
{
	for (unsigned i = 0; i < nsdk_env_lcore_count(); i++) {
		int cpu = nsdk_env_lcore_cpu(i);

		if (nsdk_cpumask_test(flush_cpus, (unsigned)cpu))
			return nsdk_fail(-EINVAL, "coherence",
					 "CPU %d is to be a flush CPU and does I/O too; take it out of one "
					 "of the two lists", cpu);
	}
	return 0;
}

static int make_crew(struct nsdk_flusher *flusher, const struct nsdk_flush_opts *opts)
{
	nsdk_cpumask_t cpus;
	int error;

	if (!opts->flush_cpus)
		return 0;
	error = nsdk_cpumask_parse(opts->flush_cpus, &cpus);
	if (!error)
		error = check_overlap(&cpus);
	if (!error)
		error = nsdk_crew_create(&cpus, opts->flush_timeout_ns, &flusher->crew);
	return error;
}

static int make_gate(struct nsdk_flusher *flusher, const struct nsdk_flush_opts *opts,
		     const struct nsdk_gate_ops *ops)
{
	nsdk_cpumask_t cpus;
	int error;

	if (opts->wbinvd == NSDK_WBINVD_OFF)
		return 0;
	if (opts->wbinvd != NSDK_WBINVD_KVM)
		return nsdk_fail(-EINVAL, "coherence", "there is no way number %u to WBINVD",
				 (unsigned)opts->wbinvd);
	error = gate_cpus(opts->wbinvd_cpus, &cpus);
	return error ? error : nsdk_gate_create(ops, &cpus, opts->wbinvd_per_second, &flusher->gate);
}

static void make_planner(struct nsdk_flusher *flusher, const struct nsdk_flush_opts *opts)
{
	struct nsdk_profile *profile = NULL;

	if (!opts->no_profile)
		(void)nsdk_profile_load(&profile); /* what is wrong with it has been said */
	nsdk_planner_from_profile(&flusher->planner, profile);
	nsdk_profile_free(profile);
}

static void flusher_free(struct nsdk_flusher *flusher)
{
	nsdk_gate_destroy(flusher->gate);
	nsdk_crew_destroy(flusher->crew);
	free(flusher);
}

static int make(const struct nsdk_flush_opts *opts, const struct nsdk_gate_ops *gate_ops,
		bool takes_any_ops, struct nsdk_flusher **out)
{
	struct nsdk_flusher *flusher = calloc(1, sizeof(*flusher));
	int error;

	if (!flusher)
		return nsdk_fail(-ENOMEM, "coherence", "no memory for the ways to flush");
	flusher->gate_takes_any_ops = takes_any_ops;
	error = make_crew(flusher, opts);
	if (!error)
		error = make_gate(flusher, opts, gate_ops);
	if (error) {
		flusher_free(flusher);
		return error;
	}
	make_planner(flusher, opts);
	*out = flusher;
	return 0;
}

int nsdk_flusher_setup(const struct nsdk_flush_opts *user_opts, const struct nsdk_gate_ops *gate_ops,
		       bool takes_any_ops)
{
	struct nsdk_flush_opts opts;
	int error;

	error = nsdk_opts_take(&opts, sizeof(opts), user_opts, "coherence");
	if (error)
		return error;
	pthread_mutex_lock(&lock);
	if (the_flusher)
		error = nsdk_fail(-EALREADY, "coherence",
				  "the ways to flush are set up already; nsdk_flush_teardown() comes first");
	else if (holders)
		error = nsdk_fail(-EBUSY, "coherence",
				  "the ways to flush are set up before the first no-snoop device, not after");
	else
		error = make(&opts, gate_ops, takes_any_ops, &the_flusher);
	pthread_mutex_unlock(&lock);
	return error;
}

int nsdk_flush_setup(const struct nsdk_flush_opts *opts)
{
	return nsdk_flusher_setup(opts, &nsdk_gate_kvm, false);
}

int nsdk_flush_teardown(void)
{
	struct nsdk_flusher *flusher;

	pthread_mutex_lock(&lock);
	if (holders && the_flusher) {
		pthread_mutex_unlock(&lock);
		return nsdk_fail(-EBUSY, "coherence",
				 "a no-snoop device still flushes; detach it before the ways to flush go");
	}
	flusher = the_flusher;
	the_flusher = NULL;
	pthread_mutex_unlock(&lock);
	if (flusher)
		flusher_free(flusher);
	return 0;
}

struct nsdk_flusher *nsdk_flusher_hold(void)
{
	struct nsdk_flusher *flusher;

	pthread_mutex_lock(&lock);
	holders++;
	flusher = the_flusher;
	pthread_mutex_unlock(&lock);
	return flusher;
}

void nsdk_flusher_release(struct nsdk_flusher *flusher)
{
	(void)flusher;
	pthread_mutex_lock(&lock);
	holders--;
	pthread_mutex_unlock(&lock);
}

bool nsdk_flusher_prove(struct nsdk_flusher *flusher, struct nsdk_coherence *coh)
{
	char reason[200];
	int fd;

	if (!flusher || !flusher->gate)
		return false;
	if (coh->ops != nsdk_line_ops_cpu() && !flusher->gate_takes_any_ops) {
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "%s: WBINVD is not used for it, since its caches are a model's",
			 nsdk_device_name(coh->dev));
		return false;
	}
	fd = nsdk_device_fd(coh->dev);
	if (nsdk_gate_add_device(flusher->gate, fd, coh->verdict == NSDK_SNOOP_PERMITTED) == 0)
		return true;
	nsdk_gate_copy_reason(flusher->gate, reason, sizeof(reason));
	nsdk_log(NSDK_LOG_NOTICE, "coherence",
		 "%s: WBINVD stays closed (%s); cache lines are flushed one by one instead",
		 nsdk_device_name(coh->dev), reason);
	return false;
}

void nsdk_flusher_withdraw(struct nsdk_flusher *flusher, struct nsdk_coherence *coh)
{
	nsdk_gate_remove_device(flusher->gate, nsdk_device_fd(coh->dev));
}

int nsdk_flusher_quiesce(void)
{
	int error = 0;

	pthread_mutex_lock(&lock);
	if (the_flusher && the_flusher->crew)
		error = nsdk_crew_quiesce(the_flusher->crew, QUIESCE_TIMEOUT_NS);
	pthread_mutex_unlock(&lock);
	if (!error && nsdk_crew_stragglers() != 0)
		error = nsdk_fail(-ETIMEDOUT, "coherence",
				  "a flush lcore that was left behind is stuck in a line operation: the memory "
				  "that it may still touch stays mapped until the process ends");
	return error;
}

void nsdk_flush_status(struct nsdk_flush_status *out)
{
	struct nsdk_crew_stats crew;
	struct nsdk_gate_stats gate;

	memset(out, 0, sizeof(*out));
	snprintf(out->wbinvd_reason, sizeof(out->wbinvd_reason), "it was not asked for");
	pthread_mutex_lock(&lock);
	if (the_flusher && the_flusher->crew) {
		nsdk_crew_stats(the_flusher->crew, &crew);
		out->flush_cpus = nsdk_crew_size(the_flusher->crew);
		out->jobs = crew.jobs;
		out->lines_by_flush_cpus = crew.lines_by_members;
		out->lines_by_submitters = crew.lines_by_submitters;
		out->takeovers = crew.takeovers;
		out->flush_cpus_lost = crew.members_lost;
	}
	if (the_flusher && the_flusher->gate) {
		nsdk_gate_stats(the_flusher->gate, &gate);
		out->wbinvd_open = nsdk_gate_is_open(the_flusher->gate);
		nsdk_gate_copy_reason(the_flusher->gate, out->wbinvd_reason,
				      sizeof(out->wbinvd_reason));
		out->wbinvd_executed = gate.executed;
		out->wbinvd_over_budget = gate.refused_budget;
		out->wbinvd_failed = gate.failed;
	}
	pthread_mutex_unlock(&lock);
}

uint64_t nsdk_flush_wbinvd_on(unsigned cpu)
{
	uint64_t count = 0;

	pthread_mutex_lock(&lock);
	if (the_flusher && the_flusher->gate)
		count = nsdk_gate_executed_on(the_flusher->gate, cpu);
	pthread_mutex_unlock(&lock);
	return count;
}
