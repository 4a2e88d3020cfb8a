/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The address space as all backends have it: its mappings, its members, its lock, its verdict.
 *
 * A mapping is recorded only after the backend has made it, and forgotten only after the backend has
 * undone it, so the record never claims less than what a device can reach.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

/* Emulated devices read without pause: a map must get its turn all the same. */
static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int nsdk_ioas_create(struct nsdk_iommu *iommu, struct nsdk_ioas **out)
{
	struct nsdk_ioas *ioas;
	int rc;

	*out = NULL;
	ioas = calloc(1, sizeof(*ioas));
	if (ioas == NULL)
		goto no_memory;
	ioas->iommu = iommu;
	ioas->container_fd = -1;
	TAILQ_INIT(&ioas->members);
	TAILQ_INIT(&ioas->listeners);
	nsdk_verdict_set(&ioas->verdict, NSDK_SNOOP_UNKNOWN, "no device is in this address space");
	if (nsdk_iova_space_init(&ioas->space, (uint64_t)sysconf(_SC_PAGESIZE)) != 0)
		goto free_ioas;
	rc = iommu->ops->create(ioas);
	if (rc != 0)
		goto fini_space;
	init_lock(&ioas->lock);
	atomic_fetch_add(&iommu->ioas_count, 1);
	*out = ioas;
	return 0;

fini_space:
	nsdk_iova_space_fini(&ioas->space);
	free(ioas);
	return rc;
free_ioas:
	free(ioas);
no_memory:
	return nsdk_fail(-ENOMEM, "iommu", "no memory for an I/O address space");
}

void nsdk_ioas_destroy(struct nsdk_ioas *ioas)
{
	struct nsdk_iommu *iommu;

	if (ioas == NULL)
		return;
	iommu = ioas->iommu;
	pthread_rwlock_wrlock(&ioas->lock);
	if (!TAILQ_EMPTY(&ioas->members)) {
		pthread_rwlock_unlock(&ioas->lock);
		nsdk_log(NSDK_LOG_ERROR, "iommu",
			 "an I/O address space stays: %s and perhaps others are still attached to it",
			 TAILQ_FIRST(&ioas->members)->name);
		return;
	}
	while (ioas->space.count > 0) {
		/* From the end, so that nothing is moved. Nothing can reach it any more: what the
		 * kernel will not unmap goes with the object, and it has said why. */
		struct nsdk_mapping *map = &ioas->space.maps[ioas->space.count - 1];

		if (map->prot != 0)
			(void)iommu->ops->unmap(ioas, map);
		nsdk_iova_remove(&ioas->space, map);
	}
	iommu->ops->destroy(ioas);
	pthread_rwlock_unlock(&ioas->lock);
	pthread_rwlock_destroy(&ioas->lock);
	nsdk_iova_space_fini(&ioas->space);
	free(ioas);
	atomic_fetch_sub(&iommu->ioas_count, 1);
}

static int check_map_arguments(const struct nsdk_ioas *ioas, const void *va, size_t bytes,
			       unsigned prot)
{
	uint64_t mask = ioas->space.align_bytes[0] - 1;

	if (bytes == 0 || ((uintptr_t)va & mask) != 0 || (bytes & mask) != 0 ||
	    (uintptr_t)va + (bytes - 1) < (uintptr_t)va)
		return nsdk_fail(-EINVAL, "iommu",
				 "cannot map %zu bytes at %p for DMA: address and length must be "
				 "multiples of the page size, %llu bytes",
				 bytes, va, (unsigned long long)mask + 1);
	if (prot == 0 || (prot & ~(unsigned)NSDK_IOAS_RW) != 0)
		return nsdk_fail(-EINVAL, "iommu",
				 "cannot map for DMA: 0x%x is no combination of read and write", prot);
	return 0;
}

