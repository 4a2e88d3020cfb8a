/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOVA allocator: which IOVAs the devices of an address space allow, which are mapped, and which
 * one a new mapping gets.
 *
 * The kernel could choose too, but only iommufd does, and it does not know that we like an IOVA to
 * equal the virtual address (one number in a debugger, no translation to get wrong). Where that does
 * not fit (an IOMMU of 39 bits, a hole for interrupts), the lowest free IOVA is taken that lies to a
 * 1 GiB, 2 MiB or 4 KiB boundary as the virtual address does, so that hugepages stay hugepages in
 * the IOMMU's page table.
 *
 * Mappings are kept in one sorted array: they are few (thousands at most), they come and go at
 * start-up, and a reader finds one by bisection. IOVA 0 is never chosen: a forgotten pointer of
 * value 0 in a descriptor then faults in the IOMMU instead of corrupting whatever is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ioas_internal.h"

int nsdk_iova_space_init(struct nsdk_iova_space *space, uint64_t page_bytes)
{
	static const struct nsdk_iova_range everything = {.first = 0, .last = UINT64_MAX};

	memset(space, 0, sizeof(*space));
	space->align_bytes[0] = page_bytes;
	space->align_bytes[1] = (uint64_t)2 << 20;
	space->align_bytes[2] = (uint64_t)1 << 30;
	return nsdk_iova_set_allowed(space, &everything, 1);
}

void nsdk_iova_space_fini(struct nsdk_iova_space *space)
{
	free(space->allowed);
	free(space->maps);
	memset(space, 0, sizeof(*space));
}

