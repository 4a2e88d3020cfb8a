/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk doctor --probe: does this device's DMA go past the CPU's caches?
 *
 * The verdict is what the kernel says; this is what the machine does. Two experiments, on lines of
 * which memory and the cache hold different data:
 *
 *	device reads   memory holds A, and the cache B, dirty. The device is told to write the buffer
 *	               to the disk. What is on the disk then? B: its read was snooped. A: not.
 *	device writes  memory holds A, and the cache B, dirty. The device is told to read C from the
 *	               disk into the buffer. What does the CPU see then? C: its write was snooped, as
 *	               that is what takes the dirty line out of the cache. B: not.
 *
 * The driver must not sync the data, or nothing would be measured: nsdk_nvme_rw_unsynced(). It syncs
 * its queues as ever. What goes to and from the disk as the control of an experiment is synced by
 * hand on top of what the driver does, so that it is right even where the verdict is wrong.
 *
 * How it can be fooled. A cache may write a dirty line back whenever it likes; if it does so between
 * the CPU's store and the DMA, then memory holds B, and what was not snooped looks as if it was. It
 * is never the other way round: snooped DMA cannot end with the line that says "not". So one such
 * line proves that no-snoop happens, many lines are tried, and that all of them look snooped is as
 * good a proof as there is of the contrary. All data is random and new in each round, so an answer
 * cannot be left over from another round.
 *
 * The block that is overwritten is saved before, and restored at the end, however it ends but for
 * SIGKILL.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#include "doctor.h"
#include "doctor_probe.h"
#include "drivers/nvme/unsynced.h"
#include "lib/coherence/coherence_internal.h"
#include "perf_sequence.h"

#define ROUNDS 128u
/* Different ones in turn: how a cache treats a line may depend on where it lies. */
#define BUFFERS 16u
/* A page: what nsdk_nvme_rw_unsynced() moves wherever it begins. */
#define MAX_BLOCK_BYTES 4096u

struct probe {
	struct probe_facts facts;
	struct {
		bool done;
		uint16_t status; /* 0: success */
	} io; /* the one in flight; here, as it may outlive the call that waits for it */
	uint64_t io_timeout_ns;
	bool timed_out;
	bool driver_failed; /* it has said why */
	struct nsdk_mem *mem;
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_ns *ns;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_dma_pool *pool;
	const struct nsdk_line_ops *ops;
	uint64_t random;
	uint8_t *buffers; /* BUFFERS of them, a block each; then: */
	uint8_t *saved;
	uint8_t *disk; /* what the disk holds, read the safe way */
	uint8_t memory_data[MAX_BLOCK_BYTES]; /* A */
	uint8_t cache_data[MAX_BLOCK_BYTES];  /* B */
};

/* ---- I/O ---- */

static void io_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct probe *probe = ctx;

	probe->io.done = true;
	probe->io.status = nsdk_nvme_cpl_ok(cpl) ? 0 : cpl->status;
}

/* Out of every cache, into memory: the CPU's stores before, against the device's DMA after. */
static void to_memory(struct probe *probe, const void *buf)
{
	probe->ops->writeback_invalidate(buf, probe->facts.block_bytes / NSDK_LINE_BYTES);
	probe->ops->fence_for_device();
}

/* Drop what the caches hold: after the completion was seen, before the CPU looks. */
static void from_memory(struct probe *probe, const void *buf)
{
	probe->ops->acquire_for_cpu();
	probe->ops->writeback_invalidate(buf, probe->facts.block_bytes / NSDK_LINE_BYTES);
	probe->ops->fence_for_cpu();
}

/*
 * An I/O was given to the driver with this result: wait for its end. @return 0 or -errno, said. After
 * -ETIMEDOUT the device may still use the buffer.
 */
