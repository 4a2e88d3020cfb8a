/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe driver on the emulated controller, the whole stack: every I/O command, every limit, every
 * policy, with all data compared, and the cache model watching.
 */
#include "nvme_stack.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define PATIENCE_NS (30 * 1000000000ull)
#define ARENA_BYTES ((size_t)16 << 20)

static const struct setting {
	const char *device;
	enum nsdk_policy policy;
	bool nosnoop; /* what comes of it */
} settings[] = {
	{ "emu:nvme,size=32M,lba=512", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=32M,lba=512,mdts=1,sgl=none", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=32M,lba=4096,iova_bits=39,sgl=dword", NSDK_POLICY_AUTO, false },
	{ "emu:nvme,size=32M,lba=512,mdts=0,thread=1", NSDK_POLICY_COHERENT, false },
	/* No-snoop is there, and not asked for. */
	{ "emu:nvme,size=32M,lba=512,nosnoop=all,seed=11", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=32M,lba=512,nosnoop=all,seed=12,sgl=none", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=32M,lba=512,mdts=1,nosnoop=all,seed=13", NSDK_POLICY_AUTO, true },
	{ "emu:nvme,size=32M,lba=4096,mdts=3,nosnoop=data,seed=14,sgl=none", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=32M,lba=512,mdts=2,nosnoop=all,seed=15,thread=1", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=32M,lba=4096,mqes=4,nosnoop=all,seed=16", NSDK_POLICY_NOSNOOP, true },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *setting;
static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct nsdk_dma_pool *pool;
static uint8_t *arena;  /* DMA memory for whatever a test wants */
static uint32_t block;  /* bytes */
static uint64_t blocks; /* of the namespace */
static unsigned sgls;   /* how they are taken */
static size_t line;     /* what addresses must be aligned to */

struct done {
	int count;
	uint16_t status;
};

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct done *done = ctx;

	done->count++;
	/* Type and code; whether it may be retried is not of interest here. */
	done->status = cpl->status & 0xffe;
}

static void bring_up(const struct setting *of, const char *more)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	/* Getting well again has tests of its own (nvme_recover_test.c). */
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts),
				       .policy = of->policy,
				       .max_resets = NSDK_NVME_NO_RESETS };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	char words[300];
	void *va;

	setting = of;
	snprintf(words, sizeof(words), "%s%s", of->device, more);
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, &opts, &ctrlr), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_active(nsdk_nvme_ctrlr_coherence(ctrlr)), of->nosnoop);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &pool_opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, ARENA_BYTES, 4096, &va), 0);
	arena = va;
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ns);
	block = nsdk_nvme_ns_block_bytes(ns);
	blocks = nsdk_nvme_ns_blocks(ns);
	sgls = nsdk_nvme_ctrlr_data(ctrlr)->sgls & 3;
	line = of->nosnoop ? NSDK_LINE_BYTES : sgls == 1 ? 1 : 4;
}

static void no_violations(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;

	nsdk_cache_model_stats(&stats);
	if (stats.violations_total) {
		nsdk_cache_model_violations(&first, 1);
		fprintf(stderr, "%s: %llu violations, first: %s at %zu, %s, %s, missing %s\n",
			setting->device, (unsigned long long)stats.violations_total,
			nsdk_violation_name(first.kind), first.offset_bytes, first.owner,
			first.operation, first.missing);
	}
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	/* The model has seen the device past the caches; else it proves nothing. */
	if (setting->nosnoop)
		CU_ASSERT(stats.device_writes > 0 && stats.fences > 0);
}

static void take_down(void)
{
	if (qp)
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
	qp = NULL;
	CU_ASSERT_EQUAL(nsdk_nvme_detach(ctrlr), 0);
	no_violations();
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static void each_setting(void (*test)(void))
{
	for (size_t i = 0; i < SETTINGS; i++) {
		bring_up(&settings[i], "");
		test();
		take_down();
	}
}

static uint16_t wait_for(struct done *done, int count)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (done->count < count) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT_EQUAL(done->count, count);
	return done->status;
}

