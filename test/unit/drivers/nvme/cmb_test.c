/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller memory buffer: where it is, who has what of it, and what goes through it. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/nvme_admin.h>

#include "drivers/nvme/nvme_internal.h"

#define ALL_SUPPORT 0x1fu
#define OK_STATUS 0
#define BUS_ADDRESS (FAKE_BUS_ADDRESS + FAKE_CMB_OFFSET)

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;

static uint8_t *cmb_memory(void)
{
	return fake_bar2 + FAKE_CMB_OFFSET;
}

/* A controller with a buffer of @p pages for what CMBSZ says. */
static void offers(unsigned pages, uint32_t support, unsigned wanted)
{
	fake_reset();
	nsdk_unit_log_clear();
	memset(fake_bar2, 0, sizeof(fake_bar2));
	fake.cap |= NSDK_NVME_CAP_CMBS;
	fake.cmbloc = FAKE_CMB_OFFSET / 4096 << 12 | 2;
	fake.cmbsz = pages << 12 | support;
	fake.cmb = wanted;
}

static void attach(void)
{
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
}

static struct nsdk_nvme_cmb_info info(void)
{
	struct nsdk_nvme_cmb_info out;

	nsdk_nvme_cmb_info(ctrlr, &out);
	return out;
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void finish(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

/* ---- Where it is ---- */

static void is_used_only_when_it_is_asked_for(void)
{
	offers(8, ALL_SUPPORT, 0);
	/* The fake fails what looks at its registers all the same. */
	attach();
	NSDK_ASSERT_INT(fake.cmbmsc_writes, 0);
	CU_ASSERT(!info().in_use && info().bytes == 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	finish();
}

/* Those of the bus, or any where they are taken. */
static void the_host_chooses_its_addresses(void)
{
	for (unsigned taken = 0; taken < 2; taken++) {
		uint64_t expected = taken ? (uintptr_t)cmb_memory() : BUS_ADDRESS;

		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
		fake.fixed_error = taken ? -EEXIST : 0;
		attach();
		CU_ASSERT(info().in_use);
		NSDK_ASSERT_INT(info().bytes, 8 * 4096);
		CU_ASSERT_EQUAL(info().address, expected);
		CU_ASSERT_EQUAL(fake.cmbmsc, (expected | 3));
		CU_ASSERT_EQUAL(fake.reserved, expected);
		CU_ASSERT_EQUAL(fake.reserved_bytes, 8 * 4096);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		finish();
		/* It is its own again. */
		CU_ASSERT_EQUAL(fake.cmbmsc, 0);
	}
}

static void an_older_one_has_its_address_on_the_bus(void)
{
	for (unsigned selectable = 0; selectable < 2; selectable++) {
		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
		if (!selectable)
			fake.cap &= ~NSDK_NVME_CAP_CMBS;
		fake.cmb_fixed = true;
		attach();
		CU_ASSERT(info().in_use);
		CU_ASSERT_EQUAL(info().address, BUS_ADDRESS);
		CU_ASSERT_EQUAL(fake.reserved, BUS_ADDRESS);
		/* Whoever does look at it is told the same. */
		CU_ASSERT_EQUAL(fake.cmbmsc, (selectable ? BUS_ADDRESS | 3 : 0));
		finish();
	}
}

/* One that another driver left enabled is not taken for an old one. */
static void one_that_was_left_enabled_gets_a_new_address(void)
{
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbmsc = 0x1234000 | 3;
	attach();
	CU_ASSERT_EQUAL(info().address, BUS_ADDRESS);
	CU_ASSERT_EQUAL(fake.cmbmsc, (BUS_ADDRESS | 3));
	finish();
}

static void goes_without(const char *why)
{
	attach();
	CU_ASSERT(!info().in_use);
	CU_ASSERT(nsdk_unit_log_has("was asked for and is not used"));
	CU_ASSERT(nsdk_unit_log_has(why));
	CU_ASSERT((fake.cmbmsc & NSDK_NVME_CMBMSC_CMSE) == 0);
	qp = fake_qpair(ctrlr, 16);
	CU_ASSERT_EQUAL(qp->attention & NVME_CMB, 0);
	fake_teardown(ctrlr, qp);
}

static void goes_without_what_cannot_be_used(void)
{
	offers(0, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	goes_without("it has none");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbsz = 0;
	fake.cap &= ~NSDK_NVME_CAP_CMBS;
	goes_without("it has none");
	offers(8, ALL_SUPPORT | 7 << 8, NSDK_NVME_CMB_SQ);
	goes_without("make no sense");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbloc |= 6;
	goes_without("make no sense");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmb_bar_error = 1;
	goes_without("cannot be mapped");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.bar_check_error = -EACCES;
	goes_without("over its MSI-X table, or over what the kernel does not let be mapped");
	/* In BAR 0, over registers and over doorbells. */
	offers(1, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbloc = 0;
	goes_without("over its registers");
	offers(1, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbloc = 1 << 12;
	goes_without("over its registers");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmbloc = sizeof(fake_bar2) / 4096 << 12 | 2;
	goes_without("outside of its BAR");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.reserve_error = -ENOSPC;
	goes_without("no addresses left");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmb_fixed = true;
	fake.fixed_error = -EEXIST;
	goes_without("on the bus is not known, taken");
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cmb_invalid = true;
	goes_without("does not take its address");
}

static void more_than_the_bar_has_is_not_believed(void)
{
	/* In units of 64 KiB, so the place is a multiple of those, too. */
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	fake.cmbsz = 100 << 12 | 1 << 8 | ALL_SUPPORT;
	fake.cmbloc = 2;
	attach();
	NSDK_ASSERT_INT(info().bytes, sizeof(fake_bar2));
	finish();
}

/* Behind the doorbells in BAR 0, those that are in front of it are all there are. */
static void queues_are_as_many_as_have_doorbells_before_it(void)
{
	offers(1, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	fake.cap |= UINT64_C(6) << 32; /* 256 bytes apart: eight pairs, one of them the admin queue's */
	fake.queues_granted = 7;
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_max_io_queues(ctrlr), 7);
	CU_ASSERT_EQUAL(nsdk_nvme_cmb_doorbells_end(ctrlr), FAKE_BAR_BYTES);
	ctrlr->cmb.loc = 0;
	ctrlr->cmb.base = fake_bar + 0x1400;
	CU_ASSERT_EQUAL(nsdk_nvme_cmb_doorbells_end(ctrlr), 0x1400);
	finish();
}

static void unknown_uses_are_refused(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .cmb = 4 };

	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cmb is 4h");
	fake_check_clean();
}

/* ---- Buffers ---- */

static void buffers_do_not_overlap(void)
{
	void *a, *b, *c, *d;

	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 1, &a), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 3 * 4096, &b), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4 * 4096, &c), 0);
	CU_ASSERT_PTR_EQUAL(a, cmb_memory());
	CU_ASSERT_PTR_EQUAL(b, cmb_memory() + 4096);
	CU_ASSERT_PTR_EQUAL(c, cmb_memory() + 4 * 4096);
	NSDK_ASSERT_INT(info().used_bytes, 8 * 4096);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 1, &d), -ENOMEM);
	CU_ASSERT_PTR_NULL(d);
	NSDK_ASSERT_ONE_SENTENCE("has no room for 1 KiB");
	/* A gap is used again by what fits into it, and by nothing else. */
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, b), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4 * 4096, &d), -ENOMEM);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 3 * 4096 - 5, &d), 0);
	CU_ASSERT_PTR_EQUAL(d, b);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, SIZE_MAX, &b), -ENOMEM);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, (char *)c + 4096), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("is no buffer");
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, &a), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, NULL), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, a), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, c), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, d), 0);
	NSDK_ASSERT_INT(info().used_bytes, 0);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, d), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 0, &d), -EINVAL);
	finish();
}

