/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers that are clean by construction, through the driver and the emulated device: marks are there
 * when they save a flush, and gone when they would lose one.
 */
#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/emu.h>
#include <nsdk/nvme.h>

#include "lib/coherence/engine.h"

#define MIB ((size_t)1 << 20)

struct side {
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_nvme_ns *ns;
};

static struct nsdk_mem *mem;
static struct nsdk_dma_pool *pool;

static void before(void)
{
	const struct nsdk_mem_opts opts = { .opts_bytes = sizeof(opts), .no_huge = true };

	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, NULL, &pool), 0);
}

static void after(void)
{
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	nsdk_unit_log_stop();
}

static void up(struct side *side, const char *name, enum nsdk_policy policy)
{
	const struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = policy };

	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(name, NULL, &side->dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(side->dev, mem, &opts, &side->ctrlr), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(side->ctrlr, NULL, &side->qp), 0);
	side->ns = nsdk_nvme_ns_get(side->ctrlr, 1);
}

static void down(struct side *side)
{
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(side->qp), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(side->ctrlr), 0);
	nsdk_device_detach(side->dev);
}

static void *take(size_t bytes)
{
	void *va = NULL;

	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, bytes, 4096, &va), 0);
	return va;
}

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	*(int *)ctx = nsdk_nvme_cpl_ok(cpl) ? 1 : -1;
}

/* @return whether it went well. */
static bool move(struct side *side, bool write, void *buf, size_t bytes)
{
	uint32_t blocks = (uint32_t)(bytes / nsdk_nvme_ns_block_bytes(side->ns));
	int done = 0, rc;

	rc = write ? nsdk_nvme_write(side->ns, side->qp, buf, 0, blocks, 0, on_done, &done) :
		     nsdk_nvme_read(side->ns, side->qp, buf, 0, blocks, 0, on_done, &done);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	nsdk_nvme_qpair_submit(side->qp);
	while (done == 0)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(side->qp, 0) >= 0);
	return done > 0;
}

static unsigned clean_lines(struct side *side, const uint8_t *buf, size_t bytes)
{
	const struct nsdk_coherence *coh = nsdk_nvme_ctrlr_coherence(side->ctrlr);
	unsigned count = 0;

	for (size_t at = 0; at < bytes; at += NSDK_LINE_BYTES)
		count += nsdk_shadow_is_clean(&coh->shadow, (uintptr_t)buf + at);
	return count;
}

static uint64_t violations(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations_total;
}

static bool all_are(const uint8_t *buf, uint8_t value, size_t bytes)
{
	return buf[0] == value && memcmp(buf, buf + 1, bytes - 1) == 0;
}

static void what_is_produced_is_written_without_a_flush(void)
{
	static uint8_t data[65536], got[65536];
	struct nsdk_coherence_stats first, then;
	struct nsdk_coherence *coh;
	struct side side;
	uint8_t *buf, *back;

	up(&side, "emu:nvme,nosnoop=all,size=16m", NSDK_POLICY_NOSNOOP);
	coh = nsdk_nvme_ctrlr_coherence(side.ctrlr);
	buf = take(65536);
	back = take(65536);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	nsdk_dma_copy_in(coh, buf, data, sizeof(data));
	nsdk_coherence_stats(coh, &first);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_TRUE(move(&side, true, buf, 65536));
	nsdk_coherence_stats(coh, &then);
	/* Commands and lists of pages, and none of the 3072 lines of data. */
	CU_ASSERT_TRUE(then.lines_written_back - first.lines_written_back < 3 * 16);
	CU_ASSERT_TRUE(then.bytes_skipped_clean - first.bytes_skipped_clean >= 3 * 65536);
	/* Back: copied out, its lines need nothing before the next read. */
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_TRUE(move(&side, false, back, 65536));
		nsdk_dma_copy_out(coh, got, back, sizeof(got));
		CU_ASSERT_EQUAL(memcmp(got, data, sizeof(data)), 0);
		NSDK_ASSERT_INT(clean_lines(&side, back, 65536), 1024);
	}
	/* Changed in the ordinary way, and said. */
	nsdk_dma_dirty(coh, buf + 5000, 1);
	buf[5000] ^= 0xff;
	CU_ASSERT_TRUE(move(&side, true, buf, 65536));
	CU_ASSERT_TRUE(move(&side, false, back, 65536));
	CU_ASSERT_EQUAL(memcmp(buf, back, 65536), 0);
	NSDK_ASSERT_INT((long)violations(), 0);
	nsdk_dma_free(pool, buf);
	nsdk_dma_free(pool, back);
	down(&side);
}

