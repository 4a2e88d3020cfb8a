/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

static void *page;

static void start(const char *options)
{
	host_start(options);
	page = host_pages(2 * HOST_PAGE);
}

static int run(unsigned opcode, uint32_t cdw10, uint32_t cdw11, uint64_t prp1)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = (uint8_t)opcode,
		.prp1 = prp1,
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};

	return host_run(&host.admin, &cmd);
}

static int create_cq(unsigned id, uint32_t entries, uint32_t cdw11)
{
	return run(NSDK_NVME_ADMIN_CREATE_CQ, id | (entries - 1) << 16, cdw11, host_iova(page));
}

static int create_sq(unsigned id, uint32_t entries, uint32_t cdw11)
{
	return run(NSDK_NVME_ADMIN_CREATE_SQ, id | (entries - 1) << 16, cdw11, host_iova(page));
}

static void unknown_commands_are_refused(void)
{
	static const uint8_t known[] = { 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a,
					0x0c, 0x0d, 0x10, 0x11, 0x14, 0x15, 0x80, 0x81, 0x82, 0x84, 0x86 };
	unsigned next = 0;

	start("size=1M");
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		if (next < sizeof(known) && known[next] == opcode) {
			next++;
			continue;
		}
		NSDK_ASSERT_INT(run(opcode, 0, 0, 0), HOST_GENERIC(INVALID_OPCODE));
	}
	NSDK_ASSERT_INT(next, sizeof(known));
	CU_ASSERT(NSDK_NVME_STATUS_DNR(host_last.status));
}

static void create_cq_checks_everything(void)
{
	start("size=1M,queues=4,mqes=64");
	NSDK_ASSERT_INT(create_cq(0, 8, 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(5, 8, 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(65535, 8, 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(1, 1, 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	NSDK_ASSERT_INT(create_cq(1, 65, 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	NSDK_ASSERT_INT(create_cq(1, 65536, 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	NSDK_ASSERT_INT(create_cq(1, 8, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(create_cq(1, 8, 5 << 16 | 3), HOST_SPECIFIC(INVALID_VECTOR));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_CREATE_CQ, 1 | 7 << 16, 1, host_iova(page) + 64),
			HOST_GENERIC(INVALID_PRP_OFFSET));
	NSDK_ASSERT_INT(create_cq(1, 64, 4 << 16 | 3), 0);
	NSDK_ASSERT_INT(create_cq(1, 8, 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(4, 2, 1), 0);
}

static void create_sq_checks_everything(void)
{
	start("size=1M,queues=4,mqes=64");
	NSDK_ASSERT_INT(create_sq(1, 8, 2 << 16 | 1), HOST_SPECIFIC(CQ_INVALID));
	NSDK_ASSERT_INT(create_cq(2, 8, 1), 0);
	NSDK_ASSERT_INT(create_sq(0, 8, 2 << 16 | 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_sq(5, 8, 2 << 16 | 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_sq(1, 8, 0 << 16 | 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_sq(1, 8, 5 << 16 | 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_sq(1, 1, 2 << 16 | 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	NSDK_ASSERT_INT(create_sq(1, 65, 2 << 16 | 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	NSDK_ASSERT_INT(create_sq(1, 8, 2 << 16), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_CREATE_SQ, 1 | 7 << 16, 2 << 16 | 1,
			    host_iova(page) + 4), HOST_GENERIC(INVALID_PRP_OFFSET));
	NSDK_ASSERT_INT(create_sq(1, 64, 2 << 16 | 1), 0);
	NSDK_ASSERT_INT(create_sq(1, 8, 2 << 16 | 1), HOST_SPECIFIC(INVALID_QID));
}

static void entry_sizes_must_be_said_first(void)
{
	start("size=1M");
	host_write32(NSDK_NVME_REG_CC, NSDK_NVME_CC_EN);
	NSDK_ASSERT_INT(create_cq(1, 8, 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	host_write32(NSDK_NVME_REG_CC, NSDK_NVME_CC_EN | 4u << NSDK_NVME_CC_IOCQES_SHIFT);
	NSDK_ASSERT_INT(create_cq(1, 8, 1), 0);
	NSDK_ASSERT_INT(create_sq(1, 8, 1 << 16 | 1), HOST_SPECIFIC(INVALID_QUEUE_SIZE));
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	NSDK_ASSERT_INT(create_sq(1, 8, 1 << 16 | 1), 0);
}

static void delete_checks_everything(void)
{
	start("size=1M,queues=4");
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_SQ, 0, 0, 0), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_SQ, 1, 0, 0), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_SQ, 65535, 0, 0), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_CQ, 0, 0, 0), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_CQ, 1, 0, 0), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(1, 8, 1), 0);
	NSDK_ASSERT_INT(create_sq(3, 8, 1 << 16 | 1), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_CQ, 1, 0, 0),
			HOST_SPECIFIC(INVALID_QUEUE_DELETION));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_SQ, 3, 0, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_CQ, 1, 0, 0), 0);
	/* All of it again. */
	NSDK_ASSERT_INT(create_cq(1, 8, 1), 0);
	NSDK_ASSERT_INT(create_sq(3, 8, 1 << 16 | 1), 0);
}

static void queue_count_is_negotiated(void)
{
	start("size=1M,queues=4");
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 1 << 16 | 1), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1 << 16 | 1);
	NSDK_ASSERT_INT(create_cq(3, 8, 1), HOST_SPECIFIC(INVALID_QID));
	NSDK_ASSERT_INT(create_cq(2, 8, 1), 0);
	/* Too late now. */
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 3 << 16 | 3),
			HOST_GENERIC(SEQUENCE_ERROR));
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_DELETE_CQ, 2, 0, 0), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 99 << 16 | 99), 0);
	NSDK_ASSERT_INT(host_last.dw0, 3 << 16 | 3);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0xffff0000),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0x0000ffff),
			HOST_GENERIC(INVALID_FIELD));
	/* A reset forgets it. */
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 3 << 16 | 3);
}

