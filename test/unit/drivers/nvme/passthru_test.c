/* SPDX-License-Identifier: BSD-3-Clause */
/* Raw commands: what is refused, what the device is given, and who is told what. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_admin.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct fake_done done;

static void attach(void)
{
	ctrlr = fake_attach();
	nsdk_nvme_ctrlr_poll(ctrlr);
	qp = fake_qpair(ctrlr, 8);
	fake.commands = 0;
}

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
	memset(&done, 0, sizeof(done));
}

static void after(void)
{
	fake.hook = NULL;
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

static int admin(const struct nsdk_nvme_cmd *cmd, void *buf, size_t bytes, enum nsdk_dma_dir dir)
{
	return nsdk_nvme_admin_passthru(ctrlr, cmd, buf, bytes, dir, 0, fake_done_cb, &done);
}

static void refuses_what_would_break_the_driver(void)
{
	static const uint8_t opcodes[] = { 0x00, 0x01, 0x04, 0x05, 0x0c, 0x7c };
	static const struct nsdk_nvme_cmd cmds[] = {
		{ .opcode = 0x06, .flags = 0x40 }, /* an SGL */
		{ .opcode = 0x06, .flags = 0x01 }, /* fused */
		{ .opcode = 0x06, .mptr = 0x1000 },
		{ .opcode = 0x09, .cdw10 = 0x07 }, /* number of queues */
		{ .opcode = 0x09, .cdw10 = 0x8000000d }, /* host memory buffer */
		{ .opcode = 0x09, .cdw10 = 0x16 }, /* what formats the host knows of */
	};
	struct nsdk_nvme_cmd cmd = { 0 };

	attach();
	for (size_t i = 0; i < sizeof(opcodes); i++) {
		cmd.opcode = opcodes[i];
		NSDK_ASSERT_INT(admin(&cmd, NULL, 0, NSDK_DMA_TO_DEVICE), -EPERM);
	}
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		NSDK_ASSERT_INT(admin(&cmds[i], NULL, 0, NSDK_DMA_TO_DEVICE), -EPERM);
		if (i < 3)
			NSDK_ASSERT_INT(nsdk_nvme_io_passthru(NULL, qp, &cmds[i], NULL, 0,
							      NSDK_DMA_TO_DEVICE, fake_done_cb,
							      &done), -EPERM);
	}
	/* The same opcodes are other commands on an I/O queue. */
	for (size_t i = 0; i < sizeof(opcodes); i++) {
		cmd.opcode = opcodes[i];
		cmd.nsid = 1;
		NSDK_ASSERT_INT(nsdk_nvme_io_passthru(NULL, qp, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE,
						      fake_done_cb, &done), 0);
	}
	fake.hook = NULL;
	NSDK_ASSERT_INT(fake.commands, 0);
	NSDK_ASSERT_INT(done.count, 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void refuses_data_that_cannot_be(void)
{
	const struct nsdk_nvme_cmd identify = { .opcode = 0x06, .cdw10 = 1 };
	const struct nsdk_nvme_cmd none = { .opcode = 0x80 };
	uint8_t *buf = fake_buffer(3, 0);

	fake.mdts = 2;
	attach();
	NSDK_ASSERT_INT(admin(&identify, buf, 4096, NSDK_DMA_TO_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, buf, 4096, NSDK_DMA_BIDIRECTIONAL), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, buf, 4095, NSDK_DMA_FROM_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, buf + 2, 4096, NSDK_DMA_FROM_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, NULL, 4096, NSDK_DMA_FROM_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, buf, 16388, NSDK_DMA_FROM_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&none, buf, 4096, NSDK_DMA_TO_DEVICE), -EINVAL);
	NSDK_ASSERT_INT(admin(&identify, &buf, 4, NSDK_DMA_FROM_DEVICE), -EFAULT);
	/* The last piece of the window is not mapped. */
	NSDK_ASSERT_INT(admin(&identify, fake_buffer(FAKE_PIECES - 1, 0) - 4, 8,
			      NSDK_DMA_FROM_DEVICE), -EFAULT);
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &identify, buf, 4096, NSDK_DMA_FROM_DEVICE, 0,
						 NULL, NULL), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_io_passthru(NULL, qp, &none, NULL, 0, NSDK_DMA_TO_DEVICE, NULL,
					      NULL), -EINVAL);
	NSDK_ASSERT_INT(fake.commands, 0);
	NSDK_ASSERT_INT(done.count, 0);
}

