/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk tune device: is no-snoop worth it for this device?
 *
 * Both policies take turns, several rounds of each, and medians are compared: I/Os a second, and the
 * CPU time of one, which is what submitting it and handling its completion took; polls that found
 * nothing are waiting, and cost only who has nothing else to do. Random reads, so that nothing is
 * changed and the buffers are written by the device, which is where no-snoop costs most: each is
 * invalidated before and after.
 *
 * The winner is who is faster over all block sizes (the geometric mean of the ratios); within 2 %, who
 * takes less CPU time; within 2 % of that, coherent, being simpler.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#include "tune.h"

#define IO_TIMEOUT_NS 30000000000u
#define LOOK_EVERY 1024u
#define POLICIES 2 /* coherent, no-snoop */
#define MAX_ROUNDS 99

/* A buffer, and the I/O that is in flight on it, if any. */
struct slot {
	struct bench *bench;
	void *buf;
};

struct bench {
	const struct tune_opts *opts;
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_ns *ns;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_dma_pool *pool;
	struct slot *slots;
	struct slot **free_slots;
	unsigned free_count;
	uint64_t random;
	uint32_t blocks; /* of one I/O */
	uint64_t units;  /* I/Os that fit into the namespace */
	/* The run of one block size. */
	uint64_t submitted, completed, busy_ticks;
	bool failed;
	uint64_t iops[POLICIES][NSDK_TUNE_MAX_POINTS][MAX_ROUNDS];
	uint64_t cpu_ns[POLICIES][NSDK_TUNE_MAX_POINTS][MAX_ROUNDS];
};

/* ---- I/O ---- */

static void io_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct slot *slot = ctx;
	struct bench *bench = slot->bench;

	bench->free_slots[bench->free_count++] = slot;
	bench->completed++;
	if (nsdk_nvme_cpl_ok(cpl) || bench->failed)
		return;
	bench->failed = true;
	tool_say("%s: a read of %u blocks failed: %s", nsdk_device_name(bench->dev), bench->blocks,
		 nsdk_nvme_status_text(cpl->status));
}

/* Any number will do that is not always the same: xorshift64. */
static uint64_t next_unit(struct bench *bench)
{
	bench->random ^= bench->random << 13;
	bench->random ^= bench->random >> 7;
	bench->random ^= bench->random << 17;
	return bench->random % bench->units;
}

static int submit_all(struct bench *bench)
{
	int rc = 0;

	while (bench->free_count > 0) {
		struct slot *slot = bench->free_slots[bench->free_count - 1];

		rc = nsdk_nvme_read(bench->ns, bench->qp, slot->buf,
				    next_unit(bench) * bench->blocks, bench->blocks, 0, io_done,
				    slot);
		if (rc != 0)
			break;
		bench->free_count--;
		bench->submitted++;
	}
	return rc == -EAGAIN ? 0 : rc;
}

/*
 * Keep the queue full until the time is up, then wait for what is outstanding.
 * @return 0 or -errno, said.
 */
static int run(struct bench *bench, uint64_t runtime_ns, uint64_t *elapsed_ns)
{
	uint64_t start_ns = nsdk_clock_ns(), last_ns = start_ns, seen = 0, now_ns, ticks;
	bool over = false;
	unsigned polls = 0;
	int rc = 0;

	bench->submitted = bench->completed = bench->busy_ticks = 0;
	while (rc >= 0 && !bench->failed && (!over || bench->completed < bench->submitted)) {
		uint64_t before = bench->completed;

		ticks = nsdk_ticks();
		if (!over)
			rc = submit_all(bench);
		if (rc == 0)
			rc = nsdk_nvme_qpair_poll(bench->qp, 0);
		/* A poll that found something; the one that found nothing was waiting. */
		if (bench->completed != before || bench->completed == 0)
			bench->busy_ticks += nsdk_ticks() - ticks;
		rc = rc > 0 ? 0 : rc;
		/* The clock is a call of its own: not on each turn. */
		if (++polls % 16 != 0 && bench->completed != before)
			continue;
		now_ns = nsdk_clock_ns();
		over = over || now_ns - start_ns >= runtime_ns || tool_stop_requests() != 0;
		if (bench->completed != seen) {
			seen = bench->completed;
			last_ns = now_ns;
		} else if (now_ns - last_ns > IO_TIMEOUT_NS) {
			tool_say("%s: a read has not completed in 30 s; the device is given up",
				 nsdk_device_name(bench->dev));
			rc = -ETIMEDOUT;
		}
	}
	*elapsed_ns = nsdk_clock_ns() - start_ns;
	if (bench->failed)
		return -EIO;
	return rc;
}

