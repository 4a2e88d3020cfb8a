/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What mk/bench counts the NVMe driver's instructions on, under callgrind: reads of 4 KiB into a
 * buffer in a hugepage, translated and checked, on the snooped path.
 *
 *	nvme_instr DEPTH ROUNDS		(DEPTH reads a round, sent and polled; 0: a poll that finds nothing)
 *	nvme_instr DEPTH ROUNDS ticks	the same, and prints how many time stamp ticks an I/O (or such a poll)
 *					took in there: the median of the rounds, and the distance of their
 *					quartiles
 *
 * The device is the emulated one, and gets its turns from here, between the calls that are counted:
 * nsdk_device_wants_poll() says no, as it does of hardware.
 */
#include <stdio.h>
#include <stdlib.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define IO_BYTES 4096u
#define MAX_DEPTH 32
#define TURNS 8
#define NO_MEMORY 77 /* exit status: the machine lacks something, hugepages most likely */

bool __wrap_nsdk_device_wants_poll(const struct nsdk_device *dev);

bool __wrap_nsdk_device_wants_poll(const struct nsdk_device *dev)
{
	return false;
}

static void on_read(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	++*(unsigned long *)ctx;
}

/* One round. @param ticks  that it spent in the driver. @return whether all reads have come back. */
static bool go_round(struct nsdk_device *dev, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		     char *buffer, unsigned depth, uint64_t *ticks)
{
	uint32_t blocks = IO_BYTES / nsdk_nvme_ns_block_bytes(ns);
	uint64_t began = nsdk_ticks();
	unsigned long done = 0;
	int polled;

	if (depth == 0) {
		polled = nsdk_nvme_qpair_poll(qp, 0);
		*ticks = nsdk_ticks() - began;
		return polled == 0;
	}
	for (unsigned i = 0; i < depth; i++)
		if (nsdk_nvme_read(ns, qp, buffer + (size_t)i * IO_BYTES, (uint64_t)i * blocks, blocks,
				   0, on_read, &done) != 0)
			return false;
	if (nsdk_nvme_qpair_submit(qp) != 0)
		return false;
	*ticks = nsdk_ticks() - began;
	/* More than it needs; the queue of a device that is idle stays as it is. */
	for (unsigned i = 0; i < TURNS; i++)
		nsdk_device_poll(dev);
	/* A single poll: what it finds is all there is, or the count would be of something else. */
	began = nsdk_ticks();
	polled = nsdk_nvme_qpair_poll(qp, 0);
	*ticks += nsdk_ticks() - began;
	return polled == (int)depth && done == depth;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* What looking at the clock takes by itself: the least that is seen of it. */
static uint64_t ticks_of_a_look(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t began = nsdk_ticks(), ticks = nsdk_ticks() - began;

		if (ticks < least)
			least = ticks;
	}
	return least;
}

static void show_ticks(uint64_t *ticks, unsigned rounds, unsigned depth)
{
	/* Of two stretches in a round, of one where there is nothing but a poll. */
	uint64_t looks = (depth ? 2 : 1) * ticks_of_a_look();
	double each = depth ? depth : 1, at[3];

	qsort(ticks, rounds, sizeof(*ticks), by_size);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t value = ticks[(uint64_t)rounds * (i + 1) / 4];

		at[i] = value > looks ? (double)(value - looks) / each : 0;
	}
	printf("%.1f %.1f\n", at[1], at[2] - at[0]);
}

int main(int argc, char **argv)
{
	unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
	struct nsdk_mem_opts opts = { .opts_bytes = sizeof(opts) }; /* hugepages, or an error */
	struct nsdk_mem *mem = NULL;
	struct nsdk_device *dev = NULL;
	struct nsdk_nvme_ctrlr *ctrlr = NULL;
	struct nsdk_nvme_qpair *qp = NULL;
	struct nsdk_nvme_ns *ns = NULL;
	struct nsdk_dma_pool *pool = NULL;
	uint64_t *ticks = calloc(rounds ? rounds : 1, sizeof(*ticks));
	void *buffer = NULL;
	bool memory, good;

	memory = ticks && nsdk_mem_create(&opts, &mem) == 0 && nsdk_dma_pool_create(mem, NULL, &pool) == 0 &&
		 nsdk_dma_alloc(pool, (size_t)MAX_DEPTH * IO_BYTES, IO_BYTES, &buffer) == 0;
	good = memory && depth <= MAX_DEPTH &&
	       nsdk_device_attach("emu:nvme,size=16M,lba=512", NULL, &dev) == 0 &&
	       nsdk_nvme_attach(dev, mem, NULL, &ctrlr) == 0 &&
	       nsdk_nvme_qpair_create(ctrlr, NULL, &qp) == 0;
	ns = good ? nsdk_nvme_ns_get(ctrlr, 1) : NULL;
	good = good && ns;
	for (unsigned round = 0; good && round < rounds; round++)
		good = go_round(dev, ns, qp, buffer, depth, &ticks[round]);
	if (good && argc > 3)
		show_ticks(ticks, rounds, depth);
	if (memory && !good)
		fprintf(stderr, "nvme_instr: not everything that was sent came back\n");
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, buffer);
	nsdk_dma_pool_destroy(pool);
	nsdk_mem_destroy(mem);
	free(ticks);
	return good ? 0 : memory ? 1 : NO_MEMORY;
}
