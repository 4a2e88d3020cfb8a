/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands beside reading and writing, and payloads by SGLs, on the emulated controller: what each
 * leaves on the disk, what it says when it cannot, and that no cache line is missed on the way.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define PATIENCE_NS (30 * 1000000000ull)
#define ARENA_BYTES ((size_t)8 << 20)
#define KEY 0x6b6579u

static const struct setting {
	const char *device;
	enum nsdk_policy policy;
	bool nosnoop; /* what comes of it */
} settings[] = {
	{ "emu:nvme,size=8M,lba=512", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=8M,lba=4096,sgl=none,thread=1", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=8M,lba=512,mdts=1,sgl=dword,latency_us=20", NSDK_POLICY_COHERENT, false },
	{ "emu:nvme,size=8M,lba=512,nosnoop=all,seed=21", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=8M,lba=512,nosnoop=all,seed=22,sgl=none,mqes=8", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=8M,lba=4096,nosnoop=all,seed=23,sgl=dword,mdts=3", NSDK_POLICY_NOSNOOP, true },
	{ "emu:nvme,size=8M,lba=512,nosnoop=data,seed=24,thread=1", NSDK_POLICY_AUTO, true },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *setting;
static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct nsdk_dma_pool *pool;
static uint8_t *arena;
static uint32_t block; /* bytes */
static uint32_t salt;

struct done {
	int count;
	uint16_t status;
	uint32_t dw0;
};

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct done *done = ctx;

	done->count++;
	done->status = cpl->status & 0xffe;
	done->dw0 = cpl->dw0;
}

static void bring_up(const struct setting *of, const char *more)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = of->policy };
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
}

static void take_down(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;

	if (qp)
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
	qp = NULL;
	nsdk_nvme_detach(ctrlr);
	nsdk_cache_model_stats(&stats);
	if (stats.violations_total) {
		nsdk_cache_model_violations(&first, 1);
		fprintf(stderr, "%s: %llu violations, first: %s at %zu, %s, %s, missing %s\n",
			setting->device, (unsigned long long)stats.violations_total,
			nsdk_violation_name(first.kind), first.offset_bytes, first.owner,
			first.operation, first.missing);
	}
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	if (setting->nosnoop)
		CU_ASSERT(stats.device_writes > 0 && stats.fences > 0);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static void each_setting(const char *more, void (*test)(void))
{
	for (size_t i = 0; i < SETTINGS; i++) {
		bring_up(&settings[i], more);
		test();
		take_down();
	}
}

/* Until that many are done; the status of the last. */
static uint16_t wait_for(struct done *done, int count)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (done->count < count) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT_EQUAL(done->count, count);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	return done->status;
}

