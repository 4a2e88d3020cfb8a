/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jobs on a disk that this test is: it keeps blocks in an array, completes what it likes when it
 * likes, and tampers with data as broken hardware or a missing flush would.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

#define BLOCK_BYTES 512u
#define DISK_BLOCKS 4096u
#define QUEUE 64u

static uint8_t disk[DISK_BLOCKS * BLOCK_BYTES];

/* ---- The disk ---- */

struct command {
	bool is_write;
	void *buf;
	uint64_t lba;
	uint32_t blocks;
	nsdk_nvme_cb cb;
	void *ctx;
};

static struct command queue[QUEUE];
static unsigned queued;

static struct {
	unsigned room;            /* commands it takes at once */
	uint64_t reads, writes;
	uint64_t write_visits[DISK_BLOCKS];
	uint64_t read_visits[DISK_BLOCKS];
	/* What it does wrong, at the N-th command from 1; 0: never. */
	uint64_t lose_write_at;   /* completes, stores nothing */
	uint64_t lose_line_at;    /* stores all but one cache line */
	uint64_t misplace_at;     /* stores one block further */
	uint64_t short_read_at;   /* delivers all but the last cache line */
	unsigned short_reads;
	uint64_t fail_at;
	uint64_t hang_at;
	uint64_t vanish_at;
	uint64_t commands;
	bool vanished;
	bool backwards;           /* completes the youngest first */
	unsigned overlaps;        /* two I/Os in flight on one block, one of them a write */
	unsigned stops;
	unsigned requests;        /* of the user, to stop */
	uint64_t request_at;      /* the N-th command makes such a request */
} fake;

static struct perf_run run;
static struct perf_device device;
static struct perf_job jobs[4];

static int take(struct command command)
{
	if (fake.vanished)
		return -ENODEV;
	if (queued == fake.room)
		return -EAGAIN;
	CU_ASSERT_FATAL(command.lba + command.blocks <= DISK_BLOCKS);
	for (unsigned i = 0; i < queued; i++)
		if ((command.is_write || queue[i].is_write) &&
		    command.lba < queue[i].lba + queue[i].blocks &&
		    queue[i].lba < command.lba + command.blocks)
			fake.overlaps++;
	queue[queued++] = command;
	return 0;
}

int __wrap_nsdk_nvme_read(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
			  uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
int __wrap_nsdk_nvme_read(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
			  uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return take((struct command){ false, buf, lba, blocks, cb, ctx });
}

int __wrap_nsdk_nvme_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
			   uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
			   void *ctx);
int __wrap_nsdk_nvme_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
			   uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
			   void *ctx)
{
	return take((struct command){ true, (void *)(uintptr_t)buf, lba, blocks, cb, ctx });
}

static void carry_out(const struct command *command, uint64_t number)
{
	size_t bytes = command->blocks * (size_t)BLOCK_BYTES;
	uint8_t *place = disk + command->lba * BLOCK_BYTES;
	const uint8_t *buf = command->buf;

	if (!command->is_write) {
		fake.reads++;
		for (uint32_t i = 0; i < command->blocks; i++)
			fake.read_visits[command->lba + i]++;
		if (number == fake.short_read_at) {
			fake.short_reads++;
			bytes -= 64;
		}
		memcpy(command->buf, place, bytes);
		return;
	}
	fake.writes++;
	for (uint32_t i = 0; i < command->blocks; i++)
		fake.write_visits[command->lba + i]++;
	if (number == fake.lose_write_at)
		return;
	if (number == fake.lose_line_at) {
		memcpy(place, buf, 128);
		memcpy(place + 192, buf + 192, bytes - 192);
		return;
	}
	if (number == fake.misplace_at)
		place += BLOCK_BYTES;
	memcpy(place, buf, bytes);
}

int __wrap_nsdk_nvme_qpair_poll(struct nsdk_nvme_qpair *qp, unsigned max);
int __wrap_nsdk_nvme_qpair_poll(struct nsdk_nvme_qpair *qp, unsigned max)
{
	unsigned kept = 0, count = queued;
	struct command todo[QUEUE];
	int done = 0;

	memcpy(todo, queue, sizeof(todo));
	queued = 0;
	for (unsigned n = 0; n < count; n++) {
		const struct command *command = &todo[fake.backwards ? count - 1 - n : n];
		struct nsdk_nvme_cpl cpl = { 0 };
		uint64_t number = ++fake.commands;

		if (number == fake.request_at)
			fake.requests++;
		if (number == fake.vanish_at)
			fake.vanished = true;
		if (fake.hang_at != 0 && number >= fake.hang_at) {
			queue[kept++] = *command;
			queued = kept;
			continue;
		}
		if (fake.vanished)
			cpl.status = NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, 0);
		else if (number == fake.fail_at)
			cpl.status = NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC,
						      NSDK_NVME_SC_LBA_OUT_OF_RANGE);
		else
			carry_out(command, number);
		command->cb(command->ctx, &cpl);
		done++;
	}
	return fake.vanished ? -ENODEV : done;
}

