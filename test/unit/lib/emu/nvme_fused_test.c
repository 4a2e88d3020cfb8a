/* SPDX-License-Identifier: BSD-3-Clause */
/* Compare and Write, Copy: commands that read and write blocks in one. */
#include "nvme_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct host_queue io;
static uint8_t *old, *new, *back;

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	old = host_pages(2 * HOST_PAGE);
	new = host_pages(2 * HOST_PAGE);
	back = host_pages(2 * HOST_PAGE);
	for (unsigned i = 0; i < 2 * HOST_PAGE; i++) {
		old[i] = (uint8_t)(i * 5 + i / 512);
		new[i] = (uint8_t)~old[i];
	}
}

static int run(unsigned opcode, uint64_t lba, uint32_t blocks, uint8_t *at)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, lba, blocks, host_iova(at),
					   host_iova(at + HOST_PAGE));

	return host_run(&io, &cmd);
}

static struct nsdk_nvme_cmd half(bool second, uint64_t lba, uint32_t blocks)
{
	uint8_t *at = second ? new : old;
	struct nsdk_nvme_cmd cmd = host_rw(second ? NSDK_NVME_NVM_WRITE : NSDK_NVME_NVM_COMPARE, 1, lba,
					   blocks, host_iova(at), host_iova(at + HOST_PAGE));

	cmd.flags = second ? NSDK_NVME_FUSE_SECOND : NSDK_NVME_FUSE_FIRST;
	return cmd;
}

static int wait_status(uint16_t cid)
{
	struct nsdk_nvme_cpl cpl;

	if (!host_wait(&io, &cpl))
		return -1;
	NSDK_ASSERT_INT(cpl.cid, cid);
	return cpl.status & 0xffe;
}

static void expect_pair(struct nsdk_nvme_cmd first, struct nsdk_nvme_cmd second, int first_status,
			int second_status)
{
	uint16_t cids[2];

	cids[0] = host_push(&io, &first);
	cids[1] = host_push(&io, &second);
	host_ring(&io);
	NSDK_ASSERT_INT(wait_status(cids[0]), first_status);
	NSDK_ASSERT_INT(wait_status(cids[1]), second_status);
}

static void expect_blocks(uint64_t lba, uint32_t blocks, const uint8_t *expected)
{
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, lba, blocks, back), 0);
	NSDK_ASSERT_INT(memcmp(back, expected, blocks * 512), 0);
}

static void writes_what_is_as_expected(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 120, 16, old), 0);
	/* Over the boundary of two extents. */
	expect_pair(half(false, 120, 16), half(true, 120, 16), 0, 0);
	expect_blocks(120, 16, new);
	/* Now it is different. */
	expect_pair(half(false, 120, 16), half(true, 120, 16), HOST_MEDIA(COMPARE_FAILURE),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	expect_blocks(120, 16, new);
	expect_pair(half(false, 2048, 1), half(true, 2048, 1), HOST_GENERIC(LBA_OUT_OF_RANGE),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
}

static void both_in_a_file(void)
{
	char path[] = "/tmp/nsdk-fused-XXXXXX", options[200];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	close(fd);
	snprintf(options, sizeof(options), "file=%s", path);
	start(options);
	unlink(path);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 120, 16, old), 0);
	expect_pair(half(false, 120, 16), half(true, 120, 16), 0, 0);
	expect_blocks(120, 16, new);
	expect_pair(half(false, 120, 16), half(true, 120, 16), HOST_MEDIA(COMPARE_FAILURE),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
}

