/* SPDX-License-Identifier: BSD-3-Clause */
/* The host memory buffer: how much, where, and what becomes of it. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

#define PAGES(mib) ((mib) * 256u)
#define MIB ((size_t)1 << 20)

static struct nsdk_nvme_ctrlr *ctrlr;
/* Of a controller that asks for nothing. */
static int buffers;
static unsigned syncs;
static size_t synced_bytes;

static void attach(void)
{
	ctrlr = fake_attach();
}

static void detach(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 0);
	buffers = fake.buffers;
	syncs = fake.syncs_for_device;
	synced_bytes = fake.synced_from_device_bytes;
	detach();
	fake_reset();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void asks(uint32_t preferred_mib, uint32_t least_mib)
{
	fake_reset();
	nsdk_unit_log_clear();
	fake.id.hmpre = PAGES(preferred_mib);
	fake.id.hmmin = PAGES(least_mib);
}

/* What the controller has in the first of its pages. */
static uint8_t *first_byte(void)
{
	const struct nsdk_nvme_hmb_entry *entries =
		(const void *)fake_va(fake.hmb.cdw13 | (uint64_t)fake.hmb.cdw14 << 32);

	return fake_va(entries->badd);
}

/* What it was given, in pages; every page is the driver's memory, and no two are one. */
static uint64_t given(void)
{
	uint64_t list = fake.hmb.cdw13 | (uint64_t)fake.hmb.cdw14 << 32, pages = 0;
	const struct nsdk_nvme_hmb_entry *entries = (const void *)fake_va(list);

	CU_ASSERT_FATAL(entries != NULL);
	CU_ASSERT_EQUAL(list % 16, 0);
	CU_ASSERT(fake.hmb.cdw15 > 0 && fake.hmb.cdw15 <= 256);
	for (uint32_t i = 0; i < fake.hmb.cdw15; i++) {
		CU_ASSERT_EQUAL(entries[i].badd % 4096, 0);
		CU_ASSERT(entries[i].bsize > 0);
		for (uint32_t page = 0; page < entries[i].bsize; page++)
			CU_ASSERT(fake_va(entries[i].badd + page * 4096ull) ==
				  (uint8_t *)fake_va(entries[i].badd) + page * 4096ull);
		for (uint32_t k = 0; k < i; k++)
			CU_ASSERT(entries[k].badd + entries[k].bsize * 4096ull <= entries[i].badd ||
				  entries[i].badd + entries[i].bsize * 4096ull <= entries[k].badd);
		pages += entries[i].bsize;
	}
	CU_ASSERT_EQUAL(pages, fake.hmb.cdw12);
	return pages;
}

static void gives_what_is_preferred(void)
{
	asks(5, 1);
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 1);
	NSDK_ASSERT_INT(fake.hmb.cdw11, 1);
	NSDK_ASSERT_INT(given(), PAGES(5));
	NSDK_ASSERT_INT(fake.hmb.cdw15, 3);
	/* Out of the caches, all of it; the list as well, and the command itself. */
	CU_ASSERT_EQUAL(fake.synced_from_device_bytes, synced_bytes + 5 * MIB);
	CU_ASSERT_EQUAL(fake.syncs_for_device, syncs + 3 + 1 + 1);
	NSDK_ASSERT_INT(fake.buffers, buffers + 3 + 1);
	detach();
}

