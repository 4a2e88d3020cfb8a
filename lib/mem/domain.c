/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA memory.
 *
 * The model. A domain (struct nsdk_mem) is a set of memory and a set of devices, and every device
 * reaches all of the memory. The memory comes in segments: the pages that a pool took at one time,
 * or a range that the application registered. The devices come in address spaces: several devices
 * may share one. Each segment is mapped as a whole into each address space; wherever one joins, this
 * product is filled in, and when that fails half-way it is emptied again, so that there is never a
 * device that can reach part of the domain.
 *
 *	pool ──< segment >──── mapped at an IOVA in ────< space >── device
 *	registered ─┘                                      │
 *	                                                   └─ struct nsdk_dma_map: VA -> IOVA
 *
 * Where the pieces are: window.c sets the addresses aside, pages.c puts pages there, arena.c cuts
 * them into buffers, pool.c joins these three, registered.c has the application's own memory, map.c
 * and radix.c translate. This file has the product.
 *
 * Order. A translation is published after the mapping is made and withdrawn before it is unmapped,
 * so an IOVA that was looked up is one that the device can reach. Pages are given back to the
 * kernel only after every address space has let go of them, and every flush lcore; where one will not,
 * they are kept for ever: a leak is better than a device that writes into what has become somebody
 * else's page.
 *
 * Fresh pages. The kernel zeroes a page in the cache. Until those lines are written back, memory has
 * what the page held before, maybe another process's secrets, and a device that bypasses the caches
 * would read that; later the write-back would land on top of what the device wrote. So all lines of
 * a segment are written back and fenced before it is mapped for such a device.
 *
 * Threading. Everything that changes the product holds the domain's lock. Translating takes none:
 * attachments are found by walking a list that only grows, and maps are read with atomic loads.
 */
#include "domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/iommu.h>
#include <nsdk/log.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/env/opts.h"
#include "radix.h"

#define DEFAULT_WINDOW_BYTES ((size_t)64 << 30)

int nsdk_mem_create(const struct nsdk_mem_opts *user_opts, struct nsdk_mem **out)
{
	struct nsdk_mem_opts opts;
	struct nsdk_mem *mem;
	int error;

	error = nsdk_opts_take(&opts, sizeof(opts), user_opts, "mem");
	if (error)
		return error;
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return nsdk_fail(-ENOMEM, "mem", "no memory for a domain of DMA memory");
	error = nsdk_window_reserve(&mem->window,
				    opts.window_bytes ? opts.window_bytes : DEFAULT_WINDOW_BYTES);
	if (error) {
		free(mem);
		return error;
	}
	/* Without it every line counts as dirty, which is right, if slower. */
	(void)nsdk_shadow_create(mem->window.va, mem->window.bytes, &mem->shadow);
	pthread_mutex_init(&mem->lock, NULL);
	mem->no_huge = opts.no_huge;
	TAILQ_INIT(&mem->segments);
	TAILQ_INIT(&mem->spaces);
	*out = mem;
	return 0;
}

int nsdk_mem_destroy(struct nsdk_mem *mem)
{
	struct nsdk_attachment *attachment, *next;
	struct nsdk_segment *segment;

	if (!mem)
		return 0;
	if (!TAILQ_EMPTY(&mem->spaces))
		return nsdk_fail(-EBUSY, "mem",
				 "a device is still attached to the DMA memory; detach it first");
	if (mem->pools)
		return nsdk_fail(-EBUSY, "mem", "%u DMA pool%s left; destroy %s first", mem->pools,
				 mem->pools == 1 ? " is" : "s are", mem->pools == 1 ? "it" : "them");
	/* What is left was registered; no device reaches it any more, and the memory is not ours. */
	while ((segment = TAILQ_FIRST(&mem->segments))) {
		TAILQ_REMOVE(&mem->segments, segment, in_domain);
		free(segment);
	}
	for (attachment = atomic_load(&mem->attachments); attachment; attachment = next) {
		next = attachment->next;
		free(attachment);
	}
	nsdk_radix_destroy(mem->registered);
	nsdk_shadow_destroy(&mem->shadow);
	nsdk_window_release(&mem->window);
	pthread_mutex_destroy(&mem->lock);
	free(mem);
	return 0;
}

