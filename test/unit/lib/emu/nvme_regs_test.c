/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

#include <nsdk/env.h>

#define NSSR_MAGIC 0x4e564d65u
#define CSTS_NSSRO 0x10u

static void tells_its_capabilities(void)
{
	uint64_t cap;

	host_create("size=1M,mqes=256");
	cap = host_read64(NSDK_NVME_REG_CAP);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_MQES(cap), 255);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_CQR(cap), 1);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_DSTRD(cap), 0);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_MPSMIN(cap), 0);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_MPSMAX(cap), 4);
	NSDK_ASSERT_INT(NSDK_NVME_CAP_CSS(cap) & 1, 1);
	CU_ASSERT(NSDK_NVME_CAP_TO(cap) > 0);
	/* Two halves are the same as the whole. */
	NSDK_ASSERT_INT(host_read32(0), (uint32_t)cap);
	NSDK_ASSERT_INT(host_read32(4), cap >> 32);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_VS), 0x20000);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSZ), 0);
	/* Not in whole dwords: nobody answers. */
	CU_ASSERT_EQUAL(host.model->ops->mmio_read(host.model, 0, 2, 4), UINT64_MAX);
	CU_ASSERT_EQUAL(host.model->ops->mmio_read(host.model, 0, 0, 2), UINT64_MAX);
	CU_ASSERT_EQUAL(host.model->ops->mmio_read(host.model, 1, 0, 4), UINT64_MAX);
}

static void masks_are_kept(void)
{
	host_create("size=1M");
	host_write32(NSDK_NVME_REG_INTMS, 0xf0);
	host_write32(NSDK_NVME_REG_INTMS, 0x0f);
	host_write32(NSDK_NVME_REG_INTMC, 0x18);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_INTMS), 0xe7);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_INTMC), 0xe7);
}

static void admin_queue_registers_hold(void)
{
	host_create("size=1M");
	host_write32(NSDK_NVME_REG_AQA, UINT32_MAX);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_AQA), 0x0fff0fff);
	host_write64(NSDK_NVME_REG_ASQ, 0x123456789abcdeff);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_ASQ), 0x123456789abcd000);
	host_write32(NSDK_NVME_REG_ACQ, 0x11112222);
	host_write32(NSDK_NVME_REG_ACQ + 4, 0x33334444);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_ACQ), 0x3333444411112000);
}

static void gets_ready_and_resets(void)
{
	uint64_t asq;

	host_start("size=1M");
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	asq = host_read64(NSDK_NVME_REG_ASQ);
	host_write32(NSDK_NVME_REG_CC, HOST_CC & ~NSDK_NVME_CC_EN);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), HOST_CC & ~NSDK_NVME_CC_EN);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_ASQ), asq);
	/* And again, with everything from the start. */
	host_enable();
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), 0);
}

static void gets_ready_late(void)
{
	uint64_t start;

	host_create("size=1M,ready_ms=30");
	start = nsdk_clock_ns();
	host_enable();
	CU_ASSERT(nsdk_clock_ns() - start >= 30000000);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), 0);
	host_stop();
	/* The time out that CAP tells covers it. */
	host_create("size=1M,ready_ms=2000");
	CU_ASSERT(NSDK_NVME_CAP_TO(host_read64(NSDK_NVME_REG_CAP)) * 500 > 2000);
}

static void gets_ready_by_polling_alone(void)
{
	host_create("size=1M,ready_ms=1");
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, 0x3f003f);
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	/* A host that does not look at CSTS. */
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), 0);
}

static void never_gets_ready(void)
{
	host_create("size=1M,fault=never-ready");
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, 0x3f003f);
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	host_poll(100);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
}

/* Enable with these; the controller must refuse by its fatal status. */
static void fails_to_enable(uint32_t aqa, uint64_t asq, uint32_t cc)
{
	host_write32(NSDK_NVME_REG_AQA, aqa);
	host_write64(NSDK_NVME_REG_ASQ, asq);
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, cc);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_CFS);
	host_write32(NSDK_NVME_REG_CC, 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
}

static void refuses_what_it_cannot_do(void)
{
	uint64_t asq;

	host_create("size=1M");
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	/* Aligned to 4 KiB, not to 8 KiB. */
	asq = (host_iova(host.admin.sq) | 0x1000) & ~(uint64_t)0xfff;
	fails_to_enable(0x003f0000, asq, HOST_CC);
	fails_to_enable(0x0000003f, asq, HOST_CC);
	fails_to_enable(0x003f003f, asq, HOST_CC | 5u << NSDK_NVME_CC_MPS_SHIFT);
	fails_to_enable(0x003f003f, asq, HOST_CC | 1u << NSDK_NVME_CC_MPS_SHIFT);
	fails_to_enable(0x003f003f, asq, HOST_CC | 1u << NSDK_NVME_CC_CSS_SHIFT);
	fails_to_enable(0x003f003f, asq, HOST_CC | 7u << NSDK_NVME_CC_CSS_SHIFT);
	fails_to_enable(0x003f003f, asq, HOST_CC | 1u << NSDK_NVME_CC_AMS_SHIFT);
	fails_to_enable(0x003f003f, asq, HOST_CC | 1u << 24);
	/* It still works with what it can do. */
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
}

