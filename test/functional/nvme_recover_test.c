/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines, aborts, queues made again and resets of the NVMe driver, on the emulated controller with
 * faults, the whole stack: every I/O is called back once, its data are right or its status says that
 * nobody knows, and the cache model sees no missing sync.
 *
 * NSDK_SOAK_SECONDS says for how long the last test goes on (2): any faults, resets and removals.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define MS 1000000ull
#define PATIENCE_NS (60000 * MS)
#define MAX_SLOTS 32
#define QUEUES 2
#define SLOT_BYTES ((size_t)64 << 10)

#define ABORTED NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_ABORT_REQUESTED)
#define BY_HOST NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, NSDK_NVME_SC_ABORTED_BY_HOST)
#define DELETED NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_ABORTED_SQ_DELETED)
#define LOST NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, NSDK_NVME_SC_INTERNAL_PATH)

struct worker;

/* Some blocks of its own, and one I/O at a time on them. */
struct slot {
	struct worker *worker;
	uint8_t *buf;
	uint64_t lba;
	uint32_t blocks;       /* of the I/O in flight */
	uint32_t salt;         /* what all blocks hold; 0: they were never written */
	uint32_t maybe;        /* a write that failed may have left this instead; 0: no */
	uint32_t writing;      /* the salt of the write in flight */
	bool in_flight, write;
};

struct worker {
	struct nsdk_nvme_qpair *qp;
	struct slot slots[MAX_SLOTS];
	unsigned slot_count, in_flight, quiet;
	uint32_t random;
	unsigned long wanted, started, good, by_status[5];
	bool lost;
	atomic_bool over;
};
enum { GOT_ABORTED, GOT_BY_HOST, GOT_DELETED, GOT_LOST, GOT_OTHER };

#define BIT(got) (1u << (got))

static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_ns *ns;
static struct nsdk_dma_pool *pool;
static uint8_t *arena;
static struct worker workers[QUEUES];
static unsigned worker_count;
static bool nosnoop;
static unsigned slowness; /* a factor of all times */
static uint32_t block, slot_blocks;

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void fill(uint8_t *buf, size_t bytes, uint32_t salt)
{
	uint32_t *words = (uint32_t *)(void *)buf;

	for (size_t i = 0; i < bytes / 4; i++)
		words[i] = salt * 2654435761u + (uint32_t)i;
}

/* Each block may hold one or the other, if a write went wrong. */
static void check_data(struct slot *slot)
{
	for (uint32_t i = 0; i < slot->blocks; i++) {
		const uint8_t *at = slot->buf + (size_t)i * block;
		uint8_t want[4096];
		bool right;

		if (slot->salt)
			fill(want, block, slot->salt + i * 7919u);
		else
			memset(want, 0, block);
		right = memcmp(at, want, block) == 0;
		if (!right && slot->maybe) {
			fill(want, block, slot->maybe + i * 7919u);
			right = memcmp(at, want, block) == 0;
		}
		CU_ASSERT(right);
	}
}

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct slot *slot = ctx;
	struct worker *worker = slot->worker;
	uint16_t status = cpl->status & 0xffe;

	CU_ASSERT_FATAL(slot->in_flight);
	slot->in_flight = false;
	worker->in_flight--;
	if (status == 0) {
		worker->good++;
		if (slot->write) {
			slot->salt = slot->writing;
			slot->maybe = 0;
		} else {
			check_data(slot);
		}
		return;
	}
	if (slot->write)
		slot->maybe = slot->writing;
	worker->by_status[status == ABORTED ? GOT_ABORTED : status == BY_HOST ? GOT_BY_HOST :
			  status == DELETED ? GOT_DELETED : status == LOST ? GOT_LOST :
							    GOT_OTHER]++;
}

