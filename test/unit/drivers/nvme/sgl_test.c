/* SPDX-License-Identifier: BSD-3-Clause */
/* SGLs: when they are used, and what they say. The memory's IOVAs are shuffled by 2 MiB. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;
static struct nsdk_nvme_cmd last;
static unsigned commands;
static uint8_t moved[1 << 20]; /* what the list of the last command names */

/* Follows the SGL of a command as the device would, and completes it. */
static enum fake_action follow(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			       uint32_t *dw0)
{
	struct nsdk_nvme_sgl sgl, *list = &sgl;
	size_t count = 1, total = 0;

	if (qid == 0)
		return FAKE_DO;
	last = *cmd;
	commands++;
	*status = 0;
	if (!(cmd->flags & NSDK_NVME_PSDT_MASK))
		return FAKE_REPLY;
	NSDK_ASSERT_INT(cmd->flags, NSDK_NVME_PSDT_SGL);
	memcpy(&sgl, &cmd->prp1, sizeof(sgl));
	if (sgl.type != NSDK_NVME_SGL_DATA_BLOCK) {
		NSDK_ASSERT_INT(sgl.type, NSDK_NVME_SGL_LAST_SEGMENT);
		CU_ASSERT_FATAL(sgl.length % 16 == 0 && sgl.address % 8 == 0 &&
				sgl.address % 4096 + sgl.length <= 4096);
		list = fake_va(sgl.address);
		count = sgl.length / 16;
		CU_ASSERT_FATAL(list && count > 1);
	}
	for (size_t i = 0; i < count; i++) {
		NSDK_ASSERT_INT(list[i].type, NSDK_NVME_SGL_DATA_BLOCK);
		CU_ASSERT_FATAL(list[i].length > 0 && total + list[i].length <= sizeof(moved));
		for (size_t at = 0; at < list[i].length; at++) {
			const uint8_t *va = fake_va(list[i].address + at);

			CU_ASSERT_PTR_NOT_NULL_FATAL(va);
			moved[total++] = *va;
		}
	}
	NSDK_ASSERT_INT(total, ((cmd->cdw12 & 0xffff) + 1) << fake.lba_shift);
	return FAKE_REPLY;
}

static void bring_up(uint32_t sgls)
{
	fake.id.sgls = sgls;
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, 32);
	memset(&done, 0, sizeof(done));
	commands = 0;
	fake.hook = follow;
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	bring_up(NSDK_NVME_SGLS_ANY_ALIGNMENT);
}

static void after(void)
{
	fake.hook = NULL;
	fake_teardown(ctrlr, qp);
	nsdk_unit_log_stop();
}

static void again(uint32_t sgls)
{
	fake.hook = NULL;
	fake_teardown(ctrlr, qp);
	fake_reset();
	bring_up(sgls);
}

static void finish(int rc)
{
	NSDK_ASSERT_INT(rc, 0);
	for (unsigned i = 0; rc == 0 && i < 1000 && done.count == 0; i++)
		nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(done.status, 0);
	done.count = 0;
}

/* One write of a piece of memory; whether it went by an SGL. */
static bool by_sgl(uint8_t *at, uint32_t blocks)
{
	size_t bytes = (size_t)blocks << fake.lba_shift;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(i * 13 + i / 256);
	finish(nsdk_nvme_write(ns, qp, at, 3, blocks, 0, fake_done_cb, &done));
	if (!(last.flags & NSDK_NVME_PSDT_MASK))
		return false;
	CU_ASSERT(memcmp(moved, at, bytes) == 0);
	return true;
}

static void prps_where_they_do(void)
{
	/* Up to two pages, from a dword. */
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 0), 1));
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 0), 8));
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 0), 16));
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 2044), 16));
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 4092), 1));
	/* Where the device sees several stretches, a list is a list. */
	CU_ASSERT_FALSE(by_sgl(fake_buffer(4, FAKE_PIECE_BYTES - 4096), 32));
}

static void one_block_instead_of_a_list(void)
{
	CU_ASSERT(by_sgl(fake_buffer(4, 0), 17));
	NSDK_ASSERT_INT(last.prp2 >> 56, NSDK_NVME_SGL_DATA_BLOCK);
	CU_ASSERT(by_sgl(fake_buffer(4, 1028), 256));
	NSDK_ASSERT_INT(last.prp2 >> 56, NSDK_NVME_SGL_DATA_BLOCK);
	NSDK_ASSERT_INT(commands, 2);
}

