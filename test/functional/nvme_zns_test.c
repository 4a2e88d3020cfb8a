/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zoned namespaces on the emulated controller: what they say of themselves, writes in order, appends,
 * each action and limit, reports of more zones than a command tells of; and that no cache line is missed.
 *
 * With NSDK_ZNS_DEVICE=DEVICE on that one instead, whose data is lost, and which is to be like those: the VM
 * lab has it so on a controller that nobody here wrote.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_zns.h>

#define PATIENCE_NS (60 * 1000000000ull)
#define ARENA_BYTES ((size_t)8 << 20)

#define ZONES "zoned=1,zone=1M,zone_cap=768K,max_open=3,max_active=5,zones_ro=1,zones_offline=2,size=32M"

static struct setting {
	const char *device;
	enum nsdk_policy policy;
	bool nosnoop; /* what comes of it */
	bool across;  /* reads may be */
} settings[] = {
	{ "emu:nvme,lba=512," ZONES, NSDK_POLICY_COHERENT, false, false },
	{ "emu:nvme,lba=4096,sgl=none,thread=1,mdts=1,zone_cross=1," ZONES, NSDK_POLICY_COHERENT,
	 false, true },
	{ "emu:nvme,lba=512,mdts=5,zasl=2,latency_us=20,mqes=8," ZONES, NSDK_POLICY_COHERENT, false,
	 false },
	{ "emu:nvme,lba=512,nosnoop=all,seed=41,mdts=1," ZONES, NSDK_POLICY_NOSNOOP, true, false },
	{ "emu:nvme,lba=4096,nosnoop=all,seed=42,sgl=none,zone_cross=1,mqes=8," ZONES,
	 NSDK_POLICY_NOSNOOP, true,
	  true },
	{ "emu:nvme,lba=512,nosnoop=data,seed=43,thread=1,zasl=3," ZONES, NSDK_POLICY_AUTO, true,
	 false },
};
static size_t setting_count = sizeof(settings) / sizeof(settings[0]);

static bool worn = true; /* the last three zones cannot be written */
static const struct setting *setting;
static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static const struct nsdk_nvme_zoned *zoned;
static struct nsdk_dma_pool *pool;
static uint8_t *arena, *back;
static uint32_t block, salt; /* bytes */
static uint64_t size, cap;   /* of a zone, in blocks */

struct done {
	int count;
	uint16_t status;
	uint64_t alba;
};

/* That of RUN(). */
static struct done once;

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct done *done = ctx;

	done->count++;
	done->status = cpl->status & 0xffe;
	done->alba = nsdk_nvme_cpl_alba(cpl);
}

static void bring_up(const struct setting *of)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts) };
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = of->policy };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	void *va;

	setting = of;
	mem_opts.no_huge = worn;
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(of->device, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, &opts, &ctrlr), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_active(nsdk_nvme_ctrlr_coherence(ctrlr)), of->nosnoop);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &pool_opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, ARENA_BYTES, 4096, &va), 0);
	arena = va;
	back = arena + ARENA_BYTES / 2;
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ns);
	block = nsdk_nvme_ns_block_bytes(ns);
	zoned = nsdk_nvme_ns_zoned(ns);
	CU_ASSERT_PTR_NOT_NULL_FATAL(zoned);
	size = ((uint64_t)1 << 20) / block;
	cap = ((uint64_t)768 << 10) / block;
	if (!worn) {
		once.count = 0;
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_RESET,
							       NSDK_NVME_ZONE_SELECT_ALL, on_done, &once), 0);
		while (once.count == 0)
			CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_EQUAL_FATAL(once.status, 0);
	}
}

static void take_down(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;

	if (qp)
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
	qp = NULL;
	CU_ASSERT_EQUAL(nsdk_nvme_detach(ctrlr), 0);
	nsdk_cache_model_stats(&stats);
	if (stats.violations_total) {
		nsdk_cache_model_violations(&first, 1);
		fprintf(stderr, "%s: %llu violations, first: %s at %zu, %s, %s, missing %s\n",
			setting->device, (unsigned long long)stats.violations_total,
			nsdk_violation_name(first.kind), first.offset_bytes, first.owner,
			first.operation, first.missing);
	}
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	if (setting->nosnoop && worn)
		CU_ASSERT(stats.device_writes > 0 && stats.fences > 0);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static void each_setting(void (*test)(void))
{
	for (size_t i = 0; i < setting_count; i++) {
		bring_up(&settings[i]);
		test();
		take_down();
	}
}

/* Until that many are done; the status of the last. */
static uint16_t wait_for(struct done *done, int count)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (done->count < count) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT_EQUAL(done->count, count);
	return done->status;
}

