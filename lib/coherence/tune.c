/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measuring what flushing costs.
 *
 * Model. A sample is: bring a piece of memory into a known state (dirty, clean, absent from the
 * caches), read the clock, do to it what the engine would do, fences included, read the clock. Many
 * samples, of which the median counts: a machine is disturbed often, and always in one direction. The
 * quartiles show how much. Ways that the planner chooses between take turns (tune_contest.c).
 *
 * What is timed ends with fence_for_cpu(), for all subjects alike: SFENCE only orders, and the clock
 * could be read while the lines are still on their way; what a doorbell would have to wait for belongs
 * to the cost.
 *
 * Where. The calling thread is pinned to each CPU of the list in turn, and the samples of all are put
 * together. Flush CPUs and WBINVD CPUs work as they do for the engine: through crew.c and gate.c.
 *
 * Files. tune.c is the bench and one sample on it; tune_contest.c takes many, and says what came of
 * them; tune_tables.c goes through everything there is to measure; tune_check.c holds the planner's
 * choice against brute force.
 *
 * Threading. All of it belongs to the thread that called nsdk_tune_flush() or nsdk_tune_check().
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "lib/bus/bus_internal.h"
#include "tune.h"

/* Shorter than anybody has a CPU for, but for the kernel's own moments. */
#define SLACK_NS ((uint64_t)10000)
#define HUGEPAGE_BYTES ((size_t)2 << 20)
/* Enough never to be refused: a measurement is what the user asked for, now. */
#define WBINVD_PER_SECOND 100000u
#define WBINVD_DIRTY_BYTES ((uint64_t)16 << 20)

static const uint64_t default_sizes[] = {
	4u << 10,  8u << 10,  16u << 10, 32u << 10, 64u << 10, 128u << 10, 256u << 10, 512u << 10,
	1u << 20,  2u << 20,  4u << 20,	 8u << 20,  16u << 20, 32u << 20,  64u << 20,
};

unsigned nsdk_tune_next_count(unsigned count, unsigned all)
{
	if (count >= all)
		return 0;
	return count * 2 > all ? all : count * 2;
}

int nsdk_tune_step(struct tune *tune, const char *format, ...)
{
	char what[160];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	tune->step++;
	if (tune->opts->progress == NULL)
		return 0;
	return tune->opts->progress(tune->opts->ctx, tune->step - 1, tune->steps, what) ? 0 : -EINTR;
}

/* ---- Whether somebody else was at work ---- */

/* When it was, and how much CPU time we had had, the flush CPUs included. */
struct watch {
	uint64_t wall_ns;
	uint64_t cpu_ns;
};

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	return clock_gettime(clock, &now) == 0 ?
		       (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec :
		       0;
}

static void watch(const struct tune *tune, struct watch *out)
{
	out->wall_ns = read_clock(CLOCK_MONOTONIC);
	out->cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
	if (tune->crew != NULL)
		out->cpu_ns += nsdk_crew_cpu_ns(tune->crew);
}

/* Whether all our CPUs were ours alone since then. */
static bool was_alone(const struct tune *tune, const struct watch *since)
{
	uint64_t threads = 1 + (tune->crew != NULL ? tune->crew_cpus : 0), passed_ns;
	struct watch now;

	watch(tune, &now);
	passed_ns = now.wall_ns - since->wall_ns;
	/* None of our threads ever sleeps. The clocks are not read all at once, hence the slack. */
	return threads * passed_ns < now.cpu_ns - since->cpu_ns + passed_ns / 32 + threads * SLACK_NS;
}

/* ---- One sample ---- */

static void make_dirty(struct tune *tune, char *va, uint64_t bytes)
{
	tune->stored++;
	for (uint64_t at = 0; at < bytes; at += NSDK_LINE_BYTES)
		*(volatile uint64_t *)(void *)(va + at) = tune->stored;
}

static void load_all(const char *va, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += NSDK_LINE_BYTES)
		(void)*(const volatile uint64_t *)(const void *)(va + at);
}

