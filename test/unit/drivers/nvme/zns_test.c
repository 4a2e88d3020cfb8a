/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zoned namespaces of a controller that can be made to lie: how they are found, what becomes of Identify data
 * that cannot be, writes that are one at a time, reads that are cut, and reports that contradict.
 */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_zns.h>

#include "drivers/nvme/nvme_internal.h"

#define ZONE 1024u
#define ZNS_STATUS(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_COMMAND, NSDK_NVME_SC_##name)

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;

/* What the controller says of command sets. */
static struct {
	uint64_t sets[512];
	uint32_t list[8];
	struct nsdk_nvme_id_ns_zns id;
	struct nsdk_nvme_id_ctrl_zns limits;
	uint16_t list_status, id_status, limits_status;
	unsigned asked_sets, asked_list, asked_id;
} says;

/* What it says of zones: into the buffer, as it is. */
static struct {
	struct nsdk_nvme_zone_report_header header;
	struct nsdk_nvme_zone_desc descs[16];
} answer;

/* The I/O commands that it got. */
static struct {
	uint8_t opcode;
	uint64_t lba;
	uint32_t blocks, cdw12, cdw13;
} got[256];
static unsigned got_count, in_flight, most_in_flight, fail_at;
static enum fake_action io_action;
static uint16_t io_status;

static uint16_t copy_to(const struct nsdk_nvme_cmd *cmd, const void *from, size_t bytes)
{
	memcpy(fake_va(cmd->prp1), from, bytes);
	return 0;
}

static enum fake_action admin(const struct nsdk_nvme_cmd *cmd, uint16_t *status)
{
	unsigned csi = cmd->cdw11 >> 24;

	if (cmd->opcode != NSDK_NVME_ADMIN_IDENTIFY)
		return FAKE_DO;
	switch (cmd->cdw10 & 0xff) {
	case NSDK_NVME_CNS_IO_COMMAND_SETS:
		NSDK_ASSERT_INT(cmd->cdw10 >> 16, 0xffff);
		says.asked_sets++;
		*status = copy_to(cmd, says.sets, sizeof(says.sets));
		return FAKE_REPLY;
	case NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST:
		NSDK_ASSERT_INT(csi, NSDK_NVME_CSI_ZNS);
		says.asked_list++;
		copy_to(cmd, says.list, sizeof(says.list));
		*status = says.list_status;
		return FAKE_REPLY;
	case NSDK_NVME_CNS_CSI_CTRLR:
		copy_to(cmd, &says.limits, sizeof(says.limits));
		*status = says.limits_status;
		return csi == NSDK_NVME_CSI_ZNS ? FAKE_REPLY : FAKE_DO;
	case NSDK_NVME_CNS_CSI_NS:
		NSDK_ASSERT_INT(csi, NSDK_NVME_CSI_ZNS);
		says.asked_id++;
		copy_to(cmd, &says.id, sizeof(says.id));
		*status = says.id_status;
		return FAKE_REPLY;
	default:
		return FAKE_DO;
	}
}

static enum fake_action hook(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			     uint32_t *dw0)
{
	if (qid == 0)
		return admin(cmd, status);
	CU_ASSERT_FATAL(got_count < 256);
	got[got_count].opcode = cmd->opcode;
	got[got_count].lba = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32;
	got[got_count].blocks = (cmd->cdw12 & 0xffff) + 1;
	got[got_count].cdw12 = cmd->cdw12;
	got[got_count].cdw13 = cmd->cdw13;
	got_count++;
	if (cmd->opcode == NSDK_NVME_ZNS_MGMT_RECEIVE)
		memcpy(fake_va(cmd->prp1), &answer, sizeof(answer));
	*status = got_count == fail_at ? ZNS_STATUS(ZONE_INVALID_WRITE) : io_status;
	if (io_action == FAKE_HOLD && ++in_flight > most_in_flight)
		most_in_flight = in_flight;
	return io_action;
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	memset(&says, 0, sizeof(says));
	memset(&answer, 0, sizeof(answer));
	memset(&done, 0, sizeof(done));
	got_count = in_flight = most_in_flight = fail_at = 0;
	io_action = FAKE_REPLY;
	io_status = 0;
	fake.cap |= 1ull << 43;
	fake.namespaces = 3;
	fake.hook = hook;
	says.sets[1] = 1u << NSDK_NVME_CSI_NVM | 1u << NSDK_NVME_CSI_ZNS;
	says.list[0] = 2;
	says.id.lbafe[0] = (struct nsdk_nvme_zns_lbafe){ .zsze = ZONE, .zdes = 1 };
	says.id.mor = 6;
	says.id.mar = UINT32_MAX;
	says.limits.zasl = 3;
}

