/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include "fake_device.h"
#include "fake_lines.h"
#include "lib/coherence/coherence_internal.h"
#include "lib/coherence/shadow.h"
#include "lib/env/thread.h"

static struct fake_device fake;
static struct nsdk_coherence *coh;

static void make(enum nsdk_policy policy)
{
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.dev.line_ops = &fake_line_ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, policy, &coh), 0);
	fake_lines_clear();
}

static unsigned sum(const unsigned *counts)
{
	unsigned total = 0;

	for (unsigned i = 0; i < FAKE_LINES; i++)
		total += counts[i];
	return total;
}

static const enum nsdk_dma_dir dirs[] = {
	NSDK_DMA_TO_DEVICE, NSDK_DMA_FROM_DEVICE, NSDK_DMA_BIDIRECTIONAL,
};

static void for_device_follows_the_table_of_directions(void)
{
	make(NSDK_POLICY_NOSNOOP);
	for (unsigned d = 0; d < 3; d++) {
		bool invalidates = dirs[d] != NSDK_DMA_TO_DEVICE;

		fake_lines_clear();
		nsdk_sync_for_device(coh, fake_memory + 64, 192, dirs[d]);
		NSDK_ASSERT_INT(sum(fake_lines.writebacks), invalidates ? 0 : 3);
		NSDK_ASSERT_INT(sum(fake_lines.invalidates), invalidates ? 3 : 0);
		NSDK_ASSERT_INT(fake_lines.fences_for_device, 1);
		NSDK_ASSERT_INT(fake_lines.after_fence, 0);
		NSDK_ASSERT_INT(fake_lines.fences_for_cpu, 0);
	}
	nsdk_coherence_destroy(coh);
}

static void for_cpu_follows_the_table_of_directions(void)
{
	make(NSDK_POLICY_NOSNOOP);
	for (unsigned d = 0; d < 3; d++) {
		bool works = dirs[d] != NSDK_DMA_TO_DEVICE;

		fake_lines_clear();
		nsdk_sync_for_cpu(coh, fake_memory + 64, 192, dirs[d]);
		NSDK_ASSERT_INT(sum(fake_lines.writebacks), 0);
		NSDK_ASSERT_INT(sum(fake_lines.invalidates), works ? 3 : 0);
		NSDK_ASSERT_INT(fake_lines.acquires, works);
		NSDK_ASSERT_INT(fake_lines.before_acquire, 0);
		NSDK_ASSERT_INT(fake_lines.fences_for_cpu, works);
		NSDK_ASSERT_INT(fake_lines.after_fence, 0);
		NSDK_ASSERT_INT(fake_lines.fences_for_device, 0);
	}
	nsdk_coherence_destroy(coh);
}

/* Every offset and length around two lines: exactly the lines that hold a byte of the range. */
static void touches_whole_lines_and_no_others(void)
{
	make(NSDK_POLICY_NOSNOOP);
	for (unsigned offset = 0; offset < 130; offset++) {
		for (unsigned bytes = 0; bytes < 200; bytes++) {
			bool right = true;

			fake_lines_clear();
			nsdk_sync_for_device(coh, fake_memory + offset, bytes, NSDK_DMA_TO_DEVICE);
			for (unsigned line = 0; line < 8; line++) {
				bool inside = bytes > 0 && line * 64 < offset + bytes &&
					      line * 64 + 64 > offset;

				right = right && fake_lines.writebacks[line] == inside;
			}
			right = right && !fake_lines.bad_range &&
				fake_lines.fences_for_device == (bytes > 0);
			if (!right) {
				NSDK_ASSERT_INT(offset, -1);
				NSDK_ASSERT_INT(bytes, -1);
			}
		}
	}
	nsdk_coherence_destroy(coh);
}

static void inactive_does_nothing(void)
{
	struct nsdk_coherence_stats stats;

	make(NSDK_POLICY_COHERENT);
	for (unsigned d = 0; d < 3; d++) {
		nsdk_sync_for_device(coh, fake_memory, 4096, dirs[d]);
		nsdk_sync_for_cpu(coh, fake_memory, 4096, dirs[d]);
	}
	NSDK_ASSERT_INT(fake_lines.calls, 0);
	NSDK_ASSERT_INT(fake_lines.acquires + fake_lines.fences_for_cpu + fake_lines.fences_for_device, 0);
	nsdk_coherence_stats(coh, &stats);
	NSDK_ASSERT_INT(stats.batches, 0);
	nsdk_coherence_destroy(coh);
}

/* Who takes a range back may store to it next: its CPUs are noted, of the range and nothing else. */
static void who_takes_back_owns(void)
{
	struct nsdk_shadow shadow;
	uint64_t mine;

	make(NSDK_POLICY_NOSNOOP);
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create((uintptr_t)fake_memory, sizeof(fake_memory), &shadow), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	mine = (uint64_t)1 << nsdk_thread_cpu_class();
	CU_ASSERT_NOT_EQUAL(mine, 1);
	for (unsigned d = 0; d < 3; d++) {
		uintptr_t page = (uintptr_t)fake_memory + d * 8192;
		static const enum nsdk_dma_dir each[] = {
			NSDK_DMA_TO_DEVICE, NSDK_DMA_FROM_DEVICE, NSDK_DMA_BIDIRECTIONAL,
		};

		/* Nobody is known to have stored: it may have been anybody. */
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page, page + 4096), 1);
		nsdk_sync_for_cpu(coh, (void *)(page + 100), 500, each[d]);
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page, page + 4096), mine);
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page + 4096, page + 8192), 1);
	}
	nsdk_thread_unregister();
	nsdk_coherence_drop_shadow(coh, &shadow);
	nsdk_coherence_destroy(coh);
	nsdk_shadow_destroy(&shadow);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(for_device_follows_the_table_of_directions),
	NSDK_UNIT_TEST(for_cpu_follows_the_table_of_directions),
	NSDK_UNIT_TEST(touches_whole_lines_and_no_others),
	NSDK_UNIT_TEST(inactive_does_nothing),
	NSDK_UNIT_TEST(who_takes_back_owns),
};

NSDK_UNIT_MAIN("lib/coherence/sync", tests)
