/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"
#include "still_clock.h"

/* Size of the test's disk: 1 MiB of 512 byte blocks. */
#define BLOCKS 2048u

static struct host_queue io;
static uint8_t *data;

static void start(const char *options, uint32_t entries)
{
	host_start(options);
	data = host_pages(64 * HOST_PAGE);
	host_queue_create(&io, 1, entries);
}

static struct nsdk_nvme_cmd read_block(uint64_t lba)
{
	return host_rw(NSDK_NVME_NVM_READ, 1, lba, 1, host_iova(data), 0);
}

static uint16_t push_read(uint64_t lba)
{
	struct nsdk_nvme_cmd cmd = read_block(lba);

	return host_push(&io, &cmd);
}

/* Completions that are there without polling any further. */
static unsigned count_completions(void)
{
	struct nsdk_nvme_cpl cpl;
	unsigned count = 0;

	while (host_peek(&io, &cpl)) {
		NSDK_ASSERT_INT(cpl.status >> 1, 0);
		count++;
	}
	return count;
}

static uint32_t status_register(void)
{
	return host_read32(NSDK_NVME_REG_CSTS);
}

static void goes_round_many_times(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_FLUSH, .nsid = 1 };

	start("size=1M", 5);
	for (unsigned i = 0; i < 1000; i++) {
		NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
		/* SQHD: what the host may use again. */
		NSDK_ASSERT_INT(host_last.sqhd, io.tail);
	}
}

static void smallest_queue_works(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_FLUSH, .nsid = 1 };

	start("size=1M", 2);
	for (unsigned i = 0; i < 20; i++)
		NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static void never_overruns_the_completion_queue(void)
{
	struct nsdk_nvme_cpl cpl;
	unsigned taken = 0;

	host_start("size=1M");
	data = host_pages(HOST_PAGE);
	/* A submission queue of 64 and a completion queue of 4: room for 3. */
	host_queue_init(&io, 1, 64);
	io.cq_entries = 4;
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_CQ, .prp1 = (uintptr_t)io.cq, .cdw10 = 1 | 3u << 16,
		.cdw11 = 1 }), 0);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_SQ, .prp1 = host_iova(io.sq),
		.cdw10 = 1 | 63u << 16, .cdw11 = 1 << 16 | 1 }), 0);
	for (unsigned i = 0; i < 20; i++)
		push_read(i);
	host_ring(&io);
	host_poll(50);
	NSDK_ASSERT_INT(count_completions(), 3);
	host_poll(50);
	NSDK_ASSERT_INT(count_completions(), 0);
	/* The fourth entry is free, and untouched. */
	NSDK_ASSERT_INT(io.cq[3].status, 0);
	host_ring_head(&io);
	for (taken = 3; taken < 20 && host_wait(&io, &cpl); taken++)
		NSDK_ASSERT_INT(cpl.cid, taken);
	NSDK_ASSERT_INT(taken, 20);
}

static void one_turn_is_bounded(void)
{
	start("size=1M", 200);
	for (unsigned i = 0; i < 199; i++)
		push_read(i);
	host_ring(&io);
	host_poll(1);
	CU_ASSERT(count_completions() < 199);
	host_poll(20);
	CU_ASSERT(count_completions() > 0);
}

static void queues_may_share_a_completion_queue(void)
{
	struct host_queue second;
	struct nsdk_nvme_cmd cmd;
	struct nsdk_nvme_cpl cpl;
	unsigned from[3] = { 0 };

	start("size=1M", 16);
	cmd = read_block(1);
	host_queue_init(&second, 2, 16);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_SQ, .prp1 = host_iova(second.sq),
		.cdw10 = 2 | 15u << 16, .cdw11 = 1 << 16 | 1 }), 0);
	for (unsigned i = 0; i < 4; i++) {
		host_push(&io, &cmd);
		host_push(&second, &cmd);
	}
	host_ring(&io);
	host_ring(&second);
	for (unsigned i = 0; i < 8; i++) {
		CU_ASSERT_FATAL(host_wait(&io, &cpl));
		CU_ASSERT_FATAL(cpl.sqid == 1 || cpl.sqid == 2);
		from[cpl.sqid]++;
	}
	NSDK_ASSERT_INT(from[1], 4);
	NSDK_ASSERT_INT(from[2], 4);
	/* The completion queue goes only when both are gone. */
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_DELETE_SQ, .cdw10 = 1 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_DELETE_CQ, .cdw10 = 1 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_SPECIFIC(INVALID_QUEUE_DELETION));
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_DELETE_SQ, .cdw10 = 2 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_DELETE_CQ, .cdw10 = 1 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
}

