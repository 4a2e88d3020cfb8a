/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measuring, on a machine whose clock is moved by its line operations alone: so every cost is known in
 * advance, and what comes out has to be exactly that. Once, too, on the machine as it is.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>

#include "lib/coherence/tune.h"
#include "nsdk_unit.h"

/* Nanoseconds of each on the made-up machine. */
enum { WRITEBACK_NS = 2, INVALIDATE_NS = 3, COPY_NS = 5, FILL_NS = 4, FENCE_NS = 40 };

static struct {
	bool real;          /* the machine as it is */
	_Atomic uint64_t now_ns;
	uint64_t wbinvd_ns;
	int gate_error;     /* of adding the proof */
	int wbinvd_error;
	unsigned wbinvd_error_cpus; /* with so many CPUs only; 0: always */
	unsigned wobbles;           /* how many costs a write-back has, one after the other; 0: one */
	unsigned writebacks;
	bool nonsense;              /* the more, the cheaper */
	unsigned wbinvd_cpus, gates;
	bool proven;
	bool ticking;        /* the clock that batches have goes on too */
	bool crowded;        /* others are at work on our CPUs, always */
	uint64_t acquire_ns; /* what a share costs whoever does it, beside its lines */
	uint64_t learning_ns;
	unsigned learned;
} machine;

/* Flush CPUs come here too; what is asserted is asserted of the submitting thread. */
static pthread_t submitter;

static void assert_submitter(const void *va)
{
	nsdk_cpumask_t now;

	if (!pthread_equal(pthread_self(), submitter))
		return;
	CU_ASSERT_EQUAL((uintptr_t)va % NSDK_LINE_BYTES, 0);
	CU_ASSERT_EQUAL(nsdk_cpumask_get_affinity(&now), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&now), 1);
}

static void pass(uint64_t ns)
{
	machine.now_ns += ns;
}

static void fake_writeback(const void *va, size_t lines)
{
	assert_submitter(va);
	if (machine.nonsense)
		pass(((uint64_t)1 << 30) / (lines * lines));
	pass(lines * WRITEBACK_NS);
	if (machine.wobbles != 0)
		pass(machine.writebacks++ % machine.wobbles * 1000);
}

static void fake_invalidate(const void *va, size_t lines)
{
	assert_submitter(va);
	pass(lines * INVALIDATE_NS);
}

static void fake_fence(void)
{
	pass(FENCE_NS);
}

static void fake_acquire(void)
{
	pass(FENCE_NS + machine.acquire_ns);
}

static void fake_copy(void *to, const void *from, size_t lines)
{
	memcpy(to, from, lines * NSDK_LINE_BYTES);
	pass(lines * COPY_NS);
}

static void fake_fill(void *to, int byte, size_t lines)
{
	memset(to, byte, lines * NSDK_LINE_BYTES);
	pass(lines * FILL_NS);
}

static const struct nsdk_line_ops fake_ops = {
	.name = "fake",
	.writeback = fake_writeback,
	.writeback_invalidate = fake_invalidate,
	.acquire_for_cpu = fake_acquire,
	.fence_for_device = fake_fence,
	.fence_for_cpu = fake_fence,
	.copy = fake_copy,
	.fill = fake_fill,
};

const struct nsdk_line_ops *__real_nsdk_line_ops_cpu(void);
const struct nsdk_line_ops *__wrap_nsdk_line_ops_cpu(void);
const struct nsdk_line_ops *__wrap_nsdk_line_ops_cpu(void)
{
	return machine.real ? __real_nsdk_line_ops_cpu() : &fake_ops;
}

uint64_t __real_nsdk_ticks(void);
uint64_t __wrap_nsdk_ticks(void);
uint64_t __wrap_nsdk_ticks(void)
{
	return machine.real ? __real_nsdk_ticks() : (uint64_t)machine.now_ns;
}

uint64_t __real_nsdk_ticks_per_s(void);
uint64_t __wrap_nsdk_ticks_per_s(void);
uint64_t __wrap_nsdk_ticks_per_s(void)
{
	return machine.real ? __real_nsdk_ticks_per_s() : 1000000000;
}

