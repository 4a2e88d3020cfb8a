/* SPDX-License-Identifier: BSD-3-Clause */
/* Zones as the model has them: commands, states, limits, reports, resets, options. */
#include "nvme_host.h"

#include <nsdk/nvme_zns_spec.h>

#define SIZE 128u /* blocks of a zone */
#define CAP 120u
#define OPTIONS "zoned=1,size=1M,zone=64K,zone_cap=60K,max_open=2,max_active=3,zones_ro=1,zones_offline=1"
#define CC_SETS (HOST_CC | NSDK_NVME_CC_CSS_SETS)

static struct host_queue io;
static uint8_t *data;

/* Enabled, or enabled again, with all command sets. */
static void enable(void)
{
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, (HOST_ENTRIES - 1) << 16 | (HOST_ENTRIES - 1));
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, host_iova((const void *)host.admin.cq));
	host_write32(NSDK_NVME_REG_CC, CC_SETS);
	while (!(host_read32(NSDK_NVME_REG_CSTS) & NSDK_NVME_CSTS_RDY))
		host_poll(1);
	host_queue_create(&io, 1, 32);
}

static void start(const char *options)
{
	host_create(options);
	enable();
	data = host_pages(4 * HOST_PAGE);
}

static int zone_io(unsigned opcode, uint64_t lba, uint32_t blocks)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, lba, blocks, host_iova(data),
					   host_iova(data + HOST_PAGE));

	return host_run(&io, &cmd);
}

static int write_at(uint64_t lba, uint32_t blocks)
{
	return zone_io(NSDK_NVME_NVM_WRITE, lba, blocks);
}

static int append(uint64_t zslba, uint32_t blocks)
{
	return zone_io(NSDK_NVME_ZNS_APPEND, zslba, blocks);
}

static int send(uint64_t slba, uint32_t cdw13)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ZNS_MGMT_SEND, .nsid = 1,
				    .cdw10 = (uint32_t)slba,
				     .cdw13 = cdw13, .prp1 = host_iova(data) };

	return host_run(&io, &cmd);
}

static int receive(uint64_t slba, uint32_t dwords, uint32_t cdw13)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ZNS_MGMT_RECEIVE, .nsid = 1,
				     .cdw10 = (uint32_t)slba, .cdw12 = dwords - 1, .cdw13 = cdw13,
				     .prp1 = host_iova(data), .prp2 = host_iova(data + HOST_PAGE) };

	memset(data, 0xee, 4 * HOST_PAGE);
	return host_run(&io, &cmd);
}

static const struct nsdk_nvme_zone_desc *desc(unsigned index)
{
	return (const struct nsdk_nvme_zone_desc *)(const void *)(data + 64) + index;
}

static unsigned state_of(unsigned zone)
{
	NSDK_ASSERT_INT(receive(zone * SIZE, 32, NSDK_NVME_ZONE_REPORT_PARTIAL), 0);
	CU_ASSERT_EQUAL(desc(0)->zslba, zone * SIZE);
	return NSDK_NVME_ZONE_STATE(desc(0)->state);
}

