/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O commands: what goes to the controller, what comes back, and what is refused. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;
static uint32_t pattern;

static void bring_up(void)
{
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, 32);
	memset(&done, 0, sizeof(done));
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	bring_up();
}

static void after(void)
{
	fake_teardown(ctrlr, qp);
	nsdk_unit_log_stop();
}

static void fill(uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		pattern = pattern * 1103515245u + 12345u;
		buf[i] = (uint8_t)(pattern >> 16);
	}
}

/* Polls until one more I/O is done. */
static uint16_t finish(void)
{
	int before_count = done.count;

	for (int i = 0; i < 10000 && done.count == before_count; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	CU_ASSERT_EQUAL(done.count, before_count + 1);
	return done.status;
}

static void write_and_read(uint8_t *from, uint8_t *to, uint64_t lba, uint32_t blocks)
{
	size_t bytes = (size_t)blocks << fake.lba_shift;

	fill(from, bytes);
	memset(to, 0xee, bytes);
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, from, lba, blocks, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT(memcmp(fake.disk[0] + (lba << fake.lba_shift), from, bytes) == 0);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, to, lba, blocks, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT(memcmp(to, from, bytes) == 0);
}

/* Sizes and places around every limit that the ways of an I/O have. */
static void moves_data_of_all_sizes(void)
{
	static const uint32_t sizes[] = { 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 511,
					  512, 513, 2048, 4097 };
	static const size_t offsets[] = { 0, 4, 512, 2048, 4092, FAKE_PIECE_BYTES - 512,
					  FAKE_PIECE_BYTES - 4096, FAKE_PIECE_BYTES - 8192 };

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++)
			write_and_read(fake_buffer(0, 0) + 3 * FAKE_PIECE_BYTES + offsets[o],
				       fake_buffer(0, 0) + 7 * FAKE_PIECE_BYTES + offsets[o],
				       s * 13, sizes[s]);
}

static void moves_large_blocks(void)
{
	for (uint8_t shift = 10; shift <= 16; shift++) {
		fake_teardown(ctrlr, qp);
		fake_reset();
		fake.lba_shift = shift;
		fake.blocks >>= 7;
		bring_up();
		for (uint32_t blocks = 1; blocks <= 20; blocks++)
			write_and_read(fake_buffer(4, 0), fake_buffer(7, 0), blocks, blocks);
		write_and_read(fake_buffer(4, 512), fake_buffer(7, 4092), 1, 5);
	}
}

static void reaches_the_last_block_and_no_further(void)
{
	uint64_t blocks = nsdk_nvme_ns_blocks(ns);
	static const uint32_t counts[] = { 1, 2, 8, 9, 16, 17, 300, 1000 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint32_t count = counts[i];

		write_and_read(fake_buffer(4, 0), fake_buffer(7, 0), blocks - count, count);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), blocks - count + 1, count, 0,
					       fake_done_cb, &done), -EINVAL);
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(4, 0), blocks - count + 1, count,
						0, fake_done_cb, &done), -EINVAL);
	}
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), blocks, 1, 0, fake_done_cb, &done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), UINT64_MAX, 2, 0, fake_done_cb,
				       &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, blocks - 1, 2, 0, fake_done_cb, &done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_compare(ns, qp, fake_buffer(4, 0), blocks - 1, 2, 0, fake_done_cb,
					  &done), -EINVAL);
}

static void works_on_the_smallest_namespaces(void)
{
	for (uint64_t blocks = 1; blocks <= 20; blocks++) {
		fake_teardown(ctrlr, qp);
		fake_reset();
		fake.blocks = blocks;
		bring_up();
		for (uint32_t count = 1; count <= blocks; count++)
			for (uint64_t lba = 0; lba + count <= blocks; lba++)
				write_and_read(fake_buffer(4, 0), fake_buffer(7, 0), lba, count);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), 0, (uint32_t)blocks + 1, 0,
					       fake_done_cb, &done), -EINVAL);
	}
}

static void refused(int expected, void *buf, uint64_t lba, uint32_t blocks, uint32_t flags)
{
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, buf, lba, blocks, flags, fake_done_cb, &done),
			expected);
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, buf, lba, blocks, flags, fake_done_cb, &done),
			expected);
	NSDK_ASSERT_INT(nsdk_nvme_compare(ns, qp, buf, lba, blocks, flags, fake_done_cb, &done),
			expected);
}

