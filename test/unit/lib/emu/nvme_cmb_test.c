/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller memory buffer of the model: where it is, what for, and what is refused. */
#include "nvme_host.h"

#define CBA 0x7000000000ull
#define CMB_BYTES 0x40000u

static struct host_queue io;
static uint8_t *buffer; /* the buffer, by the BAR */
static uint8_t *pages;

static void after(void)
{
	host_stop();
}

static void enable(uint64_t cba, uint32_t bits)
{
	host_write32(NSDK_NVME_REG_CMBMSC + 4, (uint32_t)(cba >> 32));
	host_write32(NSDK_NVME_REG_CMBMSC, (uint32_t)cba | bits);
}

/* Enabled at CBA, with a queue pair in memory. */
static void start(const char *options)
{
	host_start(options);
	enable(CBA, 3);
	buffer = (uint8_t *)host.bar.base + (size_t)4096 * (host_read32(NSDK_NVME_REG_CMBLOC) >> 12);
	host_queue_create(&io, 1, 16);
	pages = host_pages(8 * HOST_PAGE);
	for (size_t i = 0; i < 8 * HOST_PAGE; i++)
		pages[i] = (uint8_t)(i * 31 + i / 256);
}

static int run(unsigned opcode, uint32_t blocks, uint64_t prp1, uint64_t prp2)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, blocks, prp1, prp2);

	return host_run(&io, &cmd);
}

static void shows_when_it_is_asked_to(void)
{
	host_start("size=1M,cmb=256k,cmb_for=sq+read+mixed");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_CMBS) != 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBLOC), 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSZ), 0);
	enable(0, NSDK_NVME_CMBMSC_CRE);
	NSDK_ASSERT_INT(NSDK_NVME_CMBLOC_BIR(host_read32(NSDK_NVME_REG_CMBLOC)), 0);
	/* Behind the doorbells, and inside the BAR. */
	CU_ASSERT(4096ull * NSDK_NVME_CMBLOC_OFST(host_read32(NSDK_NVME_REG_CMBLOC)) >= 0x2000);
	CU_ASSERT(4096ull * NSDK_NVME_CMBLOC_OFST(host_read32(NSDK_NVME_REG_CMBLOC)) + CMB_BYTES <=
		  host.bar.bytes);
	CU_ASSERT((host_read32(NSDK_NVME_REG_CMBLOC) & NSDK_NVME_CMBLOC_CDMMMS) != 0);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSZ),
			(CMB_BYTES / 4096) << 12 | NSDK_NVME_CMBSZ_SQS | NSDK_NVME_CMBSZ_RDS);
	enable(CBA, 3);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_CMBMSC), CBA | 3);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSTS), 0);
	enable(~(uint64_t)0xffff, 3);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSTS), NSDK_NVME_CMBSTS_CBAI);
}

static void there_is_none_without_the_option(void)
{
	host_start("size=1M");
	CU_ASSERT((host_read64(NSDK_NVME_REG_CAP) & NSDK_NVME_CAP_CMBS) == 0);
	enable(CBA, 3);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CMBSZ), 0);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_CMBMSC), 0);
}