static void fill(uint8_t *buf, size_t bytes, uint32_t salt)
{
	for (size_t i = 0; i < bytes; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}

static uint16_t write_blocks(const void *buf, uint64_t lba, uint32_t count)
{
	struct done done = { 0 };

	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_write(ns, qp, buf, lba, count, 0, on_done, &done), 0);
	return wait_for(&done, 1);
}

static uint16_t read_blocks(void *buf, uint64_t lba, uint32_t count)
{
	struct done done = { 0 };

	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_read(ns, qp, buf, lba, count, 0, on_done, &done), 0);
	return wait_for(&done, 1);
}

/* Writes, and reads back somewhere else. */
static void round_trip(size_t from, size_t to, uint64_t lba, uint32_t count)
{
	size_t bytes = (size_t)count * block;

	fill(arena + from, bytes, (uint32_t)(lba + count));
	CU_ASSERT_EQUAL(write_blocks(arena + from, lba, count), 0);
	memset(arena + to, 0xaa, bytes);
	CU_ASSERT_EQUAL(read_blocks(arena + to, lba, count), 0);
	CU_ASSERT(memcmp(arena + from, arena + to, bytes) == 0);
}

/* ---- Every command ---- */

static void every_command(void)
{
	struct done done = { 0 };
	struct nsdk_nvme_dsm_range *ranges = (void *)(arena + (8 << 20) + 4096 - 64);
	uint32_t count = 65536 / block;

	fill(arena, 65536, 3);
	CU_ASSERT_EQUAL(write_blocks(arena, 7, count), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_compare(ns, qp, arena, 7, count, 0, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 1), 0);
	arena[65000] ^= 1;
	CU_ASSERT_EQUAL(nsdk_nvme_compare(ns, qp, arena, 7, count, 0, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 2), NSDK_NVME_STATUS(2, NSDK_NVME_SC_COMPARE_FAILURE));
	CU_ASSERT_EQUAL(nsdk_nvme_flush(ns, qp, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 3), 0);

	CU_ASSERT_EQUAL(nsdk_nvme_write_zeroes(ns, qp, 8, count - 2, 0, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 4), 0);
	arena[65000] ^= 1;
	CU_ASSERT_EQUAL(read_blocks(arena + (1 << 20), 7, count), 0);
	CU_ASSERT(memcmp(arena + (1 << 20), arena, block) == 0);
	CU_ASSERT(memcmp(arena + (1 << 20) + 65536 - block, arena + 65536 - block, block) == 0);
	for (size_t i = block; i < 65536 - block; i++)
		if (arena[(1 << 20) + i] != 0) {
			CU_FAIL("write zeroes left something");
			break;
		}

	for (unsigned i = 0; i < 256; i++)
		ranges[i] = (struct nsdk_nvme_dsm_range){ .slba = 2 * i, .blocks = 1 };
	CU_ASSERT_EQUAL(nsdk_nvme_dsm(ns, qp, ranges, 256, NSDK_NVME_DSM_DEALLOCATE, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 5), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_write(ns, qp, arena, 9, 1, NSDK_NVME_RW_FUA, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 6), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena + 65536, 9, 1, NSDK_NVME_RW_LIMITED_RETRY, on_done,
				       &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 7), 0);
	CU_ASSERT(memcmp(arena, arena + 65536, block) == 0);
}

static void does_every_command(void)
{
	each_setting(every_command);
}

/* ---- Limits ---- */