static void prepare(struct tune *tune, enum nsdk_tune_state state, uint64_t bytes)
{
	const struct nsdk_line_ops *ops = tune->ops;

	make_dirty(tune, tune->memory, bytes);
	if (state == NSDK_TUNE_CLEAN) {
		ops->writeback(tune->memory, bytes / NSDK_LINE_BYTES);
		ops->fence_for_cpu(); /* written back before they are loaded, which keeps them clean */
		/* A write-back may have dropped them. */
		load_all(tune->memory, bytes);
	} else if (state == NSDK_TUNE_ABSENT) {
		ops->writeback_invalidate(tune->memory, bytes / NSDK_LINE_BYTES);
	}
	/* The stores and line operations above before the clock: they are not what is timed. */
	ops->fence_for_cpu();
}

static int run_lines(struct tune *tune, enum nsdk_tune_way way, const char *va, uint64_t bytes)
{
	if (way == NSDK_TUNE_WRITEBACK)
		tune->ops->writeback(va, bytes / NSDK_LINE_BYTES);
	else
		tune->ops->writeback_invalidate(va, bytes / NSDK_LINE_BYTES);
	/* As the engine has it, before a doorbell. */
	tune->ops->fence_for_device();
	return 0;
}

static int run_crew(struct tune *tune, enum nsdk_tune_way way, unsigned cpus, const char *va,
		    uint64_t bytes)
{
	struct nsdk_crew_range range = {
		.first = (uintptr_t)va,
		.end = (uintptr_t)va + bytes,
		.invalidate = way == NSDK_TUNE_INVALIDATE,
	};
	struct nsdk_crew_job *job;
	int rc = nsdk_crew_start(tune->crew, tune->ops, &range, 1, cpus, false, &job);

	if (rc == 0)
		nsdk_crew_finish(job);
	return rc;
}

/* The first @p count CPUs of the list; the data was written on the first. */
static int run_wbinvd(struct tune *tune, unsigned count)
{
	nsdk_cpumask_t cpus;

	memset(&cpus, 0, sizeof(cpus));
	for (int cpu = nsdk_cpumask_next(&tune->cpus, 0); cpu >= 0 && count > 0; count--) {
		nsdk_cpumask_set(&cpus, (unsigned)cpu);
		cpu = nsdk_cpumask_next(&tune->cpus, (unsigned)cpu + 1);
	}
	return nsdk_gate_wbinvd(tune->gate, &cpus);
}

static void plan_input(const struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
		       struct nsdk_plan_input *out)
{
	uint64_t lines = bytes / NSDK_LINE_BYTES;
	bool writeback = subject->way == NSDK_TUNE_WRITEBACK;

	*out = (struct nsdk_plan_input){
		.writeback_lines = writeback ? lines : 0,
		.invalidate_lines = writeback ? 0 : lines,
		.ranges = 1,
		.crew_cpus = tune->crew != NULL ? tune->crew_cpus : 0,
		.wbinvd_cpus = tune->gate != NULL ? 1 : 0,
	};
}

/* As the batch's commit does: below the threshold one comparison. */
static bool is_large(const struct tune *tune, const struct tune_subject *subject, uint64_t bytes)
{
	return bytes / NSDK_LINE_BYTES >=
	       nsdk_learner_threshold_lines(subject->planner, tune->crew != NULL);
}

void nsdk_tune_choose(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
		      struct nsdk_plan *out)
{
	struct nsdk_plan_input in;

	*out = (struct nsdk_plan){ .kind = NSDK_PLAN_LINES };
	nsdk_learner_forget(tune->learner);
	if (!is_large(tune, subject, bytes))
		return;
	plan_input(tune, subject, bytes, &in);
	nsdk_learner_choose(tune->learner, subject->planner, &in, false, out);
}

void nsdk_tune_plan(struct tune *tune, const struct tune_subject *subject, uint64_t bytes, bool learned,
		    struct nsdk_plan *out)
{
	struct nsdk_plan_input in;

