/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver by hand, as doc/guide/own-driver.md explains it: an NVMe controller's admin queue, one
 * Identify command, and the cache model's report of whether every sync was where it must be.
 *
 *	own_driver emu:nvme,nosnoop=all,seed=4
 *	own_driver emu:nvme,nosnoop=all,seed=4 forget
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/bus.h>
#include <nsdk/coherence.h>
#include <nsdk/emu.h>
#include <nsdk/mem.h>
#include <nsdk/nvme_spec.h>

#define ENTRIES 16
#define PAGE_BYTES 4096

static struct nsdk_mem *mem;
static struct nsdk_device *dev;
static struct nsdk_coherence *coh;
static struct nsdk_dma_pool *pool;
static struct nsdk_bar bar;
static struct nsdk_nvme_cmd *sq;       /* the admin queue: commands */
static struct nsdk_nvme_cpl *cq;       /* and completions */
static struct nsdk_nvme_id_ctrl *data; /* what the controller says of itself */
static nsdk_iova_t iovas[3];           /* where the controller finds the three */

static volatile uint32_t *doorbell(bool of_cq)
{
	uint64_t cap = nsdk_device_read64(dev, &bar, NSDK_NVME_REG_CAP);
	size_t stride_bytes = (size_t)4 << NSDK_NVME_CAP_DSTRD(cap);

	return (volatile uint32_t *)((volatile char *)bar.base + NSDK_NVME_REG_DOORBELLS +
				     (of_cq ? stride_bytes : 0));
}

/* Every wait has a deadline: five seconds, more than this controller will ever need. */
static int wait_ready(uint32_t ready)
{
	for (time_t end = time(NULL) + 5; time(NULL) < end; nsdk_device_poll(dev))
		if ((nsdk_device_read32(dev, &bar, NSDK_NVME_REG_CSTS) & 1) == ready)
			return 0;
	return -1;
}

static int bring_up(const char *spec)
{
	struct nsdk_mem_opts small_pages = { .opts_bytes = sizeof(small_pages), .no_huge = true };
	struct nsdk_dma_pool_opts opts = { .opts_bytes = sizeof(opts), .attr = NSDK_DMA_NOSNOOP };
	void *pages[3];
	size_t bytes;

	if (nsdk_mem_create(&small_pages, &mem) || nsdk_device_attach(spec, NULL, &dev) ||
	    nsdk_coherence_create(dev, NSDK_POLICY_AUTO, &coh) ||
	    nsdk_mem_attach(mem, dev, coh) || nsdk_dma_pool_create(mem, &opts, &pool) ||
	    nsdk_device_bar(dev, 0, &bar))
		return -1;
	for (int i = 0; i < 3; i++)
		if (nsdk_dma_alloc(pool, PAGE_BYTES, PAGE_BYTES, &pages[i]) ||
		    nsdk_mem_translate(mem, dev, pages[i], PAGE_BYTES, &iovas[i], &bytes))
			return -1;
	sq = pages[0];
	cq = pages[1];
	data = pages[2];

	nsdk_device_write32(dev, &bar, NSDK_NVME_REG_CC, 0);
	if (wait_ready(0))
		return -1;
	nsdk_device_write32(dev, &bar, NSDK_NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	nsdk_device_write64(dev, &bar, NSDK_NVME_REG_ASQ, iovas[0].addr);
	nsdk_device_write64(dev, &bar, NSDK_NVME_REG_ACQ, iovas[1].addr);
	/* The controller will write completions: none of these lines may be dirty when it does. */
	nsdk_sync_for_device(coh, cq, PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	if (nsdk_device_set_bus_master(dev, true))
		return -1;
	nsdk_device_write32(dev, &bar, NSDK_NVME_REG_CC,
			    NSDK_NVME_CC_EN | 6 << NSDK_NVME_CC_IOSQES_SHIFT |
				    4 << NSDK_NVME_CC_IOCQES_SHIFT);
	return wait_ready(1);
}

static int identify(bool forget)
{
	sq[0] = (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_IDENTIFY,
		.prp1 = iovas[2].addr,
		.cdw10 = NSDK_NVME_CNS_CTRLR,
	};
	memset(data, '?', PAGE_BYTES); /* what the CPU sees until it sees the answer */
	/* Give both to the controller: what it reads, and what it writes. Then ring the doorbell. */
	nsdk_sync_for_device(coh, &sq[0], sizeof(sq[0]), NSDK_DMA_TO_DEVICE);
	nsdk_sync_for_device(coh, data, PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	*doorbell(false) = 1;

	for (time_t end = time(NULL) + 5; time(NULL) < end;) {
		nsdk_device_poll(dev);
		/* Take the completion's line back before each look at it. */
		nsdk_sync_for_cpu(coh, &cq[0], sizeof(cq[0]), NSDK_DMA_FROM_DEVICE);
		if ((__atomic_load_n(&cq[0].status, __ATOMIC_ACQUIRE) & 1) == 0)
			continue;
		/* It is there, and so is the data: take it back before anybody looks. */
		if (!forget)
			nsdk_sync_for_cpu(coh, data, PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
		printf("model: '%.40s'\n", data->mn);
		/* The completion is done with, and the data has been used. */
		*doorbell(true) = 1;
		nsdk_device_poll(dev);
		return 0;
	}
	return -1;
}

static void take_down(void)
{
	if (bar.base) {
		nsdk_device_write32(dev, &bar, NSDK_NVME_REG_CC, 0);
		wait_ready(0);
		nsdk_device_set_bus_master(dev, false);
	}
	if (coh)
		nsdk_mem_detach(mem, dev);
	nsdk_coherence_destroy(coh);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, sq);
	nsdk_dma_free(pool, cq);
	nsdk_dma_free(pool, data);
	nsdk_dma_pool_destroy(pool);
	nsdk_mem_destroy(mem);
}

int main(int argc, char **argv)
{
	bool forget = argc > 2 && strcmp(argv[2], "forget") == 0;
	struct nsdk_cache_model_stats stats;
	char *report;
	int rc;

	rc = bring_up(argc > 1 ? argv[1] : "emu:nvme,nosnoop=all,seed=4");
	if (rc == 0)
		rc = identify(forget);
	take_down();
	if (nsdk_cache_model_report(&report) == 0)
		fputs(report, stdout);
	free(report);
	nsdk_cache_model_stats(&stats);
	return rc == 0 && stats.violations_total == 0 ? 0 : 1;
}