/* What became of a call that goes by &once: its status. */
#define RUN(call)                                                                                 \
	(once.count = 0, CU_assertImplementation((call) == 0, __LINE__, #call, __FILE__, "", CU_TRUE), \
	 wait_for(&once, 1))

#define ZNS_STATUS(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_COMMAND, NSDK_NVME_SC_##name)

static void fill(uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}

static uint16_t act(uint64_t zone, enum nsdk_nvme_zone_action action)
{
	return RUN(nsdk_nvme_zone_mgmt_send(ns, qp, zone * size, action, 0, on_done, &once));
}

static uint16_t act_on_all(enum nsdk_nvme_zone_action action)
{
	return RUN(nsdk_nvme_zone_mgmt_send(ns, qp, 1, action, NSDK_NVME_ZONE_SELECT_ALL, on_done,
					    &once));
}

static uint16_t write_blocks(uint64_t lba, uint32_t count)
{
	return RUN(nsdk_nvme_write(ns, qp, arena, lba, count, 0, on_done, &once));
}

static void expect_blocks(const uint8_t *expected, uint64_t lba, uint32_t count)
{
	memset(back, 0x5a, (size_t)count * block);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_read(ns, qp, back, lba, count, 0, on_done, &once)), 0);
	CU_ASSERT(memcmp(back, expected, (size_t)count * block) == 0);
}

/* ---- Reports ---- */

struct seen {
	unsigned count, stop_at; /* 0: never */
	struct nsdk_nvme_zone zones[64];
	uint8_t ext[64][64];
};
static struct seen seen;

static bool see(void *ctx, const struct nsdk_nvme_zone *zone)
{
	struct seen *all = ctx;

	CU_ASSERT_FATAL(all->count < 64);
	all->zones[all->count] = *zone;
	if (zone->ext)
		memcpy(all->ext[all->count], zone->ext, 64);
	return ++all->count != all->stop_at;
}

static int report(const struct nsdk_nvme_zone_report_opts *opts, size_t bytes)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
	struct nsdk_nvme_zone_report *out;
	struct nsdk_nvme_cpl cpl;
	int rc;

	seen.count = 0;
	rc = nsdk_nvme_zone_report_start(ns, qp, opts, arena + (2 << 20), bytes, see, &seen, &out);
	if (rc)
		return rc;
	while ((rc = nsdk_nvme_zone_report_poll(out, &cpl)) == -EAGAIN) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT_EQUAL(cpl.status, 0);
	return rc;
}

static enum nsdk_nvme_zone_state state_of(uint64_t zone)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts),
						  .slba = zone * size + 3,
						   .max_zones = 1 };

	CU_ASSERT_EQUAL(report(&opts, 4096), 0);
	NSDK_ASSERT_INT(seen.count, 1);
	CU_ASSERT_EQUAL(seen.zones[0].zslba, zone * size);
	return seen.zones[0].state;
}

/* Where a zone goes on. */
static uint64_t pointer_of(uint64_t zone)
{
	state_of(zone);
	return seen.zones[0].wp;
}

/* ---- What they say ---- */

static void described(void)
{
	CU_ASSERT_EQUAL(zoned->zone_blocks, size);
	CU_ASSERT_EQUAL(zoned->zones, 32);
	NSDK_ASSERT_INT(zoned->max_open, 3);
	NSDK_ASSERT_INT(zoned->max_active, 5);
	NSDK_ASSERT_INT(zoned->desc_ext_bytes, 64);
	CU_ASSERT_EQUAL(zoned->read_across, setting->across);
	CU_ASSERT(zoned->max_append_blocks > 0 &&
		  zoned->max_append_blocks * (size_t)block <= nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr));
	CU_ASSERT_EQUAL(zoned->id.mor, 2);
}

static void are_described(void)
{
	each_setting(described);
}