/* Time for more samples never runs out. */
uint64_t __real_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void)
{
	return machine.real ? __real_nsdk_clock_ns() : machine.ticking ? 1000 + machine.now_ns : 1000;
}

/* On the made-up machine nobody else is at work, so every sample counts. */
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	if (machine.real)
		return __real_clock_gettime(clock, out);
	memset(out, 0, sizeof(*out));
	/* Time that passed, and of which we had nothing. */
	if (machine.crowded && clock == CLOCK_MONOTONIC)
		out->tv_sec = (time_t)machine.now_ns;
	return 0;
}

void __real_nsdk_learner_took(struct nsdk_learner *learner, uint64_t ns, bool counts);
void __wrap_nsdk_learner_took(struct nsdk_learner *learner, uint64_t ns, bool counts);
void __wrap_nsdk_learner_took(struct nsdk_learner *learner, uint64_t ns, bool counts)
{
	machine.learned++;
	pass(machine.learning_ns);
	__real_nsdk_learner_took(learner, ns, counts);
}

/* ---- A gate that costs what it is told ---- */

static char some_gate;

int __wrap_nsdk_gate_create(const struct nsdk_gate_ops *ops, const nsdk_cpumask_t *cpus,
			    unsigned per_second, struct nsdk_gate **out);
int __wrap_nsdk_gate_create(const struct nsdk_gate_ops *ops, const nsdk_cpumask_t *cpus,
			    unsigned per_second, struct nsdk_gate **out)
{
	(void)ops;
	(void)cpus;
	CU_ASSERT(per_second > 1000);
	machine.gates++;
	*out = (struct nsdk_gate *)(void *)&some_gate;
	return 0;
}

void __wrap_nsdk_gate_destroy(struct nsdk_gate *gate);
void __wrap_nsdk_gate_destroy(struct nsdk_gate *gate)
{
	machine.gates -= gate != NULL;
	CU_ASSERT(!machine.proven);
}

int __wrap_nsdk_gate_add_device(struct nsdk_gate *gate, int device_fd, bool permitted);
int __wrap_nsdk_gate_add_device(struct nsdk_gate *gate, int device_fd, bool permitted)
{
	(void)gate;
	NSDK_ASSERT_INT(device_fd, 77);
	CU_ASSERT(permitted);
	machine.proven = machine.gate_error == 0;
	return machine.gate_error;
}

void __wrap_nsdk_gate_remove_device(struct nsdk_gate *gate, int device_fd);
void __wrap_nsdk_gate_remove_device(struct nsdk_gate *gate, int device_fd)
{
	(void)gate;
	NSDK_ASSERT_INT(device_fd, 77);
	machine.proven = false;
}

const char *__wrap_nsdk_gate_reason(const struct nsdk_gate *gate);
const char *__wrap_nsdk_gate_reason(const struct nsdk_gate *gate)
{
	(void)gate;
	return "KVM said no";
}

int __wrap_nsdk_gate_wbinvd(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus);
int __wrap_nsdk_gate_wbinvd(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus)
{
	(void)gate;
	machine.wbinvd_cpus = nsdk_cpumask_weight(cpus);
	pass(machine.wbinvd_ns);
	return machine.wbinvd_error_cpus == 0 || machine.wbinvd_error_cpus == machine.wbinvd_cpus ?
		       machine.wbinvd_error :
		       0;
}

/* -1: as it is. */
static int device_fd;

int __wrap_nsdk_device_fd(const struct nsdk_device *dev);
int __wrap_nsdk_device_fd(const struct nsdk_device *dev)
{
	(void)dev;
	return device_fd;
}

/* ---- Tests ---- */

static struct nsdk_profile *profile;
static nsdk_cpumask_t ours, first, second;
static const uint64_t sizes[] = { 4096, 16384, 65536 };

static struct nsdk_tune_opts some_opts(void)
{
	return (struct nsdk_tune_opts){
		.opts_bytes = sizeof(struct nsdk_tune_opts),
		.cpus = first,
		.sizes = sizes,
		.size_count = 3,
		.quick = true,
	};
}

