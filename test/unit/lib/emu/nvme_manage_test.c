/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces that are formatted, made, attached and sanitized. */
#include "nvme_host.h"
#include "still_clock.h"

#include <nsdk/nvme_log_spec.h>

static struct host_queue io;
static uint8_t *page, *data;

static void start(const char *options)
{
	host_start(options);
	page = host_pages(HOST_PAGE);
	data = host_pages(2 * HOST_PAGE);
	host_queue_create(&io, 1, 16);
}

static int admin(unsigned opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11, void *buf)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = (uint8_t)opcode,
		.nsid = nsid,
		.prp1 = buf ? host_iova(buf) : 0,
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};

	return host_run(&host.admin, &cmd);
}

static int rw(unsigned opcode, uint32_t nsid, uint64_t lba)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, nsid, lba, 1, host_iova(data), 0);

	return host_run(&io, &cmd);
}

static const struct nsdk_nvme_id_ns *id_ns(unsigned cns, uint32_t nsid)
{
	NSDK_ASSERT_INT(host_identify(cns, nsid, page), 0);
	return (const void *)page;
}

static unsigned listed(unsigned cns)
{
	unsigned count = 0;

	NSDK_ASSERT_INT(host_identify(cns, 0, page), 0);
	while (((uint32_t *)page)[count])
		count++;
	return count;
}

static int format(uint32_t nsid, uint32_t cdw10)
{
	return admin(NSDK_NVME_ADMIN_FORMAT, nsid, cdw10, 0, NULL);
}

static void format_changes_the_block_size_and_takes_the_data(void)
{
	start("size=1M,namespaces=2");
	memset(data, 0x5a, 512);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 2, 2047), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 1, 3), 0);
	NSDK_ASSERT_INT(format(1, 1), 0);
	for (uint32_t nsid = 1; nsid <= 2; nsid++) {
		const struct nsdk_nvme_id_ns *id = id_ns(NSDK_NVME_CNS_NS, nsid);

		NSDK_ASSERT_INT(id->flbas, 1);
		NSDK_ASSERT_INT(id->nsze, 256);
	}
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 256), HOST_GENERIC(LBA_OUT_OF_RANGE));
	memset(data, 0x5a, HOST_PAGE);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 255), 0);
	for (unsigned i = 0; i < HOST_PAGE; i++)
		CU_ASSERT_EQUAL_FATAL(data[i], 0);
	NSDK_ASSERT_INT(format(NSDK_NVME_NSID_ALL, 0 | 1 << 9), 0);
	NSDK_ASSERT_INT(id_ns(NSDK_NVME_CNS_NS, 2)->nsze, 2048);
}

static void format_refuses_what_there_is_not(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(format(0, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(format(2, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(format(1, 2), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 1 << 12), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 1 << 4), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 1 << 5), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 2 << 9), HOST_GENERIC(INVALID_FIELD));
	host_stop();
	/* Blocks of 4096 bytes would not go into it evenly. */
	start("size=1049088");
	NSDK_ASSERT_INT(id_ns(NSDK_NVME_CNS_NS, 1)->nlbaf, 0);
	NSDK_ASSERT_INT(format(1, 1), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 0), 0);
}

static int attach(uint32_t nsid, bool detach, uint16_t ctrlr)
{
	struct nsdk_nvme_ctrlr_list *list = (void *)data;

	list->count = 1;
	list->id[0] = ctrlr;
	return admin(NSDK_NVME_ADMIN_NS_ATTACHMENT, nsid, detach, 0, list);
}