static void reported(void)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts) };
	/* A zone a command at least; all in one go. */
	static const size_t buffers[] = { 128, 192, 1024, 4096, 1 << 20 };

	fill(arena, 16 * block);
	CU_ASSERT_EQUAL(write_blocks(2 * size, 5), 0);
	CU_ASSERT_EQUAL(act(7, NSDK_NVME_ZONE_OPEN), 0);
	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		opts = (struct nsdk_nvme_zone_report_opts){ .opts_bytes = sizeof(opts) };
		NSDK_ASSERT_INT(report(&opts, buffers[i]), 0);
		NSDK_ASSERT_INT(seen.count, 32);
		for (unsigned z = 0; z < 32; z++) {
			const struct nsdk_nvme_zone *zone = &seen.zones[z];

			CU_ASSERT_EQUAL(zone->zslba, z * size);
			CU_ASSERT_EQUAL(zone->zcap, cap);
			CU_ASSERT_EQUAL(zone->type, NSDK_NVME_ZONE_SEQWRITE_REQUIRED);
			CU_ASSERT_PTR_NULL(zone->ext);
			CU_ASSERT_EQUAL(zone->state, z == 2 ? NSDK_NVME_ZONE_IMPLICITLY_OPEN :
					z == 7 ? NSDK_NVME_ZONE_EXPLICITLY_OPEN :
					worn && z == 29 ? NSDK_NVME_ZONE_READ_ONLY :
					worn && z > 29 ? NSDK_NVME_ZONE_IS_OFFLINE : NSDK_NVME_ZONE_EMPTY);
			CU_ASSERT_EQUAL(zone->wp, worn && z > 28 ? UINT64_MAX : z * size + (z == 2 ?
											    5 : 0));
		}
		opts.filter = worn ? NSDK_NVME_ZONES_OFFLINE : NSDK_NVME_ZONES_EXPLICITLY_OPEN;
		NSDK_ASSERT_INT(report(&opts, buffers[i]), 0);
		NSDK_ASSERT_INT(seen.count, worn ? 2 : 1);
		CU_ASSERT_EQUAL(seen.zones[0].zslba, (worn ? 30 : 7) * size);
		opts = (struct nsdk_nvme_zone_report_opts){ .opts_bytes = sizeof(opts),
							   .slba = 4 * size,
							    .max_zones = 9 };
		NSDK_ASSERT_INT(report(&opts, buffers[i]), 0);
		NSDK_ASSERT_INT(seen.count, 9);
		CU_ASSERT_EQUAL(seen.zones[8].zslba, 12 * size);
		seen.stop_at = 3;
		NSDK_ASSERT_INT(report(&opts, buffers[i]), 0);
		NSDK_ASSERT_INT(seen.count, 3);
		seen.stop_at = 0;
	}
	opts.slba = 32 * size;
	NSDK_ASSERT_INT(report(&opts, 4096), -EINVAL);
	opts.slba = 0;
	NSDK_ASSERT_INT(report(&opts, setting->nosnoop ? 127 : 124), -EINVAL);
	opts.filter = (enum nsdk_nvme_zone_filter)8;
	NSDK_ASSERT_INT(report(&opts, 4096), -EINVAL);
	NSDK_ASSERT_INT(seen.count, 0);
}

static void are_reported(void)
{
	each_setting(reported);
}

static void extended(void)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts), .extended = true,
						   .max_zones = 6 };
	uint8_t *ext = arena + (1 << 20) + 64;

	for (unsigned z = 1; z < 5; z += 3) {
		memset(ext, 'a' + (int)z, 64);
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_zone_set_desc_ext(ns, qp, z * size, ext, on_done,
								&once)), 0);
	}
	/* What it has, since some take it before they refuse. */
	memset(ext, 'a' + 1, 64);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_zone_set_desc_ext(ns, qp, size, ext, on_done, &once)),
			ZNS_STATUS(ZONE_INVALID_TRANSITION));
	for (size_t bytes = 192; bytes <= 4096; bytes += 1952) {
		NSDK_ASSERT_INT(report(&opts, bytes), 0);
		NSDK_ASSERT_INT(seen.count, 6);
		for (unsigned z = 0; z < 6; z++) {
			bool has = z == 1 || z == 4;

			CU_ASSERT_EQUAL(seen.zones[z].ext != NULL, has);
			CU_ASSERT_EQUAL(seen.zones[z].state, has ? NSDK_NVME_ZONE_CLOSED :
					NSDK_NVME_ZONE_EMPTY);
			CU_ASSERT(!has || (seen.ext[z][0] == 'a' + z &&
					   seen.ext[z][63] == 'a' + z));
		}
	}
	CU_ASSERT_EQUAL(act(1, NSDK_NVME_ZONE_RESET), 0);
	NSDK_ASSERT_INT(report(&opts, 4096), 0);
	CU_ASSERT_PTR_NULL(seen.zones[1].ext);
	NSDK_ASSERT_INT(nsdk_nvme_zone_set_desc_ext(ns, qp, size + 1, ext, on_done, &once),
			-EINVAL);
}