static void no_buffers_where_there_is_nothing_for_data(void)
{
	static const struct {
		uint32_t support;
		unsigned wanted;
	} cases[] = {
		{ ALL_SUPPORT, NSDK_NVME_CMB_SQ },
		{ ALL_SUPPORT, 0 },
		{ NSDK_NVME_CMBSZ_SQS, NSDK_NVME_CMB_DATA },
	};
	void *va = &va;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		offers(8, cases[i].support, cases[i].wanted);
		attach();
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4096, &va), -EOPNOTSUPP);
		NSDK_ASSERT_ONE_SENTENCE("no memory on the controller for data");
		CU_ASSERT_PTR_NULL(va);
		finish();
	}
}

/* ---- Data ---- */

static int transfer(bool write, void *buf, uint32_t blocks, struct fake_done *done)
{
	int err = write ? nsdk_nvme_write(ns, qp, buf, 8, blocks, 0, fake_done_cb, done) :
			  nsdk_nvme_read(ns, qp, buf, 8, blocks, 0, fake_done_cb, done);

	if (err)
		return err;
	for (int i = 0; i < 100 && !done->count; i++)
		nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done->count, 1);
	return done->status;
}

static void data_goes_there_and_back(void)
{
	for (unsigned nosnoop = 0; nosnoop < 2; nosnoop++) {
		struct fake_done done[3] = { { 0 } };
		unsigned for_device, for_cpu;
		void *va;

		offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
		fake.active = nosnoop;
		attach();
		qp = fake_qpair(ctrlr, 16);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 0x10000, &va), 0);
		for (unsigned i = 0; i < 0x10000; i++)
			((uint8_t *)va)[i] = (uint8_t)(i * 7 + i / 4096);
		for_device = fake.flushes_for_device;
		for_cpu = fake.flushes_for_cpu;
		/* With a PRP list, across what ordinary memory has as separate pages. */
		NSDK_ASSERT_INT(transfer(true, va, 128, &done[0]), OK_STATUS);
		NSDK_ASSERT_INT(memcmp(fake.disk[0] + 8 * 512, va, 0x10000), 0);
		memset(va, 0, 0x10000);
		NSDK_ASSERT_INT(transfer(false, va, 128, &done[1]), OK_STATUS);
		NSDK_ASSERT_INT(memcmp(fake.disk[0] + 8 * 512, va, 0x10000), 0);
		CU_ASSERT(fake.last[1].prp1 == BUS_ADDRESS);
		/* The commands and their lists are flushed, the data is not. */
		NSDK_ASSERT_INT(fake.flushes_for_device - for_device, nosnoop ? 4 : 0);
		NSDK_ASSERT_INT(fake.flushes_for_cpu - for_cpu, 0);
		/* As ordinary memory still is. */
		NSDK_ASSERT_INT(transfer(false, fake_buffer(9, 0), 8, &done[2]), OK_STATUS);
		NSDK_ASSERT_INT(fake.flushes_for_cpu - for_cpu, nosnoop);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_free(ctrlr, va), 0);
		fake_teardown(ctrlr, qp);
	}
}

