/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * End-to-end protection on the emulated controller: all types, metadata apart and with the data, made and
 * checked by host or controller; whatever is wrong is found, and by its name; no cache line is missed.
 *
 * With NSDK_PI_DEVICE=DEVICE on every namespace of that one instead, whose data is lost: the VM lab has it so
 * on a controller that nobody here wrote.
 */
#include "nvme_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_pi.h>

#define SPLIT_BLOCKS 200u /* above the largest transfer, where that is made small */
#define APP_TAG 0x1234u
#define REF_TAG 0x5566u

#define GUARD NSDK_NVME_RW_PRCHK_GUARD
#define APP NSDK_NVME_RW_PRCHK_APP_TAG
#define REF NSDK_NVME_RW_PRCHK_REF_TAG
#define PRACT NSDK_NVME_RW_PRACT

#define MEDIA_STATUS(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_##name)

static const char *real_device;
static struct nsdk_nvme_ns *ns;
static const struct nsdk_nvme_metadata *md;
static uint8_t *data, *back;    /* each with room for metadata behind each block */
static uint8_t *apart, *apart_back;
static size_t unit;             /* bytes of a block as it travels */
static uint16_t oncs;           /* the commands that there are */

/* ---- I/O ---- */

static bool alone(void)
{
	return md->bytes == md->pi_bytes;
}

static uint32_t checks(void)
{
	return md->pi_type == 0 ? 0 : md->pi_type == 3 ? GUARD | APP : GUARD | APP | REF;
}

/* What is said of an I/O at @p lba: tags as this test has them, a type 3 one's among them. */
static struct nsdk_nvme_io_ext say(uint32_t flags, uint8_t *metadata)
{
	bool stays = (flags & PRACT) && alone();

	return (struct nsdk_nvme_io_ext){
		.ext_bytes = sizeof(struct nsdk_nvme_io_ext),
		.flags = flags,
		.app_tag = md->pi_type ? APP_TAG : 0,
		.app_mask = md->pi_type ? 0xffff : 0,
		.metadata = md->extended || stays ? NULL : metadata,
		.ref_tag = REF_TAG,
	};
}

static size_t payload_bytes(const struct nsdk_nvme_io_ext *ext, uint32_t blocks)
{
	return blocks * ((ext->flags & PRACT) && alone() ? md->block_bytes : unit);
}

/* In two pieces, where that makes sense. */
static int pieces(uint8_t *buf, size_t bytes, struct iovec *iov)
{
	iov[0] = (struct iovec){ buf, bytes > 4096 ? 4096 : bytes };
	iov[1] = (struct iovec){ buf + iov[0].iov_len, bytes - iov[0].iov_len };
	return iov[1].iov_len ? 2 : 1;
}

static uint16_t put(uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext)
{
	struct iovec iov[2];
	int count = pieces(data, payload_bytes(ext, blocks), iov);

	return RIG_RUN(nsdk_nvme_writev_ext(ns, rig.qp, iov, count, lba, blocks, ext, rig_done_cb,
					    &rig_once));
}

static uint16_t get(uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext)
{
	size_t bytes = payload_bytes(ext, blocks);
	struct iovec iov[2];
	int count = pieces(back, bytes, iov);

	memset(back, 0x5a, bytes);
	memset(apart_back, 0xa5, (size_t)blocks * md->bytes);
	return RIG_RUN(nsdk_nvme_readv_ext(ns, rig.qp, iov, count, lba, blocks, ext, rig_done_cb, &rig_once));
}

static struct nsdk_nvme_pi tags(uint64_t lba)
{
	return (struct nsdk_nvme_pi){
		.ref_tag = md->pi_type == 3 ? REF_TAG : lba,
		.app_tag = APP_TAG,
		.app_mask = 0xffff,
		.check = GUARD | APP | REF,
	};
}