static void event_requests_are_limited_and_can_be_aborted(void)
{
	struct nsdk_nvme_cmd aer = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };
	struct nsdk_nvme_cpl cpl;
	uint16_t cids[4];

	start("size=1M");
	for (unsigned i = 0; i < 4; i++)
		cids[i] = host_push(&host.admin, &aer);
	NSDK_ASSERT_INT(host_run(&host.admin, &aer), HOST_SPECIFIC(AER_LIMIT));
	/* Its identifier is in use. */
	host.admin.next_cid = cids[2];
	NSDK_ASSERT_INT(host_run(&host.admin, &aer), HOST_GENERIC(CID_CONFLICT));
	host.admin.next_cid = 100;
	host_push(&host.admin, &(struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_ABORT,
							.cdw10 = (uint32_t)cids[2] << 16 });
	host_ring(&host.admin);
	CU_ASSERT_FATAL(host_wait(&host.admin, &cpl));
	NSDK_ASSERT_INT(cpl.cid, cids[2]);
	NSDK_ASSERT_INT(cpl.status & 0xffe, HOST_GENERIC(ABORT_REQUESTED));
	CU_ASSERT_FATAL(host_wait(&host.admin, &cpl));
	NSDK_ASSERT_INT(cpl.cid, 100);
	NSDK_ASSERT_INT(cpl.dw0, 0);
	/* There is room for one again, and the rest waits on. */
	host_push(&host.admin, &aer);
	host_ring(&host.admin);
	host_poll(10);
	CU_ASSERT_FALSE(host_peek(&host.admin, &cpl));
	/* Nothing to abort. */
	NSDK_ASSERT_INT(run(NSDK_NVME_ADMIN_ABORT, 999u << 16, 0, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(unknown_commands_are_refused),
	NSDK_UNIT_TEST(create_cq_checks_everything),
	NSDK_UNIT_TEST(create_sq_checks_everything),
	NSDK_UNIT_TEST(entry_sizes_must_be_said_first),
	NSDK_UNIT_TEST(delete_checks_everything),
	NSDK_UNIT_TEST(queue_count_is_negotiated),
	NSDK_UNIT_TEST(event_requests_are_limited_and_can_be_aborted),
};

NSDK_UNIT_MAIN("lib/emu/nvme_admin", tests, .after = host_stop)
