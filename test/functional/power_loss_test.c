/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Power is cut at a random moment, many times: what a Flush or a write with Force Unit Access was
 * acknowledged for is in the file afterwards, and every block is whole, either its old or its new
 * self.
 *
 * Each block says what it is: its address, and which of the writes to it. A block is written once at a
 * time, so its writes are in order. NSDK_SEED=N repeats a run, NSDK_ROUNDS=N makes it longer.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define BLOCKS 1024u
#define BLOCK_MAX 4096u
#define SLOTS 8u
#define RUN_MAX 12u /* blocks of one write */
#define WORDS_PER_BLOCK_MAX (BLOCK_MAX / 8)
#define DEFAULT_ROUNDS 60u
#define PATIENCE_NS (30 * 1000000000ull)

struct slot {
	bool busy, flush, fua;
	uint32_t first, count;
	uint8_t *buffer;
	uint32_t acked[BLOCKS]; /* flush: what had been acknowledged when it was given */
};

static struct {
	uint64_t random;
	unsigned block_bytes;
	char file[64];
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_dma_pool *pool;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_nvme_ns *ns;
	struct slot slots[SLOTS];
	bool in_write[BLOCKS];
	uint32_t issued[BLOCKS];  /* the last write that was given */
	uint32_t acked[BLOCKS];   /* … acknowledged */
	uint32_t lasting[BLOCKS]; /* … acknowledged as lasting */
	unsigned lost, kept;      /* writes that were acknowledged and no more: both must happen */
} power;

static uint32_t below(uint32_t limit)
{
	power.random ^= power.random >> 12;
	power.random ^= power.random << 25;
	power.random ^= power.random >> 27;
	return (uint32_t)((power.random * UINT64_C(0x2545f4914f6cdd1d) >> 32) % limit);
}

/* ---- Blocks that say what they are ---- */

static void fill(uint8_t *block, uint32_t lba, uint32_t write)
{
	uint64_t *words = (uint64_t *)(void *)block;

	for (unsigned i = 0; i < power.block_bytes / 8; i++)
		words[i] = write ? (uint64_t)lba << 44 | (uint64_t)i << 32 | write : 0;
}

/* Which write it is of; -1 when it is none, or a mixture. */
static int64_t which(const uint8_t *block, uint32_t lba)
{
	static _Alignas(8) uint8_t expected[BLOCK_MAX];
	uint64_t word;

	memcpy(&word, block, sizeof(word));
	fill(expected, lba, (uint32_t)word);
	return memcmp(block, expected, power.block_bytes) == 0 ? (int64_t)(uint32_t)word : -1;
}

/* ---- The device ---- */

static void bring_up(const char *more, enum nsdk_policy policy)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = policy };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	char words[300];
	void *va;

	snprintf(words, sizeof(words), "emu:nvme,file=%s,size=%u,lba=%u,volatile_cache=1%s", power.file,
		 BLOCKS * power.block_bytes, power.block_bytes, more);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, NULL, &power.dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &power.mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(power.dev, power.mem, &opts, &power.ctrlr), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_data(power.ctrlr)->vwc & 1, 1);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(power.ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(power.mem, &pool_opts, &power.pool), 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(power.pool, RUN_MAX * BLOCK_MAX, 4096, &va), 0);
		power.slots[i] = (struct slot){ .buffer = va };
	}
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(power.ctrlr, NULL, &power.qp), 0);
	power.ns = nsdk_nvme_ns_get(power.ctrlr, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(power.ns);
	memset(power.in_write, 0, sizeof(power.in_write));
}

static void take_down(void)
{
	nsdk_nvme_qpair_destroy(power.qp);
	nsdk_nvme_detach(power.ctrlr);
	for (unsigned i = 0; i < SLOTS; i++) {
		CU_ASSERT_FALSE(power.slots[i].busy);
		nsdk_dma_free(power.pool, power.slots[i].buffer);
	}
	nsdk_device_detach(power.dev);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(power.pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(power.mem), 0);
}