	*out = (struct nsdk_plan){ .kind = NSDK_PLAN_LINES };
	plan_input(tune, subject, bytes, &in);
	if (learned && is_large(tune, subject, bytes))
		nsdk_learner_best(tune->learner, subject->planner, &in, false, out);
	else if (!learned)
		nsdk_planner_choose(subject->planner, &in, out);
}

static int run_planned(struct tune *tune, const struct tune_subject *subject, char *va, uint64_t bytes)
{
	uint64_t start_ns = is_large(tune, subject, bytes) ? nsdk_clock_ns() : 0;
	struct nsdk_plan plan;
	int rc;

	nsdk_tune_choose(tune, subject, bytes, &plan);
	if (plan.kind == NSDK_PLAN_CREW)
		rc = run_crew(tune, subject->way, plan.crew_cpus, va, bytes);
	else if (plan.kind == NSDK_PLAN_WBINVD)
		rc = run_wbinvd(tune, 1);
	else
		rc = run_lines(tune, subject->way, va, bytes);
	tune->planned_ns = start_ns != 0 ? nsdk_clock_ns() - start_ns : 0;
	return rc;
}

static int run(struct tune *tune, const struct tune_subject *subject, char *va, uint64_t bytes)
{
	size_t lines = bytes / NSDK_LINE_BYTES;
	const char *source = tune->source + (va - tune->memory);

	if (subject->planner != NULL)
		return run_planned(tune, subject, va, bytes);
	switch (subject->what) {
	case NSDK_TUNE_LINES:
		return run_lines(tune, subject->way, va, bytes);
	case NSDK_TUNE_CREW:
		return run_crew(tune, subject->way, subject->cpus, va, bytes);
	case NSDK_TUNE_WBINVD:
		return run_wbinvd(tune, subject->cpus);
	case NSDK_TUNE_COPY:
		tune->ops->copy(va, source, lines);
		tune->ops->fence_for_device(); /* non-temporal stores are ordered by it */
		return 0;
	case NSDK_TUNE_FILL:
		tune->ops->fill(va, (int)(tune->stored & 0xff), lines);
		tune->ops->fence_for_device(); /* likewise */
		return 0;
	case NSDK_TUNE_MEMCPY:
		memcpy(va, source, bytes);
		return run_lines(tune, subject->way, va, bytes);
	}
	return -EINVAL;
}

/* A batch does it before its doorbell. @return ticks that it took. */
static uint64_t learn(struct tune *tune)
{
	uint64_t start = nsdk_ticks();

	nsdk_learner_took(tune->learner, tune->planned_ns, true);
	return nsdk_ticks() - start;
}

int nsdk_tune_sample(struct tune *tune, const struct tune_subject *subject, uint64_t bytes, uint64_t *ns,
		     bool *alone)
{
	bool whole_cache = subject->what == NSDK_TUNE_WBINVD && subject->planner == NULL;
	uint64_t pieces = 1, start, ticks;
	struct watch before;
	int rc = 0;

	if (whole_cache)
		/* Exactly so much is to be dirty, of ours at least. */
		tune->ops->writeback(tune->memory, tune->memory_bytes / NSDK_LINE_BYTES);
	else
		while (pieces * bytes < TUNE_LEAST_BYTES)
			pieces *= 2;
	prepare(tune, subject->state, pieces * bytes);
	watch(tune, &before);
	start = nsdk_ticks();
	for (uint64_t i = 0; i < pieces && rc == 0; i++)
		rc = run(tune, subject, tune->memory + i * bytes, bytes);
	/* What the sample did is done before the clock is read; see the top. */
	tune->ops->fence_for_cpu();
	ticks = nsdk_ticks() - start;
	*alone = was_alone(tune, &before);
	/* A sample that was spoiled is taken again, and for the learner too it has not been. */
	if (subject->planner != NULL && rc == 0 && *alone && is_large(tune, subject, bytes))
		ticks += learn(tune);
	*ns = (uint64_t)((unsigned __int128)ticks * 1000000000u / nsdk_ticks_per_s() / pieces);
	if (*ns == 0)
		*ns = 1;
	return rc;
}

