/* SPDX-License-Identifier: BSD-3-Clause */
/* The volatile write cache, block by block. What it is for is in test/functional/power_loss_test.c. */
#include "nsdk_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/emu/nvme_internal.h"

#define BLOCK 512u
#define EXTENT ((unsigned)EMU_NVME_EXTENT_BYTES)
/* The last extent is not a whole one. */
#define STORE_BYTES (3 * EXTENT + 8 * BLOCK)

static struct emu_nvme_store store;
static struct emu_nvme_opts opts;
static uint8_t blocks[EXTENT], seen[EXTENT];

static void start(uint64_t seed)
{
	opts = (struct emu_nvme_opts){
		.size_bytes = STORE_BYTES,
		.lba_bytes = BLOCK,
		.namespaces = 1,
		.write_cache = true,
		.volatile_cache = true,
		.seed = seed,
	};
	snprintf(opts.file, sizeof(opts.file), "/tmp/nsdk-wcache-XXXXXX");
	close(mkstemp(opts.file));
	CU_ASSERT_EQUAL_FATAL(truncate(opts.file, STORE_BYTES), 0);
	memset(&store, 0, sizeof(store));
	NSDK_ASSERT_INT(emu_nvme_store_open(&store, &opts), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(store.cache);
	memset(blocks, 0x5a, sizeof(blocks));
}

static void stop(void)
{
	emu_nvme_store_close(&store);
	unlink(opts.file);
}

/* How many blocks of a range the file has as they were written; the others are as they were. */
static unsigned in_file(uint64_t offset, size_t bytes)
{
	unsigned count = 0;

	NSDK_ASSERT_INT(pread(store.fd, seen, bytes, (off_t)offset), bytes);
	for (size_t at = 0; at < bytes; at += BLOCK) {
		for (unsigned i = 1; i < BLOCK; i++)
			if (seen[at + i] != seen[at])
				CU_FAIL_FATAL("half a block");
		CU_ASSERT(seen[at] == 0 || seen[at] == 0x5a);
		count += seen[at] == 0x5a;
	}
	return count;
}

static void holds_writes_back(void)
{
	uint64_t offset = 0;

	start(1);
	CU_ASSERT_FALSE(emu_nvme_wcache_next(store.cache, &offset));
	/* It writes some back by itself, so the file may have a few, but not all. */
	for (unsigned i = 0; i < 100; i++)
		NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, EXTENT + i * BLOCK, BLOCK), 0);
	CU_ASSERT(in_file(EXTENT, EXTENT) > 0 && in_file(EXTENT, EXTENT) < 100);
	NSDK_ASSERT_INT(in_file(0, EXTENT), 0);
	/* Together they are what was written. */
	in_file(EXTENT, 100 * BLOCK);
	emu_nvme_wcache_overlay(store.cache, seen, EXTENT, 100 * BLOCK);
	CU_ASSERT_EQUAL(memcmp(seen, blocks, 100 * BLOCK), 0);
	/* And that extent is the one to flush. */
	offset = 0;
	CU_ASSERT_TRUE(emu_nvme_wcache_next(store.cache, &offset));
	NSDK_ASSERT_INT(offset, EXTENT);
	offset += EXTENT;
	CU_ASSERT_FALSE(emu_nvme_wcache_next(store.cache, &offset));
	stop();
}

static void writes_back_what_it_is_asked_for(void)
{
	uint64_t offset = 0;

	start(2);
	NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, 3 * EXTENT, 8 * BLOCK), 0);
	NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, 4 * BLOCK, 4 * BLOCK), 0);
	NSDK_ASSERT_INT(emu_nvme_wcache_write_back(&store, 4 * BLOCK, 2 * BLOCK, EMU_NVME_WCACHE_ALL), 0);
	NSDK_ASSERT_INT(in_file(4 * BLOCK, 2 * BLOCK), 2);
	NSDK_ASSERT_INT(emu_nvme_store_settle(&store, 6 * BLOCK, 2 * BLOCK), 0);
	NSDK_ASSERT_INT(in_file(0, EXTENT), 4);
	/* Only the end is left. */
	CU_ASSERT_TRUE(emu_nvme_wcache_next(store.cache, &offset));
	NSDK_ASSERT_INT(offset, 3 * EXTENT);
	NSDK_ASSERT_INT(emu_nvme_store_flush(&store), 0);
	NSDK_ASSERT_INT(in_file(3 * EXTENT, 8 * BLOCK), 8);
	offset = 0;
	CU_ASSERT_FALSE(emu_nvme_wcache_next(store.cache, &offset));
	stop();
}

static void takes_zeroes(void)
{
	start(3);
	NSDK_ASSERT_INT(emu_nvme_store_to_file(&store, blocks, 2 * BLOCK, 0), 0);
	NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, NULL, 0, BLOCK), 0);
	NSDK_ASSERT_INT(emu_nvme_store_flush(&store), 0);
	NSDK_ASSERT_INT(in_file(0, 2 * BLOCK), 1);
	/* A wipe lasts, and takes what is cached with it. */
	NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, 0, 2 * BLOCK), 0);
	NSDK_ASSERT_INT(emu_nvme_store_wipe(&store, 0, STORE_BYTES), 0);
	NSDK_ASSERT_INT(in_file(0, 2 * BLOCK), 0);
	NSDK_ASSERT_INT(emu_nvme_store_flush(&store), 0);
	NSDK_ASSERT_INT(in_file(0, 2 * BLOCK), 0);
	stop();
}

static void loses_some_in_a_cut(void)
{
	uint64_t offset = 0;
	unsigned kept;

	start(4);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, i * EXTENT, EXTENT), 0);
	emu_nvme_store_cut(&store);
	kept = in_file(0, EXTENT) + in_file(EXTENT, EXTENT) + in_file(2 * EXTENT, EXTENT);
	/* Of 384, half or so. */
	CU_ASSERT(kept > 100 && kept < 300);
	CU_ASSERT_FALSE(emu_nvme_wcache_next(store.cache, &offset));
	NSDK_ASSERT_INT(emu_nvme_store_flush(&store), 0);
	NSDK_ASSERT_INT(in_file(0, EXTENT) + in_file(EXTENT, EXTENT) + in_file(2 * EXTENT, EXTENT), kept);
	stop();
}

/* The file cannot be written any more: the blocks stay, and the flush says so. */
static void keeps_what_cannot_be_written(void)
{
	uint64_t offset = 0;
	int fd;

	start(5);
	NSDK_ASSERT_INT(emu_nvme_wcache_put(&store, blocks, 0, BLOCK), 0);
	fd = store.fd;
	store.fd = -1;
	CU_ASSERT_NOT_EQUAL(emu_nvme_store_flush(&store), 0);
	CU_ASSERT_TRUE(emu_nvme_wcache_next(store.cache, &offset));
	store.fd = fd;
	NSDK_ASSERT_INT(emu_nvme_store_flush(&store), 0);
	NSDK_ASSERT_INT(in_file(0, BLOCK), 1);
	stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(holds_writes_back),
	NSDK_UNIT_TEST(writes_back_what_it_is_asked_for),
	NSDK_UNIT_TEST(takes_zeroes),
	NSDK_UNIT_TEST(loses_some_in_a_cut),
	NSDK_UNIT_TEST(keeps_what_cannot_be_written),
};

NSDK_UNIT_MAIN("lib/emu/nvme_wcache", tests)