/* What became of a call that goes by &once: its status. */
static struct done once;
#define RUN(call)                                                                                 \
	(once.count = 0, CU_assertImplementation((call) == 0, __LINE__, #call, __FILE__, "", CU_TRUE), \
	 wait_for(&once, 1))

static void fill(uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}

static uint16_t write_blocks(const void *buf, uint64_t lba, uint32_t count)
{
	return RUN(nsdk_nvme_write(ns, qp, buf, lba, count, 0, on_done, &once));
}

static uint16_t read_blocks(void *buf, uint64_t lba, uint32_t count)
{
	return RUN(nsdk_nvme_read(ns, qp, buf, lba, count, 0, on_done, &once));
}

static void expect_blocks(const uint8_t *expected, uint64_t lba, uint32_t count)
{
	uint8_t *back = arena + ARENA_BYTES / 2;

	memset(back, 0x5a, (size_t)count * block);
	CU_ASSERT_EQUAL(read_blocks(back, lba, count), 0);
	CU_ASSERT(memcmp(back, expected, (size_t)count * block) == 0);
}

#define UNREAD NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_UNRECOVERED_READ)
#define DIFFERENT NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_COMPARE_FAILURE)
#define CONFLICT NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_RESERVATION_CONFLICT)

/* ---- Blocks without data ---- */

static void marks(void)
{
	uint32_t all = (uint32_t)nsdk_nvme_ns_blocks(ns);
	struct done done = { 0 };

	/* All of it: many times what one command may be. */
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_verify(ns, qp, 0, all, 0, on_done, &once)), 0);
	fill(arena, 16 * block);
	CU_ASSERT_EQUAL(write_blocks(arena, 8, 16), 0);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_write_uncorrectable(ns, qp, 12, 3, on_done, &once)), 0);
	CU_ASSERT_EQUAL(read_blocks(arena + (1 << 20), 8, 16), UNREAD);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_verify(ns, qp, 0, all, NSDK_NVME_RW_FUA, on_done, &once)), UNREAD);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_verify(ns, qp, 15, all - 15, 0, on_done, &once)), 0);
	expect_blocks(arena, 8, 4);
	CU_ASSERT_EQUAL(write_blocks(arena + 4 * block, 12, 3), 0);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_verify(ns, qp, 0, all, NSDK_NVME_RW_LIMITED_RETRY, on_done, &once)),
			0);
	expect_blocks(arena, 8, 16);
	CU_ASSERT_EQUAL(nsdk_nvme_verify(ns, qp, 1, all, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_verify(ns, qp, 0, 1, NSDK_NVME_WZ_DEALLOCATE, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_write_uncorrectable(ns, qp, all, 1, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_write_uncorrectable(ns, qp, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(done.count, 0);
}

static void verifies_and_spoils(void)
{
	each_setting("", marks);
}

/* ---- Copy ---- */

static void copies(void)
{
	/* Inside a page, beside other things. */
	struct nsdk_nvme_copy_range *ranges = (void *)(arena + (2 << 20) + 320);
	struct nsdk_nvme_copy_range_f1 *ranges_f1 = (void *)(arena + (2 << 20) + 4096 - 640);
	uint64_t last = nsdk_nvme_ns_blocks(ns);
	struct done done = { 0 };

	fill(arena, 128 * block);
	CU_ASSERT_EQUAL(write_blocks(arena, 0, 128), 0);
	/* The list is written anew each time, where the one before it was. */
	for (unsigned round = 0; round < 20; round++) {
		unsigned at = round * 3;

		memset(ranges, 0, 3 * sizeof(*ranges));
		ranges[0] = (struct nsdk_nvme_copy_range){ .slba = at, .blocks = 15 };
		ranges[1] = (struct nsdk_nvme_copy_range){ .slba = at + 40, .blocks = 0 };
		ranges[2] = (struct nsdk_nvme_copy_range){ .slba = at + 20, .blocks = 6 };
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_copy(ns, qp, ranges, 3, last - 24, NSDK_NVME_RW_FUA, on_done,
						   &once)), 0);
		expect_blocks(arena + at * block, last - 24, 16);
		expect_blocks(arena + (at + 40) * block, last - 8, 1);
		expect_blocks(arena + (at + 20) * block, last - 7, 7);
	}
	memset(ranges_f1, 0, 64 * sizeof(*ranges_f1));
	for (unsigned i = 0; i < 64; i++)
		ranges_f1[i] = (struct nsdk_nvme_copy_range_f1){ .slba = 63 - i };
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_copy_f1(ns, qp, ranges_f1, 64, 1000, 0, on_done, &once)), 0);
	for (unsigned i = 0; i < 64; i += 21)
		expect_blocks(arena + (63 - i) * block, 1000 + i, 1);

	/* How far it came is in the completion. */
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_write_uncorrectable(ns, qp, 500, 1, on_done, &once)), 0);
	memset(ranges, 0, 3 * sizeof(*ranges));
	ranges[2].slba = 500;
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 3, 900, 0, on_done, &done), 0);
	CU_ASSERT_EQUAL(wait_for(&done, 1), UNREAD);
	CU_ASSERT_EQUAL(done.dw0, 2);

	/* Every limit, one beyond. */
	done.count = 0;
	memset(ranges, 0, 2048);
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 0, 900, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 65, 900, 0, on_done, &done), -EINVAL);
	ranges[0].blocks = 128; /* 129 */
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 1, 900, 0, on_done, &done), -EINVAL);
	for (unsigned i = 0; i < 5; i++)
		ranges[i].blocks = i < 4 ? 127 : 0;
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 5, 900, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 4, last - 511, 0, on_done, &done), -EINVAL);
	ranges[0].slba = last - 127;
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges, 1, 900, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, ranges + 1, 1, 900, 1, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_copy(ns, qp, (void *)((uint8_t *)(ranges + 1) + 2), 1, 900, 0, on_done,
				       &done), -EINVAL);
	CU_ASSERT_EQUAL(done.count, 0);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_copy(ns, qp, ranges + 1, 1, 900, 0, on_done, &once)), 0);
}

static void copies_within_the_limits(void)
{
	each_setting("", copies);
}

/* ---- Compare and Write ---- */