/* ---- Writing ---- */

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct slot *slot = ctx;

	slot->busy = false;
	for (uint32_t i = 0; i < slot->count; i++)
		power.in_write[slot->first + i] = false;
	if (!nsdk_nvme_cpl_ok(cpl))
		return;
	for (uint32_t i = 0; i < slot->count; i++) {
		uint32_t lba = slot->first + i;

		power.acked[lba] = power.issued[lba];
		if (slot->fua)
			power.lasting[lba] = power.issued[lba];
	}
	for (uint32_t lba = 0; slot->flush && lba < BLOCKS; lba++)
		if (power.lasting[lba] < slot->acked[lba])
			power.lasting[lba] = slot->acked[lba];
}

/* @return false when the device is gone. */
static bool give(struct slot *slot)
{
	int rc;

	slot->flush = below(12) == 0;
	slot->fua = !slot->flush && below(8) == 0;
	slot->count = slot->flush ? 0 : 1 + below(RUN_MAX);
	slot->first = below(BLOCKS - RUN_MAX);
	for (uint32_t i = 0; i < slot->count; i++)
		if (power.in_write[slot->first + i])
			return true;
	if (slot->flush)
		memcpy(slot->acked, power.acked, sizeof(power.acked));
	for (uint32_t i = 0; i < slot->count; i++) {
		uint32_t lba = slot->first + i;

		power.in_write[lba] = true;
		fill(slot->buffer + i * power.block_bytes, lba, ++power.issued[lba]);
	}
	slot->busy = true;
	rc = slot->flush ? nsdk_nvme_flush(power.ns, power.qp, on_done, slot) :
			   nsdk_nvme_write(power.ns, power.qp, slot->buffer, slot->first, slot->count,
					   slot->fua ? NSDK_NVME_RW_FUA : 0, on_done, slot);
	if (rc) {
		slot->busy = false;
		for (uint32_t i = 0; i < slot->count; i++)
			power.in_write[slot->first + i] = false;
	}
	return rc == 0;
}

static void write_until_gone(void)
{
	uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
	bool there = true;

	while (there && nsdk_clock_ns() < end_ns) {
		struct slot *slot = &power.slots[below(SLOTS)];

		if (!slot->busy)
			there = give(slot);
		if (below(3) == 0 && nsdk_nvme_qpair_poll(power.qp, 0) < 0)
			there = false;
		/* As a program would that looks after its device; an idle queue alone tells late. */
		if (there && below(64) == 0 && nsdk_nvme_ctrlr_poll(power.ctrlr) < 0)
			there = false;
	}
	CU_ASSERT_FALSE(there);
	while (nsdk_nvme_qpair_outstanding(power.qp) && nsdk_clock_ns() < end_ns)
		nsdk_nvme_qpair_poll(power.qp, 0);
}

/* ---- Afterwards ---- */

static void look_at_file(void)
{
	_Alignas(8) uint8_t block[BLOCK_MAX];
	int fd = open(power.file, O_RDONLY);
	unsigned torn = 0, forgotten = 0, invented = 0;

	CU_ASSERT_FATAL(fd >= 0);
	for (uint32_t lba = 0; lba < BLOCKS; lba++) {
		int64_t found;

		CU_ASSERT_EQUAL_FATAL(pread(fd, block, power.block_bytes, (off_t)lba * power.block_bytes),
				      power.block_bytes);
		found = which(block, lba);
		torn += found < 0;
		forgotten += found >= 0 && found < power.lasting[lba];
		invented += found > power.issued[lba];
		if (power.acked[lba] > power.lasting[lba]) {
			power.lost += found < power.acked[lba];
			power.kept += found >= power.acked[lba];
		}
		/* It is what it is from here on. */
		if (found >= 0)
			power.lasting[lba] = power.acked[lba] = (uint32_t)found;
	}
	close(fd);
	CU_ASSERT_EQUAL(torn, 0);
	CU_ASSERT_EQUAL(forgotten, 0);
	CU_ASSERT_EQUAL(invented, 0);
	if (torn || forgotten || invented)
		fprintf(stderr, "%u blocks torn, %u forgotten, %u never written\n", torn, forgotten, invented);
}