static void limits(void)
{
	uint32_t most = (uint32_t)(nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr) / block);
	uint32_t sizes[] = { 1, 2, 4096 / block, 4096 / block + 1, 8192 / block, 8192 / block + 1,
			     most - 1, most, most + 1, 2 * most, 3 * most + 1 };
	struct done done = { 0 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i] == 0)
			continue;
		/* At the start, at the very end, and in a buffer that begins anywhere in its page. */
		round_trip(0, 8 << 20, 0, sizes[i]);
		round_trip(0, 8 << 20, blocks - sizes[i], sizes[i]);
		round_trip(line, (8 << 20) + 4096 - line, 100, sizes[i]);
		round_trip(2048, (8 << 20) + 512, 100, sizes[i]);
		/* Over a boundary of the memory's 2 MiB pieces. */
		round_trip((2 << 20) - 512, (10 << 20) - 4096, 100, sizes[i]);
		CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, blocks - sizes[i] + 1, sizes[i], 0,
					       on_done, &done), -EINVAL);
	}
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, blocks, 1, 0, on_done, &done), -EINVAL);
	if (line > 1)
		CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena + line / 2, 0, 1, 0, on_done, &done),
				-EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, &done, 0, 1, 0, on_done, &done),
			(uintptr_t)&done % line ? -EINVAL : -EFAULT);
	CU_ASSERT_EQUAL(done.count, 0);
}

static void keeps_to_the_limits(void)
{
	each_setting(limits);
}

/* ---- Scattered ---- */

static void thousand_pieces(void)
{
	static struct iovec iov[1000];
	struct done done = { 0 };
	uint64_t total = 0;
	size_t at = 0;

	/* Blocks all over the place: each is a command of its own, or nearly. */
	for (unsigned i = 0; i < 1000; i++) {
		iov[i].iov_base = arena + (size_t)i * 37 % 1000 * (block + line * 2);
		iov[i].iov_len = block;
		fill(iov[i].iov_base, block, i);
	}
	CU_ASSERT_EQUAL(nsdk_nvme_writev(ns, qp, iov, 1000, 50, 1000, 0, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 1), 0);
	/* Read into pages here and there, with odd ends. */
	for (unsigned i = 0; i < 1000; i++) {
		size_t len = i % 3 == 2 ? 0 : 4096;

		if (total + len > 1000ull * block)
			len = 1000ull * block - total;
		iov[i].iov_base = arena + (8 << 20) + at;
		iov[i].iov_len = len;
		at += i % 4 ? 4096 : 8192;
		total += len;
	}
	if (total == 1000ull * block) {
		CU_ASSERT_EQUAL(nsdk_nvme_readv(ns, qp, iov, 1000, 50, 1000, 0, on_done, &done), 0);
		CU_ASSERT_EQUAL(wait_for(&done, 2), 0);
		total = 0;
		for (unsigned i = 0; i < 1000; i++)
			for (size_t k = 0; k < iov[i].iov_len; k += 4, total += 4) {
				uint64_t n = total / block;
				const uint8_t *from = arena + n * 37 % 1000 * (block + line * 2) +
						      total % block;

				if (memcmp((uint8_t *)iov[i].iov_base + k, from, 4) != 0) {
					CU_FAIL_FATAL("scattered data differs");
				}
			}
	}
	/* A block in pieces that no page boundary parts: PRPs cannot say it. */
	iov[0] = (struct iovec){ arena, block / 2 };
	iov[1] = (struct iovec){ arena + 65536, block / 2 };
	done.count = 0;
	CU_ASSERT_EQUAL(nsdk_nvme_readv(ns, qp, iov, 2, 0, 1, 0, on_done, &done), sgls ? 0 : -EINVAL);
	if (sgls)
		CU_ASSERT_EQUAL(wait_for(&done, 1), 0);
}

static void moves_a_thousand_pieces(void)
{
	each_setting(thousand_pieces);
}

/* ---- Many at once ---- */

#define SLOTS 24u
#define SLOT_BYTES ((size_t)128 << 10)

struct worker;

struct slot {
	struct worker *worker;
	uint8_t *buf;
	uint64_t lba;
	uint32_t count;
	bool busy, writing;
};

/* One thread with a queue pair and a stretch of the namespace, and what it must hold. */
struct worker {
	struct nsdk_nvme_qpair *qp;
	struct slot slots[SLOTS];
	uint8_t *truth;
	uint64_t lba, blocks;
	uint8_t *taken; /* one for each block that an I/O in flight touches */
	unsigned seed, started, ended, errors;
	unsigned goal;
};

