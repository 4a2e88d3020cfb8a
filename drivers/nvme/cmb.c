/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller memory buffer (Base 8.5): memory on the controller, behind one of its BARs, for submission
 * queues and for data.
 *
 * Addresses. A controller knows its buffer by addresses that the host chooses (CMBMSC.CBA, since 1.4): one
 * that it finds in a command and that lies there never leaves the device. So they are set aside in the I/O
 * address space, where no mapping may get them. Those that its BAR has on the bus come first, as that is what
 * Linux says, and so what controllers have been tried with; where they are taken, any others will do. But a
 * controller of before 1.4, or one that shows its buffer without being asked to, knows it by its bus address
 * whatever it is told, and then exactly that range has to be free.
 *
 * Submission queues. The ring that commands are put into stays in ordinary memory, so the short ways of io.c
 * are what they are, and what is to be sent again after a reset is not lost with the buffer. With the
 * doorbell come the slots: they are copied to where the controller looks for them, in whole words. Who has
 * no such queue pays nothing for it: it is a bit among the queue pair's attention bits. The admin queue is
 * never there, and neither are completion queues and PRP lists: to poll over the bus would be far slower than
 * to be written to, and a list costs the CPU more stores than the controller saves reads.
 *
 * Ordering. VFIO maps BARs uncached (Linux, drivers/vfio/pci/vfio_pci_core.c: pgprot_noncached()), and x86
 * executes uncached stores one after the other, in order with all others (Intel SDM vol. 3, Memory Cache
 * Control), so slots and doorbell, both such stores, arrive in order: posted writes do not pass each other on
 * PCI Express. There is an SFENCE all the same, once for a batch and on this way alone: should a BAR ever be
 * mapped write-combining, as prefetchable ones may be, it is what drains the buffers before the doorbell. On
 * aarch64 the mapping is Device-nGnRnE, which is ordered inside a peripheral; two BARs may count as two, and
 * the DMB in the doorbell is what orders them.
 *
 * No-snoop. Nothing here is ever in a cache: slots and data are left out of flush batches. A completion says
 * that data has arrived: loads behind the load of its phase bit are ordered behind it (nvme_cqe_is_new_at()).
 *
 * Resets. CMBMSC is written each time before the controller is enabled; a function reset clears it. Space in
 * the buffer keeps its owners meanwhile, its contents may be gone, so a command whose data was there and was
 * to be read by the controller is not sent again, nor the rest of what goes out as several commands.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "payload.h"

/* More than this is not made use of: so many pages are counted. */
#define MAX_BYTES ((uint64_t)4 << 30)

/* ---- Where it is ---- */

static void write_cmbmsc(struct nsdk_nvme_ctrlr *ctrlr, uint64_t value)
{
	/* Its lower half has the bits that make the upper half count. */
	nsdk_device_write32(ctrlr->dev, &ctrlr->bar, NSDK_NVME_REG_CMBMSC + 4, (uint32_t)(value >> 32));
	nsdk_device_write32(ctrlr->dev, &ctrlr->bar, NSDK_NVME_REG_CMBMSC, (uint32_t)value);
}