static void both_must_say_the_same_blocks(void)
{
	struct nsdk_nvme_cmd second;

	start("size=1M,namespaces=2,mdts=0");
	expect_pair(half(false, 8, 2), half(true, 8, 1), HOST_GENERIC(INVALID_FIELD),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	expect_pair(half(false, 8, 2), half(true, 9, 2), HOST_GENERIC(INVALID_FIELD),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	second = half(true, 8, 2);
	second.nsid = 2;
	expect_pair(half(false, 8, 2), second, HOST_GENERIC(INVALID_FIELD),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	second = half(true, 8, 2);
	second.opcode = NSDK_NVME_NVM_READ;
	expect_pair(half(false, 8, 2), second, HOST_GENERIC(INVALID_FIELD),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	/* A bad address in the second: neither is carried out. */
	second = half(true, 8, 2);
	second.prp1 |= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8, 2, old), 0);
	expect_pair(half(false, 8, 2), second, HOST_GENERIC(ABORTED_FAILED_FUSED),
		    HOST_GENERIC(INVALID_PRP_OFFSET));
	expect_blocks(8, 2, old);
	/* More than the atomic unit, which is 128 blocks. */
	expect_pair(half(false, 0, 129), half(true, 0, 129), HOST_GENERIC(ATOMIC_WRITE_UNIT),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
}

static void halves_are_aborted(const char *options)
{
	struct nsdk_nvme_cmd first, second, plain;
	uint16_t cids[4];

	start(options);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 4, old), 0);
	first = half(false, 0, 4);
	second = half(true, 0, 4);
	plain = host_rw(NSDK_NVME_NVM_READ, 1, 0, 1, host_iova(back), 0);
	/* Nothing behind the first when its doorbell was rung. */
	NSDK_ASSERT_INT(host_run(&io, &first), HOST_GENERIC(ABORTED_MISSING_FUSED));
	NSDK_ASSERT_INT(host_run(&io, &second), HOST_GENERIC(ABORTED_MISSING_FUSED));
	/* Something else behind it; a second with nothing before it. */
	cids[0] = host_push(&io, &first);
	cids[1] = host_push(&io, &plain);
	cids[2] = host_push(&io, &second);
	cids[3] = host_push(&io, &first);
	host_ring(&io);
	NSDK_ASSERT_INT(wait_status(cids[0]), HOST_GENERIC(ABORTED_MISSING_FUSED));
	NSDK_ASSERT_INT(wait_status(cids[1]), 0);
	NSDK_ASSERT_INT(wait_status(cids[2]), HOST_GENERIC(ABORTED_MISSING_FUSED));
	NSDK_ASSERT_INT(wait_status(cids[3]), HOST_GENERIC(ABORTED_MISSING_FUSED));
	/* Two firsts: the later one counts. */
	cids[0] = host_push(&io, &first);
	cids[1] = host_push(&io, &first);
	cids[2] = host_push(&io, &second);
	host_ring(&io);
	NSDK_ASSERT_INT(wait_status(cids[0]), HOST_GENERIC(ABORTED_MISSING_FUSED));
	NSDK_ASSERT_INT(wait_status(cids[1]), 0);
	NSDK_ASSERT_INT(wait_status(cids[2]), 0);
	expect_blocks(0, 4, new);
}

static void halves_alone_are_aborted(void)
{
	halves_are_aborted("size=1M");
	host_stop();
	halves_are_aborted("size=1M,latency_us=500");
}

static void goes_round_the_ring(void)
{
	start("size=1M");
	/* 16 entries: pairs begin at every one of them, and also with only two completions' room. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 1, old), 0);
	for (unsigned i = 0; i < 40; i++) {
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 1, old), 0);
		expect_pair(half(false, 0, 1), half(true, 0, 1), 0, 0);
	}
	expect_blocks(0, 1, new);
}

static void faults_hit_both(void)
{
	start("size=1M,fault=badstatus@2");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 1, old), 0);
	expect_pair(half(false, 0, 1), half(true, 0, 1), HOST_GENERIC(INTERNAL_ERROR),
		    HOST_GENERIC(ABORTED_FAILED_FUSED));
	expect_blocks(0, 1, old);
	host_stop();
	start("size=1M,fault=badstatus@3");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 1, old), 0);
	expect_pair(half(false, 0, 1), half(true, 0, 1), HOST_GENERIC(ABORTED_FAILED_FUSED),
		    HOST_GENERIC(INTERNAL_ERROR));
	expect_blocks(0, 1, old);
}

/* ---- Copy ---- */

static int copy(unsigned format, uint32_t count, uint64_t lba)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_COPY,
		.nsid = 1,
		.prp1 = host_iova(new),
		.prp2 = host_iova(new + HOST_PAGE),
		.cdw10 = (uint32_t)lba,
		.cdw12 = (count - 1) | format << 8,
	};

	return host_run(&io, &cmd);
}