static void before(void)
{
	int cpu;

	submitter = pthread_self();
	memset(&machine, 0, sizeof(machine));
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	device_fd = -1;
	if (nsdk_cpumask_get_affinity(&ours) != 0)
		nsdk_skip("the affinity cannot be read");
	CU_ASSERT_EQUAL_FATAL(nsdk_profile_create(&profile), 0);
	nsdk_unit_log_start();
	cpu = nsdk_cpumask_next(&ours, 0);
	nsdk_cpumask_set(&first, (unsigned)cpu);
	cpu = nsdk_cpumask_next(&ours, (unsigned)cpu + 1);
	if (cpu >= 0)
		nsdk_cpumask_set(&second, (unsigned)cpu);
}

static void after(void)
{
	nsdk_cpumask_t now;

	/* Whatever happened, we may run where we could before, and no gate is left. */
	CU_ASSERT_EQUAL(nsdk_cpumask_get_affinity(&now), 0);
	CU_ASSERT_EQUAL(memcmp(&now, &ours, sizeof(now)), 0);
	NSDK_ASSERT_INT(machine.gates, 0);
	nsdk_profile_free(profile);
	profile = NULL;
	nsdk_unit_log_stop();
}

/* Every sample costs the same, so the quartiles are the median. */
static void assert_costs(enum nsdk_tune_what what, enum nsdk_tune_way way, enum nsdk_tune_state state,
			 uint64_t line_ns, uint64_t each_ns)
{
	const struct nsdk_tune_table *table = nsdk_profile_table(profile, what, way, state, 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(table);
	NSDK_ASSERT_INT(table->count, 3);
	for (unsigned i = 0; i < table->count; i++) {
		const struct nsdk_tune_point *point = &table->points[i];
		/* The last fence is shared by as many pieces as make 16 KiB. */
		uint64_t pieces = sizes[i] < 16384 ? 16384 / sizes[i] : 1;

		NSDK_ASSERT_INT(point->bytes, sizes[i]);
		NSDK_ASSERT_INT(point->ns, sizes[i] / 64 * line_ns + each_ns + FENCE_NS / pieces);
		NSDK_ASSERT_INT(point->low_ns, point->ns);
		NSDK_ASSERT_INT(point->high_ns, point->ns);
	}
}

static void what_is_measured_is_what_it_costs(void)
{
	struct nsdk_tune_opts opts = some_opts();

	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	NSDK_ASSERT_INT(profile->flush.count, 9);
	for (unsigned state = 0; state < 3; state++) {
		assert_costs(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, (enum nsdk_tune_state)state,
			     WRITEBACK_NS, FENCE_NS);
		assert_costs(NSDK_TUNE_LINES, NSDK_TUNE_INVALIDATE, (enum nsdk_tune_state)state,
			     INVALIDATE_NS, FENCE_NS);
	}
	assert_costs(NSDK_TUNE_COPY, NSDK_TUNE_WRITEBACK, NSDK_TUNE_ABSENT, COPY_NS, FENCE_NS);
	assert_costs(NSDK_TUNE_FILL, NSDK_TUNE_WRITEBACK, NSDK_TUNE_ABSENT, FILL_NS, FENCE_NS);
	assert_costs(NSDK_TUNE_MEMCPY, NSDK_TUNE_WRITEBACK, NSDK_TUNE_ABSENT, WRITEBACK_NS, FENCE_NS);
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(profile, NSDK_TUNE_CREW), "no flush CPUs were named");
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(profile, NSDK_TUNE_WBINVD), "it was not asked for");
	CU_ASSERT(nsdk_profile_date(profile)[0] == '2');
	NSDK_ASSERT_INT(nsdk_profile_crossovers(profile, NULL, 0), 0);
}

/* Five costs in turn: median and quartiles are the middle three. */
static void the_spread_is_the_quartiles(void)
{
	struct nsdk_tune_opts opts = some_opts();
	const struct nsdk_tune_point *point;

	machine.wobbles = 5;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	point = &nsdk_profile_table(profile, NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, NSDK_TUNE_DIRTY, 1)
			 ->points[2];
	NSDK_ASSERT_INT(point->low_ns, 1024 * WRITEBACK_NS + 2 * FENCE_NS + 1000);
	NSDK_ASSERT_INT(point->ns, 1024 * WRITEBACK_NS + 2 * FENCE_NS + 2000);
	NSDK_ASSERT_INT(point->high_ns, 1024 * WRITEBACK_NS + 2 * FENCE_NS + 3000);
}