static void lines_are_whole_past_the_caches(void)
{
	const struct nsdk_nvme_cmd identify = { .opcode = 0x06, .cdw10 = 1 };
	const struct nsdk_nvme_cmd download = { .opcode = 0x11, .cdw10 = 15 };
	unsigned for_device, for_cpu;
	uint8_t *buf = fake_buffer(3, 0);

	fake.active = true;
	attach();
	NSDK_ASSERT_INT(admin(&identify, buf + 4, 4096, NSDK_DMA_FROM_DEVICE), -EINVAL);
	for_device = fake.syncs_for_device;
	/* Given to the device: the buffer and the SQE; taken back: the buffer and two looks at the CQ. */
	NSDK_ASSERT_INT(admin(&identify, buf, 4096, NSDK_DMA_FROM_DEVICE), 0);
	NSDK_ASSERT_INT(fake.syncs_for_device - for_device, 2);
	for_cpu = fake.syncs_for_cpu;
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(fake.syncs_for_cpu - for_cpu, 3);
	NSDK_ASSERT_INT(done.count, 1);
	/* What the device only reads may share lines, and is not taken back. */
	NSDK_ASSERT_INT(admin(&download, buf + 4, 64, NSDK_DMA_TO_DEVICE), 0);
	for_cpu = fake.syncs_for_cpu;
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(fake.syncs_for_cpu - for_cpu, 2);
	/* A list is given as well. */
	for_device = fake.syncs_for_device;
	NSDK_ASSERT_INT(admin(&download, buf, 16384, NSDK_DMA_TO_DEVICE), 0);
	NSDK_ASSERT_INT(fake.syncs_for_device - for_device, 3);
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(done.count, 3);
}

static void what_the_user_said_of_ids_and_places_is_ignored(void)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = 0x7e,
		.cid = 0xffff,
		.nsid = 5,
		.cdw2 = 2,
		.prp1 = 0x1234,
		.prp2 = 0x5678,
		.cdw15 = 15,
	};

	attach();
	NSDK_ASSERT_INT(admin(&cmd, NULL, 0, NSDK_DMA_FROM_DEVICE), 0);
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(fake.last[0].opcode, 0x7e);
	NSDK_ASSERT_INT(fake.last[0].nsid, 5);
	NSDK_ASSERT_INT(fake.last[0].cdw2, 2);
	NSDK_ASSERT_INT(fake.last[0].cdw15, 15);
	CU_ASSERT(fake.last[0].cid < 64);
	CU_ASSERT_EQUAL(fake.last[0].prp1, 0);
	CU_ASSERT_EQUAL(fake.last[0].prp2, 0);
}

static enum fake_action do_nothing(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				   uint32_t *dw0)
{
	return qid ? FAKE_REPLY : FAKE_DO;
}