/* The allowed ranges in words, the first few of them. */
static void format_ranges(const struct nsdk_iova_space *space, char *out, size_t out_bytes)
{
	size_t used = 0;

	snprintf(out, out_bytes, "nothing");
	for (unsigned i = 0; i < space->allowed_count && i < 4 && used < out_bytes; i++)
		used += (size_t)snprintf(out + used, out_bytes - used, "%s0x%llx-0x%llx",
					 i == 0 ? "" : ", ",
					 (unsigned long long)space->allowed[i].first,
					 (unsigned long long)space->allowed[i].last);
	if (space->allowed_count > 4 && used < out_bytes)
		snprintf(out + used, out_bytes - used, ", ...");
}

static int choose_failed(int error, const struct nsdk_ioas *ioas, size_t bytes, uint64_t iova)
{
	char ranges[192];

	if (error == -EEXIST)
		return nsdk_fail(error, "iommu", "cannot map %zu bytes at IOVA 0x%llx: it is taken",
				 bytes, (unsigned long long)iova);
	format_ranges(&ioas->space, ranges, sizeof(ranges));
	if (error == -EINVAL)
		return nsdk_fail(error, "iommu",
				 "cannot map %zu bytes at IOVA 0x%llx: it is not page aligned, or not "
				 "within what the device's IOMMU allows (%s)",
				 bytes, (unsigned long long)iova, ranges);
	return nsdk_fail(error, "iommu",
			 "cannot map %zu bytes: the device's IOMMU allows %s and has no free range of "
			 "that size; map less at once or unmap something",
			 bytes, ranges);
}