/* @return false: none was taken now. */
static bool start(struct worker *worker, struct slot *slot)
{
	uint32_t random = next_random(&worker->random);
	int err;

	/* Whole slots are written, as otherwise there is no saying what is where. */
	slot->write = random % 3 == 0 || slot->maybe;
	slot->blocks = slot->write ? slot_blocks : 1 + random / 3 % slot_blocks;
	if (slot->write) {
		slot->writing = 1 + next_random(&worker->random);
		for (uint32_t i = 0; i < slot->blocks; i++)
			fill(slot->buf + (size_t)i * block, block, slot->writing + i * 7919u);
		err = nsdk_nvme_write(ns, worker->qp, slot->buf, slot->lba, slot->blocks, 0, on_done,
				      slot);
	} else {
		memset(slot->buf, 0x5a, (size_t)slot->blocks * block);
		err = nsdk_nvme_read(ns, worker->qp, slot->buf, slot->lba, slot->blocks, 0, on_done,
				     slot);
	}
	if (err == -EAGAIN)
		return false;
	if (err) {
		CU_ASSERT(err == -EIO || err == -ENODEV || err == -ETIMEDOUT);
		worker->lost = true;
		return false;
	}
	slot->in_flight = true;
	worker->in_flight++;
	worker->started++;
	return true;
}

/* One turn. @return whether there is more to do. */
static bool turn(struct worker *worker)
{
	int handled;

	for (unsigned i = 0; i < worker->slot_count && !worker->lost; i++)
		if (!worker->slots[i].in_flight && worker->started < worker->wanted &&
		    !start(worker, &worker->slots[i]))
			break;
	handled = nsdk_nvme_qpair_poll(worker->qp, 0);
	if (handled < 0)
		worker->lost = true;
	/* Nothing for a while: a deadline has to come, and others can do with the processor. */
	worker->quiet = handled ? 0 : worker->quiet + 1;
	if (worker->quiet > 256 && worker->quiet % 64 == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(worker->qp), worker->in_flight);
	if (worker->lost)
		return worker->in_flight > 0;
	return worker->in_flight > 0 || worker->started < worker->wanted;
}

static void *run_thread(void *arg)
{
	struct worker *worker = arg;

	while (turn(worker))
		;
	atomic_store(&worker->over, true);
	return NULL;
}

struct setting {
	const char *device;
	enum nsdk_policy policy;
	bool retry_writes, threads;
	unsigned max_resets, slots;
	unsigned timeout_ms; /* 0: 60; where none may be late on a busy machine, more */
	unsigned long ios;
	/* What may come of it where the machine keeps pace, each but for good ones a bit. */
	unsigned may, must;
	bool lost;
	const char *says; /* in one of the sentences */
};

static void bring_up(const struct setting *s)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_nvme_opts opts = {
		.opts_bytes = sizeof(opts),
		.policy = s->policy,
		.io_timeout_ns = (s->timeout_ms ? s->timeout_ms : 60) * slowness * MS,
		.admin_timeout_ns = 250 * slowness * MS,
		.ready_timeout_ns = 150 * slowness * MS,
		.max_resets = s->max_resets,
	};
	struct nsdk_nvme_qpair_opts qopts = {
		.opts_bytes = sizeof(qopts),
		.entries = 16,
		.retry_writes = s->retry_writes,
	};
	void *va;

	nosnoop = s->policy == NSDK_POLICY_NOSNOOP;
	worker_count = s->threads ? QUEUES : 1;
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(s->device, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, &opts, &ctrlr), 0);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &pool_opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, QUEUES * MAX_SLOTS * SLOT_BYTES, 4096, &va), 0);
	arena = va;
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ns);
	block = nsdk_nvme_ns_block_bytes(ns);
	slot_blocks = (uint32_t)(24576 / block);
	for (unsigned i = 0; i < worker_count; i++) {
		struct worker *worker = &workers[i];

		memset(worker, 0, sizeof(*worker));
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &qopts, &worker->qp), 0);
		worker->random = 17 + i;
		worker->wanted = s->ios;
		worker->slot_count = s->slots;
		for (unsigned k = 0; k < MAX_SLOTS; k++)
			worker->slots[k] = (struct slot){
				.worker = worker,
				.buf = arena + (i * MAX_SLOTS + k) * SLOT_BYTES,
				.lba = (uint64_t)(i * MAX_SLOTS + k) * slot_blocks,
			};
	}
}