/* The address of a BAR on the bus, by config space. @return 0 or -errno. */
static int bus_address(struct nsdk_device *dev, unsigned bir, uint64_t *out)
{
	uint32_t low, high = 0;
	int err = nsdk_device_cfg_read(dev, PCI_BASE_ADDRESS_0 + 4 * bir, 4, &low);

	if (!err && (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		err = nsdk_device_cfg_read(dev, PCI_BASE_ADDRESS_0 + 4 * (bir + 1), 4, &high);
	*out = ((uint64_t)high << 32 | low) & (uint64_t)PCI_BASE_ADDRESS_MEM_MASK;
	return err;
}

/* What the registers say. @return NULL; why the buffer cannot be used. */
static const char *find(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_cmb *cmb)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t unit, offset, bytes, bus;
	struct nsdk_ioas *ioas = nsdk_device_ioas(ctrlr->dev);
	nsdk_iova_t addr = { 0 };
	struct nsdk_bar bar;
	int err = -ENODEV;

	cmb->selectable = (ctrlr->cap & NSDK_NVME_CAP_CMBS) != 0;
	cmb->loc = nvme_read32(ctrlr, NSDK_NVME_REG_CMBLOC);
	cmb->sz = nvme_read32(ctrlr, NSDK_NVME_REG_CMBSZ);
	/* Seen without being asked for, so it is one of before 1.4, whatever else the controller says. */
	cmb->fixed = cmb->sz != 0 &&
		     !(cmb->selectable &&
		       (nvme_read32(ctrlr, NSDK_NVME_REG_CMBMSC) & NSDK_NVME_CMBMSC_CRE));
	if (cmb->selectable && !cmb->fixed) {
		write_cmbmsc(ctrlr, NSDK_NVME_CMBMSC_CRE);
		cmb->loc = nvme_read32(ctrlr, NSDK_NVME_REG_CMBLOC);
		cmb->sz = nvme_read32(ctrlr, NSDK_NVME_REG_CMBSZ);
	}
	if (NSDK_NVME_CMBSZ_SZ(cmb->sz) == 0 || cmb->sz == UINT32_MAX)
		return "it has none";
	if (NSDK_NVME_CMBSZ_SZU(cmb->sz) > 6 || NSDK_NVME_CMBLOC_BIR(cmb->loc) >= PCI_STD_NUM_BARS)
		return "its registers make no sense";
	unit = (uint64_t)NVME_PAGE_BYTES << 4 * NSDK_NVME_CMBSZ_SZU(cmb->sz);
	offset = unit * NSDK_NVME_CMBLOC_OFST(cmb->loc);
	bytes = unit * NSDK_NVME_CMBSZ_SZ(cmb->sz);
	if (nsdk_device_bar(ctrlr->dev, NSDK_NVME_CMBLOC_BIR(cmb->loc), &bar) != 0)
		return "its BAR cannot be mapped";
	/* Whoever writes commands there must not write registers, nor the doorbells of the first queues. */
	if (NSDK_NVME_CMBLOC_BIR(cmb->loc) == 0 &&
	    offset < NSDK_NVME_REG_DOORBELLS + 4 * (uint64_t)ctrlr->doorbell_stride_bytes)
		return "it lies over its registers";
	/* It may say more than its BAR has. */
	if (offset >= bar.bytes)
		return "it lies outside of its BAR";
	if (bytes > bar.bytes - offset)
		bytes = bar.bytes - offset;
	if (bytes > MAX_BYTES)
		bytes = MAX_BYTES;
	cmb->base = (volatile uint8_t *)bar.base + offset;
	cmb->bytes = (size_t)bytes & ~(size_t)NVME_PAGE_MASK;
	if (cmb->bytes == 0)
		return "it is smaller than a page";
	if (nsdk_device_bar_check(ctrlr->dev, NSDK_NVME_CMBLOC_BIR(cmb->loc), (size_t)offset,
				  cmb->bytes) != 0)
		return "it lies over its MSI-X table, or over what the kernel does not let be mapped";
	cmb->reserved_bytes = (cmb->bytes + page_bytes - 1) & ~(page_bytes - 1);
	if (bus_address(ctrlr->dev, NSDK_NVME_CMBLOC_BIR(cmb->loc), &bus) == 0 && bus != 0) {
		addr.addr = bus + offset;
		err = nsdk_ioas_reserve(ioas, NULL, cmb->reserved_bytes, true, &addr);
	}
	if (err && cmb->fixed)
		return "its address on the bus is not known, taken, or beyond what the IOMMU allows";
	if (err && nsdk_ioas_reserve(ioas, cmb->base, cmb->reserved_bytes, false, &addr) != 0)
		return "there are no addresses left for it";
	cmb->addr = addr;
	return NULL;
}

/* @return 0; -ENOMEM. */
static int open_buffer(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_cmb *cmb)
{
	bool data = (ctrlr->opts.cmb & NSDK_NVME_CMB_DATA) &&
		    (cmb->sz & (NSDK_NVME_CMBSZ_RDS | NSDK_NVME_CMBSZ_WDS));

	cmb->runs = calloc(cmb->bytes / NVME_PAGE_BYTES, sizeof(*cmb->runs));
	if (!cmb->runs)
		return -ENOMEM;
	if (data)
		ctrlr->own_map.own = (struct nsdk_dma_own){
			.va = (uintptr_t)cmb->base,
			.bytes = cmb->bytes,
			.addr = cmb->addr.addr,
		};
	cmb->on = true;
	return 0;
}

static void give_up(struct nsdk_nvme_ctrlr *ctrlr, const char *why)
{
	nsdk_log(NSDK_LOG_NOTICE, "nvme",
		 "%s: the controller's memory buffer was asked for and is not used: %s; queues are in "
		 "ordinary memory", nsdk_device_name(ctrlr->dev), why);
	nsdk_nvme_cmb_destroy(ctrlr);
	ctrlr->cmb.refused = true;
}

/*
 * The controller is disabled, and about to be enabled. @return 0, used or not; -EIO it was there and does not
 * come back (of a reset), which has not been said.
 */
int nsdk_nvme_cmb_enable(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_cmb *cmb = &ctrlr->cmb;
	bool again = cmb->on;
	const char *why = NULL;

	if (!ctrlr->opts.cmb || cmb->refused)
		return 0;
	if (again)
		/* Before any queue pair goes on. */
		atomic_fetch_add_explicit(&cmb->losses, 1, memory_order_relaxed);
	else
		why = find(ctrlr, cmb);
	if (why) {
		give_up(ctrlr, why);
		return 0;
	}
	if (cmb->selectable)
		write_cmbmsc(ctrlr, cmb->addr.addr | NSDK_NVME_CMBMSC_CMSE | NSDK_NVME_CMBMSC_CRE);
	if (cmb->selectable && (nvme_read32(ctrlr, NSDK_NVME_REG_CMBSTS) & NSDK_NVME_CMBSTS_CBAI)) {
		if (again)
			return -EIO;
		give_up(ctrlr, "it does not take its address");
		return 0;
	}
	if (again)
		return nvme_read32(ctrlr, NSDK_NVME_REG_CMBSZ) == cmb->sz ? 0 : -EIO;
	if (open_buffer(ctrlr, cmb) != 0) {
		give_up(ctrlr, "there is no memory to keep account of it");
		return 0;
	}
	nsdk_log(NSDK_LOG_INFO, "nvme", "%s: %zu KiB of the controller's memory are in use, at %llxh",
		 nsdk_device_name(ctrlr->dev), cmb->bytes / 1024,
		 (unsigned long long)cmb->addr.addr);
	return 0;
}

/* Where BAR 0 ends, as far as registers and doorbells are concerned: the buffer may be behind them. */
size_t nsdk_nvme_cmb_doorbells_end(const struct nsdk_nvme_ctrlr *ctrlr)
{
	if (!ctrlr->cmb.on || NSDK_NVME_CMBLOC_BIR(ctrlr->cmb.loc) != 0)
		return ctrlr->bar.bytes;
	return (size_t)(ctrlr->cmb.base - (volatile uint8_t *)ctrlr->bar.base);
}

/* The controller is disabled, or gone. */
void nsdk_nvme_cmb_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_cmb *cmb = &ctrlr->cmb;

	if (cmb->selectable)
		write_cmbmsc(ctrlr, 0);
	ctrlr->own_map.own = (struct nsdk_dma_own){ 0 };
	if (cmb->addr.addr)
		nsdk_ioas_unmap(nsdk_device_ioas(ctrlr->dev), cmb->addr, cmb->reserved_bytes);
	free(cmb->runs);
	memset(cmb, 0, sizeof(*cmb));
}