static void a_direction_that_is_not_offered_is_refused(void)
{
	for (unsigned write = 0; write < 2; write++) {
		struct fake_done done[2] = { { 0 } };
		unsigned commands;
		void *va;

		offers(16, write ? NSDK_NVME_CMBSZ_RDS : NSDK_NVME_CMBSZ_WDS, NSDK_NVME_CMB_DATA);
		attach();
		qp = fake_qpair(ctrlr, 16);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4096, &va), 0);
		commands = fake.commands;
		NSDK_ASSERT_INT(transfer(write, va, 8, &done[0]), -EOPNOTSUPP);
		nsdk_nvme_qpair_poll(qp, 0);
		NSDK_ASSERT_INT(fake.commands, commands);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 0);
		NSDK_ASSERT_INT(transfer(!write, va, 8, &done[1]), OK_STATUS);
		fake_teardown(ctrlr, qp);
	}
}

static void mixed_data_is_for_those_that_take_it(void)
{
	for (unsigned mixed = 0; mixed < 2; mixed++) {
		struct fake_done done[2] = { { 0 } };
		struct iovec iov[3];
		void *va;

		offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
		if (mixed)
			fake.cmbloc |= NSDK_NVME_CMBLOC_CDMMMS;
		attach();
		qp = fake_qpair(ctrlr, 16);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 2 * 4096, &va), 0);
		iov[0] = (struct iovec){ va, 4096 };
		iov[1] = (struct iovec){ (char *)va + 4096, 4096 };
		iov[2] = (struct iovec){ fake_buffer(9, 0), 4096 };
		NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 2, 0, 16, 0, fake_done_cb, &done[0]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 3, 0, 24, 0, fake_done_cb, &done[1]),
				mixed ? 0 : -EINVAL);
		for (int i = 0; i < 10; i++)
			nsdk_nvme_qpair_poll(qp, 0);
		NSDK_ASSERT_INT(done[0].count, 1);
		NSDK_ASSERT_INT(done[1].count, mixed);
		fake_teardown(ctrlr, qp);
	}
}

