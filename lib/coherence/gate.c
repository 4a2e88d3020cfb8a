/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate's rules, whatever way leads to the instruction (gate_kvm.c is one).
 *
 * WBINVD writes back the caches of the CPU it runs on, so each CPU of the gate has a thread of its
 * own, pinned there, asleep until asked. A request names CPUs; their threads run at the same time
 * and the caller waits for all. It has either happened on every CPU named, after the call began, or
 * the call says that it has not: there is no answer between, because what rests on it is data.
 *
 * The gate is closed until a device is added, and again when the last one goes. Adding asks three
 * questions: did the verdict say `permitted`, does the way in take the device as proof, and does an
 * execution really empty the cache. The last is measured: lines that were just loaded load slowly
 * after a real WBINVD and quickly after one that was skipped. Where the machine shows no difference
 * between a cached and a flushed line at all (an emulated CPU) the measurement is mute and the first
 * two answers stand; where it shows that the lines stayed, the gate stays closed.
 *
 * The budget is a bucket of executions that refills evenly; it holds one second's worth.
 *
 * Locking: gate->lock serialises requests and changes; each worker's own lock only hands over work.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "coherence_internal.h"
#include "gate.h"
#include "pinned.h"

/* Milliseconds each, and a busy machine may let the thread wait; what is late is not believed. */
#define RUN_DEADLINE_NS ((uint64_t)5000 * 1000 * 1000)
#define DEFAULT_PER_SECOND 10u
#define PROBE_LINES 256u
#define PROBE_ROUNDS 5u

enum worker_state { WORKER_IDLE, WORKER_ASKED, WORKER_DONE, WORKER_STOP };
enum worker_job { JOB_RUN, JOB_PROBE };

struct worker {
	struct nsdk_gate *gate;
	unsigned cpu;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum worker_state state;
	enum worker_job job;
	int result;
	bool lost; /* missed a deadline: its result may come at any time, so it is asked no more */
	_Atomic uint64_t executed;
};

struct nsdk_gate {
	const struct nsdk_gate_ops *ops;
	void *priv; /* while a device is there */
	pthread_mutex_t lock;
	nsdk_cpumask_t cpus;
	struct worker *workers;
	unsigned worker_count;
	unsigned devices;
	_Atomic bool open; /* changes under the lock */
	char reason[200];
	unsigned per_second;
	double tokens;
	uint64_t refilled_ns;
	struct nsdk_gate_stats stats;
	/* Of nsdk_gate_start(): CPUs that have not answered yet; none: nothing is under way. */
	nsdk_cpumask_t under_way;
	uint64_t deadline_ns;
	int first_error;
};

/* ---- Did it empty the cache? ---- */

/* Nanoseconds to walk all lines of a chain once, each load waiting for the one before. */
static uint64_t walk(void *const *chain)
{
	uint64_t start = nsdk_ticks(), ticks;
	void *const *at = chain;

	do {
		at = *at;
		/* The walk must not be optimised away, nor start before the clock was read. */
		__asm__ volatile("" : "+r"(at) : : "memory");
	} while (at != chain);
	ticks = nsdk_ticks() - start;
	return ticks * 1000000000u / nsdk_ticks_per_s();
}

/* One cycle through all lines in an order that no prefetcher guesses. */
static void build_chain(char *lines)
{
	unsigned at = 0, next;

	/* x -> 5x + 3 mod 2^n visits every residue once (Hull and Dobell). */
	for (unsigned i = 0; i < PROBE_LINES; i++, at = next) {
		next = (5 * at + 3) % PROBE_LINES;
		*(void **)(void *)(lines + (size_t)at * NSDK_LINE_BYTES) =
			lines + (size_t)next * NSDK_LINE_BYTES;
	}
}

/*
 * On the CPU in question. @return 0 the lines went, or the machine cannot show it; -EOPNOTSUPP they
 * stayed: the instruction was skipped; what run() gives.
 */