static void identifies(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_IDENTIFY, .nsid = 1,
				     .cdw11 = NSDK_NVME_CSI_ZNS << 24 };
	const struct nsdk_nvme_id_ns_zns *id;
	const uint32_t *list;

	start(OPTIONS ",zasl=2");
	id = (const void *)data;
	list = (const void *)data;
	cmd.prp1 = host_iova(data);
	cmd.cdw10 = NSDK_NVME_CNS_CSI_NS;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	CU_ASSERT_EQUAL(id->lbafe[0].zsze, SIZE);
	CU_ASSERT_EQUAL(id->lbafe[1].zsze, SIZE / 8);
	NSDK_ASSERT_INT(id->lbafe[0].zdes, 1);
	NSDK_ASSERT_INT(id->mor, 1);
	NSDK_ASSERT_INT(id->mar, 2);
	NSDK_ASSERT_INT(id->ozcs, 0);
	cmd.cdw10 = NSDK_NVME_CNS_CSI_CTRLR;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	NSDK_ASSERT_INT(data[0], 2);
	cmd.nsid = 0;
	cmd.cdw10 = NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	CU_ASSERT(list[0] == 1 && list[1] == 0);
	cmd.cdw11 = 0;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	CU_ASSERT_EQUAL(list[0], 0);
	cmd.cdw11 = NSDK_NVME_CSI_KV << 24;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_IO_COMMAND_SETS, 0, data), 0);
	NSDK_ASSERT_INT(data[0], 1 << NSDK_NVME_CSI_NVM | 1 << NSDK_NVME_CSI_ZNS);
	host_stop();
	/* Without zones there is nothing of it. */
	start("size=1M");
	cmd.cdw11 = NSDK_NVME_CSI_ZNS << 24;
	cmd.prp1 = host_iova(data);
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(append(0, 1), HOST_GENERIC(INVALID_OPCODE));
	host_stop();
	/* Nor for a host that has not asked for all command sets. */
	host_start(OPTIONS);
	host_queue_create(&io, 1, 32);
	data = host_pages(4 * HOST_PAGE);
	NSDK_ASSERT_INT(append(0, 1), HOST_GENERIC(INVALID_OPCODE));
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_RESET), HOST_GENERIC(INVALID_OPCODE));
	host_stop();
}

static void writes_at_the_pointer(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(write_at(1, 1), HOST_SPECIFIC(ZONE_INVALID_WRITE));
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_EMPTY);
	NSDK_ASSERT_INT(write_at(0, 3), 0);
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_IMPLICITLY_OPEN);
	CU_ASSERT_EQUAL(desc(0)->wp, 3);
	CU_ASSERT_EQUAL(desc(0)->zcap, CAP);
	NSDK_ASSERT_INT(write_at(0, 1), HOST_SPECIFIC(ZONE_INVALID_WRITE));
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_WRITE_ZEROES, 3, 100), 0);
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_WRITE_UNCORRECTABLE, 103, 1), 0);
	NSDK_ASSERT_INT(write_at(104, 15), 0);
	NSDK_ASSERT_INT(write_at(119, 2), HOST_SPECIFIC(ZONE_BOUNDARY_ERROR));
	NSDK_ASSERT_INT(write_at(119, 1), 0);
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_FULL);
	CU_ASSERT_EQUAL(desc(0)->wp, UINT64_MAX);
	NSDK_ASSERT_INT(write_at(120, 1), HOST_SPECIFIC(ZONE_IS_FULL));
	/* A transfer that fails moves nothing. */
	struct nsdk_nvme_cmd bad = host_rw(NSDK_NVME_NVM_WRITE, 1, SIZE, 1, 0, 0);

	NSDK_ASSERT_INT(host_run(&io, &bad), HOST_GENERIC(DATA_TRANSFER_ERROR));
	NSDK_ASSERT_INT(state_of(1), NSDK_NVME_ZONE_IMPLICITLY_OPEN);
	CU_ASSERT_EQUAL(desc(0)->wp, SIZE);
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_READ, 127, 2), HOST_SPECIFIC(ZONE_BOUNDARY_ERROR));
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_READ, 15 * SIZE, 1), HOST_SPECIFIC(ZONE_IS_OFFLINE));
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_READ, 14 * SIZE, 1), 0);
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_DATASET_MANAGEMENT, 0, 1),
			HOST_GENERIC(INVALID_OPCODE));
	host_stop();
}