/* --- attachments ----------------------------------------------------------- */

static struct nsdk_attachment *find_attachment(struct nsdk_mem *mem, const struct nsdk_device *dev)
{
	/* Acquire, against the release at the end of nsdk_mem_attach(): the rest was filled in before. */
	struct nsdk_attachment *at = atomic_load_explicit(&mem->attachments, memory_order_acquire);

	while (at && atomic_load_explicit(&at->dev, memory_order_acquire) != dev)
		at = at->next;
	return at;
}

const struct nsdk_dma_map *nsdk_mem_map_of(struct nsdk_mem *mem, struct nsdk_device *dev)
{
	struct nsdk_attachment *attachment = dev ? find_attachment(mem, dev) : NULL;

	return attachment ? &attachment->space->map : NULL;
}

int nsdk_mem_translate(struct nsdk_mem *mem, struct nsdk_device *dev, const void *va, size_t bytes,
		       nsdk_iova_t *iova, size_t *contiguous_bytes)
{
	const struct nsdk_dma_map *map = nsdk_mem_map_of(mem, dev);

	if (!map || bytes == 0)
		return -EFAULT;
	return nsdk_dma_map_translate(map, (uintptr_t)va, bytes, &iova->addr, contiguous_bytes);
}

/* A slot that nobody uses, old or new. Readers pass over it until its dev is set. */
static struct nsdk_attachment *free_attachment(struct nsdk_mem *mem)
{
	struct nsdk_attachment *attachment = find_attachment(mem, NULL);

	if (attachment)
		return attachment;
	attachment = calloc(1, sizeof(*attachment));
	if (!attachment)
		return NULL;
	attachment->next = atomic_load_explicit(&mem->attachments, memory_order_relaxed);
	/* Release, against find_attachment(): next is set before a reader can get here. */
	atomic_store_explicit(&mem->attachments, attachment, memory_order_release);
	return attachment;
}

/* --- fresh pages ----------------------------------------------------------- */

/* Writes a segment back for one device, unless the IOMMU makes the device look into the caches. */
static void flush_fresh(const struct nsdk_coherence *coh, const struct nsdk_segment *segment)
{
	const struct nsdk_line_ops *ops;

	if (coh && !nsdk_coherence_flush_fresh(coh))
		return;
	/* Without an engine nothing is known of the device, so the worst is. */
	ops = coh ? nsdk_coherence_line_ops(coh) : nsdk_line_ops_cpu();
	ops->writeback(segment->va, segment->bytes / NSDK_LINE_BYTES);
	/*
	 * Orders the write-backs before the stores with which the kernel is about to fill in the
	 * IOMMU's page table: by the time the device can reach the page, memory has its zeros.
	 */
	ops->fence_for_device();
}

static void flush_for_space(struct nsdk_mem *mem, const struct nsdk_space *space,
			    const struct nsdk_segment *segment)
{
	struct nsdk_attachment *at = atomic_load_explicit(&mem->attachments, memory_order_relaxed);

	for (; at; at = at->next)
		if (at->space == space && atomic_load_explicit(&at->dev, memory_order_relaxed))
			flush_fresh(at->coh, segment);
}

/* --- segments and spaces --------------------------------------------------- */

/*
 * Maps without publishing. Another address space of the same IOMMU handle that has the segment
 * already lends its pages, so that they are pinned, and counted against the locked-memory limit, once.
 */
