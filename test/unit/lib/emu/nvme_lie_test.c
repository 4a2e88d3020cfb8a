/* SPDX-License-Identifier: BSD-3-Clause */
/* Lies to order: exactly what was ordered, once, where it was ordered, and nothing else is wrong. */
#include "nvme_host.h"

#define ENTRIES 8u

static struct host_queue io;
static uint8_t *data;

static void start(const char *options)
{
	host_start(options);
	data = host_pages(HOST_PAGE);
	host_queue_create(&io, 1, ENTRIES);
}

static uint16_t push(void)
{
	struct nsdk_nvme_cmd cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 1, host_iova(data), 0);
	uint16_t cid = host_push(&io, &cmd);

	host_ring(&io);
	host_poll(2);
	return cid;
}

/* The next completion, which must be there. */
static struct nsdk_nvme_cpl next(void)
{
	struct nsdk_nvme_cpl cpl = { 0 };

	CU_ASSERT_FATAL(host_peek(&io, &cpl));
	host_ring_head(&io);
	return cpl;
}

static void is_right(struct nsdk_nvme_cpl cpl, uint16_t cid)
{
	NSDK_ASSERT_INT(cpl.cid, cid);
	NSDK_ASSERT_INT(cpl.sqid, 1);
	NSDK_ASSERT_INT(cpl.sqhd, io.tail);
	NSDK_ASSERT_INT(cpl.status & 0xffe, 0);
}

static void a_command_that_there_is_not(void)
{
	struct nsdk_nvme_cpl cpl;

	start("size=1M,fault=badcid@2");
	is_right(next(), push());
	push();
	cpl = next();
	NSDK_ASSERT_INT(cpl.cid, 0xfffe);
	cpl.cid = 1;
	is_right(cpl, 1);
	is_right(next(), push());
}

/* Also where the ring comes round in between, and its phase changes. */
static void a_completion_that_comes_twice(void)
{
	struct nsdk_nvme_cpl nothing;

	for (unsigned at = 1; at <= 2 * ENTRIES; at++) {
		char options[40];

		snprintf(options, sizeof(options), "size=1M,fault=twice@%u", at);
		start(options);
		for (unsigned i = 1; i <= 3 * ENTRIES; i++) {
			uint16_t cid = push();

			is_right(next(), cid);
			if (i == at)
				is_right(next(), cid);
			CU_ASSERT(!host_peek(&io, &nothing));
		}
		host_stop();
	}
}

static void a_queue_that_is_full_gets_it_once(void)
{
	struct nsdk_nvme_cpl cpl;
	unsigned count = 0;

	start("size=1M,fault=twice@7");
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		push();
	while (host_peek(&io, &cpl))
		count++;
	NSDK_ASSERT_INT(count, ENTRIES - 1);
}

static void a_phase_that_is_old(void)
{
	struct nsdk_nvme_cpl cpl;

	start("size=1M,fault=phase@3");
	is_right(next(), push());
	is_right(next(), push());
	push();
	CU_ASSERT(!host_peek(&io, &cpl));
	/* It is there but for that, and the next one behind it. */
	NSDK_ASSERT_INT(io.cq[2].cid, 2);
	push();
	CU_ASSERT(!host_peek(&io, &cpl));
	NSDK_ASSERT_INT(io.cq[3].cid, 3);
	NSDK_ASSERT_INT(io.cq[3].status & 1, 1);
}

static void another_queue(void)
{
	struct nsdk_nvme_cpl cpl;

	start("size=1M,fault=badqid@1");
	push();
	cpl = next();
	NSDK_ASSERT_INT(cpl.sqid, 2);
	is_right(next(), push());
}

static void a_head_beyond_the_queue(void)
{
	struct nsdk_nvme_cpl cpl;

	start("size=1M,fault=badhead@every2");
	for (unsigned i = 1; i < 9; i++) {
		uint16_t cid = push();

		cpl = next();
		NSDK_ASSERT_INT(cpl.sqhd, i % 2 ? io.tail : ENTRIES);
		NSDK_ASSERT_INT(cpl.cid, cid);
	}
}

static void admin_completions_are_counted_apart(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_GET_FEATURES,
				     .cdw10 = NSDK_NVME_FEAT_NUMBER_OF_QUEUES };
	struct nsdk_nvme_cpl cpl;

	start("size=1M,fault=badcid@admin3");
	for (unsigned i = 0; i < 5; i++)
		is_right(next(), push());
	/* Two were for the queues. */
	host_push(&host.admin, &cmd);
	host_ring(&host.admin);
	CU_ASSERT_FATAL(host_wait(&host.admin, &cpl));
	NSDK_ASSERT_INT(cpl.cid, 0xfffe);
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
}