static void refuses_fused_commands_and_sgls(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,sgl=none", 8);
	for (unsigned flags = 1; flags < 256; flags <<= 1) {
		cmd = read_block(0);
		cmd.flags = (uint8_t)flags;
		/* The other half of a pair is not there; 40h is an SGL, of which there are none here. */
		NSDK_ASSERT_INT(host_run(&io, &cmd),
				flags & 0x03 ? HOST_GENERIC(ABORTED_MISSING_FUSED) :
				flags & 0xc0 ? HOST_GENERIC(INVALID_FIELD) : 0);
		cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_GET_FEATURES, .cdw10 = 7,
					      .flags = (uint8_t)flags };
		NSDK_ASSERT_INT(host_run(&host.admin, &cmd),
				flags & 0xc3 ? HOST_GENERIC(INVALID_FIELD) : 0);
	}
	CU_ASSERT(NSDK_NVME_STATUS_DNR(NSDK_NVME_STATUS_DNR_BIT));
}

/* ---- Doorbells ---- */

static uint32_t *doorbell(unsigned index)
{
	return (uint32_t *)((uintptr_t)host.bar.base + NSDK_NVME_REG_DOORBELLS) + index;
}

static void notices_invalid_doorbells(void)
{
	struct nsdk_nvme_cmd aer = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };
	static const struct {
		unsigned index;
		uint32_t value;
	} wrong[] = {
		{ 2, 8 },	   /* a tail behind the end */
		{ 2, UINT32_MAX },
		{ 3, 8 },	   /* a head behind the end */
		{ 3, 5 },	   /* a head beyond what was posted */
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint32_t right;

		start("size=1M", 8);
		host_push(&host.admin, &aer);
		host_ring(&host.admin);
		right = *doorbell(wrong[i].index);
		__atomic_store_n(doorbell(wrong[i].index), wrong[i].value, __ATOMIC_RELEASE);
		CU_ASSERT_FATAL(host_wait(&host.admin, &host_last));
		/* An error, invalid doorbell write value, see the error log. */
		NSDK_ASSERT_INT(host_last.dw0, NSDK_NVME_LOG_ERROR << 16 | 1 << 8 | 0);
		/* It had no effect, and the queue goes on. */
		__atomic_store_n(doorbell(wrong[i].index), right, __ATOMIC_RELEASE);
		push_read(0);
		host_ring(&io);
		CU_ASSERT(host_wait(&io, &host_last));
		NSDK_ASSERT_INT(status_register(), NSDK_NVME_CSTS_RDY);
		host_stop();
	}
}

/* ---- Latency ---- */

static void completes_after_the_latency(void)
{
	start("size=1M,latency_us=20000", 8);
	clock_stop();
	/* Commands wait side by side. */
	for (unsigned i = 0; i < 7; i++)
		push_read(i);
	host_ring(&io);
	host_poll(10);
	clock_advance(19999999);
	host_poll(10);
	NSDK_ASSERT_INT(count_completions(), 0);
	clock_advance(1);
	host_poll(10);
	NSDK_ASSERT_INT(count_completions(), 7);
	/* Admin commands do not wait. */
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0), 0);
}

static void moves_data_only_when_due(void)
{
	start("size=1M,latency_us=30000", 8);
	memset(data, 0xee, 512);
	clock_stop();
	push_read(0);
	host_ring(&io);
	host_poll(10);
	NSDK_ASSERT_INT(data[0], 0xee);
	clock_go();
	CU_ASSERT(host_wait(&io, &host_last));
	NSDK_ASSERT_INT(data[0], 0);
}