static struct nsdk_nvme_cmd last_write;

static enum fake_action remember(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	if (qid == 0)
		return FAKE_DO;
	last_write = *cmd;
	*status = 0;
	return FAKE_REPLY;
}

/* Ordinary memory right behind the buffer, for the device, is another data block all the same. */
static void a_data_block_ends_with_the_buffer(void)
{
	struct fake_done done = { 0 };
	struct iovec iov[2];
	uint64_t behind;
	size_t left;
	void *va;

	offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	fake.cmbloc |= NSDK_NVME_CMBLOC_CDMMMS;
	fake.id.sgls = NSDK_NVME_SGLS_ANY_ALIGNMENT;
	attach();
	qp = fake_qpair(ctrlr, 16);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 16 * 4096, &va), 0);
	iov[0] = (struct iovec){ va, 16 * 4096 };
	iov[1] = (struct iovec){ fake_buffer(9, 0), 4096 };
	fake.hook = remember;
	/* As one block an SGL would say it in the command; as two it is no better than PRPs. */
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(ctrlr->map, (uintptr_t)iov[1].iov_base, &behind, &left), 0);
	ctrlr->own_map.own.addr = behind - 16 * 4096;
	NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, iov, 2, 0, 136, 0, fake_done_cb, &done), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 1);
	CU_ASSERT_EQUAL(last_write.prp1, behind - 16 * 4096);
	NSDK_ASSERT_INT(last_write.flags, 0);
	/* The buffer alone is one. */
	NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, iov, 1, 0, 128, 0, fake_done_cb, &done), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 2);
	NSDK_ASSERT_INT(last_write.flags, NSDK_NVME_PSDT_SGL);
	fake_teardown(ctrlr, qp);
}

static void admin_commands_do_not_take_it(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE };
	struct fake_done done = { 0 };
	void *va;

	offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4096, &va), 0);
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, va, 4096, NSDK_DMA_FROM_DEVICE, 0,
						 fake_done_cb, &done), -EFAULT);
	finish();
}

/* ---- Submission queues ---- */

static void commands_are_where_the_controller_looks(void)
{
	for (unsigned nosnoop = 0; nosnoop < 2; nosnoop++) {
		struct fake_done done[40] = { { 0 } };
		unsigned flushes;

		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
		fake.active = nosnoop;
		attach();
		qp = fake_qpair(ctrlr, 16);
		NSDK_ASSERT_INT(info().queues, 1);
		NSDK_ASSERT_INT(info().used_bytes, 4096);
		CU_ASSERT_EQUAL(fake.queues[1].sq_iova, BUS_ADDRESS);
		/* In ordinary memory, so that a place to poll is near. */
		CU_ASSERT(fake.queues[1].cq_iova < BUS_ADDRESS ||
			  fake.queues[1].cq_iova >= BUS_ADDRESS + FAKE_CMB_BYTES);
		flushes = fake.flushes_for_device;
		/* Round the ring more than twice, one at a time and several, submitted and polled. */
		for (unsigned i = 0; i < 40; i++) {
			uint8_t *buf = fake_buffer(9, i * 4096);

			memset(buf, (int)i + 1, 4096);
			NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, buf, i * 8, 8, 0, fake_done_cb, &done[i]), 0);
			if (i % 5 == 0)
				NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), 0);
			for (int n = 0; i % 5 == 4 && n < 10; n++)
				nsdk_nvme_qpair_poll(qp, 0);
		}
		for (unsigned i = 0; i < 40; i++) {
			NSDK_ASSERT_INT(done[i].count, 1);
			NSDK_ASSERT_INT(done[i].status, OK_STATUS);
			NSDK_ASSERT_INT(fake.disk[0][i * 4096], i + 1);
		}
		/* No-snoop: the data was flushed, and nothing else. */
		NSDK_ASSERT_INT(fake.flushes_for_device - flushes, nosnoop ? 40 : 0);
		NSDK_ASSERT_INT(fake.bad_dma, 0);
		fake_teardown(ctrlr, qp);
	}
}