static void a_namespace_comes_and_goes(void)
{
	start("size=1M,namespaces=2");
	NSDK_ASSERT_INT(attach(1, false, 0), HOST_SPECIFIC(NS_ALREADY_ATTACHED));
	NSDK_ASSERT_INT(attach(1, true, 1), HOST_SPECIFIC(CTRLR_LIST_INVALID));
	NSDK_ASSERT_INT(attach(3, true, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(admin(NSDK_NVME_ADMIN_NS_ATTACHMENT, 1, 2, 0, data),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(attach(1, true, 0), 0);
	NSDK_ASSERT_INT(attach(1, true, 0), HOST_SPECIFIC(NS_NOT_ATTACHED));
	NSDK_ASSERT_INT(listed(NSDK_NVME_CNS_ACTIVE_NS_LIST), 1);
	NSDK_ASSERT_INT(listed(NSDK_NVME_CNS_ALLOCATED_NS_LIST), 2);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 1, 0), HOST_GENERIC(INVALID_NAMESPACE));
	/* Valid and not in use: zeroes. */
	NSDK_ASSERT_INT(id_ns(NSDK_NVME_CNS_NS, 1)->nsze, 0);
	NSDK_ASSERT_INT(id_ns(NSDK_NVME_CNS_ALLOCATED_NS, 1)->nsze, 2048);
	NSDK_ASSERT_INT(host_identify(0x12, 1, page), 0);
	NSDK_ASSERT_INT(((uint16_t *)page)[0], 0);
	NSDK_ASSERT_INT(attach(1, false, 0), 0);
	NSDK_ASSERT_INT(host_identify(0x12, 1, page), 0);
	NSDK_ASSERT_INT(((uint16_t *)page)[0], 1);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 1, 0), 0);
}

static int create(uint64_t blocks, uint64_t capacity, uint8_t flbas)
{
	struct nsdk_nvme_id_ns *id = (void *)data;

	memset(id, 0, sizeof(*id));
	id->nsze = blocks;
	id->ncap = capacity;
	id->flbas = flbas;
	return admin(NSDK_NVME_ADMIN_NS_MANAGEMENT, 0, 0, 0, id);
}

static void a_namespace_is_made_and_unmade(void)
{
	start("size=1M,namespaces=3");
	NSDK_ASSERT_INT(create(8, 8, 0), HOST_SPECIFIC(NS_ID_UNAVAILABLE));
	memset(data, 0x77, 512);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 2, 5), 0);
	NSDK_ASSERT_INT(admin(NSDK_NVME_ADMIN_NS_MANAGEMENT, 4, 1, 0, NULL),
			HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(admin(NSDK_NVME_ADMIN_NS_MANAGEMENT, 2, 2, 0, NULL),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(admin(NSDK_NVME_ADMIN_NS_MANAGEMENT, 2, 1, 0, NULL), 0);
	NSDK_ASSERT_INT(listed(NSDK_NVME_CNS_ALLOCATED_NS_LIST), 2);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(((uint64_t *)((struct nsdk_nvme_id_ctrl *)(void *)page)->unvmcap)[0], 1 << 20);

	NSDK_ASSERT_INT(create(0, 0, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(create(8, 4, 0), NSDK_NVME_STATUS(1, 0x1b));
	NSDK_ASSERT_INT(create(8, 8, 1), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(create(2049, 2049, 0), HOST_SPECIFIC(NS_INSUFFICIENT_CAPACITY));
	NSDK_ASSERT_INT(create(100, 100, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 2);
	NSDK_ASSERT_INT(listed(NSDK_NVME_CNS_ACTIVE_NS_LIST), 2);
	NSDK_ASSERT_INT(attach(2, false, 0), 0);
	NSDK_ASSERT_INT(id_ns(NSDK_NVME_CNS_NS, 2)->nsze, 100);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 100), HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 5), 0);
	NSDK_ASSERT_INT(data[0], 0);
	NSDK_ASSERT_INT(admin(NSDK_NVME_ADMIN_NS_MANAGEMENT, NSDK_NVME_NSID_ALL, 1, 0, NULL), 0);
	NSDK_ASSERT_INT(listed(NSDK_NVME_CNS_ALLOCATED_NS_LIST), 0);
}

static void a_change_is_told_once_until_the_list_is_read(void)
{
	struct nsdk_nvme_cmd aer = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };
	struct nsdk_nvme_cpl cpl;
	uint16_t cid;

	start("size=1M,namespaces=3");
	NSDK_ASSERT_INT(attach(3, true, 0), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG, 0, 0x100), 0);
	cid = host_push(&host.admin, &aer);
	host_ring(&host.admin);
	host_poll(4);
	/* It was not asked for then. */
	CU_ASSERT_FALSE(host_peek(&host.admin, &cpl));
	NSDK_ASSERT_INT(attach(2, true, 0), 0);
	CU_ASSERT_FATAL(host_wait(&host.admin, &cpl));
	NSDK_ASSERT_INT(cpl.cid, cid);
	NSDK_ASSERT_INT(cpl.dw0, 2 | NSDK_NVME_LOG_CHANGED_NS << 16);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_CHANGED_NS, page, HOST_PAGE, 0, false), 0);
	NSDK_ASSERT_INT(((uint32_t *)page)[0], 2);
	NSDK_ASSERT_INT(((uint32_t *)page)[1], 3);
	NSDK_ASSERT_INT(((uint32_t *)page)[2], 0);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_CHANGED_NS, page, HOST_PAGE, 0, false), 0);
	NSDK_ASSERT_INT(((uint32_t *)page)[0], 0);
}