static void notices_a_cid_that_is_in_use(void)
{
	struct nsdk_nvme_cmd cmd;
	unsigned good = 0, conflicts = 0;

	start("size=1M,latency_us=5000", 8);
	clock_stop();
	cmd = read_block(0);
	host_push(&io, &cmd);
	io.next_cid = 0;
	host_push(&io, &cmd);
	host_ring(&io);
	host_poll(10);
	clock_go();
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(host_wait(&io, &host_last));
		NSDK_ASSERT_INT(host_last.cid, 0);
		if ((host_last.status & 0xffe) == 0)
			good++;
		else if ((host_last.status & 0xffe) == HOST_GENERIC(CID_CONFLICT))
			conflicts++;
	}
	NSDK_ASSERT_INT(good, 1);
	NSDK_ASSERT_INT(conflicts, 1);
	/* Afterwards it is free. */
	io.next_cid = 0;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static int run_abort(unsigned sqid, uint16_t cid)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_ABORT,
		.cdw10 = sqid | (uint32_t)cid << 16,
	};

	return host_run(&host.admin, &cmd);
}

static void aborts_what_waits(void)
{
	uint16_t first, second;

	start("size=1M,latency_us=20000", 8);
	clock_stop();
	memset(data, 0xee, 512);
	first = push_read(0);
	second = push_read(1);
	host_ring(&io);
	host_poll(2);
	NSDK_ASSERT_INT(run_abort(1, first), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	/* Its completion is there before the other one's, and it moved nothing. */
	CU_ASSERT_FATAL(host_peek(&io, &host_last));
	NSDK_ASSERT_INT(host_last.cid, first);
	NSDK_ASSERT_INT(host_last.status & 0xffe, HOST_GENERIC(ABORT_REQUESTED));
	NSDK_ASSERT_INT(data[0], 0xee);
	host_ring_head(&io);
	clock_go();
	CU_ASSERT_FATAL(host_wait(&io, &host_last));
	NSDK_ASSERT_INT(host_last.cid, second);
	NSDK_ASSERT_INT(host_last.status >> 1, 0);
	/* Twice, or what is not there: not aborted. */
	NSDK_ASSERT_INT(run_abort(1, first), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
	NSDK_ASSERT_INT(run_abort(2, 0), HOST_GENERIC(INVALID_FIELD));
}

static void deleting_a_queue_aborts_what_waits(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_DELETE_SQ, .cdw10 = 1 };

	start("size=1M,latency_us=1000000", 8);
	clock_stop();
	for (unsigned i = 0; i < 3; i++)
		push_read(i);
	host_ring(&io);
	host_poll(2);
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_FATAL(host_peek(&io, &host_last));
		NSDK_ASSERT_INT(host_last.cid, i);
		NSDK_ASSERT_INT(host_last.status & 0xffe, HOST_GENERIC(ABORTED_SQ_DELETED));
	}
	CU_ASSERT_FALSE(host_peek(&io, &host_last));
}

static void waiting_commands_do_not_overrun_either(void)
{
	struct nsdk_nvme_cpl cpl;

	start("size=1M,latency_us=1", 4);
	clock_stop();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 3; i++)
			push_read(i);
		host_ring(&io);
		host_poll(10);
		clock_advance(1000);
		host_poll(10);
	}
	/* Six were fetched or wait; three completions fit. */
	NSDK_ASSERT_INT(count_completions(), 3);
	host_ring_head(&io);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(host_wait(&io, &cpl));
}

/* ---- Faults to order ---- */