static void have_extensions(void)
{
	each_setting(extended);
}

/* ---- Writes ---- */

static void written(void)
{
	uint32_t most = (uint32_t)nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr) / block;
	uint32_t large = (uint32_t)(cap - 10);
	static uint8_t zeroes[64 << 10];

	/* Many times what one command is: each piece behind the one before, or it would fail. */
	fill(arena, (size_t)cap * block);
	CU_ASSERT_EQUAL(write_blocks(4 * size, large), 0);
	expect_blocks(arena, 4 * size, large);
	CU_ASSERT_EQUAL(pointer_of(4), 4 * size + large);
	/* Not at the write pointer, beyond the capacity, then up to it. */
	CU_ASSERT_EQUAL(write_blocks(4 * size + large + 1, 1), ZNS_STATUS(ZONE_INVALID_WRITE));
	if (most > 11)
		CU_ASSERT_EQUAL(write_blocks(4 * size + large, 11),
				ZNS_STATUS(ZONE_BOUNDARY_ERROR));
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_write_zeroes(ns, qp, 4 * size + large, 5, 0, on_done, &once)),
			0);
	expect_blocks(zeroes, 4 * size + large, 5);
	for (uint32_t i = 5; i < 10; i++)
		CU_ASSERT_EQUAL(write_blocks(4 * size + large + i, 1), 0);
	CU_ASSERT_EQUAL(state_of(4), NSDK_NVME_ZONE_FULL);
	CU_ASSERT_EQUAL(write_blocks(4 * size, 1), ZNS_STATUS(ZONE_IS_FULL));
	if (worn) {
		CU_ASSERT_EQUAL(write_blocks(29 * size, 1), ZNS_STATUS(ZONE_IS_READ_ONLY));
		CU_ASSERT_EQUAL(write_blocks(31 * size, 1), ZNS_STATUS(ZONE_IS_OFFLINE));
	}
	/* One that fails in the middle has written what is before it. */
	if (most < size - cap) {
		bool full = cap % most == 0;

		CU_ASSERT_EQUAL(write_blocks(5 * size, (uint32_t)size),
				full ? ZNS_STATUS(ZONE_IS_FULL) : ZNS_STATUS(ZONE_BOUNDARY_ERROR));
		CU_ASSERT_EQUAL(pointer_of(5), full ? UINT64_MAX : 5 * size + cap / most * most);
		expect_blocks(arena, 5 * size, (uint32_t)(cap / most * most));
	}
	/* From zone to zone it cannot go, in however many commands. */
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, arena, 6 * size, (uint32_t)size + 1, 0, on_done,
					&once), -EINVAL);
	CU_ASSERT_EQUAL(act(4, NSDK_NVME_ZONE_RESET), 0);
	expect_blocks(zeroes, 4 * size, 16);
	CU_ASSERT_EQUAL(write_blocks(4 * size, 16), 0);
	expect_blocks(arena, 4 * size, 16);
}

static void are_written_in_order(void)
{
	each_setting(written);
}