/* ---- The rest of the library, as far as a job needs it ---- */

static struct nsdk_nvme_qpair *a_qpair(void)
{
	return (struct nsdk_nvme_qpair *)(uintptr_t)&queue;
}

int __wrap_nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr,
				  const struct nsdk_nvme_qpair_opts *opts,
				  struct nsdk_nvme_qpair **out);
int __wrap_nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr,
				  const struct nsdk_nvme_qpair_opts *opts,
				  struct nsdk_nvme_qpair **out)
{
	*out = a_qpair();
	return 0;
}

int __wrap_nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp);
int __wrap_nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_cpl cpl = { .status = NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC,
								NSDK_NVME_SC_ABORTED_SQ_DELETED) };

	while (queued > 0) {
		queued--;
		queue[queued].cb(queue[queued].ctx, &cpl);
	}
	return 0;
}

uint16_t __wrap_nsdk_nvme_qpair_id(const struct nsdk_nvme_qpair *qp);
uint16_t __wrap_nsdk_nvme_qpair_id(const struct nsdk_nvme_qpair *qp)
{
	return 1;
}

uint64_t __wrap_nsdk_nvme_ctrlr_cap(const struct nsdk_nvme_ctrlr *ctrlr);
uint64_t __wrap_nsdk_nvme_ctrlr_cap(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return QUEUE - 1;
}

size_t __wrap_nsdk_nvme_ctrlr_max_transfer_bytes(const struct nsdk_nvme_ctrlr *ctrlr);
size_t __wrap_nsdk_nvme_ctrlr_max_transfer_bytes(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return 65536;
}

int __wrap_nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out);
int __wrap_nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out)
{
	*out = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	return *out != NULL ? 0 : -ENOMEM;
}

int __wrap_nsdk_dma_free(struct nsdk_dma_pool *pool, void *va);
int __wrap_nsdk_dma_free(struct nsdk_dma_pool *pool, void *va)
{
	free(va);
	return 0;
}

const char *__wrap_nsdk_device_name(const struct nsdk_device *dev);
const char *__wrap_nsdk_device_name(const struct nsdk_device *dev)
{
	return "fake";
}

void __wrap_nsdk_nvme_cmb_info(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmb_info *out);
void __wrap_nsdk_nvme_cmb_info(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmb_info *out)
{
	memset(out, 0, sizeof(*out));
}

struct nsdk_reactor *__wrap_nsdk_reactor_get(unsigned index);
struct nsdk_reactor *__wrap_nsdk_reactor_get(unsigned index)
{
	return NULL;
}

void __wrap_nsdk_reactors_stop(int status);
void __wrap_nsdk_reactors_stop(int status)
{
	fake.stops++;
}

static unsigned pollers;

int __wrap_nsdk_poller_register(struct nsdk_reactor *reactor, nsdk_poller_fn fn, void *ctx,
				uint64_t period_us, struct nsdk_poller **out);
int __wrap_nsdk_poller_register(struct nsdk_reactor *reactor, nsdk_poller_fn fn, void *ctx,
				uint64_t period_us, struct nsdk_poller **out)
{
	CU_ASSERT(fn == perf_job_poll);
	*out = (struct nsdk_poller *)ctx;
	pollers++;
	return 0;
}

void __wrap_nsdk_poller_unregister(struct nsdk_poller *poller);
void __wrap_nsdk_poller_unregister(struct nsdk_poller *poller)
{
	if (poller != NULL)
		pollers--;
}

unsigned __wrap_tool_stop_requests(void);
unsigned __wrap_tool_stop_requests(void)
{
	return fake.requests;
}

/* What the tool says goes nowhere, but is counted. */
static unsigned said;

void __wrap_tool_say(const char *format, ...);
void __wrap_tool_say(const char *format, ...)
{
	said++;
}

/* ---- A run ---- */