static void fatal_after_some_commands(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,fault=fatal@3", 8);
	cmd = read_block(0);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	NSDK_ASSERT_INT(status_register(), NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_CFS);
	NSDK_ASSERT_INT(host_run(&io, &cmd), -1);
	/* A reset helps, and it does not come again. */
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	host_queue_create(&io, 1, 8);
	for (unsigned i = 0; i < 10; i++)
		NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static void gone_after_some_commands(void)
{
	struct nsdk_nvme_cmd cmd;
	uint32_t value = 0;

	start("size=1M,fault=gone@2", 8);
	cmd = read_block(0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	CU_ASSERT_FALSE(host.model->ops->gone(host.model));
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	CU_ASSERT(host.model->ops->gone(host.model));
	NSDK_ASSERT_INT(host_run(&io, &cmd), -1);
	NSDK_ASSERT_INT(status_register(), UINT32_MAX);
	CU_ASSERT_EQUAL(host_read64(NSDK_NVME_REG_CAP), UINT64_MAX);
	NSDK_ASSERT_INT(host.model->ops->cfg_read(host.model, 0, 4, &value), 0);
	NSDK_ASSERT_INT(value, UINT32_MAX);
	NSDK_ASSERT_INT(host.model->ops->cfg_read(host.model, 2, 2, &value), 0);
	NSDK_ASSERT_INT(value, 0xffff);
	/* Nothing brings it back. */
	host.model->ops->reset(host.model);
	host_write32(NSDK_NVME_REG_CC, 0);
	NSDK_ASSERT_INT(status_register(), UINT32_MAX);
}

static void swallows_one_command(void)
{
	struct nsdk_nvme_cmd cmd;
	uint16_t lost;

	start("size=1M,fault=timeout@2", 8);
	cmd = read_block(0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	lost = host_push(&io, &cmd);
	host_ring(&io);
	host_poll(1000);
	CU_ASSERT_FALSE(host_peek(&io, &host_last));
	/* The others go on; its identifier stays taken. */
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	io.next_cid = lost;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(CID_CONFLICT));
	NSDK_ASSERT_INT(run_abort(1, lost), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	CU_ASSERT(host_wait(&io, &host_last));
	NSDK_ASSERT_INT(host_last.cid, lost);
	NSDK_ASSERT_INT(host_last.status & 0xffe, HOST_GENERIC(ABORT_REQUESTED));
	io.next_cid = lost;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static void deleting_a_queue_ends_a_swallowed_command(void)
{
	struct nsdk_nvme_cmd delete = { .opcode = NSDK_NVME_ADMIN_DELETE_SQ, .cdw10 = 1 };

	start("size=1M,fault=timeout@1", 8);
	push_read(0);
	host_ring(&io);
	host_poll(10);
	NSDK_ASSERT_INT(host_run(&host.admin, &delete), 0);
	CU_ASSERT_FATAL(host_peek(&io, &host_last));
	NSDK_ASSERT_INT(host_last.status & 0xffe, HOST_GENERIC(ABORTED_SQ_DELETED));
}

static void fails_one_command(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,fault=badstatus@2", 8);
	cmd = read_block(0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INTERNAL_ERROR));
	NSDK_ASSERT_INT(NSDK_NVME_STATUS_DNR(host_last.status), 0);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static void faults_can_count_admin_commands(void)
{
	host_start("size=1M,fault=badstatus@admin2");
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0), 0);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0),
			HOST_GENERIC(INTERNAL_ERROR));
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_NUMBER_OF_QUEUES, 0, 0), 0);
}

static void after(void)
{
	clock_go();
	host_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(goes_round_many_times),
	NSDK_UNIT_TEST(smallest_queue_works),
	NSDK_UNIT_TEST(never_overruns_the_completion_queue),
	NSDK_UNIT_TEST(one_turn_is_bounded),
	NSDK_UNIT_TEST(queues_may_share_a_completion_queue),
	NSDK_UNIT_TEST(refuses_fused_commands_and_sgls),
	NSDK_UNIT_TEST(notices_invalid_doorbells),
	NSDK_UNIT_TEST(completes_after_the_latency),
	NSDK_UNIT_TEST(moves_data_only_when_due),
	NSDK_UNIT_TEST(notices_a_cid_that_is_in_use),
	NSDK_UNIT_TEST(aborts_what_waits),
	NSDK_UNIT_TEST(deleting_a_queue_aborts_what_waits),
	NSDK_UNIT_TEST(waiting_commands_do_not_overrun_either),
	NSDK_UNIT_TEST(fatal_after_some_commands),
	NSDK_UNIT_TEST(gone_after_some_commands),
	NSDK_UNIT_TEST(swallows_one_command),
	NSDK_UNIT_TEST(deleting_a_queue_ends_a_swallowed_command),
	NSDK_UNIT_TEST(fails_one_command),
	NSDK_UNIT_TEST(faults_can_count_admin_commands),
};

NSDK_UNIT_MAIN("lib/emu/nvme_queue", tests, .after = after)