static void odd_addresses(void)
{
	CU_ASSERT(by_sgl(fake_buffer(4, 1), 1));
	CU_ASSERT(by_sgl(fake_buffer(4, 4095), 16));
	/* Over a joint of the memory's pieces: two blocks. */
	CU_ASSERT(by_sgl(fake_buffer(4, FAKE_PIECE_BYTES - 4095), 32));
	NSDK_ASSERT_INT(last.prp2 >> 56, NSDK_NVME_SGL_LAST_SEGMENT);
	NSDK_ASSERT_INT(last.prp2 & 0xffffffff, 32);
	/* Split above the largest transfer, 128 KiB here, each part by an SGL. */
	commands = 0;
	finish(nsdk_nvme_write(ns, qp, fake_buffer(6, 3), 3, 600, 0, fake_done_cb, &done));
	NSDK_ASSERT_INT(commands, 3);
	NSDK_ASSERT_INT(last.flags, NSDK_NVME_PSDT_SGL);
}

static void pieces_that_meet_inside_a_page(void)
{
	struct iovec iov[33];
	uint8_t expected[512];
	size_t total = 0;

	/* 32 pieces of 16 bytes, and one of none: a block, and as many descriptors as a list takes here. */
	for (unsigned i = 0; i < 33; i++) {
		iov[i] = (struct iovec){ fake_buffer(4 + i % 5, 100000 + i * 700), i ? 16 : 0 };
		memset(iov[i].iov_base, (int)i + 1, 16);
	}
	for (unsigned i = 1; i < 33; i++, total += 16)
		memcpy(expected + total, iov[i].iov_base, 16);
	finish(nsdk_nvme_writev(ns, qp, iov, 33, 3, 1, 0, fake_done_cb, &done));
	NSDK_ASSERT_INT(last.flags, NSDK_NVME_PSDT_SGL);
	NSDK_ASSERT_INT(last.prp2 & 0xffffffff, 32 * 16);
	CU_ASSERT(memcmp(moved, expected, 512) == 0);
	/* Pieces that follow each other in the device's addresses are one block. */
	iov[0] = (struct iovec){ fake_buffer(4, 1), 200 };
	iov[1] = (struct iovec){ fake_buffer(4, 201), 312 };
	finish(nsdk_nvme_writev(ns, qp, iov, 2, 3, 1, 0, fake_done_cb, &done));
	NSDK_ASSERT_INT(last.prp2 >> 56, NSDK_NVME_SGL_DATA_BLOCK);
}

static void more_pieces_than_a_list_takes(void)
{
	static struct iovec iov[4096];
	unsigned count = 0;

	/* 50 blocks of 16 pieces: 800 descriptors, where a list has room for 32. */
	for (unsigned i = 0; i < 50 * 16; i++)
		iov[count++] = (struct iovec){ fake_buffer(4 + i % 7, 4096 + i * 100), 32 };
	commands = 0;
	finish(nsdk_nvme_writev(ns, qp, iov, (int)count, 3, 50, 0, fake_done_cb, &done));
	NSDK_ASSERT_INT(commands, 25);
	/* A block of more pieces than that cannot be said at all. */
	for (unsigned i = 0; i < 64; i++)
		iov[i] = (struct iovec){ fake_buffer(4 + i % 7, 4096 + i * 100), 8 };
	NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, iov, 64, 3, 1, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(done.count, 0);
}

static void keeps_to_dwords(void)
{
	struct iovec iov[2];

	again(NSDK_NVME_SGLS_DWORD_ALIGNMENT);
	CU_ASSERT(by_sgl(fake_buffer(4, 4), 17));
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(4, 2), 3, 1, 0, fake_done_cb, &done), -EINVAL);
	iov[0] = (struct iovec){ fake_buffer(4, 0), 204 };
	iov[1] = (struct iovec){ fake_buffer(6, 0), 308 };
	finish(nsdk_nvme_writev(ns, qp, iov, 2, 3, 1, 0, fake_done_cb, &done));
	iov[0].iov_len--;
	iov[1].iov_len++;
	NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, iov, 2, 3, 1, 0, fake_done_cb, &done), -EINVAL);
}

static void none_where_there_are_none(void)
{
	static const uint32_t without[] = { 0, 3, 0x10000 };

	for (unsigned i = 0; i < 3; i++) {
		again(without[i]);
		CU_ASSERT_FALSE(by_sgl(fake_buffer(4, 0), 17));
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(4, 2), 3, 1, 0, fake_done_cb, &done),
				-EINVAL);
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(prps_where_they_do),
	NSDK_UNIT_TEST(one_block_instead_of_a_list),
	NSDK_UNIT_TEST(odd_addresses),
	NSDK_UNIT_TEST(pieces_that_meet_inside_a_page),
	NSDK_UNIT_TEST(more_pieces_than_a_list_takes),
	NSDK_UNIT_TEST(keeps_to_dwords),
	NSDK_UNIT_TEST(none_where_there_are_none),
};

NSDK_UNIT_MAIN("drivers/nvme/sgl", tests, .before = before, .after = after)