static int sanitize(uint32_t cdw10)
{
	return admin(NSDK_NVME_ADMIN_SANITIZE, 0, cdw10, 0, NULL);
}

static unsigned sanitize_status(void)
{
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SANITIZE, page, 512, 0, false), 0);
	return ((struct nsdk_nvme_sanitize_log *)(void *)page)->sstat & 7;
}

static void sanitize_takes_its_time_and_all_data(void)
{
	unsigned rounds = 0;

	start("size=1M,namespaces=2");
	clock_stop();
	NSDK_ASSERT_INT(sanitize_status(), NSDK_NVME_SANITIZE_NEVER);
	NSDK_ASSERT_INT(sanitize(0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(sanitize(3), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(sanitize(1), 0);
	memset(data, 0x33, 512);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 2, 9), 0);
	NSDK_ASSERT_INT(sanitize(2), 0);
	NSDK_ASSERT_INT(sanitize_status(), NSDK_NVME_SANITIZE_RUNNING);
	NSDK_ASSERT_INT(sanitize(2), HOST_GENERIC(SANITIZE_IN_PROGRESS));
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 9), HOST_GENERIC(SANITIZE_IN_PROGRESS));
	NSDK_ASSERT_INT(format(1, 0), HOST_GENERIC(SANITIZE_IN_PROGRESS));
	while (sanitize_status() == NSDK_NVME_SANITIZE_RUNNING && rounds++ < 2000)
		clock_advance(5000000);
	CU_ASSERT(rounds > 10);
	NSDK_ASSERT_INT(sanitize_status(), NSDK_NVME_SANITIZE_DONE);
	NSDK_ASSERT_INT(((struct nsdk_nvme_sanitize_log *)(void *)page)->sprog, 0xffff);
	NSDK_ASSERT_INT(((struct nsdk_nvme_sanitize_log *)(void *)page)->scdw10, 2);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 2, 9), 0);
	NSDK_ASSERT_INT(data[0], 0);
	clock_go();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(format_changes_the_block_size_and_takes_the_data),
	NSDK_UNIT_TEST(format_refuses_what_there_is_not),
	NSDK_UNIT_TEST(a_namespace_comes_and_goes),
	NSDK_UNIT_TEST(a_namespace_is_made_and_unmade),
	NSDK_UNIT_TEST(a_change_is_told_once_until_the_list_is_read),
	NSDK_UNIT_TEST(sanitize_takes_its_time_and_all_data),
};

NSDK_UNIT_MAIN("lib/emu/nvme_manage", tests, .after = host_stop)
