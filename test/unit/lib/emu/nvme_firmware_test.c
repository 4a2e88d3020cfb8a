/* SPDX-License-Identifier: BSD-3-Clause */
/* Firmware images and self-tests. */
#include "nvme_host.h"
#include "still_clock.h"

#include <nsdk/nvme_log_spec.h>

static uint8_t *page, *data;

static void start(void)
{
	host_start("size=1M");
	clock_stop();
	page = host_pages(HOST_PAGE);
	data = host_pages(HOST_PAGE);
}

static int admin(unsigned opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = (uint8_t)opcode,
		.nsid = nsid,
		.prp1 = host_iova(data),
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};

	return host_run(&host.admin, &cmd);
}

static int download(uint32_t bytes, uint32_t offset)
{
	return admin(NSDK_NVME_ADMIN_FW_DOWNLOAD, 0, bytes / 4 - 1, offset / 4);
}

static int commit(unsigned slot, unsigned action)
{
	return admin(NSDK_NVME_ADMIN_FW_COMMIT, 0, slot | action << 3, 0);
}

static const struct nsdk_nvme_firmware_log *firmware(void)
{
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_FIRMWARE_SLOT, page, 512, 0, false), 0);
	return (const void *)page;
}

static void restart(void)
{
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
}

static void an_image_runs_after_the_next_reset(void)
{
	start();
	NSDK_ASSERT_INT(firmware()->afi, 1);
	NSDK_ASSERT_INT(memcmp(firmware()->frs[0], "1.0     ", 8), 0);
	NSDK_ASSERT_INT(commit(2, 1), HOST_SPECIFIC(INVALID_FW_IMAGE));
	memcpy(data, "NSDKFW1:2.5-beta", 16);
	NSDK_ASSERT_INT(download(8, 0), 0);
	NSDK_ASSERT_INT(commit(2, 1), HOST_SPECIFIC(INVALID_FW_IMAGE));
	NSDK_ASSERT_INT(download(64, 8), 0);
	NSDK_ASSERT_INT(download(64, 8), HOST_SPECIFIC(OVERLAPPING_RANGE));
	NSDK_ASSERT_INT(download(64, 0), 0);
	NSDK_ASSERT_INT(commit(1, 1), HOST_SPECIFIC(INVALID_FW_SLOT));
	NSDK_ASSERT_INT(commit(3, 1), HOST_SPECIFIC(INVALID_FW_SLOT));
	NSDK_ASSERT_INT(commit(2, 3), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(commit(2, 2), HOST_SPECIFIC(INVALID_FW_SLOT));
	NSDK_ASSERT_INT(commit(0, 0), 0);
	NSDK_ASSERT_INT(firmware()->afi, 1);
	NSDK_ASSERT_INT(commit(2, 2), 0);
	NSDK_ASSERT_INT(firmware()->afi, 0x21);
	restart();
	NSDK_ASSERT_INT(firmware()->afi, 2);
	NSDK_ASSERT_INT(memcmp(firmware()->frs[1], "2.5-beta", 8), 0);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(memcmp(((struct nsdk_nvme_id_ctrl *)(void *)page)->fr, "2.5-beta", 8), 0);
	/* And back. */
	NSDK_ASSERT_INT(commit(1, 2), 0);
	restart();
	NSDK_ASSERT_INT(firmware()->afi, 1);
}

static void a_part_of_an_image_does_not_outlive_a_reset(void)
{
	start();
	memcpy(data, "NSDKFW1:3.0     ", 16);
	NSDK_ASSERT_INT(download(64, 0), 0);
	restart();
	NSDK_ASSERT_INT(commit(2, 1), HOST_SPECIFIC(INVALID_FW_IMAGE));
	NSDK_ASSERT_INT(download(64, 1 << 20), HOST_GENERIC(INVALID_FIELD));
}

static int self_test(uint32_t nsid, unsigned code)
{
	return admin(NSDK_NVME_ADMIN_SELF_TEST, nsid, code, 0);
}

static const struct nsdk_nvme_self_test_log *self_tests(void)
{
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SELF_TEST, page, 564, 0, false), 0);
	return (const void *)page;
}

static void wait_for_it(void)
{
	for (unsigned i = 0; i < 2000 && self_tests()->current_operation; i++)
		clock_advance(5000000);
}

static void self_tests_go_on_and_end(void)
{
	start();
	NSDK_ASSERT_INT(self_tests()->result[0].status & 0xf, 0xf);
	NSDK_ASSERT_INT(self_test(7, 1), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(self_test(0, 3), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(self_test(0, 0xf), 0);
	NSDK_ASSERT_INT(self_test(1, 1), 0);
	NSDK_ASSERT_INT(self_test(1, 2), HOST_SPECIFIC(SELF_TEST_IN_PROGRESS));
	NSDK_ASSERT_INT(self_tests()->current_operation, 1);
	CU_ASSERT(self_tests()->completion < 100);
	wait_for_it();
	NSDK_ASSERT_INT(self_tests()->result[0].status, 0x10);
	NSDK_ASSERT_INT(self_tests()->result[0].nsid, 1);
	NSDK_ASSERT_INT(self_tests()->result[0].valid, 1);
	NSDK_ASSERT_INT(self_test(0, 2), 0);
	NSDK_ASSERT_INT(self_test(0, 0xf), 0);
	NSDK_ASSERT_INT(self_tests()->result[0].status, 0x21);
	NSDK_ASSERT_INT(self_tests()->result[0].valid, 0);
	NSDK_ASSERT_INT(self_tests()->result[1].status, 0x10);
	NSDK_ASSERT_INT(self_tests()->result[2].status, 0xf);
}

static void a_reset_ends_a_short_one(void)
{
	start();
	NSDK_ASSERT_INT(self_test(0, 1), 0);
	restart();
	NSDK_ASSERT_INT(self_tests()->result[0].status, 0x12);
	NSDK_ASSERT_INT(self_test(0, 2), 0);
	restart();
	NSDK_ASSERT_INT(self_tests()->current_operation, 2);
	wait_for_it();
	NSDK_ASSERT_INT(self_tests()->result[0].status, 0x20);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(an_image_runs_after_the_next_reset),
	NSDK_UNIT_TEST(a_part_of_an_image_does_not_outlive_a_reset),
	NSDK_UNIT_TEST(self_tests_go_on_and_end),
	NSDK_UNIT_TEST(a_reset_ends_a_short_one),
};

static void after(void)
{
	clock_go();
	host_stop();
}

NSDK_UNIT_MAIN("lib/emu/nvme_firmware", tests, .after = after)
