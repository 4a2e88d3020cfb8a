/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Administration on the emulated controller, the whole stack: raw commands on both kinds of queue, log
 * pages, namespaces that change under the driver, events; with the cache model watching.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme_admin.h>

#define PATIENCE_NS (30 * 1000000000ull)
#define ARENA_BYTES ((size_t)4 << 20)
#define BIG_BYTES ((size_t)128 << 10)

static const struct setting {
	const char *device;
	enum nsdk_policy policy;
} settings[] = {
	{ "emu:nvme,size=8M,namespaces=3", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,namespaces=3,thread=1", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,namespaces=3,nosnoop=all,seed=21", NSDK_POLICY_NOSNOOP },
	{ "emu:nvme,size=8M,namespaces=3,nosnoop=data,seed=22", NSDK_POLICY_NOSNOOP },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *setting;
static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_dma_pool *pool;
static uint8_t *arena;

struct done {
	int count;
	uint16_t status;
	uint32_t dw0;
};

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct done *done = ctx;

	done->count++;
	done->status = cpl->status & 0xffe;
	done->dw0 = cpl->dw0;
}

static void bring_up(const struct setting *of, const char *more)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_nvme_opts opts = {
		.opts_bytes = sizeof(opts),
		.policy = of->policy,
		.admin_timeout_ns = 2000000000,
	};
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	char words[200];
	void *va;

	setting = of;
	snprintf(words, sizeof(words), "%s%s", of->device, more);
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, &opts, &ctrlr), 0);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &pool_opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, ARENA_BYTES, 4096, &va), 0);
	arena = va;
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
}

static void take_down(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;

	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	nsdk_cache_model_stats(&stats);
	if (stats.violations_total) {
		nsdk_cache_model_violations(&first, 1);
		fprintf(stderr, "%s: %llu violations, first: %s at %zu, %s, %s, missing %s\n",
			setting->device, (unsigned long long)stats.violations_total,
			nsdk_violation_name(first.kind), first.offset_bytes, first.owner,
			first.operation, first.missing);
	}
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	if (setting->policy == NSDK_POLICY_NOSNOOP)
		CU_ASSERT(stats.device_writes > 0 && stats.fences > 0);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

static void each_setting(void (*test)(void))
{
	for (size_t i = 0; i < SETTINGS; i++) {
		bring_up(&settings[i], "");
		test();
		take_down();
	}
}

static uint16_t wait_for(struct done *done)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (done->count == 0 && nsdk_clock_ns() < deadline_ns) {
		nsdk_nvme_ctrlr_poll(ctrlr);
		nsdk_nvme_qpair_poll(qp, 0);
	}
	CU_ASSERT_EQUAL_FATAL(done->count, 1);
	return done->status;
}

static int admin(const struct nsdk_nvme_cmd *cmd, void *buf, size_t bytes)
{
	struct done done = { 0 };
	int err = nsdk_nvme_admin_passthru(ctrlr, cmd, buf, bytes, nsdk_nvme_opcode_dir(cmd->opcode),
					   0, on_done, &done);

	return err ? err : wait_for(&done);
}

static int sync_cmd(struct nsdk_nvme_cmd cmd, void *data, size_t bytes, struct nsdk_nvme_cpl *cpl)
{
	int err = nsdk_nvme_admin_sync(ctrlr, &cmd, data, bytes, nsdk_nvme_opcode_dir(cmd.opcode), 0,
				       cpl);

	return err ? err : cpl->status & 0xffe;
}

static int io(struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, void *buf, size_t bytes)
{
	struct done done = { 0 };
	int err = nsdk_nvme_io_passthru(ns, qp, cmd, buf, bytes, nsdk_nvme_opcode_dir(cmd->opcode),
					on_done, &done);

	return err ? err : wait_for(&done);
}

static uint16_t rw(struct nsdk_nvme_ns *ns, bool write, void *buf, uint64_t lba, uint32_t blocks)
{
	struct done done = { 0 };
	int err = write ? nsdk_nvme_write(ns, qp, buf, lba, blocks, 0, on_done, &done) :
			  nsdk_nvme_read(ns, qp, buf, lba, blocks, 0, on_done, &done);

	CU_ASSERT_EQUAL_FATAL(err, 0);
	return wait_for(&done);
}