/* ---- Who has what of it ---- */

/* The first of so many pages that are free; at first fit, as there are few buffers. */
static bool find_room(const struct nvme_cmb *cmb, size_t pages, size_t *first)
{
	size_t all = cmb->bytes / NVME_PAGE_BYTES, gap = 0;

	for (size_t at = 0; at < all; at++) {
		if (!cmb->runs[at]) {
			if (++gap < pages)
				continue;
			*first = at + 1 - pages;
			return true;
		}
		at += cmb->runs[at] - 1;
		gap = 0;
	}
	return false;
}

static volatile uint8_t *take(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes)
{
	struct nvme_cmb *cmb = &ctrlr->cmb;
	volatile uint8_t *va = NULL;
	size_t pages, first;

	if (bytes > cmb->bytes)
		return NULL;
	pages = (bytes + NVME_PAGE_MASK) / NVME_PAGE_BYTES;
	pthread_mutex_lock(&ctrlr->lock);
	if (find_room(cmb, pages, &first)) {
		cmb->runs[first] = (uint32_t)pages;
		cmb->used_pages += pages;
		va = cmb->base + first * NVME_PAGE_BYTES;
	}
	pthread_mutex_unlock(&ctrlr->lock);
	return va;
}

/* @return whether it was one. */
static bool put_back(struct nsdk_nvme_ctrlr *ctrlr, const volatile void *va)
{
	struct nvme_cmb *cmb = &ctrlr->cmb;
	size_t offset = (uintptr_t)va - (uintptr_t)cmb->base, page = offset / NVME_PAGE_BYTES;
	bool found;

	if (!cmb->on || offset >= cmb->bytes || offset % NVME_PAGE_BYTES)
		return false;
	pthread_mutex_lock(&ctrlr->lock);
	found = cmb->runs[page] != 0;
	cmb->used_pages -= cmb->runs[page];
	cmb->runs[page] = 0;
	pthread_mutex_unlock(&ctrlr->lock);
	return found;
}