/* ---- The bench ---- */

int nsdk_tune_pin(unsigned cpu)
{
	nsdk_cpumask_t mask;

	memset(&mask, 0, sizeof(mask));
	nsdk_cpumask_set(&mask, cpu);
	if (sched_setaffinity(0, sizeof(mask), (const cpu_set_t *)(const void *)&mask) == 0)
		return 0;
	return nsdk_fail(-ENODEV, "coherence",
			 "CPU %u cannot be measured: it is offline or outside the affinity mask", cpu);
}

static int take_sizes(struct tune *tune)
{
	const uint64_t *sizes = tune->opts->sizes;
	unsigned count = tune->opts->size_count;

	if (sizes == NULL) {
		sizes = default_sizes;
		count = sizeof(default_sizes) / sizeof(default_sizes[0]);
	}
	if (count == 0 || count > NSDK_TUNE_MAX_POINTS)
		return nsdk_fail(-EINVAL, "coherence", "1 to %u sizes can be measured, not %u",
				 NSDK_TUNE_MAX_POINTS, count);
	for (unsigned i = 0; i < count; i++) {
		if (sizes[i] == 0 || sizes[i] % NSDK_LINE_BYTES != 0 ||
		    sizes[i] > NSDK_TUNE_MAX_BYTES || (i > 0 && sizes[i] <= sizes[i - 1]))
			return nsdk_fail(-EINVAL, "coherence",
					 "%llu bytes cannot be measured: sizes are whole lines of %u "
					 "bytes, rise, and end at 1 GiB",
					 (unsigned long long)sizes[i], NSDK_LINE_BYTES);
		tune->sizes[i] = sizes[i];
	}
	tune->size_count = count;
	return 0;
}

static int take_cpus(struct tune *tune)
{
	const nsdk_cpumask_t *flush = &tune->opts->flush_cpus;
	int here, rc = nsdk_cpumask_get_affinity(&tune->affinity);

	if (rc != 0)
		return rc;
	tune->cpus = tune->opts->cpus;
	if (nsdk_cpumask_weight(&tune->cpus) == 0) {
		/* Where we are, unless that is to help. */
		here = sched_getcpu();
		if (here < 0 || nsdk_cpumask_test(flush, (unsigned)here)) {
			for (here = nsdk_cpumask_next(&tune->affinity, 0); here >= 0;
			     here = nsdk_cpumask_next(&tune->affinity, (unsigned)here + 1))
				if (!nsdk_cpumask_test(flush, (unsigned)here))
					break;
		}
		if (here < 0)
			return nsdk_fail(-EINVAL, "coherence",
					 "all CPUs are flush CPUs, and none is left to submit");
		nsdk_cpumask_set(&tune->cpus, (unsigned)here);
	}
	for (unsigned i = 0; i < NSDK_MAX_CPUS; i++) {
		if (nsdk_cpumask_test(&tune->cpus, i) && nsdk_cpumask_test(flush, i))
			return nsdk_fail(-EINVAL, "coherence",
					 "CPU %u is both to submit and to help; it can do one", i);
	}
	return 0;
}

static int take_memory(struct tune *tune)
{
	size_t bytes = tune->sizes[tune->size_count - 1];
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	void *va;

	if (bytes < TUNE_LEAST_BYTES)
		bytes = TUNE_LEAST_BYTES;
	if (tune->opts->wbinvd_device != NULL && bytes < WBINVD_DIRTY_BYTES)
		bytes = WBINVD_DIRTY_BYTES;
	bytes = (bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
	va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
	tune->hugepages = va != MAP_FAILED;
	if (!tune->hugepages) {
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "measuring on small pages, since fewer than %zu hugepages of 2 MiB are free; the "
			 "costs come out a little too high for large sizes", bytes / HUGEPAGE_BYTES);
		va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	}
	if (va != MAP_FAILED) {
		tune->memory = va;
		tune->memory_bytes = bytes;
		va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	}
	if (va == MAP_FAILED)
		return nsdk_fail(-ENOMEM, "coherence",
				 "no memory to measure %zu bytes, twice; leave out the largest sizes",
				 bytes);
	tune->source = va;
	/* Fresh pages may all be one page of zeroes; what is copied shall be memory of its own. */
	memset(tune->source, 0x5a, bytes);
	memset(tune->memory, 0xa5, bytes);
	return 0;
}