static void queues_that_do_not_fit_are_in_ordinary_memory(void)
{
	struct nsdk_nvme_qpair *second;

	offers(1, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	attach();
	qp = fake_qpair(ctrlr, 64);
	second = fake_qpair(ctrlr, 64);
	NSDK_ASSERT_INT(info().queues, 1);
	CU_ASSERT((qp->attention & NVME_CMB) != 0);
	CU_ASSERT((second->attention & NVME_CMB) == 0);
	/* Its place is free with it. */
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	NSDK_ASSERT_INT(info().queues, 0);
	NSDK_ASSERT_INT(info().used_bytes, 0);
	qp = fake_qpair(ctrlr, 64);
	CU_ASSERT((qp->attention & NVME_CMB) != 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(second), 0);
	fake_teardown(ctrlr, qp);
}

static void no_queues_where_none_are_wanted_or_offered(void)
{
	offers(8, ALL_SUPPORT & ~NSDK_NVME_CMBSZ_SQS, NSDK_NVME_CMB_SQ);
	attach();
	qp = fake_qpair(ctrlr, 16);
	CU_ASSERT(info().in_use && info().queues == 0);
	CU_ASSERT((qp->attention & NVME_CMB) == 0);
	fake_teardown(ctrlr, qp);
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	attach();
	qp = fake_qpair(ctrlr, 16);
	CU_ASSERT(info().in_use && info().queues == 0);
	fake_teardown(ctrlr, qp);
}

/* What a controller answers to a queue in its memory; set before use. */
static uint16_t refusal;

static enum fake_action refuse_queues(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				      uint32_t *dw0)
{
	if (qid != 0 || cmd->opcode != NSDK_NVME_ADMIN_CREATE_SQ || cmd->prp1 < BUS_ADDRESS)
		return FAKE_DO;
	*status = refusal;
	return FAKE_REPLY;
}

static void queues_that_are_refused_are_in_ordinary_memory(void)
{
	for (unsigned nosnoop = 0; nosnoop < 2; nosnoop++) {
		struct fake_done done[2] = { { 0 } };
		struct nsdk_nvme_qpair *second;

		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
		fake.active = nosnoop;
		attach();
		refusal = NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_INVALID_CMB_USE);
		fake.hook = refuse_queues;
		qp = fake_qpair(ctrlr, 16);
		CU_ASSERT(nsdk_unit_log_has("refuses a submission queue in its memory buffer"));
		nsdk_unit_log_clear();
		/* Once is enough. */
		second = fake_qpair(ctrlr, 16);
		CU_ASSERT(!nsdk_unit_log_has("refuses a submission queue"));
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		CU_ASSERT(info().in_use && info().queues == 0 && info().used_bytes == 0);
		CU_ASSERT(fake.queues[1].sq_iova < BUS_ADDRESS && fake.queues[2].sq_iova < BUS_ADDRESS);
		memset(fake_buffer(9, 0), 0x5a, 4096);
		NSDK_ASSERT_INT(transfer(true, fake_buffer(9, 0), 8, &done[0]), OK_STATUS);
		NSDK_ASSERT_INT(fake.disk[0][8 * 512], 0x5a);
		NSDK_ASSERT_INT(fake.bad_dma, 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(second), 0);
		fake_teardown(ctrlr, qp);
	}
}

static enum fake_action hold(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status, uint32_t *dw0)
{
	return qid == 1 ? FAKE_HOLD : FAKE_DO;
}

static int poll_both(void)
{
	int err = nsdk_nvme_ctrlr_poll(ctrlr);

	nsdk_nvme_qpair_poll(qp, 0);
	fake.now_ns += 100 * NVME_NS_PER_MS;
	/* A function reset has a thread, which goes by the real clock. */
	if (ctrlr->recovery.rung == NVME_RUNG_FUNCTION_RESET)
		usleep(1000);
	return err;
}