static void attach(void)
{
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 2);
	qp = fake_qpair(ctrlr, 16);
	nsdk_unit_log_clear();
}

static void after(void)
{
	if (ctrlr)
		fake_teardown(ctrlr, qp);
	ctrlr = NULL;
	qp = NULL;
	nsdk_unit_log_stop();
}

static void run(int count)
{
	for (int i = 0; i < 1000 && done.count < count; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	NSDK_ASSERT_INT(done.count, count);
}

/* ---- How they are found ---- */

static void are_found(void)
{
	const struct nsdk_nvme_zoned *zoned;

	attach();
	NSDK_ASSERT_INT(fake.cc >> NSDK_NVME_CC_CSS_SHIFT & 7, 6);
	zoned = nsdk_nvme_ns_zoned(ns);
	CU_ASSERT_PTR_NOT_NULL_FATAL(zoned);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(nsdk_nvme_ns_get(ctrlr, 1)));
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(nsdk_nvme_ns_get(ctrlr, 3)));
	CU_ASSERT_EQUAL(zoned->zone_blocks, ZONE);
	CU_ASSERT_EQUAL(zoned->zones, fake.blocks / ZONE);
	NSDK_ASSERT_INT(zoned->max_open, 7);
	NSDK_ASSERT_INT(zoned->max_active, 0);
	NSDK_ASSERT_INT(zoned->desc_ext_bytes, 64);
	NSDK_ASSERT_INT(zoned->max_append_blocks, 64);
	NSDK_ASSERT_INT(says.asked_id, 1);
	/* The short ways do not look at zones. */
	CU_ASSERT(ns->short_lba_end == 0 && ns->two_pages_lba_end == 0);
	CU_ASSERT(nsdk_nvme_ns_get(ctrlr, 1)->short_lba_end != 0);
}

static void short_ways_are_open_where_reads_may_cross(void)
{
	says.id.ozcs = NSDK_NVME_OZCS_READ_ACROSS;
	says.limits_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	attach();
	CU_ASSERT(ns->short_lba_end != 0 && ns->two_pages_lba_end != 0);
	/* No limit of its own for appends: the largest transfer. */
	NSDK_ASSERT_INT(nsdk_nvme_ns_zoned(ns)->max_append_blocks, 256);
}

static void nothing_is_asked_where_there_is_none(void)
{
	fake.cap &= ~(1ull << 43);
	attach();
	NSDK_ASSERT_INT(fake.cc >> NSDK_NVME_CC_CSS_SHIFT & 7, 0);
	NSDK_ASSERT_INT(says.asked_sets, 0);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(ns));
}

static void the_list_is_asked_for_only_with_the_command_set(void)
{
	memset(says.sets, 0, sizeof(says.sets));
	says.sets[0] = 1u << NSDK_NVME_CSI_NVM | 1u << NSDK_NVME_CSI_KV;
	attach();
	NSDK_ASSERT_INT(says.asked_sets, 1);
	NSDK_ASSERT_INT(says.asked_list, 0);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(ns));
	CU_ASSERT(ns->short_lba_end != 0);
}

static void a_list_that_is_refused_is_empty(void)
{
	says.list_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	attach();
	NSDK_ASSERT_INT(says.asked_list, 1);
	NSDK_ASSERT_INT(says.asked_id, 0);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(ns));
}

static void a_list_out_of_order_is_a_lie(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts) };

	says.list[0] = 3;
	says.list[1] = 2;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -EIO);
	ctrlr = NULL;
	CU_ASSERT(nsdk_unit_log_has("the list of zoned namespaces has 2 behind 3"));
}