static void fill(uint8_t *at, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* ---- Raw commands ---- */

static void raw_data_goes_both_ways(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_CTRLR, 0, 0, 0);
	struct nsdk_nvme_cpl cpl;
	static uint8_t plain[4096], image[BIG_BYTES];

	/* From the device, over what the CPU has just stored there. */
	memset(arena, 0xee, 4096);
	CU_ASSERT_EQUAL(admin(&cmd, arena, 4096), 0);
	CU_ASSERT_EQUAL(memcmp(arena, nsdk_nvme_ctrlr_data(ctrlr), 4096), 0);
	/* Into the middle of a page and over its end: two PRPs. */
	memset(arena + 1024, 0xee, 4096);
	CU_ASSERT_EQUAL(admin(&cmd, arena + 1024, 4096), 0);
	CU_ASSERT_EQUAL(memcmp(arena + 1024, nsdk_nvme_ctrlr_data(ctrlr), 4096), 0);
	CU_ASSERT_EQUAL(sync_cmd(cmd, plain, 4096, &cpl), 0);
	CU_ASSERT_EQUAL(memcmp(plain, nsdk_nvme_ctrlr_data(ctrlr), 4096), 0);

	/* To the device, with a list. What arrived shows in its firmware log. */
	fill(image, sizeof(image), 1);
	memcpy(image, "NSDKFW1:raw-1.00", 16);
	memcpy(arena + 64, image, sizeof(image));
	cmd = nsdk_nvme_cmd_fw_download(sizeof(image), 0);
	CU_ASSERT_EQUAL(admin(&cmd, arena + 64, sizeof(image)), 0);
	cmd = nsdk_nvme_cmd_fw_commit(2, 0, 0);
	CU_ASSERT_EQUAL(admin(&cmd, NULL, 0), 0);
	memcpy(image + 8, "raw-2.00", 8);
	CU_ASSERT_EQUAL(nsdk_nvme_fw_download(ctrlr, image, sizeof(image), 0, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	cmd = nsdk_nvme_cmd_fw_commit(2, 0, 0);
	CU_ASSERT_EQUAL(admin(&cmd, NULL, 0), 0);
	{
		struct nsdk_nvme_log_opts opts = {
			.opts_bytes = sizeof(opts),
			.lid = NSDK_NVME_LOG_FIRMWARE_SLOT,
		};
		struct nsdk_nvme_firmware_log log;

		CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, &log, sizeof(log), &cpl), 0);
		CU_ASSERT_EQUAL(memcmp(log.frs[1], "raw-2.00", 8), 0);
	}
}

static void test_raw_data_goes_both_ways(void)
{
	each_setting(raw_data_goes_both_ways);
}

static void raw_io_is_io(void)
{
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(ctrlr, 2);
	struct nsdk_nvme_cmd write = { .opcode = NSDK_NVME_NVM_WRITE, .cdw10 = 40, .cdw12 = 255 };
	struct nsdk_nvme_cmd read = { .opcode = NSDK_NVME_NVM_READ, .nsid = 2, .cdw10 = 40,
				      .cdw12 = 255 };
	uint8_t *out = arena, *in = arena + BIG_BYTES;

	fill(out, BIG_BYTES, 3);
	CU_ASSERT_EQUAL(io(ns, &write, out, BIG_BYTES), 0);
	memset(in, 0, BIG_BYTES);
	CU_ASSERT_EQUAL(io(NULL, &read, in, BIG_BYTES), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, BIG_BYTES), 0);
	memset(in, 0, BIG_BYTES);
	CU_ASSERT_EQUAL(rw(ns, false, in, 40, 256), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, BIG_BYTES), 0);

	/* Errors come as statuses, and stand in the log. */
	read.nsid = 9;
	CU_ASSERT_EQUAL(io(NULL, &read, in, BIG_BYTES), NSDK_NVME_STATUS(0, 0x0b));
}

static void test_raw_io_is_io(void)
{
	each_setting(raw_io_is_io);
}

/* ---- Log pages ---- */

static void logs_are_read_in_pieces(void)
{
	static struct nsdk_nvme_effects_log whole;
	static uint8_t pieces[4096 + 4096];
	struct nsdk_nvme_log_opts opts = {
		.opts_bytes = sizeof(opts),
		.lid = NSDK_NVME_LOG_COMMANDS,
	};
	struct nsdk_nvme_error_entry errors[64];
	struct nsdk_nvme_cpl cpl;

	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, &whole, sizeof(whole), &cpl), 0);
	CU_ASSERT(whole.acs[NSDK_NVME_ADMIN_FORMAT] & NSDK_NVME_EFFECT_SUPPORTED);
	/* Longer than the page: what is behind it is zeroes, in a command of its own. */
	memset(pieces, 0xee, sizeof(pieces));
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, pieces, 4100, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	CU_ASSERT_EQUAL(memcmp(pieces, &whole, 4096), 0);
	CU_ASSERT_EQUAL(pieces[4096], 0);
	CU_ASSERT_EQUAL(pieces[4100], 0xee);
	opts.offset = 1024;
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, pieces, 33, &cpl), 0);
	CU_ASSERT_EQUAL(memcmp(pieces, whole.iocs, 33), 0);
	opts.offset = 2;
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, pieces, 33, &cpl), -EINVAL);
	opts.offset = 0;
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, pieces, 0, &cpl), -EINVAL);

	/* An error status ends it, and the data stays as it was. */
	opts.lid = 0xc5;
	memset(pieces, 0xee, sizeof(pieces));
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, pieces, 8000, &cpl), 0);
	CU_ASSERT_EQUAL(cpl.status & 0xffe, NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_LOG_PAGE));
	CU_ASSERT_EQUAL(pieces[0], 0xee);

	/* That failure stands in the error log. */
	opts.lid = NSDK_NVME_LOG_ERROR;
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &opts, errors, sizeof(errors), &cpl), 0);
	CU_ASSERT(errors[0].error_count > 0);
	CU_ASSERT_EQUAL(errors[0].status_field & 0xffe,
			NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_LOG_PAGE));
}

