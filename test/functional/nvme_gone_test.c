/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller that is pulled out: at rest, under load, at every step of its way up, of a reset and of
 * its way down, and once more when it has come back. Each I/O is called back exactly once, everything
 * says that the device is gone, one sentence is logged, and nothing is left behind (which is the leak
 * sanitizer's to say, and the cache model's).
 *
 * The emulated controller moves when it is polled, so a number of polls is a place on its way.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>

#include "drivers/nvme/nvme_internal.h"
#include "lib/bus/bus_internal.h"
#include "lib/emu/nvme_internal.h"

#define PATIENCE_NS (60 * 1000000000ull)
#define DEPTH 16u
#define IO_BYTES 4096u

struct setting {
	const char *device;
	enum nsdk_policy policy;
};
static const struct setting settings[] = {
	{ "emu:nvme,size=8M", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,nosnoop=all,seed=5", NSDK_POLICY_NOSNOOP },
};

static const struct setting *setting;
static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_dma_pool *pool;
static uint8_t *arena;
static unsigned called[DEPTH];
static unsigned given, back, lost;
static bool resubmits;

static void pull_out(void)
{
	/* The model is the first thing that the emulated bus keeps of a device. */
	struct nsdk_emu_model *model = *(struct nsdk_emu_model **)dev->priv;

	emu_nvme_pull_out((struct emu_nvme *)model);
}

static void give(unsigned i);

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	unsigned i = (unsigned)((uint8_t *)ctx - arena) / IO_BYTES;

	NSDK_ASSERT_INT(called[i], 0);
	called[i] = 1;
	back++;
	if (!nsdk_nvme_cpl_ok(cpl)) {
		NSDK_ASSERT_INT(cpl->status & 0xffe, NVME_STATUS_INTERNAL_PATH);
		lost++;
	} else if (resubmits) {
		give(i);
	}
}

static void give(unsigned i)
{
	uint8_t *buf = arena + (size_t)i * IO_BYTES;
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(ctrlr, 1);
	uint32_t blocks = IO_BYTES / nsdk_nvme_ns_block_bytes(ns);
	int err = i % 2 ? nsdk_nvme_read(ns, qp, buf, (uint64_t)i * blocks, blocks, 0, on_done, buf) :
			  nsdk_nvme_write(ns, qp, buf, (uint64_t)i * blocks, blocks, 0, on_done, buf);

	if (err == 0) {
		given++;
		called[i] = 0;
	} else {
		CU_ASSERT(err == -ENODEV || err == -EAGAIN);
	}
}

static void give_all(void)
{
	for (unsigned i = 0; i < DEPTH; i++)
		give(i);
	nsdk_nvme_qpair_submit(qp);
}

static void attach_device(const char *more)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	char words[200];

	snprintf(words, sizeof(words), "%s%s", setting->device, more);
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
}

static void detach_device(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
	nsdk_device_detach(dev);
	dev = NULL;
	CU_ASSERT_EQUAL(nsdk_mem_destroy(mem), 0);
}

/* Deadlines that no machine is too slow for: that the device is gone is found out without them. */
static void options(struct nsdk_nvme_opts *opts)
{
	memset(opts, 0, sizeof(*opts));
	opts->opts_bytes = sizeof(*opts);
	opts->policy = setting->policy;
	opts->io_timeout_ns = opts->admin_timeout_ns = opts->ready_timeout_ns = PATIENCE_NS;
}

static void bring_up(const char *more)
{
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_nvme_opts opts;
	void *va;

	attach_device(more);
	options(&opts);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(dev, mem, &opts, &ctrlr), 0);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &pool_opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, DEPTH * IO_BYTES, 4096, &va), 0);
	arena = va;
	memset(arena, 0x5a, DEPTH * IO_BYTES);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), 0);
	given = back = lost = 0;
	for (unsigned i = 0; i < DEPTH; i++)
		called[i] = 1;
	resubmits = false;
	nsdk_unit_log_clear();
}

static void destroy_qpair(void)
{
	int rc = nsdk_nvme_qpair_destroy(qp);

	CU_ASSERT(rc == 0 || rc == -ENODEV);
	NSDK_ASSERT_INT(back, given);
}

static void take_down(void)
{
	destroy_qpair();
	nsdk_nvme_detach(ctrlr);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	detach_device();
}

static void one_sentence_at_most_warnings(unsigned warnings)
{
	CU_ASSERT(nsdk_unit_log_has("is gone: it was pulled out"));
	CU_ASSERT(nsdk_unit_log_count() >= 1 && nsdk_unit_log_count() <= 1 + warnings);
	if (nsdk_unit_log_count() > 1 + warnings)
		NSDK_ASSERT_TEXT(nsdk_unit_log_last(), "");
	nsdk_unit_log_clear();
}

