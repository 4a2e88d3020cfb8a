/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces with metadata: what of a controller's word is believed, what commands say, and where their
 * metadata is; on the no-snoop path, that it is given and taken back.
 */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_pi.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;

/* What the controller says of its namespaces. */
static struct nsdk_nvme_id_ns id;
static struct nsdk_nvme_id_ns_nvm more;
static uint16_t more_status, behavior_status;
static enum fake_action more_action; /* FAKE_DO: as more_status says */
static bool resets_between; /* … what a namespace says and what its protection information looks like */
static unsigned asked, told;
/* Ranges given to the device until the last admin command, and between the one before and being told. */
static unsigned synced, told_synced;

/* The I/O commands that it got. */
static struct nsdk_nvme_cmd got[64];
static unsigned got_count;
static enum fake_action io_action;

static enum fake_action hook(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			     uint32_t *dw0)
{
	(void)dw0;
	*status = 0;
	if (qid) {
		CU_ASSERT_FATAL(got_count < 64);
		got[got_count++] = *cmd;
		return io_action;
	}
	told_synced = told ? told_synced : fake.syncs_for_device - synced;
	synced = fake.syncs_for_device;
	if (cmd->opcode == NSDK_NVME_ADMIN_SET_FEATURES &&
	    (cmd->cdw10 & 0xff) == NSDK_NVME_FEAT_HOST_BEHAVIOR) {
		const struct nsdk_nvme_host_behavior *behavior = fake_va(cmd->prp1);

		told += behavior->lbafee == 1 && behavior->acre == 0 && cmd->cdw11 == 0;
		*status = behavior_status;
		return FAKE_REPLY;
	}
	if (cmd->opcode != NSDK_NVME_ADMIN_IDENTIFY)
		return cmd->opcode == NSDK_NVME_ADMIN_FORMAT ? FAKE_REPLY : FAKE_DO;
	switch (cmd->cdw10 & 0xff) {
	case NSDK_NVME_CNS_NS:
		memcpy(fake_va(cmd->prp1), &id, sizeof(id));
		/* A rung that is none: it waits there. */
		if (resets_between)
			atomic_store(&ctrlr->recovery.rung, NVME_RUNG_RESTART + 1);
		return FAKE_REPLY;
	case NSDK_NVME_CNS_CSI_NS:
		NSDK_ASSERT_INT(cmd->cdw11 >> 24, NSDK_NVME_CSI_NVM);
		NSDK_ASSERT_INT(cmd->nsid, 1);
		asked++;
		/* Of what failed nothing is to be believed, whatever is there. */
		memcpy(fake_va(cmd->prp1), &more, sizeof(more));
		*status = more_status;
		return more_action == FAKE_DO ? FAKE_REPLY : more_action;
	default:
		return FAKE_DO;
	}
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	memset(&id, 0, sizeof(id));
	memset(&more, 0, sizeof(more));
	memset(&done, 0, sizeof(done));
	more_status = behavior_status = 0;
	more_action = FAKE_DO;
	resets_between = false;
	got_count = asked = told = synced = told_synced = 0;
	io_action = FAKE_REPLY;
	fake.hook = hook;
	id.nsze = 100000;
	id.lbaf[0] = (struct nsdk_nvme_lbaf){ .lbads = 9, .ms = 8 };
	id.dps = 1;
}

static void attach(void)
{
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, 32);
}

static void after(void)
{
	if (ctrlr)
		fake_teardown(ctrlr, qp);
	ctrlr = NULL;
	qp = NULL;
	nsdk_unit_log_stop();
}

