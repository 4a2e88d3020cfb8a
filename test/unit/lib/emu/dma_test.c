/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA through a little address space of the test's own, with and without the cache model. */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/emu/emu_internal.h"
#include "lib/iommu/iommu_internal.h"

#define PAGE 4096u

static uint8_t memory[4 * PAGE] __attribute__((aligned(4096)));
static uint8_t data[4 * PAGE], got[4 * PAGE];
static struct nsdk_emu_dma dma;

/* IOVA 0x10000: pages 2, 0 and 3 of memory; the last read-only. 0x20000: page 1, write-only. */
static const struct {
	uint64_t iova;
	unsigned page;
	unsigned prot;
} pieces[] = {
	{ 0x10000, 2, NSDK_IOAS_RW },
	{ 0x11000, 0, NSDK_IOAS_RW },
	{ 0x12000, 3, NSDK_IOAS_READ },
	{ 0x20000, 1, NSDK_IOAS_WRITE },
};

int __wrap_nsdk_ioas_soft_lookup(struct nsdk_ioas *ioas, uint64_t iova, size_t bytes, unsigned prot,
				 void **va, size_t *contiguous_bytes);

int __wrap_nsdk_ioas_soft_lookup(struct nsdk_ioas *ioas, uint64_t iova, size_t bytes, unsigned prot,
				 void **va, size_t *contiguous_bytes)
{
	(void)ioas;
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t left = (size_t)(pieces[i].iova + PAGE - iova);

		if (iova < pieces[i].iova || iova >= pieces[i].iova + PAGE)
			continue;
		if ((pieces[i].prot & prot) != prot)
			return -EFAULT;
		*va = memory + (size_t)pieces[i].page * PAGE + (iova - pieces[i].iova);
		*contiguous_bytes = left < bytes ? left : bytes;
		return 0;
	}
	return -EFAULT;
}

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	memset(&dma, 0, sizeof(dma));
	dma.bus_master = true;
	dma.nosnoop_enabled = true;
	memset(memory, 0, sizeof(memory));
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11 + (i >> 8) + 1);
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void joins_the_pieces(void)
{
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x10f00, data, 300, true, "test"), 0);
	NSDK_ASSERT_INT(memcmp(memory + 2 * PAGE + 0xf00, data, 256), 0);
	NSDK_ASSERT_INT(memcmp(memory, data + 256, 44), 0);
	NSDK_ASSERT_INT(memory[44], 0);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x10f00, got, 300, true, "test"), 0);
	NSDK_ASSERT_INT(memcmp(got, data, 300), 0);
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x99999, data, 0, true, "test"), 0);
}

/* What the device takes for its own never leaves it, also in the middle of a transfer. */
static void own_addresses_are_the_devices(void)
{
	uint8_t own[PAGE];

	memset(own, 0, sizeof(own));
	dma.own = (struct nsdk_emu_own){ .iova = 0x10800, .bytes = 0x100, .va = own };
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x10700, data, 0x300, true, "test"), 0);
	NSDK_ASSERT_INT(memcmp(memory + 2 * PAGE + 0x700, data, 0x100), 0);
	NSDK_ASSERT_INT(memcmp(own, data + 0x100, 0x100), 0);
	NSDK_ASSERT_INT(memory[2 * PAGE + 0x800] | memory[2 * PAGE + 0x8ff] | own[0x100], 0);
	NSDK_ASSERT_INT(memcmp(memory + 2 * PAGE + 0x900, data + 0x200, 0x100), 0);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x10700, got, 0x300, true, "test"), 0);
	NSDK_ASSERT_INT(memcmp(got, data, 0x300), 0);
	/* Where the address space has nothing, too. */
	dma.own.iova = 0x99000;
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x99010, data + 7, 16, false, "test"), 0);
	NSDK_ASSERT_INT(memcmp(own + 16, data + 7, 16), 0);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x990f0, got, 17, false, "test"), -EFAULT);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x98fff, got, 2, false, "test"), -EFAULT);
}

static void faults_where_nothing_is_mapped_or_not_for_that(void)
{
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x0, got, 1, false, "test"), -EFAULT);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x20000, got, 1, false, "test"), -EFAULT);
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x12000, data, 1, false, "test"), -EFAULT);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x12000, got, PAGE, false, "test"), 0);
	/* What came before the fault has happened. */
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x11ff0, data, 32, false, "test"), -EFAULT);
	NSDK_ASSERT_INT(memcmp(memory + 0xff0, data, 16), 0);
}

static void nothing_without_bus_mastering(void)
{
	dma.bus_master = false;
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x10000, data, 64, false, "test"), -EPERM);
	NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x10000, got, 64, false, "test"), -EPERM);
	NSDK_ASSERT_INT(memory[2 * PAGE], 0);
}

static void start_model(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(3, &dma.cache), 0);
	nsdk_cache_model_line_ops()->writeback_invalidate(memory, sizeof(memory) / 64);
	nsdk_cache_model_line_ops()->fence_for_device();
	nsdk_cache_model_map(dma.cache, memory, sizeof(memory));
}

static void stop_model(void)
{
	nsdk_cache_model_unmap(dma.cache, memory, sizeof(memory));
	nsdk_cache_model_put(dma.cache);
	dma.cache = NULL;
}

/* A No Snoop request needs both: that the model asks for it, and that it is enabled. */
static void bypasses_the_caches_only_where_enabled(void)
{
	for (unsigned asked = 0; asked < 2; asked++) {
		for (unsigned enabled = 0; enabled < 2; enabled++) {
			struct nsdk_cache_model_stats stats;

			memset(memory, 0, sizeof(memory));
			start_model();
			nsdk_cache_model_reset();
			dma.nosnoop_enabled = enabled;
			memory[2 * PAGE] = 77;
			NSDK_ASSERT_INT(nsdk_emu_dma_read(&dma, 0x10000, got, 64, asked, "test"), 0);
			nsdk_cache_model_stats(&stats);
			NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_DEVICE_READ],
					asked && enabled);
			NSDK_ASSERT_INT(got[0], asked && enabled ? 0 : 77);
			NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x11000, data, PAGE, asked, "test"), 0);
			nsdk_cache_model_stats(&stats);
			NSDK_ASSERT_INT(stats.device_writes, asked && enabled);
			NSDK_ASSERT_INT(memcmp(memory, data, PAGE) != 0, asked && enabled);
			stop_model();
		}
	}
}

static void consumed_is_told_for_every_piece(void)
{
	struct nsdk_cache_model_stats stats;

	start_model();
	NSDK_ASSERT_INT(nsdk_emu_dma_write(&dma, 0x10f80, data, 256, true, "test"), 0);
	nsdk_emu_dma_consumed(&dma, 0x10f80, 256, "test");
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_CPU_READ], 4);
	/* Not mapped any more, or no model: nothing to tell. */
	nsdk_emu_dma_consumed(&dma, 0x30000, 256, "test");
	stop_model();
	nsdk_emu_dma_consumed(&dma, 0x10f80, 256, "test");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(joins_the_pieces),
	NSDK_UNIT_TEST(own_addresses_are_the_devices),
	NSDK_UNIT_TEST(faults_where_nothing_is_mapped_or_not_for_that),
	NSDK_UNIT_TEST(nothing_without_bus_mastering),
	NSDK_UNIT_TEST(bypasses_the_caches_only_where_enabled),
	NSDK_UNIT_TEST(consumed_is_told_for_every_piece),
};

NSDK_UNIT_MAIN("lib/emu/dma", tests, .before = before, .after = after)