static int map_one(struct nsdk_mem *mem, struct nsdk_space *space, struct nsdk_segment *segment,
		   nsdk_iova_t *iova)
{
	const struct nsdk_iommu *iommu = nsdk_ioas_iommu(space->ioas);
	struct nsdk_space *lender;
	nsdk_iova_t lent;
	size_t left;

	TAILQ_FOREACH(lender, &mem->spaces, in_domain) {
		if (lender == space || nsdk_ioas_iommu(lender->ioas) != iommu)
			continue;
		if (nsdk_dma_map_lookup(&lender->map, (uintptr_t)segment->va, &lent.addr, &left) == 0)
			return nsdk_ioas_copy(space->ioas, lender->ioas, lent, segment->va,
					      segment->bytes, NSDK_IOAS_RW, false, iova);
	}
	return nsdk_ioas_map(space->ioas, segment->va, segment->bytes, NSDK_IOAS_RW, false, iova);
}

static int space_map(struct nsdk_mem *mem, struct nsdk_space *space, struct nsdk_segment *segment)
{
	nsdk_iova_t iova;
	int error;

	error = nsdk_dma_map_reserve(&space->map, segment->va, segment->bytes);
	if (error)
		return error;
	error = map_one(mem, space, segment, &iova);
	if (error)
		return error;
	nsdk_dma_map_publish(&space->map, segment->va, segment->bytes, iova.addr);
	return 0;
}

static int space_unmap(struct nsdk_space *space, struct nsdk_segment *segment)
{
	nsdk_iova_t iova;
	size_t left;
	int error;

	if (nsdk_dma_map_lookup(&space->map, (uintptr_t)segment->va, &iova.addr, &left))
		return 0;
	nsdk_dma_map_unpublish(&space->map, segment->va, segment->bytes);
	error = nsdk_ioas_unmap(space->ioas, iova, segment->bytes);
	if (error)
		segment->stuck = true;
	return error;
}

int nsdk_segment_map(struct nsdk_mem *mem, struct nsdk_segment *segment)
{
	struct nsdk_space *space;
	int error = 0;

	TAILQ_FOREACH(space, &mem->spaces, in_domain) {
		flush_for_space(mem, space, segment);
		error = space_map(mem, space, segment);
		if (error)
			break;
	}
	if (!error) {
		TAILQ_INSERT_TAIL(&mem->segments, segment, in_domain);
		return 0;
	}
	while ((space = TAILQ_PREV(space, nsdk_space_list, in_domain)))
		space_unmap(space, segment);
	return error;
}

int nsdk_segment_unmap(struct nsdk_mem *mem, struct nsdk_segment *segment)
{
	struct nsdk_space *space;
	int error = 0;

	TAILQ_REMOVE(&mem->segments, segment, in_domain);
	TAILQ_FOREACH(space, &mem->spaces, in_domain) {
		int result = space_unmap(space, segment);

		if (result && !error)
			error = result;
	}
	/* Devices are out of it; now the CPUs that flush: a late line operation would fault. */
	if (nsdk_flusher_quiesce() != 0) {
		segment->stuck = true;
		error = error ? error : -ETIMEDOUT;
	}
	return error;
}

static struct nsdk_space *find_space(struct nsdk_mem *mem, const struct nsdk_ioas *ioas)
{
	struct nsdk_space *space;

	TAILQ_FOREACH(space, &mem->spaces, in_domain)
		if (space->ioas == ioas)
			return space;
	return NULL;
}

static void space_destroy(struct nsdk_mem *mem, struct nsdk_space *space)
{
	struct nsdk_segment *segment;

	/* A segment that could not be unmapped is marked, and its owner told when it lets go of it. */
	TAILQ_FOREACH(segment, &mem->segments, in_domain)
		space_unmap(space, segment);
	TAILQ_REMOVE(&mem->spaces, space, in_domain);
	nsdk_dma_map_fini(&space->map);
	free(space);
}

/* Makes an address space reach all segments there are, for a device with this engine. */
static int space_create(struct nsdk_mem *mem, struct nsdk_ioas *ioas, const struct nsdk_coherence *coh,
			struct nsdk_space **out)
{
	struct nsdk_space *space = calloc(1, sizeof(*space));
	struct nsdk_segment *segment;
	int error;