int nsdk_nvme_cmb_alloc(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes, void **out)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	volatile uint8_t *va;

	*out = NULL;
	if (bytes == 0)
		return nsdk_fail(-EINVAL, "nvme", "%s: a buffer of no bytes was asked for", name);
	if (!ctrlr->own_map.own.bytes)
		return nsdk_fail(-EOPNOTSUPP, "nvme",
				 "%s: there is no memory on the controller for data, or it was not asked for "
				 "(cmb in struct nsdk_nvme_opts)", name);
	va = take(ctrlr, bytes);
	if (!va)
		return nsdk_fail(-ENOMEM, "nvme",
				 "%s: the controller's memory, %zu KiB, has no room for %zu KiB in one piece",
				 name, ctrlr->cmb.bytes / 1024, (bytes + 1023) / 1024);
	*out = (void *)va;
	return 0;
}

int nsdk_nvme_cmb_free(struct nsdk_nvme_ctrlr *ctrlr, void *va)
{
	if (!va || put_back(ctrlr, va))
		return 0;
	return nsdk_fail(-EINVAL, "nvme", "%s: %p is no buffer in the controller's memory",
			 nsdk_device_name(ctrlr->dev), va);
}

void nsdk_nvme_cmb_info(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmb_info *out)
{
	const struct nvme_cmb *cmb = &ctrlr->cmb;

	pthread_mutex_lock(&ctrlr->lock);
	*out = (struct nsdk_nvme_cmb_info){
		.in_use = cmb->on,
		.bytes = cmb->bytes,
		.used_bytes = cmb->used_pages * NVME_PAGE_BYTES,
		.queues = cmb->queues,
		.location = cmb->loc,
		.size = cmb->sz,
		.address = cmb->addr.addr,
		.losses = atomic_load_explicit(&cmb->losses, memory_order_relaxed),
	};
	pthread_mutex_unlock(&ctrlr->lock);
}

/* ---- Submission queues ---- */

/* A place for a new queue pair's submission queue, where one is wanted and there is room. */
void nsdk_nvme_cmb_take_sq(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	struct nvme_cmb *cmb = &ctrlr->cmb;
	volatile uint8_t *va;

	if (!cmb->on || cmb->sq_refused || !(ctrlr->opts.cmb & NSDK_NVME_CMB_SQ) ||
	    !(cmb->sz & NSDK_NVME_CMBSZ_SQS))
		return;
	va = take(ctrlr, qp->entries * sizeof(struct nsdk_nvme_cmd));
	if (!va)
		return;
	pthread_mutex_lock(&ctrlr->lock);
	cmb->queues++;
	pthread_mutex_unlock(&ctrlr->lock);
	qp->cmb_sq = (volatile struct nsdk_nvme_cmd *)(volatile void *)va;
	qp->host_sq_iova = qp->ring.sq_iova;
	qp->ring.sq_iova = cmb->addr.addr + (uint64_t)(va - cmb->base);
	qp->attention |= NVME_CMB;
}

