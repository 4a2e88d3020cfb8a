/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

#include <stdlib.h>

#define LIST_ENTRIES (HOST_PAGE / 8)

static struct host_queue io;
static uint8_t *pages;   /* data, in the order of memory */
static uint64_t *list;   /* three pages for lists */

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	pages = host_pages(1100 * HOST_PAGE);
	list = host_pages(3 * HOST_PAGE);
	for (size_t i = 0; i < 1100 * HOST_PAGE / 4; i++)
		((uint32_t *)(void *)pages)[i] = (uint32_t)i * 2654435761u;
}

static uint8_t *page(unsigned index)
{
	return pages + index * HOST_PAGE;
}

static int run(unsigned opcode, uint32_t blocks, uint64_t prp1, uint64_t prp2)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, blocks, prp1, prp2);

	return host_run(&io, &cmd);
}

/* Write with one layout, read the same blocks into one place page by page, and look. */
static void expect_on_disk(const uint8_t *expected, uint32_t bytes)
{
	uint8_t *back = host_pages(2 * HOST_PAGE);
	struct nsdk_nvme_cmd cmd;

	for (uint32_t at = 0; at < bytes; at += HOST_PAGE) {
		uint32_t part = bytes - at < HOST_PAGE ? bytes - at : HOST_PAGE;

		cmd = host_rw(NSDK_NVME_NVM_READ, 1, at / 512, part / 512, host_iova(back), 0);
		CU_ASSERT_EQUAL_FATAL(host_run(&io, &cmd), 0);
		CU_ASSERT_EQUAL(memcmp(back, expected + at, part), 0);
	}
}

static void one_page_ignores_prp2(void)
{
	start("size=8M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8, host_iova(page(0)), 0x123), 0);
	expect_on_disk(page(0), 4096);
	/* With an offset, as long as it ends inside. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 7, host_iova(page(0)) + 512, 0x123), 0);
	expect_on_disk(page(0) + 512, 3584);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, host_iova(page(0)) + 4, 0x123), 0);
	expect_on_disk(page(0) + 4, 512);
}

static void two_pages_take_prp2(void)
{
	uint8_t *expected = malloc(8192);

	start("size=8M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, host_iova(page(0)), host_iova(page(5))), 0);
	memcpy(expected, page(0), 4096);
	memcpy(expected + 4096, page(5), 4096);
	expect_on_disk(expected, 8192);
	/* One block that lies across two pages. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, host_iova(page(3)) + 4096 - 100, host_iova(page(7))),
			0);
	memcpy(expected, page(3) + 4096 - 100, 100);
	memcpy(expected + 100, page(7), 412);
	expect_on_disk(expected, 512);
	free(expected);
}

/* The pages of a transfer, in a list that begins at this entry. */
static uint64_t fill_list(unsigned first_entry, unsigned first_page, unsigned count)
{
	unsigned at = first_entry;

	for (unsigned i = 0; i < count; i++) {
		/* The last entry of a page links to the next when more than one is left. */
		if (at % LIST_ENTRIES == LIST_ENTRIES - 1 && i + 1 < count) {
			list[at] = host_iova(&list[at + 1]);
			at++;
		}
		list[at++] = host_iova(page(first_page + i));
	}
	return host_iova(&list[first_entry]);
}

static void list_of_pages(void)
{
	start("size=8M,mdts=0");
	for (unsigned count = 2; count < 40; count += 7) {
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, (count + 1) * 8, host_iova(page(10)),
				    fill_list(0, 11, count)), 0);
		expect_on_disk(page(10), (count + 1) * HOST_PAGE);
	}
}

static void list_may_begin_inside_a_page_and_exactly_fill_it(void)
{
	start("size=8M,mdts=0");
	/* Ten entries up to the end of the page, the last of them a page and not a link. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 11 * 8, host_iova(page(20)),
			    fill_list(LIST_ENTRIES - 10, 21, 10)), 0);
	expect_on_disk(page(20), 11 * HOST_PAGE);
	/* One more: the tenth is a link. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 12 * 8, host_iova(page(20)),
			    fill_list(LIST_ENTRIES - 10, 21, 11)), 0);
	expect_on_disk(page(20), 12 * HOST_PAGE);
	/* Longer than what is read of a list at once, and still no link in the last entry. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 34 * 8, host_iova(page(20)),
			    fill_list(LIST_ENTRIES - 33, 21, 33)), 0);
	expect_on_disk(page(20), 34 * HOST_PAGE);
	/* The list is nothing but a link. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 4 * 8, host_iova(page(50)),
			    fill_list(LIST_ENTRIES - 1, 51, 3)), 0);
	expect_on_disk(page(50), 4 * HOST_PAGE);
}

static void lists_are_chained(void)
{
	start("size=8M,mdts=0");
	/* 1000 pages: two links, with an offset in the data as well. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8000, host_iova(page(0)) + 2048,
			    fill_list(100, 1, 1000)), 0);
	expect_on_disk(page(0) + 2048, 1000 * HOST_PAGE);
	/* And the other way. */
	memset(page(0), 0, 1002 * HOST_PAGE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8000, host_iova(page(0)) + 2048,
			    fill_list(100, 1, 1000)), 0);
	expect_on_disk(page(0) + 2048, 1000 * HOST_PAGE);
	NSDK_ASSERT_INT(page(0)[2047], 0);
	NSDK_ASSERT_INT(page(1000)[2048], 0);
}