/* The buffer loses what is in it, a function reset its address too; what was sent is sent again. */
static void comes_back_after_a_reset(void)
{
	for (unsigned function = 0; function < 2; function++) {
		struct fake_done done[3] = { { 0 } };
		unsigned writes;

		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
		attach();
		qp = fake_qpair(ctrlr, 16);
		memset(fake.disk[0], 0x3c, 4096);
		fake.hook = hold;
		for (unsigned i = 0; i < 3; i++)
			NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(9, i * 4096), 0, 8, 0,
						       fake_done_cb, &done[i]), 0);
		nsdk_nvme_qpair_poll(qp, 0);
		fake.hook = NULL;
		writes = fake.cmbmsc_writes;
		fake.never_disabled = function;
		fake.cfs = true;
		for (unsigned i = 0; i < 20000 && !done[2].count; i++)
			poll_both();
		for (unsigned i = 0; i < 3; i++) {
			NSDK_ASSERT_INT(done[i].count, 1);
			NSDK_ASSERT_INT(done[i].status, OK_STATUS);
			NSDK_ASSERT_INT(*fake_buffer(9, i * 4096), 0x3c);
		}
		CU_ASSERT(fake.cmbmsc_writes > writes);
		CU_ASSERT(!function == !fake.resets);
		CU_ASSERT_EQUAL(fake.cmbmsc, (BUS_ADDRESS | 3));
		CU_ASSERT_EQUAL(fake.queues[1].sq_iova, BUS_ADDRESS);
		NSDK_ASSERT_INT(fake.bad_dma, 0);
		nsdk_unit_log_clear();
		fake_teardown(ctrlr, qp);
	}
}

/* What the controller was to read there is gone with the reset: nobody writes that to the disk. */
static void data_that_was_lost_is_not_sent_again(void)
{
	for (unsigned mixed = 0; mixed < 2; mixed++) {
		struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .retry_writes = true };
		struct fake_done done[4] = { { 0 } };
		void *va;

		offers(8, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
		if (mixed)
			fake.cmbloc |= NSDK_NVME_CMBLOC_CDMMMS;
		attach();
		NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4096, &va), 0);
		fake.hook = hold;
		memset(va, 0x77, 4096);
		memset(fake_buffer(9, 0), 0x66, 4096);
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, va, 0, 8, 0, fake_done_cb, &done[0]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_compare(ns, qp, va, 8, 8, 0, fake_done_cb, &done[1]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(9, 0), 16, 8, 0, fake_done_cb,
						&done[2]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, va, 16, 8, 0, fake_done_cb, &done[3]), 0);
		nsdk_nvme_qpair_poll(qp, 0);
		fake.hook = NULL;
		fake.cfs = true;
		for (unsigned i = 0; i < 20000 && !done[3].count; i++)
			poll_both();
		for (unsigned i = 0; i < 4; i++)
			NSDK_ASSERT_INT(done[i].count, 1);
		NSDK_ASSERT_INT(done[0].status, NVME_STATUS_ABORTED_BY_HOST);
		NSDK_ASSERT_INT(done[1].status, NVME_STATUS_ABORTED_BY_HOST);
		NSDK_ASSERT_INT(fake.disk[0][0], 0);
		/* Where some may be there and some not, nobody can tell. */
		NSDK_ASSERT_INT(done[2].status, mixed ? NVME_STATUS_ABORTED_BY_HOST : OK_STATUS);
		NSDK_ASSERT_INT(done[3].status, OK_STATUS);
		NSDK_ASSERT_INT(*(uint8_t *)va, mixed ? 0 : 0x66);
		nsdk_unit_log_clear();
		fake_teardown(ctrlr, qp);
	}
}