/* Data, other metadata, and the protection information of blocks from @p lba. */
static void make(uint64_t lba, uint32_t blocks)
{
	struct nsdk_nvme_pi pi = tags(lba);
	struct iovec iov = { data, blocks * unit };

	rig_fill(data, iov.iov_len);
	rig_fill(apart, (size_t)blocks * md->bytes);
	if (md->pi_type)
		CU_ASSERT_EQUAL(nsdk_nvme_pi_generate(md, &iov, 1, md->extended ? NULL : apart, blocks, &pi),
				0);
}

static int look(uint64_t lba, uint32_t blocks, struct nsdk_nvme_pi_error *error)
{
	struct nsdk_nvme_pi pi = tags(lba);
	struct iovec iov = { back, blocks * unit };

	return nsdk_nvme_pi_check(md, &iov, 1, md->extended ? NULL : apart_back, blocks, &pi, error);
}

static bool is_back(uint32_t blocks)
{
	return memcmp(data, back, blocks * unit) == 0 &&
	       (md->extended || memcmp(apart, apart_back, (size_t)blocks * md->bytes) == 0);
}

/* The metadata of block @p i, and where its protection information is. */
static uint8_t *md_of(uint8_t *whole, uint8_t *own, uint32_t i)
{
	return md->extended ? whole + i * unit + md->block_bytes : own + (size_t)i * md->bytes;
}

static uint8_t *pi_of(uint8_t *whole, uint8_t *own, uint32_t i)
{
	return md_of(whole, own, i) + (md->pi_first ? 0 : md->bytes - md->pi_bytes);
}

/* ---- Tests ---- */

static const uint32_t sizes[] = { 1, 2, 3, 7, 8, 16, 65, SPLIT_BLOCKS };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* The host makes it, the controller looks at it on the way, and the host again in the end. */
static void is_there_as_it_was_made(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct nsdk_nvme_io_ext to = say(checks(), apart), from = say(checks(), apart_back);

		make(5 + i, sizes[i]);
		NSDK_ASSERT_INT(put(5 + i, sizes[i], &to), 0);
		NSDK_ASSERT_INT(get(5 + i, sizes[i], &from), 0);
		CU_ASSERT(is_back(sizes[i]));
		if (md->pi_type)
			NSDK_ASSERT_INT(look(5 + i, sizes[i], NULL), 0);
		/* With nothing looked at it is the same. */
		from.flags = 0;
		NSDK_ASSERT_INT(get(5 + i, sizes[i], &from), 0);
		CU_ASSERT(is_back(sizes[i]));
	}
}

static void is_made_by_the_controller(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct nsdk_nvme_io_ext to = say(PRACT, apart), from = say(checks(), apart_back);
		size_t blocks = sizes[i];

		make(40, sizes[i]);
		/* If other metadata goes along, what the host left in the place of this does not. */
		for (uint32_t b = 0; b < sizes[i] && !alone(); b++)
			memset(pi_of(data, apart, b), 0xee, md->pi_bytes);
		NSDK_ASSERT_INT(put(40, sizes[i], &to), 0);
		NSDK_ASSERT_INT(get(40, sizes[i], &from), 0);
		NSDK_ASSERT_INT(look(40, sizes[i], NULL), 0);
		for (size_t b = 0; b < blocks; b++)
			CU_ASSERT(memcmp(back + b * unit,
					 data + b * (alone() ? md->block_bytes : unit),
						md->block_bytes) == 0);
		/* Taken off again. */
		from = say(PRACT | checks(), apart_back);
		NSDK_ASSERT_INT(get(40, sizes[i], &from), 0);
		if (alone())
			CU_ASSERT(memcmp(back, data, blocks * md->block_bytes) == 0);
		if (!alone() && !md->extended)
			CU_ASSERT(memcmp(back, data, blocks * md->block_bytes) == 0);
	}
}