/* The driver reads the same: nothing of before the cut is left in between. */
static void read_back(void)
{
	struct slot *slot = &power.slots[0];
	uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;

	for (uint32_t lba = 0; lba + RUN_MAX <= BLOCKS; lba += RUN_MAX) {
		*slot = (struct slot){ .busy = true, .buffer = slot->buffer };
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_read(power.ns, power.qp, slot->buffer, lba, RUN_MAX, 0,
						     on_done, slot), 0);
		while (slot->busy && nsdk_clock_ns() < end_ns)
			nsdk_nvme_qpair_poll(power.qp, 0);
		for (uint32_t i = 0; i < RUN_MAX; i++)
			CU_ASSERT_EQUAL(which(slot->buffer + i * power.block_bytes, lba + i),
					power.acked[lba + i]);
	}
}

static void begin(unsigned block_bytes)
{
	const char *said = getenv("NSDK_SEED");
	uint64_t seed = said ? strtoull(said, NULL, 0) : nsdk_clock_ns() % 1000000000 + 1;
	int fd;

	memset(&power, 0, sizeof(power));
	power.random = seed;
	power.block_bytes = block_bytes;
	strcpy(power.file, "/tmp/nsdk-power.XXXXXX");
	fd = mkstemp(power.file);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)BLOCKS * block_bytes), 0);
	close(fd);
	printf("# seed %llu\n", (unsigned long long)seed);
}

static void cut_again_and_again(const char *options, unsigned block_bytes, enum nsdk_policy policy)
{
	const char *more = getenv("NSDK_ROUNDS");
	unsigned rounds = more ? (unsigned)strtoul(more, NULL, 0) : DEFAULT_ROUNDS;
	char words[128];

	begin(block_bytes);
	nsdk_unit_log_start(); /* that it is gone is said each time */
	for (unsigned round = 0; round < rounds; round++) {
		snprintf(words, sizeof(words), "%s,fault=cut@%u,seed=%u", options, 1 + below(300),
			 1 + below(1000000));
		bring_up(words, policy);
		write_until_gone();
		take_down();
		look_at_file();
	}
	nsdk_unit_log_stop();
	bring_up(options, policy);
	read_back();
	take_down();
	unlink(power.file);
	printf("# of what was only acknowledged %u blocks were lost, %u kept\n", power.lost, power.kept);
	/* Else the cache lost nothing, and all of this proves nothing. */
	CU_ASSERT(power.lost > 0 && power.kept > 0);
}

static void keeps_what_was_flushed(void)
{
	cut_again_and_again("", 512, NSDK_POLICY_COHERENT);
}

static void keeps_it_in_large_blocks_with_a_thread(void)
{
	cut_again_and_again(",thread=1,mdts=1", 4096, NSDK_POLICY_COHERENT);
}

static void keeps_it_past_the_caches(void)
{
	cut_again_and_again(",nosnoop=all", 512, NSDK_POLICY_NOSNOOP);
}

/* Without a cut nothing is lost: a shutdown takes the cache along. */
static void loses_nothing_in_a_shutdown(void)
{
	begin(512);
	bring_up("", NSDK_POLICY_COHERENT);
	for (unsigned i = 0; i < 400; i++) {
		struct slot *slot = &power.slots[i % SLOTS];

		if (!slot->busy)
			CU_ASSERT_TRUE(give(slot));
		nsdk_nvme_qpair_poll(power.qp, 0);
	}
	while (nsdk_nvme_qpair_outstanding(power.qp))
		nsdk_nvme_qpair_poll(power.qp, 0);
	/* What the file does not have yet is read from the cache. */
	read_back();
	take_down();
	memcpy(power.lasting, power.acked, sizeof(power.acked));
	look_at_file();
	unlink(power.file);
}

static void wants_a_file(void)
{
	struct nsdk_device *dev;

	nsdk_unit_log_start();
	CU_ASSERT_EQUAL(nsdk_device_attach("emu:nvme,volatile_cache=1", NULL, &dev), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_device_attach("emu:nvme,file=/tmp/x,vwc=0,volatile_cache=1", NULL, &dev),
			-EINVAL);
	nsdk_unit_log_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(keeps_what_was_flushed),
	NSDK_UNIT_TEST(keeps_it_in_large_blocks_with_a_thread),
	NSDK_UNIT_TEST(keeps_it_past_the_caches),
	NSDK_UNIT_TEST(loses_nothing_in_a_shutdown),
	NSDK_UNIT_TEST(wants_a_file),
};

NSDK_UNIT_MAIN("power loss", tests)
