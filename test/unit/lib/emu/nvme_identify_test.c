/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

static void *page;

static void start(const char *options)
{
	host_start(options);
	page = host_pages(2 * HOST_PAGE);
	/* What is reserved must be written as zero. */
	memset(page, 0xff, HOST_PAGE);
}

static bool is_zero(const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < count; i++)
		if (at[i])
			return false;
	return true;
}

static void controller(void)
{
	const struct nsdk_nvme_id_ctrl *id;
	uint64_t capacity;

	start("size=8M,namespaces=3,mdts=5");
	id = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(id->mdts, 5);
	NSDK_ASSERT_INT(id->ver, 0x20000);
	NSDK_ASSERT_INT(id->cntrltype, 1);
	NSDK_ASSERT_INT(id->nn, 3);
	NSDK_ASSERT_INT(id->sqes, 0x66);
	NSDK_ASSERT_INT(id->cqes, 0x44);
	NSDK_ASSERT_INT(id->oacs, 0x21f);
	NSDK_ASSERT_INT(id->oaes, 0x100);
	NSDK_ASSERT_INT(id->frmw, 0x05);
	NSDK_ASSERT_INT(id->fna, 0x03);
	NSDK_ASSERT_INT(id->sanicap, 0x02);
	NSDK_ASSERT_INT(id->fuses, 1);
	NSDK_ASSERT_INT(id->sgls, 1);
	NSDK_ASSERT_INT(id->acwu, 127);
	NSDK_ASSERT_INT(id->ocfs, 3);
	NSDK_ASSERT_INT(id->kas, 0);
	NSDK_ASSERT_INT(id->vwc & 1, 1);
	NSDK_ASSERT_INT(id->oncs & 0x1af, 0x1af);
	NSDK_ASSERT_INT(memcmp(id->mn, "NSDK emulated NVMe ", 19), 0);
	NSDK_ASSERT_INT(memcmp(id->subnqn, "nqn.2014-08.org.nvmexpress:uuid:", 32), 0);
	memcpy(&capacity, id->tnvmcap, sizeof(capacity));
	NSDK_ASSERT_INT(capacity, 24 << 20);
	/* ASCII, padded with blanks. */
	for (unsigned i = 0; i < sizeof(id->sn); i++)
		CU_ASSERT(id->sn[i] >= 0x20 && id->sn[i] < 0x7f);
	CU_ASSERT(is_zero(id->reserved1024, sizeof(id->reserved1024)));
	CU_ASSERT(is_zero(id->vs, sizeof(id->vs)));
}

static void says_without_write_cache(void)
{
	start("size=1M,vwc=0");
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(((struct nsdk_nvme_id_ctrl *)page)->vwc & 1, 0);
}

static void namespace(void)
{
	const struct nsdk_nvme_id_ns *id;
	static const unsigned cns[] = { NSDK_NVME_CNS_NS, NSDK_NVME_CNS_ALLOCATED_NS };

	start("size=8M,lba=4096,namespaces=2");
	id = page;
	for (unsigned i = 0; i < 2; i++) {
		NSDK_ASSERT_INT(host_identify(cns[i], 2, page), 0);
		NSDK_ASSERT_INT(id->nsze, 2048);
		NSDK_ASSERT_INT(id->ncap, 2048);
		NSDK_ASSERT_INT(id->nlbaf, 1);
		NSDK_ASSERT_INT(id->flbas, 1);
		NSDK_ASSERT_INT(id->lbaf[0].lbads, 9);
		NSDK_ASSERT_INT(id->lbaf[1].lbads, 12);
		NSDK_ASSERT_INT(id->lbaf[0].ms, 0);
		NSDK_ASSERT_INT(id->dlfeat, 0x09);
		NSDK_ASSERT_INT(host_identify(cns[i], 0, page), HOST_GENERIC(INVALID_NAMESPACE));
		NSDK_ASSERT_INT(host_identify(cns[i], 3, page), HOST_GENERIC(INVALID_NAMESPACE));
	}
	/* What all have in common, for those who are about to create one. */
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS, NSDK_NVME_NSID_ALL, page), 0);
	NSDK_ASSERT_INT(id->nsze, 0);
	NSDK_ASSERT_INT(id->nlbaf, 1);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_ALLOCATED_NS, NSDK_NVME_NSID_ALL, page),
			HOST_GENERIC(INVALID_NAMESPACE));
}