static void run(void)
{
	int before_it = done.count;

	for (int i = 0; i < 10000 && done.count == before_it; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	NSDK_ASSERT_INT(done.count, before_it + 1);
	NSDK_ASSERT_INT(done.status, 0);
}

static struct nsdk_nvme_io_ext say(uint32_t flags, void *metadata)
{
	return (struct nsdk_nvme_io_ext){
		.ext_bytes = sizeof(struct nsdk_nvme_io_ext),
		.flags = flags,
		.app_tag = 0x1111,
		.app_mask = 0xf0ff,
		.metadata = metadata,
	};
}

static int read_ext(void *buf, size_t bytes, uint64_t lba, uint32_t blocks,
		    const struct nsdk_nvme_io_ext *ext)
{
	static struct iovec iov; /* until the callback */

	iov = (struct iovec){ buf, bytes };
	return nsdk_nvme_readv_ext(ns, qp, &iov, 1, lba, blocks, ext, fake_done_cb, &done);
}

/* ---- Formats ---- */

static void formats_are_found(void)
{
	const struct nsdk_nvme_metadata *md;

	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	id.dps = 2 | NSDK_NVME_DPS_FIRST;
	id.lbaf[0].ms = 24;
	attach();
	md = nsdk_nvme_ns_metadata(ns);
	CU_ASSERT_PTR_NOT_NULL_FATAL(md);
	NSDK_ASSERT_INT(md->block_bytes, 512);
	NSDK_ASSERT_INT(md->bytes, 24);
	NSDK_ASSERT_INT(md->pi_type, 2);
	NSDK_ASSERT_INT(md->pi_bytes, 8);
	NSDK_ASSERT_INT(md->pif, NSDK_NVME_PIF_16);
	CU_ASSERT(md->extended && md->pi_first);
	/* Nobody said that there are others. */
	NSDK_ASSERT_INT(asked, 0);
	NSDK_ASSERT_INT(told, 0);
	/* The short ways do not know of it. */
	CU_ASSERT(ns->short_lba_end == 0 && ns->two_pages_lba_end == 0);
}

static void none_is_none(void)
{
	id.lbaf[0].ms = 0;
	/* Of no metadata nothing is believed. */
	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	attach();
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_metadata(ns));
	CU_ASSERT(ns->short_lba_end != 0 && !ns->metadata.extended && !ns->metadata.pi_type);
}

static void other_guards_are_asked_for(void)
{
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.lbaf[0].ms = 16;
	more.elbaf[0] = NSDK_NVME_PIF_64 << 7 | 8;
	attach();
	NSDK_ASSERT_INT(told, 1);
	NSDK_ASSERT_INT(asked, 1);
	NSDK_ASSERT_INT(nsdk_nvme_ns_metadata(ns)->pif, NSDK_NVME_PIF_64);
	NSDK_ASSERT_INT(nsdk_nvme_ns_metadata(ns)->pi_bytes, 16);
	NSDK_ASSERT_INT(nsdk_nvme_ns_metadata(ns)->storage_tag_bits, 8);
	NSDK_ASSERT_INT(ns->refusal, 0);
}

static void what_is_told_is_in_memory(void)
{
	fake.active = true;
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	attach();
	NSDK_ASSERT_INT(told, 1);
	/* It, and the command. */
	NSDK_ASSERT_INT(told_synced, 2);
}

static void look_again(void)
{
	fake_event(0x040002);
	for (int i = 0; i < 100; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
}

#define DOES_NOT_SAY "does not say which one this is"

static int read_one(void)
{
	return nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 1, 0, fake_done_cb, &done);
}

/* To guess would be to write tags of another kind. */
static void one_that_does_not_say_is_not_used(void)
{
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.lbaf[0].ms = 16;
	more.elbaf[0] = NSDK_NVME_PIF_64 << 7;
	more_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	attach();
	NSDK_ASSERT_INT(asked, 1);
	NSDK_ASSERT_INT(ns->refusal, -EIO);
	NSDK_ASSERT_ONE_SENTENCE(DOES_NOT_SAY);
	NSDK_ASSERT_INT(read_one(), -EIO);
	/* It does, later. */
	more_status = 0;
	look_again();
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_64);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

/* One that does not take what this host knows of says what it has all the same. */
static void one_that_is_not_told_is_asked(void)
{
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	behavior_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	attach();
	NSDK_ASSERT_INT(asked, 1);
	NSDK_ASSERT_INT(ns->refusal, 0);
}