/* Large writes to several zones at once, each in its own order, with reads between. */
static void at_once(void)
{
	struct done done = { 0 };
	uint32_t large = (uint32_t)cap;
	int asked = 0, rc;

	fill(arena, (size_t)large * block);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned zone = 0; zone < 3; zone++) {
			while ((rc = nsdk_nvme_write(ns, qp, arena + zone * 4096,
						     zone * size + round * large / 4,
						     large / 4, 0, on_done, &done)) == -EAGAIN)
				CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
			CU_ASSERT_EQUAL(rc, 0);
			asked++;
			/* The next of this zone may not start before; the next zone's may. */
			if (zone == 2)
				CU_ASSERT_EQUAL(wait_for(&done, asked), 0);
		}
	for (unsigned zone = 0; zone < 3; zone++)
		for (unsigned round = 0; round < 4; round++)
			expect_blocks(arena + zone * 4096, zone * size + round * large / 4,
				      large / 4);
}

static void are_written_at_once(void)
{
	each_setting(at_once);
}

static void read_across(void)
{
	static uint8_t expected[256 << 10];
	struct iovec iov[2];
	uint32_t count = 40960 / block;

	CU_ASSERT_EQUAL(RUN(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_FINISH, 0, on_done,
						     &once)), 0);
	fill(arena, (size_t)count * block);
	CU_ASSERT_EQUAL(write_blocks(size, count), 0);
	memset(expected, 0, sizeof(expected));
	memcpy(expected + 4096, arena, (size_t)count * block - 4096);
	/* Whatever the namespace can do in one command: a page at the boundary, and more. */
	expect_blocks(expected, size - 4096 / block, 4096 / block * 2);
	expect_blocks(expected, size - 4096 / block, count);
	/* In pieces that are not blocks. */
	iov[0] = (struct iovec){ back, 4096 };
	iov[1] = (struct iovec){ back + 8192, (size_t)count * block - 4096 };
	memset(back, 1, 8192 + (size_t)count * block);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_readv(ns, qp, iov, 2, size - 4096 / block, count, 0, on_done,
					    &once)), 0);
	CU_ASSERT(memcmp(back, expected, 4096) == 0);
	CU_ASSERT(memcmp(back + 8192, expected + 4096, (size_t)count * block - 4096) == 0);
	memcpy(back, expected, (size_t)count * block);
	CU_ASSERT_EQUAL(RUN(nsdk_nvme_compare(ns, qp, back, size - 4096 / block, count, 0, on_done,
					      &once)), 0);
	if (nsdk_nvme_ctrlr_data(ctrlr)->oncs & NSDK_NVME_ONCS_VERIFY)
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_verify(ns, qp, 0, (uint32_t)(4 * size), 0, on_done,
						     &once)), 0);
	if (worn)
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_read(ns, qp, back, 31 * size, 1, 0, on_done, &once)),
				ZNS_STATUS(ZONE_IS_OFFLINE));
}

static void are_read_across(void)
{
	each_setting(read_across);
}

/* ---- Appends ---- */