static int compare_ranges(const void *left, const void *right)
{
	const struct nsdk_iova_range *a = left, *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

int nsdk_iova_set_allowed(struct nsdk_iova_space *space, const struct nsdk_iova_range *ranges,
			  unsigned count)
{
	struct nsdk_iova_range *sorted;
	unsigned kept = 0;

	sorted = calloc(count + 1, sizeof(*sorted)); /* never of size 0, which may be NULL */
	if (sorted == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		if (ranges[i].first <= ranges[i].last)
			sorted[kept++] = ranges[i];
	count = kept;
	qsort(sorted, count, sizeof(*sorted), compare_ranges);
	/* Ranges that touch become one, so that a mapping may lie across what was their border. */
	kept = 0;
	for (unsigned i = 0; i < count; i++) {
		struct nsdk_iova_range *before = kept > 0 ? &sorted[kept - 1] : NULL;

		if (before == NULL ||
		    (before->last != UINT64_MAX && before->last + 1 < sorted[i].first))
			sorted[kept++] = sorted[i];
		else if (sorted[i].last > before->last)
			before->last = sorted[i].last;
	}
	free(space->allowed);
	space->allowed = sorted;
	space->allowed_count = kept;
	memset(space->no_gap_below, 0, sizeof(space->no_gap_below));
	return 0;
}

/* Whether one allowed range contains all of [first, last]. */
static bool is_allowed(const struct nsdk_iova_space *space, uint64_t first, uint64_t last)
{
	for (unsigned i = 0; i < space->allowed_count; i++)
		if (space->allowed[i].first <= first && last <= space->allowed[i].last)
			return true;
	return false;
}

bool nsdk_iova_has_room(const struct nsdk_iova_space *space)
{
	uint64_t page_bytes = space->align_bytes[0];

	for (unsigned i = 0; i < space->allowed_count; i++) {
		const struct nsdk_iova_range *range = &space->allowed[i];
		/* The page at 0 is never given out. */
		uint64_t first = range->first < page_bytes ? page_bytes : range->first;

		if (range->last >= first && range->last - first >= page_bytes - 1)
			return true;
	}
	return false;
}

const struct nsdk_mapping *nsdk_iova_first_outside(const struct nsdk_iova_space *space)
{
	for (size_t i = 0; i < space->count; i++)
		if (!is_allowed(space, space->maps[i].first, space->maps[i].last))
			return &space->maps[i];
	return NULL;
}

/* Index of the first mapping that ends at or above @p iova; count when there is none. */
static size_t first_ending_from(const struct nsdk_iova_space *space, uint64_t iova)
{
	size_t low = 0, high = space->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (space->maps[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_free(const struct nsdk_iova_space *space, uint64_t first, uint64_t last)
{
	size_t i = first_ending_from(space, first);

	return i == space->count || space->maps[i].first > last;
}

/* A place for @p bytes in the gap, congruent to @p va modulo @p align. */
static bool place_in_gap(const struct nsdk_iova_range *gap, uint64_t va, uint64_t bytes,
			 uint64_t align, uint64_t *iova)
{
	uint64_t place = gap->first + ((va - gap->first) & (align - 1));

	if (place < gap->first || place > gap->last || gap->last - place < bytes - 1)
		return false;
	*iova = place;
	return true;
}

/*
 * The lowest place that is aligned as the index says. Looks at one gap after the other, and notes
 * the first that is large enough for this alignment at all: next time nothing below it needs a look,
 * so that mapping page after page does not become quadratic.
 */
static bool lowest_place(struct nsdk_iova_space *space, unsigned index, uint64_t va, uint64_t bytes,
			 uint64_t *iova)
{
	uint64_t align = space->align_bytes[index], from = space->no_gap_below[index];
	bool gap_seen = false, found = false;

	if (from < space->align_bytes[0])
		from = space->align_bytes[0]; /* the page at 0 stays empty */
	for (unsigned r = 0; r < space->allowed_count && !found; r++) {
		const struct nsdk_iova_range *range = &space->allowed[r];
		struct nsdk_iova_range gap = *range;
		size_t next;

		if (range->last < from)
			continue;
		if (gap.first < from)
			gap.first = from;
		for (next = first_ending_from(space, gap.first);; next++) {
			bool last_gap = next == space->count || space->maps[next].first > range->last;
			bool empty = !last_gap && space->maps[next].first <= gap.first;

			if (!empty) {
				gap.last = last_gap ? range->last : space->maps[next].first - 1;
				if (!gap_seen && gap.last - gap.first >= align - 1) {
					space->no_gap_below[index] = gap.first;
					gap_seen = true;
				}
				found = place_in_gap(&gap, va, bytes, align, iova);
			}
			if (found || last_gap || space->maps[next].last >= range->last)
				break;
			gap.first = space->maps[next].last + 1;
		}
	}
	return found;
}

int nsdk_iova_choose(struct nsdk_iova_space *space, uint64_t va, uint64_t bytes, bool fixed,
		     uint64_t *iova)
{
	uint64_t first = fixed ? *iova : va;
	bool wraps = first + (bytes - 1) < first;

	if (fixed) {
		if ((first & (space->align_bytes[0] - 1)) != 0 || wraps ||
		    !is_allowed(space, first, first + (bytes - 1)))
			return -EINVAL;
		return is_free(space, first, first + (bytes - 1)) ? 0 : -EEXIST;
	}
	if (!wraps && is_allowed(space, va, va + (bytes - 1)) && is_free(space, va, va + (bytes - 1))) {
		*iova = va;
		return 0;
	}
	for (unsigned i = NSDK_IOVA_ALIGNS; i-- > 0;)
		if ((i == 0 || bytes >= space->align_bytes[i]) &&
		    lowest_place(space, i, va, bytes, iova))
			return 0;
	return -ENOSPC;
}

int nsdk_iova_make_room(struct nsdk_iova_space *space)
{
	size_t room = space->room == 0 ? 64 : space->room * 2;
	struct nsdk_mapping *maps;

	if (space->count < space->room)
		return 0;
	maps = reallocarray(space->maps, room, sizeof(*maps));
	if (maps == NULL)
		return -ENOMEM;
	space->maps = maps;
	space->room = room;
	return 0;
}

void nsdk_iova_insert(struct nsdk_iova_space *space, const struct nsdk_mapping *map)
{
	size_t at = first_ending_from(space, map->first);

	memmove(&space->maps[at + 1], &space->maps[at], (space->count - at) * sizeof(*map));
	space->maps[at] = *map;
	space->count++;
}

struct nsdk_mapping *nsdk_iova_find(const struct nsdk_iova_space *space, uint64_t iova)
{
	size_t at = first_ending_from(space, iova);

	return at < space->count && space->maps[at].first <= iova ? &space->maps[at] : NULL;
}

void nsdk_iova_remove(struct nsdk_iova_space *space, struct nsdk_mapping *map)
{
	size_t at = (size_t)(map - space->maps);
	/* What is free now may join with what was free before it. */
	uint64_t gap = at == 0 ? 0 : space->maps[at - 1].last + 1;

	for (unsigned i = 0; i < NSDK_IOVA_ALIGNS; i++)
		if (space->no_gap_below[i] > gap)
			space->no_gap_below[i] = gap;
	space->count--;
	memmove(map, map + 1, (space->count - at) * sizeof(*map));
}
