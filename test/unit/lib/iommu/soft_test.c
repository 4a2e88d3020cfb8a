/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/iommu/iommu_internal.h"

#define MIB ((uint64_t)1 << 20)

static struct nsdk_iommu *iommu;
static struct nsdk_ioas *ioas;

static void *at(uint64_t va)
{
	return (void *)(uintptr_t)va;
}

static void before(void)
{
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_SOFT, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &ioas), 0);
}

static void after(void)
{
	nsdk_ioas_destroy(ioas);
	nsdk_iommu_close(iommu);
	nsdk_unit_log_stop();
}

static struct nsdk_ioas_member new_member(bool permits, unsigned bits)
{
	return (struct nsdk_ioas_member){
		.name = "emu:test",
		.group = -1,
		.device_fd = -1,
		.group_fd = -1,
		.soft_permits_nosnoop = permits,
		.soft_iova_bits = bits,
	};
}

static uint64_t map(uint64_t va, uint64_t bytes, unsigned prot)
{
	nsdk_iova_t iova = {0};

	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(ioas, at(va), bytes, prot, false, &iova), 0);
	return iova.addr;
}

static enum nsdk_snoop_state verdict(void)
{
	struct nsdk_snoop_verdict out;

	nsdk_ioas_verdict(ioas, &out);
	return out.state;
}

static void verdict_is_the_platforms(void)
{
	struct nsdk_ioas_member permits = new_member(true, 0), enforces = new_member(false, 0);

	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_attach(ioas, &permits), 0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_attach(ioas, &enforces), 0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	nsdk_ioas_detach(ioas, &permits);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_ENFORCED);
	nsdk_ioas_detach(ioas, &enforces);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
}

static void lookup_translates_and_says_how_far(void)
{
	uint64_t iova = map(0x7f0000200000, 2 * MIB, NSDK_IOAS_RW);
	size_t contiguous;
	void *va;

	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova + 5, 100, NSDK_IOAS_READ, &va, &contiguous), 0);
	CU_ASSERT_EQUAL(va, at(0x7f0000200005));
	NSDK_ASSERT_INT(contiguous, 100);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova + 2 * MIB - 7, 100, NSDK_IOAS_WRITE, &va,
					      &contiguous), 0);
	NSDK_ASSERT_INT(contiguous, 7);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova + 2 * MIB, 1, NSDK_IOAS_READ, &va,
					      &contiguous), -EFAULT);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova - 1, 1, NSDK_IOAS_READ, &va, &contiguous),
			-EFAULT);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, 0, 1, NSDK_IOAS_READ, &va, &contiguous), -EFAULT);
}

static void lookup_asks_for_rights(void)
{
	uint64_t readable = map(0x7f0000200000, 4096, NSDK_IOAS_READ);
	uint64_t writable = map(0x7f0000400000, 4096, NSDK_IOAS_WRITE);
	size_t contiguous;
	void *va;

	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, readable, 1, NSDK_IOAS_READ, &va, &contiguous), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, readable, 1, NSDK_IOAS_WRITE, &va, &contiguous),
			-EFAULT);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, writable, 1, NSDK_IOAS_WRITE, &va, &contiguous), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, writable, 1, NSDK_IOAS_RW, &va, &contiguous),
			-EFAULT);
}

static void unmapped_is_gone(void)
{
	uint64_t iova = map(0x7f0000200000, 4096, NSDK_IOAS_RW);
	size_t contiguous;
	void *va;

	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 4096), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova, 1, NSDK_IOAS_READ, &va, &contiguous), -EFAULT);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 4096), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("nothing is mapped");
}

static void narrow_device_narrows_the_ranges(void)
{
	struct nsdk_ioas_member narrow = new_member(false, 32), wide = new_member(false, 0);
	struct nsdk_iova_range range;

	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_attach(ioas, &wide), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_attach(ioas, &narrow), 0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 1), 1);
	NSDK_ASSERT_INT(range.last, 0xffffffff);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB, NSDK_IOAS_RW), 2 * MIB);
	nsdk_ioas_detach(ioas, &narrow);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 1), 1);
	CU_ASSERT_EQUAL(range.last, UINT64_MAX);
	map(0x7f0000400000, 2 * MIB, NSDK_IOAS_RW);
	NSDK_ASSERT_INT(nsdk_ioas_attach(ioas, &narrow), -EADDRINUSE);
	NSDK_ASSERT_ONE_SENTENCE("emu:test cannot join");
	nsdk_ioas_detach(ioas, &wide);
}