/* The controller must no longer use it. */
void nsdk_nvme_cmb_drop_sq(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;

	if (!qp->cmb_sq)
		return;
	put_back(ctrlr, qp->cmb_sq);
	pthread_mutex_lock(&ctrlr->lock);
	ctrlr->cmb.queues--;
	pthread_mutex_unlock(&ctrlr->lock);
	qp->cmb_sq = NULL;
}

/* The controller does not take it there, with this status. It and all to come are in ordinary memory. */
void nsdk_nvme_cmb_refused_sq(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	nsdk_log(NSDK_LOG_NOTICE, "nvme",
		 "%s: the controller refuses a submission queue in its memory buffer, which it offers for that "
		 "(%s); queues are in ordinary memory", nsdk_device_name(qp->dev), nsdk_nvme_status_text(status));
	nsdk_nvme_cmb_drop_sq(qp);
	qp->ring.sq_iova = qp->host_sq_iova;
	qp->attention &= ~(uint64_t)NVME_CMB;
	qp->ctrlr->cmb.sq_refused = true;
}

/* The slots that were filled since the last time, to where the controller looks. Its doorbell is next. */
void nsdk_nvme_cmb_send(struct nsdk_nvme_qpair *qp)
{
	const struct nvme_ring *ring = &qp->ring;

	while (qp->sqe_unsent != qp->sqe) {
		nsdk_bar_copy_to(&qp->cmb_sq[qp->sqe_unsent - ring->sq], qp->sqe_unsent,
				 sizeof(*qp->sqe));
		if (++qp->sqe_unsent == ring->sq_end)
			qp->sqe_unsent = ring->sq;
	}
#if defined(__x86_64__)
	/* The slots before the doorbell, against the device, were they ever mapped write-combining. */
	__asm__ volatile("sfence" ::: "memory");
#endif
}

/* ---- Data ---- */

/* Whether a piece of a payload is in the buffer, if @p own, or one outside of it. */
static bool has_piece(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload, size_t bytes,
		      bool own)
{
	struct payload_walk walk;

	walk_start(&walk, payload, bytes);
	while (nsdk_dma_map_is_own(ctrlr->map, walk.va) != own) {
		if (walk.left >= bytes)
			return false;
		bytes -= walk.left;
		walk_next_piece(&walk);
	}
	return true;
}

/* Whether part of a payload is there. */
bool nsdk_nvme_cmb_has_any(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload,
			   size_t bytes)
{
	return has_piece(ctrlr, payload, bytes, true);
}

/*
 * Whether a payload may lie where it does, as far as the buffer is concerned.
 * @return 0; -EOPNOTSUPP the buffer does not offer that direction; -EINVAL part of it is there, part is not.
 */
int nsdk_nvme_cmb_check_payload(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload,
				size_t bytes, enum nsdk_dma_dir dir)
{
	uint32_t needed = dir == NSDK_DMA_TO_DEVICE ? NSDK_NVME_CMBSZ_WDS : NSDK_NVME_CMBSZ_RDS;

	if (!nsdk_nvme_cmb_has_any(ctrlr, payload, bytes))
		return 0;
	if (!(ctrlr->cmb.sz & needed))
		return -EOPNOTSUPP;
	return !(ctrlr->cmb.loc & NSDK_NVME_CMBLOC_CDMMMS) && has_piece(ctrlr, payload, bytes, false) ?
		       -EINVAL : 0;
}

/*
 * Whether data that the controller was to read may have been in the buffer, which loses it in a reset: such a
 * command is not sent again.
 */
bool nsdk_nvme_cmb_may_have(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd)
{
	const struct nsdk_dma_own *own = &ctrlr->map->own;

	if (!own->bytes || cmd->opcode == NSDK_NVME_NVM_WRITE_ZEROES ||
	    cmd->opcode == NSDK_NVME_NVM_WRITE_UNCORRECTABLE)
		return false;
	/* Its first byte says it of all of it, where that is in the command and no mixture is possible. */
	if ((ctrlr->cmb.loc & NSDK_NVME_CMBLOC_CDMMMS) &&
	    cmd->opcode != NSDK_NVME_NVM_DATASET_MANAGEMENT)
		return true;
	if ((cmd->flags & NSDK_NVME_PSDT_MASK) && cmd->prp2 >> 56 != NSDK_NVME_SGL_DATA_BLOCK)
		return true;
	return cmd->prp1 - own->addr < own->bytes;
}