/* Metadata apart begins in dwords, also that of a later piece. */
static void metadata_apart_is_in_dwords(void)
{
	id.dps = 0;
	for (uint16_t bytes = 1; bytes <= 10; bytes++) {
		id.lbaf[0].ms = bytes;
		attach();
		NSDK_ASSERT_INT(ns->refusal, bytes % 4 ? -EOPNOTSUPP : 0);
		if (bytes % 4) {
			struct nsdk_nvme_io_ext ext = say(0, fake_buffer(5, 0));

			NSDK_ASSERT_ONE_SENTENCE("metadata apart, which is no multiple of 4");
			NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EOPNOTSUPP);
		}
		after();
		before();
		id.dps = 0;
	}
	/* Behind the data it is part of the payload. */
	id.lbaf[0].ms = 10;
	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	attach();
	NSDK_ASSERT_INT(ns->refusal, 0);
}

static void formats_that_cannot_be_are_refused(void)
{
	static const uint32_t elbafs[] = {
		NSDK_NVME_PIF_64 << 7,      /* more than 8 bytes */
		3u << 7, 33,                /* no such format; more than there is */
		NSDK_NVME_PIF_32 << 7 | 15, /* in 16 bytes: fewer than there must be */
	};

	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	for (unsigned i = 0; i < 4; i++) {
		id.lbaf[0].ms = i == 3 ? 16 : 8;
		more.elbaf[0] = elbafs[i];
		attach();
		NSDK_ASSERT_INT(ns->refusal, -ENOTSUP);
		CU_ASSERT(nsdk_unit_log_has("is not supported; format it without"));
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 1, 0, fake_done_cb,
					       &done), -ENOTSUP);
		after();
		before();
		fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	}
	id.dps = 4;
	attach();
	NSDK_ASSERT_INT(ns->refusal, -ENOTSUP);
}

static void a_change_by_somebody_else_closes_it(void)
{
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.lbaf[0].ms = 16;
	more.elbaf[0] = NSDK_NVME_PIF_64 << 7;
	attach();
	look_again();
	NSDK_ASSERT_INT(asked, 2);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_64);
	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	CU_ASSERT(nsdk_unit_log_has("blocks of 512 bytes and 16 of metadata"));
}

static void attach_wide(void)
{
	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.nlbaf = 1;
	id.lbaf[0].ms = 16;
	id.lbaf[1] = id.lbaf[0];
	more.elbaf[0] = NSDK_NVME_PIF_64 << 7 | 16;
	more.elbaf[1] = NSDK_NVME_PIF_32 << 7 | 16;
	attach();
	NSDK_ASSERT_INT(ns->refusal, 0);
	asked = 0;
}

static void format_again(uint8_t format)
{
	const struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_FORMAT, .nsid = 1 };
	int count = done.count;

	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0,
						 fake_done_cb, &done), 0);
	id.flbas = format;
	for (int i = 0; i < 100 && done.count == count; i++) {
		NSDK_ASSERT_INT(ns->refusal, -EBUSY);
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
	NSDK_ASSERT_INT(done.count, count + 1);
}

/* One Identify that fails is no other format. */
static void a_look_that_fails_changes_nothing(void)
{
	attach_wide();
	more_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	look_again();
	NSDK_ASSERT_INT(asked, 1);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_64);
	NSDK_ASSERT_INT(ns->metadata.pi_bytes, 16);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	/* 16 bytes that are nothing else are the controller's to make. */
	NSDK_ASSERT_INT(read_one(), 0);
	run();
}