static int finish(struct probe *probe, const char *what, int rc)
{
	const struct probe_facts *facts = &probe->facts;
	uint64_t deadline_ns = nsdk_clock_ns() + probe->io_timeout_ns;

	if (rc == -ENODEV || rc == -EIO) {
		probe->driver_failed = true;
		return rc;
	}
	if (rc != 0) {
		tool_say("%s: %s LBA %llu of namespace %u was refused: %s", facts->device, what,
			 (unsigned long long)facts->lba, facts->nsid, strerror(-rc));
		return rc;
	}
	while (!probe->io.done) {
		/* A controller that fails is reset there, which ends the I/O. What it says was said. */
		(void)nsdk_nvme_ctrlr_poll(probe->ctrlr);
		rc = nsdk_nvme_qpair_poll(probe->qp, 0);
		if (rc < 0) {
			probe->driver_failed = true;
			return rc;
		}
		if (!probe->io.done && nsdk_clock_ns() > deadline_ns) {
			tool_say("%s: %s LBA %llu of namespace %u has not completed in %llu ms",
				 facts->device, what, (unsigned long long)facts->lba, facts->nsid,
				 (unsigned long long)probe->io_timeout_ns / 1000000);
			probe->timed_out = true;
			return -ETIMEDOUT;
		}
	}
	if (probe->io.status == 0)
		return 0;
	tool_say("%s: %s LBA %llu of namespace %u failed: %s", facts->device, what,
		 (unsigned long long)facts->lba, facts->nsid,
		 nsdk_nvme_status_text(probe->io.status));
	return -EIO;
}

/* The safe way: synced by the driver where it thinks it must, and by hand. */
static int read_block(struct probe *probe, void *buf)
{
	int rc;

	memset(buf, 0xee, probe->facts.block_bytes);
	to_memory(probe, buf);
	probe->io.done = false;
	rc = nsdk_nvme_read(probe->ns, probe->qp, buf, probe->facts.lba, 1, 0, io_done, probe);
	rc = finish(probe, "a read of", rc);
	from_memory(probe, buf);
	return rc;
}

static int write_block(struct probe *probe, const void *buf)
{
	int rc;

	to_memory(probe, buf);
	probe->io.done = false;
	rc = nsdk_nvme_write(probe->ns, probe->qp, buf, probe->facts.lba, 1, NSDK_NVME_RW_FUA,
			     io_done, probe);
	return finish(probe, "a write to", rc);
}

/* With the buffer's lines as they are. */
static int move_unsynced(struct probe *probe, uint8_t opcode, void *buf)
{
	int rc;

	probe->io.done = false;
	rc = nsdk_nvme_rw_unsynced(probe->ns, probe->qp, opcode, buf, probe->facts.lba, 1, io_done,
				   probe);
	return finish(probe, opcode == NSDK_NVME_NVM_READ ? "a read of" : "a write to", rc);
}

/* ---- The experiments ---- */

static void make_data(struct probe *probe, uint8_t *out)
{
	for (uint32_t i = 0; i < probe->facts.block_bytes; i += sizeof(uint64_t)) {
		uint64_t word = perf_mix64(probe->random += 0x9e3779b97f4a7c15ull);

		memcpy(out + i, &word, sizeof(word));
	}
}

/* Memory gets A, then the cache alone gets B. */
static void make_dirty(struct probe *probe, void *buf)
{
	make_data(probe, probe->memory_data);
	make_data(probe, probe->cache_data);
	memcpy(buf, probe->memory_data, probe->facts.block_bytes);
	to_memory(probe, buf);
	memcpy(buf, probe->cache_data, probe->facts.block_bytes);
}

/* Each line is what it would be if snooped, or what it would be if not, or neither. */
static void count_lines(const struct probe *probe, const uint8_t *seen, const uint8_t *if_snooped,
			const uint8_t *if_not, struct probe_counts *counts)
{
	for (uint32_t at = 0; at < probe->facts.block_bytes; at += NSDK_LINE_BYTES) {
		counts->lines++;
		if (memcmp(seen + at, if_snooped + at, NSDK_LINE_BYTES) == 0)
			counts->snooped++;
		else if (memcmp(seen + at, if_not + at, NSDK_LINE_BYTES) == 0)
			counts->bypassed++;
		else
			counts->other++;
	}
}

