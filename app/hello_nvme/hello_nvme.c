/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shortest useful program: reads the first block of a disk and writes it to standard output.
 *
 *	hello_nvme emu:nvme,file=disk.img | xxd | head
 *	hello_nvme 0000:00:03.0 > block
 *
 * It has no messages of its own: by the time a call returns an error, the library has said why in
 * one sentence (nsdk/log.h). What ends something takes NULL, so one way out serves every failure.
 */
#include <stdio.h>
#include <nsdk/nvme.h>

static void on_read(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	*(int *)ctx = nsdk_nvme_cpl_ok(cpl) ? 1 : -1;
}

int main(int argc, char **argv)
{
	/* Hugepages are better, and `no_huge = false` asks for them; a try-out does without. */
	struct nsdk_mem_opts opts = { .opts_bytes = sizeof(opts), .no_huge = true };
	struct nsdk_mem *mem = NULL;
	struct nsdk_device *dev = NULL;
	struct nsdk_nvme_ctrlr *ctrlr = NULL;
	struct nsdk_nvme_qpair *qp = NULL;
	struct nsdk_nvme_ns *ns = NULL;
	struct nsdk_dma_pool *pool = NULL;
	void *block = NULL;
	int state = 0;

	if (nsdk_mem_create(&opts, &mem) == 0 && nsdk_dma_pool_create(mem, NULL, &pool) == 0 &&
	    nsdk_device_attach(argc > 1 ? argv[1] : "emu:nvme", NULL, &dev) == 0 &&
	    nsdk_nvme_attach(dev, mem, NULL, &ctrlr) == 0 &&
	    nsdk_nvme_qpair_create(ctrlr, NULL, &qp) == 0)
		ns = nsdk_nvme_ns_get(ctrlr, nsdk_nvme_ns_next(ctrlr, 0));
	if (ns && nsdk_dma_alloc(pool, nsdk_nvme_ns_block_bytes(ns), 0, &block) == 0 &&
	    nsdk_nvme_read(ns, qp, block, 0, 1, 0, on_read, &state) == 0)
		while (state == 0 && nsdk_nvme_qpair_poll(qp, 0) >= 0)
			;
	if (state == 1 && fwrite(block, nsdk_nvme_ns_block_bytes(ns), 1, stdout) != 1)
		state = -1;
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	nsdk_device_detach(dev);
	nsdk_dma_free(pool, block);
	nsdk_dma_pool_destroy(pool);
	nsdk_mem_destroy(mem);
	return state == 1 ? 0 : 1;
}
