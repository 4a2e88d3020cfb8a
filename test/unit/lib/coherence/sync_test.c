/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include "fake_device.h"
#include "fake_lines.h"
#include "lib/coherence/coherence_internal.h"

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

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(for_device_follows_the_table_of_directions),
	NSDK_UNIT_TEST(for_cpu_follows_the_table_of_directions),
	NSDK_UNIT_TEST(touches_whole_lines_and_no_others),
	NSDK_UNIT_TEST(inactive_does_nothing),
};

NSDK_UNIT_MAIN("lib/coherence/sync", tests)