static int probe_round(struct probe *probe, uint8_t *buf)
{
	int rc;

	/* The device reads under dirty lines; what it found is on the disk then. */
	make_dirty(probe, buf);
	probe->facts.written = true;
	rc = move_unsynced(probe, NSDK_NVME_NVM_WRITE, buf);
	if (rc != 0)
		return rc;
	to_memory(probe, buf);
	rc = read_block(probe, probe->disk);
	if (rc != 0)
		return rc;
	count_lines(probe, probe->disk, probe->cache_data, probe->memory_data,
		    &probe->facts.device_reads);

	/* The device writes under dirty lines; C is what the disk holds now. */
	make_dirty(probe, buf);
	rc = move_unsynced(probe, NSDK_NVME_NVM_READ, buf);
	if (rc != 0)
		return rc;
	/* The load that saw the completion comes before the loads that look. */
	probe->ops->acquire_for_cpu();
	count_lines(probe, buf, probe->disk, probe->cache_data, &probe->facts.device_writes);
	/* Nothing of it is to be evicted in the next round. */
	from_memory(probe, buf);
	probe->facts.rounds++;
	return 0;
}

static int measure(struct probe *probe)
{
	bool emulated = strcmp(nsdk_device_bus_name(probe->dev), "emu") == 0;
	char sentence[512];
	int rc = 0;

	/* The cache model is right to complain of what is done here; it is not what this is about. */
	if (emulated)
		tool_log_capture_begin();
	for (unsigned r = 0; rc == 0 && r < ROUNDS; r++) {
		if (tool_stop_requests() != 0) {
			tool_say("stopped after %u of %u rounds", r, ROUNDS);
			rc = -EINTR;
		} else {
			rc = probe_round(probe, probe->buffers + r % BUFFERS * probe->facts.block_bytes);
		}
	}
	if (emulated) {
		tool_log_capture_end(sentence, sizeof(sentence));
		if (probe->driver_failed)
			tool_say("%s", sentence);
		nsdk_cache_model_reset();
	}
	return rc;
}

/* The last resort: somebody may want to put it back by hand. @return whether it is in a file. */
static bool save_to_file(const struct probe *probe, char *path, size_t path_bytes)
{
	const char *dir = getenv("TMPDIR");
	bool good;
	int fd;

	snprintf(path, path_bytes, "%s/nsdk-lba%llu-XXXXXX", dir != NULL ? dir : "/tmp",
		 (unsigned long long)probe->facts.lba);
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	good = write(fd, probe->saved, probe->facts.block_bytes) == (ssize_t)probe->facts.block_bytes;
	return close(fd) == 0 && good;
}

static int restore(struct probe *probe)
{
	char path[256];
	int rc = 0;

	/* What hangs must not be done after all, over what is restored: deleting its queue ends it. */
	if (probe->timed_out) {
		rc = nsdk_nvme_qpair_destroy(probe->qp);
		probe->qp = NULL;
		if (rc == 0)
			rc = nsdk_nvme_qpair_create(probe->ctrlr, NULL, &probe->qp);
	}
	if (rc == 0)
		rc = write_block(probe, probe->saved);
	if (rc == 0)
		rc = read_block(probe, probe->disk);
	if (rc == 0 && memcmp(probe->disk, probe->saved, probe->facts.block_bytes) == 0) {
		probe->facts.restored = true;
		return 0;
	}
	if (save_to_file(probe, path, sizeof(path)))
		tool_say("%s: LBA %llu of namespace %u could NOT be restored and holds test data; what "
			 "it held is in %s",
			 probe->facts.device, (unsigned long long)probe->facts.lba,
			 probe->facts.nsid, path);
	else
		tool_say("%s: LBA %llu of namespace %u could NOT be restored and holds test data",
			 probe->facts.device, (unsigned long long)probe->facts.lba,
			 probe->facts.nsid);
	return rc != 0 ? rc : -EIO;
}

