/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The soft backend: an address space in this process, for emulated devices.
 *
 * It translates as an IOMMU would, rights included, and it can be as narrow as the narrowest of its
 * devices asks, so that what an emulated device accepts a real one accepts too. Its verdict is what
 * the emulated platform says.
 */
#include <errno.h>
#include <stdlib.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

struct nsdk_soft_listener {
	nsdk_ioas_soft_notify fn;
	void *ctx;
	TAILQ_ENTRY(nsdk_soft_listener) link;
};

static int soft_open(struct nsdk_iommu *iommu)
{
	return 0;
}

static void soft_close(struct nsdk_iommu *iommu)
{
}

static int soft_create(struct nsdk_ioas *ioas)
{
	return 0;
}

static void soft_destroy(struct nsdk_ioas *ioas)
{
	struct nsdk_soft_listener *listener;

	while ((listener = TAILQ_FIRST(&ioas->listeners)) != NULL) {
		TAILQ_REMOVE(&ioas->listeners, listener, link);
		free(listener);
	}
}

static void tell(struct nsdk_ioas *ioas, const struct nsdk_mapping *map, bool mapped)
{
	struct nsdk_soft_listener *listener;

	TAILQ_FOREACH(listener, &ioas->listeners, link)
		listener->fn(listener->ctx, map->va, (size_t)nsdk_mapping_bytes(map), mapped);
}

static int soft_map(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	tell(ioas, map, true);
	return 0;
}

static int soft_unmap(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	tell(ioas, map, false);
	return 0;
}

/* The width that all members and @p joining (may be NULL) can address. */
static uint64_t last_iova(struct nsdk_ioas *ioas, const struct nsdk_ioas_member *joining)
{
	const struct nsdk_ioas_member *member;
	unsigned bits = 64;

	TAILQ_FOREACH(member, &ioas->members, link)
		if (member->soft_iova_bits != 0 && member->soft_iova_bits < bits)
			bits = member->soft_iova_bits;
	if (joining != NULL && joining->soft_iova_bits != 0 && joining->soft_iova_bits < bits)
		bits = joining->soft_iova_bits;
	return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

static int soft_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct nsdk_iova_range range = {.first = 0, .last = last_iova(ioas, member)};
	size_t count = ioas->space.count;

	/* The maps are sorted: when the last one fits, all do. */
	if (count > 0 && ioas->space.maps[count - 1].last > range.last)
		return nsdk_fail(-EADDRINUSE, "iommu",
				 "%s cannot join this address space: it addresses up to IOVA 0x%llx, and "
				 "there is a mapping above; attach it before mapping, or alone",
				 member->name, (unsigned long long)range.last);
	if (nsdk_iova_set_allowed(&ioas->space, &range, 1) != 0)
		return nsdk_fail(-ENOMEM, "iommu", "no memory to attach %s", member->name);
	return 0;
}

static void soft_detach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct nsdk_iova_range range = {.first = 0, .last = last_iova(ioas, NULL)};

	/* Without memory the old ranges stay: narrower than needed, never wrong. */
	(void)nsdk_iova_set_allowed(&ioas->space, &range, 1);
}

static void soft_verdict(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out)
{
	const struct nsdk_ioas_member *member;
	unsigned permits = 0, enforces = 0;

	TAILQ_FOREACH(member, &ioas->members, link) {
		if (member->soft_permits_nosnoop)
			permits++;
		else
			enforces++;
	}
	if (permits > 0 && enforces > 0)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "emulated platforms with and without no-snoop share this address space; "
				 "give each its own");
	else if (permits > 0)
		nsdk_verdict_set(out, NSDK_SNOOP_PERMITTED,
				 "the emulated platform lets no-snoop DMA past the modelled caches");
	else
		nsdk_verdict_set(out, NSDK_SNOOP_ENFORCED,
				 "the emulated platform snoops all DMA");
}

int nsdk_ioas_soft_lookup(struct nsdk_ioas *ioas, uint64_t iova, size_t bytes, unsigned prot,
			  void **va, size_t *contiguous_bytes)
{
	const struct nsdk_mapping *map;
	int rc = -EFAULT;

	pthread_rwlock_rdlock(&ioas->lock);
	map = nsdk_iova_find(&ioas->space, iova);
	if (map != NULL && (map->prot & prot) == prot) {
		uint64_t offset = iova - map->first, rest = map->last - iova;

		*va = (char *)map->va + offset;
		*contiguous_bytes = bytes == 0 || rest >= bytes - 1 ? bytes : (size_t)rest + 1;
		rc = 0;
	}
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

static struct nsdk_soft_listener *find_listener(struct nsdk_ioas *ioas, const void *ctx)
{
	struct nsdk_soft_listener *listener;

	TAILQ_FOREACH(listener, &ioas->listeners, link)
		if (listener->ctx == ctx)
			return listener;
	return NULL;
}

/* Of what is mapped; what is only set aside is no memory. */
static void tell_all(struct nsdk_ioas *ioas, const struct nsdk_soft_listener *listener, bool mapped)
{
	for (size_t i = 0; i < ioas->space.count; i++)
		if (ioas->space.maps[i].prot != 0)
			listener->fn(listener->ctx, ioas->space.maps[i].va,
				     (size_t)nsdk_mapping_bytes(&ioas->space.maps[i]), mapped);
}

int nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx)
{
	struct nsdk_soft_listener *listener;
	int rc = 0;

	pthread_rwlock_wrlock(&ioas->lock);
	listener = find_listener(ioas, ctx);
	if (listener != NULL) {
		TAILQ_REMOVE(&ioas->listeners, listener, link);
		tell_all(ioas, listener, false);
	}
	if (fn == NULL) {
		free(listener);
		goto unlock;
	}
	if (listener == NULL)
		listener = malloc(sizeof(*listener));
	if (listener == NULL) {
		rc = nsdk_fail(-ENOMEM, "iommu", "no memory to watch an address space");
		goto unlock;
	}
	listener->fn = fn;
	listener->ctx = ctx;
	TAILQ_INSERT_TAIL(&ioas->listeners, listener, link);
	tell_all(ioas, listener, true);
unlock:
	pthread_rwlock_unlock(&ioas->lock);
	return rc;
}

const struct nsdk_iommu_ops nsdk_iommu_soft = {
	.open = soft_open,
	.close = soft_close,
	.create = soft_create,
	.destroy = soft_destroy,
	.map = soft_map,
	.unmap = soft_unmap,
	.attach = soft_attach,
	.detach = soft_detach,
	.verdict = soft_verdict,
};