/* No data of theirs can have been lost, whatever the controller mixes. */
static void what_has_no_data_is_sent_again(void)
{
	static struct nsdk_nvme_dsm_range range = { .blocks = 8, .slba = 64 };
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .retry_writes = true };
	struct fake_done done[4] = { { 0 } };
	void *va;

	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	fake.cmbloc |= NSDK_NVME_CMBLOC_CDMMMS;
	fake.id.oncs |= NSDK_NVME_ONCS_WRITE_UNCORRECTABLE;
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, 4096, &va), 0);
	memcpy(fake_buffer(9, 0), &range, sizeof(range));
	memcpy(va, &range, sizeof(range));
	fake.hook = hold;
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 0, 8, 0, fake_done_cb, &done[0]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_write_uncorrectable(ns, qp, 8, 8, fake_done_cb, &done[1]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, (void *)fake_buffer(9, 0), 1, 0, fake_done_cb, &done[2]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_dsm(ns, qp, va, 1, 0, fake_done_cb, &done[3]), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	fake.hook = NULL;
	fake.cfs = true;
	for (unsigned i = 0; i < 20000 && !(done[2].count && done[3].count); i++)
		poll_both();
	for (unsigned i = 0; i < 4; i++) {
		NSDK_ASSERT_INT(done[i].count, 1);
		CU_ASSERT((done[i].status == NVME_STATUS_ABORTED_BY_HOST) == (i == 3));
	}
	nsdk_unit_log_clear();
	fake_teardown(ctrlr, qp);
}

/*
 * A large write that has commands left to be issued when the controller is reset: nothing of it is in
 * flight when it is second in line, or when all that was has come back.
 */
static void split_data_that_was_lost_is_not_sent(void)
{
	for (unsigned compare = 0; compare < 2; compare++) {
		const size_t bytes = 12 * 4096;
		const uint32_t blocks = (uint32_t)(bytes / 512);
		struct fake_done done[3] = { { 0 } };
		uint8_t *host = fake_buffer(9, 0);
		struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .retry_writes = true,
						     .entries = 8, .max_requests = 4 };
		void *va;

		offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
		fake.mdts = 1;
		attach();
		NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
		NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, bytes, &va), 0);
		memset(va, 0x77, bytes);
		memset(host, 0x66, bytes);
		memset(fake.disk[0], 0x11, 3 * bytes);
		fake.hook = hold;
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, host, 0, blocks, 0, fake_done_cb, &done[0]), 0);
		NSDK_ASSERT_INT(compare ? nsdk_nvme_compare(ns, qp, va, blocks, blocks, 0, fake_done_cb,
							    &done[1]) :
					  nsdk_nvme_write(ns, qp, va, blocks, blocks, 0, fake_done_cb,
							  &done[1]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, va, 2 * blocks, blocks, 0, fake_done_cb, &done[2]), 0);
		nsdk_nvme_qpair_poll(qp, 0);
		fake.hook = NULL;
		NSDK_ASSERT_INT(info().losses, 0);
		fake.cfs = true;
		for (unsigned i = 0; i < 20000 && !(done[0].count && done[1].count && done[2].count); i++)
			poll_both();
		NSDK_ASSERT_INT(info().losses, 1);
		for (unsigned i = 0; i < 3; i++)
			NSDK_ASSERT_INT(done[i].count, 1);
		/* What was elsewhere, and what is read, goes on where it was. */
		NSDK_ASSERT_INT(done[0].status, OK_STATUS);
		NSDK_ASSERT_INT(done[1].status, NVME_STATUS_ABORTED_BY_HOST);
		NSDK_ASSERT_INT(done[2].status, OK_STATUS);
		NSDK_ASSERT_INT(memcmp(fake.disk[0], host, bytes), 0);
		for (size_t i = 0; i < bytes; i++)
			CU_ASSERT_FATAL(fake.disk[0][bytes + i] == 0x11 && ((uint8_t *)va)[i] == 0x11);
		nsdk_unit_log_clear();
		fake_teardown(ctrlr, qp);
	}
}

static enum fake_action hold_all_but_the_first(const struct nsdk_nvme_cmd *cmd, uint16_t qid,
					       uint16_t *status, uint32_t *dw0)
{
	return qid == 1 && cmd->cdw10 != 0 ? FAKE_HOLD : FAKE_DO;
}

