/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

#include <errno.h>
#include <linux/pci_regs.h>

static uint32_t cfg(unsigned offset, unsigned width)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL(host.model->ops->cfg_read(host.model, offset, width, &value), 0);
	return value;
}

static void set_cfg(unsigned offset, unsigned width, uint32_t value)
{
	CU_ASSERT_EQUAL(host.model->ops->cfg_write(host.model, offset, width, value), 0);
}

static unsigned find_cap(unsigned id)
{
	unsigned at = cfg(PCI_CAPABILITY_LIST, 1);

	for (unsigned i = 0; i < 48 && at; i++) {
		if (cfg(at, 1) == id)
			return at;
		at = cfg(at + 1, 1);
	}
	CU_FAIL_FATAL("no such capability");
	return 0;
}

static unsigned devctl(void)
{
	return find_cap(PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
}

static void is_an_nvme_controller(void)
{
	host_create("size=1M");
	NSDK_ASSERT_INT(cfg(PCI_CLASS_REVISION, 4) >> 8, 0x010802);
	NSDK_ASSERT_INT(cfg(PCI_HEADER_TYPE, 1), 0);
	NSDK_ASSERT_INT(cfg(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, PCI_STATUS_CAP_LIST);
	CU_ASSERT(cfg(PCI_VENDOR_ID, 2) != 0xffff);
	NSDK_ASSERT_INT(cfg(PCI_INTERRUPT_PIN, 1), 0);
	CU_ASSERT(find_cap(PCI_CAP_ID_PM) > 0);
	/* What is read-only stays. */
	set_cfg(PCI_VENDOR_ID, 4, 0);
	CU_ASSERT(cfg(PCI_VENDOR_ID, 2) != 0);
	NSDK_ASSERT_INT(cfg(0x100, 4), 0);
	NSDK_ASSERT_INT(cfg(0xffc, 4), 0);
}

static void refuses_odd_accesses(void)
{
	uint32_t value;

	host_create("size=1M");
	NSDK_ASSERT_INT(host.model->ops->cfg_read(host.model, 1, 2, &value), -EINVAL);
	NSDK_ASSERT_INT(host.model->ops->cfg_read(host.model, 0, 3, &value), -EINVAL);
	NSDK_ASSERT_INT(host.model->ops->cfg_read(host.model, 4096, 1, &value), -EINVAL);
	NSDK_ASSERT_INT(host.model->ops->cfg_write(host.model, 2, 4, 0), -EINVAL);
}

static void bars_tell_their_size(void)
{
	host_create("size=1M,queues=600");
	set_cfg(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	set_cfg(PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
	NSDK_ASSERT_INT(cfg(PCI_BASE_ADDRESS_0, 4) & 15, PCI_BASE_ADDRESS_MEM_TYPE_64);
	NSDK_ASSERT_INT((uint32_t)(~(cfg(PCI_BASE_ADDRESS_0, 4) & ~15u) + 1), host.bar.bytes);
	NSDK_ASSERT_INT(cfg(PCI_BASE_ADDRESS_1, 4), UINT32_MAX);
	NSDK_ASSERT_INT(host.bar.bytes, 16384); /* 4096 + 601 * 8, to a power of two */
	set_cfg(PCI_BASE_ADDRESS_2, 4, UINT32_MAX);
	NSDK_ASSERT_INT(cfg(PCI_BASE_ADDRESS_2, 4), 0);
}

static void no_snoop_is_hardwired_without_the_option(void)
{
	host_create("size=1M");
	NSDK_ASSERT_INT(cfg(devctl(), 2) & PCI_EXP_DEVCTL_NOSNOOP_EN, 0);
	set_cfg(devctl(), 2, PCI_EXP_DEVCTL_NOSNOOP_EN);
	NSDK_ASSERT_INT(cfg(devctl(), 2) & PCI_EXP_DEVCTL_NOSNOOP_EN, 0);
	CU_ASSERT_FALSE(host.model->dma.nosnoop_enabled);
	CU_ASSERT_FALSE(host.model->wants_nosnoop);
}

static void no_snoop_is_on_out_of_reset_and_follows(void)
{
	host_create("size=1M,nosnoop=data");
	CU_ASSERT(host.model->wants_nosnoop);
	CU_ASSERT(cfg(devctl(), 2) & PCI_EXP_DEVCTL_NOSNOOP_EN);
	CU_ASSERT(host.model->dma.nosnoop_enabled);
	set_cfg(devctl(), 2, cfg(devctl(), 2) & ~PCI_EXP_DEVCTL_NOSNOOP_EN);
	CU_ASSERT_FALSE(host.model->dma.nosnoop_enabled);
	/* The byte that has it, alone. */
	set_cfg(devctl() + 1, 1, PCI_EXP_DEVCTL_NOSNOOP_EN >> 8);
	CU_ASSERT(host.model->dma.nosnoop_enabled);
}

static void bus_mastering_follows(void)
{
	host_create("size=1M");
	CU_ASSERT(host.model->dma.bus_master);
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	CU_ASSERT_FALSE(host.model->dma.bus_master);
	/* D3hot stops it as well. */
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	set_cfg(find_cap(PCI_CAP_ID_PM) + PCI_PM_CTRL, 2, 3);
	CU_ASSERT_FALSE(host.model->dma.bus_master);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_VS), UINT32_MAX);
	set_cfg(find_cap(PCI_CAP_ID_PM) + PCI_PM_CTRL, 2, 0);
	CU_ASSERT(host.model->dma.bus_master);
}

static void registers_need_memory_space(void)
{
	host_create("size=1M");
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_VS), 0x20000);
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_VS), UINT32_MAX);
	host_write32(NSDK_NVME_REG_AQA, 0x10001);
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_AQA), 0);
}