static void refuses_what_is_wrong(void)
{
	static char not_dma[4096];
	struct nsdk_nvme_ns foreign = *ns;
	unsigned commands = fake.commands;

	refused(-EINVAL, fake_buffer(4, 0), 0, 0, 0);
	refused(-EINVAL, fake_buffer(4, 0), 8, 0, 0);
	refused(-EINVAL, fake_buffer(4, 512), 8, 0, 0);
	refused(-EINVAL, fake_buffer(4, 2), 0, 1, 0);
	refused(-EINVAL, fake_buffer(4, 1), 0, 8, 0);
	/* Bits that would change the number of blocks, or that mean something else. */
	refused(-EINVAL, fake_buffer(4, 0), 0, 8, 1);
	refused(-EINVAL, fake_buffer(4, 0), 0, 8, 1u << 29);
	refused(-EFAULT, not_dma, 0, 1, 0);
	refused(-EFAULT, fake_buffer(FAKE_PIECES - 1, 0), 0, 8, 0);
	refused(-EFAULT, fake_buffer(FAKE_PIECES - 1, 0) - 4096, 0, 16, 0);
	refused(-EFAULT, fake_buffer(FAKE_PIECES, 0), 0, 8, 0);
	refused(-EFAULT, NULL, 0, 8, 0);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), 0, 8, 0, NULL, NULL), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_flush(ns, qp, NULL, NULL), -EINVAL);
	foreign.ctrlr = NULL;
	NSDK_ASSERT_INT(nsdk_nvme_read(&foreign, qp, fake_buffer(4, 0), 0, 8, 0, fake_done_cb, &done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, NULL, 1, 0, 8, 0, fake_done_cb, &done), -EINVAL);
	/* Nothing of it was sent, called back, or said. */
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(fake.commands, commands);
	CU_ASSERT_EQUAL(done.count, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void hands_flags_to_the_controller(void)
{
	for (unsigned blocks = 8; blocks <= 40; blocks += 16) {
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(4, 0), 3, blocks, NSDK_NVME_RW_FUA,
						fake_done_cb, &done), 0);
		NSDK_ASSERT_INT(finish(), 0);
		CU_ASSERT_EQUAL(fake.last[1].cdw12, NSDK_NVME_RW_FUA | (blocks - 1));
		CU_ASSERT_EQUAL(fake.last[1].cdw10, 3);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), 3, blocks,
					       NSDK_NVME_RW_LIMITED_RETRY, fake_done_cb, &done), 0);
		NSDK_ASSERT_INT(finish(), 0);
		CU_ASSERT_EQUAL(fake.last[1].cdw12, NSDK_NVME_RW_LIMITED_RETRY | (blocks - 1));
	}
}

static void uses_memory_outside_the_pools(void)
{
	memset(fake.disk[0], 0x5a, 4096);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_registered(), 0, 8, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT(memcmp(fake_registered(), fake.disk[0], 4096) == 0);
	refused(-EFAULT, fake_registered(), 0, 9, 0);
}

static void compares(void)
{
	fill(fake_buffer(4, 0), 8192);
	memcpy(fake.disk[0], fake_buffer(4, 0), 8192);
	NSDK_ASSERT_INT(nsdk_nvme_compare(ns, qp, fake_buffer(4, 0), 0, 16, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(finish(), 0);
	fake.disk[0][8000] ^= 1;
	NSDK_ASSERT_INT(nsdk_nvme_compare(ns, qp, fake_buffer(4, 0), 0, 16, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(finish(), NSDK_NVME_STATUS(2, NSDK_NVME_SC_COMPARE_FAILURE));
}

static void flushes_and_writes_zeroes(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_flush(ns, qp, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT_EQUAL(fake.last[1].opcode, NSDK_NVME_NVM_FLUSH);
	CU_ASSERT_EQUAL(fake.last[1].nsid, 1);

	memset(fake.disk[0], 0xff, 4096);
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 1, 6, NSDK_NVME_WZ_DEALLOCATE, fake_done_cb,
					       &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT_EQUAL(fake.last[1].cdw12, NSDK_NVME_WZ_DEALLOCATE | 5);
	CU_ASSERT_EQUAL(fake.disk[0][511], 0xff);
	CU_ASSERT_EQUAL(fake.disk[0][512], 0);
	CU_ASSERT_EQUAL(fake.disk[0][7 * 512 - 1], 0);
	CU_ASSERT_EQUAL(fake.disk[0][7 * 512], 0xff);
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 0, 1, 1, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 0, 0, 0, fake_done_cb, &done), -EINVAL);
	/* The payload fields of the command before it do not stay behind. */
	CU_ASSERT_EQUAL(fake.last[1].prp1, 0);
}

static void manages_datasets(void)
{
	struct nsdk_nvme_dsm_range *ranges = (void *)(fake_buffer(4, 4096 - 32));

	for (unsigned i = 0; i < 256; i++)
		ranges[i] = (struct nsdk_nvme_dsm_range){ .slba = i, .blocks = i };
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, ranges, 256, NSDK_NVME_DSM_DEALLOCATE, fake_done_cb,
				      &done), 0);
	NSDK_ASSERT_INT(finish(), 0);
	CU_ASSERT_EQUAL(fake.last[1].cdw10, 255);
	CU_ASSERT_EQUAL(fake.last[1].cdw11, NSDK_NVME_DSM_DEALLOCATE);
	CU_ASSERT_PTR_EQUAL(fake_va(fake.last[1].prp1), ranges);
	CU_ASSERT_PTR_EQUAL(fake_va(fake.last[1].prp2), fake_buffer(4, 4096));
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, ranges, 0, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, ranges, 257, 0, fake_done_cb, &done), -EINVAL);
	ranges[3].slba = fake.blocks;
	ranges[3].blocks = 1;
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, ranges, 4, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, (void *)&done, 1, 0, fake_done_cb, &done), -EFAULT);
}

