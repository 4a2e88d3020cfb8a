/* SPDX-License-Identifier: BSD-3-Clause */
/* What is larger than one command: the commands that log pages and firmware images are made of. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_admin.h>

#include "drivers/nvme/nvme_internal.h"

#define MAX_SEEN 16

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_cmd seen[MAX_SEEN];
static unsigned seen_count, fail_at;
static struct nsdk_nvme_cpl cpl;
static uint8_t image[40000];

/* Log pages: each dword has its offset. Firmware: kept. */
static enum fake_action pieces(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			       uint32_t *dw0)
{
	uint32_t dwords, offset;
	uint8_t *va = fake_va(cmd->prp1);

	if (cmd->opcode != NSDK_NVME_ADMIN_GET_LOG_PAGE && cmd->opcode != NSDK_NVME_ADMIN_FW_DOWNLOAD)
		return FAKE_DO;
	CU_ASSERT_FATAL(seen_count < MAX_SEEN);
	seen[seen_count++] = *cmd;
	if (seen_count == fail_at) {
		*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
		return FAKE_REPLY;
	}
	if (cmd->opcode == NSDK_NVME_ADMIN_FW_DOWNLOAD) {
		/* The buffer of a wait lies in one piece. */
		memcpy(image + cmd->cdw11 * 4, va, (cmd->cdw10 + 1) * 4);
		return FAKE_REPLY;
	}
	dwords = (cmd->cdw10 >> 16 | cmd->cdw11 << 16) + 1;
	for (uint32_t i = 0; i < dwords; i++) {
		offset = cmd->cdw12 + i * 4;
		memcpy(va + i * 4, &offset, 4);
	}
	return FAKE_REPLY;
}

static void attach(uint8_t lpa, uint8_t fwug)
{
	fake.id.lpa = lpa;
	fake.id.fwug = fwug;
	ctrlr = fake_attach();
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake.hook = pieces;
	seen_count = 0;
	fail_at = 0;
}

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
}

static void after(void)
{
	fake.hook = NULL;
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

static bool retains(unsigned i)
{
	return seen[i].cdw10 >> 15 & 1;
}

static void says_all_that_can_be_said(void)
{
	struct nsdk_nvme_log_opts opts = {
		.opts_bytes = sizeof(opts),
		.nsid = 7,
		.lid = 0xc3,
		.lsp = 0x55,
		.lsi = 0x1234,
		.csi = 2,
		.uuid_index = 3,
		.offset_is_index = true,
		.offset = 0x100000004,
	};
	uint32_t data[3];

	attach(4, 0);
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, sizeof(data), &cpl), 0);
	NSDK_ASSERT_INT(seen_count, 1);
	NSDK_ASSERT_INT(seen[0].nsid, 7);
	NSDK_ASSERT_INT(seen[0].cdw10, 2u << 16 | 0x55 << 8 | 0xc3);
	NSDK_ASSERT_INT(seen[0].cdw11, 0x12340000);
	NSDK_ASSERT_INT(seen[0].cdw12, 4);
	NSDK_ASSERT_INT(seen[0].cdw13, 1);
	NSDK_ASSERT_INT(seen[0].cdw14, 2u << 24 | 1u << 23 | 3);
	opts.retain_event = true;
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, sizeof(data), &cpl), 0);
	CU_ASSERT(retains(1));
}

static void retains_the_event_until_the_last_piece(void)
{
	struct nsdk_nvme_log_opts opts = { .opts_bytes = sizeof(opts), .lid = 0xc3, .offset = 8 };
	static uint32_t data[2601];

	attach(4, 0);
	memset(data, 0xee, sizeof(data));
	/* 10402 bytes: two pages, and 2210 bytes, of which the last dword is half wanted. */
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 10402, &cpl), 0);
	NSDK_ASSERT_INT(seen_count, 3);
	CU_ASSERT(retains(0) && retains(1) && !retains(2));
	NSDK_ASSERT_INT(seen[2].cdw10 >> 16, 2212 / 4 - 1);
	for (unsigned i = 0; i < 2600; i++)
		CU_ASSERT_EQUAL_FATAL(data[i], 8 + i * 4);
	NSDK_ASSERT_INT(data[2600], 0xeeee0000 | (8 + 2600 * 4));
}

static void ends_at_the_first_failure(void)
{
	struct nsdk_nvme_log_opts opts = { .opts_bytes = sizeof(opts), .lid = 0xc3 };
	static uint32_t data[4096];

	attach(4, 0);
	fail_at = 2;
	data[1024] = 0xeeeeeeee;
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, sizeof(data), &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(seen_count, 2);
	CU_ASSERT_EQUAL(data[1024], 0xeeeeeeee);
	fake.gone = true;
	CU_ASSERT(nsdk_nvme_get_log(ctrlr, &opts, data, sizeof(data), &cpl) < 0);
}

static void knows_controllers_without_offsets(void)
{
	struct nsdk_nvme_log_opts opts = { .opts_bytes = sizeof(opts), .lid = 0xc3 };
	static uint8_t data[8192];

	attach(0, 0);
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 4096, &cpl), 0);
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 4097, &cpl), -ENOTSUP);
	opts.offset = 4;
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 4, &cpl), -ENOTSUP);
	opts.offset = 3;
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 4, &cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_get_log(ctrlr, &opts, data, 0, &cpl), -EINVAL);
	NSDK_ASSERT_INT(seen_count, 1);
}

static void images_go_in_pieces_of_the_controllers_choice(void)
{
	static const struct {
		uint8_t fwug;
		size_t asked;
		unsigned commands;
		uint32_t last_dwords;
	} cases[] = {
		{ 0, 0, 10, 784 },   /* not said: 4 KiB; 3136 bytes are left */
		{ 0xff, 0, 10, 784 }, /* any */
		{ 2, 0, 5, 1808 },
		{ 2, 16384, 3, 1808 },
	};
	static uint8_t data[40000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_reset();
		attach(0, cases[i].fwug);
		memset(image, 0, sizeof(image));
		NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, sizeof(data), cases[i].asked, &cpl), 0);
		NSDK_ASSERT_INT(seen_count, cases[i].commands);
		NSDK_ASSERT_INT(seen[seen_count - 1].cdw10 + 1, cases[i].last_dwords);
		NSDK_ASSERT_INT(memcmp(image, data, sizeof(data)), 0);
		if (i + 1 < sizeof(cases) / sizeof(cases[0])) {
			fake.hook = NULL;
			nsdk_nvme_detach(ctrlr);
		}
	}
	seen_count = 0;
	NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, 7, 0, &cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, 0, 0, &cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, 8, 6, &cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, 8, (size_t)2 << 20, &cpl), -EINVAL);
	NSDK_ASSERT_INT(seen_count, 0);
	fail_at = 2;
	NSDK_ASSERT_INT(nsdk_nvme_fw_download(ctrlr, data, sizeof(data), 4096, &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(seen_count, 2);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(says_all_that_can_be_said),
	NSDK_UNIT_TEST(retains_the_event_until_the_last_piece),
	NSDK_UNIT_TEST(ends_at_the_first_failure),
	NSDK_UNIT_TEST(knows_controllers_without_offsets),
	NSDK_UNIT_TEST(images_go_in_pieces_of_the_controllers_choice),
};

NSDK_UNIT_MAIN("drivers/nvme/log", tests, .before = before, .after = after)