/* A raw command says no address for it, and the controller would use 0. */
static void metadata_apart_has_no_place(void)
{
	static const uint8_t opcodes[] = { NSDK_NVME_NVM_READ, NSDK_NVME_NVM_WRITE, NSDK_NVME_ZNS_APPEND,
					   NSDK_NVME_NVM_COMPARE };
	struct nsdk_nvme_metadata apart = { .block_bytes = 512, .bytes = 16, .pi_type = 1, .pi_bytes = 8 };
	struct nsdk_nvme_ns *ns;
	unsigned sent = 0;

	attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	fake.hook = do_nothing;
	/* None; with other metadata; of protection information alone; none apart. */
	for (unsigned kind = 0; kind < 4; kind++) {
		ns->metadata = kind ? apart : (struct nsdk_nvme_metadata){ .block_bytes = 512 };
		if (kind == 2)
			ns->metadata.bytes = 8;
		ns->metadata.extended = kind == 3;
		for (unsigned i = 0; i < 8; i++) {
			struct nsdk_nvme_cmd cmd = {
				.opcode = opcodes[i / 2],
				.cdw12 = i % 2 ? NSDK_NVME_RW_PRACT : 0,
			};
			bool fine = kind == 0 || kind == 3 || (kind == 2 && i % 2 && i < 6);

			nsdk_unit_log_clear();
			NSDK_ASSERT_INT(nsdk_nvme_io_passthru(ns, qp, &cmd, fake_buffer(2, 0), 512,
							      nsdk_nvme_opcode_dir(cmd.opcode),
							      fake_done_cb, &done), fine ? 0 : -EPERM);
			if (!fine)
				NSDK_ASSERT_ONE_SENTENCE("of metadata that each block has apart");
			nsdk_nvme_qpair_poll(qp, 0);
			sent += fine;
			NSDK_ASSERT_INT(done.count, sent);
		}
	}
	/* What moves no blocks. */
	ns->metadata = apart;
	NSDK_ASSERT_INT(nsdk_nvme_io_passthru(ns, qp, &(struct nsdk_nvme_cmd){ 0 }, NULL, 0,
					      NSDK_DMA_TO_DEVICE, fake_done_cb, &done), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, sent + 1);
}

static enum fake_action no_check(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	return qid && cmd->opcode >= 0x80 ? FAKE_REPLY : FAKE_DO;
}

/*
 * The short ways do not write cdw2, 3, 13 to 15: whatever a raw command left in a slot must not reach
 * the device again with them. (The fake asserts that these are zero with all it knows.)
 */
static void nothing_of_a_raw_command_is_left_in_the_ring(void)
{
	/* Each dword alone. */
	static const struct nsdk_nvme_cmd raws[] = {
		{ .opcode = 0xc0, .nsid = 1, .cdw2 = 0x22222222 },
		{ .opcode = 0xc0, .nsid = 1, .cdw3 = 0x33333333 },
		{ .opcode = 0xc0, .nsid = 1, .cdw13 = 0x13131313 },
		{ .opcode = 0xc0, .nsid = 1, .cdw14 = 0x14141414 },
		{ .opcode = 0xc0, .nsid = 1, .cdw15 = 0x15151515 },
	};
	struct nsdk_nvme_ns *ns;
	struct fake_done io = { 0 };

	for (int active = 0; active < 2; active++) {
		fake_reset();
		fake.active = active;
		attach();
		ns = nsdk_nvme_ns_get(ctrlr, 1);
		fake.hook = no_check;
		for (int round = 0; round < 5; round++) {
			bool was_short = qp->short_pieces != 0;

			NSDK_ASSERT_INT(nsdk_nvme_io_passthru(ns, qp, &raws[round], NULL, 0,
							      NSDK_DMA_TO_DEVICE, fake_done_cb, &io),
					0);
			nsdk_nvme_qpair_poll(qp, 0);
			CU_ASSERT_EQUAL(fake.last[1].cdw13, raws[round].cdw13);
			CU_ASSERT_EQUAL(fake.last[1].cdw2, raws[round].cdw2);
			/* Reads of one page, of two, and more times than there are slots. */
			for (int i = 0; i < 20; i++) {
				NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 64 * (i % 3)), 0,
							       1, 0, fake_done_cb, &io), 0);
				nsdk_nvme_qpair_poll(qp, 0);
			}
			/* The short way is open again where it was. */
			CU_ASSERT_EQUAL(qp->short_pieces != 0, was_short);
			CU_ASSERT_EQUAL(qp->soiled, 0);
		}
		NSDK_ASSERT_INT(io.count, active ? 210 : 105);
		if (!active) {
			fake.hook = NULL;
			fake_teardown(ctrlr, qp);
			fake_check_clean();
		}
	}
}

static enum fake_action hold_all(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	return FAKE_HOLD;
}

