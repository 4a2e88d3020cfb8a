/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages, and the events that point to them (nvme_event.c). */
#include "nvme_host.h"

static struct host_queue io;
static uint8_t *page, *data;

static void start(const char *options)
{
	host_start(options);
	page = host_pages(2 * HOST_PAGE);
	data = host_pages(2 * HOST_PAGE);
	memset(page, 0xff, 2 * HOST_PAGE);
	host_queue_create(&io, 1, 16);
}

static uint64_t at64(unsigned offset)
{
	uint64_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static uint32_t at32(unsigned offset)
{
	return (uint32_t)at64(offset);
}

static uint16_t at16(unsigned offset)
{
	return (uint16_t)at64(offset);
}

static int run_io(unsigned opcode, uint64_t lba, uint32_t blocks)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, lba, blocks, host_iova(data),
					   host_iova(data + HOST_PAGE));

	return host_run(&io, &cmd);
}

static void lists_its_pages(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(host_get_log(0, page, 1024, 0, false), 0);
	for (unsigned lid = 0; lid < 256; lid++) {
		bool there = lid <= 8 || lid == 0x12 || lid == 0x81;
		uint8_t *to = data;

		NSDK_ASSERT_INT(at32(lid * 4) & 1, there);
		NSDK_ASSERT_INT(host_get_log(lid, to, 512, 0, true),
				there ? 0 : HOST_SPECIFIC(INVALID_LOG_PAGE));
	}
}

static void checks_the_range(void)
{
	start("size=1M,mdts=1");
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 2, false),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 516, false),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, UINT64_C(1) << 40, false),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 8192 + 4, 0, false),
			HOST_GENERIC(INVALID_FIELD));
	/* From the middle, and beyond the end: zeroes. */
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 8192, 4, false), 0);
	NSDK_ASSERT_INT(page[0], 10); /* byte 4: spare threshold */
	NSDK_ASSERT_INT(at64(8184), 0);
	NSDK_ASSERT_INT(at64(508), 0);
	/* No page is of one namespace. */
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE, .nsid = 1, .prp1 = host_iova(page),
		.cdw10 = NSDK_NVME_LOG_SMART | 127 << 16 }), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE, .prp1 = host_iova(page),
		.cdw10 = NSDK_NVME_LOG_SMART | 127 << 16 }), 0);
}

static void smart_counts(void)
{
	start("size=8M");
	for (unsigned i = 0; i < 126; i++)
		NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_READ, i, 8), 0);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_WRITE, i, 1), 0);
	NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_COMPARE, 0, 1), 0);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, false), 0);
	NSDK_ASSERT_INT(page[0], 0);
	NSDK_ASSERT_INT(page[1] | page[2] << 8, 303);
	NSDK_ASSERT_INT(page[3], 100);
	NSDK_ASSERT_INT(at64(32), 2); /* 1009 * 512 bytes, in thousands, rounded up */
	NSDK_ASSERT_INT(at64(48), 1);
	NSDK_ASSERT_INT(at64(64), 127);
	NSDK_ASSERT_INT(at64(80), 3);
	NSDK_ASSERT_INT(at64(160), 0);
	NSDK_ASSERT_INT(at64(176), 0);
	/* A failure, a media error, a reset without shutdown; counts stay over that. */
	NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_READ, 1 << 20, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_WRITE_UNCORRECTABLE, 9, 1), 0);
	NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_READ, 9, 1), HOST_MEDIA(UNRECOVERED_READ));
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, false), 0);
	NSDK_ASSERT_INT(at64(64), 127);
	NSDK_ASSERT_INT(at64(144), 1);
	NSDK_ASSERT_INT(at64(160), 1);
	NSDK_ASSERT_INT(at64(176), 2);
}

static void error_log_tells_of_failed_commands(void)
{
	uint16_t cid;

	start("size=1M");
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_ERROR, page, 4096, 0, false), 0);
	NSDK_ASSERT_INT(at64(0), 0);
	NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_READ, 0x123456789, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
	cid = host_last.cid;
	/* More: the log tells more. */
	CU_ASSERT(host_last.status & 0x4000);
	NSDK_ASSERT_INT(host_get_feature(0, 0, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_ERROR, page, 4096, 0, false), 0);
	/* The newest first. */
	NSDK_ASSERT_INT(at64(0), 2);
	NSDK_ASSERT_INT(at16(8), 0);
	NSDK_ASSERT_INT(at64(64), 1);
	NSDK_ASSERT_INT(at16(64 + 8), 1);
	NSDK_ASSERT_INT(at16(64 + 10), cid);
	NSDK_ASSERT_INT(at16(64 + 12) & 0xffe, HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(at64(64 + 16), 0x123456789);
	NSDK_ASSERT_INT(at32(64 + 24), 1);
	NSDK_ASSERT_INT(at64(128), 0);
}