/* What cannot be is said at attach, refuses I/O, and keeps nobody from the others. */
static void zones_that_cannot_be(void)
{
	static const char *const whys[] = { "zones without blocks", "zones that are larger",
					   "nothing of its zones" };

	for (unsigned i = 0; i < 3; i++) {
		before();
		if (i < 2)
			says.id.lbafe[0].zsze = i ? fake.blocks + 1 : 0;
		else
			says.id_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
		ctrlr = fake_attach();
		CU_ASSERT(nsdk_unit_log_has(whys[i]));
		ns = nsdk_nvme_ns_get(ctrlr, 2);
		qp = fake_qpair(ctrlr, 16);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 1, 0, fake_done_cb,
					       &done), -EIO);
		NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, fake_buffer(2, 0), 0, 1, 0,
						      fake_done_cb, &done),
				-EIO);
		NSDK_ASSERT_INT(nsdk_nvme_read(nsdk_nvme_ns_get(ctrlr, 1), qp, fake_buffer(2, 0), 0,
					       1, 0,
					       fake_done_cb, &done), 0);
		run(1);
		after();
	}
	before();
}

/* ---- Splits ---- */

static void complete_one(void)
{
	in_flight--;
	fake_complete(1, fake.last_cid[1], fail_at && got_count >= fail_at ?
		      ZNS_STATUS(ZONE_INVALID_WRITE) : 0);
	nsdk_nvme_qpair_poll(qp, 0);
	nsdk_nvme_qpair_poll(qp, 0);
}

static void writes_are_one_at_a_time(void)
{
	attach();
	io_action = FAKE_HOLD;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), ZONE, 1000, 0, fake_done_cb,
					&done), 0);
	for (int i = 0; i < 10 && !done.count; i++) {
		nsdk_nvme_qpair_poll(qp, 0);
		nsdk_nvme_qpair_poll(qp, 0);
		NSDK_ASSERT_INT(in_flight, 1);
		CU_ASSERT_EQUAL(got[got_count - 1].lba, ZONE + 256u * (unsigned)i);
		complete_one();
	}
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(got_count, 4);
	NSDK_ASSERT_INT(most_in_flight, 1);

	/* After an error nothing follows. */
	done.count = 0;
	got_count = 0;
	fail_at = 2;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), ZONE, 1000, 0, fake_done_cb,
					&done), 0);
	for (int i = 0; i < 10 && !done.count; i++) {
		nsdk_nvme_qpair_poll(qp, 0);
		complete_one();
	}
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(done.status & 0xffe, ZNS_STATUS(ZONE_INVALID_WRITE));
	NSDK_ASSERT_INT(got_count, 2);

	/* From zone to zone, and without zones. */
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), ZONE + 24, 1001, 0, fake_done_cb,
					&done), -EINVAL);
	done.count = 0;
	got_count = in_flight = most_in_flight = fail_at = 0;
	NSDK_ASSERT_INT(nsdk_nvme_write(nsdk_nvme_ns_get(ctrlr, 1), qp, fake_buffer(2, 0),
					ZONE + 24, 1001, 0,
					fake_done_cb, &done), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(got_count, 4);
	fake.hook = NULL;
}

/* One that waits for its piece does not hold up those behind it. */
static void writes_of_other_zones_go_on(void)
{
	/* Called back when the queue pair goes. */
	static struct fake_done others[3];

	memset(others, 0, sizeof(others));
	attach();
	io_action = FAKE_HOLD;
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), i * ZONE, 1024, 0,
						fake_done_cb,
						&others[i]), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	fake_complete(1, fake.last_cid[1], 0);
	nsdk_nvme_qpair_poll(qp, 0);
	nsdk_nvme_qpair_poll(qp, 0);
	/* Of each zone one, whichever of them came back. */
	NSDK_ASSERT_INT(got_count, 4);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(others[i].count, 0);
	fake.hook = NULL;
}