static void prepare(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(disk, 0x3c, sizeof(disk));
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	memset(jobs, 0, sizeof(jobs));
	queued = 0;
	pollers = 0;
	said = 0;
	fake.room = QUEUE;
	run.opts = (struct perf_opts){
		.rw = "randrw",
		.reads = true,
		.writes = true,
		.random = true,
		.rwmixread = 50,
		.bs_bytes = 1024,
		.iodepth = 8,
		.numjobs = 1,
		.verify = true,
		.seed = 1,
		.io_timeout_ns = 20000000,
		.stop_timeout_ns = 20000000,
	};
	run.devices = &device;
	run.jobs = jobs;
	run.nonce = 0xabcdef;
	run.ticks_per_s = nsdk_ticks_per_s();
	run.ns_per_tick_32 = (uint64_t)(((unsigned __int128)1000000000u << 32) / run.ticks_per_s);
	device.run = &run;
	device.block_bytes = BLOCK_BYTES;
	device.region_units = 256;
	device.pattern.nonce = run.nonce;
	device.pattern.nsid = 1;
}

static void set_rw(bool reads, bool writes, bool random)
{
	run.opts.reads = reads;
	run.opts.writes = writes;
	run.opts.random = random;
}

static void go(void)
{
	run.job_count = run.opts.numjobs;
	for (unsigned i = 0; i < run.job_count; i++) {
		jobs[i].run = &run;
		jobs[i].device = &device;
		jobs[i].number = i;
		CU_ASSERT_EQUAL_FATAL(perf_job_create(&jobs[i]), 0);
	}
	atomic_store(&run.live, run.job_count);
	for (unsigned round = 0; atomic_load(&run.live) > 0; round++) {
		CU_ASSERT_FATAL(round < 100000000);
		for (unsigned i = 0; i < run.job_count; i++)
			if (jobs[i].poller != NULL)
				perf_job_poll(&jobs[i]);
	}
	NSDK_ASSERT_INT(fake.stops, 1);
	NSDK_ASSERT_INT(pollers, 0);
	for (unsigned i = 0; i < run.job_count; i++)
		perf_job_destroy(&jobs[i]);
	NSDK_ASSERT_INT(queued, 0);
}

static uint64_t ios(const struct perf_job *job, enum perf_dir dir)
{
	return atomic_load(&job->counters.ios[dir]);
}

static uint64_t errors(void)
{
	return atomic_load(&jobs[0].counters.errors);
}

static uint64_t verify_errors(void)
{
	return atomic_load(&jobs[0].counters.verify_errors);
}

/* ---- Tests ---- */

/* Every kind of load, with and without --verify, on a disk that does what it should. */
static void a_good_disk_is_good(void)
{
	for (unsigned kind = 0; kind < 12; kind++) {
		bool reads = kind % 3 != 1, writes = kind % 3 != 0, random = kind / 3 % 2 != 0;
		bool verify = kind >= 6;

		prepare();
		set_rw(reads, writes, random);
		run.opts.verify = verify;
		fake.backwards = random;
		go();
		NSDK_ASSERT_INT(errors(), 0);
		NSDK_ASSERT_INT(verify_errors(), 0);
		NSDK_ASSERT_INT(said, 0);
		NSDK_ASSERT_INT(ios(&jobs[0], PERF_READ) + ios(&jobs[0], PERF_WRITE), 256);
		CU_ASSERT((ios(&jobs[0], PERF_READ) != 0) == reads);
		CU_ASSERT((ios(&jobs[0], PERF_WRITE) != 0) == writes);
		NSDK_ASSERT_INT(jobs[0].hist[PERF_READ].count, ios(&jobs[0], PERF_READ));
		NSDK_ASSERT_INT(jobs[0].hist[PERF_WRITE].count, ios(&jobs[0], PERF_WRITE));
		if (!verify)
			continue;
		NSDK_ASSERT_INT(fake.overlaps, 0);
		CU_ASSERT(jobs[0].read_back == writes);
		/* All that was written was looked at, beside what the load itself read. */
		CU_ASSERT(jobs[0].blocks_checked >= 256 * 2);
	}
}

static void each_block_is_visited_once(void)
{
	prepare();
	run.opts.verify = false;
	go();
	for (unsigned lba = 0; lba < 512; lba++)
		CU_ASSERT(fake.read_visits[lba] + fake.write_visits[lba] == 1);
	for (unsigned lba = 512; lba < DISK_BLOCKS; lba++)
		CU_ASSERT(fake.read_visits[lba] + fake.write_visits[lba] == 0);
}