static void arbitration_is_what_was_offered(void)
{
	host_create("size=1M");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_AMS_WRR) == 0);
	host_stop();
	host_create("size=1M,wrr=1");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_AMS_WRR) != 0);
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	for (uint32_t ams = 2; ams < 8; ams++)
		fails_to_enable(0x003f003f, host_iova(host.admin.sq),
				HOST_CC | ams << NSDK_NVME_CC_AMS_SHIFT);
	host_write32(NSDK_NVME_REG_CC, HOST_CC | NSDK_NVME_CC_AMS_WRR);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	host_write32(NSDK_NVME_REG_CC, 0);
	/* It need not be asked for. */
	host_enable();
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ARBITRATION, 0, 0), 0);
}

static void fatal_when_the_queue_cannot_be_reached(void)
{
	host_create("size=1M");
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, 0x3f003f);
	host_write64(NSDK_NVME_REG_ASQ, 0x1000); /* nothing is mapped there */
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), -1);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_CFS);
	host_write32(NSDK_NVME_REG_CC, 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
	/* The same with a completion queue that is not there. */
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, 0x1000);
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), -1);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_CFS);
}

static void shuts_down(void)
{
	static const uint32_t kinds[] = { NSDK_NVME_CC_SHN_NORMAL, NSDK_NVME_CC_SHN_ABRUPT };

	host_start("size=1M");
	for (unsigned i = 0; i < 2; i++) {
		host_write32(NSDK_NVME_REG_CC, HOST_CC | kinds[i]);
		NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS),
				NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_SHST_COMPLETE);
		/* No commands any more. */
		host_push(&host.admin, &(struct nsdk_nvme_cmd){ .opcode = 0x7f });
		host_ring(&host.admin);
		host_poll(100);
		CU_ASSERT_FALSE(host_peek(&host.admin, &host_last));
		/* Only a reset ends it. */
		host_write32(NSDK_NVME_REG_CC, HOST_CC);
		CU_ASSERT(host_read32(NSDK_NVME_REG_CSTS) & NSDK_NVME_CSTS_SHST_COMPLETE);
		host_write32(NSDK_NVME_REG_CC, 0);
		NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
		host_enable();
	}
}

static void larger_pages_work(void)
{
	struct nsdk_nvme_id_ctrl *id;

	host_create("size=1M");
	host.used = 65536 - (uintptr_t)host.memory % 65536;
	host.admin.sq = host_pages(65536);
	host_queue_init(&host.admin, 0, 1024); /* 64 KiB and 16 KiB */
	host.admin.cq = (volatile struct nsdk_nvme_cpl *)(((uintptr_t)host.memory + (1 << 20)) &
							  ~(uintptr_t)65535);
	host.used = 2 << 20;
	host_write32(NSDK_NVME_REG_AQA, 1023u << 16 | 1023);
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC | 4u << NSDK_NVME_CC_MPS_SHIFT);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	/* 4096 bytes that cross two small pages are inside one page of 64 KiB. */
	id = (void *)((uint8_t *)(((uintptr_t)host.memory + (3 << 20)) & ~(uintptr_t)65535) + 2048);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, id), 0);
	NSDK_ASSERT_INT(id->sqes, 0x66);
}

static void subsystem_reset(void)
{
	host_start("size=1M");
	host_write32(NSDK_NVME_REG_NSSR, NSSR_MAGIC + 1);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	host_write32(NSDK_NVME_REG_NSSR, NSSR_MAGIC);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), CSTS_NSSRO);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), 0);
	host_write32(NSDK_NVME_REG_CSTS, CSTS_NSSRO);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
	host_enable();
}

static void enabled_fields_do_not_change(void)
{
	host_start("size=1M");
	host_write32(NSDK_NVME_REG_CC, HOST_CC | 3u << NSDK_NVME_CC_MPS_SHIFT);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), HOST_CC);
	host_write32(NSDK_NVME_REG_CC, NSDK_NVME_CC_EN);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), NSDK_NVME_CC_EN);
}

static void doorbells_can_be_written_as_registers(void)
{
	host_start("size=1M");
	host_push(&host.admin, &(struct nsdk_nvme_cmd){ .opcode = 0x7f });
	host_write32(NSDK_NVME_REG_DOORBELLS, host.admin.tail);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_DOORBELLS), 1);
	CU_ASSERT(host_wait(&host.admin, &host_last));
	host_write32(host.bar.bytes, 1);
	NSDK_ASSERT_INT(host_read32(host.bar.bytes), UINT32_MAX);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(tells_its_capabilities),
	NSDK_UNIT_TEST(masks_are_kept),
	NSDK_UNIT_TEST(admin_queue_registers_hold),
	NSDK_UNIT_TEST(gets_ready_and_resets),
	NSDK_UNIT_TEST(gets_ready_late),
	NSDK_UNIT_TEST(gets_ready_by_polling_alone),
	NSDK_UNIT_TEST(never_gets_ready),
	NSDK_UNIT_TEST(refuses_what_it_cannot_do),
	NSDK_UNIT_TEST(arbitration_is_what_was_offered),
	NSDK_UNIT_TEST(fatal_when_the_queue_cannot_be_reached),
	NSDK_UNIT_TEST(shuts_down),
	NSDK_UNIT_TEST(larger_pages_work),
	NSDK_UNIT_TEST(subsystem_reset),
	NSDK_UNIT_TEST(enabled_fields_do_not_change),
	NSDK_UNIT_TEST(doorbells_can_be_written_as_registers),
};

NSDK_UNIT_MAIN("lib/emu/nvme_regs", tests, .after = host_stop)