/* ---- One policy, all block sizes ---- */

static void give_bufs(struct bench *bench)
{
	for (unsigned i = 0; bench->slots != NULL && i < bench->opts->iodepth; i++)
		(void)nsdk_dma_free(bench->pool, bench->slots[i].buf);
	free(bench->slots);
	free(bench->free_slots);
	bench->slots = NULL;
	bench->free_slots = NULL;
	bench->free_count = 0;
	if (bench->pool != NULL)
		(void)nsdk_dma_pool_destroy(bench->pool);
	bench->pool = NULL;
}

static int take_bufs(struct bench *bench)
{
	const struct tune_opts *opts = bench->opts;
	uint64_t bytes = opts->sizes[opts->size_count - 1];
	struct nsdk_dma_pool_opts pool = {
		.opts_bytes = sizeof(pool),
		.attr = nsdk_nvme_ctrlr_dma_attr(bench->ctrlr),
		.numa_node = nsdk_device_numa_node(bench->dev),
		.initial_bytes = bytes * opts->iodepth,
	};
	int rc = nsdk_dma_pool_create(bench->mem, &pool, &bench->pool);

	if (rc != 0)
		return rc;
	bench->slots = calloc(opts->iodepth, sizeof(*bench->slots));
	bench->free_slots = calloc(opts->iodepth, sizeof(*bench->free_slots));
	if (bench->slots == NULL || bench->free_slots == NULL) {
		tool_say("no memory for --iodepth=%u", opts->iodepth);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < opts->iodepth && rc == 0; i++) {
		rc = nsdk_dma_alloc(bench->pool, bytes, 4096, &bench->slots[i].buf);
		bench->slots[i].bench = bench;
		bench->free_slots[bench->free_count++] = &bench->slots[i];
	}
	return rc;
}

static int find_namespace(struct bench *bench)
{
	uint32_t nsid = bench->opts->nsid;

	if (nsid == 0)
		nsid = nsdk_nvme_ns_next(bench->ctrlr, 0);
	bench->ns = nsid != 0 ? nsdk_nvme_ns_get(bench->ctrlr, nsid) : NULL;
	if (bench->ns != NULL)
		return 0;
	if (bench->opts->nsid != 0)
		tool_say("%s has no namespace %u", nsdk_device_name(bench->dev), bench->opts->nsid);
	else
		tool_say("%s has no active namespace", nsdk_device_name(bench->dev));
	return -ENODEV;
}

static int run_size(struct bench *bench, unsigned policy, unsigned size, unsigned round)
{
	const struct tune_opts *opts = bench->opts;
	uint32_t block_bytes = nsdk_nvme_ns_block_bytes(bench->ns);
	uint64_t bytes = opts->sizes[size], elapsed_ns = 0;
	int rc;

	if (bytes % block_bytes != 0) {
		tool_say("--bs: %llu bytes are no multiple of the %u-byte blocks of %s",
			 (unsigned long long)bytes, block_bytes, nsdk_device_name(bench->dev));
		return -EINVAL;
	}
	bench->blocks = (uint32_t)(bytes / block_bytes);
	bench->units = nsdk_nvme_ns_blocks(bench->ns) / bench->blocks;
	if (bench->units == 0) {
		tool_say("--bs: %llu bytes are more than the namespace of %s has",
			 (unsigned long long)bytes, nsdk_device_name(bench->dev));
		return -EINVAL;
	}
	/* To warm up: translations, the device's own caches. */
	rc = run(bench, opts->runtime_ns / 10, &elapsed_ns);
	if (rc == 0)
		rc = run(bench, opts->runtime_ns, &elapsed_ns);
	if (rc == 0 && tool_stop_requests() != 0)
		rc = -EINTR;
	if (rc != 0)
		return rc;
	bench->iops[policy][size][round] =
		(uint64_t)((unsigned __int128)bench->completed * 1000000000u / (elapsed_ns + 1));
	bench->cpu_ns[policy][size][round] =
		(uint64_t)((unsigned __int128)bench->busy_ticks * 1000000000u / nsdk_ticks_per_s() /
			   (bench->completed + (bench->completed == 0)));
	return 0;
}