static int probe_empties(const struct nsdk_gate *gate, unsigned cpu)
{
	const struct nsdk_line_ops *ops = nsdk_line_ops_cpu();
	uint64_t hot = UINT64_MAX, cold = UINT64_MAX, after = UINT64_MAX, ns;
	char *lines = NULL;
	int rc = 0;

	if (posix_memalign((void **)&lines, 4096, (size_t)PROBE_LINES * NSDK_LINE_BYTES) != 0)
		return -ENOMEM;
	build_chain(lines);
	/* The least of several: a disturbance only ever adds time. */
	for (unsigned i = 0; i < PROBE_ROUNDS && rc == 0; i++) {
		(void)walk((void **)(void *)lines);
		ns = walk((void **)(void *)lines);
		hot = ns < hot ? ns : hot;
		ops->writeback_invalidate(lines, PROBE_LINES);
		ops->fence_for_cpu(); /* the lines are gone before the walk loads them */
		ns = walk((void **)(void *)lines);
		cold = ns < cold ? ns : cold;
		rc = gate->ops->run(gate->priv, cpu);
		ns = walk((void **)(void *)lines);
		after = ns < after ? ns : after;
	}
	free(lines);
	if (rc != 0)
		return rc;
	if (cold < 3 * hot)
		return 0; /* mute: flushed lines load as fast as cached ones here */
	return after >= hot + (cold - hot) / 2 ? 0 : -EOPNOTSUPP;
}

/* ---- Workers ---- */

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	enum worker_job job;
	int result;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (worker->state != WORKER_ASKED && worker->state != WORKER_STOP)
			pthread_cond_wait(&worker->changed, &worker->lock);
		if (worker->state == WORKER_STOP)
			break;
		job = worker->job;
		pthread_mutex_unlock(&worker->lock);
		result = job == JOB_PROBE ? probe_empties(worker->gate, worker->cpu) :
					    worker->gate->ops->run(worker->gate->priv, worker->cpu);
		pthread_mutex_lock(&worker->lock);
		worker->result = result;
		if (result == 0)
			atomic_fetch_add_explicit(&worker->executed,
						  job == JOB_PROBE ? PROBE_ROUNDS : 1,
						  memory_order_relaxed);
		if (worker->state == WORKER_ASKED)
			worker->state = WORKER_DONE;
		pthread_cond_broadcast(&worker->changed);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

static void worker_ask(struct worker *worker, enum worker_job job)
{
	pthread_mutex_lock(&worker->lock);
	worker->job = job;
	worker->state = WORKER_ASKED;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
}

static int worker_wait(struct worker *worker, uint64_t deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};
	int rc = 0;

	pthread_mutex_lock(&worker->lock);
	while (worker->state == WORKER_ASKED && rc == 0)
		rc = pthread_cond_timedwait(&worker->changed, &worker->lock, &deadline);
	if (worker->state == WORKER_DONE) {
		worker->state = WORKER_IDLE;
		rc = worker->result;
	} else {
		worker->lost = true;
		rc = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&worker->lock);
	return rc;
}

static int worker_start(struct worker *worker, struct nsdk_gate *gate, unsigned cpu)
{
	pthread_condattr_t cond_attr;
	int rc;

	worker->gate = gate;
	worker->cpu = cpu;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&cond_attr);
	/* Deadlines are nsdk_clock_ns()'s, so the condition must tell that clock's time too. */
	pthread_condattr_setclock(&cond_attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->changed, &cond_attr);
	pthread_condattr_destroy(&cond_attr);
	rc = nsdk_pinned_thread(&worker->thread, cpu, worker_main, worker);
	if (rc != 0) {
		pthread_cond_destroy(&worker->changed);
		pthread_mutex_destroy(&worker->lock);
	}
	return rc;
}

static void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->state = WORKER_STOP;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
}

/* Whether it is done, without waiting. @return 1: not yet; else as worker_wait(). */
static int worker_look(struct worker *worker, uint64_t deadline_ns)
{
	int rc = 1;

	pthread_mutex_lock(&worker->lock);
	if (worker->state == WORKER_DONE) {
		worker->state = WORKER_IDLE;
		rc = worker->result;
	} else if (nsdk_clock_ns() >= deadline_ns) {
		worker->lost = true;
		rc = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&worker->lock);
	return rc;
}