static void appended(void)
{
	enum { APPENDS = 24 };
	struct done done[APPENDS] = { { 0 } };
	uint32_t most = zoned->max_append_blocks < 16 ? zoned->max_append_blocks : 16;
	bool taken[APPENDS * 16] = { false };
	struct iovec iov[2] = { { arena, 2048 }, { arena + 4096 * 7, block * 2 - 2048 } };
	uint64_t blocks = 0;

	/* As many as the queue takes at once, of one zone; each says where it went. */
	fill(arena, (size_t)APPENDS * 16 * 4096);
	for (unsigned i = 0; i < APPENDS; i++) {
		uint32_t count = 1 + i % most;
		int rc;

		while ((rc = nsdk_nvme_zone_append(ns, qp, arena + i * 16 * 4096, 3 * size, count,
						   0, on_done,
						   &done[i])) == -EAGAIN)
			CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_EQUAL(rc, 0);
		blocks += count;
	}
	for (unsigned i = 0; i < APPENDS; i++)
		CU_ASSERT_EQUAL(wait_for(&done[i], 1), 0);
	for (unsigned i = 0; i < APPENDS; i++) {
		uint32_t count = 1 + i % most;

		CU_ASSERT_FATAL(done[i].alba >= 3 * size &&
				done[i].alba + count <= 3 * size + blocks);
		for (uint32_t b = 0; b < count; b++) {
			CU_ASSERT(!taken[done[i].alba - 3 * size + b]);
			taken[done[i].alba - 3 * size + b] = true;
		}
		expect_blocks(arena + i * 16 * 4096, done[i].alba, count);
	}
	CU_ASSERT_EQUAL(pointer_of(3), 3 * size + blocks);
	if (block == 4096 && most >= 2) {
		/* PRPs cannot say that, and two commands would be two places. */
		int rc;

		once.count = 0;
		rc = nsdk_nvme_zone_appendv(ns, qp, iov, 2, 3 * size, 2, 0, on_done, &once);

		NSDK_ASSERT_INT(rc, strstr(setting->device, "sgl=none") ? -EINVAL : 0);
		if (rc == 0) {
			wait_for(&once, 1);
			blocks += 2;
		}
	}
	iov[0] = (struct iovec){ arena, 4096 };
	iov[1] = (struct iovec){ arena + 4096 * 7, 4096 };
	if (most >= 8192 / block) {
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_zone_appendv(ns, qp, iov, 2, 3 * size, 8192 / block,
							   NSDK_NVME_RW_FUA,
							   on_done, &once)), 0);
		expect_blocks(arena + 4096 * 7, once.alba + 4096 / block, 4096 / block);
	}
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, arena, 3 * size, zoned->max_append_blocks + 1,
					      0, on_done,
					      &once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, arena, 3 * size, 0, 0, on_done, &once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, arena, 3 * size + 1, 1, 0, on_done, &once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, arena, 32 * size, 1, 0, on_done, &once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, arena, 3 * size, 1, 1u << 25, on_done, &once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, (void *)(uintptr_t)64, 3 * size, 1, 0,
					      on_done, &once),
			-EFAULT);
	if (worn)
		CU_ASSERT_EQUAL(RUN(nsdk_nvme_zone_append(ns, qp, arena, 30 * size, 1, 0, on_done,
							  &once)),
				ZNS_STATUS(ZONE_IS_OFFLINE));
}

static void take_appends(void)
{
	each_setting(appended);
}

/* ---- States and limits ---- */

static void managed(void)
{
	for (uint64_t zone = 0; zone < 3; zone++)
		CU_ASSERT_EQUAL(act(zone, NSDK_NVME_ZONE_OPEN), 0);
	/* All that may be open are so explicitly. */
	CU_ASSERT_EQUAL(act(3, NSDK_NVME_ZONE_OPEN), ZNS_STATUS(TOO_MANY_OPEN_ZONES));
	CU_ASSERT_EQUAL(write_blocks(3 * size, 1), ZNS_STATUS(TOO_MANY_OPEN_ZONES));
	CU_ASSERT_EQUAL(act(1, NSDK_NVME_ZONE_CLOSE), 0);
	CU_ASSERT_EQUAL(state_of(1), NSDK_NVME_ZONE_CLOSED);
	/* One that is open implicitly makes room for the next; five are active then. */
	CU_ASSERT_EQUAL(write_blocks(3 * size, 1), 0);
	CU_ASSERT_EQUAL(write_blocks(4 * size, 1), 0);
	CU_ASSERT_EQUAL(state_of(3), NSDK_NVME_ZONE_CLOSED);
	CU_ASSERT_EQUAL(write_blocks(5 * size, 1), ZNS_STATUS(TOO_MANY_ACTIVE_ZONES));
	CU_ASSERT_EQUAL(act(5, NSDK_NVME_ZONE_OPEN), ZNS_STATUS(TOO_MANY_ACTIVE_ZONES));
	if (worn) /* others may close what is open implicitly for it */
		CU_ASSERT_EQUAL(act_on_all(NSDK_NVME_ZONE_OPEN), ZNS_STATUS(TOO_MANY_OPEN_ZONES));
	CU_ASSERT_EQUAL(act(0, NSDK_NVME_ZONE_FINISH), 0);
	CU_ASSERT_EQUAL(state_of(0), NSDK_NVME_ZONE_FULL);
	CU_ASSERT_EQUAL(act(0, NSDK_NVME_ZONE_OPEN), ZNS_STATUS(ZONE_INVALID_TRANSITION));
	CU_ASSERT_EQUAL(act(0, NSDK_NVME_ZONE_CLOSE), ZNS_STATUS(ZONE_INVALID_TRANSITION));
	CU_ASSERT_EQUAL(act(0, NSDK_NVME_ZONE_OFFLINE), ZNS_STATUS(ZONE_INVALID_TRANSITION));
	CU_ASSERT_EQUAL(act(6, NSDK_NVME_ZONE_CLOSE), ZNS_STATUS(ZONE_INVALID_TRANSITION));
	if (worn)
		CU_ASSERT_EQUAL(act(29, NSDK_NVME_ZONE_RESET), ZNS_STATUS(ZONE_INVALID_TRANSITION));
	CU_ASSERT_EQUAL(act_on_all(NSDK_NVME_ZONE_CLOSE), 0);
	CU_ASSERT_EQUAL(state_of(2), NSDK_NVME_ZONE_CLOSED);
	CU_ASSERT_EQUAL(act_on_all(NSDK_NVME_ZONE_FINISH), 0);
	CU_ASSERT_EQUAL(state_of(4), NSDK_NVME_ZONE_FULL);
	CU_ASSERT_EQUAL(state_of(6), NSDK_NVME_ZONE_EMPTY);
	CU_ASSERT_EQUAL(act_on_all(NSDK_NVME_ZONE_RESET), 0);
	CU_ASSERT_EQUAL(state_of(4), NSDK_NVME_ZONE_EMPTY);
	CU_ASSERT_EQUAL(state_of(29), worn ? NSDK_NVME_ZONE_READ_ONLY : NSDK_NVME_ZONE_EMPTY);
	CU_ASSERT_EQUAL(act_on_all(NSDK_NVME_ZONE_OFFLINE), 0);
	CU_ASSERT_EQUAL(state_of(29), worn ? NSDK_NVME_ZONE_IS_OFFLINE : NSDK_NVME_ZONE_EMPTY);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 1, NSDK_NVME_ZONE_RESET, 0, on_done,
						 &once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_RESET, 2, on_done,
						 &once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_SET_DESC_EXT, 0, on_done,
						 &once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_RESET, 0, NULL, &once),
			-EINVAL);
}