static int run_policy(struct bench *bench, unsigned policy, unsigned round)
{
	const struct tune_opts *opts = bench->opts;
	struct nsdk_nvme_opts nvme = {
		.opts_bytes = sizeof(nvme),
		.policy = policy == 0 ? NSDK_POLICY_COHERENT : NSDK_POLICY_NOSNOOP,
		.io_queues = 1,
	};
	struct nsdk_nvme_qpair_opts qpair = { .opts_bytes = sizeof(qpair), .entries = 2048 };
	char what[64], why[512];
	uint64_t most;
	int rc, detach;

	/* What is worth knowing of a policy is said the first time; what fails, always. */
	if (round > 0)
		tool_log_capture_begin();
	rc = nsdk_nvme_attach(bench->dev, bench->mem, &nvme, &bench->ctrlr);
	if (round > 0)
		tool_log_capture_end(why, sizeof(why));
	if (rc != 0 && round > 0)
		tool_say("%s", why);
	if (rc != 0)
		return rc;
	most = (uint64_t)NSDK_NVME_CAP_MQES(nsdk_nvme_ctrlr_cap(bench->ctrlr)) + 1;
	if (qpair.entries > most)
		qpair.entries = (unsigned)most;
	rc = find_namespace(bench);
	if (rc == 0)
		rc = nsdk_nvme_qpair_create(bench->ctrlr, &qpair, &bench->qp);
	if (rc == 0)
		rc = take_bufs(bench);
	for (unsigned size = 0; size < opts->size_count && rc == 0; size++) {
		snprintf(what, sizeof(what), "%s, %llu bytes", nsdk_policy_name(nvme.policy),
			 (unsigned long long)opts->sizes[size]);
		if (!tune_progress(NULL, (round * POLICIES + policy) * opts->size_count + size,
				   opts->rounds * POLICIES * opts->size_count, what))
			rc = -EINTR;
		if (rc == 0)
			rc = run_size(bench, policy, size, round);
	}
	/* The queue first: then the device reaches no buffer any more. */
	if (bench->qp != NULL)
		(void)nsdk_nvme_qpair_destroy(bench->qp);
	bench->qp = NULL;
	give_bufs(bench);
	detach = nsdk_nvme_detach(bench->ctrlr);
	bench->ctrlr = NULL;
	return rc != 0 ? rc : detach;
}