/*
 * A large read goes out as several commands. When one fails the rest are never given to the device; the
 * buffer was, as far as its owner can tell, and may be stored to without a word.
 */
static void a_large_read_that_fails_leaves_nothing_marked(void)
{
	struct side side;
	uint8_t *buf, *back;

	up(&side, "emu:nvme,nosnoop=all,size=64m,mdts=5,fault=badstatus@3", NSDK_POLICY_NOSNOOP);
	buf = take(4 * MIB);
	back = take(4 * MIB);
	nsdk_dma_fill(nsdk_nvme_ctrlr_coherence(side.ctrlr), buf, 0x11, 4 * MIB);
	CU_ASSERT_FALSE(move(&side, false, buf, 4 * MIB));
	NSDK_ASSERT_INT(clean_lines(&side, buf, 4 * MIB), 0);
	memset(buf, 0x22, 4 * MIB);
	CU_ASSERT_TRUE(move(&side, true, buf, 4 * MIB));
	CU_ASSERT_TRUE(move(&side, false, back, 4 * MIB));
	CU_ASSERT_TRUE(all_are(back, 0x22, 4 * MIB));
	NSDK_ASSERT_INT((long)violations(), 0);
	nsdk_dma_free(pool, buf);
	nsdk_dma_free(pool, back);
	down(&side);
}

/* A snooped device's data may stay in a cache, dirty; so nothing may count as clean beside one. */
static void beside_a_snooped_device_nothing_is_marked(void)
{
	struct side side, other;
	struct nsdk_coherence *coh;
	uint8_t *buf, *back;

	up(&side, "emu:nvme,nosnoop=all,size=16m", NSDK_POLICY_NOSNOOP);
	coh = nsdk_nvme_ctrlr_coherence(side.ctrlr);
	buf = take(65536);
	back = take(65536);
	nsdk_dma_fill(coh, buf, 0x33, 65536);
	NSDK_ASSERT_INT(clean_lines(&side, buf, 65536), 1024);
	up(&other, "emu:nvme,size=16m", NSDK_POLICY_COHERENT);
	NSDK_ASSERT_INT(clean_lines(&side, buf, 65536), 0);
	nsdk_dma_fill(coh, buf, 0x44, 65536);
	NSDK_ASSERT_INT(clean_lines(&side, buf, 65536), 0);
	CU_ASSERT_TRUE(move(&other, false, buf, 65536));
	CU_ASSERT_TRUE(move(&side, true, buf, 65536));
	CU_ASSERT_TRUE(move(&side, false, back, 65536));
	CU_ASSERT_EQUAL(memcmp(buf, back, 65536), 0);
	down(&other);
	/* Alone again. */
	nsdk_dma_fill(coh, buf, 0x55, 65536);
	NSDK_ASSERT_INT(clean_lines(&side, buf, 65536), 1024);
	NSDK_ASSERT_INT((long)violations(), 0);
	nsdk_dma_free(pool, buf);
	nsdk_dma_free(pool, back);
	down(&side);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(what_is_produced_is_written_without_a_flush),
	NSDK_UNIT_TEST(a_large_read_that_fails_leaves_nothing_marked),
	NSDK_UNIT_TEST(beside_a_snooped_device_nothing_is_marked),
};

NSDK_UNIT_MAIN("functional/nvme_clean", tests, .before = before, .after = after)
