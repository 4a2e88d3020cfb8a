/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that goes on when its disk is unplugged and plugged in again, as one that must not stop has
 * to: it hears of the disk by nsdk_hotplug, drives it until it is gone, sees that every I/O is called back
 * once, lets go of it, and waits for it to come back.
 *
 *	nvme_replug ADDRESS ROUNDS MODE[,MODE]…
 *
 * Each round is of the next mode: "load" with I/O all the time, "idle" without any, "reset" with I/O while
 * the controller is reset again and again, "revoke" takes the registers away itself, by switching the
 * function's memory decoding off (for the other modes somebody else unplugs the disk).
 *
 *	round 1 load: begun            (now it may be unplugged)
 *	round 1 load: gone: …          (it may be plugged in again once the kernel is rid of it)
 *
 * In the end it says what was open and allocated after each round and fails when that has grown. The VM
 * lab uses it; without arguments it is a skipped test.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/pci.h>

#include "drivers/nvme/nvme_internal.h"

#define DEPTH 32u
#define IO_BYTES 4096u
#define BEGUN_IOS 200u /* of a round before its device may go */
#define PATIENCE_NS (120 * NVME_NS_PER_S)
#define MAX_ROUNDS 1000u

/* What may be left by rounds that all do the same: pages that were touched in another order. */
#define HEAP_SLACK_BYTES 4096u
#define RSS_SLACK_KB 1024u

struct slot {
	uint8_t *buf;
	uint64_t lba;
	uint32_t blocks, salt;
	bool busy, is_write, is_known; /* what is on the disk */
};

struct use {
	unsigned fds;
	size_t heap_bytes, rss_kb;
};

static struct {
	const char *bdf;
	struct nsdk_hotplug *hotplug;
	struct nsdk_mem *mem;
	struct nsdk_dma_pool *pool;
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_nvme_ns *ns;
	struct slot slots[DEPTH];
	unsigned long given, back, lost, all_ios;
	unsigned busy;
	bool failed;
	struct use uses[MAX_ROUNDS];
} run;

static int wrong(const char *what)
{
	printf("wrong: %s\n", what);
	fflush(stdout);
	run.failed = true;
	return -1;
}

/* ---- I/O ---- */

static void fill(const struct slot *slot)
{
	uint32_t *words = (uint32_t *)(void *)slot->buf;

	for (unsigned i = 0; i < IO_BYTES / 4; i++)
		words[i] = slot->salt * 2654435761u + (uint32_t)slot->lba * 97u + i;
}

static bool is_right(const struct slot *slot)
{
	const uint32_t *words = (const uint32_t *)(const void *)slot->buf;

	for (unsigned i = 0; i < IO_BYTES / 4; i++)
		if (words[i] != slot->salt * 2654435761u + (uint32_t)slot->lba * 97u + i)
			return false;
	return true;
}

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct slot *slot = ctx;

	if (!slot->busy)
		wrong("an I/O was called back twice");
	slot->busy = false;
	run.busy--;
	run.back++;
	if (!nsdk_nvme_cpl_ok(cpl)) {
		run.lost++;
		/* Nobody knows what of a write has reached the disk. */
		if (slot->is_write)
			slot->is_known = false;
	} else if (slot->is_write) {
		slot->is_known = true;
	} else if (!is_right(slot)) {
		wrong("a read gave something else than what was written");
	}
}

static void give(struct slot *slot)
{
	int err;

	slot->is_write = !slot->is_known || run.given % 2 == 0;
	if (slot->is_write) {
		slot->salt++;
		fill(slot);
		err = nsdk_nvme_write(run.ns, run.qp, slot->buf, slot->lba, slot->blocks, 0, on_done,
				      slot);
	} else {
		memset(slot->buf, 0, IO_BYTES);
		err = nsdk_nvme_read(run.ns, run.qp, slot->buf, slot->lba, slot->blocks, 0, on_done,
				     slot);
	}
	if (err != 0) {
		/* It was not written after all. */
		if (slot->is_write)
			slot->is_known = false;
		return;
	}
	slot->busy = true;
	run.busy++;
	run.given++;
}

static int do_io(void)
{
	for (unsigned i = 0; i < DEPTH; i++)
		if (!run.slots[i].busy)
			give(&run.slots[i]);
	nsdk_nvme_qpair_submit(run.qp);
	return nsdk_nvme_qpair_poll(run.qp, 0);
}

/* ---- The device ---- */

