/* SPDX-License-Identifier: BSD-3-Clause */
/* Weighted round robin in the model: which queues' commands are carried out first (nvme_queue.c). */
#include "nvme_host.h"
#include "still_clock.h"

#define QUEUES 5u
#define ENTRIES 64u
#define CQ_ENTRIES 256u
/* QPRIO (Base figure 155) */
enum { URGENT, HIGH, MEDIUM, LOW };
/* Feature 01h: a burst of one; low 1, medium 2, high 4. */
#define WEIGHTS 0x03010000u

/* All of them complete to the first one's completion queue, so there is one order. */
static struct host_queue queues[QUEUES];
static uint8_t *data;

static int make_sq(unsigned qid, unsigned priority)
{
	return host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_SQ, .prp1 = host_iova(queues[qid].sq),
		.cdw10 = qid | (ENTRIES - 1) << 16, .cdw11 = 1 << 16 | priority << 1 | 1 });
}

static void enable(const char *options)
{
	host_create(options);
	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, (HOST_ENTRIES - 1) << 16 | (HOST_ENTRIES - 1));
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC | NSDK_NVME_CC_AMS_WRR);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	data = host_pages(HOST_PAGE);
}

/* A queue for each of the letters u, h, m, l. */
static void start(const char *options, const char *letters, uint32_t cq_entries)
{
	static const char all[] = "uhml";

	enable(options);
	for (unsigned qid = 1; qid <= strlen(letters); qid++) {
		host_queue_init(&queues[qid], qid, ENTRIES);
		if (qid == 1) {
			queues[1].cq_entries = cq_entries;
			queues[1].cq = host_pages(cq_entries * sizeof(*queues[1].cq));
			CU_ASSERT_EQUAL_FATAL(host_run(&host.admin, &(struct nsdk_nvme_cmd){
				.opcode = NSDK_NVME_ADMIN_CREATE_CQ, .prp1 = (uintptr_t)queues[1].cq,
				.cdw10 = 1 | (cq_entries - 1) << 16, .cdw11 = 1 }), 0);
		}
		CU_ASSERT_EQUAL_FATAL(make_sq(qid, (unsigned)(strchr(all, letters[qid - 1]) - all)), 0);
	}
}

static void push(unsigned qid, unsigned count)
{
	struct nsdk_nvme_cmd cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 1, host_iova(data), 0);

	while (count-- > 0)
		host_push(&queues[qid], &cmd);
	host_ring(&queues[qid]);
}

/* The queues whose commands have completed since, as digits. */
static const char *order(void)
{
	static char text[CQ_ENTRIES + 1];
	struct nsdk_nvme_cpl cpl;
	size_t n = 0;

	while (host_peek(&queues[1], &cpl)) {
		NSDK_ASSERT_INT(cpl.status & 0xffe, 0);
		text[n++] = (char)('0' + cpl.sqid);
	}
	text[n] = '\0';
	host_ring_head(&queues[1]);
	return text;
}

static void commands_are_fetched_by_weight(void)
{
	start("size=1M,wrr=1", "lmh", CQ_ENTRIES);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 0, WEIGHTS), 0);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ARBITRATION, 0, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, WEIGHTS);
	for (unsigned qid = 1; qid <= 3; qid++)
		push(qid, 20);
	host_poll(1);
	/* A turn ends after 32, in the middle of a round; the next one goes on there. */
	NSDK_ASSERT_TEXT(order(), "32132333213233321323332132333213");
	host_poll(1);
	/* High has had its 20; the others share what is left. */
	NSDK_ASSERT_TEXT(order(), "233" "212212212212212" "1111111111");
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "");
}

static void urgent_commands_go_before_all(void)
{
	start("size=1M,wrr=1", "lhu", CQ_ENTRIES);
	push(1, 40);
	push(2, 20);
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "21212121212121212121212121212121");
	push(3, 5);
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "33333" "21212121" "1111111111111111111");
	host_poll(1);
	CU_ASSERT(strlen(order()) > 0);
}

