/* SPDX-License-Identifier: BSD-3-Clause */
/* Security protocols: what there is, and bytes that go both ways. */
#include "nvme_host.h"

#include <nsdk/nvme_admin.h>

static uint8_t *page;

static void start(void)
{
	host_start("size=1M,mdts=1");
	page = host_pages(2 * HOST_PAGE);
}

static int send(unsigned protocol, uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_security_send(0, (uint8_t)protocol, 0, 0, bytes);

	cmd.prp1 = host_iova(page);
	return host_run(&host.admin, &cmd);
}

static int receive(unsigned protocol, unsigned specific, uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_security_receive(0, (uint8_t)protocol, (uint16_t)specific, 0,
								  bytes);

	memset(page, 0xee, HOST_PAGE);
	cmd.prp1 = host_iova(page);
	cmd.prp2 = host_iova(page + HOST_PAGE);
	return host_run(&host.admin, &cmd);
}

static void tells_its_protocols(void)
{
	start();
	NSDK_ASSERT_INT(receive(0, 0, 512), 0);
	NSDK_ASSERT_INT(page[6] << 8 | page[7], 2);
	NSDK_ASSERT_INT(page[8], 0);
	NSDK_ASSERT_INT(page[9], 0xf0);
	NSDK_ASSERT_INT(page[10], 0);
	NSDK_ASSERT_INT(page[512], 0xee);
	/* As much as there is room for. */
	NSDK_ASSERT_INT(receive(0, 0, 8), 0);
	NSDK_ASSERT_INT(page[7], 2);
	NSDK_ASSERT_INT(page[8], 0xee);
}

static void gives_back_what_it_was_sent(void)
{
	start();
	NSDK_ASSERT_INT(receive(0xf0, 0, 16), 0);
	NSDK_ASSERT_INT(page[0], 0);
	for (unsigned i = 0; i < 512; i++)
		page[i] = (uint8_t)(i * 7);
	NSDK_ASSERT_INT(send(0xf0, 512), 0);
	NSDK_ASSERT_INT(receive(0xf0, 3, 1024), 0);
	for (unsigned i = 0; i < 512; i++)
		NSDK_ASSERT_INT(page[i], (uint8_t)(i * 7));
	NSDK_ASSERT_INT(page[512], 0);
	/* What is refused changes nothing. */
	memset(page, 1, 1024);
	NSDK_ASSERT_INT(send(0xf0, 513), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(send(0xf0, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(send(0, 16), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0xf0, 0, 4), 0);
	NSDK_ASSERT_INT(page[1], 7);
}

static void other_protocols_are_refused(void)
{
	start();
	NSDK_ASSERT_INT(receive(1, 0, 512), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0, 1, 512), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0, 0, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0, 0, 8193), HOST_GENERIC(INVALID_FIELD));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(tells_its_protocols),
	NSDK_UNIT_TEST(gives_back_what_it_was_sent),
	NSDK_UNIT_TEST(other_protocols_are_refused),
};

NSDK_UNIT_MAIN("lib/emu/nvme_security", tests, .after = host_stop)