static void reads_are_cut(void)
{
	static const uint64_t expected[][2] = { { 1020, 4 }, { 1024, 256 }, { 1280, 256 }, { 1536,
											    256 },
						{ 1792, 256 }, { 2048, 4 } };

	attach();
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 1020, 1032, 0, fake_done_cb,
				       &done), 0);
	run(1);
	NSDK_ASSERT_INT(got_count, 6);
	for (unsigned i = 0; i < 6; i++) {
		CU_ASSERT_EQUAL(got[i].lba, expected[i][0]);
		CU_ASSERT_EQUAL(got[i].blocks, expected[i][1]);
	}
	/* Two blocks as well; within a zone it is one command. */
	got_count = 0;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 1023, 2, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 1024, 2, 0, fake_done_cb, &done),
			0);
	run(3);
	NSDK_ASSERT_INT(got_count, 3);
}

/* ---- Commands ---- */

static void says_what_was_asked_for(void)
{
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, fake_buffer(2, 0), 3 * ZONE, 64,
					      NSDK_NVME_RW_FUA, fake_done_cb,
					      &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 2 * ZONE, NSDK_NVME_ZONE_FINISH, 0,
						 fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 77, NSDK_NVME_ZONE_RESET,
						 NSDK_NVME_ZONE_SELECT_ALL,
						 fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_set_desc_ext(ns, qp, ZONE, fake_buffer(2, 4), fake_done_cb,
						    &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_recv(ns, qp, 5, true, NSDK_NVME_ZONES_FULL, true,
						 fake_buffer(3, 0), 8192,
						 fake_done_cb, &done), 0);
	run(5);
	NSDK_ASSERT_INT(got[0].opcode, NSDK_NVME_ZNS_APPEND);
	CU_ASSERT_EQUAL(got[0].lba, 3 * ZONE);
	CU_ASSERT_EQUAL(got[0].cdw12, NSDK_NVME_RW_FUA | 63);
	NSDK_ASSERT_INT(got[1].opcode, NSDK_NVME_ZNS_MGMT_SEND);
	NSDK_ASSERT_INT(got[1].cdw13, NSDK_NVME_ZONE_FINISH);
	CU_ASSERT_EQUAL(got[1].lba, 2 * ZONE);
	NSDK_ASSERT_INT(got[2].cdw13, NSDK_NVME_ZONE_RESET | 0x100);
	CU_ASSERT_EQUAL(got[2].lba, 0);
	NSDK_ASSERT_INT(got[3].cdw13, NSDK_NVME_ZONE_SET_DESC_EXT);
	NSDK_ASSERT_INT(got[4].opcode, NSDK_NVME_ZNS_MGMT_RECEIVE);
	CU_ASSERT_EQUAL(got[4].cdw12, 2047);
	CU_ASSERT_EQUAL(got[4].cdw13, 0x10501);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, fake_buffer(2, 0), 3 * ZONE, 65, 0,
					      fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, fake_buffer(2, 2), 3 * ZONE, 1, 0,
					      fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_recv(ns, qp, 0, false, 0, true, fake_buffer(3, 0), 60,
						 fake_done_cb, &done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_recv(ns, qp, 0, false, 0, true, fake_buffer(3, 0), 66,
						 fake_done_cb, &done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_recv(ns, qp, 0, false, 0, true, fake_buffer(3, 0),
						 128 * 1024 + 4,
						 fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_recv(ns, qp, fake.blocks, false, 0, true, fake_buffer(3,
												  0), 4096,
						 fake_done_cb, &done), -EINVAL);
}

/* ---- Reports ---- */

static unsigned told;

static bool tell(void *ctx, const struct nsdk_nvme_zone *zone)
{
	CU_ASSERT_EQUAL(zone->zslba, told * ZONE);
	told++;
	return true;
}

static void good_answer(unsigned count)
{
	answer.header.zones = count;
	for (unsigned i = 0; i < 16; i++)
		answer.descs[i] = (struct nsdk_nvme_zone_desc){
			.type = NSDK_NVME_ZONE_SEQWRITE_REQUIRED,
			.state = NSDK_NVME_ZONE_EMPTY << 4,
			.zcap = ZONE,
			.zslba = i * ZONE,
			.wp = i * ZONE,
		};
}

static int report(size_t bytes, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_nvme_zone_report *out;
	int rc;

	told = 0;
	rc = nsdk_nvme_zone_report_start(ns, qp, &opts, fake_buffer(2, 0), bytes, tell, NULL, &out);
	if (rc)
		return rc;
	for (int i = 0; i < 100; i++) {
		rc = nsdk_nvme_zone_report_poll(out, cpl);
		if (rc != -EAGAIN)
			return rc;
		CU_ASSERT(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	}
	CU_FAIL("a report without end");
	return rc;
}

static void reports_that_lie(void)
{
	struct nsdk_nvme_zone_desc *third = &answer.descs[2];
	struct nsdk_nvme_cpl cpl;

	attach();
	for (unsigned lie = 0; lie < 11; lie++) {
		good_answer(16);
		switch (lie) {
		case 0:
			answer.header.zones = 17;
			break;
		case 1:
			answer.header.zones = UINT64_MAX;
			break;
		case 2:
			third->zslba = ZONE; /* twice */
			break;
		case 3:
			third->zslba++;
			break;
		case 4:
			third->zslba = fake.blocks;
			break;
		case 5:
			third->type = 1;
			break;
		case 6:
			third->state = 0;
			break;
		case 7:
			third->state = 9 << 4;
			break;
		case 8:
			third->zcap = ZONE + 1;
			break;
		case 9:
			third->wp = third->zslba - 1;
			break;
		default:
			third->wp = third->zslba + ZONE + 1;
			break;
		}
		nsdk_unit_log_clear();
		NSDK_ASSERT_INT(report(64 + 16 * 64, &cpl), -EIO);
		NSDK_ASSERT_INT(told, lie < 2 ? 0 : 2);
		NSDK_ASSERT_INT(cpl.status, 0);
		CU_ASSERT(nsdk_unit_log_has("the controller cannot be trusted"));
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
	}
	/* A write pointer means nothing where the state gives it no meaning. */
	good_answer(16);
	third->state = NSDK_NVME_ZONE_FULL << 4;
	third->wp = UINT64_MAX;
	NSDK_ASSERT_INT(report(64 + 16 * 64, &cpl), 0);
	NSDK_ASSERT_INT(told, 16);
	/* It may end early; and no zones are the end. */
	good_answer(3);
	answer.descs[3].zslba = 0;
	told = 0;
	got_count = 0;
	NSDK_ASSERT_INT(report(64 + 16 * 64, &cpl), -EIO);
	NSDK_ASSERT_INT(got_count, 2);
	CU_ASSERT_EQUAL(got[1].lba, 3 * ZONE);
	answer.header.zones = 0;
	NSDK_ASSERT_INT(report(64 + 16 * 64, &cpl), 0);
	NSDK_ASSERT_INT(told, 0);
}

static void reports_that_fail(void)
{
	struct nsdk_nvme_cpl cpl;

	attach();
	good_answer(16);
	io_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	NSDK_ASSERT_INT(report(4096, &cpl), -EIO);
	NSDK_ASSERT_INT(cpl.status & 0xffe, io_status);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	io_status = 0;
	NSDK_ASSERT_INT(report(127, &cpl), -EINVAL);
}

/* A queue pair that is full is waited for, up to the deadline; what is in flight in any case. */
static void reports_wait(void)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_nvme_zone_report *out;
	struct nsdk_nvme_cpl cpl;
	static struct fake_done flushes; /* called back when the queue pair goes */
	int held = 0;

	memset(&flushes, 0, sizeof(flushes));
	attach();
	good_answer(16);
	io_action = FAKE_HOLD;
	while (nsdk_nvme_flush(ns, qp, fake_done_cb, &flushes) == 0)
		held++;
	nsdk_nvme_qpair_poll(qp, 0);
	told = 0;
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_start(ns, qp, &opts, fake_buffer(2, 0), 4096, tell,
						    NULL, &out), 0);
	for (int i = 0; i < 5; i++)
		NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), -EAGAIN);
	NSDK_ASSERT_INT(got_count, held);
	io_action = FAKE_REPLY;
	fake_complete(1, fake.last_cid[1], 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(flushes.count, 1);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), -EAGAIN);
	nsdk_nvme_qpair_poll(qp, 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), 0);
	NSDK_ASSERT_INT(told, 16);

	/* Stopped while a command is under way, and while it waits for room. */
	io_action = FAKE_HOLD;
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_start(ns, qp, &opts, fake_buffer(2, 0), 4096, tell,
						    NULL, &out), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	nsdk_nvme_zone_report_stop(out);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), -EAGAIN);
	told = 0;
	fake_complete(1, fake.last_cid[1], 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), -ECANCELED);
	NSDK_ASSERT_INT(told, 0);
	NSDK_ASSERT_INT(nsdk_nvme_flush(ns, qp, fake_done_cb, &flushes), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_start(ns, qp, &opts, fake_buffer(2, 0), 4096, tell,
						    NULL, &out), 0);
	nsdk_nvme_zone_report_stop(out);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_poll(out, &cpl), -ECANCELED);
	fake_complete(1, fake.last_cid[1], 0);
	nsdk_nvme_qpair_poll(qp, 0);

	/* Each look at the clock takes 10 ms here. */
	io_action = FAKE_HOLD;
	NSDK_ASSERT_INT(nsdk_nvme_flush(ns, qp, fake_done_cb, &flushes), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	opts.timeout_ns = 100000000;
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_start(ns, qp, &opts, fake_buffer(2, 0), 4096, tell,
						    NULL, &out), 0);
	held = -EAGAIN;
	for (int i = 0; i < 20 && held == -EAGAIN; i++)
		held = nsdk_nvme_zone_report_poll(out, &cpl);
	NSDK_ASSERT_INT(held, -ETIMEDOUT);
	fake.hook = NULL;
}