/* On the real machine, which may be too busy for it at times, and is then asked again. */
static void tune_for_real(const struct nsdk_tune_opts *opts)
{
	int err = -EBUSY;

	machine.real = true;
	for (unsigned i = 0; i < 10 && err == -EBUSY; i++) {
		nsdk_unit_log_clear();
		err = nsdk_tune_flush(opts, profile);
	}
	if (err == -EBUSY)
		nsdk_skip("this machine is too busy to measure anything on it");
	CU_ASSERT_EQUAL_FATAL(err, 0);
}

static void what_comes_out_can_be_read_again(void)
{
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_profile *back = NULL;
	char why[400] = "";
	char *text;

	opts.sizes = NULL;
	opts.size_count = 0;
	tune_for_real(&opts);
	NSDK_ASSERT_INT(profile->flush.tables[0].count, 15);
	text = nsdk_profile_text(profile);
	NSDK_ASSERT_INT(nsdk_profile_parse(text, strlen(text), why, sizeof(why), &back), 0);
	NSDK_ASSERT_TEXT(why, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	NSDK_ASSERT_INT(back->flush.count, profile->flush.count);
	for (unsigned i = 0; i < back->flush.count; i++)
		CU_ASSERT_EQUAL(memcmp(back->flush.tables[i].points, profile->flush.tables[i].points,
				       sizeof(back->flush.tables[i].points)), 0);
	nsdk_profile_free(back);
	free(text);
}

static void flush_cpus_are_measured(void)
{
	struct nsdk_tune_opts opts = some_opts();
	const struct nsdk_tune_table *table;

	if (nsdk_cpumask_weight(&second) == 0)
		nsdk_skip("there is one CPU");
	opts.flush_cpus = second;
	tune_for_real(&opts);
	/* Another test may have that CPU to itself for a while; then it says so. */
	if (nsdk_profile_skipped(profile, NSDK_TUNE_CREW)[0] != '\0')
		nsdk_skip("%s", nsdk_profile_skipped(profile, NSDK_TUNE_CREW));
	NSDK_ASSERT_INT(profile->flush.count, 11);
	for (unsigned way = 0; way < 2; way++) {
		table = nsdk_profile_table(profile, NSDK_TUNE_CREW, (enum nsdk_tune_way)way,
					   NSDK_TUNE_DIRTY, 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(table);
		NSDK_ASSERT_INT(table->count, 3);
	}
	NSDK_ASSERT_INT(nsdk_profile_crossovers(profile, NULL, 0), 2);
}

static struct {
	unsigned calls, last, steps, stop_at;
} told;

static bool be_told(void *ctx, unsigned step, unsigned steps, const char *what)
{
	CU_ASSERT_PTR_EQUAL(ctx, &told);
	CU_ASSERT(what[0] != '\0');
	NSDK_ASSERT_INT(step, told.calls);
	CU_ASSERT(step < steps);
	told.last = step;
	told.steps = steps;
	return ++told.calls != told.stop_at;
}

static void progress_counts_every_step(void)
{
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_tune_check checks[16];

	opts.progress = be_told;
	opts.ctx = &told;
	memset(&told, 0, sizeof(told));
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	/* What is measured alone once, what takes turns in three passes. */
	NSDK_ASSERT_INT(told.calls, (7 + 2 * 3) * 3);
	NSDK_ASSERT_INT(told.steps, (7 + 2 * 3) * 3);
	memset(&told, 0, sizeof(told));
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, NULL, checks, 16), 10);
	NSDK_ASSERT_INT(told.calls, 3 * 10);
	NSDK_ASSERT_INT(told.steps, 3 * 10);
}