static void slot_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct slot *slot = ctx;
	struct worker *worker = slot->worker;
	uint8_t *truth = worker->truth + slot->lba * block;

	if (!slot->busy || !nsdk_nvme_cpl_ok(cpl))
		worker->errors++;
	else if (!slot->writing && memcmp(slot->buf, truth, (size_t)slot->count * block) != 0)
		worker->errors++;
	memset(worker->taken + slot->lba, 0, slot->count);
	slot->busy = false;
	worker->ended++;
}

static bool start(struct worker *worker, struct slot *slot)
{
	uint32_t most = (uint32_t)((SLOT_BYTES - 4096) / block);
	uint8_t *truth;
	int err;

	slot->count = rand_r(&worker->seed) % 3 ? 1 + (uint32_t)rand_r(&worker->seed) % 16 :
						  1 + (uint32_t)rand_r(&worker->seed) % most;
	if (slot->count > most)
		slot->count = most;
	slot->lba = (uint64_t)rand_r(&worker->seed) % (worker->blocks - slot->count);
	slot->writing = rand_r(&worker->seed) % 2;
	slot->buf = arena + (size_t)(slot->buf - arena) / SLOT_BYTES * SLOT_BYTES +
		    (size_t)rand_r(&worker->seed) % 64 * 64;
	if (memchr(worker->taken + slot->lba, 1, slot->count))
		return true; /* somebody is there; another time */
	truth = worker->truth + slot->lba * block;
	if (slot->writing) {
		fill(truth, (size_t)slot->count * block, (uint32_t)rand_r(&worker->seed));
		memcpy(slot->buf, truth, (size_t)slot->count * block);
	}
	slot->busy = true;
	memset(worker->taken + slot->lba, 1, slot->count);
	if (slot->writing)
		err = nsdk_nvme_write(ns, worker->qp, slot->buf, worker->lba + slot->lba, slot->count,
				      0, slot_done, slot);
	else
		err = nsdk_nvme_read(ns, worker->qp, slot->buf, worker->lba + slot->lba, slot->count, 0,
				     slot_done, slot);
	if (err == 0) {
		worker->started++;
		return true;
	}
	/* Full. A write that was not accepted has not changed the disk: leave the block be. */
	slot->busy = false;
	memset(worker->taken + slot->lba, 0, slot->count);
	if (err != -EAGAIN)
		worker->errors++;
	if (slot->writing)
		worker->errors += 0x10000;
	return false;
}

static void *work(void *ctx)
{
	struct worker *worker = ctx;
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (worker->ended < worker->goal && nsdk_clock_ns() < deadline_ns && !worker->errors) {
		for (unsigned i = 0; i < SLOTS && worker->started < worker->goal; i++)
			if (!worker->slots[i].busy && nsdk_nvme_qpair_outstanding(worker->qp) < 3 &&
			    !start(worker, &worker->slots[i]))
				break;
		if (nsdk_nvme_qpair_poll(worker->qp, 0) < 0)
			worker->errors++;
		sched_yield();
	}
	return NULL;
}

static void run_workers(unsigned count, unsigned goal)
{
	static struct worker workers[4];
	pthread_t threads[4];
	struct done done = { 0 };
	/* The stretches meet each other inside of nothing larger than a block. */
	uint64_t share = (uint64_t)(2 << 20) / block;

	memset(workers, 0, sizeof(workers));
	for (unsigned w = 0; w < count; w++) {
		struct worker *worker = &workers[w];

		worker->lba = w * share;
		worker->blocks = share;
		worker->seed = w + 1;
		worker->goal = goal;
		worker->truth = calloc(share, block);
		worker->taken = calloc(share, 1);
		CU_ASSERT_FATAL(worker->truth && worker->taken);
		for (unsigned i = 0; i < SLOTS; i++) {
			worker->slots[i].worker = worker;
			worker->slots[i].buf = arena + (w * SLOTS + i) * SLOT_BYTES;
		}
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &worker->qp), 0);
	}
	CU_ASSERT_EQUAL(nsdk_nvme_write_zeroes(ns, qp, 0, (uint32_t)(4 * share), 0, on_done, &done), 0);
	wait_for(&done, 1);
	for (unsigned w = 0; w < count; w++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[w], NULL, work, &workers[w]), 0);
	for (unsigned w = 0; w < count; w++)
		pthread_join(threads[w], NULL);
	for (unsigned w = 0; w < count; w++) {
		struct worker *worker = &workers[w];

		NSDK_ASSERT_INT(worker->errors, 0);
		CU_ASSERT_EQUAL(worker->ended, goal);
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(worker->qp), 0);
		/* And the disk as a whole holds what was written last. */
		CU_ASSERT_EQUAL(read_blocks(arena, worker->lba, (uint32_t)worker->blocks), 0);
		CU_ASSERT(memcmp(arena, worker->truth, 2 << 20) == 0);
		free(worker->truth);
		free(worker->taken);
	}
}