/* Map, by copying from @p src at @p src_iova when @p src is not NULL. */
static int map_or_copy(struct nsdk_ioas *ioas, struct nsdk_ioas *src, uint64_t src_iova, void *va,
		       size_t bytes, unsigned prot, bool fixed, nsdk_iova_t *iova)
{
	const struct nsdk_iommu_ops *ops = ioas->iommu->ops;
	struct nsdk_mapping map = {.va = va, .prot = prot};
	int rc;

	rc = check_map_arguments(ioas, va, bytes, prot);
	if (rc != 0)
		return rc;
	pthread_rwlock_wrlock(&ioas->lock);
	map.first = fixed ? iova->addr : 0;
	rc = nsdk_iova_choose(&ioas->space, (uintptr_t)va, bytes, fixed, &map.first);
	if (rc != 0) {
		rc = choose_failed(rc, ioas, bytes, map.first);
		goto unlock;
	}
	map.last = map.first + (bytes - 1);
	/* Room first: a mapping that the kernel has made must not fail to be recorded. */
	rc = nsdk_iova_make_room(&ioas->space);
	if (rc != 0) {
		rc = nsdk_fail(rc, "iommu", "no memory to record a DMA mapping");
		goto unlock;
	}
	if (src != NULL)
		rc = ops->copy(ioas, src, src_iova, &map);
	else
		rc = ops->map(ioas, &map);
	if (rc != 0)
		goto unlock;
	nsdk_iova_insert(&ioas->space, &map);
	iova->addr = map.first;
unlock:
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

int nsdk_ioas_map(struct nsdk_ioas *ioas, void *va, size_t bytes, unsigned prot, bool fixed,
		  nsdk_iova_t *iova)
{
	return map_or_copy(ioas, NULL, 0, va, bytes, prot, fixed, iova);
}

int nsdk_ioas_copy(struct nsdk_ioas *dst, struct nsdk_ioas *src, nsdk_iova_t src_iova, void *va,
		   size_t bytes, unsigned prot, bool fixed, nsdk_iova_t *iova)
{
	const struct nsdk_mapping *map;
	bool there;

	/* One lock at a time: two threads that copy in opposite directions must not wait for each
	 * other. That the source is not unmapped meanwhile is the kernel's to check. */
	pthread_rwlock_rdlock(&src->lock);
	map = nsdk_iova_find(&src->space, src_iova.addr);
	there = map != NULL && map->first == src_iova.addr && nsdk_mapping_bytes(map) == bytes &&
		map->va == va;
	pthread_rwlock_unlock(&src->lock);
	if (!there)
		return nsdk_fail(-ENOENT, "iommu",
				 "cannot copy a DMA mapping: the source has not mapped %zu bytes at %p to "
				 "IOVA 0x%llx",
				 bytes, va, (unsigned long long)src_iova.addr);
	if (dst->iommu != src->iommu || dst->iommu->ops->copy == NULL)
		src = NULL;
	return map_or_copy(dst, src, src_iova.addr, va, bytes, prot, fixed, iova);
}

int nsdk_ioas_reserve(struct nsdk_ioas *ioas, const volatile void *va, size_t bytes, bool fixed,
		      nsdk_iova_t *iova)
{
	struct nsdk_mapping map = {.first = fixed ? iova->addr : 0};
	int rc;

	if (bytes == 0 || (bytes & (ioas->space.align_bytes[0] - 1)) != 0)
		return -EINVAL;
	pthread_rwlock_wrlock(&ioas->lock);
	rc = nsdk_iova_choose(&ioas->space, (uintptr_t)va & ~(ioas->space.align_bytes[0] - 1), bytes,
			      fixed, &map.first);
	if (rc == 0)
		rc = nsdk_iova_make_room(&ioas->space);
	if (rc == 0) {
		map.last = map.first + (bytes - 1);
		nsdk_iova_insert(&ioas->space, &map);
		iova->addr = map.first;
	}
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

int nsdk_ioas_unmap(struct nsdk_ioas *ioas, nsdk_iova_t iova, size_t bytes)
{
	struct nsdk_mapping *map;
	int rc;

	pthread_rwlock_wrlock(&ioas->lock);
	map = nsdk_iova_find(&ioas->space, iova.addr);
	if (map == NULL || map->first != iova.addr || nsdk_mapping_bytes(map) != bytes) {
		rc = nsdk_fail(-ENOENT, "iommu",
			       "cannot unmap %zu bytes at IOVA 0x%llx: nothing is mapped with exactly "
			       "that address and length",
			       bytes, (unsigned long long)iova.addr);
		goto unlock;
	}
	rc = map->prot != 0 ? ioas->iommu->ops->unmap(ioas, map) : 0;
	if (rc == 0)
		nsdk_iova_remove(&ioas->space, map);
unlock:
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

int nsdk_ioas_ranges(struct nsdk_ioas *ioas, struct nsdk_iova_range *out, unsigned max)
{
	unsigned count;

	pthread_rwlock_rdlock(&ioas->lock);
	count = ioas->space.allowed_count;
	for (unsigned i = 0; i < count && i < max; i++)
		out[i] = ioas->space.allowed[i];
	pthread_rwlock_unlock(&ioas->lock);
	return (int)count;
}

void nsdk_ioas_verdict(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out)
{
	pthread_rwlock_rdlock(&ioas->lock);
	*out = ioas->verdict;
	pthread_rwlock_unlock(&ioas->lock);
}

static void ask_verdict(struct nsdk_ioas *ioas)
{
	if (TAILQ_EMPTY(&ioas->members))
		nsdk_verdict_set(&ioas->verdict, NSDK_SNOOP_UNKNOWN,
				 "no device is in this address space");
	else
		ioas->iommu->ops->verdict(ioas, &ioas->verdict);
}

int nsdk_ioas_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	int rc;

	pthread_rwlock_wrlock(&ioas->lock);
	member->hw_enforces = -ENODATA;
	rc = ioas->iommu->ops->attach(ioas, member);
	if (rc == 0) {
		TAILQ_INSERT_TAIL(&ioas->members, member, link);
		ask_verdict(ioas);
	}
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

void nsdk_ioas_detach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	pthread_rwlock_wrlock(&ioas->lock);
	TAILQ_REMOVE(&ioas->members, member, link);
	ioas->iommu->ops->detach(ioas, member);
	ask_verdict(ioas);
	pthread_rwlock_unlock(&ioas->lock);
}

struct nsdk_iommu *nsdk_ioas_iommu(struct nsdk_ioas *ioas)
{
	return ioas->iommu;
}

int nsdk_ioas_container_fd(const struct nsdk_ioas *ioas)
{
	return ioas->container_fd;
}