static void no_violations(const char *device)
{
	struct nsdk_violation kept[64];
	struct nsdk_cache_model_stats stats;
	unsigned count = nsdk_cache_model_violations(kept, 64);

	nsdk_cache_model_stats(&stats);
	for (unsigned i = 0; i < count; i++)
		fprintf(stderr, "%s: violation: %s at %zu, %s, %s, missing %s\n", device,
			nsdk_violation_name(kept[i].kind), kept[i].offset_bytes, kept[i].owner,
			kept[i].operation, kept[i].missing);
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	if (nosnoop)
		CU_ASSERT(stats.device_writes > 0 && stats.fences > 0);
}

static void take_down(const char *device)
{
	for (unsigned i = 0; i < worker_count; i++) {
		nsdk_nvme_qpair_destroy(workers[i].qp);
		CU_ASSERT_EQUAL(workers[i].in_flight, 0);
	}
	nsdk_nvme_detach(ctrlr);
	no_violations(device);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static bool all_over(void)
{
	for (unsigned i = 0; i < worker_count; i++)
		if (!atomic_load(&workers[i].over))
			return false;
	return true;
}

static void run_all(const struct setting *s)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS * slowness;
	pthread_t threads[QUEUES] = { 0 };
	unsigned turns = 0;

	for (unsigned i = 0; i < worker_count && s->threads; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, run_thread, &workers[i]), 0);
	while (!all_over()) {
		if (!s->threads)
			atomic_store(&workers[0].over, !turn(&workers[0]));
		/* Rarely, as users do; and it says when it wants more. */
		if (s->threads || ++turns % 64 == 0 || nsdk_nvme_ctrlr_recovering(ctrlr))
			nsdk_nvme_ctrlr_poll(ctrlr);
		/* The workers can do with this processor. */
		if (s->threads)
			nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	for (unsigned i = 0; i < worker_count && s->threads; i++)
		pthread_join(threads[i], NULL);
}

/* Whether it went as it should where nothing takes longer than it may. */
static bool as_expected(const struct setting *s, unsigned seen)
{
	bool expected = (seen & ~s->may) == 0 && (seen & s->must) == s->must;

	if (!expected)
		fprintf(stderr, "%s: statuses %x, may be %x, must be %x\n", s->device, seen, s->may,
			s->must);
	if (s->says && !nsdk_unit_log_has(s->says)) {
		fprintf(stderr, "%s: nobody says \"%s\"\n", s->device, s->says);
		expected = false;
	}
	for (unsigned i = 0; i < worker_count; i++) {
		if (workers[i].lost == s->lost && (s->lost || workers[i].started == s->ios))
			continue;
		fprintf(stderr, "%s: queue pair %u: %s, %lu of %lu started\n", s->device, i,
			workers[i].lost ? "lost" : "not lost", workers[i].started, s->ios);
		expected = false;
	}
	return expected;
}

/* @return whether what came of it is what should. What must hold at any pace is asserted. */
static bool try(const struct setting *s)
{
	unsigned long sum = 0;
	unsigned seen = 0;
	bool expected;

	nsdk_unit_log_start();
	bring_up(s);
	run_all(s);
	for (unsigned i = 0; i < worker_count; i++) {
		sum += workers[i].good;
		for (unsigned k = 0; k <= GOT_OTHER; k++) {
			sum += workers[i].by_status[k];
			if (workers[i].by_status[k])
				seen |= 1u << k;
		}
		/* None lost, none twice. */
		sum -= workers[i].started;
	}
	CU_ASSERT_EQUAL(sum, 0);
	CU_ASSERT_EQUAL(seen & BIT(GOT_OTHER), 0);
	expected = as_expected(s, seen);
	take_down(s->device);
	nsdk_unit_log_stop();
	return expected;
}

/*
 * One rung, and what comes of it. Times are short so that the test is; a machine that is busy with other
 * things may miss them, and then the driver climbs further than the fault is worth. So one that goes
 * wrong is tried again with times that no machine misses.
 */
static void climb(const struct setting *s)
{
	static const unsigned slownesses[] = { 1, 8, 64 };

	for (unsigned i = 0; i < 3; i++) {
		slowness = slownesses[i];
		if (try(s))
			return;
	}
	CU_FAIL("it does not come of it, however much time there is");
}

#define CONTROLLED(options) "emu:nvme,size=32M,lba=4096," options
#define BLIND(options) "emu:nvme,size=32M,lba=512,mdts=2,nosnoop=all,seed=7," options