static void another_guard_of_somebody_else_closes_it(void)
{
	attach_wide();
	id.flbas = 1;
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	NSDK_ASSERT_ONE_SENTENCE("somebody else has formatted namespace 1");
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

/* With the same guard, too. */
static void another_storage_tag_closes_it(void)
{
	attach_wide();
	more.elbaf[0] |= 8;
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	NSDK_ASSERT_ONE_SENTENCE("somebody else has formatted namespace 1");
}

static void another_guard_that_nobody_says_closes_it(void)
{
	attach_wide();
	id.flbas = 1;
	more_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	NSDK_ASSERT_ONE_SENTENCE("somebody else has formatted namespace 1");
	/* Nor does it come back when it is said. */
	more_status = 0;
	look_again();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
}

static void another_guard_of_our_own_is_taken(void)
{
	attach_wide();
	format_again(1);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_32);
	NSDK_ASSERT_INT(ns->metadata.storage_tag_bits, 16);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void our_own_that_nobody_says_closes_it(void)
{
	attach_wide();
	more_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	format_again(1);
	NSDK_ASSERT_INT(asked, 1);
	NSDK_ASSERT_INT(ns->refusal, -EIO);
	NSDK_ASSERT_ONE_SENTENCE(DOES_NOT_SAY);
	NSDK_ASSERT_INT(read_one(), -EIO);
	more_status = 0;
	format_again(1);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_32);
}

/* A reset has begun by then, and nothing can be asked. */
static void what_cannot_be_asked_is_not_guessed(void)
{
	for (uint8_t format = 0; format < 2; format++) {
		attach_wide();
		resets_between = true;
		id.flbas = format;
		look_again();
		atomic_store(&ctrlr->recovery.rung, NVME_RUNG_NONE);
		NSDK_ASSERT_INT(asked, 0);
		CU_ASSERT(!ctrlr->rescan.running);
		NSDK_ASSERT_INT(ns->refusal, format ? -ESTALE : 0);
		if (!format)
			NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_64);
		after();
		before();
	}
}

/* A reset comes between what a namespace says and what its protection information looks like. */
static void a_reset_in_the_middle(void)
{
	for (uint8_t format = 0; format < 2; format++) {
		attach_wide();
		more_action = FAKE_HOLD;
		fake_event(0x040002);
		id.flbas = format;
		for (int i = 0; i < 100 && !asked; i++)
			nsdk_nvme_ctrlr_poll(ctrlr);
		NSDK_ASSERT_INT(asked, 1);
		NSDK_ASSERT_INT(ns->refusal, format ? -EBUSY : 0);
		fake.cfs = true;
		for (int i = 0; i < 10000 && (fake.cfs || nsdk_nvme_ctrlr_recovering(ctrlr)); i++) {
			fake.now_ns += NVME_NS_PER_MS;
			nsdk_nvme_ctrlr_poll(ctrlr);
			nsdk_nvme_qpair_poll(qp, 0);
		}
		CU_ASSERT(!fake.cfs && !nsdk_nvme_ctrlr_recovering(ctrlr) && !nsdk_nvme_ctrlr_failed(ctrlr));
		CU_ASSERT(!ctrlr->rescan.running);
		NSDK_ASSERT_INT(ns->refusal, format ? -ESTALE : 0);
		NSDK_ASSERT_INT(ns->metadata.bytes, 16);
		if (!format)
			NSDK_ASSERT_INT(ns->metadata.pif, NSDK_NVME_PIF_64);
		after();
		before();
	}
}

/* ---- Commands ---- */