static void data_goes_through_it(void)
{
	start("size=1M,cmb=256k");
	memcpy(buffer + 0x1000, pages, 2 * HOST_PAGE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, CBA + 0x1000, CBA + 0x2000), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 16, CBA + 0x8000, CBA + 0xa000), 0);
	CU_ASSERT(memcmp(buffer + 0x8000, pages, HOST_PAGE) == 0);
	CU_ASSERT(memcmp(buffer + 0xa000, pages + HOST_PAGE, HOST_PAGE) == 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, host_iova(pages + 4 * HOST_PAGE), 0), 0);
	CU_ASSERT(memcmp(pages + 4 * HOST_PAGE, pages, HOST_PAGE) == 0);
	/* Its last page, and the one behind it, of which nobody knows. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA + CMB_BYTES - HOST_PAGE, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA + CMB_BYTES, 0), HOST_GENERIC(DATA_TRANSFER_ERROR));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA - HOST_PAGE, 0), HOST_GENERIC(DATA_TRANSFER_ERROR));
}

static void addresses_count_only_while_they_are_enabled(void)
{
	start("size=1M,cmb=256k");
	enable(CBA, NSDK_NVME_CMBMSC_CRE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA, 0), HOST_GENERIC(DATA_TRANSFER_ERROR));
	enable(CBA + 0x100000, 3);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA, 0), HOST_GENERIC(DATA_TRANSFER_ERROR));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA + 0x100000, 0), 0);
}

static void each_use_has_a_bit(void)
{
	uint64_t *list;

	start("size=1M,cmb=256k,cmb_for=read");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8, CBA, 0), HOST_GENERIC(INVALID_CMB_USE));
	host_stop();
	start("size=1M,cmb=256k,cmb_for=write+mixed");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, CBA, 0), HOST_GENERIC(INVALID_CMB_USE));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 8, CBA, 0), 0);
	/* Some of it there, some not: where that is offered. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, CBA, host_iova(pages)), 0);
	host_stop();
	start("size=1M,cmb=256k");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, CBA, host_iova(pages)), HOST_GENERIC(INVALID_CMB_USE));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 16, host_iova(pages), CBA), HOST_GENERIC(INVALID_CMB_USE));
	list = (uint64_t *)(void *)buffer;
	list[0] = host_iova(pages + HOST_PAGE);
	list[1] = host_iova(pages + 2 * HOST_PAGE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 24, host_iova(pages), CBA), HOST_GENERIC(INVALID_CMB_USE));
	host_stop();
	start("size=1M,cmb=256k,cmb_for=lists");
	list = (uint64_t *)(void *)buffer;
	list[0] = host_iova(pages + HOST_PAGE);
	list[1] = host_iova(pages + 2 * HOST_PAGE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 24, host_iova(pages), CBA), 0);
}

/* A queue of the host's, with the submission queue in the buffer or the completion queue, or both. */
static int create(struct host_queue *queue, uint64_t sq_offset, uint64_t cq_offset)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_CREATE_CQ,
		.cdw10 = 15u << 16 | 2,
		.cdw11 = 1,
	};
	int status;

	host_queue_init(queue, 2, 16);
	cmd.prp1 = host_iova((const void *)queue->cq);
	if (cq_offset != UINT64_MAX) {
		memset(buffer + cq_offset, 0, 16 * sizeof(struct nsdk_nvme_cpl));
		queue->cq = (volatile struct nsdk_nvme_cpl *)(void *)(buffer + cq_offset);
		cmd.prp1 = CBA + cq_offset;
	}
	status = host_run(&host.admin, &cmd);
	if (status)
		return status;
	cmd.opcode = NSDK_NVME_ADMIN_CREATE_SQ;
	cmd.cdw11 = 2u << 16 | 1;
	cmd.prp1 = host_iova(queue->sq);
	if (sq_offset != UINT64_MAX) {
		queue->sq = (struct nsdk_nvme_cmd *)(void *)(buffer + sq_offset);
		cmd.prp1 = CBA + sq_offset;
	}
	return host_run(&host.admin, &cmd);
}

static void queues_may_be_there(void)
{
	struct host_queue queue;
	struct nsdk_nvme_cmd cmd;

	start("size=1M,cmb=256k,cmb_for=sq+cq");
	NSDK_ASSERT_INT(create(&queue, 0x3000, 0x5000), 0);
	cmd = host_rw(NSDK_NVME_NVM_WRITE, 1, 0, 8, host_iova(pages), 0);
	for (unsigned i = 0; i < 40; i++)
		NSDK_ASSERT_INT(host_run(&queue, &cmd), 0);
	host_stop();
	start("size=1M,cmb=256k,cmb_for=data");
	NSDK_ASSERT_INT(create(&queue, UINT64_MAX, 0), HOST_GENERIC(INVALID_CMB_USE));
	NSDK_ASSERT_INT(create(&queue, 0, UINT64_MAX), HOST_GENERIC(INVALID_CMB_USE));
	host_stop();
	/* Not with its end behind the buffer's. */
	start("size=1M,cmb=4k,cmb_for=sq+cq");
	NSDK_ASSERT_INT(create(&queue, 0, UINT64_MAX), 0);
	host_stop();
	start("size=1M,cmb=4k,cmb_for=sq+cq,mqes=128");
	cmd = (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_SQ,
		.cdw10 = 127u << 16 | 2,
		.cdw11 = 1u << 16 | 1,
		.prp1 = CBA,
	};
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_CMB_USE));
}

static void resets_leave_nothing_in_it(void)
{
	start("size=1M,cmb=256k");
	memset(buffer, 0x11, CMB_BYTES);
	host_write32(NSDK_NVME_REG_CC, 0);
	CU_ASSERT(buffer[0] != 0x11 && buffer[CMB_BYTES - 1] != 0x11);
	/* The controller's own leaves the register; a function's does not. */
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_CMBMSC), CBA | 3);
	memset(buffer, 0x11, CMB_BYTES);
	host.model->ops->reset(host.model);
	CU_ASSERT(buffer[0] != 0x11 && buffer[CMB_BYTES - 1] != 0x11);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_CMBMSC), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(shows_when_it_is_asked_to),
	NSDK_UNIT_TEST(there_is_none_without_the_option),
	NSDK_UNIT_TEST(data_goes_through_it),
	NSDK_UNIT_TEST(addresses_count_only_while_they_are_enabled),
	NSDK_UNIT_TEST(each_use_has_a_bit),
	NSDK_UNIT_TEST(queues_may_be_there),
	NSDK_UNIT_TEST(resets_leave_nothing_in_it),
};

NSDK_UNIT_MAIN("lib/emu/nvme_cmb", tests, .after = after)