static void progress_may_end_it(void)
{
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_tune_check checks[16];

	opts.progress = be_told;
	opts.ctx = &told;
	for (unsigned at = 1; at <= 39; at += 19) {
		memset(&told, 0, sizeof(told));
		told.stop_at = at;
		NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -EINTR);
		NSDK_ASSERT_INT(told.calls, at);
		NSDK_ASSERT_INT(profile->flush.count, 0);
	}
	memset(&told, 0, sizeof(told));
	told.stop_at = 7;
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, NULL, checks, 16), -EINTR);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static bool stay_below(void *ctx, unsigned step, unsigned steps, const char *what)
{
	(void)ctx;
	(void)what;
	CU_ASSERT(step < steps);
	told.last = step > told.last ? step : told.last;
	told.calls++;
	return true;
}

/* It is tried again, and then given up: a profile that nobody would read is not written. */
static void costs_that_make_no_sense_are_refused(void)
{
	struct nsdk_tune_opts opts = some_opts();

	machine.nonsense = true;
	opts.progress = stay_below;
	memset(&told, 0, sizeof(told));
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("too busy to measure");
	NSDK_ASSERT_INT(profile->flush.count, 0);
	NSDK_ASSERT_INT(told.calls % 3, 0);
	CU_ASSERT(told.calls > 3);
	/* Trying again is no progress. */
	NSDK_ASSERT_INT(told.last, 2);
}

/* The one who submits stays where he was put, also after the flush CPUs were started. */
static void the_check_stays_on_its_cpu(void)
{
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_tune_check checks[16];

	if (nsdk_cpumask_weight(&second) == 0)
		nsdk_skip("there is one CPU");
	opts.flush_cpus = second;
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, NULL, checks, 16), 10);
	NSDK_ASSERT_INT(checks[0].alternatives, 2);
}

static void what_cannot_be_is_refused(void)
{
	static const uint64_t odd[] = { 4095 }, falling[] = { 8192, 4096 }, none[] = { 0 },
			      huge[] = { (uint64_t)2 << 30 };
	static const struct {
		const uint64_t *sizes;
		unsigned count;
		const char *what;
	} cases[] = {
		{ odd, 1, "4095" }, { falling, 2, "4096" }, { none, 1, "0 bytes" },
		{ huge, 1, "2147483648" }, { sizes, 0, "not 0" },
		{ sizes, NSDK_TUNE_MAX_POINTS + 1, "not 33" },
	};
	struct nsdk_tune_opts opts;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		opts = some_opts();
		opts.sizes = cases[i].sizes;
		opts.size_count = cases[i].count;
		NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -EINVAL);
		NSDK_ASSERT_ONE_SENTENCE(cases[i].what);
		NSDK_ASSERT_INT(nsdk_tune_check(&opts, profile, NULL, 0), -EINVAL);
		NSDK_ASSERT_ONE_SENTENCE(cases[i].what);
	}
	opts = some_opts();
	opts.flush_cpus = first;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("both");
	memset(&opts.cpus, 0, sizeof(opts.cpus));
	opts.flush_cpus = ours;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("none is left");
	opts = some_opts();
	memset(&opts.cpus, 0, sizeof(opts.cpus));
	nsdk_cpumask_set(&opts.cpus, NSDK_MAX_CPUS - 1);
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("offline");
}

/* A device by its words alone. */
static struct nsdk_device *some_device(const char *words)
{
	struct nsdk_device *dev = NULL;