static void refuses_wrong_offsets(void)
{
	const int wrong = HOST_GENERIC(INVALID_PRP_OFFSET);
	uint64_t prp2;

	start("size=8M,mdts=0");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, host_iova(page(0)) + 2, 0), wrong);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 16, host_iova(page(0)), host_iova(page(1)) + 4), wrong);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 24, host_iova(page(0)), fill_list(0, 1, 2) + 4), wrong);
	/* In a list. */
	prp2 = fill_list(0, 1, 10);
	list[4] += 512;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 88, host_iova(page(0)), prp2), wrong);
	/* A link that is not to the beginning of a page. */
	prp2 = fill_list(LIST_ENTRIES - 3, 1, 5);
	list[LIST_ENTRIES - 1] += 8;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 48, host_iova(page(0)), prp2), wrong);
	CU_ASSERT(NSDK_NVME_STATUS_DNR(host_last.status));
}

static void faults_are_transfer_errors(void)
{
	const int fault = HOST_GENERIC(DATA_TRANSFER_ERROR);
	uint64_t prp2;

	start("size=8M,mdts=0");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 0x1000, 0), fault);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, host_iova(page(0)), 0x1000), fault);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 24, host_iova(page(0)), 0x1000), fault);
	prp2 = fill_list(0, 1, 10);
	list[9] = 0x1000;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 88, host_iova(page(0)), prp2), fault);
	prp2 = fill_list(LIST_ENTRIES - 3, 1, 5);
	list[LIST_ENTRIES - 1] = 0x1000;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 48, host_iova(page(0)), prp2), fault);
	/* The end of what is mapped. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 16,
			    host_iova(host.memory + HOST_MEMORY_BYTES - HOST_PAGE),
			    host_iova(host.memory + HOST_MEMORY_BYTES)), fault);
	/* The queue is well. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, host_iova(page(0)), 0), 0);
}

static void read_only_memory_is_not_written(void)
{
	nsdk_iova_t iova = { 0x100000 };

	start("size=8M");
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_unmap(host.ioas, (nsdk_iova_t){ host_iova(host.memory) },
					      HOST_MEMORY_BYTES), 0);
	/* The queues where they were, one page of data read-only at an IOVA of its own. */
	iova.addr = host_iova(host.memory);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(host.ioas, host.memory, (size_t)(pages - host.memory),
					    NSDK_IOAS_RW, true, &iova), 0);
	iova.addr = 0x100000;
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(host.ioas, pages, HOST_PAGE, NSDK_IOAS_READ, true, &iova),
			      0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8, 0x100000, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, 0x100000, 0), HOST_GENERIC(DATA_TRANSFER_ERROR));
}

static void a_loop_of_links_ends(void)
{
	start("size=64M,mdts=0");
	/* Each list page links to itself: the pages of data repeat. */
	for (unsigned i = 0; i < LIST_ENTRIES - 1; i++)
		list[i] = host_iova(page(i % 8));
	list[LIST_ENTRIES - 1] = host_iova(list);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 65536, host_iova(page(0)), host_iova(list)), 0);
}

static void stops_at_the_transfer_limit(void)
{
	start("size=8M,mdts=1");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, host_iova(page(0)), host_iova(page(1))), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 17, host_iova(page(0)), fill_list(0, 1, 2)),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 17, host_iova(page(0)), fill_list(0, 1, 2)),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 17, host_iova(page(0)), fill_list(0, 1, 2)),
			HOST_GENERIC(INVALID_FIELD));
	/* The limit is of the data, not of the pages it touches. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, host_iova(page(0)) + 2048, fill_list(0, 1, 2)), 0);
	expect_on_disk(page(0) + 2048, 8192);
	/* What moves no data has no limit. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, 1000, 0, 0), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(one_page_ignores_prp2),
	NSDK_UNIT_TEST(two_pages_take_prp2),
	NSDK_UNIT_TEST(list_of_pages),
	NSDK_UNIT_TEST(list_may_begin_inside_a_page_and_exactly_fill_it),
	NSDK_UNIT_TEST(lists_are_chained),
	NSDK_UNIT_TEST(refuses_wrong_offsets),
	NSDK_UNIT_TEST(faults_are_transfer_errors),
	NSDK_UNIT_TEST(read_only_memory_is_not_written),
	NSDK_UNIT_TEST(a_loop_of_links_ends),
	NSDK_UNIT_TEST(stops_at_the_transfer_limit),
};

NSDK_UNIT_MAIN("lib/emu/nvme_prp", tests, .after = host_stop)