/* Polls until the queue pair says that it is all over. */
static void until_gone(bool polls_ctrlr)
{
	uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
	unsigned looks = 0;
	int rc;

	do {
		if (polls_ctrlr)
			nsdk_nvme_ctrlr_poll(ctrlr);
		rc = nsdk_nvme_qpair_poll(qp, 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < end_ns);
		/* A function's reset takes its time. A queue pair alone looks once in so many polls. */
		if (polls_ctrlr && ++looks > 1000 && looks % 16 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
	} while (rc >= 0);
	NSDK_ASSERT_INT(rc, -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 0);
	NSDK_ASSERT_INT(back, given);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -ENODEV);
	CU_ASSERT(nsdk_device_is_gone(dev));
	/* No more is taken. */
	resubmits = false;
	rc = (int)given;
	give(0);
	NSDK_ASSERT_INT(given, rc);
}

static void each_setting(void (*run)(void))
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		setting = &settings[i];
		run();
	}
}

/* ---- At rest ---- */

static void at_rest(void)
{
	bring_up("");
	give_all();
	while (back < given)
		nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(lost, 0);
	pull_out();
	/* Nobody waits for I/O, so it is the controller's poll that finds out. */
	until_gone(true);
	one_sentence_at_most_warnings(0);
	take_down();
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void pulled_out_at_rest(void)
{
	each_setting(at_rest);
}

/* Nobody polls at all: the end of it says so. */
static void unnoticed(void)
{
	bring_up("");
	pull_out();
	take_down();
	one_sentence_at_most_warnings(0);
}

static void pulled_out_unnoticed(void)
{
	each_setting(unnoticed);
}

/* ---- Under load ---- */

static void with_all_outstanding(void)
{
	for (unsigned polls_ctrlr = 0; polls_ctrlr < 2; polls_ctrlr++) {
		bring_up(",latency_us=60000000");
		give_all();
		nsdk_nvme_qpair_poll(qp, 0);
		pull_out();
		until_gone(polls_ctrlr);
		NSDK_ASSERT_INT(lost, DEPTH);
		one_sentence_at_most_warnings(0);
		take_down();
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

static void in_the_middle(void)
{
	/* Each of the first polls, and of the later ones some. */
	for (unsigned polls = 0; polls < 40; polls += 1 + polls / 4) {
		bring_up("");
		resubmits = true;
		give_all();
		for (unsigned i = 0; i < polls; i++)
			nsdk_nvme_qpair_poll(qp, 0);
		pull_out();
		until_gone(polls % 2);
		one_sentence_at_most_warnings(0);
		take_down();
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

/* Given and not sent: these come back too. */
static void before_the_doorbell(void)
{
	bring_up("");
	for (unsigned i = 0; i < DEPTH; i++)
		give(i);
	pull_out();
	until_gone(false);
	NSDK_ASSERT_INT(lost, DEPTH);
	one_sentence_at_most_warnings(0);
	take_down();
}

static void pulled_out_under_load(void)
{
	each_setting(with_all_outstanding);
	each_setting(in_the_middle);
	each_setting(before_the_doorbell);
}

/* Destroyed before anybody has noticed. */
static void in_the_end(void)
{
	bring_up(",latency_us=60000000");
	give_all();
	pull_out();
	destroy_qpair();
	NSDK_ASSERT_INT(lost, DEPTH);
	nsdk_nvme_detach(ctrlr);
	one_sentence_at_most_warnings(0);
	nsdk_dma_free(pool, arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
	detach_device();
}

static void pulled_out_before_its_queues_are_deleted(void)
{
	each_setting(in_the_end);
}

/* ---- Inside of a reset ---- */

static void in_a_reset(void)
{
	unsigned polls = 0;
	bool over = false;

	/* One poll further each time, until the reset is over first. */
	for (; !over; polls++) {
		bring_up(",ready_ms=1");
		resubmits = true;
		give_all();
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "a reset is tried"), 0);
		for (unsigned i = 0; i < polls && nsdk_nvme_ctrlr_recovering(ctrlr); i++) {
			uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
			enum nvme_state state = ctrlr->state;
			uint32_t rung = ctrlr->recovery.rung;

			/* What waits for time is one place, and so is, but for its beginning, the
			 * wait for the queue pair, which looks for orders once in so many polls. */
			do {
				CU_ASSERT(nsdk_nvme_qpair_poll(qp, 0) >= 0);
				CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
				CU_ASSERT_FATAL(nsdk_clock_ns() < end_ns);
			} while (ctrlr->state == state && ctrlr->recovery.rung == rung &&
				 ((rung == NVME_RUNG_PAUSE_ALL && i >= 4) ||
				  ((state == NVME_STATE_SETTLE || state == NVME_STATE_DISABLE ||
				    state == NVME_STATE_ENABLE) && rung == NVME_RUNG_RESTART)));
		}
		over = !nsdk_nvme_ctrlr_recovering(ctrlr);
		pull_out();
		until_gone(true);
		one_sentence_at_most_warnings(1); /* that it is reset */
		take_down();
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
	/* It was several steps. */
	CU_ASSERT(polls > 5);
}

/* … of the function, which has a thread of its own, and which then fails or not. */
static void in_a_function_reset(void)
{
	for (unsigned polls = 0; polls < 12; polls = 2 * polls + 1) {
		bring_up(",reset_fails=1");
		resubmits = true;
		give_all();
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "a reset is tried"), 0);
		for (unsigned i = 0; i < polls; i++) {
			nsdk_nvme_qpair_poll(qp, 0);
			nsdk_nvme_ctrlr_poll(ctrlr);
		}
		pull_out();
		until_gone(true);
		one_sentence_at_most_warnings(2);
		take_down();
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

static void pulled_out_inside_a_reset(void)
{
	each_setting(in_a_reset);
	each_setting(in_a_function_reset);
}

/* ---- On its way up and down ---- */

static void on_its_way_up(void)
{
	struct nsdk_nvme_opts opts;
	unsigned polls = 0;
	int rc = -ENODEV;

	options(&opts);
	for (; rc != 0; polls++) {
		attach_device("");
		nsdk_unit_log_clear();
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach_start(dev, mem, &opts, &ctrlr), 0);
		rc = -EAGAIN;
		for (unsigned i = 0; i < polls && rc == -EAGAIN; i++)
			rc = nsdk_nvme_attach_poll(ctrlr);
		pull_out();
		while (rc == -EAGAIN)
			rc = nsdk_nvme_attach_poll(ctrlr);
		if (rc == 0) {
			nsdk_nvme_detach(ctrlr);
		} else {
			NSDK_ASSERT_INT(rc, -ENODEV);
		}
		one_sentence_at_most_warnings(0);
		detach_device();
	}
	CU_ASSERT(polls > 5);
}

static void pulled_out_on_its_way_up(void)
{
	each_setting(on_its_way_up);
}

static void on_its_way_down(void)
{
	bool over = false;
	unsigned polls = 0;

	for (; !over; polls++) {
		int rc = -EAGAIN;

		bring_up("");
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(qp), 0);
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_detach_start(ctrlr), 0);
		for (unsigned i = 0; i < polls && rc == -EAGAIN; i++)
			rc = nsdk_nvme_detach_poll(ctrlr);
		over = rc != -EAGAIN;
		pull_out();
		while (rc == -EAGAIN)
			rc = nsdk_nvme_detach_poll(ctrlr);
		CU_ASSERT(rc == 0 || rc == -ENODEV);
		CU_ASSERT(nsdk_unit_log_count() <= 1);
		nsdk_unit_log_clear();
		nsdk_dma_free(pool, arena);
		CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(pool), 0);
		detach_device();
	}
	CU_ASSERT(polls > 2);
}

static void pulled_out_on_its_way_down(void)
{
	each_setting(on_its_way_down);
}

/* ---- Twice in a row ---- */

static void twice(void)
{
	for (unsigned i = 0; i < 2; i++) {
		bring_up(",latency_us=60000000");
		give_all();
		nsdk_nvme_qpair_poll(qp, 0);
		pull_out();
		until_gone(true);
		NSDK_ASSERT_INT(lost, DEPTH);
		/* Once more, as if somebody had not noticed. */
		pull_out();
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -ENODEV);
		one_sentence_at_most_warnings(0);
		take_down();
	}
}