static void number_ios_ends_it(void)
{
	prepare();
	run.opts.number_ios = 100;
	go();
	NSDK_ASSERT_INT(ios(&jobs[0], PERF_READ) + ios(&jobs[0], PERF_WRITE), 100);
	NSDK_ASSERT_INT(verify_errors(), 0);
	/* Nothing beyond what is visited is laid down. */
	NSDK_ASSERT_INT(fake.writes, 100 + ios(&jobs[0], PERF_WRITE));
}

static void the_mix_is_about_what_was_asked(void)
{
	prepare();
	run.opts.verify = false;
	run.opts.rwmixread = 80;
	device.region_units = 2048;
	go();
	CU_ASSERT(ios(&jobs[0], PERF_READ) > 2048 * 75 / 100);
	CU_ASSERT(ios(&jobs[0], PERF_READ) < 2048 * 85 / 100);
}

/* Pass after pass over the same blocks: generations rise, and nothing overlaps. */
static void time_based_goes_round(void)
{
	for (unsigned random = 0; random < 2; random++) {
		prepare();
		set_rw(true, true, random != 0);
		device.region_units = 4; /* fewer than --iodepth */
		run.opts.time_based = true;
		run.opts.runtime_ns = 1000000000;
		run.opts.number_ios = 1000;
		/* Four pieces are tracked, and the sequence is no longer than that. */
		go();
		NSDK_ASSERT_INT(ios(&jobs[0], PERF_READ) + ios(&jobs[0], PERF_WRITE), 1000);
		NSDK_ASSERT_INT(verify_errors(), 0);
		NSDK_ASSERT_INT(fake.overlaps, 0);
	}
}

static void runtime_ends_it(void)
{
	prepare();
	run.opts.verify = false;
	run.opts.time_based = true;
	run.opts.runtime_ns = 20000000;
	go();
	CU_ASSERT(perf_ticks_to_ns(&run, jobs[0].end_ticks - jobs[0].start_ticks) >= 20000000);
	CU_ASSERT(ios(&jobs[0], PERF_READ) > 256);
	CU_ASSERT(!jobs[0].failed);
}

static void a_full_queue_is_waited_for(void)
{
	prepare();
	fake.room = 3;
	go();
	NSDK_ASSERT_INT(ios(&jobs[0], PERF_READ) + ios(&jobs[0], PERF_WRITE), 256);
	NSDK_ASSERT_INT(verify_errors(), 0);
}

static void jobs_have_parts_of_their_own(void)
{
	prepare();
	run.opts.numjobs = 4;
	device.region_units = 64;
	go();
	for (unsigned i = 0; i < 4; i++) {
		NSDK_ASSERT_INT(ios(&jobs[i], PERF_READ) + ios(&jobs[i], PERF_WRITE), 64);
		NSDK_ASSERT_INT(atomic_load(&jobs[i].counters.verify_errors), 0);
		NSDK_ASSERT_INT(jobs[i].first_lba, i * 128);
	}
	NSDK_ASSERT_INT(fake.overlaps, 0);
}

/* The buffer held that very data before, or might have: what a read did not deliver shows all the same. */
static void every_short_read_is_found(void)
{
	unsigned happened = 0, missed = 0;

	for (uint64_t at = 1; at <= 700; at += 3) {
		prepare();
		fake.short_read_at = at;
		go();
		happened += fake.short_reads;
		missed += verify_errors() != fake.short_reads;
	}
	NSDK_ASSERT_INT(missed, 0);
	CU_ASSERT(happened > 50);
	/* One buffer, one place: the read that follows the write finds its data there already. */
	prepare();
	set_rw(false, true, false);
	run.opts.iodepth = 1;
	device.region_units = 1;
	fake.short_read_at = 2;
	go();
	NSDK_ASSERT_INT(fake.short_reads, 1);
	NSDK_ASSERT_INT(verify_errors(), 1);
	NSDK_ASSERT_INT(device.mismatches[0].found, PERF_FOUND_POISON);
}

