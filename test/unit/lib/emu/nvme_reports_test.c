/* SPDX-License-Identifier: BSD-3-Clause */
/* Telemetry, asymmetric namespace access, and which blocks cannot be read. */
#include "nvme_host.h"

#include <errno.h>

#include <nsdk/nvme_log_spec.h>

#define CREATE 0x100u

static uint8_t *page;

static void start(const char *options)
{
	host_start(options);
	page = host_pages(4 * HOST_PAGE);
}

static int get_log(unsigned page_and_more, size_t bytes)
{
	memset(page, 0xee, bytes);
	return host_get_log(page_and_more, page, bytes, 0, true);
}

static void telemetry_is_taken_when_it_is_asked_for(void)
{
	const struct nsdk_nvme_telemetry_header *header;

	start("size=1M");
	header = (const void *)page;
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_TELEMETRY_HOST, 1024), 0);
	NSDK_ASSERT_INT(header->lid, 7);
	NSDK_ASSERT_INT(header->host_generation, 0);
	NSDK_ASSERT_INT(header->last_block[2], 0);
	NSDK_ASSERT_INT(page[512], 0);
	for (unsigned generation = 1; generation <= 300; generation++) {
		uint8_t is = (uint8_t)(generation + generation / 256);

		NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_TELEMETRY_HOST | CREATE, 512), 0);
		/* The same until it is taken again; with 255 before 1. */
		NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_TELEMETRY_HOST, 4096), 0);
		NSDK_ASSERT_INT(header->host_generation, is);
		NSDK_ASSERT_INT(page[513], is);
	}
	NSDK_ASSERT_INT(header->last_block[0], 2);
	NSDK_ASSERT_INT(header->last_block[1], 4);
	NSDK_ASSERT_INT(header->last_block[2], 7);
	for (unsigned block = 1; block <= 7; block++)
		NSDK_ASSERT_INT(page[512 * block], block);
	/* The controller has nothing to tell by itself. */
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_TELEMETRY_CTRLR | CREATE, 1024), 0);
	NSDK_ASSERT_INT(header->lid, 8);
	NSDK_ASSERT_INT(header->available, 0);
	NSDK_ASSERT_INT(header->last_block[2], 0);
}

static void access_is_reported_where_it_is_asked_for(void)
{
	const struct nsdk_nvme_ana_group *group;
	const struct nsdk_nvme_id_ctrl *id;
	const uint32_t *nsids;

	start("size=1M");
	id = (const void *)page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(id->cmic & 8, 0);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_ANA, 64), HOST_SPECIFIC(INVALID_LOG_PAGE));
	host_stop();
	start("size=1M,namespaces=3,ana=1");
	id = (const void *)page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(id->cmic & 8, 8);
	NSDK_ASSERT_INT(id->nanagrpid, 1);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS, 2, page), 0);
	NSDK_ASSERT_INT(((const struct nsdk_nvme_id_ns *)(const void *)page)->anagrpid, 1);
	group = (const void *)(page + sizeof(struct nsdk_nvme_ana_header));
	nsids = (const void *)(group + 1);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_ANA, 64), 0);
	NSDK_ASSERT_INT(page[8], 1);
	NSDK_ASSERT_INT(group->group, 1);
	NSDK_ASSERT_INT(group->state, 1);
	NSDK_ASSERT_INT(group->namespaces, 3);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsids[i], i + 1);
	NSDK_ASSERT_INT(nsids[3], 0);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_ANA | 0x100, 64), 0);
	NSDK_ASSERT_INT(group->namespaces, 0);
	NSDK_ASSERT_INT(nsids[0], 0);
}

static int lba_status(uint32_t nsid, uint64_t lba, uint32_t dwords, unsigned action, unsigned length)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_GET_LBA_STATUS,
		.nsid = nsid,
		.prp1 = host_iova(page),
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = dwords - 1,
		.cdw13 = action << 24 | length,
	};

	memset(page, 0xee, HOST_PAGE);
	return host_run(&host.admin, &cmd);
}

static void found(unsigned condition, unsigned count, uint64_t first, unsigned blocks)
{
	const struct nsdk_nvme_lba_status *status = (const void *)page;
	const struct nsdk_nvme_lba_status_descriptor *one = (const void *)(status + 1);

	NSDK_ASSERT_INT(status->condition, condition);
	NSDK_ASSERT_INT(status->count, count);
	if (!count)
		return;
	NSDK_ASSERT_INT(one->slba, first);
	NSDK_ASSERT_INT(one->blocks, blocks);
}