/* A gate that does not open is nothing wrong: it is noted why. */
static int take_gate(struct tune *tune)
{
	struct nsdk_device *dev = tune->opts->wbinvd_device;
	int rc;

	snprintf(tune->wbinvd_skipped, sizeof(tune->wbinvd_skipped), "it was not asked for");
	if (dev == NULL)
		return 0;
	tune->gate_fd = nsdk_device_fd(dev);
	if (tune->gate_fd < 0) {
		snprintf(tune->wbinvd_skipped, sizeof(tune->wbinvd_skipped),
			 "%.100s is no device of VFIO's, and so no proof", nsdk_device_name(dev));
		return 0;
	}
	rc = nsdk_gate_create(&nsdk_gate_kvm, &tune->cpus, WBINVD_PER_SECOND, &tune->gate);
	if (rc != 0)
		return rc;
	rc = nsdk_gate_add_device(tune->gate, tune->gate_fd,
				  nsdk_device_verdict(dev)->state == NSDK_SNOOP_PERMITTED);
	if (rc == 0) {
		tune->wbinvd_skipped[0] = '\0';
		return 0;
	}
	snprintf(tune->wbinvd_skipped, sizeof(tune->wbinvd_skipped), "the gate is closed: %s",
		 nsdk_gate_reason(tune->gate));
	nsdk_gate_destroy(tune->gate);
	tune->gate = NULL;
	return 0;
}

int nsdk_tune_begin(struct tune *tune, const struct nsdk_tune_opts *opts)
{
	int rc;

	memset(tune, 0, sizeof(*tune));
	tune->opts = opts;
	tune->ops = nsdk_line_ops_cpu();
	rc = take_cpus(tune);
	if (rc == 0)
		rc = take_sizes(tune);
	/* So that the memory comes from the node it will be used on. */
	if (rc == 0)
		rc = nsdk_tune_pin((unsigned)nsdk_cpumask_next(&tune->cpus, 0));
	if (rc == 0)
		rc = take_memory(tune);
	if (rc == 0)
		rc = take_gate(tune);
	tune->crew_cpus = nsdk_cpumask_weight(&opts->flush_cpus);
	return rc;
}

int nsdk_tune_open_crew(struct tune *tune, unsigned cpu)
{
	int rc;

	if (tune->crew_cpus == 0 || tune->crew != NULL)
		return 0;
	/* A crew takes CPUs that its maker may use, and we are pinned to one by now. */
	(void)sched_setaffinity(0, sizeof(tune->affinity),
				(const cpu_set_t *)(const void *)&tune->affinity);
	rc = nsdk_crew_create(&tune->opts->flush_cpus, 0, &tune->crew);
	return rc == 0 ? nsdk_tune_pin(cpu) : rc;
}

void nsdk_tune_end(struct tune *tune)
{
	nsdk_crew_destroy(tune->crew);
	if (tune->gate != NULL)
		nsdk_gate_remove_device(tune->gate, tune->gate_fd);
	nsdk_gate_destroy(tune->gate);
	if (tune->memory != NULL)
		munmap(tune->memory, tune->memory_bytes);
	if (tune->source != NULL)
		munmap(tune->source, tune->memory_bytes);
	if (nsdk_cpumask_weight(&tune->affinity) != 0)
		(void)sched_setaffinity(0, sizeof(tune->affinity),
					(const cpu_set_t *)(const void *)&tune->affinity);
}