static void one_worker(void)
{
	run_workers(1, 300);
}

static void four_workers(void)
{
	run_workers(4, 100);
}

static void mixes_reads_and_writes(void)
{
	each_setting(one_worker);
}

static void has_a_queue_pair_for_each_thread(void)
{
	each_setting(four_workers);
}

/* Memory of a queue that is gone serves the next: old completions in it must not be dirty lines that
 * fall on new ones. Often enough for the admin queue to go round as well. */
static void again_and_again(void)
{
	for (unsigned i = 0; i < 40; i++) {
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_destroy(qp), 0);
		qp = NULL;
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
		for (unsigned k = 0; k < 3; k++)
			round_trip(k * 65536, (8 << 20) + k * 65536, 8 * i + k, 8192 / block + k);
	}
}

static void makes_queue_pairs_again_and_again(void)
{
	each_setting(again_and_again);
}

/* ---- Namespaces ---- */

static void keeps_namespaces_apart(void)
{
	static const struct setting of = { "emu:nvme,size=1M,lba=512", NSDK_POLICY_COHERENT, false };
	uint32_t nsid, count = 0;

	bring_up(&of, ",namespaces=5");
	for (nsid = nsdk_nvme_ns_next(ctrlr, 0); nsid; nsid = nsdk_nvme_ns_next(ctrlr, nsid)) {
		ns = nsdk_nvme_ns_get(ctrlr, nsid);
		memset(arena, (int)nsid, 4096);
		CU_ASSERT_EQUAL(write_blocks(arena, 0, 8), 0);
		count++;
	}
	CU_ASSERT_EQUAL(count, 5);
	for (nsid = 1; nsid <= 5; nsid++) {
		ns = nsdk_nvme_ns_get(ctrlr, nsid);
		CU_ASSERT_EQUAL(read_blocks(arena, 0, 8), 0);
		CU_ASSERT_EQUAL(arena[4095], nsid);
	}
	take_down();
}

/* ---- Priorities ---- */

enum { URGENT, HIGH, MEDIUM, LOW, SHARERS };

/* A queue pair that always has I/O to do. */
struct sharer {
	struct nsdk_nvme_qpair *qp;
	unsigned outstanding, good, bad;
};

static void on_shared(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct sharer *sharer = ctx;

	sharer->outstanding--;
	if (cpl->status & 0xffe)
		sharer->bad++;
	else
		sharer->good++;
}

/* Tops it up to @p want, and polls it. */
static void keep_busy(struct stack *stack, struct sharer *sharer, unsigned want)
{
	while (sharer->outstanding < want &&
	       nsdk_nvme_read(stack->ns, sharer->qp, stack->arena, 0, 1, 0, on_shared, sharer) == 0)
		sharer->outstanding++;
	CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(sharer->qp, 0) >= 0);
}

/*
 * Three queue pairs that are never idle, on a device that carries out so many commands a poll: what they
 * complete stands to each other as their weights do, to the command.
 */