static void those_who_say_nothing(void)
{
	attach();
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 77, 8, NSDK_NVME_RW_FUA,
				       fake_done_cb, &done), 0);
	run();
	CU_ASSERT_EQUAL(got[0].cdw12, (NSDK_NVME_RW_FUA | NSDK_NVME_RW_PRACT | NSDK_NVME_RW_PRCHK_GUARD |
				       NSDK_NVME_RW_PRCHK_REF_TAG | 7));
	CU_ASSERT_EQUAL(got[0].cdw14, 77);
	CU_ASSERT_EQUAL(got[0].mptr, 0);
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), 78, 1, 0, fake_done_cb, &done), 0);
	run();
	CU_ASSERT_EQUAL(got[1].cdw12, NSDK_NVME_RW_PRACT);
	CU_ASSERT_EQUAL(got[1].cdw14, 78);
	fake.id.oncs = ctrlr->id.oncs = 0xffff;
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 90000, 70, 0, fake_done_cb, &done), 0);
	run();
	CU_ASSERT_EQUAL(got[2].cdw12, (NSDK_NVME_RW_PRACT | 69));
	CU_ASSERT_EQUAL(got[2].cdw14, 90000);
	NSDK_ASSERT_INT(nsdk_nvme_verify(ns, qp, 3, 2, 0, fake_done_cb, &done), 0);
	run();
	CU_ASSERT_EQUAL(got[3].cdw12, (NSDK_NVME_RW_PRCHK_GUARD | NSDK_NVME_RW_PRCHK_REF_TAG | 1));
	CU_ASSERT_EQUAL(got[3].cdw14, 3);
	NSDK_ASSERT_INT(nsdk_nvme_write_uncorrectable(ns, qp, 3, 2, fake_done_cb, &done), 0);
	run();
	CU_ASSERT_EQUAL(got[4].cdw12, 1);
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(2, 0), fake_buffer(3, 0), 0, 1, 0,
						    fake_done_cb, &done), -EOPNOTSUPP);
}

/* What a command of a namespace with metadata leaves in a slot, one of the short way does not send again. */
static void slots_are_clean_again(void)
{
	struct nsdk_nvme_ns plain;

	attach();
	plain = *ns;
	plain.metadata = (struct nsdk_nvme_metadata){ .block_bytes = 512 };
	plain.short_lba_end = plain.two_pages_lba_end = 1000;
	plain.short_nlb = 7;
	plain.two_pages_bytes = 8192;
	plain.read_dw01 = (uint64_t)1 << 32 | NSDK_NVME_NVM_READ;
	for (int i = 0; i < 8; i++) {
		struct nsdk_nvme_io_ext ext = say(NSDK_NVME_RW_PRCHK_APP_TAG, fake_buffer(3, 0));

		NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 5, 1, &ext), 0);
		run();
	}
	CU_ASSERT(got[7].mptr != 0 && got[7].cdw14 == 5 && got[7].cdw15 == 0xf0ff1111u);
	for (int i = 8; i < 64; i++) {
		NSDK_ASSERT_INT(nsdk_nvme_read(&plain, qp, fake_buffer(2, 0), 7, 1, 0, fake_done_cb,
					       &done), 0);
		run();
		CU_ASSERT(got[i].mptr == 0 && got[i].cdw14 == 0 && got[i].cdw15 == 0 && got[i].cdw12 == 0);
	}
	CU_ASSERT(qp->soiled == 0);
}

static void tags_of_wider_formats(void)
{
	struct nsdk_nvme_io_ext ext = say(0, fake_buffer(3, 0));

	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.lbaf[0].ms = 16;
	id.dps = 2;
	more.elbaf[0] = NSDK_NVME_PIF_64 << 7;
	ext.own_ref_tag = true;
	ext.ref_tag = UINT64_C(0xfedcba9876543210);
	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 5, 1, &ext), 0);
	run();
	CU_ASSERT_EQUAL(got[0].cdw14, 0x76543210);
	CU_ASSERT_EQUAL(got[0].cdw3, 0xba98);
	ns->metadata.storage_tag_bits = 16;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 5, 1, &ext), 0);
	run();
	CU_ASSERT_EQUAL(got[1].cdw14, 0x76543210);
	CU_ASSERT_EQUAL(got[1].cdw3, 0);
	ns->metadata.pif = NSDK_NVME_PIF_32;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 5, 1, &ext), 0);
	run();
	CU_ASSERT_EQUAL(got[2].cdw14, 0x76543210);
	CU_ASSERT_EQUAL(got[2].cdw3, 0xfedcba98);
	CU_ASSERT_EQUAL(got[2].cdw2, 0);
}