/* Those who know nothing of metadata need not, where the controller does all of it. */
static void is_not_seen(void)
{
	struct nsdk_nvme_io_ext from = say(md->pi_type ? GUARD | (md->pi_type == 3 ? 0 : REF) : 0,
					   apart_back);
	size_t bytes = SPLIT_BLOCKS * (size_t)md->block_bytes;

	rig_fill(data, bytes);
	if (!md->pi_type || !alone()) {
		NSDK_ASSERT_INT(nsdk_nvme_write(ns, rig.qp, data, 0, 1, 0, rig_done_cb, &rig_once), -EINVAL);
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, rig.qp, back, 0, 1, 0, rig_done_cb, &rig_once), -EINVAL);
		return;
	}
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_write(ns, rig.qp, data, 9, SPLIT_BLOCKS, 0, rig_done_cb,
						&rig_once)),
			0);
	memset(back, 0, bytes);
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_read(ns, rig.qp, back, 9, SPLIT_BLOCKS, 0, rig_done_cb,
					       &rig_once)), 0);
	CU_ASSERT(memcmp(data, back, bytes) == 0);
	NSDK_ASSERT_INT(get(9, SPLIT_BLOCKS, &from), 0);
	/* One block, as the shortest way would have it, were there no metadata. */
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_write(ns, rig.qp, data + 4096, 9, 1, 0, rig_done_cb,
						&rig_once)), 0);
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_read(ns, rig.qp, back, 9, 1, 0, rig_done_cb, &rig_once)), 0);
	CU_ASSERT(memcmp(data + 4096, back, md->block_bytes) == 0);
	/* Somebody else's block, moved here: nobody asked, and yet it is found. */
	if (md->pi_type == 3)
		return;
	from = say(0, apart);
	make(600, 1);
	NSDK_ASSERT_INT(put(9, 1, &from), 0);
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_read(ns, rig.qp, back, 9, 1, 0, rig_done_cb, &rig_once)),
			MEDIA_STATUS(REF_TAG_CHECK));
}

static void verify(uint64_t lba, uint32_t blocks, uint16_t status)
{
	if (oncs & NSDK_NVME_ONCS_VERIFY)
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_verify(ns, rig.qp, lba, blocks, 0, rig_done_cb, &rig_once)),
				status);
}

/*
 * Block @p bad of many is wrong in one way: the controller finds it when it is read, and when it is written
 * if it is asked to; and so does the host.
 */
static void finds(uint32_t bad, uint32_t check, uint16_t status, void (*spoil)(uint32_t bad))
{
	struct nsdk_nvme_io_ext to = say(0, apart), from = say(0, apart_back);
	struct nsdk_nvme_pi_error error = { 0 };
	bool refused_at_once = md->pi_type == 3 && check == REF; /* nobody but the host knows it */

	make(100, SPLIT_BLOCKS);
	spoil(bad);
	NSDK_ASSERT_INT(put(100, SPLIT_BLOCKS, &to), 0);
	NSDK_ASSERT_INT(get(100, SPLIT_BLOCKS, &from), 0);
	NSDK_ASSERT_INT(look(100, SPLIT_BLOCKS, &error), -EILSEQ);
	NSDK_ASSERT_INT(error.block, bad);
	CU_ASSERT_EQUAL(error.check, check);
	CU_ASSERT(error.expected != error.found);
	if (refused_at_once)
		return;
	from.flags = checks() & ~check;
	NSDK_ASSERT_INT(get(100, SPLIT_BLOCKS, &from), 0);
	from.flags = check;
	NSDK_ASSERT_INT(get(100, SPLIT_BLOCKS, &from), status);
	NSDK_ASSERT_INT(get(100, bad, &from), 0);
	if (check == GUARD)
		verify(100, SPLIT_BLOCKS, status);
	to.flags = check;
	NSDK_ASSERT_INT(put(100, SPLIT_BLOCKS, &to), status);
}

static void spoil_data(uint32_t bad)
{
	data[bad * unit + md->block_bytes - 1] ^= 0x80;
}

static void spoil_guard(uint32_t bad)
{
	pi_of(data, apart, bad)[1] ^= 1;
}