static void pulled_out_twice_in_a_row(void)
{
	each_setting(twice);
}

/* ---- With threads: the device's, the I/O's, and the controller's ---- */

static atomic_bool is_over;

static void *do_io(void *arg)
{
	while (nsdk_nvme_qpair_poll(qp, 0) >= 0)
		nsdk_nvme_qpair_submit(qp);
	atomic_store(&is_over, true);
	return NULL;
}

static void among_threads(void)
{
	for (unsigned round = 0; round < 10; round++) {
		uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
		pthread_t thread;

		bring_up(",thread=1");
		resubmits = true;
		atomic_store(&is_over, false);
		give_all();
		CU_ASSERT_FATAL(pthread_create(&thread, NULL, do_io, NULL) == 0);
		for (unsigned i = 0; i < round; i++)
			CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		pull_out();
		while (!atomic_load(&is_over)) {
			nsdk_nvme_ctrlr_poll(ctrlr);
			CU_ASSERT_FATAL(nsdk_clock_ns() < end_ns);
		}
		pthread_join(thread, NULL);
		NSDK_ASSERT_INT(back, given);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -ENODEV);
		one_sentence_at_most_warnings(0);
		take_down();
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

static void pulled_out_among_threads(void)
{
	each_setting(among_threads);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(pulled_out_at_rest),
	NSDK_UNIT_TEST(pulled_out_unnoticed),
	NSDK_UNIT_TEST(pulled_out_under_load),
	NSDK_UNIT_TEST(pulled_out_before_its_queues_are_deleted),
	NSDK_UNIT_TEST(pulled_out_inside_a_reset),
	NSDK_UNIT_TEST(pulled_out_on_its_way_up),
	NSDK_UNIT_TEST(pulled_out_on_its_way_down),
	NSDK_UNIT_TEST(pulled_out_twice_in_a_row),
	NSDK_UNIT_TEST(pulled_out_among_threads),
};

static int start(void)
{
	nsdk_unit_log_start();
	return 0;
}

NSDK_UNIT_MAIN("nvme that is gone", tests, .start = start, .stop = nsdk_unit_log_stop)