/* Above the reference tag is the storage tag, in whichever dword that is. */
static void tags_end_where_storage_tags_begin(void)
{
	static const struct {
		uint8_t pif, storage_tag_bits;
		uint32_t cdw14, cdw3;
	} cases[] = {
		{ NSDK_NVME_PIF_16, 0, 0xffffffff, 0 },  { NSDK_NVME_PIF_16, 16, 0xffff, 0 },
		{ NSDK_NVME_PIF_16, 31, 1, 0 },		 { NSDK_NVME_PIF_16, 32, 0, 0 },
		{ NSDK_NVME_PIF_32, 20, 0xffffffff, 0x0fffffff }, { NSDK_NVME_PIF_32, 52, 0x0fffffff, 0 },
		{ NSDK_NVME_PIF_32, 64, 0xffff, 0 },     { NSDK_NVME_PIF_64, 0, 0xffffffff, 0xffff },
		{ NSDK_NVME_PIF_64, 8, 0xffffffff, 0xff }, { NSDK_NVME_PIF_64, 40, 0xff, 0 },
		{ NSDK_NVME_PIF_64, 48, 0, 0 },
	};
	struct nsdk_nvme_io_ext ext = say(0, fake_buffer(3, 0));

	fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
	id.lbaf[0].ms = 16;
	ext.own_ref_tag = true;
	ext.ref_tag = UINT64_MAX;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		more.elbaf[0] = (uint32_t)cases[i].pif << 7 | cases[i].storage_tag_bits;
		attach();
		NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 5, 1, &ext), 0);
		run();
		CU_ASSERT_EQUAL(got[0].cdw14, cases[i].cdw14);
		CU_ASSERT_EQUAL(got[0].cdw3, cases[i].cdw3);
		CU_ASSERT_EQUAL(got[0].cdw2, 0);
		after();
		before();
		fake.id.ctratt |= NSDK_NVME_CTRATT_ELBAS;
		id.lbaf[0].ms = 16;
	}
}

/* Blocks, and with them tags and metadata, in order and none left out. */
static void pieces_are(uint64_t lba, uint32_t blocks, const uint8_t *metadata, bool counts)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < got_count; i++) {
		CU_ASSERT_EQUAL(got[i].cdw10, lba + at);
		CU_ASSERT_EQUAL(got[i].cdw14, counts ? lba + at : 0xabc);
		CU_ASSERT_EQUAL(got[i].cdw15, 0xf0ff1111u);
		CU_ASSERT_PTR_EQUAL(fake_va(got[i].mptr), metadata + (size_t)at * ns->metadata.bytes);
		at += (got[i].cdw12 & 0xffff) + 1;
	}
	NSDK_ASSERT_INT(at, blocks);
}

static void large_ones_are_split(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_RW_PRCHK_GUARD, fake_buffer(5, 64));

	for (unsigned type = 1; type <= 3; type++) {
		id.dps = (uint8_t)type;
		fake.mdts = 2; /* 32 blocks */
		ext.ref_tag = 0xabc;
		attach();
		NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 100 * 512, 1000, 100, &ext), 0);
		run();
		NSDK_ASSERT_INT(got_count, 4);
		pieces_are(1000, 100, fake_buffer(5, 64), type != 3);
		after();
		before();
	}
}

/* Extended blocks are larger, so there are fewer in a command. */
static void extended_ones_are_split(void)
{
	struct nsdk_nvme_io_ext ext = say(0, NULL);

	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	fake.mdts = 2;
	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 32 * 520, 0, 32, &ext), 0);
	run();
	NSDK_ASSERT_INT(got_count, 2);
	NSDK_ASSERT_INT(got[0].cdw12 & 0xffff, 30);
	CU_ASSERT_PTR_EQUAL(fake_va(got[1].prp1), fake_buffer(2, 0) + (size_t)31 * 520);
	CU_ASSERT_EQUAL(got[1].cdw14, 31);
	CU_ASSERT_EQUAL(got[1].mptr, 0);
}