/* ---- Around them ---- */

static enum probe_bit find_bit(struct nsdk_device *dev)
{
	struct nsdk_pci_addr addr;
	char path[96];
	uint32_t devctl;
	int cap;

	/* A virtual function's own bit says nothing. */
	if (nsdk_pci_addr_parse(nsdk_device_name(dev), &addr) == 0) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.%x/physfn",
			 addr.domain, addr.bus, addr.dev, addr.func);
		if (doctor_exists(path))
			return PROBE_BIT_UNKNOWN;
	}
	cap = nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP);
	if (cap < 0 ||
	    nsdk_device_cfg_read(dev, (unsigned)cap + PCI_EXP_DEVCTL, 2, &devctl) != 0)
		return PROBE_BIT_UNKNOWN;
	return (devctl & PCI_EXP_DEVCTL_NOSNOOP_EN) != 0 ? PROBE_BIT_SET : PROBE_BIT_CLEAR;
}

/* The policy under which the device may do most. */
static int attach_ctrlr(struct probe *probe)
{
	struct probe_facts *facts = &probe->facts;
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .io_queues = 1 };
	struct nsdk_coherence *coh;
	int rc;

	snprintf(facts->device, sizeof(facts->device), "%s", nsdk_device_name(probe->dev));
	facts->verdict = *nsdk_device_verdict(probe->dev);
	opts.policy = facts->verdict.state == NSDK_SNOOP_PERMITTED ? NSDK_POLICY_NOSNOOP :
								     NSDK_POLICY_COHERENT;
	rc = nsdk_nvme_attach(probe->dev, probe->mem, &opts, &probe->ctrlr);
	if (rc != 0)
		return rc;
	coh = nsdk_nvme_ctrlr_coherence(probe->ctrlr);
	facts->policy = nsdk_coherence_effective(coh);
	facts->bit = find_bit(probe->dev);
	probe->ops = nsdk_coherence_line_ops(coh);
	return nsdk_nvme_qpair_create(probe->ctrlr, NULL, &probe->qp);
}

static int find_block(struct probe *probe)
{
	struct probe_facts *facts = &probe->facts;

	facts->nsid = nsdk_nvme_ns_next(probe->ctrlr, 0);
	if (facts->nsid == 0) {
		tool_say("%s has no active namespace", facts->device);
		return -ENODEV;
	}
	probe->ns = nsdk_nvme_ns_get(probe->ctrlr, facts->nsid);
	facts->block_bytes = nsdk_nvme_ns_block_bytes(probe->ns);
	/* A format that makes no sense, as the driver has said. */
	if (facts->block_bytes == 0)
		return -EIO;
	if (facts->lba >= nsdk_nvme_ns_blocks(probe->ns)) {
		tool_say("--yes-overwrite-lba=%llu is beyond the end of namespace %u of %s, which has "
			 "%llu blocks",
			 (unsigned long long)facts->lba, facts->nsid, facts->device,
			 (unsigned long long)nsdk_nvme_ns_blocks(probe->ns));
		return -ERANGE;
	}
	if (facts->block_bytes > MAX_BLOCK_BYTES) {
		tool_say("%s: namespace %u has blocks of %u bytes; the probe knows up to %u",
			 facts->device, facts->nsid, facts->block_bytes, MAX_BLOCK_BYTES);
		return -ENOTSUP;
	}
	return 0;
}