static void spoil_app_tag(uint32_t bad)
{
	pi_of(data, apart, bad)[2u << md->pif] ^= 1;
}

static void spoil_ref_tag(uint32_t bad)
{
	pi_of(data, apart, bad)[md->pi_bytes - 1] ^= 1;
}

/* Covered where it comes before. */
static void spoil_other(uint32_t bad)
{
	md_of(data, apart, bad)[0] ^= 4;
}

static void all_is_found(void)
{
	finds(1, GUARD, MEDIA_STATUS(GUARD_CHECK), spoil_data);
	finds(SPLIT_BLOCKS - 1, GUARD, MEDIA_STATUS(GUARD_CHECK), spoil_guard);
	finds(17, APP, MEDIA_STATUS(APP_TAG_CHECK), spoil_app_tag);
	finds(SPLIT_BLOCKS - 1, REF, MEDIA_STATUS(REF_TAG_CHECK), spoil_ref_tag);
	if (!md->pi_first && !alone())
		finds(3, GUARD, MEDIA_STATUS(GUARD_CHECK), spoil_other);
}

/* Tags of the host's own: masked application tags, reference tags that are not the block's number. */
static void own_tags(void)
{
	struct nsdk_nvme_io_ext to = say(PRACT, apart), from = say(checks(), apart_back);

	rig_fill(data, SPLIT_BLOCKS * unit);
	to.app_tag = 0xab34;
	NSDK_ASSERT_INT(put(0, 3, &to), 0);
	NSDK_ASSERT_INT(get(0, 3, &from), MEDIA_STATUS(APP_TAG_CHECK));
	from.app_mask = 0x00ff;
	NSDK_ASSERT_INT(get(0, 3, &from), 0);
	from.app_mask = 0;
	NSDK_ASSERT_INT(get(0, 3, &from), 0);
	to = say(PRACT, apart);
	from = say(checks(), apart_back);
	to.own_ref_tag = from.own_ref_tag = true;
	if (md->pi_type == 1) {
		/* There it is the block's number, and another one is told at once. */
		NSDK_ASSERT_INT(get(7, 3, &from), NSDK_NVME_STATUS(NSDK_NVME_SCT_COMMAND,
								   NSDK_NVME_SC_INVALID_PROTECTION));
		return;
	}
	NSDK_ASSERT_INT(put(7, SPLIT_BLOCKS, &to), 0);
	NSDK_ASSERT_INT(get(7, SPLIT_BLOCKS, &from), 0);
	NSDK_ASSERT_INT(look(md->pi_type == 3 ? 7 : REF_TAG, SPLIT_BLOCKS, NULL), 0);
	if (md->pi_type == 2) {
		from.ref_tag++;
		NSDK_ASSERT_INT(get(7, 3, &from), MEDIA_STATUS(REF_TAG_CHECK));
		from.own_ref_tag = false;
		NSDK_ASSERT_INT(get(7, 3, &from), MEDIA_STATUS(REF_TAG_CHECK));
	}
}