/* What follows in the process's addresses does not follow in the device's: a command ends there. */
static void metadata_is_one_stretch(void)
{
	uint8_t *metadata = fake_buffer(5, FAKE_PIECE_BYTES - 64);
	struct nsdk_nvme_io_ext ext = say(0, metadata);

	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 20 * 512, 50, 20, &ext), 0);
	run();
	NSDK_ASSERT_INT(got_count, 2);
	NSDK_ASSERT_INT(got[0].cdw12 & 0xffff, 7);
	pieces_are(50, 20, metadata, true);
	/* Inside of a block it cannot. */
	got_count = 0;
	ext.metadata = metadata + 4;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 20 * 512, 50, 20, &ext), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 0);
	NSDK_ASSERT_INT(got_count, 0);
}

static void metadata_has_to_be_there(void)
{
	struct nsdk_nvme_io_ext ext = say(0, NULL);
	uint8_t outside[16] __attribute__((aligned(8)));

	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EINVAL);
	ext.metadata = outside;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EFAULT);
	/* Its end too. */
	ext.metadata = fake_registered() + 4096 - 8;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), 0);
	run();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 1024, 0, 2, &ext), -EFAULT);
	ext.metadata = fake_buffer(3, 2);
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EINVAL);
	/* Where the controller makes it all, none is looked at. */
	ext = say(NSDK_NVME_RW_PRACT, outside);
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), 0);
	run();
	CU_ASSERT_EQUAL(got[got_count - 1].mptr, 0);
	/* And where there is none at all it is too much. */
	ns->metadata = (struct nsdk_nvme_metadata){ .block_bytes = 512 };
	ext = say(0, fake_buffer(3, 0));
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EINVAL);
}

/* ---- No-snoop ---- */

static void is_given_and_taken_back(void)
{
	struct nsdk_nvme_io_ext ext = say(0, fake_buffer(3, 0));
	struct iovec iov = { fake_buffer(2, 0), 512 };
	unsigned given, taken;

	fake.active = true;
	attach();
	given = fake.flushes_for_device;
	taken = fake.flushes_for_cpu;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), 0);
	NSDK_ASSERT_INT(fake.flushes_for_device - given, 2);
	run();
	NSDK_ASSERT_INT(fake.flushes_for_cpu - taken, 2);
	NSDK_ASSERT_INT(fake.not_fenced, 0);
	/* What the device reads is given, and not taken back. */
	given = fake.flushes_for_device;
	taken = fake.flushes_for_cpu;
	NSDK_ASSERT_INT(nsdk_nvme_writev_ext(ns, qp, &iov, 1, 0, 1, &ext, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(fake.flushes_for_device - given, 2);
	run();
	NSDK_ASSERT_INT(fake.flushes_for_cpu - taken, 0);
	/* Nor a later command's, of the same tracker, with none. */
	ext = say(NSDK_NVME_RW_PRACT, NULL);
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), 0);
	run();
	NSDK_ASSERT_INT(fake.flushes_for_cpu - taken, 1);
	/* Lines of its own. */
	ext = say(0, fake_buffer(3, 8));
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), -EINVAL);
}

static void is_taken_back_when_given_up(void)
{
	struct nsdk_nvme_io_ext ext = say(0, fake_buffer(3, 0));
	unsigned taken;

	fake.active = true;
	attach();
	io_action = FAKE_HOLD;
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 512, 0, 1, &ext), 0);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 0);
	taken = fake.flushes_for_cpu;
	nsdk_nvme_qpair_destroy(qp);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(fake.flushes_for_cpu - taken, 2);
	NSDK_ASSERT_INT(fake.not_fenced, 0);
	qp = fake_qpair(ctrlr, 8);
}

/* All of it may be the device's from the start, whatever becomes of the later commands. */
static void of_large_ones_all_is_dirtied(void)
{
	struct nsdk_nvme_io_ext ext = say(0, fake_buffer(3, 0));

	fake.active = true;
	fake.mdts = 2;
	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 100 * 512, 0, 100, &ext), 0);
	NSDK_ASSERT_INT(fake.dirtied_bytes, 100 * 520);
	run();
}