static void gives_what_is_allowed(void)
{
	static const struct {
		unsigned preferred, least;
		size_t most;
		unsigned max_entries, least_entry, given;
	} cases[] = {
		{ 8, 1, 3 * MIB, 0, 0, PAGES(3) },
		{ 8, 3, 3 * MIB + 100, 0, 0, PAGES(3) },
		{ 8, 4, 3 * MIB, 0, 0, 0 },
		{ 8, 1, NSDK_NVME_NO_HOST_MEMORY, 0, 0, 0 },
		{ 8, 0, 0, 0, 0, PAGES(8) },
		{ 8, 1, 0, 2, 0, PAGES(4) },
		{ 8, 5, 0, 2, 0, 0 },
		/* The last piece would be smaller than it takes. */
		{ 5, 1, 0, 0, 512, PAGES(4) },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		asks(cases[i].preferred, cases[i].least);
		fake.host_memory_bytes = cases[i].most;
		fake.id.hmmaxd = (uint16_t)cases[i].max_entries;
		fake.id.hmminds = cases[i].least_entry;
		attach();
		NSDK_ASSERT_INT(fake.hmb_given, cases[i].given != 0);
		if (cases[i].given)
			NSDK_ASSERT_INT(given(), cases[i].given);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		detach();
	}
}

static void goes_without_when_there_is_none(void)
{
	/* Pieces larger than there are. */
	asks(8, 1);
	fake.id.hmminds = 1024;
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 0);
	CU_ASSERT(nsdk_unit_log_has("it works without, slower"));
	NSDK_ASSERT_INT(fake.buffers, buffers);
	detach();
	/* The fake's pool has less than 16 MiB: less than the least, and then more. */
	asks(60, 60);
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 0);
	CU_ASSERT(nsdk_unit_log_has("it works without, slower"));
	NSDK_ASSERT_INT(fake.buffers, buffers);
	detach();
	asks(60, 4);
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 1);
	CU_ASSERT(given() >= PAGES(4));
	CU_ASSERT(!nsdk_unit_log_has("it works without"));
	detach();
}

static int settle(void)
{
	fake.cfs = true;
	for (unsigned i = 0; i < 5000; i++) {
		int err = nsdk_nvme_ctrlr_poll(ctrlr);

		fake.now_ns += 50 * NVME_NS_PER_MS;
		if (err < 0 || (i > 10 && !nsdk_nvme_ctrlr_recovering(ctrlr)))
			return err < 0 ? err : 0;
	}
	CU_FAIL("it does not end");
	return -EBUSY;
}

static void takes_no_for_an_answer(void)
{
	asks(4, 4);
	fake.hmb_refusals = 1;
	attach();
	NSDK_ASSERT_INT(fake.hmb_given, 1);
	CU_ASSERT(nsdk_unit_log_has("asked for memory and does not take it"));
	NSDK_ASSERT_INT(fake.buffers, buffers);
	/* It is not asked again. */
	NSDK_ASSERT_INT(settle(), 0);
	NSDK_ASSERT_INT(fake.hmb_given, 1);
	nsdk_unit_log_clear();
	detach();
}

/* The same memory, as it was left. */
static void is_returned_after_a_reset(void)
{
	struct nsdk_nvme_cmd first;

	asks(4, 1);
	attach();
	first = fake.hmb;
	*first_byte() = 77;
	NSDK_ASSERT_INT(settle(), 0);
	NSDK_ASSERT_INT(fake.hmb_given, 2);
	NSDK_ASSERT_INT(fake.hmb.cdw11, 3);
	CU_ASSERT_EQUAL(fake.hmb.cdw12, first.cdw12);
	CU_ASSERT_EQUAL(fake.hmb.cdw13, first.cdw13);
	CU_ASSERT_EQUAL(fake.hmb.cdw14, first.cdw14);
	NSDK_ASSERT_INT(given(), PAGES(4));
	NSDK_ASSERT_INT(*first_byte(), 77);
	nsdk_unit_log_clear();
	detach();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(gives_what_is_preferred),
	NSDK_UNIT_TEST(gives_what_is_allowed),
	NSDK_UNIT_TEST(goes_without_when_there_is_none),
	NSDK_UNIT_TEST(takes_no_for_an_answer),
	NSDK_UNIT_TEST(is_returned_after_a_reset),
};

NSDK_UNIT_MAIN("drivers/nvme/hmb", tests, .before = before, .after = after)