static void others(void)
{
	struct nsdk_nvme_io_ext to = say(0, apart), from = say(checks() & ~APP, apart_back);
	struct nsdk_nvme_copy_range *ranges = (void *)(apart + RIG_ARENA_BYTES / 8);
	struct iovec iov = { data, 9 * unit };

	make(300, 9);
	NSDK_ASSERT_INT(put(300, 9, &to), 0);
	/* Compare: data, and metadata but for what is protection information. */
	to.flags = checks();
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_comparev_ext(ns, rig.qp, &iov, 1, 300, 9, &to, rig_done_cb,
						       &rig_once)), 0);
	data[8 * unit] ^= 1;
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_comparev_ext(ns, rig.qp, &iov, 1, 300, 9, &to, rig_done_cb,
						       &rig_once)),
			MEDIA_STATUS(COMPARE_FAILURE));
	data[8 * unit] ^= 1;
	/* QEMU 7.2 compares other bytes than these where there is protection information. */
	if (!alone() && !(real_device && md->pi_type)) {
		uint8_t *other = md_of(data, apart, 8) + (md->pi_first ? md->bytes - 1 : 0);

		*other ^= 1;
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_comparev_ext(ns, rig.qp, &iov, 1, 300, 9, &to, rig_done_cb,
							       &rig_once)), MEDIA_STATUS(COMPARE_FAILURE));
		*other ^= 1;
	}
	verify(300, 9, 0);
	/* Copied, blocks are those of another place. */
	if ((oncs & NSDK_NVME_ONCS_COPY) && alone() && md->pif == NSDK_NVME_PIF_16) {
		memset(ranges, 0, 2 * sizeof(*ranges));
		ranges[0].slba = 302;
		ranges[0].blocks = 2;
		ranges[1].slba = 300;
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_copy(ns, rig.qp, ranges, 2, 400, 0, rig_done_cb,
						       &rig_once)),
				0);
		NSDK_ASSERT_INT(get(400, 4, &from), 0);
		CU_ASSERT(memcmp(back, data + 2 * unit, md->block_bytes) == 0);
		CU_ASSERT(memcmp(back + 3 * unit, data, md->block_bytes) == 0);
	}
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_write_zeroes(ns, rig.qp, 298, SPLIT_BLOCKS, 0, rig_done_cb,
						       &rig_once)), 0);
	if (real_device && md->pif == NSDK_NVME_PIF_64)
		from.flags &= ~GUARD; /* QEMU 7.2 makes 0, which it is not */
	NSDK_ASSERT_INT(get(300, 100, &from), 0);
	for (size_t i = 0; i < md->block_bytes; i++)
		CU_ASSERT_FATAL(back[99 * unit + i] == 0);
	verify(298, SPLIT_BLOCKS, 0);
}

static void refuses(void)
{
	struct nsdk_nvme_io_ext ext = say(0, apart);
	struct iovec iov = { data, unit };
	uint8_t outside[64];

	ext.ext_bytes--;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
					    &rig_once), -EINVAL);
	ext.ext_bytes++;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, rig.qp, data, 0, 1, GUARD, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_compare(ns, rig.qp, data, 0, 1, 0, rig_done_cb, &rig_once), -EINVAL);
	if (md->pi_type) {
		ext.flags = PRACT;
		NSDK_ASSERT_INT(nsdk_nvme_comparev_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
						       &rig_once), -EINVAL);
	}
	ext.flags = md->pi_type == 3 ? REF : md->pi_type ? 0 : GUARD;
	if (ext.flags)
		NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb, &rig_once),
				-EINVAL);
	ext.flags = 0;
	ext.metadata = md->extended ? apart : NULL;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
					    &rig_once), -EINVAL);
	ext = say(0, apart);
	iov.iov_len -= 4;
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
					    &rig_once), -EINVAL);
	iov.iov_len += 4;
	if (md->extended)
		return;
	ext.metadata = apart + (rig.nosnoop ? 32 : 2);
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
					    &rig_once), -EINVAL);
	ext.metadata = (void *)((uintptr_t)outside & ~(uintptr_t)63);
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb,
					    &rig_once), -EFAULT);
}

/* A controller that makes wrong guards is found out by whoever looks. */
static void is_wrong_itself(void)
{
	struct nsdk_nvme_io_ext to = say(PRACT, apart), from = say(0, apart_back);
	struct nsdk_nvme_pi_error error;

	rig_fill(data, 4 * unit);
	NSDK_ASSERT_INT(put(0, 4, &to), 0);
	NSDK_ASSERT_INT(get(0, 4, &from), 0);
	NSDK_ASSERT_INT(look(0, 4, NULL), 0);
	NSDK_ASSERT_INT(put(0, 4, &to), 0); /* the third command */
	NSDK_ASSERT_INT(get(0, 4, &from), 0);
	NSDK_ASSERT_INT(look(0, 4, &error), -EILSEQ);
	NSDK_ASSERT_INT(error.block, 0);
	CU_ASSERT_EQUAL(error.check, GUARD);
	CU_ASSERT_EQUAL(error.expected ^ error.found, (uint64_t)1 << ((2u << md->pif) - 1) * 8);
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_read(ns, rig.qp, back, 0, 4, 0, rig_done_cb, &rig_once)),
			MEDIA_STATUS(GUARD_CHECK));
}

