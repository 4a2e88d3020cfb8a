/* SPDX-License-Identifier: BSD-3-Clause */
/* Metadata of blocks: where it is, what Identify and Format say of it, and what takes it away. */
#include "nvme_host.h"

static struct host_queue io;
static uint8_t *data, *back, *apart, *page;

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	data = host_pages(4 * HOST_PAGE);
	back = host_pages(4 * HOST_PAGE);
	apart = host_pages(HOST_PAGE);
	page = host_pages(HOST_PAGE);
	for (unsigned i = 0; i < 4 * HOST_PAGE; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned i = 0; i < HOST_PAGE; i++)
		apart[i] = (uint8_t)(i * 5 + 1);
}

static int rw(unsigned opcode, uint64_t lba, uint32_t blocks, uint32_t flags, uint8_t *buf, uint8_t *metadata)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, lba, blocks, host_iova(buf),
					   host_iova(buf + HOST_PAGE));

	cmd.cdw12 |= flags;
	cmd.cdw14 = (uint32_t)lba;
	cmd.mptr = metadata ? host_iova(metadata) : 0;
	return host_run(&io, &cmd);
}

static bool all_are(const uint8_t *at, size_t bytes, uint8_t value)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != value)
			return false;
	return true;
}

static void is_kept_apart(void)
{
	start("size=1M,ms=24");
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 100, 3, 0, data, apart), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 99, 5, 0, back, page), 0);
	CU_ASSERT(memcmp(back + 512, data, 3 * 512) == 0);
	CU_ASSERT(memcmp(page + 24, apart, 3 * 24) == 0);
	/* What was never written is all ones, and nothing was moved beyond. */
	CU_ASSERT(all_are(page, 24, 0xff) && all_are(page + 4 * 24, 24, 0xff));
	CU_ASSERT(all_are(page + 5 * 24, 24, 0));
	/* It is dword aligned, where PRPs say where the data is. */
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 99, 1, 0, back, page + 2), HOST_GENERIC(INVALID_FIELD));
}

static void travels_with_the_data(void)
{
	start("size=1M,ms=8,mset=1,mdts=1");
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 7, 9, 0, data, NULL), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 8, 1, 0, back, NULL), 0);
	CU_ASSERT(memcmp(back, data + 520, 520) == 0);
	CU_ASSERT(all_are(back + 520, 100, 0));
	/* The largest transfer is of both. */
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 7, 15, 0, back, NULL), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 7, 16, 0, back, NULL), HOST_GENERIC(INVALID_FIELD));
}

static void is_compared(void)
{
	start("size=1M,ms=16");
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 0, 2, 0, data, apart), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_COMPARE, 0, 2, 0, data, apart), 0);
	apart[31] ^= 1;
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_COMPARE, 0, 2, 0, data, apart), HOST_MEDIA(COMPARE_FAILURE));
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_COMPARE, 0, 1, 0, data, apart), 0);
	data[0] ^= 1;
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_COMPARE, 0, 1, 0, data, apart), HOST_MEDIA(COMPARE_FAILURE));
}

static void goes_with_its_block(void)
{
	struct nsdk_nvme_dsm_range range = { .blocks = 1, .slba = 1 };
	struct nsdk_nvme_cmd dsm = {
		.opcode = NSDK_NVME_NVM_DATASET_MANAGEMENT,
		.nsid = 1,
		.cdw11 = NSDK_NVME_DSM_DEALLOCATE,
	};

	start("size=1M,ms=8,namespaces=2");
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 0, 4, 0, data, apart), 0);
	memcpy(page, &range, sizeof(range));
	dsm.prp1 = host_iova(page);
	NSDK_ASSERT_INT(host_run(&io, &dsm), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE_ZEROES, 3, 1, 0, data, NULL), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 0, 4, 0, back, page), 0);
	CU_ASSERT(memcmp(page, apart, 8) == 0 && memcmp(page + 16, apart + 16, 8) == 0);
	CU_ASSERT(all_are(page + 8, 8, 0xff) && all_are(page + 24, 8, 0xff));
	/* Blocks that cannot be read have none to tell either, until they are written. */
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE_UNCORRECTABLE, 2, 1, 0, data, NULL), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 0, 4, 0, back, page), HOST_MEDIA(UNRECOVERED_READ));
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 2, 1, 0, data, apart), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 0, 4, 0, back, page), 0);
}

static void is_copied(void)
{
	struct nsdk_nvme_copy_range *range;
	struct nsdk_nvme_cmd copy = { .opcode = NSDK_NVME_NVM_COPY, .nsid = 1, .cdw10 = 50 };

	start("size=1M,ms=8");
	range = (void *)host_pages(HOST_PAGE);
	range->slba = 1;
	range->blocks = 1;
	copy.prp1 = host_iova(range);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 0, 4, 0, data, apart), 0);
	NSDK_ASSERT_INT(host_run(&io, &copy), 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 50, 3, 0, back, page), 0);
	CU_ASSERT(memcmp(back, data + 512, 1024) == 0);
	CU_ASSERT(memcmp(page, apart + 8, 16) == 0 && all_are(page + 16, 8, 0xff));
}