static void error_log_keeps_the_last_ones(void)
{
	start("size=1M");
	for (unsigned i = 0; i < 100; i++)
		NSDK_ASSERT_INT(run_io(NSDK_NVME_NVM_READ, 100000 + i, 1),
				HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_ERROR, page, 4096, 0, false), 0);
	for (unsigned i = 0; i < 64; i++) {
		NSDK_ASSERT_INT(at64(i * 64), 100 - i);
		NSDK_ASSERT_INT(at64(i * 64 + 16), 100099 - i);
	}
	/* An offset skips entries. */
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_ERROR, page, 64, 640, false), 0);
	NSDK_ASSERT_INT(at64(0), 90);
}

static void firmware_commands_features(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_FIRMWARE_SLOT, page, 512, 0, false), 0);
	NSDK_ASSERT_INT(page[0], 1);
	NSDK_ASSERT_INT(memcmp(page + 8, "1.0     ", 8), 0);
	/* What is said to be there is what is there. */
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_COMMANDS, page, 4096, 0, false), 0);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		struct nsdk_nvme_cmd cmd = { .opcode = (uint8_t)opcode, .nsid = 1,
					     .prp1 = host_iova(data) };

		NSDK_ASSERT_INT(host_run(&io, &cmd) != HOST_GENERIC(INVALID_OPCODE),
				at32(1024 + opcode * 4) & 1);
	}
	NSDK_ASSERT_INT(at32(1024 + NSDK_NVME_NVM_WRITE * 4), 3);
	NSDK_ASSERT_INT(at32(NSDK_NVME_ADMIN_IDENTIFY * 4), 1);
	NSDK_ASSERT_INT(at32(NSDK_NVME_ADMIN_KEEP_ALIVE * 4), 0);
	NSDK_ASSERT_INT(host_get_log(0x12, page, 1024, 0, false), 0);
	for (unsigned fid = 0; fid < 256; fid++)
		NSDK_ASSERT_INT(host_get_feature(fid, 1, 0) == 0, at32(fid * 4) & 1);
}

/* ---- Events ---- */

static void push_aer(void)
{
	host_push(&host.admin, &(struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT });
	host_ring(&host.admin);
}

/* Cross the temperature threshold. */
static void heat(void)
{
	host_push(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.cdw10 = NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, .cdw11 = 300 });
	host_ring(&host.admin);
}

static unsigned events_and_others(unsigned *others)
{
	struct nsdk_nvme_cpl cpl;
	unsigned events = 0;

	*others = 0;
	host_poll(20);
	while (host_peek(&host.admin, &cpl)) {
		if (cpl.dw0 == (NSDK_NVME_LOG_SMART << 16 | 1 << 8 | 1))
			events++;
		else
			(*others)++;
	}
	host_ring_head(&host.admin);
	return events;
}

static void temperature_event(void)
{
	unsigned others;

	start("size=1M");
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG, 0, 2), 0);
	push_aer();
	push_aer();
	NSDK_ASSERT_INT(events_and_others(&others), 0);
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 1);
	NSDK_ASSERT_INT(others, 1);
	/* Masked until its log page was read, and that did not say to retain it. */
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 0);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, true), 0);
	NSDK_ASSERT_INT(page[0], 2); /* critical warning: temperature */
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 0);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, false), 0);
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 1);
}

static void events_wait_for_a_request(void)
{
	unsigned others;

	start("size=1M");
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG, 0, 2), 0);
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 0);
	push_aer();
	NSDK_ASSERT_INT(events_and_others(&others), 1);
	/* Not asked for: not sent. */
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, false), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG, 0, 0), 0);
	push_aer();
	heat();
	NSDK_ASSERT_INT(events_and_others(&others), 0);
	/* A threshold below counts as well. */
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 0, 343), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 0, 1 << 20 | 310), 0);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_SMART, page, 512, 0, false), 0);
	NSDK_ASSERT_INT(page[0], 2);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(lists_its_pages),
	NSDK_UNIT_TEST(checks_the_range),
	NSDK_UNIT_TEST(smart_counts),
	NSDK_UNIT_TEST(error_log_tells_of_failed_commands),
	NSDK_UNIT_TEST(error_log_keeps_the_last_ones),
	NSDK_UNIT_TEST(firmware_commands_features),
	NSDK_UNIT_TEST(temperature_event),
	NSDK_UNIT_TEST(events_wait_for_a_request),
};

NSDK_UNIT_MAIN("lib/emu/nvme_log", tests, .after = host_stop)