static void are_managed(void)
{
	each_setting(managed);
}

/* ---- What changes ---- */

/* Another block size has another number of blocks in a zone; and all are empty. */
static void formats(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(1, 1, false, 0, false, 0);
	struct nsdk_nvme_cpl cpl;

	if (!worn)
		return;

	bring_up(&settings[0]);
	CU_ASSERT_EQUAL(write_blocks(0, 8), 0);
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	block = nsdk_nvme_ns_block_bytes(ns);
	NSDK_ASSERT_INT(block, 4096);
	size = 256;
	CU_ASSERT_PTR_EQUAL(nsdk_nvme_ns_zoned(ns), zoned);
	CU_ASSERT_EQUAL(zoned->zone_blocks, 256);
	CU_ASSERT_EQUAL(state_of(0), NSDK_NVME_ZONE_EMPTY);
	CU_ASSERT_EQUAL(seen.zones[0].zcap, 192);
	CU_ASSERT_EQUAL(write_blocks(size, 8), 0);
	take_down();
}

/*
 * After a reset what only reads is sent again; what writes into a zone is not, though the queue pair would
 * have it so: if it had been carried out it could not be carried out again.
 */
static void writes_are_not_sent_again(void)
{
	static const struct setting faulty = { "emu:nvme,lba=512,fault=fatal@2," ZONES, NSDK_POLICY_COHERENT, false,
					       false };
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .retry_writes = true };
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
	struct done done[5] = { { 0 } };
	bool all = false;

	if (!worn)
		return;
	bring_up(&faulty);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	fill(arena, 8 * (size_t)block);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(nsdk_nvme_write(ns, qp, arena, i * size, 8, 0, on_done, &done[i]), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, back, 0, 8, 0, on_done, &done[4]), 0);
	while (!all && nsdk_clock_ns() < deadline_ns) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		all = !nsdk_nvme_ctrlr_recovering(ctrlr);
		for (unsigned i = 0; i < 5; i++)
			all = all && done[i].count;
	}
	CU_ASSERT(all);
	for (unsigned i = 0; i < 5; i++) {
		NSDK_ASSERT_INT(done[i].count, 1);
		NSDK_ASSERT_INT(done[i].status, i < 2 || i == 4 ? 0 :
				NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, NSDK_NVME_SC_ABORTED_BY_HOST));
	}
	CU_ASSERT(memcmp(arena, back, 8 * (size_t)block) == 0);
	/* What is there is told by a report. */
	CU_ASSERT_EQUAL(pointer_of(1), size + 8);
	CU_ASSERT_EQUAL(pointer_of(2), 2 * size);
	CU_ASSERT_EQUAL(write_blocks(2 * size, 8), 0);
	take_down();
}