/* ---- Formats ---- */

static const struct nsdk_nvme_id_ns *id_ns(void)
{
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS, 1, page), 0);
	return (const void *)page;
}

static void is_described(void)
{
	const struct nsdk_nvme_id_ns *id;
	const struct nsdk_nvme_id_ns_nvm *more;
	const struct nsdk_nvme_id_ctrl *ctrlr;

	start("size=1M,lba=4096,ms=16,mset=1,pi=2,pil=1,pif=1");
	id = id_ns();
	NSDK_ASSERT_INT(id->nlbaf, 3);
	NSDK_ASSERT_INT(id->flbas, 3 | NSDK_NVME_FLBAS_EXTENDED);
	NSDK_ASSERT_INT(id->lbaf[1].ms, 0);
	NSDK_ASSERT_INT(id->lbaf[3].ms, 16);
	NSDK_ASSERT_INT(id->lbaf[3].lbads, 12);
	NSDK_ASSERT_INT(id->mc, 3);
	NSDK_ASSERT_INT(id->dpc, 0x1f);
	NSDK_ASSERT_INT(id->dps, 2 | NSDK_NVME_DPS_FIRST);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CSI_NS, 1, page), 0);
	more = (const void *)page;
	NSDK_ASSERT_INT(more->elbaf[0], 0);
	NSDK_ASSERT_INT(NSDK_NVME_ELBAF_PIF(more->elbaf[3]), 1);
	NSDK_ASSERT_INT(NSDK_NVME_ELBAF_STS(more->elbaf[3]), 16);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	ctrlr = (const void *)page;
	CU_ASSERT(ctrlr->ctratt & NSDK_NVME_CTRATT_ELBAS);
	NSDK_ASSERT_INT(ctrlr->fuses, 0);
}

static void none_says_nothing_of_it(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(id_ns()->nlbaf, 1);
	NSDK_ASSERT_INT(id_ns()->mc | id_ns()->dpc | id_ns()->dps, 0);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(((const struct nsdk_nvme_id_ctrl *)page)->ctratt & NSDK_NVME_CTRATT_ELBAS, 0);
}

static int format(unsigned lbaf, unsigned mset, unsigned pi, unsigned pil)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_FORMAT,
		.nsid = 1,
		.cdw10 = lbaf | mset << 4 | pi << 5 | pil << 8,
	};

	return host_run(&host.admin, &cmd);
}

static void format_changes_it(void)
{
	start("size=1M,ms=8");
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 0, 1, 0, data, apart), 0);
	NSDK_ASSERT_INT(format(3, 1, 1, 0), 0);
	NSDK_ASSERT_INT(id_ns()->flbas, 3 | NSDK_NVME_FLBAS_EXTENDED);
	NSDK_ASSERT_INT(id_ns()->dps, 1);
	NSDK_ASSERT_INT(id_ns()->nsze, 256);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ, 0, 1, 0, back, NULL), 0);
	CU_ASSERT(all_are(back, 4096, 0) && all_are(back + 4096, 8, 0xff));
	NSDK_ASSERT_INT(format(0, 0, 0, 0), 0);
	NSDK_ASSERT_INT(id_ns()->flbas, 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE, 0, 1, 0, data, NULL), 0);
	/* What cannot be: of blocks without metadata, of types that there are not, of formats likewise. */
	NSDK_ASSERT_INT(format(0, 1, 0, 0), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(1, 0, 1, 0), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(2, 0, 4, 0), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(format(4, 0, 0, 0), HOST_SPECIFIC(INVALID_FORMAT));
	host_stop();
	start("size=1M,ms=4");
	NSDK_ASSERT_INT(format(2, 0, 1, 0), HOST_SPECIFIC(INVALID_FORMAT));
	NSDK_ASSERT_INT(id_ns()->dpc, 0);
	/* Where blocks are of one size. */
	host_stop();
	start("size=1536,ms=8");
	NSDK_ASSERT_INT(id_ns()->nlbaf, 1);
	NSDK_ASSERT_INT(id_ns()->flbas, 1);
	NSDK_ASSERT_INT(format(1, 1, 0, 0), 0);
	NSDK_ASSERT_INT(id_ns()->flbas, 1 | NSDK_NVME_FLBAS_EXTENDED);
	NSDK_ASSERT_INT(format(0, 0, 0, 0), 0);
	NSDK_ASSERT_INT(id_ns()->flbas, 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(is_kept_apart),
	NSDK_UNIT_TEST(travels_with_the_data),
	NSDK_UNIT_TEST(is_compared),
	NSDK_UNIT_TEST(goes_with_its_block),
	NSDK_UNIT_TEST(is_copied),
	NSDK_UNIT_TEST(is_described),
	NSDK_UNIT_TEST(none_says_nothing_of_it),
	NSDK_UNIT_TEST(format_changes_it),
};

NSDK_UNIT_MAIN("lib/emu/nvme_md", tests, .after = host_stop)