/* ---- listeners ---- */

struct heard {
	int balance;
	unsigned calls;
	const void *last;
};

static void hear(void *ctx, void *va, size_t bytes, bool mapped)
{
	struct heard *heard = ctx;

	(void)bytes;
	heard->balance += mapped ? 1 : -1;
	heard->calls++;
	heard->last = va;
}

static void listeners_hear_everything_and_only_that(void)
{
	struct heard first = {0}, second = {0};
	uint64_t early = map(0x7f0000200000, 4096, NSDK_IOAS_RW), later;

	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, hear, &first), 0);
	NSDK_ASSERT_INT(first.balance, 1); /* what was there */
	CU_ASSERT_EQUAL(first.last, at(0x7f0000200000));
	later = map(0x7f0000400000, 4096, NSDK_IOAS_RW);
	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, hear, &second), 0);
	NSDK_ASSERT_INT(first.balance, 2);
	NSDK_ASSERT_INT(second.balance, 2);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){early}, 4096), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, NULL, &first), 0);
	NSDK_ASSERT_INT(first.balance, 0); /* told that the rest is unmapped */
	NSDK_ASSERT_INT(second.balance, 1);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){later}, 4096), 0);
	NSDK_ASSERT_INT(first.calls, 4);
	NSDK_ASSERT_INT(second.balance, 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, NULL, &first), 0);
	NSDK_ASSERT_INT(first.calls, 4);
}

/* Addresses that a device keeps for itself: no memory of anybody's, to the devices and to listeners. */
static void what_is_set_aside_is_no_memory(void)
{
	nsdk_iova_t iova = {0x7f0000200000};
	struct heard heard = {0};
	size_t contiguous;
	void *va;

	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, 0x4000, true, &iova), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, hear, &heard), 0);
	NSDK_ASSERT_INT(nsdk_ioas_soft_lookup(ioas, iova.addr, 1, NSDK_IOAS_READ, &va, &contiguous), -EFAULT);
	/* Memory at that address gets another one. */
	CU_ASSERT_NOT_EQUAL(map(0x7f0000200000, 4096, NSDK_IOAS_RW), 0x7f0000200000);
	NSDK_ASSERT_INT(heard.balance, 1);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, iova, 0x4000), 0);
	NSDK_ASSERT_INT(heard.calls, 1);
	NSDK_ASSERT_INT(nsdk_ioas_soft_set_notify(ioas, NULL, &heard), 0);
	NSDK_ASSERT_INT(heard.calls, 2);
}

/* ---- while another thread maps ---- */

static atomic_bool stop;
static atomic_uint wrong;

static void *look(void *arg)
{
	size_t contiguous;
	void *va;

	(void)arg;
	while (!atomic_load(&stop))
		for (uint64_t i = 0; i < 64; i++)
			if (nsdk_ioas_soft_lookup(ioas, 0x7f0000000000 + i * 4096 + 8, 8, NSDK_IOAS_READ,
						  &va, &contiguous) == 0 &&
			    va != at(0x7f0000000000 + i * 4096 + 8))
				atomic_fetch_add(&wrong, 1);
	return NULL;
}

static void lookups_while_mappings_change(void)
{
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, look, NULL), 0);
	for (unsigned round = 0; round < 300; round++) {
		for (uint64_t i = 0; i < 64; i++)
			map(0x7f0000000000 + i * 4096, 4096, NSDK_IOAS_RW);
		for (uint64_t i = 0; i < 64; i++)
			nsdk_ioas_unmap(ioas, (nsdk_iova_t){0x7f0000000000 + (i * 7 % 64) * 4096}, 4096);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	NSDK_ASSERT_INT(wrong, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(verdict_is_the_platforms),
	NSDK_UNIT_TEST(lookup_translates_and_says_how_far),
	NSDK_UNIT_TEST(lookup_asks_for_rights),
	NSDK_UNIT_TEST(unmapped_is_gone),
	NSDK_UNIT_TEST(narrow_device_narrows_the_ranges),
	NSDK_UNIT_TEST(listeners_hear_everything_and_only_that),
	NSDK_UNIT_TEST(what_is_set_aside_is_no_memory),
	NSDK_UNIT_TEST(lookups_while_mappings_change),
};

NSDK_UNIT_MAIN("lib/iommu/soft", tests, .before = before, .after = after)
