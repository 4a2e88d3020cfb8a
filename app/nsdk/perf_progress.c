/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far the run is: once a second, from a thread of its own, so that the lcores never wait for a
 * terminal. On a terminal it is one line that is rewritten in place, and left standing when
 * --eta-newline says so; elsewhere, for --eta=always, a line each, as often as that says.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "perf.h"

#define NS_PER_S 1000000000u

struct perf_progress {
	const struct perf_run *run;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool terminal;
	bool started; /* the jobs run */
	bool ended;
	int stage;         /* as of the last line, and */
	uint64_t stage_ns; /* when it was first seen */
	uint64_t interval_ns; /* from one to the next */
	uint64_t newline_ns;  /* when the next one stays */
	uint64_t last_ns;
	uint64_t last_ios; /* of PERF_RUN */
	uint64_t last_other_ios;
};

struct sums {
	uint64_t ios, errors, verify_errors, other_ios;
	int stage; /* the least advanced job's */
};

static void add_up(const struct perf_run *run, struct sums *out)
{
	*out = (struct sums){ .stage = PERF_OVER };
	for (unsigned i = 0; i < run->job_count; i++) {
		const struct perf_counters *c = &run->jobs[i].counters;
		int stage = atomic_load_explicit(&c->stage, memory_order_relaxed);

		out->ios += atomic_load_explicit(&c->ios[PERF_READ], memory_order_relaxed) +
			    atomic_load_explicit(&c->ios[PERF_WRITE], memory_order_relaxed);
		out->errors += atomic_load_explicit(&c->errors, memory_order_relaxed);
		out->verify_errors += atomic_load_explicit(&c->verify_errors, memory_order_relaxed);
		out->other_ios += atomic_load_explicit(&c->other_ios, memory_order_relaxed);
		if (stage < out->stage)
			out->stage = stage;
	}
}

/* How far PERF_RUN is, from 0 to 1: by I/Os or by time, whichever ends it first. */
static double share_done(const struct perf_run *run, uint64_t ios, double elapsed_s)
{
	const struct perf_opts *opts = &run->opts;
	double by_ios = 0, by_time = 0;
	uint64_t goal = 0;

	for (unsigned i = 0; i < run->job_count; i++)
		goal += opts->time_based ? opts->number_ios : run->jobs[i].reach;
	if (goal != 0)
		by_ios = (double)ios / (double)goal;
	if (opts->runtime_ns != 0)
		by_time = elapsed_s * 1e9 / (double)opts->runtime_ns;
	by_ios = by_ios > by_time ? by_ios : by_time;
	return by_ios > 1 ? 1 : by_ios;
}

static void draw(struct perf_progress *progress, uint64_t now_ns)
{
	const struct perf_run *run = progress->run;
	const char *const stages[] = {
		[PERF_LAY] = "laying down",
		[PERF_RUN] = run->opts.rw,
		[PERF_READ_BACK] = "reading back",
		[PERF_OVER] = "ending",
	};
	char line[200], iops_text[32], bw_text[32], left[48] = "";
	double elapsed_s, iops, share;
	struct sums sums;
	uint64_t ios;

	add_up(run, &sums);
	if (sums.stage != progress->stage) {
		progress->stage = sums.stage;
		progress->stage_ns = progress->last_ns;
	}
	/* Of the stage that is shown alone: "randread: … 5 IOPS" is no echo of what was laid down. */
	ios = sums.stage == PERF_RUN ? sums.ios - progress->last_ios :
				       sums.other_ios - progress->last_other_ios;
	iops = (double)ios * 1e9 / (double)(now_ns - progress->last_ns);
	elapsed_s = (double)(now_ns - progress->stage_ns) / 1e9;
	share = share_done(run, sums.ios, elapsed_s);
	if (sums.stage == PERF_RUN && share > 0)
		snprintf(left, sizeof(left), ", %.0f %%, %.0f s left", share * 100,
			 elapsed_s / share - elapsed_s);
	snprintf(line, sizeof(line), "%s: %.0f s%s, %s IOPS, %s/s, %llu errors",
		 stages[sums.stage < 0 ? PERF_LAY : sums.stage], elapsed_s, left,
		 tool_format_count(iops, iops_text, sizeof(iops_text)),
		 tool_format_bytes(iops * (double)run->opts.bs_bytes, bw_text, sizeof(bw_text)),
		 (unsigned long long)sums.errors + sums.verify_errors);
	if (progress->terminal && (run->opts.eta_newline_ns == 0 || now_ns < progress->newline_ns)) {
		tool_status_line(line);
	} else {
		tool_say_line(line);
		progress->newline_ns = now_ns + run->opts.eta_newline_ns;
	}
	progress->last_ios = sums.ios;
	progress->last_other_ios = sums.other_ios;
	progress->last_ns = now_ns;
}

/* Of the condition's clock. */
static uint64_t wait_clock_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * NS_PER_S + (uint64_t)at.tv_nsec;
}

static void *progress_thread(void *ctx)
{
	struct perf_progress *progress = ctx;
	uint64_t at_ns;

	pthread_mutex_lock(&progress->lock);
	while (!progress->started && !progress->ended)
		pthread_cond_wait(&progress->wake, &progress->lock);
	at_ns = wait_clock_ns();
	while (!progress->ended) {
		at_ns += progress->interval_ns;
		pthread_cond_timedwait(&progress->wake, &progress->lock,
				       &(struct timespec){ .tv_sec = (time_t)(at_ns / NS_PER_S),
							   .tv_nsec = (long)(at_ns % NS_PER_S) });
		if (!progress->ended)
			draw(progress, nsdk_clock_ns());
	}
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

struct perf_progress *perf_progress_create(const struct perf_run *run)
{
	struct perf_progress *progress;
	pthread_condattr_t attr;
	sigset_t all, before;
	bool terminal = isatty(STDERR_FILENO) == 1;
	int rc;

	if (run->opts.eta == PERF_ETA_NEVER || (run->opts.eta == PERF_ETA_AUTO && !terminal))
		return NULL;
	progress = calloc(1, sizeof(*progress));
	if (progress == NULL)
		return NULL;
	progress->run = run;
	progress->terminal = terminal;
	progress->interval_ns = run->opts.eta_newline_ns;
	if (progress->interval_ns == 0 || (terminal && progress->interval_ns > NS_PER_S))
		progress->interval_ns = NS_PER_S;
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->wake, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&progress->thread, NULL, progress_thread, progress);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return progress;
	pthread_cond_destroy(&progress->wake);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
	return NULL;
}

void perf_progress_start(struct perf_progress *progress)
{
	if (progress == NULL)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->started = true;
	progress->stage = -1;
	progress->last_ns = nsdk_clock_ns();
	progress->newline_ns = progress->last_ns + progress->run->opts.eta_newline_ns;
	pthread_cond_signal(&progress->wake);
	pthread_mutex_unlock(&progress->lock);
}

void perf_progress_destroy(struct perf_progress *progress)
{
	if (progress == NULL)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->ended = true;
	pthread_cond_signal(&progress->wake);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	if (progress->terminal)
		tool_status_line(NULL);
	pthread_cond_destroy(&progress->wake);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}