/* With nothing but writes, each loss must be found by the reading back. */
static void every_lost_write_is_found(void)
{
	unsigned missed = 0;

	for (uint64_t at = 1; at <= 256; at++) {
		prepare();
		set_rw(false, true, true);
		fake.lose_write_at = at;
		go();
		missed += verify_errors() != 2; /* 1024 bytes are 2 blocks */
		/* The next block may have been written before or after: then that is wrong, too. */
		prepare();
		set_rw(false, true, true);
		fake.misplace_at = at;
		go();
		missed += verify_errors() < 1 || verify_errors() > 3;
		prepare();
		set_rw(false, true, false);
		fake.lose_line_at = at;
		go();
		missed += verify_errors() != 1 || device.mismatches[0].lines != 1 ||
			  device.mismatches[0].offset_bytes != 128;
	}
	NSDK_ASSERT_INT(missed, 0);
}

/* What an equal run left on the disk is no excuse for a write that was lost. */
static void an_earlier_run_is_not_mistaken_for_this(void)
{
	static uint8_t left[sizeof(disk)];

	prepare();
	set_rw(false, true, true);
	go();
	memcpy(left, disk, sizeof(disk));
	prepare();
	set_rw(false, true, true);
	memcpy(disk, left, sizeof(disk));
	device.pattern.nonce = 77; /* as perf.c takes a new one for each run */
	fake.lose_write_at = 9;
	go();
	NSDK_ASSERT_INT(verify_errors(), 2);
	NSDK_ASSERT_INT(device.mismatches[0].found, PERF_FOUND_OLD_RUN);
}

static void an_error_ends_it_with_one_sentence(void)
{
	prepare();
	fake.fail_at = 300;
	go();
	NSDK_ASSERT_INT(errors(), 1);
	NSDK_ASSERT_INT(said, 1);
	CU_ASSERT(jobs[0].failed && !jobs[0].read_back);
	CU_ASSERT(ios(&jobs[0], PERF_READ) + ios(&jobs[0], PERF_WRITE) < 256);
}

static void a_vanished_disk_ends_it_without_a_word(void)
{
	prepare();
	run.opts.numjobs = 2;
	device.region_units = 128;
	fake.vanish_at = 200;
	go();
	CU_ASSERT(errors() > 0);
	CU_ASSERT(jobs[0].failed);
	/* The library has said it. */
	NSDK_ASSERT_INT(said, 0);
}

static void what_hangs_is_given_up(void)
{
	prepare();
	fake.hang_at = 300;
	go();
	NSDK_ASSERT_INT(errors(), 8);
	NSDK_ASSERT_INT(said, 1);
	CU_ASSERT(jobs[0].failed && jobs[0].gave_up);
	CU_ASSERT(atomic_load(&device.failed));
}

static void a_stop_drains(void)
{
	for (uint64_t at = 1; at < 700; at += 50) {
		prepare();
		fake.request_at = at;
		go();
		NSDK_ASSERT_INT(errors(), 0);
		NSDK_ASSERT_INT(said, 0);
		CU_ASSERT(!jobs[0].failed && !jobs[0].gave_up && !jobs[0].read_back);
		CU_ASSERT(fake.commands < 256 * 3);
	}
}

static void a_stop_that_cannot_drain_gives_up(void)
{
	prepare();
	run.opts.io_timeout_ns = 10000000000;
	fake.hang_at = 300;
	fake.request_at = 301;
	go();
	NSDK_ASSERT_INT(said, 1);
	CU_ASSERT(jobs[0].gave_up);
	CU_ASSERT(errors() > 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_good_disk_is_good),
	NSDK_UNIT_TEST(each_block_is_visited_once),
	NSDK_UNIT_TEST(number_ios_ends_it),
	NSDK_UNIT_TEST(the_mix_is_about_what_was_asked),
	NSDK_UNIT_TEST(time_based_goes_round),
	NSDK_UNIT_TEST(runtime_ends_it),
	NSDK_UNIT_TEST(a_full_queue_is_waited_for),
	NSDK_UNIT_TEST(jobs_have_parts_of_their_own),
	NSDK_UNIT_TEST(every_short_read_is_found),
	NSDK_UNIT_TEST(every_lost_write_is_found),
	NSDK_UNIT_TEST(an_earlier_run_is_not_mistaken_for_this),
	NSDK_UNIT_TEST(an_error_ends_it_with_one_sentence),
	NSDK_UNIT_TEST(a_vanished_disk_ends_it_without_a_word),
	NSDK_UNIT_TEST(what_hangs_is_given_up),
	NSDK_UNIT_TEST(a_stop_drains),
	NSDK_UNIT_TEST(a_stop_that_cannot_drain_gives_up),
};

NSDK_UNIT_MAIN("app/nsdk/perf_job", tests)
