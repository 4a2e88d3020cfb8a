/* SPDX-License-Identifier: BSD-3-Clause */
/* The persistent memory region of the model: what lasts, and what does not. */
#include "nvme_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/nsdk-emu-pmr.XXXXXX";
static int fd = -1;
static volatile uint8_t *region;

static void before(void)
{
	strcpy(path, "/tmp/nsdk-emu-pmr.XXXXXX");
	fd = mkstemp(path);
	CU_ASSERT_FATAL(fd >= 0);
}

static void after(void)
{
	host_stop();
	close(fd);
	unlink(path);
}

static void start(const char *more)
{
	char options[200];
	struct nsdk_bar bar;

	snprintf(options, sizeof(options), "size=1M,pmr=16k,pmr_file=%s%s", path, more);
	host_create(options);
	CU_ASSERT_EQUAL_FATAL(host.model->ops->bar(host.model, 2, &bar), 0);
	NSDK_ASSERT_INT(bar.bytes, 16384);
	region = bar.base;
}

static int in_file(unsigned offset)
{
	uint8_t byte;

	return pread(fd, &byte, 1, offset) == 1 ? byte : -1;
}

static void shows_in_its_registers(void)
{
	uint32_t cap;

	start("");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_PMRS) != 0);
	cap = host_read32(NSDK_NVME_REG_PMRCAP);
	NSDK_ASSERT_INT(NSDK_NVME_PMRCAP_BIR(cap), 2);
	CU_ASSERT((cap & NSDK_NVME_PMRCAP_WB_STATUS) != 0 && (cap & NSDK_NVME_PMRCAP_WB_READ) == 0);
	CU_ASSERT(NSDK_NVME_PMRCAP_PMRTO(cap) >= 1);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRCTL), 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRSTS), NSDK_NVME_PMRSTS_NRDY);
	/* Nothing is there before it is enabled. */
	NSDK_ASSERT_INT(region[0], 0xff);
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRCTL), NSDK_NVME_PMRCTL_EN);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRSTS), 0);
	NSDK_ASSERT_INT(region[0], 0);
}

static void there_is_none_without_the_option(void)
{
	struct nsdk_bar bar;

	host_create("size=1M");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_PMRS) == 0);
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRCAP), 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRSTS), 0);
	CU_ASSERT(host.model->ops->bar(host.model, 2, &bar) != 0);
}

static void lasts_what_the_status_was_read_behind(void)
{
	start("");
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	host_read32(NSDK_NVME_REG_PMRSTS);
	region[100] = 7;
	region[16383] = 8;
	NSDK_ASSERT_INT(in_file(100), 0);
	host_read32(NSDK_NVME_REG_PMRSTS);
	NSDK_ASSERT_INT(in_file(100), 7);
	NSDK_ASSERT_INT(in_file(16383), 8);
	region[100] = 9;
	/* Disabled without it, or reset: lost. */
	host_write32(NSDK_NVME_REG_PMRCTL, 0);
	NSDK_ASSERT_INT(region[100], 0xff);
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	host_read32(NSDK_NVME_REG_PMRSTS);
	NSDK_ASSERT_INT(region[100], 7);
	region[100] = 9;
	host.model->ops->reset(host.model);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_PMRCTL), 0);
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	host_read32(NSDK_NVME_REG_PMRSTS);
	NSDK_ASSERT_INT(region[100], 7);
	/* The controller's own reset has nothing to do with it. */
	region[100] = 9;
	host_write32(NSDK_NVME_REG_CC, 0);
	NSDK_ASSERT_INT(region[100], 9);
}

static void getting_ready_takes_its_time(void)
{
	start(",ready_ms=300");
	host_write32(NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	/* The clock may have run on before the first look, never back. */
	while (host_read32(NSDK_NVME_REG_PMRSTS) & NSDK_NVME_PMRSTS_NRDY)
		NSDK_ASSERT_INT(region[0], 0xff);
	NSDK_ASSERT_INT(region[0], 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(shows_in_its_registers),
	NSDK_UNIT_TEST(there_is_none_without_the_option),
	NSDK_UNIT_TEST(lasts_what_the_status_was_read_behind),
	NSDK_UNIT_TEST(getting_ready_takes_its_time),
};

NSDK_UNIT_MAIN("lib/emu/nvme_pmr", tests, .before = before, .after = after)
