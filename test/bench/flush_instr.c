/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What mk/bench counts the engine's instructions on, under callgrind: giving a buffer of 4 KiB to the
 * device, and committing a batch that has nothing in it.
 *
 *	flush_instr coherent|clean|empty ROUNDS
 *
 * coherent: the device's DMA is snooped; clean: it is not, and the buffer was filled past the caches;
 * empty: the commit of an active batch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/coherence.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define IO_BYTES 4096u

int main(int argc, char **argv)
{
	bool coherent = argc > 1 && strcmp(argv[1], "coherent") == 0;
	bool empty = argc > 1 && strcmp(argv[1], "empty") == 0;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_nvme_opts nvme_opts = {
		.opts_bytes = sizeof(nvme_opts),
		.policy = coherent ? NSDK_POLICY_COHERENT : NSDK_POLICY_NOSNOOP,
	};
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_mem *mem = NULL;
	struct nsdk_device *dev = NULL;
	struct nsdk_nvme_ctrlr *ctrlr = NULL;
	struct nsdk_dma_pool *pool = NULL;
	struct nsdk_coherence *coh = NULL;
	struct nsdk_flush_batch *batch = NULL;
	struct nsdk_coherence_stats before, after;
	void *buffer = NULL;
	bool good;

	good = nsdk_mem_create(&mem_opts, &mem) == 0 &&
	       nsdk_device_attach("emu:nvme,size=16M,nosnoop=all", NULL, &dev) == 0 &&
	       nsdk_nvme_attach(dev, mem, &nvme_opts, &ctrlr) == 0;
	if (good) {
		coh = nsdk_nvme_ctrlr_coherence(ctrlr);
		pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
		good = nsdk_coherence_active(coh) == !coherent &&
		       nsdk_dma_pool_create(mem, &pool_opts, &pool) == 0 &&
		       nsdk_dma_alloc(pool, IO_BYTES, IO_BYTES, &buffer) == 0 &&
		       nsdk_flush_batch_create(coh, 32, &batch) == 0;
	}
	if (good) {
		nsdk_dma_fill(coh, buffer, 0x5a, IO_BYTES);
		nsdk_coherence_stats(coh, &before);
		for (unsigned round = 0; round < rounds; round++) {
			if (!empty)
				nsdk_flush_batch_for_device(batch, buffer, IO_BYTES, NSDK_DMA_TO_DEVICE);
			nsdk_flush_batch_commit(batch);
		}
		nsdk_coherence_stats(coh, &after);
		/* Nothing was flushed, or the count would be of something else. */
		good = after.lines_written_back == before.lines_written_back;
	}
	if (!good)
		fprintf(stderr, "flush_instr: lines were flushed, or there was nothing to flush with\n");
	nsdk_flush_batch_destroy(batch);
	nsdk_nvme_detach(ctrlr);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, buffer);
	nsdk_dma_pool_destroy(pool);
	nsdk_mem_destroy(mem);
	return good ? 0 : 1;
}