static void a_ready_bit_that_flaps(void)
{
	start("size=1M,fault=flap@2");
	is_right(next(), push());
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	is_right(next(), push());
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), 0);
	/* It goes on; until it is reset. */
	is_right(next(), push());
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
}

static void events_without_end(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };

	start("size=1M,fault=storm@1");
	host_push(&host.admin, &cmd);
	host_ring(&host.admin);
	host_poll(4);
	CU_ASSERT(!host_peek(&host.admin, &host_last));
	is_right(next(), push());
	CU_ASSERT_FATAL(host_wait(&host.admin, &host_last));
	for (unsigned i = 0; i < 200; i++) {
		NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
		NSDK_ASSERT_INT(host_last.dw0, 1 | NSDK_NVME_LOG_SMART << 16);
	}
}

static void identify_data_that_contradicts_itself(void)
{
	struct nsdk_nvme_id_ns *id;

	start("size=1M,fault=identify");
	id = host_pages(HOST_PAGE);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS, 1, id), 0);
	CU_ASSERT((id->flbas & 0xf) > id->nlbaf);
	CU_ASSERT(id->nuse > id->nsze);
}

/* All of a page is that byte. */
static bool is_all(const uint8_t *page, uint8_t byte)
{
	return page[0] == byte && memcmp(page, page + 1, HOST_PAGE - 1) == 0;
}

/* A page more than was asked for, and of what comes behind that nothing. */
static void data_that_goes_on_behind_the_buffer(void)
{
	uint8_t *behind;

	start("size=1M,fault=overrun@2");
	data = host_pages(3 * HOST_PAGE);
	behind = data + HOST_PAGE;
	memset(data, 0x11, 3 * HOST_PAGE);
	is_right(next(), push());
	CU_ASSERT(is_all(behind, 0x11));
	is_right(next(), push());
	/* It was told of 512 bytes. */
	CU_ASSERT(!is_all(data, 0x11));
	NSDK_ASSERT_INT(data[511], 0);
	NSDK_ASSERT_INT(data[512], 0xee);
	NSDK_ASSERT_INT(behind[511], 0xee);
	NSDK_ASSERT_INT(behind[512], 0x11);
	CU_ASSERT(is_all(behind + HOST_PAGE, 0x11));
	memset(data, 0x11, HOST_PAGE);
	is_right(next(), push());
	NSDK_ASSERT_INT(data[512], 0x11);
	CU_ASSERT(!host.model->ops->gone(host.model));
	NSDK_ASSERT_INT(atomic_load(&host.model->dma.contained_iova), 0);
}

/* With nothing mapped there: no memory is touched, nothing is completed, and it is gone, for good. */
static void data_that_goes_on_where_nothing_is_mapped(void)
{
	struct nsdk_nvme_cpl nothing;

	start("size=1M,fault=overrun@1");
	data = host.memory + HOST_MEMORY_BYTES - 512;
	push();
	CU_ASSERT(host.model->ops->gone(host.model));
	CU_ASSERT(atomic_load(&host.model->dma.contained_iova) == host_iova(data) + 512);
	host_poll(3);
	push();
	CU_ASSERT(!host_peek(&io, &nothing));
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), UINT32_MAX);
}

/* A command that moves no data leaves it to the next that does. */
static void a_write_has_nothing_to_go_on_with(void)
{
	struct nsdk_nvme_cmd cmd;
	uint8_t *behind;

	start("size=1M,fault=overrun@1");
	data = host_pages(2 * HOST_PAGE);
	behind = data + HOST_PAGE;
	memset(data, 0x11, 2 * HOST_PAGE);
	cmd = host_rw(NSDK_NVME_NVM_WRITE, 1, 0, 1, host_iova(data), 0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	CU_ASSERT(is_all(data, 0x11) && is_all(behind, 0x11));
	is_right(next(), push());
	NSDK_ASSERT_INT(data[512], 0xee);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_command_that_there_is_not),
	NSDK_UNIT_TEST(a_completion_that_comes_twice),
	NSDK_UNIT_TEST(a_queue_that_is_full_gets_it_once),
	NSDK_UNIT_TEST(a_phase_that_is_old),
	NSDK_UNIT_TEST(another_queue),
	NSDK_UNIT_TEST(a_head_beyond_the_queue),
	NSDK_UNIT_TEST(admin_completions_are_counted_apart),
	NSDK_UNIT_TEST(a_ready_bit_that_flaps),
	NSDK_UNIT_TEST(events_without_end),
	NSDK_UNIT_TEST(identify_data_that_contradicts_itself),
	NSDK_UNIT_TEST(data_that_goes_on_behind_the_buffer),
	NSDK_UNIT_TEST(data_that_goes_on_where_nothing_is_mapped),
	NSDK_UNIT_TEST(a_write_has_nothing_to_go_on_with),
};

NSDK_UNIT_MAIN("lib/emu/nvme_lie", tests, .after = host_stop)