static void namespace_lists(void)
{
	static const unsigned cns[] = { NSDK_NVME_CNS_ACTIVE_NS_LIST, 0x07,
					NSDK_NVME_CNS_ALLOCATED_NS_LIST, 0x1a };
	const uint32_t *list;

	start("size=1M,namespaces=5");
	list = page;
	for (unsigned i = 0; i < 4; i++) {
		NSDK_ASSERT_INT(host_identify(cns[i], 0, page), 0);
		for (unsigned at = 0; at < 1024; at++)
			NSDK_ASSERT_INT(list[at], at < 5 ? at + 1 : 0);
		NSDK_ASSERT_INT(host_identify(cns[i], 3, page), 0);
		NSDK_ASSERT_INT(list[0], 4);
		NSDK_ASSERT_INT(list[1], 5);
		NSDK_ASSERT_INT(list[2], 0);
		NSDK_ASSERT_INT(host_identify(cns[i], 5, page), 0);
		CU_ASSERT(is_zero(page, HOST_PAGE));
		NSDK_ASSERT_INT(host_identify(cns[i], 0xfffffffe, page),
				HOST_GENERIC(INVALID_NAMESPACE));
		NSDK_ASSERT_INT(host_identify(cns[i], 0xffffffff, page),
				HOST_GENERIC(INVALID_NAMESPACE));
	}
}

static void full_namespace_list(void)
{
	const uint32_t *list;

	start("size=4K,namespaces=1024");
	list = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_ACTIVE_NS_LIST, 0, page), 0);
	NSDK_ASSERT_INT(list[0], 1);
	NSDK_ASSERT_INT(list[1023], 1024);
}

static void descriptors(void)
{
	const uint8_t *desc;
	uint8_t first[16];

	start("size=1M,namespaces=2");
	desc = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS_DESC_LIST, 1, page), 0);
	NSDK_ASSERT_INT(desc[0], 3); /* UUID */
	NSDK_ASSERT_INT(desc[1], 16);
	NSDK_ASSERT_INT(desc[4 + 8] >> 6, 2); /* its variant */
	NSDK_ASSERT_INT(desc[20], 4); /* command set */
	NSDK_ASSERT_INT(desc[21], 1);
	NSDK_ASSERT_INT(desc[24], 0);
	CU_ASSERT(is_zero(desc + 25, HOST_PAGE - 25));
	memcpy(first, desc + 4, 16);
	/* Another namespace is another one, the same one the same. */
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS_DESC_LIST, 2, page), 0);
	CU_ASSERT(memcmp(first, desc + 4, 16) != 0);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS_DESC_LIST, 1, page), 0);
	NSDK_ASSERT_INT(memcmp(first, desc + 4, 16), 0);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS_DESC_LIST, 3, page),
			HOST_GENERIC(INVALID_NAMESPACE));
}

static int identify_set(unsigned cns, uint32_t nsid, unsigned csi)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp1 = host_iova(page),
		.cdw10 = cns,
		.cdw11 = csi << 24,
	};

	return host_run(&host.admin, &cmd);
}

static void of_command_sets(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(identify_set(NSDK_NVME_CNS_CSI_CTRLR, 0, 0), 0);
	/* Verify has a limit, and nothing else. */
	NSDK_ASSERT_INT(*(const uint8_t *)page, 4);
	CU_ASSERT(is_zero((const uint8_t *)page + 1, HOST_PAGE - 1));
	NSDK_ASSERT_INT(identify_set(NSDK_NVME_CNS_CSI_NS, 1, 0), 0);
	CU_ASSERT(is_zero(page, HOST_PAGE));
	NSDK_ASSERT_INT(identify_set(NSDK_NVME_CNS_CSI_CTRLR, 0, 2), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(identify_set(NSDK_NVME_CNS_CSI_NS, 1, 2), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(identify_set(NSDK_NVME_CNS_CSI_NS, 2, 0), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(identify_set(0x07, 0, 2), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(identify_set(0x08, 1, 0), 0);
	NSDK_ASSERT_INT(((uint8_t *)page)[14], 1);
	NSDK_ASSERT_INT(identify_set(0x1c, 0, 0), 0);
	NSDK_ASSERT_INT(((uint64_t *)page)[0], 1);
	NSDK_ASSERT_INT(((uint64_t *)page)[1], 0);
}

static void the_rest_is_refused(void)
{
	start("size=1M");
	for (unsigned cns = 0; cns < 256; cns++) {
		if (cns <= 0x08 && cns != 0x04)
			continue;
		if ((cns >= 0x10 && cns <= 0x13) || cns == 0x1a || cns == 0x1c || cns == 0x09 ||
		    cns == 0x0a || cns == 0x16 || cns == 0x17)
			continue;
		NSDK_ASSERT_INT(host_identify(cns, 1, page), HOST_GENERIC(INVALID_FIELD));
	}
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, (uint8_t *)page + 2),
			HOST_GENERIC(INVALID_PRP_OFFSET));
}

static int of_format(unsigned cns, unsigned csi, unsigned format)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_IDENTIFY,
		.prp1 = host_iova(page),
		.cdw10 = cns,
		.cdw11 = csi << 24 | format,
	};

	memset(page, 0xff, HOST_PAGE);
	return host_run(&host.admin, &cmd);
}