/* Extended blocks are no whole lines: the last one belongs to them all the same. */
static void extended_blocks_end_inside_a_line(void)
{
	struct nsdk_nvme_io_ext ext = say(0, NULL);
	struct iovec iov[3] = { { fake_buffer(2, 0), 512 }, { fake_buffer(4, 0), 0 },
				{ fake_buffer(3, 0), 8 } };

	fake.active = true;
	id.flbas = NSDK_NVME_FLBAS_EXTENDED;
	fake.id.sgls = NSDK_NVME_SGLS_ANY_ALIGNMENT;
	attach();
	NSDK_ASSERT_INT(read_ext(fake_buffer(2, 0), 520, 0, 1, &ext), 0);
	run();
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, qp, iov, 3, 0, 1, &ext, fake_done_cb, &done), 0);
	run();
	iov[0].iov_len = 500;
	iov[2].iov_len = 20;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, qp, iov, 3, 0, 1, &ext, fake_done_cb, &done), -EINVAL);
	iov[0].iov_len = 512;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, qp, iov, 3, 0, 1, &ext, fake_done_cb, &done), -EINVAL);
	iov[2].iov_len = 4;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, qp, iov, 3, 0, 1, &ext, fake_done_cb, &done), -EINVAL);
	iov[2].iov_len = 8;
	iov[2].iov_base = fake_buffer(3, 8);
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, qp, iov, 3, 0, 1, &ext, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(read_ext(fake_registered() + 4096 - 512, 520, 0, 1, &ext), -EFAULT);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(formats_are_found),
	NSDK_UNIT_TEST(none_is_none),
	NSDK_UNIT_TEST(other_guards_are_asked_for),
	NSDK_UNIT_TEST(what_is_told_is_in_memory),
	NSDK_UNIT_TEST(one_that_does_not_say_is_not_used),
	NSDK_UNIT_TEST(one_that_is_not_told_is_asked),
	NSDK_UNIT_TEST(metadata_apart_is_in_dwords),
	NSDK_UNIT_TEST(formats_that_cannot_be_are_refused),
	NSDK_UNIT_TEST(a_change_by_somebody_else_closes_it),
	NSDK_UNIT_TEST(a_look_that_fails_changes_nothing),
	NSDK_UNIT_TEST(another_guard_of_somebody_else_closes_it),
	NSDK_UNIT_TEST(another_storage_tag_closes_it),
	NSDK_UNIT_TEST(another_guard_that_nobody_says_closes_it),
	NSDK_UNIT_TEST(another_guard_of_our_own_is_taken),
	NSDK_UNIT_TEST(our_own_that_nobody_says_closes_it),
	NSDK_UNIT_TEST(a_reset_in_the_middle),
	NSDK_UNIT_TEST(what_cannot_be_asked_is_not_guessed),
	NSDK_UNIT_TEST(those_who_say_nothing),
	NSDK_UNIT_TEST(slots_are_clean_again),
	NSDK_UNIT_TEST(tags_of_wider_formats),
	NSDK_UNIT_TEST(tags_end_where_storage_tags_begin),
	NSDK_UNIT_TEST(large_ones_are_split),
	NSDK_UNIT_TEST(extended_ones_are_split),
	NSDK_UNIT_TEST(metadata_is_one_stretch),
	NSDK_UNIT_TEST(metadata_has_to_be_there),
	NSDK_UNIT_TEST(is_given_and_taken_back),
	NSDK_UNIT_TEST(is_taken_back_when_given_up),
	NSDK_UNIT_TEST(of_large_ones_all_is_dirtied),
	NSDK_UNIT_TEST(extended_blocks_end_inside_a_line),
};

NSDK_UNIT_MAIN("drivers/nvme/metadata", tests, .before = before, .after = after)