/* Waits until the function has been added or removed. */
static int wait_for(enum nsdk_hotplug_what what)
{
	uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
	struct pollfd fd = { .fd = nsdk_hotplug_fd(run.hotplug), .events = POLLIN };
	struct nsdk_hotplug_event event;
	int rc;

	for (;;) {
		while ((rc = nsdk_hotplug_next(run.hotplug, &event)) == 1)
			if (event.what == what && strcmp(event.bdf, run.bdf) == 0)
				return 0;
		if (rc < 0)
			return wrong("hot-plug events come no more");
		if (nsdk_clock_ns() > end_ns)
			return wrong(what == NSDK_HOTPLUG_ADDED ? "the disk was not plugged in" :
								  "the disk was not removed");
		poll(&fd, 1, 1000);
	}
}

static int bring_up(void)
{
	struct nsdk_device_opts device = { .opts_bytes = sizeof(device), .bind = true };
	struct nsdk_nvme_opts nvme = { .opts_bytes = sizeof(nvme) };

	if (nsdk_device_attach(run.bdf, &device, &run.dev) != 0)
		return wrong("the disk cannot be attached");
	if (nsdk_nvme_attach(run.dev, run.mem, &nvme, &run.ctrlr) != 0)
		return wrong("the controller does not come up");
	run.ns = nsdk_nvme_ns_get(run.ctrlr, nsdk_nvme_ns_next(run.ctrlr, 0));
	if (!run.ns || nsdk_nvme_qpair_create(run.ctrlr, NULL, &run.qp) != 0)
		return wrong("there is nothing to do I/O with");
	for (unsigned i = 0; i < DEPTH; i++) {
		run.slots[i].blocks = IO_BYTES / nsdk_nvme_ns_block_bytes(run.ns);
		run.slots[i].lba = (uint64_t)i * run.slots[i].blocks;
	}
	return 0;
}

static void take_down(void)
{
	nsdk_nvme_qpair_destroy(run.qp);
	run.qp = NULL;
	nsdk_nvme_detach(run.ctrlr);
	run.ctrlr = NULL;
	nsdk_device_detach(run.dev);
	run.dev = NULL;
	if (run.busy || run.back != run.given)
		wrong("an I/O was never called back");
}

/* Switches memory decoding off: the kernel takes the mapped registers away with it. */
static void take_registers_away(void)
{
	uint32_t command = 0;

	if (nsdk_device_cfg_read(run.dev, PCI_COMMAND, 2, &command) != 0 ||
	    nsdk_device_cfg_write(run.dev, PCI_COMMAND, 2,
				  command & ~(uint32_t)PCI_COMMAND_MEMORY) != 0)
		wrong("the registers cannot be taken away");
}

/* Until the queue pair says that it is over. @return 0 it is; -1. */
static int drive(unsigned round, const char *mode)
{
	uint64_t end_ns = nsdk_clock_ns() + PATIENCE_NS;
	bool is_idle = strcmp(mode, "idle") == 0, is_reset = strcmp(mode, "reset") == 0;
	bool begun = false, revoked = false;
	unsigned resets = 0;
	int rc = 0;

	for (unsigned turn = 0; rc >= 0; turn++) {
		rc = is_idle ? nsdk_nvme_qpair_poll(run.qp, 0) : do_io();
		if (rc < 0)
			break;
		if (turn % 16 == 0 || is_idle || nsdk_nvme_ctrlr_recovering(run.ctrlr))
			(void)nsdk_nvme_ctrlr_poll(run.ctrlr);
		if (is_reset && !nsdk_nvme_ctrlr_recovering(run.ctrlr)) {
			/* So often as it pleases. */
			run.ctrlr->recovery.attempts = 0;
			if (nsdk_nvme_ctrlr_trouble(run.ctrlr, -EIO, "a reset is wanted") == 0)
				resets++;
		}
		if (!begun && (is_idle || is_reset ? turn > 1000 && (is_idle || resets > 2) :
						     run.back > BEGUN_IOS)) {
			begun = true;
			printf("round %u %s: begun\n", round, mode);
			fflush(stdout);
		}
		if (begun && !revoked && strcmp(mode, "revoke") == 0) {
			revoked = true;
			take_registers_away();
		}
		if (nsdk_clock_ns() > end_ns)
			return wrong("the disk does not go");
	}
	if (rc != -ENODEV || !nsdk_device_is_gone(run.dev)) {
		printf("its queue pair says: %s\n", strerror(-rc));
		return wrong("the disk has failed, and is not gone");
	}
	if (run.busy)
		return wrong("an I/O was not called back when the disk went");
	printf("round %u %s: gone: %lu I/O, %lu of them lost, %u resets\n", round, mode, run.given,
	       run.lost, resets);
	fflush(stdout);
	return 0;
}