	CU_ASSERT_EQUAL(nsdk_device_attach(words, NULL, &dev), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

static void wbinvd_is_measured_where_the_gate_opens(void)
{
	struct nsdk_tune_opts opts = some_opts();
	const struct nsdk_tune_table *table;

	opts.wbinvd_device = some_device("emu:nvme,size=1m,nosnoop=all");
	device_fd = 77;
	machine.wbinvd_ns = 1000000;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	table = nsdk_profile_table(profile, NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, NSDK_TUNE_DIRTY, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(table);
	NSDK_ASSERT_INT(table->count, 3);
	NSDK_ASSERT_INT(machine.wbinvd_cpus, 1);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(table->points[i].ns, 1000000 + FENCE_NS);
	NSDK_ASSERT_INT(table->points[0].bytes, 0);
	NSDK_ASSERT_INT(table->points[2].bytes, 16 << 20);
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(profile, NSDK_TUNE_WBINVD), "");
	nsdk_device_detach(opts.wbinvd_device);
}

static void why_wbinvd_is_not_measured(void)
{
	struct nsdk_tune_opts opts = some_opts();
	const char *why;

	opts.wbinvd_device = some_device("emu:nvme,size=1m,nosnoop=all");
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	why = nsdk_profile_skipped(profile, NSDK_TUNE_WBINVD);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "no proof"));
	device_fd = 77;
	machine.gate_error = -EOPNOTSUPP;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(profile, NSDK_TUNE_WBINVD),
			 "the gate is closed: KVM said no");
	machine.gate_error = 0;
	machine.wbinvd_error = -EIO;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(profile, NSDK_TUNE_WBINVD), "WBINVD failed: KVM said no");
	NSDK_ASSERT_INT(profile->flush.count, 9);
	if (nsdk_cpumask_weight(&second) != 0) {
		/* On one CPU it works, on two it does not: then what it costs on one is not used either. */
		machine.wbinvd_error_cpus = 2;
		machine.wbinvd_ns = 1000000;
		opts.cpus = ours;
		NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
		NSDK_ASSERT_INT(profile->flush.count, 9);
	}
	nsdk_device_detach(opts.wbinvd_device);
}

/* On the made-up machine nothing is noise: a right choice costs what the best costs. */
static void the_check_knows_right_from_wrong(void)
{
	static const uint64_t few[] = { 4096, 16 << 20 };
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_tune_check checks[8];

	opts.sizes = few;
	opts.size_count = 2;
	opts.wbinvd_device = some_device("emu:nvme,size=1m,nosnoop=all");
	device_fd = 77;
	machine.wbinvd_ns = 100000;
	NSDK_ASSERT_INT(nsdk_tune_flush(&opts, profile), 0);
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, profile, checks, 8), 6);
	for (unsigned i = 0; i < 6; i++) {
		NSDK_ASSERT_INT(checks[i].alternatives, 2);
		NSDK_ASSERT_INT(checks[i].way, i < 3 ? NSDK_TUNE_WRITEBACK : NSDK_TUNE_INVALIDATE);
		NSDK_ASSERT_INT(checks[i].chosen, i % 3 == 0 ? NSDK_TUNE_LINES : NSDK_TUNE_WBINVD);
		NSDK_ASSERT_INT(checks[i].best, checks[i].chosen);
		NSDK_ASSERT_INT(checks[i].ratio_ppm, 1000000);
	}
	NSDK_ASSERT_INT(checks[1].bytes, ((16 << 20) + 4096) / 2);
	NSDK_ASSERT_INT(checks[2].chosen_ns, 100000 + FENCE_NS);
	/* Without the profile it does not dare; and that is seen. */
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, NULL, checks, 8), 6);
	NSDK_ASSERT_INT(checks[2].chosen, NSDK_TUNE_LINES);
	NSDK_ASSERT_INT(checks[2].best, NSDK_TUNE_WBINVD);
	NSDK_ASSERT_INT(checks[2].chosen_ns, (16 << 20) / 64 * WRITEBACK_NS + 2 * FENCE_NS);
	NSDK_ASSERT_INT(checks[2].ratio_ppm, checks[2].chosen_ns * 1000000 / checks[2].best_ns);
	nsdk_device_detach(opts.wbinvd_device);
}

/* The built-in costs halve what a crew takes; this one takes longer. Held against the rest, it is left. */
static void the_check_learns(void)
{
	static const uint64_t large[] = { 1 << 20, 2 << 20 };
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_tune_check checks[8];

	if (nsdk_cpumask_weight(&second) == 0)
		nsdk_skip("there is one CPU");
	opts.sizes = large;
	opts.size_count = 2;
	opts.flush_cpus = second;
	machine.ticking = true;
	machine.acquire_ns = 1000;
	NSDK_ASSERT_INT(nsdk_tune_check(&opts, NULL, checks, 8), 6);
	for (unsigned i = 0; i < 6; i++) {
		NSDK_ASSERT_INT(checks[i].chosen, NSDK_TUNE_LINES);
		NSDK_ASSERT_INT(checks[i].best, NSDK_TUNE_LINES);
		NSDK_ASSERT_INT(checks[i].ratio_ppm, 1000000);
		/* Each of 16 shares and more. */
		CU_ASSERT(checks[i].static_ratio_ppm > 1200000);
	}
}