static void appends_behind_the_pointer(void)
{
	struct nsdk_nvme_cmd cmd;

	start(OPTIONS ",zasl=1");
	NSDK_ASSERT_INT(append(2 * SIZE, 4), 0);
	CU_ASSERT(host_last.dw0 == 2 * SIZE && host_last.dw1 == 0);
	NSDK_ASSERT_INT(append(2 * SIZE, 16), 0);
	NSDK_ASSERT_INT(host_last.dw0, 2 * SIZE + 4);
	NSDK_ASSERT_INT(append(2 * SIZE, 17), HOST_GENERIC(INVALID_FIELD)); /* ZASL */
	NSDK_ASSERT_INT(append(2 * SIZE + 1, 1), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(append(14 * SIZE, 1), HOST_SPECIFIC(ZONE_IS_READ_ONLY));
	NSDK_ASSERT_INT(append(16 * SIZE, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
	cmd = host_rw(NSDK_NVME_ZNS_APPEND, 1, 2 * SIZE, 1, host_iova(data), 0);
	cmd.cdw12 |= NSDK_NVME_ZONE_APPEND_PIREMAP;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INVALID_FIELD));
	for (unsigned i = 20; i < 120; i += 10)
		NSDK_ASSERT_INT(append(2 * SIZE, 10), 0);
	NSDK_ASSERT_INT(host_last.dw0, 2 * SIZE + 110);
	NSDK_ASSERT_INT(append(2 * SIZE, 1), HOST_SPECIFIC(ZONE_IS_FULL));
	host_stop();
}

static void has_limits(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(write_at(0, 1), 0);
	NSDK_ASSERT_INT(write_at(SIZE, 1), 0);
	/* That which was opened first makes room. */
	NSDK_ASSERT_INT(write_at(2 * SIZE, 1), 0);
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_CLOSED);
	NSDK_ASSERT_INT(state_of(1), NSDK_NVME_ZONE_IMPLICITLY_OPEN);
	NSDK_ASSERT_INT(write_at(3 * SIZE, 1), HOST_SPECIFIC(TOO_MANY_ACTIVE_ZONES));
	NSDK_ASSERT_INT(send(3 * SIZE, NSDK_NVME_ZONE_SET_DESC_EXT),
			HOST_SPECIFIC(TOO_MANY_ACTIVE_ZONES));
	NSDK_ASSERT_INT(send(SIZE, NSDK_NVME_ZONE_OPEN), 0);
	NSDK_ASSERT_INT(send(2 * SIZE, NSDK_NVME_ZONE_OPEN), 0);
	NSDK_ASSERT_INT(state_of(2), NSDK_NVME_ZONE_EXPLICITLY_OPEN);
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_OPEN), HOST_SPECIFIC(TOO_MANY_OPEN_ZONES));
	NSDK_ASSERT_INT(write_at(1, 1), HOST_SPECIFIC(TOO_MANY_OPEN_ZONES));
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_OPEN | NSDK_NVME_ZONE_SELECT_ALL),
			HOST_SPECIFIC(TOO_MANY_OPEN_ZONES));
	NSDK_ASSERT_INT(send(SIZE, NSDK_NVME_ZONE_FINISH), 0);
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_OPEN | NSDK_NVME_ZONE_SELECT_ALL), 0);
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_EXPLICITLY_OPEN);
	NSDK_ASSERT_INT(state_of(3), NSDK_NVME_ZONE_EMPTY);
	host_stop();
}