/* ---- Both ---- */

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static uint64_t median(uint64_t *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void judge(struct bench *bench, struct nsdk_tune_device *out)
{
	const struct tune_opts *opts = bench->opts;
	double speed = 0, cpu = 0;

	out->count = opts->size_count;
	for (unsigned i = 0; i < opts->size_count; i++) {
		struct nsdk_tune_device_point *p = &out->points[i];

		p->block_bytes = opts->sizes[i];
		p->coherent_iops = median(bench->iops[0][i], opts->rounds);
		p->coherent_cpu_ns = median(bench->cpu_ns[0][i], opts->rounds);
		p->nosnoop_iops = median(bench->iops[1][i], opts->rounds);
		p->nosnoop_cpu_ns = median(bench->cpu_ns[1][i], opts->rounds);
		speed += log((double)(p->nosnoop_iops + 1) / (double)(p->coherent_iops + 1));
		cpu += log((double)(p->coherent_cpu_ns + 1) / (double)(p->nosnoop_cpu_ns + 1));
	}
	speed = exp(speed / opts->size_count);
	cpu = exp(cpu / opts->size_count);
	out->winner = NSDK_POLICY_COHERENT;
	if (speed > 1.02 || (speed > 0.98 && cpu > 1.02))
		out->winner = NSDK_POLICY_NOSNOOP;
	snprintf(out->reason, sizeof(out->reason),
		 "no-snoop does %.1f %% of the coherent I/Os a second, with %.1f %% of the CPU time each",
		 speed * 100, 100 / cpu);
}

static int compare_policies(struct bench *bench, struct nsdk_tune_device *out)
{
	const struct nsdk_snoop_verdict *verdict = nsdk_device_verdict(bench->dev);
	int rc = 0;

	if (verdict->state != NSDK_SNOOP_PERMITTED) {
		/* The verdict's own words may be long. */
		snprintf(out->reason, sizeof(out->reason), "no-snoop is not permitted (%s): %.180s",
			 nsdk_snoop_state_name(verdict->state), verdict->reason);
		out->winner = NSDK_POLICY_COHERENT;
		return 0;
	}
	for (unsigned round = 0; round < bench->opts->rounds && rc == 0; round++) {
		/* Who comes first changes from round to round, too. */
		unsigned first = round % POLICIES;

		rc = run_policy(bench, first, round);
		if (rc == 0)
			rc = run_policy(bench, 1 - first, round);
	}
	tool_status_line(NULL);
	if (rc == 0)
		judge(bench, out);
	return rc;
}

static int measure(struct bench *bench, struct nsdk_tune_device *out)
{
	bool emulated = strncmp(bench->opts->device, "emu:", 4) == 0;
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem), .no_huge = emulated };
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };
	int rc;

	rc = nsdk_mem_create(&mem, &bench->mem);
	if (rc != 0)
		return rc;
	rc = nsdk_device_attach(bench->opts->device, &attach, &bench->dev);
	if (rc == 0)
		rc = nsdk_tune_device_key(bench->dev, out->key);
	if (rc == 0)
		rc = compare_policies(bench, out);
	nsdk_device_detach(bench->dev);
	if (nsdk_mem_destroy(bench->mem) != 0 && rc == 0)
		rc = -EBUSY;
	return rc;
}

static int show(const struct tune_opts *opts, const struct nsdk_tune_device *device, const char *path,
		struct tool_json_out *json)
{
	struct json_object *object;
	int rc;

	if (!opts->args.json || opts->args.json_file != NULL) {
		tune_report_device(device);
		printf("\nwritten to %s; policy auto follows it\n", path);
	}
	if (!opts->args.json)
		return TOOL_DONE;
	object = tune_json_device(device, path);
	rc = tool_json_commit(json, object);
	json_object_put(object);
	return rc == 0 ? TOOL_DONE : TOOL_FAILED;
}

int tune_device(const struct tune_opts *opts)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct nsdk_tune_device device = { .key = "" };
	struct tool_json_out json = { .fd = -1 };
	struct nsdk_profile *profile = NULL;
	char path[PATH_MAX];
	int rc;

	if (bench == NULL) {
		tool_say("no memory to measure a device");
		return TOOL_FAILED;
	}
	bench->opts = opts;
	bench->random = 0x9e3779b97f4a7c15u;
	rc = opts->args.json ? tool_json_open(&json, opts->args.json_file) : 0;
	tool_stop_install();
	if (rc == 0)
		rc = tune_profile_open(opts, path, &profile);
	if (rc == 0)
		rc = measure(bench, &device);
	tool_status_line(NULL);
	if (rc == -EINTR)
		tool_say("interrupted; nothing was written");
	if (rc == 0)
		rc = nsdk_profile_set_device(profile, &device);
	if (rc == 0)
		rc = nsdk_profile_write(profile, path);
	rc = rc == 0 ? show(opts, &device, path, &json) : TOOL_FAILED;
	tool_stop_remove();
	nsdk_profile_free(profile);
	tool_json_discard(&json);
	free(bench);
	return rc;
}