	if (!space)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the translation of DMA addresses");
	space->ioas = ioas;
	error = nsdk_dma_map_init(&space->map, &mem->window);
	if (error) {
		free(space);
		return error;
	}
	TAILQ_INSERT_TAIL(&mem->spaces, space, in_domain);
	TAILQ_FOREACH(segment, &mem->segments, in_domain) {
		flush_fresh(coh, segment);
		error = space_map(mem, space, segment);
		if (error) {
			space_destroy(mem, space);
			return error;
		}
	}
	*out = space;
	return 0;
}

/* --- what lines may be known to be clean ----------------------------------- */

/*
 * Whether the devices differ in how they reach memory. A snooped one may leave its data dirty in a
 * cache; and what a model's line operations call clean is not so to the CPU's. Before its first DMA.
 */
static void look_at_mix(struct nsdk_mem *mem)
{
	struct nsdk_attachment *at = atomic_load_explicit(&mem->attachments, memory_order_relaxed);
	const struct nsdk_line_ops *ops = NULL;
	bool mixed = false;

	for (; at; at = at->next) {
		if (!atomic_load_explicit(&at->dev, memory_order_relaxed))
			continue;
		if (at->apart || !nsdk_coherence_active(at->coh) ||
		    (ops && ops != nsdk_coherence_line_ops(at->coh)))
			mixed = true;
		else
			ops = nsdk_coherence_line_ops(at->coh);
	}
	nsdk_shadow_set_mixed(&mem->shadow, mixed);
}

/* --- attach and detach ----------------------------------------------------- */

static int attach_locked(struct nsdk_mem *mem, struct nsdk_device *dev, struct nsdk_coherence *coh)
{
	struct nsdk_ioas *ioas = nsdk_device_ioas(dev);
	struct nsdk_space *space = find_space(mem, ioas);
	struct nsdk_attachment *attachment;
	struct nsdk_segment *segment;
	int error;

	if (find_attachment(mem, dev))
		return nsdk_fail(-EEXIST, "mem", "%s is attached to this DMA memory already",
				 nsdk_device_name(dev));
	attachment = free_attachment(mem);
	if (!attachment)
		return nsdk_fail(-ENOMEM, "mem", "no memory for attaching %s", nsdk_device_name(dev));
	if (space) {
		/*
		 * Mapped there already for another device, whose DMA may have been snooped where this
		 * one's is not. This one's has not begun: it has no bus mastering yet.
		 */
		TAILQ_FOREACH(segment, &mem->segments, in_domain)
			flush_fresh(coh, segment);
	} else {
		error = space_create(mem, ioas, coh, &space);
		if (error)
			return error;
	}
	space->devices++;
	attachment->apart = !coh || !nsdk_coherence_set_shadow(coh, &mem->shadow);
	attachment->coh = coh;
	attachment->space = space;
	/* Release, against find_attachment(): who finds the device finds its space. */
	atomic_store_explicit(&attachment->dev, dev, memory_order_release);
	look_at_mix(mem);
	return 0;
}

int nsdk_mem_attach(struct nsdk_mem *mem, struct nsdk_device *dev, struct nsdk_coherence *coh)
{
	int error;

	pthread_mutex_lock(&mem->lock);
	error = attach_locked(mem, dev, coh);
	pthread_mutex_unlock(&mem->lock);
	return error;
}

void nsdk_mem_detach(struct nsdk_mem *mem, struct nsdk_device *dev)
{
	struct nsdk_attachment *attachment;
	struct nsdk_space *space;

	if (!dev)
		return;
	pthread_mutex_lock(&mem->lock);
	attachment = find_attachment(mem, dev);
	if (attachment) {
		space = attachment->space;
		if (attachment->coh)
			nsdk_coherence_drop_shadow(attachment->coh, &mem->shadow);
		attachment->coh = NULL;
		attachment->space = NULL;
		/* Release, against an attach that reuses the slot through find_attachment(NULL). */
		atomic_store_explicit(&attachment->dev, NULL, memory_order_release);
		look_at_mix(mem);
		if (--space->devices == 0)
			space_destroy(mem, space);
	}
	pthread_mutex_unlock(&mem->lock);
}