/* CNS 09h and 0Ah: of any namespace that has this format. */
static void formats(void)
{
	const struct nsdk_nvme_id_ns_nvm *nvm;
	const struct nsdk_nvme_id_ns *id;

	start("size=4M,ms=16,pif=1");
	id = page;
	nvm = page;
	NSDK_ASSERT_INT(of_format(NSDK_NVME_CNS_FORMAT_NS, 0, 3), 0);
	NSDK_ASSERT_INT(id->nlbaf, 3);
	NSDK_ASSERT_INT(id->mc, NSDK_NVME_MC_EXTENDED | NSDK_NVME_MC_SEPARATE);
	NSDK_ASSERT_INT(id->dpc, 0x1f);
	NSDK_ASSERT_INT(id->lbaf[3].ms, 16);
	NSDK_ASSERT_INT(id->nsze | id->ncap | id->flbas | id->dps, 0);
	NSDK_ASSERT_INT(of_format(NSDK_NVME_CNS_FORMAT_NS, 0, 1), 0);
	NSDK_ASSERT_INT(id->mc | id->dpc, 0);
	NSDK_ASSERT_INT(id->lbaf[1].lbads, 12);
	NSDK_ASSERT_INT(of_format(NSDK_NVME_CNS_CSI_FORMAT_NS, 0, 3), 0);
	NSDK_ASSERT_INT(NSDK_NVME_ELBAF_PIF(nvm->elbaf[3]), 1);
	NSDK_ASSERT_INT(nvm->elbaf[0], 0);
	for (unsigned cns = NSDK_NVME_CNS_FORMAT_NS; cns <= NSDK_NVME_CNS_CSI_FORMAT_NS; cns++)
		NSDK_ASSERT_INT(of_format(cns, 0, 4), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(of_format(NSDK_NVME_CNS_CSI_FORMAT_NS, 2, 0), HOST_GENERIC(INVALID_FIELD));
}

static void granularities(void)
{
	const struct nsdk_nvme_granularity_list *list;

	start("size=4M");
	list = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_GRANULARITY_LIST, 0, page), 0);
	NSDK_ASSERT_INT(list->attributes, 1);
	NSDK_ASSERT_INT(list->last, 1);
	NSDK_ASSERT_INT(list->entry[0].size, 512);
	NSDK_ASSERT_INT(list->entry[1].capacity, 4096);
	CU_ASSERT(is_zero(&list->entry[2], sizeof(list->entry[2])));
}

/* Zones, which a namespace has whole; and its own Identify for a format. */
static void of_zones(void)
{
	const struct nsdk_nvme_granularity_list *list;

	start("size=4M,zoned=1,zone=2M");
	list = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_GRANULARITY_LIST, 0, page), 0);
	NSDK_ASSERT_INT(list->entry[0].size, 2 << 20);
	NSDK_ASSERT_INT(list->entry[0].capacity, 2 << 20);
	NSDK_ASSERT_INT(of_format(NSDK_NVME_CNS_CSI_FORMAT_NS, 2, 0), 0);
	CU_ASSERT(!is_zero(page, HOST_PAGE));
}

static void uuids(void)
{
	const struct nsdk_nvme_uuid_list *list;

	start("size=4M");
	list = page;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_UUID_LIST, 0, page), 0);
	for (unsigned i = 0; i < 2; i++) {
		NSDK_ASSERT_INT(list->entry[i].association, 1 - i);
		NSDK_ASSERT_INT(list->entry[i].uuid[6] >> 4, 8);
		NSDK_ASSERT_INT(list->entry[i].uuid[8] >> 6, 2);
	}
	CU_ASSERT(is_zero(&list->entry[2], 125 * sizeof(list->entry[0])));
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, page), 0);
	NSDK_ASSERT_INT(((const struct nsdk_nvme_id_ctrl *)page)->ctratt, 0x280);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(controller),
	NSDK_UNIT_TEST(says_without_write_cache),
	NSDK_UNIT_TEST(namespace),
	NSDK_UNIT_TEST(namespace_lists),
	NSDK_UNIT_TEST(full_namespace_list),
	NSDK_UNIT_TEST(descriptors),
	NSDK_UNIT_TEST(of_command_sets),
	NSDK_UNIT_TEST(formats),
	NSDK_UNIT_TEST(granularities),
	NSDK_UNIT_TEST(of_zones),
	NSDK_UNIT_TEST(uuids),
	NSDK_UNIT_TEST(the_rest_is_refused),
};

NSDK_UNIT_MAIN("lib/emu/nvme_identify", tests, .after = host_stop)
