/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/iommu: the IOVA allocator, the common object and the backend table.
 */
#ifndef NSDK_IOAS_INTERNAL_H
#define NSDK_IOAS_INTERNAL_H

#include <stdatomic.h>

#include "iommu_internal.h"

/* ---- IOVAs (iova.c): which may be used, which are, and the next one. Pure code, no locks. ---- */

/* What is mapped at an inclusive range of IOVAs. */
struct nsdk_mapping {
	uint64_t first;
	uint64_t last;
	void *va;
	unsigned prot; /* 0: only set aside; the kernel knows nothing of it */
};

static inline uint64_t nsdk_mapping_bytes(const struct nsdk_mapping *map)
{
	return map->last - map->first + 1;
}

/* Sizes that a mapping's IOVA is aligned for, as far as it is large enough: page, 2 MiB, 1 GiB. */
#define NSDK_IOVA_ALIGNS 3

struct nsdk_iova_space {
	struct nsdk_iova_range *allowed; /* sorted, disjoint, not touching */
	unsigned allowed_count;
	struct nsdk_mapping *maps; /* sorted by IOVA, disjoint */
	size_t count;
	size_t room;
	uint64_t align_bytes[NSDK_IOVA_ALIGNS];
	/* Below this IOVA no gap is as large as align_bytes of the same index: a search starts here. */
	uint64_t no_gap_below[NSDK_IOVA_ALIGNS];
};

/* An empty space in which every IOVA is allowed. @return 0 or -ENOMEM. */
int nsdk_iova_space_init(struct nsdk_iova_space *space, uint64_t page_bytes);
void nsdk_iova_space_fini(struct nsdk_iova_space *space);

/* Replace the allowed ranges; they may come in any order and overlap. @return 0 or -ENOMEM. */
int nsdk_iova_set_allowed(struct nsdk_iova_space *space, const struct nsdk_iova_range *ranges,
			  unsigned count);

/* Whether the allowed ranges have room for a mapping at all, be they taken or not. */
bool nsdk_iova_has_room(const struct nsdk_iova_space *space);

/* The first mapping that is not inside the allowed ranges, or NULL. */
const struct nsdk_mapping *nsdk_iova_first_outside(const struct nsdk_iova_space *space);

/*
 * Choose as nsdk_ioas_map() says; nothing is changed.
 * @return 0; -EINVAL (fixed: misaligned or outside the ranges); -EEXIST (fixed: taken); -ENOSPC.
 */
int nsdk_iova_choose(struct nsdk_iova_space *space, uint64_t va, uint64_t bytes, bool fixed,
		     uint64_t *iova);

/* Make sure that the next insert has room. @return 0 or -ENOMEM. */
int nsdk_iova_make_room(struct nsdk_iova_space *space);
/* Insert what choose gave, after make_room. Cannot fail. */
void nsdk_iova_insert(struct nsdk_iova_space *space, const struct nsdk_mapping *map);

/* The mapping that contains @p iova, or NULL. */
struct nsdk_mapping *nsdk_iova_find(const struct nsdk_iova_space *space, uint64_t iova);
void nsdk_iova_remove(struct nsdk_iova_space *space, struct nsdk_mapping *map);

/* ---- The common object and the backends ---- */

struct nsdk_iommu_ops;

struct nsdk_iommu {
	enum nsdk_iommu_backend backend;
	const struct nsdk_iommu_ops *ops;
	int fd; /* /dev/iommu, else -1 */
	/* iommufd has one compatibility slot a file descriptor: pointing it and asking is one step. */
	pthread_mutex_t compat_lock;
	atomic_uint ioas_count;
};

struct nsdk_soft_listener;

struct nsdk_ioas {
	struct nsdk_iommu *iommu;
	/* Writers: map, unmap, attach, detach. Readers: ranges, verdict, the soft lookup. */
	pthread_rwlock_t lock;
	struct nsdk_iova_space space;
	struct nsdk_snoop_verdict verdict;
	TAILQ_HEAD(nsdk_ioas_members, nsdk_ioas_member) members;
	uint32_t id;         /* iommufd */
	int container_fd;    /* type1, else -1 */
	bool container_live; /* type1: has a device, so the kernel has the mappings */
	TAILQ_HEAD(nsdk_soft_listeners, nsdk_soft_listener) listeners; /* soft */
};

/* Every function is called with the lock of the address space held for writing, and logs. */
struct nsdk_iommu_ops {
	int (*open)(struct nsdk_iommu *iommu);
	void (*close)(struct nsdk_iommu *iommu);
	int (*create)(struct nsdk_ioas *ioas);
	/* Nothing is mapped and no member is left. */
	void (*destroy)(struct nsdk_ioas *ioas);
	int (*map)(struct nsdk_ioas *ioas, const struct nsdk_mapping *map);
	/* NULL: a copy is a map. @p src is not locked; the kernel checks. */
	int (*copy)(struct nsdk_ioas *ioas, struct nsdk_ioas *src, uint64_t src_iova,
		    const struct nsdk_mapping *map);
	int (*unmap)(struct nsdk_ioas *ioas, const struct nsdk_mapping *map);
	/* Put the device in and set the allowed ranges anew. It is not in the list of members yet. */
	int (*attach)(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
	/* Take it out; it is no longer in the list of members. */
	void (*detach)(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
	/* There is at least one member. */
	void (*verdict)(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out);
};

extern const struct nsdk_iommu_ops nsdk_iommu_iommufd;
extern const struct nsdk_iommu_ops nsdk_iommu_type1;
extern const struct nsdk_iommu_ops nsdk_iommu_soft;

/* Fill in a verdict. */
void nsdk_verdict_set(struct nsdk_snoop_verdict *out, enum nsdk_snoop_state state,
		      const char *reason, ...) __attribute__((format(printf, 3, 4)));

/* What the IOMMUs of the members say of themselves, added up. */
struct nsdk_hw_answers {
	unsigned can;    /* enforce snooping */
	unsigned cannot;
	unsigned silent;
	int error;       /* of one that could not be asked, else 0 */
};

/* Add one member's hw_enforces. */
void nsdk_hw_answers_add(struct nsdk_hw_answers *answers, int hw_enforces);

/*
 * The verdict for the answer of VFIO_CHECK_EXTENSION(VFIO_DMA_CC_IOMMU) or -errno, and of the
 * hardware. Any contradiction is a doubt.
 */
void nsdk_verdict_decide(int cc, const struct nsdk_hw_answers *hw, struct nsdk_snoop_verdict *out);

/* The same with the answers of the address space's members. */
void nsdk_verdict_decide_members(int cc, struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out);

/* hw_enforces of a PCI function as sysfs has it: for VFIO containers, which have no call for it. */
int nsdk_hw_enforces_sysfs(const char *bdf);

/* VT-d Extended Capability Register (VT-d specification, 11.4.3): bit 7, Snoop Control. */
static inline int nsdk_vtd_ecap_sc(uint64_t ecap)
{
	return (int)(ecap >> 7 & 1);
}

/* Say why the kernel refused to map, with the limit and its cure where it is one. Returns @p error. */
int nsdk_iommu_map_failed(int error, const struct nsdk_mapping *map);

#endif