/* Queues that append to the same zones, from threads of their own. */
enum { WRITERS = 3, APPENDS_EACH = 300 };

struct writer {
	struct nsdk_nvme_qpair *qp;
	pthread_t thread;
	uint8_t *buf;
	uint64_t where[APPENDS_EACH];
	unsigned number, failures;
};

static void *append_many(void *arg)
{
	struct writer *writer = arg;

	for (unsigned i = 0; i < APPENDS_EACH; i++) {
		uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
		struct done done = { 0 };

		memset(writer->buf, (int)(writer->number * 64 + i % 64), 512);
		if (nsdk_nvme_zone_append(ns, writer->qp, writer->buf, i % 2 * size, 1, 0, on_done,
					  &done))
			writer->failures++;
		else
			while (done.count == 0 && nsdk_nvme_qpair_poll(writer->qp, 0) >= 0 &&
			       nsdk_clock_ns() < deadline_ns)
				;
		writer->failures += done.count != 1 || done.status;
		writer->where[i] = done.alba;
	}
	return NULL;
}

static void threads_append(void)
{
	struct writer writers[WRITERS] = { { 0 } };
	static uint8_t expected[512];

	bring_up(&settings[0]);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].number = i;
		writers[i].buf = arena + i * 4096;
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &writers[i].qp), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&writers[i].thread, NULL, append_many,
						     &writers[i]), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	for (unsigned i = 0; i < WRITERS; i++) {
		NSDK_ASSERT_INT(writers[i].failures, 0);
		for (unsigned n = 0; n < APPENDS_EACH; n++) {
			memset(expected, (int)(i * 64 + n % 64), sizeof(expected));
			expect_blocks(expected, writers[i].where[n], 1);
		}
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(writers[i].qp), 0);
	}
	CU_ASSERT_EQUAL(pointer_of(0), WRITERS * APPENDS_EACH / 2);
	take_down();
}

static void ordinary_ones_are_not(void)
{
	static const struct setting ordinary = { "emu:nvme,size=1M", NSDK_POLICY_COHERENT, false,
						false };
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_nvme_zone_report *out;

	if (!worn)
		return;
	setting = &ordinary;
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(ordinary.device, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, NULL, &ctrlr), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_zoned(ns));
	NSDK_ASSERT_INT(nsdk_nvme_zone_append(ns, qp, &opts, 0, 1, 0, on_done, &once), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_zone_mgmt_send(ns, qp, 0, NSDK_NVME_ZONE_RESET, 0, on_done,
						 &once), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_zone_report_start(ns, qp, &opts, &opts, 4096, see, NULL, &out),
			-EOPNOTSUPP);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
	qp = NULL;
	CU_ASSERT_EQUAL(nsdk_nvme_detach(ctrlr), 0);
	nsdk_device_detach(dev);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static int choose_device(void)
{
	const char *device = getenv("NSDK_ZNS_DEVICE");

	if (!device)
		return 0;
	worn = false;
	settings[0] = (struct setting){ device, NSDK_POLICY_COHERENT, false, false };
	settings[1] = (struct setting){ device, NSDK_POLICY_NOSNOOP, true, false };
	setting_count = 2;
	return 0;
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(are_described),
	NSDK_UNIT_TEST(are_reported),
	NSDK_UNIT_TEST(have_extensions),
	NSDK_UNIT_TEST(are_written_in_order),
	NSDK_UNIT_TEST(are_written_at_once),
	NSDK_UNIT_TEST(are_read_across),
	NSDK_UNIT_TEST(take_appends),
	NSDK_UNIT_TEST(are_managed),
	NSDK_UNIT_TEST(formats),
	NSDK_UNIT_TEST(writes_are_not_sent_again),
	NSDK_UNIT_TEST(threads_append),
	NSDK_UNIT_TEST(ordinary_ones_are_not),
};

NSDK_UNIT_MAIN("nvme zones", tests, .start = choose_device)