/* Queues that are made again, for a command that did not come back, are no loss. */
static void a_split_goes_on_when_nothing_was_lost(void)
{
	const size_t bytes = 12 * 4096;
	const uint32_t blocks = (uint32_t)(bytes / 512);
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .entries = 8, .max_requests = 4,
					     .timeout_ns = 5 * NVME_NS_PER_S };
	struct fake_done done[2] = { { 0 } };
	uint8_t *host = fake_buffer(9, 0);
	void *va;

	offers(16, ALL_SUPPORT, NSDK_NVME_CMB_DATA);
	fake.mdts = 1;
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	NSDK_ASSERT_INT(nsdk_nvme_cmb_alloc(ctrlr, bytes, &va), 0);
	memset(va, 0x77, bytes);
	fake.hook = hold_all_but_the_first;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, host, 0, blocks, 0, fake_done_cb, &done[0]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, va, blocks, blocks, 0, fake_done_cb, &done[1]), 0);
	for (unsigned i = 0; i < 20000 && !done[0].count; i++)
		poll_both();
	fake.hook = NULL;
	for (unsigned i = 0; i < 20000 && !done[1].count; i++)
		poll_both();
	NSDK_ASSERT_INT(info().losses, 0);
	NSDK_ASSERT_INT(fake.enables, 1);
	CU_ASSERT(done[0].status != OK_STATUS);
	NSDK_ASSERT_INT(done[1].count, 1);
	NSDK_ASSERT_INT(done[1].status, OK_STATUS);
	NSDK_ASSERT_INT(memcmp(fake.disk[0] + bytes, va, bytes), 0);
	nsdk_unit_log_clear();
	fake_teardown(ctrlr, qp);
}

static void one_that_does_not_come_back_is_a_failed_reset(void)
{
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ);
	attach();
	qp = fake_qpair(ctrlr, 16);
	fake.cmb_invalid = true;
	fake.cfs = true;
	for (unsigned i = 0; i < 20000 && poll_both() >= 0; i++)
		;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_failed(ctrlr), -EIO);
	CU_ASSERT(nsdk_unit_log_has("resets did not help"));
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	fake_check_clean();
}

/* Every call on the way that can fail, does. */
static void nothing_is_left_when_an_attach_fails(void)
{
	offers(8, ALL_SUPPORT, NSDK_NVME_CMB_SQ | NSDK_NVME_CMB_DATA);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .cmb = fake.cmb };

		ctrlr = NULL;
		/* Without the buffer, where only that is not to be had. */
		nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr);
		nsdk_unit_fail_none();
		if (ctrlr)
			NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
		fake_check_clean();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(is_used_only_when_it_is_asked_for),
	NSDK_UNIT_TEST(the_host_chooses_its_addresses),
	NSDK_UNIT_TEST(an_older_one_has_its_address_on_the_bus),
	NSDK_UNIT_TEST(one_that_was_left_enabled_gets_a_new_address),
	NSDK_UNIT_TEST(goes_without_what_cannot_be_used),
	NSDK_UNIT_TEST(more_than_the_bar_has_is_not_believed),
	NSDK_UNIT_TEST(queues_are_as_many_as_have_doorbells_before_it),
	NSDK_UNIT_TEST(unknown_uses_are_refused),
	NSDK_UNIT_TEST(buffers_do_not_overlap),
	NSDK_UNIT_TEST(no_buffers_where_there_is_nothing_for_data),
	NSDK_UNIT_TEST(data_goes_there_and_back),
	NSDK_UNIT_TEST(a_direction_that_is_not_offered_is_refused),
	NSDK_UNIT_TEST(mixed_data_is_for_those_that_take_it),
	NSDK_UNIT_TEST(a_data_block_ends_with_the_buffer),
	NSDK_UNIT_TEST(admin_commands_do_not_take_it),
	NSDK_UNIT_TEST(commands_are_where_the_controller_looks),
	NSDK_UNIT_TEST(queues_that_do_not_fit_are_in_ordinary_memory),
	NSDK_UNIT_TEST(queues_that_are_refused_are_in_ordinary_memory),
	NSDK_UNIT_TEST(no_queues_where_none_are_wanted_or_offered),
	NSDK_UNIT_TEST(comes_back_after_a_reset),
	NSDK_UNIT_TEST(data_that_was_lost_is_not_sent_again),
	NSDK_UNIT_TEST(what_has_no_data_is_sent_again),
	NSDK_UNIT_TEST(split_data_that_was_lost_is_not_sent),
	NSDK_UNIT_TEST(a_split_goes_on_when_nothing_was_lost),
	NSDK_UNIT_TEST(one_that_does_not_come_back_is_a_failed_reset),
	NSDK_UNIT_TEST(nothing_is_left_when_an_attach_fails),
};

NSDK_UNIT_MAIN("drivers/nvme/cmb", tests, .before = before, .after = after)