/* Every action in every state: what becomes of the zone; 0: it is refused. */
static void changes_states(void)
{
	enum { E = NSDK_NVME_ZONE_EMPTY, X = NSDK_NVME_ZONE_EXPLICITLY_OPEN,
	      C = NSDK_NVME_ZONE_CLOSED,
	       R = NSDK_NVME_ZONE_READ_ONLY, F = NSDK_NVME_ZONE_FULL, O = NSDK_NVME_ZONE_IS_OFFLINE };
	static const uint8_t actions[] = { NSDK_NVME_ZONE_CLOSE, NSDK_NVME_ZONE_FINISH,
					  NSDK_NVME_ZONE_OPEN,
					   NSDK_NVME_ZONE_RESET, NSDK_NVME_ZONE_OFFLINE,
					   NSDK_NVME_ZONE_SET_DESC_EXT };
	static const struct {
		unsigned zone;
		uint8_t first; /* the action that brings zone 0 there, 0: as it is */
		uint8_t then[6];
	} rows[] = {
		{ 0, 0, { 0, F, X, E, 0, C } },                     /* empty */
		{ 0, NSDK_NVME_ZONE_OPEN, { C, F, X, E, 0, 0 } },   /* explicitly open */
		{ 0, 0xff, { C, F, X, E, 0,
			    0 } },                  /* implicitly open, by a write */
		{ 0, NSDK_NVME_ZONE_SET_DESC_EXT, { C, F, X, E, 0, 0 } }, /* closed */
		{ 0, NSDK_NVME_ZONE_FINISH, { 0, F, 0, E, 0, 0 } }, /* full */
		{ 14, 0, { 0, 0, 0, 0, O, 0 } },                    /* read only */
		{ 15, 0, { 0, 0, 0, 0, O, 0 } },                    /* offline */
	};

	start(OPTIONS);
	for (unsigned row = 0; row < 7; row++)
		for (unsigned i = 0; i < 6; i++) {
			unsigned before, slba = rows[row].zone * SIZE;

			NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_RESET), 0);
			if (rows[row].first == 0xff)
				NSDK_ASSERT_INT(write_at(0, 1), 0);
			else if (rows[row].first)
				NSDK_ASSERT_INT(send(0, rows[row].first), 0);
			before = state_of(rows[row].zone);
			NSDK_ASSERT_INT(send(slba, actions[i]),
					rows[row].then[i] ? 0 : HOST_SPECIFIC(ZONE_INVALID_TRANSITION));
			NSDK_ASSERT_INT(state_of(rows[row].zone),
					rows[row].then[i] ? rows[row].then[i] : before);
		}
	NSDK_ASSERT_INT(send(1, NSDK_NVME_ZONE_RESET), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(send(16 * SIZE, NSDK_NVME_ZONE_RESET), HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(send(0, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(send(0, 6), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_SET_DESC_EXT | NSDK_NVME_ZONE_SELECT_ALL),
			HOST_GENERIC(INVALID_FIELD));
	host_stop();
}

static void reports(void)
{
	const struct nsdk_nvme_zone_report_header *header;

	start(OPTIONS);
	header = (const void *)data;
	/* Room for two of them: how many match, or how many are there. */
	NSDK_ASSERT_INT(receive(3 * SIZE + 5, 48, 0), 0);
	CU_ASSERT_EQUAL(header->zones, 13);
	CU_ASSERT_EQUAL(desc(1)->zslba, 4 * SIZE);
	CU_ASSERT_EQUAL(data[192], 0xee);
	NSDK_ASSERT_INT(receive(3 * SIZE, 48, NSDK_NVME_ZONE_REPORT_PARTIAL), 0);
	CU_ASSERT_EQUAL(header->zones, 2);
	NSDK_ASSERT_INT(receive(0, 1024, NSDK_NVME_ZONES_OFFLINE << 8), 0);
	CU_ASSERT_EQUAL(header->zones, 1);
	CU_ASSERT_EQUAL(desc(0)->zslba, 15 * SIZE);
	CU_ASSERT_EQUAL(desc(1)->type, 0);
	memset(data, 0x77, 64);
	NSDK_ASSERT_INT(send(SIZE, NSDK_NVME_ZONE_SET_DESC_EXT), 0);
	NSDK_ASSERT_INT(receive(0, 1024, NSDK_NVME_ZONE_REPORT_EXTENDED), 0);
	NSDK_ASSERT_INT(desc(2)->attributes, NSDK_NVME_ZONE_DESC_EXT_VALID);
	CU_ASSERT(data[64 + 3 * 64] == 0x77 && data[64 + 4 * 64 - 1] == 0x77 && data[64 + 64] == 0);
	NSDK_ASSERT_INT(receive(0, 16, 0), 0);
	NSDK_ASSERT_INT(receive(0, 15, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0, 1024, 2), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(0, 1024, 8 << 8), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(16 * SIZE, 1024, 0), HOST_GENERIC(LBA_OUT_OF_RANGE));
	host_stop();
}

/* A shutdown closes what is open; a reset alone does not. */
static void closes_at_a_shutdown(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(write_at(0, 2), 0);
	NSDK_ASSERT_INT(send(SIZE, NSDK_NVME_ZONE_OPEN), 0);
	host_write32(NSDK_NVME_REG_CC, CC_SETS & ~NSDK_NVME_CC_EN);
	enable();
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_IMPLICITLY_OPEN);
	host_write32(NSDK_NVME_REG_CC, CC_SETS | NSDK_NVME_CC_SHN_NORMAL);
	host_write32(NSDK_NVME_REG_CC, CC_SETS & ~NSDK_NVME_CC_EN);
	enable();
	NSDK_ASSERT_INT(state_of(0), NSDK_NVME_ZONE_CLOSED);
	CU_ASSERT_EQUAL(desc(0)->wp, 2);
	/* In which nothing was written is empty. */
	NSDK_ASSERT_INT(state_of(1), NSDK_NVME_ZONE_EMPTY);
	NSDK_ASSERT_INT(write_at(2, 1), 0);
	host_stop();
}

/* What Format takes away are the zones as well; one that is reset reads as zeroes. */
static void forgets(void)
{
	struct nsdk_nvme_cmd format = { .opcode = NSDK_NVME_ADMIN_FORMAT, .nsid = 1, .cdw10 = 1 };

	start(OPTIONS);
	memset(data, 0x55, 2 * HOST_PAGE);
	NSDK_ASSERT_INT(write_at(0, 8), 0);
	NSDK_ASSERT_INT(send(0, NSDK_NVME_ZONE_RESET), 0);
	NSDK_ASSERT_INT(zone_io(NSDK_NVME_NVM_READ, 0, 8), 0);
	NSDK_ASSERT_INT(data[0] | data[4095], 0);
	NSDK_ASSERT_INT(write_at(0, 8), 0);
	NSDK_ASSERT_INT(host_run(&host.admin, &format), 0);
	NSDK_ASSERT_INT(receive(0, 1024, 0), 0);
	NSDK_ASSERT_INT(desc(0)->state >> 4, NSDK_NVME_ZONE_EMPTY);
	CU_ASSERT_EQUAL(desc(1)->zslba, SIZE / 8);
	CU_ASSERT_EQUAL(desc(0)->zcap, CAP / 8);
	NSDK_ASSERT_INT(desc(14)->state >> 4, NSDK_NVME_ZONE_READ_ONLY);
	host_stop();
}

static void refuses_options(void)
{
	static const struct {
		const char *options, *why;
	} bad[] = {
		{ "zone=1M", "say zoned=1" },
		{ "zoned=1,size=3M,zone=2M", "does not divide" },
		{ "zoned=1,zone=6000", "multiples of 4096" },
		{ "zoned=1,zone=64K,zone_cap=128K", "multiples of 4096" },
		{ "zoned=1,max_active=3", "max_open= from 1" },
		{ "zoned=1,max_active=3,max_open=4", "max_open= from 1" },
		{ "zoned=1,file=/nowhere", "in memory" },
		{ "zoned=1,zasl=8", "above mdts" },
	};
	struct nsdk_emu_model *model;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		nsdk_unit_log_start();
		NSDK_ASSERT_INT(nsdk_emu_nvme.create(bad[i].options, &model), -22);
		NSDK_ASSERT_ONE_SENTENCE(bad[i].why);
		nsdk_unit_log_stop();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(identifies),
	NSDK_UNIT_TEST(writes_at_the_pointer),
	NSDK_UNIT_TEST(appends_behind_the_pointer),
	NSDK_UNIT_TEST(has_limits),
	NSDK_UNIT_TEST(changes_states),
	NSDK_UNIT_TEST(reports),
	NSDK_UNIT_TEST(closes_at_a_shutdown),
	NSDK_UNIT_TEST(forgets),
	NSDK_UNIT_TEST(refuses_options),
};

NSDK_UNIT_MAIN("lib/emu/nvme_zns", tests)