static void test_logs_are_read_in_pieces(void)
{
	each_setting(logs_are_read_in_pieces);
}

/* ---- Namespaces ---- */

static void format_is_followed_by_a_look(void)
{
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(ctrlr, 1), *other = nsdk_nvme_ns_get(ctrlr, 3);
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(1, 1, false, 0, false, 0);
	struct done done = { 0 };

	fill(arena, 4096, 5);
	CU_ASSERT_EQUAL(rw(ns, true, arena, 0, 8), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, on_done,
						 &done), 0);
	/* Nobody is let at it, nor at those that are formatted with it. */
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, 0, 1, 0, on_done, &done), -EBUSY);
	CU_ASSERT_EQUAL(nsdk_nvme_read(other, qp, arena, 0, 1, 0, on_done, &done), -EBUSY);
	CU_ASSERT_EQUAL(wait_for(&done), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_block_bytes(ns), 4096);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(ns), 2048);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_block_bytes(other), 4096);
	memset(arena, 0xee, 8192);
	CU_ASSERT_EQUAL(rw(ns, false, arena, 0, 1), 0);
	CU_ASSERT_EQUAL(arena[4095], 0);
	CU_ASSERT_EQUAL(arena[4096], 0xee);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, 2048, 1, 0, on_done, &done), -EINVAL);
	/* A format that fails changes nothing, and I/O goes on. */
	cmd = nsdk_nvme_cmd_format(1, 9, false, 0, false, 0);
	CU_ASSERT_EQUAL(admin(&cmd, NULL, 0), NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_FORMAT));
	CU_ASSERT_EQUAL(rw(other, false, arena, 5, 1), 0);
}

static void test_format_is_followed_by_a_look(void)
{
	each_setting(format_is_followed_by_a_look);
}

static int attachment(uint32_t nsid, bool detach)
{
	struct nsdk_nvme_ctrlr_list list = { .count = 1 };
	struct nsdk_nvme_cpl cpl;

	return sync_cmd(nsdk_nvme_cmd_ns_attach(nsid, detach), &list, sizeof(list), &cpl);
}

static void namespaces_come_and_go(void)
{
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(ctrlr, 2);
	struct nsdk_nvme_id_ns wanted = { .nsze = 64, .ncap = 64 };
	struct nsdk_nvme_cpl cpl;
	struct done done = { 0 };

	CU_ASSERT_EQUAL(attachment(2, true), 0);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_get(ctrlr, 2));
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 1), 3);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, 0, 1, 0, on_done, &done), -ENODEV);
	CU_ASSERT_EQUAL(nsdk_nvme_flush(ns, qp, on_done, &done), -ENODEV);
	CU_ASSERT_EQUAL(sync_cmd(nsdk_nvme_cmd_ns_delete(2), NULL, 0, &cpl), 0);
	CU_ASSERT_EQUAL(sync_cmd(nsdk_nvme_cmd_ns_create(0), &wanted, sizeof(wanted), &cpl), 0);
	CU_ASSERT_EQUAL(cpl.dw0, 2);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_get(ctrlr, 2));
	CU_ASSERT_EQUAL(attachment(2, false), 0);
	/* The same object, with what it is now. */
	CU_ASSERT_PTR_EQUAL(nsdk_nvme_ns_get(ctrlr, 2), ns);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(ns), 64);
	CU_ASSERT_EQUAL(rw(ns, false, arena, 63, 1), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, arena, 64, 1, 0, on_done, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 1), 2);
}

static void test_namespaces_come_and_go(void)
{
	each_setting(namespaces_come_and_go);
}

/* ---- Events ---- */

static struct {
	int count;
	struct nsdk_nvme_event last;
	bool there; /* what the driver knew by then */
} heard;

static void on_event(void *ctx, struct nsdk_nvme_ctrlr *of, const struct nsdk_nvme_event *event)
{
	CU_ASSERT_PTR_EQUAL(of, ctrlr);
	CU_ASSERT_PTR_EQUAL(ctx, &heard);
	heard.count++;
	heard.last = *event;
	heard.there = nsdk_nvme_ns_get(of, 3) != NULL;
}