static void nothing_is_fetched_without_bus_mastering(void)
{
	uint8_t *page;

	host_start("size=1M");
	page = host_pages(HOST_PAGE);
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	host_push(&host.admin, &(struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_IDENTIFY,
							.prp1 = host_iova(page), .cdw10 = 1 });
	host_ring(&host.admin);
	host_poll(100);
	CU_ASSERT_FALSE(host_peek(&host.admin, &host_last));
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CU_ASSERT(host_wait(&host.admin, &host_last));
	NSDK_ASSERT_INT(host_last.status >> 1, 0);
}

static void function_level_reset_forgets(void)
{
	host_start("size=1M,nosnoop=all");
	set_cfg(PCI_BASE_ADDRESS_0, 4, 0xfebf0000);
	set_cfg(devctl(), 2, 0);
	CU_ASSERT(cfg(find_cap(PCI_CAP_ID_EXP) + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	set_cfg(devctl(), 2, PCI_EXP_DEVCTL_BCR_FLR);
	NSDK_ASSERT_INT(cfg(devctl(), 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	CU_ASSERT(host.model->dma.nosnoop_enabled);
	CU_ASSERT_FALSE(host.model->dma.bus_master);
	NSDK_ASSERT_INT(cfg(PCI_BASE_ADDRESS_0, 4) & ~15u, 0xfebf0000 & ~(host.bar.bytes - 1));
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), 0);
}

static void msix_has_a_vector_for_each_queue(void)
{
	unsigned msix;
	struct nsdk_bar bar;

	host_create("size=1M,queues=5");
	msix = find_cap(PCI_CAP_ID_MSIX);
	NSDK_ASSERT_INT(cfg(msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE, 5);
	NSDK_ASSERT_INT(host.model->ops->irq_count(host.model), 6);
	NSDK_ASSERT_INT(cfg(msix + PCI_MSIX_TABLE, 4), 4); /* BAR 4, offset 0 */
	NSDK_ASSERT_INT(host.model->ops->bar(host.model, 4, &bar), 0);
	CU_ASSERT(bar.bytes >= 6 * 16 + 8);
	NSDK_ASSERT_INT(host.model->ops->mmio_read(host.model, 4, 12, 4), 1); /* masked */
	host.model->ops->mmio_write(host.model, 4, 8, 8, 0x1234);
	NSDK_ASSERT_INT(host.model->ops->mmio_read(host.model, 4, 8, 8), 0x1234);
	NSDK_ASSERT_INT(host.model->ops->mmio_read(host.model, 4, bar.bytes, 4), UINT32_MAX);
	NSDK_ASSERT_INT(host.model->ops->bar(host.model, 2, &bar), -ENOENT);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(is_an_nvme_controller),
	NSDK_UNIT_TEST(refuses_odd_accesses),
	NSDK_UNIT_TEST(bars_tell_their_size),
	NSDK_UNIT_TEST(no_snoop_is_hardwired_without_the_option),
	NSDK_UNIT_TEST(no_snoop_is_on_out_of_reset_and_follows),
	NSDK_UNIT_TEST(bus_mastering_follows),
	NSDK_UNIT_TEST(registers_need_memory_space),
	NSDK_UNIT_TEST(nothing_is_fetched_without_bus_mastering),
	NSDK_UNIT_TEST(function_level_reset_forgets),
	NSDK_UNIT_TEST(msix_has_a_vector_for_each_queue),
};

NSDK_UNIT_MAIN("lib/emu/nvme_config", tests, .after = host_stop)
