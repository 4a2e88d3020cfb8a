/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * I/O address spaces (IOAS): what a device can reach, at which IOVA, and whether the IOMMU there
 * forces its DMA through the CPU caches (the snoop verdict).
 *
 * Three backends behind one interface: iommufd, VFIO type1 containers (kernels without iommufd),
 * and `soft`, an address space in process memory for emulated devices and tests.
 */
#ifndef NSDK_IOMMU_H
#define NSDK_IOMMU_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_iommu;
struct nsdk_ioas;

/** How an I/O address space is reached. */
enum nsdk_iommu_backend {
	NSDK_IOMMU_AUTO,    /**< iommufd where the kernel has it, else type1; NSDK_IOMMU overrides */
	NSDK_IOMMU_IOMMUFD, /**< /dev/iommu (linux/iommufd.h) */
	NSDK_IOMMU_TYPE1,   /**< /dev/vfio/vfio, VFIO_TYPE1v2_IOMMU (linux/vfio.h) */
	NSDK_IOMMU_SOFT,    /**< in process, for lib/emu and tests */
};

/** May DMA bypass the CPU caches here? */
enum nsdk_snoop_state {
	NSDK_SNOOP_UNKNOWN,   /**< could not be found out: treated as not permitted */
	NSDK_SNOOP_ENFORCED,  /**< the IOMMU forces snooping; no-snoop has no effect */
	NSDK_SNOOP_PERMITTED, /**< a No Snoop TLP goes past the caches */
	NSDK_SNOOP_REFUSED,   /**< no IOMMU protects memory from the device: it must not be driven */
};

/** A verdict and why, in words. */
struct nsdk_snoop_verdict {
	enum nsdk_snoop_state state; /**< may DMA bypass the caches */
	char reason[200];            /**< one sentence */
};

/** "unknown", "enforced", "permitted" or "refused". */
const char *nsdk_snoop_state_name(enum nsdk_snoop_state state);

/** "iommufd", "type1" or "soft". */
const char *nsdk_iommu_backend_name(enum nsdk_iommu_backend backend);

/** A device may read, write, or do both to a mapping. */
enum nsdk_ioas_prot {
	NSDK_IOAS_READ = 1,
	NSDK_IOAS_WRITE = 2,
	NSDK_IOAS_RW = 3,
};

/** An inclusive range of IOVAs. */
struct nsdk_iova_range {
	uint64_t first; /**< lowest address */
	uint64_t last; /**< inclusive, so that the whole 64-bit space can be said */
};

/**
 * Open the IOMMU interface of the kernel. The address spaces of one handle can share pinned pages.
 *
 * @param backend  AUTO follows the environment variable NSDK_IOMMU=iommufd|type1, then what the
 *                 kernel has.
 * @return 0; -ENODEV the kernel has none; -EACCES no permission; -EINVAL NSDK_IOMMU has another
 *         word. A sentence has been logged.
 */
int nsdk_iommu_open(enum nsdk_iommu_backend backend, struct nsdk_iommu **out);

/** Close. While an address space of it is there, that is logged and nothing done. NULL is fine. */
void nsdk_iommu_close(struct nsdk_iommu *iommu);

/** Which interface it is; never AUTO. */
enum nsdk_iommu_backend nsdk_iommu_backend_of(const struct nsdk_iommu *iommu);

/**
 * Make an empty address space (IOMMU_IOAS_ALLOC; VFIO container).
 *
 * @return 0 or -errno, with a sentence logged.
 */
int nsdk_ioas_create(struct nsdk_iommu *iommu, struct nsdk_ioas **out);

/** Unmap all and destroy. With a device in it, that is logged and nothing done. NULL is fine. */
void nsdk_ioas_destroy(struct nsdk_ioas *ioas);

/**
 * Make memory reachable by the devices of an address space.
 *
 * With @p fixed false the IOVA is chosen inside the device's ranges: equal to the virtual address
 * where that fits, else the lowest free one aligned as @p va is (so that hugepages stay hugepages
 * in the page table). With @p fixed true *iova is used or the call fails.
 *
 * @param va          page aligned.
 * @param bytes       multiple of the page size, not 0.
 * @param prot        enum nsdk_ioas_prot bits.
 * @param[in,out] iova
 * @return 0; -EINVAL alignment, length or range; -EEXIST the IOVA is taken; -ENOSPC no free IOVA;
 *         -ENOMEM the locked-memory limit (the sentence says which and how to raise it). Nothing
 *         stays mapped on failure.
 * Threading: calls on one address space are serialised inside.
 * Source: IOMMU_IOAS_MAP (linux/iommufd.h), VFIO_IOMMU_MAP_DMA (linux/vfio.h).
 */
int nsdk_ioas_map(struct nsdk_ioas *ioas, void *va, size_t bytes, unsigned prot, bool fixed,
		  nsdk_iova_t *iova);

/**
 * Map what @p src has mapped at @p src_iova here too, without pinning the pages again where the
 * backend can (IOMMU_IOAS_COPY); where it cannot, as nsdk_ioas_map(). Same errors.
 */
int nsdk_ioas_copy(struct nsdk_ioas *dst, struct nsdk_ioas *src, nsdk_iova_t src_iova, void *va,
		   size_t bytes, unsigned prot, bool fixed, nsdk_iova_t *iova);

/**
 * Set IOVAs aside that nothing is to be mapped at: addresses that a device takes for itself, as NVMe
 * controllers do with their memory buffer (Base 3.1.3.16, CMBMSC). DMA there that leaves the device all
 * the same is a fault.
 *
 * @param va     where to look for room first; may be anything.
 * @param bytes  a multiple of the page size.
 * @param fixed  exactly the IOVAs from *iova on.
 * @return 0; -EINVAL alignment, or not among the usable ranges; -EEXIST taken; -ENOSPC; -ENOMEM. Nothing is
 *         logged: who asks may do without. Undone by nsdk_ioas_unmap().
 */
int nsdk_ioas_reserve(struct nsdk_ioas *ioas, const volatile void *va, size_t bytes, bool fixed,
		      nsdk_iova_t *iova);

/** Undo one nsdk_ioas_map(), _copy() or _reserve(), whole. @return 0; -ENOENT no such mapping. */
int nsdk_ioas_unmap(struct nsdk_ioas *ioas, nsdk_iova_t iova, size_t bytes);

/** The usable IOVA ranges as of the last attach; returns how many there are (may exceed @p max). */
int nsdk_ioas_ranges(struct nsdk_ioas *ioas, struct nsdk_iova_range *out, unsigned max);

/** The verdict of this address space, asked again after every attach. Never fails. */
void nsdk_ioas_verdict(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out);

/** The handle it was made from. */
struct nsdk_iommu *nsdk_ioas_iommu(struct nsdk_ioas *ioas);

#ifdef __cplusplus
}
#endif
#endif