static void listen_until(int count)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (heard.count < count && nsdk_clock_ns() < deadline_ns)
		nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL_FATAL(heard.count, count);
}

static void events_are_told(void)
{
	struct nsdk_nvme_log_opts smart = {
		.opts_bytes = sizeof(smart),
		.lid = NSDK_NVME_LOG_SMART,
	};
	struct nsdk_nvme_smart_log log;
	struct nsdk_nvme_cpl cpl;

	memset(&heard, 0, sizeof(heard));
	nsdk_nvme_ctrlr_on_event(ctrlr, on_event, &heard);
	CU_ASSERT_EQUAL(attachment(3, true), 0);
	listen_until(1);
	CU_ASSERT_EQUAL(heard.last.type, 2);
	CU_ASSERT_EQUAL(heard.last.info, 0);
	CU_ASSERT_EQUAL(heard.last.log_page, NSDK_NVME_LOG_CHANGED_NS);
	CU_ASSERT_STRING_EQUAL(heard.last.text, "namespace attributes changed");
	CU_ASSERT_FALSE(heard.there);
	/* The driver has read the list, so it is told again. */
	CU_ASSERT_EQUAL(attachment(3, false), 0);
	listen_until(2);
	CU_ASSERT(heard.there);

	/* A threshold below the temperature there is. */
	CU_ASSERT_EQUAL(sync_cmd(nsdk_nvme_cmd_set_features(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, false,
							    0, 250, 0), NULL, 0, &cpl), 0);
	listen_until(3);
	CU_ASSERT_EQUAL(heard.last.type, 1);
	CU_ASSERT_EQUAL(heard.last.log_page, NSDK_NVME_LOG_SMART);
	CU_ASSERT_EQUAL(nsdk_nvme_get_log(ctrlr, &smart, &log, sizeof(log), &cpl), 0);
	CU_ASSERT_EQUAL(log.critical_warning, 2);
	nsdk_nvme_ctrlr_on_event(ctrlr, NULL, NULL);
	CU_ASSERT_EQUAL(attachment(3, true), 0);
	for (int i = 0; i < 1000; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL(heard.count, 3);
}

static void test_events_are_told(void)
{
	each_setting(events_are_told);
}

/* ---- Failure ---- */

static void a_command_without_an_answer_leads_to_a_reset(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_CTRLR, 0, 0, 0);
	struct nsdk_nvme_cpl cpl = { 0 };
	struct done done = { 0 };

	/* Far enough behind what bring-up needs. */
	bring_up(&settings[0], ",fault=timeout@admin40");
	nsdk_unit_log_start();
	for (int i = 0; i < 40 && !done.count; i++) {
		int err = nsdk_nvme_admin_passthru(ctrlr, &cmd, arena, 4096, NSDK_DMA_FROM_DEVICE,
						   50000000, on_done, &done);

		CU_ASSERT_EQUAL(err, 0);
		(void)wait_for(&done);
		if (done.status)
			break;
		done.count = 0;
	}
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, 0));
	CU_ASSERT(nsdk_unit_log_has("admin command 06h was not answered within 50 ms"));
	CU_ASSERT_EQUAL(nsdk_nvme_admin_sync(ctrlr, &cmd, arena, 4096, NSDK_DMA_FROM_DEVICE, 0, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	CU_ASSERT(nsdk_unit_log_has("has been reset and goes on"));
	nsdk_unit_log_stop();
	take_down();
}

static void removal_in_the_middle_calls_back_once(void)
{
	for (unsigned at = 18; at < 34; at++) {
		struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(NSDK_NVME_NSID_ALL, 1, false, 0, false,
								0);
		char more[40];
		struct done done = { 0 };
		int err;

		snprintf(more, sizeof(more), ",fault=gone@admin%u", at);
		nsdk_unit_log_start();
		bring_up(&settings[2], more);
		err = nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, on_done,
					       &done);
		if (!err)
			(void)wait_for(&done);
		nsdk_unit_log_stop();
		CU_ASSERT(done.count == (err ? 0 : 1));
		take_down();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(test_raw_data_goes_both_ways),
	NSDK_UNIT_TEST(test_raw_io_is_io),
	NSDK_UNIT_TEST(test_logs_are_read_in_pieces),
	NSDK_UNIT_TEST(test_format_is_followed_by_a_look),
	NSDK_UNIT_TEST(test_namespaces_come_and_go),
	NSDK_UNIT_TEST(test_events_are_told),
	NSDK_UNIT_TEST(a_command_without_an_answer_leads_to_a_reset),
	NSDK_UNIT_TEST(removal_in_the_middle_calls_back_once),
};

NSDK_UNIT_MAIN("functional/nvme_admin", tests)