/* One sample of the planner's. @return what it took. */
static uint64_t sample_planned(struct tune *bench, const struct nsdk_planner *planner, uint64_t bytes)
{
	struct tune_subject subject = {
		.way = NSDK_TUNE_WRITEBACK, .state = NSDK_TUNE_DIRTY, .cpus = 1, .planner = planner,
	};
	uint64_t ns = 0;
	bool alone;

	machine.learned = 0;
	NSDK_ASSERT_INT(nsdk_tune_sample(bench, &subject, bytes, &ns, &alone), 0);
	CU_ASSERT_EQUAL(alone, !machine.crowded);
	return ns;
}

/* As it does before a doorbell; where a sample was spoiled, or is too small, there is nothing to learn. */
static void learning_is_paid_for(void)
{
	static const uint64_t large[] = { 1 << 20 };
	static struct nsdk_learner learner;
	struct nsdk_tune_opts opts = some_opts();
	struct nsdk_planner planner;
	struct tune bench;
	uint64_t ns;

	if (nsdk_cpumask_weight(&second) == 0)
		nsdk_skip("there is one CPU");
	opts.sizes = large;
	opts.size_count = 1;
	opts.flush_cpus = second;
	machine.ticking = true;
	nsdk_planner_default(&planner);
	nsdk_learner_init(&learner);
	CU_ASSERT_EQUAL_FATAL(nsdk_tune_begin(&bench, &opts), 0);
	bench.learner = &learner;
	CU_ASSERT_EQUAL_FATAL(nsdk_tune_open_crew(&bench, (unsigned)nsdk_cpumask_next(&first, 0)), 0);
	ns = sample_planned(&bench, &planner, 1 << 20);
	NSDK_ASSERT_INT(machine.learned, 1);
	NSDK_ASSERT_INT(learner.count, 1);
	machine.learning_ns = 50;
	NSDK_ASSERT_INT(sample_planned(&bench, &planner, 1 << 20), ns + 50);
	NSDK_ASSERT_INT(learner.count, 2);
	(void)sample_planned(&bench, &planner, (1 << 20) - NSDK_LINE_BYTES);
	NSDK_ASSERT_INT(machine.learned, 0);
	machine.crowded = true;
	NSDK_ASSERT_INT(sample_planned(&bench, &planner, 1 << 20), ns);
	NSDK_ASSERT_INT(machine.learned, 0);
	NSDK_ASSERT_INT(learner.count, 2);
	nsdk_tune_end(&bench);
}

static void counts_double_up_to_all(void)
{
	NSDK_ASSERT_INT(nsdk_tune_next_count(1, 1), 0);
	NSDK_ASSERT_INT(nsdk_tune_next_count(1, 2), 2);
	NSDK_ASSERT_INT(nsdk_tune_next_count(4, 6), 6);
	NSDK_ASSERT_INT(nsdk_tune_next_count(6, 6), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(what_is_measured_is_what_it_costs),
	NSDK_UNIT_TEST(the_spread_is_the_quartiles),
	NSDK_UNIT_TEST(what_comes_out_can_be_read_again),
	NSDK_UNIT_TEST(flush_cpus_are_measured),
	NSDK_UNIT_TEST(progress_counts_every_step),
	NSDK_UNIT_TEST(progress_may_end_it),
	NSDK_UNIT_TEST(costs_that_make_no_sense_are_refused),
	NSDK_UNIT_TEST(the_check_stays_on_its_cpu),
	NSDK_UNIT_TEST(what_cannot_be_is_refused),
	NSDK_UNIT_TEST(wbinvd_is_measured_where_the_gate_opens),
	NSDK_UNIT_TEST(why_wbinvd_is_not_measured),
	NSDK_UNIT_TEST(the_check_knows_right_from_wrong),
	NSDK_UNIT_TEST(the_check_learns),
	NSDK_UNIT_TEST(learning_is_paid_for),
	NSDK_UNIT_TEST(counts_double_up_to_all),
};

NSDK_UNIT_MAIN("lib/coherence/tune", tests, .before = before, .after = after)