/* Both with and without the caches in between, and with threads that poll. */
static void climb_each_way(struct setting s, const char *plain, const char *blind)
{
	s.device = plain;
	s.policy = NSDK_POLICY_COHERENT;
	climb(&s);
	s.device = blind;
	s.policy = NSDK_POLICY_NOSNOOP;
	climb(&s);
	s.threads = true;
	climb(&s);
}
#define EACH_WAY(s, options) climb_each_way(s, CONTROLLED(options), BLIND(options))

static void a_late_command_is_aborted(void)
{
	struct setting s = { .slots = 8, .ios = 480, .may = BIT(GOT_ABORTED), .must = BIT(GOT_ABORTED),
			     .says = "has not completed within 60 ms; it is aborted" };

	EACH_WAY(s, "fault=timeout@280");
}

static void one_that_comes_back_after_its_abort_is_as_good_as_any(void)
{
	struct setting s = { .slots = 8, .ios = 480, .says = "it is aborted", .timeout_ms = 600 };

	EACH_WAY(s, "fault=timeout@280,abort=late");
}

static void queues_are_made_again_when_aborts_do_not_help(void)
{
	struct setting s = { .slots = 8, .ios = 480, .may = BIT(GOT_DELETED) | BIT(GOT_BY_HOST),
			     .must = BIT(GOT_DELETED), .says = "have been made again" };

	EACH_WAY(s, "fault=timeout@280,abort=fails");
}

static void a_reset_follows_when_queues_cannot_be_deleted(void)
{
	struct setting s = { .slots = 8, .ios = 480, .retry_writes = true, .may = BIT(GOT_BY_HOST),
			     .must = BIT(GOT_BY_HOST), .says = "has been reset and goes on" };

	EACH_WAY(s, "fault=timeout@280,abort=fails,delete=fails");
	EACH_WAY(s, "fault=timeout@280,abort=fails,delete=hangs");
}

static void a_reset_follows_when_aborts_are_not_answered(void)
{
	struct setting s = { .slots = 8, .ios = 480, .retry_writes = true, .may = BIT(GOT_BY_HOST),
			     .must = BIT(GOT_BY_HOST), .says = "admin command 08h was not answered" };

	EACH_WAY(s, "fault=timeout@280,abort=hangs");
}

static void a_fatal_status_is_reset_away(void)
{
	struct setting s = { .slots = 8, .ios = 480, .retry_writes = true,
			     .says = "reports a fatal status", .timeout_ms = 20000 };

	/* Nothing is lost where writes may be sent twice. */
	EACH_WAY(s, "fault=fatal@280");
	EACH_WAY(s, "fault=fatal@280,latency_us=200");
	s.retry_writes = false;
	s.may = BIT(GOT_BY_HOST);
	EACH_WAY(s, "fault=fatal@280,latency_us=200");
}

static void a_reset_that_fails_is_tried_again(void)
{
	struct setting s = { .slots = 8, .ios = 480, .retry_writes = true,
			     .says = "has been reset and goes on", .max_resets = 4,
			     .may = BIT(GOT_BY_HOST) };

	EACH_WAY(s, "fault=fatal@280,reset_fails=2");
	EACH_WAY(s, "fault=fatal@280,disable_hangs=1");
}

static void a_controller_that_cannot_be_mended_is_taken_out(void)
{
	struct setting s = { .slots = 8, .ios = 480, .retry_writes = true, .lost = true,
			     .may = BIT(GOT_LOST), .says = "3 resets did not help" };

	EACH_WAY(s, "fault=fatal@280,reset_fails=100");
	s.max_resets = NSDK_NVME_NO_RESETS;
	s.says = "fatal";
	EACH_WAY(s, "fault=fatal@280");
}

static void one_that_is_gone_stays_gone(void)
{
	struct setting s = { .slots = 8, .ios = 480, .lost = true, .may = BIT(GOT_LOST) };

	EACH_WAY(s, "fault=gone@280");
}

static void hangs_again_and_again(void)
{
	struct setting s = { .slots = 8, .ios = 480, .may = BIT(GOT_ABORTED),
			     .must = BIT(GOT_ABORTED) };

	EACH_WAY(s, "fault=timeout@every120");
	s.may = s.must = BIT(GOT_DELETED);
	s.may |= BIT(GOT_BY_HOST);
	EACH_WAY(s, "fault=timeout@every160,abort=fails");
}

