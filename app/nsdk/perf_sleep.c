/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --mode=interrupt and --mode=adaptive: each job's queue pair is in a poll group of its own, which wakes the
 * job's lcore, and so is each device's controller, on the lcore of its first job; and where the lcores' time
 * went, in every mode.
 */
#include <errno.h>
#include <stdio.h>

#include "perf.h"
#include "lib/env/json.h"

/*
 * A job looks so often whether it is to stop, and for commands that hang. Longer than the driver looks after
 * interrupts that get lost, so that it finds out, and says so.
 */
#define STOP_NS 600000000u
/* … and for the other jobs, with which it begins a stage. */
#define STAGE_NS 1000000u

static const char *const mode_names[] = {
	[NSDK_REACTOR_POLL] = "poll",
	[NSDK_REACTOR_INTERRUPT] = "interrupt",
	[NSDK_REACTOR_ADAPTIVE] = "adaptive",
};

const char *perf_mode_name(enum nsdk_reactor_mode mode)
{
	return mode_names[mode];
}

/* ---- Sleep ---- */

int perf_sleep_modes(const struct perf_run *run)
{
	for (unsigned i = 0; i < nsdk_env_lcore_count(); i++) {
		int rc = nsdk_reactor_set_mode(nsdk_reactor_get(i), run->opts.mode,
					       run->opts.idle_ns / 1000);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static void lower(uint64_t *wake_ns, uint64_t at_ns)
{
	if (at_ns < *wake_ns)
		*wake_ns = at_ns;
}

/* When, by nsdk_clock_ns(), a time by nsdk_ticks() is. */
static uint64_t at_ns(const struct perf_job *job, uint64_t now_ns, uint64_t ticks)
{
	uint64_t now = nsdk_ticks();

	return ticks > now ? now_ns + perf_ticks_to_ns(job->run, ticks - now) : now_ns;
}

static int job_arm(void *ctx, uint64_t *wake_ns)
{
	struct perf_job *job = ctx;
	uint64_t now_ns = nsdk_clock_ns();

	lower(wake_ns, now_ns + (job->waiting ? STAGE_NS : STOP_NS));
	if (!job->waiting && !job->exhausted && job->deadline_ticks != UINT64_MAX)
		lower(wake_ns, at_ns(job, now_ns, job->deadline_ticks));
	if (job->resume_ticks != 0)
		lower(wake_ns, at_ns(job, now_ns, job->resume_ticks));
	return nsdk_nvme_poll_group_arm(job->group, wake_ns);
}

static void job_disarm(void *ctx)
{
	struct perf_job *job = ctx;

	nsdk_nvme_poll_group_disarm(job->group);
}

static void job_failed(void *ctx, struct nsdk_nvme_qpair *qp, int error)
{
	struct perf_job *job = ctx;

	(void)qp;
	job->group_error = error;
}

int perf_sleep_job(struct perf_job *job)
{
	struct nsdk_nvme_poll_group_opts opts = {
		.opts_bytes = sizeof(opts),
		.failed = job_failed,
		.ctx = job,
	};
	int rc;

	/* The library has said why it has none. The others' lcores sleep. */
	if (job->run->opts.mode == NSDK_REACTOR_POLL || !nsdk_nvme_qpair_has_interrupt(job->qp))
		return 0;
	rc = nsdk_nvme_poll_group_create(&opts, &job->group);
	if (rc == 0)
		rc = nsdk_nvme_poll_group_add(job->group, job->qp);
	if (rc == 0)
		rc = nsdk_reactor_fd_add(nsdk_reactor_get(job->lcore),
					 nsdk_nvme_poll_group_fd(job->group), NULL, NULL, &job->wake);
	if (rc == 0)
		nsdk_poller_set_sleep(job->poller, job_arm, job_disarm);
	return rc;
}

int perf_sleep_poll(struct perf_job *job)
{
	int handled = nsdk_nvme_poll_group_poll(job->group, 0);

	return job->group_error != 0 ? job->group_error : handled;
}

/* Before the queue pair goes. */
void perf_sleep_job_end(struct perf_job *job)
{
	nsdk_reactor_fd_remove(job->wake);
	job->wake = NULL;
	if (job->group != NULL && job->qp != NULL)
		(void)nsdk_nvme_poll_group_remove(job->group, job->qp);
	(void)nsdk_nvme_poll_group_destroy(job->group);
	job->group = NULL;
}

static int device_arm(void *ctx, uint64_t *wake_ns)
{
	struct perf_device *device = ctx;

	return nsdk_nvme_poll_group_arm(device->group, wake_ns);
}

static void device_disarm(void *ctx)
{
	struct perf_device *device = ctx;

	nsdk_nvme_poll_group_disarm(device->group);
}

/* The library has said why. */
static void device_failed(void *ctx, struct nsdk_nvme_ctrlr *ctrlr, int error)
{
	struct perf_device *device = ctx;

	(void)ctrlr;
	(void)error;
	atomic_store(&device->failed, true);
}

int perf_sleep_device(struct perf_device *device, unsigned lcore)
{
	struct nsdk_nvme_poll_group_opts opts = {
		.opts_bytes = sizeof(opts),
		.ctrlr_failed = device_failed,
		.ctx = device,
	};
	struct nsdk_reactor *reactor = nsdk_reactor_get(lcore);
	int rc;

	if (device->run->opts.mode == NSDK_REACTOR_POLL || !nsdk_nvme_ctrlr_has_interrupt(device->ctrlr))
		return 0;
	rc = nsdk_nvme_poll_group_create(&opts, &device->group);
	if (rc == 0)
		rc = nsdk_nvme_poll_group_add_ctrlr(device->group, device->ctrlr);
	if (rc == 0)
		rc = nsdk_poller_register(reactor, perf_device_poll, device, 0, &device->poller);
	if (rc == 0)
		rc = nsdk_reactor_fd_add(reactor, nsdk_nvme_poll_group_fd(device->group), NULL, NULL,
					 &device->wake);
	if (rc == 0)
		nsdk_poller_set_sleep(device->poller, device_arm, device_disarm);
	return rc;
}

/* Its poller has gone. */
void perf_sleep_device_end(struct perf_device *device)
{
	nsdk_reactor_fd_remove(device->wake);
	device->wake = NULL;
	if (device->group != NULL && device->ctrlr != NULL)
		(void)nsdk_nvme_poll_group_remove_ctrlr(device->group, device->ctrlr);
	(void)nsdk_nvme_poll_group_destroy(device->group);
	device->group = NULL;
}

/* ---- Where the time went ---- */

/* The n-th lcore that has jobs of this device. @return whether there is one. */
static bool nth_lcore(const struct perf_device *device, unsigned n, unsigned *lcore)
{
	const struct perf_opts *opts = &device->run->opts;
	const struct perf_job *jobs =
		&device->run->jobs[(size_t)(device - device->run->devices) * opts->numjobs];

	for (unsigned i = 0; i < opts->numjobs; i++) {
		bool before = false;

		for (unsigned j = 0; j < i && !before; j++)
			before = jobs[j].lcore == jobs[i].lcore;
		if (before || n-- > 0)
			continue;
		*lcore = jobs[i].lcore;
		return true;
	}
	return false;
}

void perf_sleep_print(const struct perf_device *device)
{
	struct nsdk_reactor_stats stats;
	unsigned lcore;

	for (unsigned i = 0; nth_lcore(device, i, &lcore); i++) {
		double all;

		nsdk_reactor_stats(nsdk_reactor_get(lcore), &stats);
		all = (double)(stats.busy_ticks + stats.idle_ticks + stats.slept_ticks) / 100;
		if (all == 0)
			continue;
		printf("  CPU %-5d %.1f %% busy, %.1f %% polling for nothing, %.1f %% asleep (%llu times)\n",
		       nsdk_env_lcore_cpu(lcore), (double)stats.busy_ticks / all,
		       (double)stats.idle_ticks / all, (double)stats.slept_ticks / all,
		       (unsigned long long)stats.sleeps);
	}
}

struct json_object *perf_sleep_json(const struct perf_device *device)
{
	struct json_object *array = json_object_new_array(), *object;
	struct nsdk_reactor_stats stats;
	unsigned lcore;

	for (unsigned i = 0; nth_lcore(device, i, &lcore); i++) {
		nsdk_reactor_stats(nsdk_reactor_get(lcore), &stats);
		object = json_object_new_object();
		nsdk_json_put(object, "cpu", json_object_new_int(nsdk_env_lcore_cpu(lcore)));
		nsdk_json_put_u64(object, "busy_ns", perf_ticks_to_ns(device->run, stats.busy_ticks));
		nsdk_json_put_u64(object, "idle_ns", perf_ticks_to_ns(device->run, stats.idle_ticks));
		nsdk_json_put_u64(object, "slept_ns", perf_ticks_to_ns(device->run, stats.slept_ticks));
		nsdk_json_put_u64(object, "sleeps", stats.sleeps);
		json_object_array_add(array, object);
	}
	return array;
}