static int alloc_buffers(struct probe *probe)
{
	struct nsdk_dma_pool_opts opts = {
		.opts_bytes = sizeof(opts),
		.attr = NSDK_DMA_NOSNOOP, /* lines of their own, whatever the verdict */
		.numa_node = nsdk_device_numa_node(probe->dev),
	};
	uint32_t bytes = probe->facts.block_bytes;
	void *buffers;
	int rc;

	rc = nsdk_dma_pool_create(probe->mem, &opts, &probe->pool);
	if (rc == 0)
		rc = nsdk_dma_alloc(probe->pool, (size_t)(BUFFERS + 2) * bytes, MAX_BLOCK_BYTES,
				    &buffers);
	if (rc != 0)
		return rc;
	probe->buffers = buffers;
	probe->saved = probe->buffers + (size_t)BUFFERS * bytes;
	probe->disk = probe->saved + bytes;
	return 0;
}

/* Measure and restore. @return 0 or -errno, said. */
static int overwrite(struct probe *probe)
{
	int rc, restored = 0;

	rc = find_block(probe);
	if (rc == 0)
		rc = alloc_buffers(probe);
	if (rc == 0)
		rc = read_block(probe, probe->saved);
	if (rc != 0)
		return rc;
	rc = measure(probe);
	if (probe->facts.written)
		restored = restore(probe);
	return rc != 0 ? rc : restored;
}

static int detach(struct probe *probe)
{
	int rc = 0;

	/* First the queue, then the memory: the device must not reach buffers that are gone. */
	if (probe->qp != NULL)
		rc = nsdk_nvme_qpair_destroy(probe->qp);
	if (probe->ctrlr != NULL && nsdk_nvme_detach(probe->ctrlr) != 0)
		rc = -EIO;
	nsdk_device_detach(probe->dev);
	if (probe->pool != NULL) {
		nsdk_dma_free(probe->pool, probe->buffers);
		if (nsdk_dma_pool_destroy(probe->pool) != 0)
			rc = -EIO;
	}
	if (nsdk_mem_destroy(probe->mem) != 0)
		rc = -EIO;
	return rc;
}

static int show(const struct tool_args *args, const struct probe_facts *facts)
{
	struct probe_judgement judgement;
	int status = TOOL_DONE;

	probe_judge(facts, &judgement);
	if (!args->json || args->json_file != NULL)
		probe_report(facts, &judgement);
	if (args->json)
		status = tool_json_print(args, probe_json(facts, &judgement));
	fflush(stdout);
	if (!judgement.contradiction)
		return status;
	tool_say("%s: %s", facts->device, judgement.reason);
	return TOOL_FAILED;
}

int doctor_probe(const struct tool_args *args, const char *spec, uint64_t lba, uint64_t io_timeout_ns)
{
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };
	/* A few pages are all the memory there is to map. */
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem), .no_huge = true };
	static struct probe probe; /* 8 KiB of patterns are no stack's */
	int rc, status;

	memset(&probe, 0, sizeof(probe));
	probe.facts.lba = lba;
	probe.io_timeout_ns = io_timeout_ns;
	if (getrandom(&probe.random, sizeof(probe.random), 0) != sizeof(probe.random)) {
		tool_say("the kernel gives no random numbers: %s", strerror(errno));
		return TOOL_FAILED;
	}
	if (nsdk_mem_create(&mem, &probe.mem) != 0)
		return TOOL_FAILED;
	tool_stop_install();
	rc = nsdk_device_attach(spec, &attach, &probe.dev);
	status = rc == -EINVAL ? TOOL_USAGE : TOOL_FAILED;
	if (rc == 0)
		rc = attach_ctrlr(&probe);
	if (rc == 0)
		rc = overwrite(&probe);
	/* A stopped or failed probe is no answer; what it measured by then is not shown as one. */
	if (rc == 0)
		status = show(args, &probe.facts);
	if (detach(&probe) != 0 && status == TOOL_DONE)
		status = TOOL_FAILED;
	tool_stop_remove();
	return status;
}