static void tells_the_namespaces_apart(void)
{
	fake_teardown(ctrlr, qp);
	fake_reset();
	fake.namespaces = 3;
	bring_up();
	for (uint32_t nsid = 1; nsid <= 3; nsid++) {
		memset(fake.disk[nsid - 1], (int)nsid, 8192);
		for (uint32_t blocks = 1; blocks <= 16; blocks += 5) {
			NSDK_ASSERT_INT(nsdk_nvme_read(nsdk_nvme_ns_get(ctrlr, nsid), qp,
						       fake_buffer(4, 0), 0, blocks, 0, fake_done_cb,
						       &done), 0);
			NSDK_ASSERT_INT(finish(), 0);
			CU_ASSERT_EQUAL(fake_buffer(4, 0)[blocks * 512 - 1], nsid);
		}
	}
}

static enum fake_action fail_io(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				uint32_t *dw0)
{
	*status = NSDK_NVME_STATUS(2, NSDK_NVME_SC_UNRECOVERED_READ) | NSDK_NVME_STATUS_DNR_BIT;
	return qid == 0 ? FAKE_DO : FAKE_REPLY;
}

static void hands_on_the_controllers_status(void)
{
	fake.hook = fail_io;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(4, 0), 0, 8, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(finish(), NSDK_NVME_STATUS(2, NSDK_NVME_SC_UNRECOVERED_READ) |
					  NSDK_NVME_STATUS_DNR_BIT);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	fake.hook = NULL;
}

static void wants_whole_lines_without_snooping(void)
{
	struct iovec iov[2] = { { fake_buffer(4, 0), 480 }, { fake_buffer(4, 480), 32 } };

	fake_teardown(ctrlr, qp);
	fake_reset();
	fake.active = true;
	bring_up();
	refused(-EINVAL, fake_buffer(4, 32), 0, 1, 0);
	refused(-EINVAL, fake_buffer(4, 4), 0, 100, 0);
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 2, 0, 1, 0, fake_done_cb, &done), -EINVAL);
	write_and_read(fake_buffer(4, 64), fake_buffer(7, 4032), 0, 1);
	write_and_read(fake_buffer(4, 64), fake_buffer(7, 4032), 0, 500);
	/* The device only reads the ranges, so they may share lines. */
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, (void *)fake_buffer(10, 16), 1, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(finish(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(moves_data_of_all_sizes),
	NSDK_UNIT_TEST(moves_large_blocks),
	NSDK_UNIT_TEST(reaches_the_last_block_and_no_further),
	NSDK_UNIT_TEST(works_on_the_smallest_namespaces),
	NSDK_UNIT_TEST(refuses_what_is_wrong),
	NSDK_UNIT_TEST(hands_flags_to_the_controller),
	NSDK_UNIT_TEST(uses_memory_outside_the_pools),
	NSDK_UNIT_TEST(compares),
	NSDK_UNIT_TEST(flushes_and_writes_zeroes),
	NSDK_UNIT_TEST(manages_datasets),
	NSDK_UNIT_TEST(tells_the_namespaces_apart),
	NSDK_UNIT_TEST(hands_on_the_controllers_status),
	NSDK_UNIT_TEST(wants_whole_lines_without_snooping),
};

NSDK_UNIT_MAIN("drivers/nvme/io", tests, .before = before, .after = after)