static void blocks_that_cannot_be_read_are_listed(void)
{
	struct nsdk_nvme_cmd spoil = { .opcode = NSDK_NVME_NVM_WRITE_UNCORRECTABLE, .nsid = 2 };
	struct host_queue io;

	start("size=1M,namespaces=2");
	host_queue_create(&io, 1, 8);
	NSDK_ASSERT_INT(lba_status(2, 0, 100, 0x11, 0), 0);
	found(2, 0, 0, 0);
	/* 10 to 13, and the last one. */
	spoil.cdw10 = 10;
	spoil.cdw12 = 3;
	NSDK_ASSERT_INT(host_run(&io, &spoil), 0);
	spoil.cdw10 = 2047;
	spoil.cdw12 = 0;
	NSDK_ASSERT_INT(host_run(&io, &spoil), 0);
	NSDK_ASSERT_INT(lba_status(2, 0, 100, 0x10, 0), 0);
	found(2, 2, 10, 4);
	NSDK_ASSERT_INT(lba_status(2, 12, 100, 0x11, 0), 0);
	found(2, 2, 12, 2);
	NSDK_ASSERT_INT(lba_status(2, 0, 100, 0x11, 12), 0);
	found(2, 1, 10, 2);
	NSDK_ASSERT_INT(lba_status(2, 14, 100, 0x11, 65535), 0);
	found(2, 1, 2047, 1);
	NSDK_ASSERT_INT(lba_status(2, 14, 100, 0x11, 100), 0);
	found(2, 0, 0, 0);
	NSDK_ASSERT_INT(lba_status(1, 0, 100, 0x11, 0), 0);
	found(2, 0, 0, 0);
	/* Room for one, for none. */
	NSDK_ASSERT_INT(lba_status(2, 0, 6, 0x11, 0), 0);
	found(1, 1, 10, 4);
	NSDK_ASSERT_INT(page[24], 0xee);
	NSDK_ASSERT_INT(lba_status(2, 0, 5, 0x11, 0), 0);
	found(1, 0, 0, 0);
}

static void more_than_there_is_room_for(void)
{
	struct nsdk_nvme_cmd spoil = { .opcode = NSDK_NVME_NVM_WRITE_UNCORRECTABLE, .nsid = 1 };
	struct host_queue io;

	start("size=1M");
	host_queue_create(&io, 1, 8);
	for (unsigned i = 0; i < 70; i++) {
		spoil.cdw10 = 3 * i;
		NSDK_ASSERT_INT(host_run(&io, &spoil), 0);
		if (i == 63) {
			NSDK_ASSERT_INT(lba_status(1, 0, 1024, 0x11, 0), 0);
			found(2, 64, 0, 1);
		}
	}
	NSDK_ASSERT_INT(lba_status(1, 0, 1024, 0x11, 0), 0);
	found(1, 64, 0, 1);
}

static void what_cannot_be_asked(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(lba_status(2, 0, 100, 0x11, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(lba_status(NSDK_NVME_NSID_ALL, 0, 100, 0x11, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(lba_status(1, 2048, 100, 0x11, 0), HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(lba_status(1, 0, 100, 0x12, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(lba_status(1, 0, 1, 0x11, 0), HOST_GENERIC(INVALID_FIELD));
}

static void a_block_that_is_bad_from_the_start(void)
{
	struct nsdk_emu_model *model = NULL;
	struct host_queue io;
	struct nsdk_nvme_cmd cmd;

	start("size=1M,namespaces=2,bad=2047");
	host_queue_create(&io, 1, 8);
	NSDK_ASSERT_INT(lba_status(2, 0, 100, 0x11, 0), 0);
	found(2, 1, 2047, 1);
	cmd = host_rw(NSDK_NVME_NVM_READ, 1, 2047, 1, host_iova(page), 0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, 0x81));
	cmd.opcode = NSDK_NVME_NVM_WRITE;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	cmd.opcode = NSDK_NVME_NVM_READ;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_emu_nvme.create("size=1M,bad=2048", &model), -EINVAL);
	CU_ASSERT(nsdk_unit_log_has("bad=2048: a namespace has 2048 blocks"));
	nsdk_unit_log_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(telemetry_is_taken_when_it_is_asked_for),
	NSDK_UNIT_TEST(access_is_reported_where_it_is_asked_for),
	NSDK_UNIT_TEST(blocks_that_cannot_be_read_are_listed),
	NSDK_UNIT_TEST(more_than_there_is_room_for),
	NSDK_UNIT_TEST(what_cannot_be_asked),
	NSDK_UNIT_TEST(a_block_that_is_bad_from_the_start),
};

NSDK_UNIT_MAIN("lib/emu/nvme_reports", tests, .after = host_stop)