static void swaps(void)
{
	uint32_t most = 65536 / block, max_bytes = (uint32_t)nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr);
	uint8_t *old = arena, *new = arena + (1 << 20);
	struct done done = { 0 };

	if (most > max_bytes / block)
		most = max_bytes / block;
	for (uint32_t count = 1; count <= most; count = count * 2 + 1) {
		uint64_t lba = 65536 / block * 2 - count / 2; /* over the boundary of two extents */
		size_t bytes = (size_t)count * block;

		fill(old, bytes);
		fill(new, bytes);
		CU_ASSERT_EQUAL(write_blocks(old, lba, count), 0);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_compare_and_write(ns, qp, old, new, lba, count,
								NSDK_NVME_RW_FUA, on_done, &once)), 0);
		expect_blocks(new, lba, count);
		/* What is there now is not what was expected, and stays. */
		fill(old + bytes - 64, 64);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_compare_and_write(ns, qp, old, old, lba, count, 0, on_done,
								&once)), DIFFERENT);
		expect_blocks(new, lba, count);
	}
	CU_ASSERT_EQUAL(nsdk_nvme_compare_and_write(ns, qp, old, new, 0, 65536 / block + 1, 0, on_done,
						    &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_compare_and_write(ns, qp, old, new, nsdk_nvme_ns_blocks(ns), 1, 0,
						    on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_compare_and_write(ns, qp, old, &done, 0, 1, 0, on_done, &done),
			(uintptr_t)&done % (setting->nosnoop ? 64 : 4) ? -EINVAL : -EFAULT);
	CU_ASSERT_EQUAL(nsdk_nvme_compare_and_write(ns, qp, old, new, 0, 1, 1u << 20, on_done, &done),
			-EINVAL);
	CU_ASSERT_EQUAL(done.count, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
}

static void writes_what_is_as_expected(void)
{
	each_setting("", swaps);
}

/* Counters on the disk, taken up by as many as the queue takes at once, with reads in between. */
static void counters(void)
{
	enum { COUNTERS = 5, ROUNDS = 40 };
	struct done done = { 0 }, reads = { 0 };
	int asked = 0, asked_reads = 0;

	memset(arena, 0, (2 * COUNTERS + 1) * (size_t)block);
	CU_ASSERT_EQUAL(write_blocks(arena, 0, COUNTERS), 0);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		for (unsigned i = 0; i < COUNTERS; i++) {
			uint8_t *old = arena + 2 * i * (size_t)block, *new = old + block;
			int rc;

			memcpy(old, &(uint32_t){ round - 1 }, 4);
			memcpy(new, &round, 4);
			while ((rc = nsdk_nvme_compare_and_write(ns, qp, old, new, i, 1, 0, on_done,
								 &done)) == -EAGAIN) {
				CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
			}
			CU_ASSERT_EQUAL(rc, 0);
			asked++;
			/*
			 * Each to a place of its own: two at a time may not write to the same lines, and a
			 * model with a thread may learn late that the one before was made use of.
			 */
			if (nsdk_nvme_read(ns, qp, arena + (4 << 20) + asked * (size_t)block, COUNTERS, 1,
					   0, on_done, &reads) == 0)
				asked_reads++;
			CU_ASSERT(nsdk_nvme_qpair_outstanding(qp) <=
				  (unsigned)(asked - done.count + asked_reads - reads.count));
		}
		while (done.count < asked || reads.count < asked_reads) {
			int before = done.count + reads.count;
			int polled = nsdk_nvme_qpair_poll(qp, 0);

			/* A pair is one I/O: never counted twice. Half of one may be what was handled. */
			CU_ASSERT_FATAL(polled >= 0);
			CU_ASSERT_EQUAL(done.count + reads.count - before, polled);
		}
		CU_ASSERT_EQUAL(done.status, 0);
	}
	CU_ASSERT_EQUAL(read_blocks(arena + (2 << 20), COUNTERS - 1, 1), 0);
	CU_ASSERT_EQUAL(*(uint32_t *)(void *)(arena + (2 << 20)), ROUNDS);
}

static void counts_on_the_disk(void)
{
	each_setting("", counters);
}

/* ---- Reservations ---- */

static void reserves(void)
{
	struct nsdk_nvme_resv_status *status = (void *)(arena + (1 << 20));
	struct nsdk_nvme_resv_ctrlr *entries = (void *)(status + 1);
	size_t bytes = 128;
	struct done done = { 0 };
	uint64_t rival;

	fill(arena, block);
	CU_ASSERT_EQUAL(write_blocks(arena, 0, 1), CONFLICT);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_report(ns, qp, status, bytes, on_done, &once)), 0);
	CU_ASSERT_EQUAL(status->type, NSDK_NVME_RESV_EXCLUSIVE_ACCESS);
	CU_ASSERT_EQUAL(status->registered[0], 1);
	rival = entries[0].key;
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_acquire(ns, qp, NSDK_NVME_RESV_ACQUIRE,
						   NSDK_NVME_RESV_WRITE_EXCLUSIVE, 0, KEY, 0, on_done,
						   &once)), CONFLICT);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_register(ns, qp, NSDK_NVME_RESV_REGISTER,
						    NSDK_NVME_RESV_PERSIST_ON, 0, KEY, on_done, &once)), 0);
	/* The key alone is different, and where it was written is memory that was used before. */
	for (uint64_t key = KEY + 1; key < KEY + 40; key++) {
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_register(ns, qp, NSDK_NVME_RESV_REPLACE, 0, key - 1, key,
							    on_done, &once)), 0);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_report(ns, qp, status, bytes, on_done, &once)), 0);
		CU_ASSERT_EQUAL(entries[0].key, key);
	}
	CU_ASSERT_EQUAL(status->persists, 1);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_acquire(ns, qp, NSDK_NVME_RESV_PREEMPT,
						   NSDK_NVME_RESV_WRITE_EXCLUSIVE, 0, KEY + 39, rival,
						   on_done, &once)), 0);
	CU_ASSERT_EQUAL(write_blocks(arena, 0, 1), 0);
	expect_blocks(arena, 0, 1);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_release(ns, qp, NSDK_NVME_RESV_RELEASE,
						   NSDK_NVME_RESV_WRITE_EXCLUSIVE, 0, KEY, on_done, &once)),
			CONFLICT);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_release(ns, qp, NSDK_NVME_RESV_RELEASE,
						   NSDK_NVME_RESV_WRITE_EXCLUSIVE, 0, KEY + 39, on_done,
						   &once)), 0);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_release(ns, qp, NSDK_NVME_RESV_CLEAR, NSDK_NVME_RESV_NONE, 0,
						   KEY + 39, on_done, &once)), 0);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_resv_report(ns, qp, status, bytes, on_done, &once)), 0);
	CU_ASSERT_EQUAL(status->registered[0], 0);

	CU_ASSERT_EQUAL(nsdk_nvme_resv_acquire(ns, qp, 3, 1, 0, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_acquire(ns, qp, 0, 0, 0, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_acquire(ns, qp, 0, 7, 0, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_register(ns, qp, 3, 0, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_register(ns, qp, 0, 1u << 30, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_release(ns, qp, 2, 1, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_release(ns, qp, 1, 1, 0, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_report(ns, qp, status, 20, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_resv_report(ns, qp, status, 26, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(done.count, 0);
}

static void reserves_against_a_rival(void)
{
	each_setting(",rival=2", reserves);
}

/* ---- Hints, and any scatter ---- */

/* Cuts a stretch of memory into pieces with holes between, of sizes and places that are multiples. */
static int scatter(struct iovec *iov, uint8_t *at, size_t bytes, size_t largest, size_t multiple)
{
	int count = 0;

	while (bytes) {
		size_t part;

		salt = salt * 1664525u + 1013904223u;
		part = (salt >> 8) % largest / multiple * multiple + multiple;
		if (part > bytes)
			part = bytes;
		iov[count++] = (struct iovec){ at, part };
		at += part + (salt >> 28) * multiple + multiple;
		bytes -= part;
	}
	return count;
}

static void scattered(void)
{
	static struct iovec iov[4096];
	unsigned sgls = nsdk_nvme_ctrlr_data(ctrlr)->sgls & 3;
	size_t multiple = setting->nosnoop ? 64 : sgls == 1 ? 1 : 4;
	struct nsdk_nvme_io_ext ext = {
		.ext_bytes = sizeof(ext),
		.flags = NSDK_NVME_RW_FUA,
		.dsm = NSDK_NVME_RW_DSM_SEQUENTIAL | NSDK_NVME_RW_DSM_FREQUENCY(3),
	};
	struct done done = { 0 };

	for (unsigned round = 0; round < 60; round++) {
		uint32_t count = 1 + round * round / 4;
		size_t bytes = (size_t)count * block, largest = round % 3 ? block / 2 + round * 100 : 300;
		uint8_t *from = arena, *to = arena + (2 << 20);
		size_t at = 0;
		int pieces;

		if (bytes > 256 << 10)
			break;
		/* From one piece, which begins anywhere, into many. */
		from += multiple * (round % 7);
		fill(from, bytes);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_write(ns, qp, from, 5, count, 0, on_done, &once)), 0);
		pieces = scatter(iov, to, bytes, largest, multiple);
		done.count = 0;
		if (!sgls && pieces > 1) {
			/* PRPs cannot say this; where they can by chance there is nothing to see. */
			int rc = nsdk_nvme_readv_ext(ns, qp, iov, pieces, 5, count, &ext, on_done, &done);

			if (rc == 0)
				wait_for(&done, 1);
			else
				CU_ASSERT_EQUAL(rc, -EINVAL);
			continue;
		}
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_readv_ext(ns, qp, iov, pieces, 5, count, &ext, on_done, &once)),
				0);
		for (int i = 0; i < pieces; at += iov[i++].iov_len)
			if (memcmp(iov[i].iov_base, from + at, iov[i].iov_len) != 0) {
				CU_FAIL("scattered data differs");
				break;
			}
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_comparev(ns, qp, iov, pieces, 5, count, 0, on_done, &once)), 0);
		/* And back from many pieces. */
		for (int i = 0; i < pieces; i++)
			fill(iov[i].iov_base, iov[i].iov_len);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_writev_ext(ns, qp, iov, pieces, 5, count, &ext, on_done,
							 &once)), 0);
		memset(from, 0, bytes);
		CU_ASSERT_EQUAL(read_blocks(from, 5, count), 0);
		at = 0;
		for (int i = 0; i < pieces; at += iov[i++].iov_len)
			if (memcmp(iov[i].iov_base, from + at, iov[i].iov_len) != 0) {
				CU_FAIL("gathered data differs");
				break;
			}
	}
	/* Short ways are open again once the ring has gone round, and whole. */
	for (unsigned i = 0; i < 600; i++)
		CU_ASSERT_EQUAL(read_blocks(arena + i * (size_t)block, i % 9, 1), 0);
	ext.ext_bytes--;
	CU_ASSERT_EQUAL(nsdk_nvme_readv_ext(ns, qp, iov, 1, 5, 1, &ext, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_writev_ext(ns, qp, iov, 1, 5, 1, &ext, on_done, &done), -EINVAL);
}

static void moves_any_scatter(void)
{
	each_setting("", scattered);
}

/* ---- When it goes wrong ---- */

/* Each of many pairs is called back once, whatever becomes of the queue under them. */
static void ends_in_the_middle(void)
{
	static const char *const how[] = { ",latency_us=200", ",fault=gone@5", ",fault=fatal@6",
					   ",fault=timeout@4", ",fault=timeout@5", ",fault=badstatus@4",
					   ",fault=badstatus@5" };

	for (size_t s = 0; s < 4; s += 3) {
		for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
			struct done done[6] = { { 0 } };
			unsigned failed = 0;

			bring_up(&settings[s], how[i]);
			fill(arena, 8 * block);
			for (unsigned k = 0; k < 6; k++)
				CU_ASSERT_EQUAL(nsdk_nvme_compare_and_write(
							ns, qp, arena + 65536, arena, k, 1, 0, on_done,
							&done[k]), 0);
			CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 6);
			nsdk_nvme_qpair_submit(qp);
			for (unsigned turns = 0; turns < 50; turns++)
				if (nsdk_nvme_qpair_poll(qp, 0) < 0)
					break;
			nsdk_nvme_qpair_destroy(qp);
			qp = NULL;
			for (unsigned k = 0; k < 6; k++) {
				CU_ASSERT_EQUAL(done[k].count, 1);
				failed += done[k].status != 0;
			}
			/* A slow device may have done all of it, where polls are slow, too. */
			CU_ASSERT(failed > 0 || i == 0);
			take_down();
		}
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(verifies_and_spoils),
	NSDK_UNIT_TEST(copies_within_the_limits),
	NSDK_UNIT_TEST(writes_what_is_as_expected),
	NSDK_UNIT_TEST(counts_on_the_disk),
	NSDK_UNIT_TEST(reserves_against_a_rival),
	NSDK_UNIT_TEST(moves_any_scatter),
	NSDK_UNIT_TEST(ends_in_the_middle),
};

NSDK_UNIT_MAIN("nvme commands on emu", tests)
