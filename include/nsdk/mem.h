/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * DMA memory: hugepage pools with a coherence attribute, mapped into the address space of every
 * device that was attached to them, with a constant-time translation from VA to IOVA.
 */
#ifndef NSDK_MEM_H
#define NSDK_MEM_H

#include <nsdk/bus.h>
#include <nsdk/coherence.h>
#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_mem;
struct nsdk_dma_pool;

/** Page sizes a pool can be made of. */
#define NSDK_PAGE_2M ((size_t)2 << 20)
/** See NSDK_PAGE_2M. */
#define NSDK_PAGE_1G ((size_t)1 << 30)

/** What nsdk_mem_create() may be told; all zero is a good default. */
struct nsdk_mem_opts {
	size_t opts_bytes;   /**< sizeof(struct nsdk_mem_opts) */
	size_t window_bytes; /**< address space set aside for all pools together; 0: 64 GiB */
	bool no_huge;        /**< make pools of small pages (emulated devices, tests) */
};

/**
 * Make a memory domain: a set of pools and registered ranges that every attached device sees.
 * @return 0 or -errno, logged.
 */
int nsdk_mem_create(const struct nsdk_mem_opts *opts, struct nsdk_mem **out);

/** Destroy; devices must have been detached and pools destroyed (-EBUSY, logged, otherwise). */
int nsdk_mem_destroy(struct nsdk_mem *mem);

/**
 * Map everything of the domain, and all that is added later, into a device's address space.
 *
 * Where the device may bypass the caches, each page is flushed before the device can reach it: the
 * kernel zeroes fresh pages in the cache only, and memory still holds somebody else's data.
 *
 * @param coh  the device's engine.
 * Devices may share an address space; the memory is then mapped there once.
 *
 * @return 0; -EEXIST attached already; what nsdk_ioas_map() gives. On failure nothing of the domain
 *         is mapped there.
 * Threading: any thread, before the device does DMA.
 */
int nsdk_mem_attach(struct nsdk_mem *mem, struct nsdk_device *dev, struct nsdk_coherence *coh);

/**
 * Unmap everything from the device's address space (when it is the last of its devices). The device
 * must no longer do DMA, and nobody may be translating for it.
 */
void nsdk_mem_detach(struct nsdk_mem *mem, struct nsdk_device *dev);

/** How a pool's memory is meant to be used. */
enum nsdk_dma_attr {
	NSDK_DMA_COHERENT, /**< snooped DMA only */
	NSDK_DMA_NOSNOOP,  /**< DMA may bypass the caches: buffers share no line with anything */
};

/** What nsdk_dma_pool_create() may be told. */
struct nsdk_dma_pool_opts {
	size_t opts_bytes;         /**< sizeof(struct nsdk_dma_pool_opts) */
	enum nsdk_dma_attr attr;   /**< coherent or no-snoop */
	int numa_node;             /**< preferred; -1: the node of the calling thread */
	size_t page_bytes;         /**< 0: 2 MiB, falling back to small pages only if the domain says
					no_huge; NSDK_PAGE_2M; NSDK_PAGE_1G */
	size_t initial_bytes;      /**< taken at once; 0: one page */
	size_t max_bytes;          /**< grows up to this when full; 0: as far as the window goes */
};

/**
 * Make a pool.
 * @param opts  NULL: coherent, local node, 2 MiB pages.
 * @return 0; -ENOMEM no hugepages (the sentence gives the command that makes some) or the
 *         locked-memory limit; -EINVAL.
 */
int nsdk_dma_pool_create(struct nsdk_mem *mem, const struct nsdk_dma_pool_opts *opts,
			 struct nsdk_dma_pool **out);

/** Unmap from every device and free. -EBUSY (logged) while buffers are out. */
int nsdk_dma_pool_destroy(struct nsdk_dma_pool *pool);

/**
 * Take a buffer. It owns whole cache lines, is zeroed, and does not cross a page of the pool unless
 * it is larger than one (then it is IOVA-contiguous within each page and usually beyond). In a pool
 * of small pages "a page" is 2 MiB of addresses.
 *
 * @param bytes        not 0; rounded up to whole lines.
 * @param align_bytes  power of two; 0: a line.
 * @return 0; -EINVAL; -ENOMEM the pool is full and may not or cannot grow (logged).
 * Threading: any thread; takes a lock: not for the I/O path.
 */
int nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out);

/** Give a buffer back. NULL is fine. A pointer that is not a buffer of the pool is -EINVAL, logged. */
int nsdk_dma_free(struct nsdk_dma_pool *pool, void *va);

/** The attribute it was made with. */
enum nsdk_dma_attr nsdk_dma_pool_attr(const struct nsdk_dma_pool *pool);

/** Sizes of a pool, in bytes. */
struct nsdk_dma_pool_stats {
	size_t page_bytes;   /**< size of its pages */
	size_t mapped_bytes; /**< what devices can reach */
	size_t used_bytes;   /**< in buffers that are out */
	uint64_t buffers;    /**< number of those */
};
/** Read them; a snapshot. Threading: any. */
void nsdk_dma_pool_stats(struct nsdk_dma_pool *pool, struct nsdk_dma_pool_stats *out);

/**
 * Register memory of the application (page aligned), so that devices can reach it.
 *
 * It must stay mapped and unmoved until unregistered, and the process must not fork() meanwhile
 * unless the memory is shared or marked MADV_DONTFORK: the first write after a fork() gives private
 * memory new pages, and the device goes on with the old ones.
 * @return 0; -EINVAL alignment or length; -EFAULT not all of it is there and writable; -EEXIST
 *         overlaps something registered or a pool; what nsdk_ioas_map() gives. A partial registration
 *         is undone.
 * Threading: any thread; takes a lock.
 */
int nsdk_mem_register(struct nsdk_mem *mem, void *va, size_t bytes);
/**
 * Undo nsdk_mem_register().
 * @return 0; -ENOENT not registered with exactly this address and length; other -errno: it could not
 *         be unmapped, and a device may still reach it for as long as it is in its address space.
 */
int nsdk_mem_unregister(struct nsdk_mem *mem, void *va, size_t bytes);

/**
 * Translate for one device, in constant time for each 2 MiB (a pool) or 4 KiB (registered memory).
 *
 * @param va      in a pool or in registered memory of a domain attached to @p dev.
 * @param bytes   length wanted.
 * @param[out] iova
 * @param[out] contiguous_bytes  how many bytes from @p va are IOVA-contiguous, at most @p bytes.
 * @return 0; -EFAULT the address is not DMA memory of this device.
 * Threading: any thread, no lock.
 */
int nsdk_mem_translate(struct nsdk_mem *mem, struct nsdk_device *dev, const void *va, size_t bytes,
		       nsdk_iova_t *iova, size_t *contiguous_bytes);

#ifdef __cplusplus
}
#endif
#endif