/* What the heap holds; the address sanitizer has one of its own. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated_bytes(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

/* Rounds until what is allocated once has been, and what may come and go: lines of the log, say. */
#define WARM_ROUNDS 3
#define SLACK_BYTES ((size_t)512 << 10)

/* Any faults, resets and removals in any order, for a while; and memory does not grow. */
static void soaks(void)
{
	unsigned rounds = 0;
	size_t warm_bytes = 0;
	const char *text = getenv("NSDK_SOAK_SECONDS");
	uint64_t end_ns = nsdk_clock_ns() + (text ? strtoull(text, NULL, 10) : 1) * 1000 * MS;
	uint32_t random = (uint32_t)nsdk_clock_ns() | 1;
	static const char *const faults[] = { "timeout@every", "fatal@every", "timeout@", "fatal@",
					      "gone@" };
	static const char *const aborts[] = { "works", "fails", "hangs", "late" };
	static const char *const deletes[] = { "works", "fails", "hangs" };
	static const char *const nosnoops[] = { "none", "data", "all" };
	char device[300];

	do {
		unsigned way = next_random(&random) % 3;
		unsigned fault = next_random(&random) % 5;
		struct setting s = {
			.device = device,
			.policy = way ? NSDK_POLICY_NOSNOOP : NSDK_POLICY_COHERENT,
			.retry_writes = next_random(&random) % 2,
			.threads = next_random(&random) % 2,
			.max_resets = 100,
			.slots = 1 + next_random(&random) % 16,
			.ios = 600,
			.may = BIT(GOT_ABORTED) | BIT(GOT_BY_HOST) | BIT(GOT_DELETED),
		};

		if (fault == 4) {
			s.lost = true;
			s.may |= BIT(GOT_LOST);
		}
		snprintf(device, sizeof(device),
			 "emu:nvme,size=32M,lba=%s,mdts=%u,nosnoop=%s,seed=%u,fault=%s%u,abort=%s,"
			 "delete=%s,reset_fails=%u,disable_hangs=%u%s",
			 next_random(&random) % 2 ? "512" : "4096", next_random(&random) % 4,
			 nosnoops[way], next_random(&random), faults[fault],
			 40 + next_random(&random) % 360, aborts[next_random(&random) % 4],
			 deletes[next_random(&random) % 3], next_random(&random) % 3,
			 next_random(&random) % 4 == 0,
			 next_random(&random) % 2 ? ",latency_us=100" : "");
		if (CU_get_number_of_failures() == 0)
			climb(&s);
		if (CU_get_number_of_failures() != 0) {
			fprintf(stderr, "%s, %u slots%s%s\n", device, s.slots,
				s.threads ? ", threads" : "", s.retry_writes ? ", writes again" : "");
			return;
		}
		if (++rounds == WARM_ROUNDS)
			warm_bytes = allocated_bytes();
	} while (rounds <= WARM_ROUNDS || nsdk_clock_ns() < end_ns);
	fprintf(stderr, "%u rounds; the heap held %zu bytes after %d and holds %zu\n", rounds, warm_bytes,
		WARM_ROUNDS, allocated_bytes());
	CU_ASSERT(allocated_bytes() <= warm_bytes + SLACK_BYTES);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_late_command_is_aborted),
	NSDK_UNIT_TEST(one_that_comes_back_after_its_abort_is_as_good_as_any),
	NSDK_UNIT_TEST(queues_are_made_again_when_aborts_do_not_help),
	NSDK_UNIT_TEST(a_reset_follows_when_queues_cannot_be_deleted),
	NSDK_UNIT_TEST(a_reset_follows_when_aborts_are_not_answered),
	NSDK_UNIT_TEST(a_fatal_status_is_reset_away),
	NSDK_UNIT_TEST(a_reset_that_fails_is_tried_again),
	NSDK_UNIT_TEST(a_controller_that_cannot_be_mended_is_taken_out),
	NSDK_UNIT_TEST(one_that_is_gone_stays_gone),
	NSDK_UNIT_TEST(hangs_again_and_again),
	NSDK_UNIT_TEST(soaks),
};

NSDK_UNIT_MAIN("nvme_recover", tests)