/* ---- What a round leaves behind ---- */

static struct use look_at_use(void)
{
	struct use use = { 0 };
	struct mallinfo2 info = mallinfo2();
	DIR *dir = opendir("/proc/self/fd");
	FILE *status = fopen("/proc/self/status", "r");
	char line[200];

	while (dir && readdir(dir))
		use.fds++;
	if (dir)
		closedir(dir);
	/* Not what is mapped of files: that comes and goes as the system pleases. */
	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, "RssAnon:", 8) == 0)
			use.rss_kb = strtoul(line + 8, NULL, 10);
	if (status)
		fclose(status);
	use.heap_bytes = info.uordblks + info.hblkhd;
	return use;
}

static void check_use(unsigned rounds, unsigned modes)
{
	/* The first round of each mode sets things up that stay. */
	const struct use *first = &run.uses[rounds > modes ? modes : 0];
	const struct use *half = &run.uses[rounds / 2], *last = &run.uses[rounds - 1];

	printf("%u rounds, %lu I/O; after the first, half of them and the last: %u, %u, %u files, "
	       "%zu, %zu, %zu bytes allocated, %zu, %zu, %zu KiB resident\n", rounds, run.all_ios,
	       first->fds, half->fds, last->fds, first->heap_bytes, half->heap_bytes, last->heap_bytes,
	       first->rss_kb, half->rss_kb, last->rss_kb);
	if (last->fds > first->fds)
		wrong("files are left open");
	if (last->heap_bytes > first->heap_bytes + HEAP_SLACK_BYTES)
		wrong("memory is left allocated");
	if (last->rss_kb > half->rss_kb + RSS_SLACK_KB)
		wrong("memory is left resident");
}

static int set_up(void)
{
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem) };
	struct nsdk_dma_pool_opts pool = { .opts_bytes = sizeof(pool), .numa_node = -1 };
	struct nsdk_hotplug_opts hotplug = { .opts_bytes = sizeof(hotplug), .existing = true };

	if (nsdk_hotplug_create(&hotplug, &run.hotplug) != 0 || nsdk_mem_create(&mem, &run.mem) != 0 ||
	    nsdk_dma_pool_create(run.mem, &pool, &run.pool) != 0)
		return -1;
	for (unsigned i = 0; i < DEPTH; i++) {
		void *buf;

		if (nsdk_dma_alloc(run.pool, IO_BYTES, 4096, &buf) != 0)
			return -1;
		run.slots[i].buf = buf;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char *modes[8];
	unsigned mode_count = 0, rounds;

	if (argc != 4) {
		printf("skip - nvme_replug: it takes a disk that is unplugged; the VM lab has one\n");
		return argc == 1 ? 0 : 2;
	}
	run.bdf = argv[1];
	/* Else khugepaged makes memory resident that nobody has touched, after some seconds or minutes. */
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
		return 1;
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	if (rounds == 0 || rounds > MAX_ROUNDS)
		return 2;
	for (char *mode = strtok(argv[3], ","); mode && mode_count < 8; mode = strtok(NULL, ","))
		modes[mode_count++] = mode;
	if (mode_count == 0 || set_up() != 0)
		return 1;
	for (unsigned i = 0; i < rounds && !run.failed; i++) {
		const char *mode = modes[i % mode_count];
		bool stays = strcmp(mode, "revoke") == 0;

		/* Only one that was unplugged comes back. */
		if (i == 0 || strcmp(modes[(i - 1) % mode_count], "revoke") != 0)
			if (wait_for(NSDK_HOTPLUG_ADDED) != 0)
				break;
		run.given = run.back = run.lost = 0;
		if (bring_up() != 0 || drive(i + 1, mode) != 0)
			break;
		run.all_ios += run.given;
		take_down();
		run.uses[i] = look_at_use();
		/* After the last round nobody wants to know. */
		if (!stays && i + 1 < rounds && wait_for(NSDK_HOTPLUG_REMOVED) != 0)
			break;
	}
	if (!run.failed)
		check_use(rounds, mode_count);
	for (unsigned i = 0; i < DEPTH; i++)
		nsdk_dma_free(run.pool, run.slots[i].buf);
	nsdk_dma_pool_destroy(run.pool);
	nsdk_mem_destroy(run.mem);
	nsdk_hotplug_destroy(run.hotplug);
	return run.failed ? 1 : 0;
}