/* As many as there are completions for; nothing is held back for ever, nothing overruns. */
static void a_full_completion_queue_stops_them(void)
{
	unsigned seen[QUEUES] = { 0 };
	unsigned all = 0;

	start("size=1M,wrr=1", "hl", 4);
	push(1, 30);
	push(2, 30);
	for (unsigned i = 0; i < 100 && all < 60; i++) {
		const char *some;

		host_poll(3);
		for (some = order(); *some; some++, all++)
			seen[*some - '0']++;
		if (i == 0)
			NSDK_ASSERT_INT(all, 3);
	}
	NSDK_ASSERT_INT(seen[1], 30);
	NSDK_ASSERT_INT(seen[2], 30);
}

static void without_being_asked_for_all_are_alike(void)
{
	host_start("size=1M,wrr=1");
	data = host_pages(HOST_PAGE);
	host_queue_init(&queues[1], 1, ENTRIES);
	host_queue_init(&queues[2], 2, ENTRIES);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_CQ, .prp1 = (uintptr_t)queues[1].cq,
		.cdw10 = 1 | (ENTRIES - 1) << 16, .cdw11 = 1 }), 0);
	NSDK_ASSERT_INT(make_sq(1, LOW), 0);
	NSDK_ASSERT_INT(make_sq(2, URGENT), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 0, WEIGHTS), 0);
	push(1, 4);
	push(2, 4);
	host_poll(1);
	CU_ASSERT_EQUAL(strspn(order(), "12"), 8);
}

static void queues_come_and_go(void)
{
	start("size=1M,wrr=1", "lh", CQ_ENTRIES);
	push(1, 2);
	push(2, 40);
	/* One that waits for its turn is deleted. */
	host_poll(1);
	CU_ASSERT_EQUAL(strlen(order()), 32);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_DELETE_SQ, .cdw10 = 2 }), 0);
	host_poll(2);
	NSDK_ASSERT_TEXT(order(), "");
	host_queue_init(&queues[2], 2, ENTRIES);
	/* It may have another priority when it comes again. */
	NSDK_ASSERT_INT(make_sq(2, MEDIUM), 0);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 0, WEIGHTS), 0);
	push(1, 3);
	push(2, 6);
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "212212212");
}

/* The weights go with a reset, and so does what had been chosen. */
static void a_reset_forgets_it_all(void)
{
	start("size=1M,wrr=1", "lh", CQ_ENTRIES);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 0, WEIGHTS), 0);
	push(1, 40);
	push(2, 40);
	host_poll(1);
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	data = host_pages(HOST_PAGE);
	host_queue_create(&queues[1], 1, ENTRIES);
	push(1, 3);
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "111");
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ARBITRATION, 0, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
}

/* Commands that wait for latency_us are fetched by weight as well. */
static void commands_that_wait_complete_when_they_are_due(void)
{
	clock_stop();
	start("size=1M,wrr=1,latency_us=5", "lh", CQ_ENTRIES);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 0, WEIGHTS), 0);
	push(1, 8);
	push(2, 8);
	host_poll(1);
	NSDK_ASSERT_TEXT(order(), "");
	clock_advance(5000);
	host_poll(1);
	CU_ASSERT_EQUAL(strlen(order()), 16);
}

static void after(void)
{
	clock_go();
	host_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(commands_are_fetched_by_weight),
	NSDK_UNIT_TEST(urgent_commands_go_before_all),
	NSDK_UNIT_TEST(a_full_completion_queue_stops_them),
	NSDK_UNIT_TEST(without_being_asked_for_all_are_alike),
	NSDK_UNIT_TEST(queues_come_and_go),
	NSDK_UNIT_TEST(a_reset_forgets_it_all),
	NSDK_UNIT_TEST(commands_that_wait_complete_when_they_are_due),
};

NSDK_UNIT_MAIN("lib/emu/nvme_wrr", tests, .after = after)