static void check_shares(struct stack *stack, struct sharer *sharers)
{
	/* As long as the device has work it does 32 commands a poll, so a queue of 100 does not run dry. */
	for (unsigned i = 0; i < 300; i++)
		for (unsigned q = HIGH; q < SHARERS; q++)
			keep_busy(stack, &sharers[q], 100);
	NSDK_ASSERT_INT(sharers[HIGH].bad + sharers[MEDIUM].bad + sharers[LOW].bad, 0);
	CU_ASSERT(sharers[HIGH].good > 10000);
	CU_ASSERT(abs((int)sharers[HIGH].good - 2 * (int)sharers[MEDIUM].good) <= 200);
	CU_ASSERT(abs((int)sharers[HIGH].good - 4 * (int)sharers[LOW].good) <= 400);
	/* Urgent ones do not wait for them: those of one poll are back with it. */
	for (unsigned i = 0; i < 10; i++) {
		keep_busy(stack, &sharers[URGENT], 20);
		NSDK_ASSERT_INT(sharers[URGENT].outstanding, 0);
	}
	for (unsigned q = 0; q < SHARERS; q++) {
		while (sharers[q].outstanding)
			keep_busy(stack, &sharers[q], 0);
		NSDK_ASSERT_INT(sharers[q].bad, 0);
		sharers[q].good = 0;
	}
}

static void shares_by_weight_also_after_a_reset(void)
{
	const struct nsdk_nvme_opts opts = { .arbitration = NSDK_NVME_WRR, .arbitration_burst = 2,
					     .high_weight = 8, .medium_weight = 4, .low_weight = 2 };
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;
	struct sharer sharers[SHARERS] = { 0 };
	struct stack stack;

	nsdk_unit_log_start();
	stack_up(&stack, "emu:nvme,size=1M,wrr=1,fault=fatal@50000", NSDK_POLICY_COHERENT, &opts, 4096);
	for (unsigned q = 0; q < SHARERS; q++) {
		struct nsdk_nvme_qpair_opts qp_opts = {
			.opts_bytes = sizeof(qp_opts),
			.priority = (enum nsdk_nvme_priority)(NSDK_NVME_PRIORITY_URGENT + q),
		};

		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(stack.ctrlr, &qp_opts, &sharers[q].qp), 0);
	}
	check_shares(&stack, sharers);
	while (!nsdk_unit_log_has("the controller has been reset and goes on")) {
		for (unsigned q = 0; q < SHARERS; q++)
			keep_busy(&stack, &sharers[q], 100);
		CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(stack.ctrlr) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	for (unsigned q = 0; q < SHARERS; q++) {
		while (sharers[q].outstanding) {
			keep_busy(&stack, &sharers[q], 0);
			CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(stack.ctrlr) >= 0);
			CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
		}
		sharers[q].good = 0;
	}
	check_shares(&stack, sharers);
	for (unsigned q = 0; q < SHARERS; q++)
		NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(sharers[q].qp), 0);
	nsdk_unit_log_stop();
	stack_down(&stack, false);
}

/* ---- Ends ---- */

/* Everything that was accepted is called back once, whatever happens. */
static void end_with(const struct setting *of, const char *more, bool by_destroy)
{
	static struct done dones[64];
	unsigned accepted = 0;
	int err = 0;

	bring_up(of, more);
	memset(dones, 0, sizeof(dones));
	for (unsigned i = 0; i < 64; i++) {
		void *buf = arena + i * (128 << 10);

		memset(buf, 0x33, 128 << 10);
		if (i % 2)
			err = nsdk_nvme_read(ns, qp, buf, i, (i % 4 == 1 ? 4096u : 131072u) / block, 0,
					     on_done, &dones[i]);
		else
			err = nsdk_nvme_write(ns, qp, buf, i, (i % 4 == 0 ? 4096u : 131072u) / block, 0,
					      on_done, &dones[i]);
		if (err)
			break;
		accepted++;
	}
	CU_ASSERT(err == 0 || err == -EAGAIN);
	nsdk_nvme_qpair_submit(qp);
	if (!by_destroy) {
		uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

		do
			err = nsdk_nvme_qpair_poll(qp, 0);
		while (err >= 0 && nsdk_clock_ns() < deadline_ns);
		CU_ASSERT(err == -ENODEV || err == -EIO);
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
		for (unsigned i = 0; i < accepted; i++)
			CU_ASSERT_EQUAL(dones[i].count, 1);
		CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, 0, 1, 0, on_done, &dones[0]), err);
	}
	err = nsdk_nvme_qpair_destroy(qp);
	qp = NULL;
	CU_ASSERT_EQUAL(err, 0);
	for (unsigned i = 0; i < accepted; i++)
		CU_ASSERT_EQUAL(dones[i].count, 1);
	nsdk_unit_log_clear();
	take_down();
}