static void everybody_is_called_back_at_the_end(void)
{
	const struct nsdk_nvme_cmd identify = { .opcode = 0x06, .cdw10 = 1 };
	int submitted = 0, err;

	attach();
	fake.hook = hold_all;
	while ((err = admin(&identify, fake_buffer(3, 0), 16384, NSDK_DMA_FROM_DEVICE)) == 0)
		submitted++;
	NSDK_ASSERT_INT(err, -EAGAIN);
	NSDK_ASSERT_INT(submitted, 59);
	fake.gone = true;
	CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) < 0);
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(done.count, 59);
	NSDK_ASSERT_INT(done.status, NVME_STATUS_INTERNAL_PATH);
	CU_ASSERT(admin(&identify, fake_buffer(3, 0), 4096, NSDK_DMA_FROM_DEVICE) < 0);
	NSDK_ASSERT_INT(done.count, 59);
}

static int err_inside;

static void sync_from_inside(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	const struct nsdk_nvme_cmd cmd = { .opcode = 0x06, .cdw10 = 1 };
	struct nsdk_nvme_cpl unused;

	err_inside = nsdk_nvme_admin_sync(ctrlr, &cmd, NULL, 0, NSDK_DMA_FROM_DEVICE, 0, &unused);
}

static void waiting_is_not_for_callbacks(void)
{
	const struct nsdk_nvme_cmd cmd = { .opcode = 0x7e };

	attach();
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_FROM_DEVICE, 0,
						 sync_from_inside, NULL), 0);
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(err_inside, -EDEADLK);
}

static void waiting_copies_what_is_good(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = 0x06, .cdw10 = 1 };
	struct nsdk_nvme_cpl cpl;
	uint8_t data[101];

	attach();
	memset(data, 0xee, sizeof(data));
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, data, 100, NSDK_DMA_FROM_DEVICE, 0, &cpl), 0);
	NSDK_ASSERT_INT(memcmp(data, &fake.id, 100), 0);
	NSDK_ASSERT_INT(data[100], 0xee);
	cmd.cdw10 = 0x99;
	memset(data, 0xee, sizeof(data));
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, data, 100, NSDK_DMA_FROM_DEVICE, 0, &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(data[0], 0xee);
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, NULL, 100, NSDK_DMA_FROM_DEVICE, 0, &cpl),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, data, (size_t)2 << 20, NSDK_DMA_FROM_DEVICE,
					     0, &cpl), -EINVAL);
	fake.hook = hold_all;
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, data, 100, NSDK_DMA_FROM_DEVICE,
					     5 * NVME_NS_PER_MS, &cpl), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("admin command 06h was not answered within 5 ms");
}

static void memory_that_is_not_there_is_no_harm(void)
{
	const struct nsdk_nvme_cmd identify = { .opcode = 0x06, .cdw10 = 1 };
	struct nsdk_nvme_cpl cpl;
	uint8_t data[4096];

	attach();
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int err = nsdk_nvme_admin_sync(ctrlr, &identify, data, sizeof(data),
					       NSDK_DMA_FROM_DEVICE, 0, &cpl);

		if (!err)
			err = admin(&identify, fake_buffer(3, 0), 16384, NSDK_DMA_FROM_DEVICE);
		CU_ASSERT_EQUAL(nsdk_unit_failed(), err < 0);
	}
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(done.count, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(refuses_what_would_break_the_driver),
	NSDK_UNIT_TEST(refuses_data_that_cannot_be),
	NSDK_UNIT_TEST(lines_are_whole_past_the_caches),
	NSDK_UNIT_TEST(what_the_user_said_of_ids_and_places_is_ignored),
	NSDK_UNIT_TEST(metadata_apart_has_no_place),
	NSDK_UNIT_TEST(nothing_of_a_raw_command_is_left_in_the_ring),
	NSDK_UNIT_TEST(everybody_is_called_back_at_the_end),
	NSDK_UNIT_TEST(waiting_is_not_for_callbacks),
	NSDK_UNIT_TEST(waiting_copies_what_is_good),
	NSDK_UNIT_TEST(memory_that_is_not_there_is_no_harm),
};

NSDK_UNIT_MAIN("drivers/nvme/passthru", tests, .before = before, .after = after)