/* Ask the workers of @p cpus. @return 0; -EIO: one of them is lost, and none was asked. */
static int ask_all(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus, enum worker_job job)
{
	for (unsigned i = 0; i < gate->worker_count; i++) {
		if (!nsdk_cpumask_test(cpus, gate->workers[i].cpu))
			continue;
		if (gate->workers[i].lost)
			return -EIO;
	}
	for (unsigned i = 0; i < gate->worker_count; i++) {
		if (nsdk_cpumask_test(cpus, gate->workers[i].cpu))
			worker_ask(&gate->workers[i], job);
	}
	return 0;
}

/* Ask the workers of @p cpus and wait for all, however the others end. @return 0 or the first error. */
static int run_on_all(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus, enum worker_job job)
{
	uint64_t deadline_ns = nsdk_clock_ns() + RUN_DEADLINE_NS;
	int first, rc;

	first = ask_all(gate, cpus, job);
	if (first != 0)
		return first;
	for (unsigned i = 0; i < gate->worker_count; i++) {
		if (!nsdk_cpumask_test(cpus, gate->workers[i].cpu))
			continue;
		rc = worker_wait(&gate->workers[i], deadline_ns);
		first = first == 0 ? rc : first;
	}
	return first;
}

/* Wait for what nsdk_gate_start() has begun, and call it failed. The lock is held. */
static void end_under_way(struct nsdk_gate *gate)
{
	for (unsigned i = 0; i < gate->worker_count; i++) {
		unsigned cpu = gate->workers[i].cpu;

		if (!nsdk_cpumask_test(&gate->under_way, cpu))
			continue;
		(void)worker_wait(&gate->workers[i], gate->deadline_ns);
		gate->under_way.bits[cpu / 64] &= ~((uint64_t)1 << (cpu % 64));
		gate->first_error = -EIO;
	}
}

/* ---- The gate ---- */