/* ---- What changes ---- */

static void changed(void)
{
	fake_event(0x040002);
	for (int i = 0; i < 200; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
}

static void changes_are_seen(void)
{
	const struct nsdk_nvme_zoned *zoned;

	attach();
	nsdk_nvme_ctrlr_poll(ctrlr);
	zoned = nsdk_nvme_ns_zoned(ns);
	/* As it was: it can be used all the while. */
	changed();
	NSDK_ASSERT_INT(ns->refusal, 0);
	CU_ASSERT_PTR_EQUAL(nsdk_nvme_ns_zoned(ns), zoned);
	CU_ASSERT(ns->short_lba_end == 0);
	/* Another that is zoned comes. */
	fake.namespaces = 4;
	says.list[1] = 4;
	changed();
	CU_ASSERT_PTR_NOT_NULL_FATAL(nsdk_nvme_ns_get(ctrlr, 4));
	CU_ASSERT_PTR_NOT_NULL_FATAL(nsdk_nvme_ns_zoned(nsdk_nvme_ns_get(ctrlr, 4)));
	CU_ASSERT_EQUAL(nsdk_nvme_ns_zoned(nsdk_nvme_ns_get(ctrlr, 4))->zone_blocks, ZONE);
	NSDK_ASSERT_INT(nsdk_nvme_ns_get(ctrlr, 4)->refusal, 0);
	/* Somebody gives them zones of another size: I/O of ours counts in those of before. */
	nsdk_unit_log_clear();
	says.id.lbafe[0].zsze = 2 * ZONE;
	changed();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	CU_ASSERT(nsdk_unit_log_has("with zones of another size"));
	changed();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(are_found),
	NSDK_UNIT_TEST(short_ways_are_open_where_reads_may_cross),
	NSDK_UNIT_TEST(nothing_is_asked_where_there_is_none),
	NSDK_UNIT_TEST(the_list_is_asked_for_only_with_the_command_set),
	NSDK_UNIT_TEST(a_list_that_is_refused_is_empty),
	NSDK_UNIT_TEST(a_list_out_of_order_is_a_lie),
	NSDK_UNIT_TEST(zones_that_cannot_be),
	NSDK_UNIT_TEST(writes_are_one_at_a_time),
	NSDK_UNIT_TEST(writes_of_other_zones_go_on),
	NSDK_UNIT_TEST(reads_are_cut),
	NSDK_UNIT_TEST(says_what_was_asked_for),
	NSDK_UNIT_TEST(reports_that_lie),
	NSDK_UNIT_TEST(reports_that_fail),
	NSDK_UNIT_TEST(reports_wait),
	NSDK_UNIT_TEST(changes_are_seen),
};

NSDK_UNIT_MAIN("drivers/nvme/zns", tests, .before = before, .after = after)