static void copies_ranges(void)
{
	struct nsdk_nvme_copy_range *ranges;
	struct nsdk_nvme_copy_range_f1 *ranges_f1;

	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 120, 16, old), 0);
	memset(new, 0, 2 * HOST_PAGE);
	ranges = (void *)new;
	ranges[0] = (struct nsdk_nvme_copy_range){ .slba = 124, .blocks = 7 };
	ranges[1] = (struct nsdk_nvme_copy_range){ .slba = 120, .blocks = 0 };
	ranges[2] = (struct nsdk_nvme_copy_range){ .slba = 134, .blocks = 1 };
	NSDK_ASSERT_INT(copy(0, 3, 1000), 0);
	expect_blocks(1000, 8, old + 4 * 512);
	expect_blocks(1008, 1, old);
	expect_blocks(1009, 2, old + 14 * 512);
	memset(new, 0, 2 * HOST_PAGE);
	ranges_f1 = (void *)new;
	for (unsigned i = 0; i < 64; i++)
		ranges_f1[i] = (struct nsdk_nvme_copy_range_f1){ .slba = 120 + i % 16 };
	NSDK_ASSERT_INT(copy(1, 64, 500), 0);
	for (unsigned i = 0; i < 64; i += 16)
		expect_blocks(500 + i, 16, old);
}

static void keeps_to_the_limits_of_copy(void)
{
	struct nsdk_nvme_copy_range *ranges;

	start("size=1M");
	memset(new, 0, 2 * HOST_PAGE);
	ranges = (void *)new;
	ranges[0].blocks = 127;
	NSDK_ASSERT_INT(copy(0, 1, 1024), 0);
	ranges[0].blocks = 128;
	NSDK_ASSERT_INT(copy(0, 1, 1024), HOST_SPECIFIC(SIZE_LIMIT));
	for (unsigned i = 0; i < 5; i++)
		ranges[i].blocks = i < 4 ? 127 : 0;
	NSDK_ASSERT_INT(copy(0, 4, 1024), 0);
	NSDK_ASSERT_INT(copy(0, 5, 1024), HOST_SPECIFIC(SIZE_LIMIT));
	NSDK_ASSERT_INT(copy(0, 65, 1024), HOST_SPECIFIC(SIZE_LIMIT));
	NSDK_ASSERT_INT(copy(2, 1, 1024), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(copy(0, 4, 2048 - 511), HOST_GENERIC(LBA_OUT_OF_RANGE));
	ranges[3].slba = 2048 - 127;
	NSDK_ASSERT_INT(copy(0, 4, 1024), HOST_GENERIC(LBA_OUT_OF_RANGE));
}

static void says_how_far_it_came(void)
{
	struct nsdk_nvme_copy_range *ranges;

	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 8, old), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_UNCORRECTABLE, 100, 1, old), 0);
	memset(new, 0, 2 * HOST_PAGE);
	ranges = (void *)new;
	ranges[0] = (struct nsdk_nvme_copy_range){ .slba = 0, .blocks = 7 };
	ranges[1] = (struct nsdk_nvme_copy_range){ .slba = 100 };
	ranges[2] = (struct nsdk_nvme_copy_range){ .slba = 0 };
	NSDK_ASSERT_INT(copy(0, 3, 1000), HOST_MEDIA(UNRECOVERED_READ));
	NSDK_ASSERT_INT(host_last.dw0, 1);
	expect_blocks(1000, 8, old);
	/* What is copied over cannot be unreadable any more. */
	NSDK_ASSERT_INT(copy(0, 1, 100), 0);
	expect_blocks(100, 8, old);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(writes_what_is_as_expected),
	NSDK_UNIT_TEST(both_in_a_file),
	NSDK_UNIT_TEST(both_must_say_the_same_blocks),
	NSDK_UNIT_TEST(halves_alone_are_aborted),
	NSDK_UNIT_TEST(goes_round_the_ring),
	NSDK_UNIT_TEST(faults_hit_both),
	NSDK_UNIT_TEST(copies_ranges),
	NSDK_UNIT_TEST(keeps_to_the_limits_of_copy),
	NSDK_UNIT_TEST(says_how_far_it_came),
};

NSDK_UNIT_MAIN("lib/emu/nvme_fused", tests, .after = host_stop)