static void gives_everything_back_at_the_end(void)
{
	static const struct setting ends[] = {
		{ "emu:nvme,size=32M,lba=512", NSDK_POLICY_COHERENT, false },
		{ "emu:nvme,size=32M,lba=512,mdts=2,nosnoop=all,seed=21", NSDK_POLICY_NOSNOOP, true },
	};
	static const char *const faults[] = { ",fault=gone@1", ",fault=gone@20", ",fault=fatal@1",
					      ",fault=fatal@33" };

	nsdk_unit_log_start();
	for (size_t i = 0; i < 2; i++) {
		end_with(&ends[i], ",latency_us=1000000", true);
		end_with(&ends[i], ",latency_us=100,thread=1", true);
		end_with(&ends[i], "", true);
		for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++)
			end_with(&ends[i], faults[f], false);
	}
	nsdk_unit_log_stop();
}

/* A device that has an event for each request is not listened to for ever, and I/O goes on. */
static void survives_events_without_end(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;
	struct sharer sharer = { 0 };
	struct stack stack;

	nsdk_unit_log_start();
	stack_up(&stack, "emu:nvme,size=1M,fault=storm@1", NSDK_POLICY_COHERENT, NULL, 4096);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(stack.ctrlr, NULL, &sharer.qp), 0);
	while (!nsdk_unit_log_has("they are ignored from now on") || sharer.good < 1000) {
		keep_busy(&stack, &sharer, 10);
		CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(stack.ctrlr) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	while (sharer.outstanding)
		keep_busy(&stack, &sharer, 0);
	NSDK_ASSERT_INT(sharer.bad, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(sharer.qp), 0);
	nsdk_unit_log_stop();
	stack_down(&stack, false);
}

/* A completion that cannot be seen is late, and its command is given up with what is behind it. */
static void survives_a_phase_that_is_old(void)
{
	const struct nsdk_nvme_opts opts = { .io_timeout_ns = 300000000 };
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;
	struct sharer sharer = { 0 };
	struct stack stack;

	nsdk_unit_log_start();
	stack_up(&stack, "emu:nvme,size=1M,fault=phase@5", NSDK_POLICY_COHERENT, &opts, 4096);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(stack.ctrlr, NULL, &sharer.qp), 0);
	keep_busy(&stack, &sharer, 4);
	while (sharer.outstanding || sharer.good < 10) {
		keep_busy(&stack, &sharer, sharer.good < 10 ? 1 : 0);
		CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(stack.ctrlr) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT(nsdk_unit_log_has("has not completed within 300 ms; it is aborted"));
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(sharer.qp), 0);
	nsdk_unit_log_stop();
	stack_down(&stack, false);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(does_every_command),
	NSDK_UNIT_TEST(keeps_to_the_limits),
	NSDK_UNIT_TEST(moves_a_thousand_pieces),
	NSDK_UNIT_TEST(mixes_reads_and_writes),
	NSDK_UNIT_TEST(has_a_queue_pair_for_each_thread),
	NSDK_UNIT_TEST(makes_queue_pairs_again_and_again),
	NSDK_UNIT_TEST(keeps_namespaces_apart),
	NSDK_UNIT_TEST(shares_by_weight_also_after_a_reset),
	NSDK_UNIT_TEST(survives_events_without_end),
	NSDK_UNIT_TEST(survives_a_phase_that_is_old),
	NSDK_UNIT_TEST(gives_everything_back_at_the_end),
};

NSDK_UNIT_MAIN("nvme on emu", tests)