/* ---- Each format ---- */

static void each_namespace(const char *device, enum nsdk_policy policy, bool extended, void (*test)(void))
{
	rig_up(device, policy, real_device != NULL);
	data = rig.arena;
	back = data + RIG_ARENA_BYTES / 4;
	apart = back + RIG_ARENA_BYTES / 4;
	apart_back = apart + RIG_ARENA_BYTES / 4;
	oncs = nsdk_nvme_ctrlr_data(rig.ctrlr)->oncs;
	for (uint32_t nsid = nsdk_nvme_ns_next(rig.ctrlr, 0); nsid;
	     nsid = nsdk_nvme_ns_next(rig.ctrlr, nsid)) {
		ns = nsdk_nvme_ns_get(rig.ctrlr, nsid);
		md = nsdk_nvme_ns_metadata(ns);
		CU_ASSERT_PTR_NOT_NULL_FATAL(md);
		if (md->extended != extended)
			continue;
		unit = md->block_bytes + (md->extended ? md->bytes : 0u);
		test();
	}
	rig_down();
}

static void all(void)
{
	is_there_as_it_was_made();
	is_not_seen();
	others();
	refuses();
	if (md->pi_type == 0)
		return;
	is_made_by_the_controller();
	all_is_found();
	own_tags();
}

/* Each shape of metadata, without protection information and of each type. */
static void each_format(enum nsdk_policy policy, bool extended)
{
	static const char *const shapes[] = {
		"lba=512,ms=8,mdts=1,sgl=none",
		"lba=4096,ms=64,pil=1,mdts=2",
		"lba=512,ms=16,pif=2,mdts=2",
		"lba=4096,ms=24,pif=1,mdts=2,sgl=none,latency_us=20",
	};
	char device[160];

	if (real_device) {
		each_namespace(real_device, policy, extended, all);
		return;
	}
	for (unsigned i = 0; i < 4 * 4; i++) {
		snprintf(device, sizeof(device), "emu:nvme,size=4M,pi=%u,mset=%u,%s%s", i % 4, extended,
			 shapes[i / 4], policy == NSDK_POLICY_COHERENT ? "" : ",nosnoop=all,seed=51");
		each_namespace(device, policy, extended, all);
	}
}

static void apart_coherent(void)
{
	each_format(NSDK_POLICY_COHERENT, false);
}

static void apart_nosnoop(void)
{
	each_format(NSDK_POLICY_NOSNOOP, false);
}

static void extended_coherent(void)
{
	each_format(NSDK_POLICY_COHERENT, true);
}

static void extended_nosnoop(void)
{
	each_format(NSDK_POLICY_NOSNOOP, true);
}

static void wrong_guards(void)
{
	if (real_device)
		return;
	each_namespace("emu:nvme,size=1M,ms=8,pi=1,fault=guard@3", NSDK_POLICY_COHERENT, false,
		       is_wrong_itself);
	each_namespace("emu:nvme,size=1M,ms=16,pi=2,pif=2,mset=1,fault=guard@3", NSDK_POLICY_COHERENT, true,
		       is_wrong_itself);
}

static int choose_device(void)
{
	real_device = getenv("NSDK_PI_DEVICE");
	return 0;
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(apart_coherent),
	NSDK_UNIT_TEST(apart_nosnoop),
	NSDK_UNIT_TEST(extended_coherent),
	NSDK_UNIT_TEST(extended_nosnoop),
	NSDK_UNIT_TEST(wrong_guards),
};

NSDK_UNIT_MAIN("nvme protection", tests, .start = choose_device)