int nsdk_gate_create(const struct nsdk_gate_ops *ops, const nsdk_cpumask_t *cpus,
		     unsigned per_second, struct nsdk_gate **out)
{
	unsigned count = nsdk_cpumask_weight(cpus);
	struct nsdk_gate *gate;
	int rc;

	if (count == 0)
		return nsdk_fail(-EINVAL, "coherence",
				 "the WBINVD gate needs at least one CPU that it may run on");
	gate = calloc(1, sizeof(*gate));
	if (gate != NULL)
		gate->workers = calloc(count, sizeof(*gate->workers));
	if (gate == NULL || gate->workers == NULL) {
		free(gate);
		return nsdk_fail(-ENOMEM, "coherence", "no memory for the WBINVD gate");
	}
	gate->ops = ops;
	gate->cpus = *cpus;
	gate->per_second = per_second == 0 ? DEFAULT_PER_SECOND : per_second;
	gate->tokens = gate->per_second;
	gate->refilled_ns = nsdk_clock_ns();
	snprintf(gate->reason, sizeof(gate->reason), "no device has been added as proof");
	pthread_mutex_init(&gate->lock, NULL);
	for (int cpu = nsdk_cpumask_next(cpus, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(cpus, (unsigned)cpu + 1)) {
		rc = worker_start(&gate->workers[gate->worker_count], gate, (unsigned)cpu);
		if (rc != 0) {
			nsdk_gate_destroy(gate);
			return nsdk_fail(rc, "coherence",
					 "the WBINVD gate gets no thread on CPU %d (%s); leave that CPU "
					 "out of the list", cpu, strerror(-rc));
		}
		gate->worker_count++;
	}
	*out = gate;
	return 0;
}

static void close_priv(struct nsdk_gate *gate)
{
	if (gate->priv != NULL)
		gate->ops->close(gate->priv);
	gate->priv = NULL;
}

/*
 * A worker that missed its deadline may still be inside run(), which uses what close() frees: that
 * is then left for nsdk_gate_destroy(), which joins the workers first. Such a gate opens no more.
 */
static void close_locked(struct nsdk_gate *gate)
{
	bool lost = false;

	for (unsigned i = 0; i < gate->worker_count; i++)
		lost = lost || gate->workers[i].lost;
	if (!lost)
		close_priv(gate);
	gate->open = false;
}

void nsdk_gate_destroy(struct nsdk_gate *gate)
{
	if (gate == NULL)
		return;
	/* Threads first: they use what close() frees. */
	for (unsigned i = 0; i < gate->worker_count; i++)
		worker_stop(&gate->workers[i]);
	close_priv(gate);
	pthread_mutex_destroy(&gate->lock);
	free(gate->workers);
	free(gate);
}

static int add_device_locked(struct nsdk_gate *gate, int device_fd)
{
	int rc = 0;

	if (gate->priv == NULL)
		rc = gate->ops->open(&gate->priv, &gate->cpus, gate->reason, sizeof(gate->reason));
	if (rc != 0) {
		gate->priv = NULL;
		return rc;
	}
	rc = gate->ops->add_proof(gate->priv, device_fd, gate->reason, sizeof(gate->reason));
	if (rc != 0)
		return rc;
	if (gate->open)
		return 0;
	rc = run_on_all(gate, &gate->cpus, JOB_PROBE);
	if (rc == 0) {
		gate->open = true;
		gate->reason[0] = '\0';
		return 0;
	}
	snprintf(gate->reason, sizeof(gate->reason), "%s",
		 rc == -EOPNOTSUPP ? "the kernel skips WBINVD: lines stayed in the cache" :
				     "WBINVD could not be executed on every CPU");
	gate->ops->remove_proof(gate->priv, device_fd);
	return rc;
}

int nsdk_gate_add_device(struct nsdk_gate *gate, int device_fd, bool permitted)
{
	int rc;

	pthread_mutex_lock(&gate->lock);
	if (permitted) {
		rc = add_device_locked(gate, device_fd);
		if (rc == 0)
			gate->devices++;
		else if (gate->devices == 0)
			close_locked(gate);
	} else {
		rc = -EOPNOTSUPP;
		if (!gate->open)
			snprintf(gate->reason, sizeof(gate->reason),
				 "the device's address space does not permit no-snoop, so nothing is "
				 "proven");
	}
	pthread_mutex_unlock(&gate->lock);
	return rc == 0 ? 0 : -EOPNOTSUPP;
}

void nsdk_gate_remove_device(struct nsdk_gate *gate, int device_fd)
{
	pthread_mutex_lock(&gate->lock);
	/*
	 * What is under way has been asked for on the strength of the proofs that are there. With one
	 * gone before its end the kernel may skip it, or what it uses may be closed under it; so its end
	 * is waited for, and it is not believed.
	 */
	end_under_way(gate);
	if (gate->devices > 0) {
		gate->ops->remove_proof(gate->priv, device_fd);
		if (--gate->devices == 0) {
			close_locked(gate);
			snprintf(gate->reason, sizeof(gate->reason),
				 "the last device that was proof has gone");
		}
	}
	pthread_mutex_unlock(&gate->lock);
}

bool nsdk_gate_is_open(const struct nsdk_gate *gate)
{
	return gate->open;
}

const char *nsdk_gate_reason(const struct nsdk_gate *gate)
{
	return gate->reason;
}

void nsdk_gate_copy_reason(struct nsdk_gate *gate, char *reason, size_t reason_bytes)
{
	pthread_mutex_lock(&gate->lock);
	snprintf(reason, reason_bytes, "%s", gate->reason);
	pthread_mutex_unlock(&gate->lock);
}

static bool take_budget(struct nsdk_gate *gate, unsigned wanted)
{
	uint64_t now_ns = nsdk_clock_ns();

	gate->tokens += (double)(now_ns - gate->refilled_ns) * gate->per_second / 1e9;
	gate->refilled_ns = now_ns;
	if (gate->tokens > gate->per_second)
		gate->tokens = gate->per_second;
	if (gate->tokens < wanted)
		return false;
	gate->tokens -= wanted;
	return true;
}

static bool cpumask_is_empty(const nsdk_cpumask_t *cpus)
{
	return nsdk_cpumask_next(cpus, 0) < 0;
}

static bool is_subset(const nsdk_cpumask_t *cpus, const nsdk_cpumask_t *of)
{
	for (unsigned i = 0; i < NSDK_MAX_CPUS / 64; i++) {
		if ((cpus->bits[i] & ~of->bits[i]) != 0)
			return false;
	}
	return true;
}

/* Whether it may be executed on these CPUs, now. The lock is held. */
static int admit(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus)
{
	if (!gate->open || !is_subset(cpus, &gate->cpus))
		return -EPERM;
	if (!cpumask_is_empty(&gate->under_way))
		return -EBUSY;
	if (take_budget(gate, nsdk_cpumask_weight(cpus)))
		return 0;
	gate->stats.refused_budget++;
	return -EAGAIN;
}

/* What was executed before was not now: nothing is believed of this gate any more. Lock held. */
static int failed(struct nsdk_gate *gate)
{
	gate->stats.failed++;
	gate->open = false;
	snprintf(gate->reason, sizeof(gate->reason),
		 "WBINVD failed on a CPU that had executed it before");
	return -EIO;
}

int nsdk_gate_wbinvd(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus)
{
	int rc;

	pthread_mutex_lock(&gate->lock);
	rc = admit(gate, cpus);
	if (rc == 0 && run_on_all(gate, cpus, JOB_RUN) != 0)
		rc = failed(gate);
	pthread_mutex_unlock(&gate->lock);
	return rc;
}

int nsdk_gate_start(struct nsdk_gate *gate, const nsdk_cpumask_t *cpus)
{
	int rc;

	/* Whoever holds the lock for long is executing it. */
	if (pthread_mutex_trylock(&gate->lock) != 0)
		return -EBUSY;
	rc = admit(gate, cpus);
	if (rc == 0) {
		if (ask_all(gate, cpus, JOB_RUN) == 0) {
			gate->under_way = *cpus;
			gate->deadline_ns = nsdk_clock_ns() + RUN_DEADLINE_NS;
			gate->first_error = 0;
		} else {
			(void)failed(gate);
			rc = -EPERM;
		}
	}
	pthread_mutex_unlock(&gate->lock);
	return rc;
}

int nsdk_gate_poll(struct nsdk_gate *gate)
{
	int rc = 0, one;

	pthread_mutex_lock(&gate->lock);
	for (unsigned i = 0; i < gate->worker_count; i++) {
		unsigned cpu = gate->workers[i].cpu;

		if (!nsdk_cpumask_test(&gate->under_way, cpu))
			continue;
		one = worker_look(&gate->workers[i], gate->deadline_ns);
		if (one == 1) {
			rc = 1;
			continue;
		}
		gate->under_way.bits[cpu / 64] &= ~((uint64_t)1 << (cpu % 64));
		gate->first_error = gate->first_error == 0 ? one : gate->first_error;
	}
	if (rc == 0 && gate->first_error != 0)
		rc = failed(gate);
	pthread_mutex_unlock(&gate->lock);
	return rc;
}

void nsdk_gate_stats(struct nsdk_gate *gate, struct nsdk_gate_stats *out)
{
	pthread_mutex_lock(&gate->lock);
	*out = gate->stats;
	pthread_mutex_unlock(&gate->lock);
	for (unsigned i = 0; i < gate->worker_count; i++)
		out->executed += atomic_load_explicit(&gate->workers[i].executed,
						      memory_order_relaxed);
}

uint64_t nsdk_gate_executed_on(const struct nsdk_gate *gate, unsigned cpu)
{
	for (unsigned i = 0; i < gate->worker_count; i++) {
		if (gate->workers[i].cpu == cpu)
			return atomic_load_explicit(&gate->workers[i].executed,
						    memory_order_relaxed);
	}
	return 0;
}
