/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A flush batch: the ranges of one doorbell or of one poll.
 *
 * Two lists of line-aligned ranges: those to be written back, and those to be written back and
 * invalidated. Adding appends, or lengthens the range added last, which catches buffers that lie one
 * after the other. Flushing sorts each list (only if it came out of order), merges what touches, and
 * walks both side by side: invalidations go out whole, write-backs without the lines that an
 * invalidation covers, since that writes back too. So every line gets exactly one operation.
 *
 * Lines that the shadow knows to be clean (shadow.h) are not added on their way to the device. They
 * need no fence either: whoever made them clean has fenced.
 *
 * A batch of more lines than the planner calls small may be left to others, if the process has any: it
 * becomes a flight (flight.c), and the lists are free for the next batch at once.
 *
 * When a list is full, the batch is flushed early: line operations now, the fence with the commit.
 * So does the first range to the device, if it is of some size: its lines are on their way while the
 * caller is still making the command, instead of waiting for the list to be gone through. A line that
 * is added again gets an operation again, since something may have been stored beside it meanwhile;
 * which is why short ranges wait, as descriptors do that share a line.
 *
 * Ranges of both ways may be in one batch. One fence at the commit serves both: fence_for_cpu as soon
 * as anything is taken back, for it orders later stores as well.
 *
 * No allocation, no lock, no system call after the creation: the sort works in place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "engine.h"
#include "flusher.h"

#define MAX_RANGES 65536u
/* A first range of so many lines does not wait for the commit. */
#define EARLY_LINES 16u

struct range {
	uintptr_t first;
	uintptr_t end; /* exclusive; both line aligned */
};

struct range_list {
	struct range *ranges;
	unsigned count;
	bool sorted; /* by first, and nothing touches */
};

struct nsdk_flush_batch {
	struct nsdk_flush_batch_head head; /* must be first */
	bool acquire;   /* a range was taken back since the last acquire_for_cpu() */
	bool for_cpu;   /* … since the last fence */
	bool unfenced;  /* line operations went out since the last fence */

	/* What nsdk_flush_batch_for_device() looks at for a page that is clean as a whole. */
	uint64_t shadow_pages;     /* of the shadow, and where they are */
	struct nsdk_shadow shadow; /* the engine's: what is known to be clean is not added */
	uint64_t bytes_clean;      /* passed over since the last commit */

	unsigned max_ranges;
	uint64_t lines;       /* added since the last flush; overlaps count twice */
	uint64_t large_lines; /* from so many on it is worth planning; UINT64_MAX: nothing to plan with */
	uint64_t early_span;  /* so many lengths from EARLY_LINES on are sent early */
	struct nsdk_flight *flight; /* NULL: nothing to plan with */
	const struct nsdk_line_ops *ops;
	struct range_list writeback;
	struct range_list invalidate;

	/* Written by the owner at every commit, read by whoever asks: a line of its own, so that asking
	 * does not take the lines above from the owner. */
	struct nsdk_coherence_counts counts __attribute__((aligned(NSDK_LINE_BYTES)));

	struct nsdk_coherence *coh __attribute__((aligned(NSDK_LINE_BYTES)));
	LIST_ENTRY(nsdk_flush_batch) link;
};

_Static_assert(offsetof(struct nsdk_flush_batch, head) == 0, "nsdk_flush_batch_active() looks there");

/* Batches of @p lines and more are planned; a range that alone is as large is not sent early. */
static void plan_from(struct nsdk_flush_batch *batch, uint64_t lines)
{
	batch->large_lines = lines;
	batch->early_span = lines > EARLY_LINES ? lines - EARLY_LINES : 0;
}

int nsdk_flush_batch_create(struct nsdk_coherence *coh, unsigned max_ranges,
			    struct nsdk_flush_batch **out)
{
	struct nsdk_flush_batch *batch;

	*out = NULL;
	if (max_ranges == 0 || max_ranges > MAX_RANGES)
		return nsdk_fail(-EINVAL, "coherence",
				 "a flush batch holds 1 to %u ranges, not %u", MAX_RANGES, max_ranges);
	batch = aligned_alloc(NSDK_LINE_BYTES, sizeof(*batch));
	if (!batch)
		goto no_memory;
	memset(batch, 0, sizeof(*batch));
	batch->head.active = coh->active;
	batch->max_ranges = max_ranges;
	batch->ops = coh->ops;
	batch->coh = coh;
	batch->writeback.sorted = true;
	batch->invalidate.sorted = true;
	if (coh->active) {
		batch->writeback.ranges = calloc(max_ranges, 2 * sizeof(struct range));
		if (!batch->writeback.ranges)
			goto free_batch;
		batch->invalidate.ranges = batch->writeback.ranges + max_ranges;
	}
	plan_from(batch, UINT64_MAX);
	if (coh->flusher) {
		plan_from(batch, nsdk_learner_threshold_lines(&coh->flusher->planner,
							      coh->flusher->crew != NULL));
		batch->flight = calloc(1, sizeof(*batch->flight));
		/* Each list as it is, and the write-backs cut by each of the invalidations. */
		if (!batch->flight ||
		    nsdk_flight_init(batch->flight, coh->flusher, coh->ops, coh->proves,
				     3 * max_ranges) != 0)
			goto free_ranges;
	}
	pthread_mutex_lock(&coh->lock);
	/* Together with the list: whoever changes the shadow changes it in all that are there. */
	nsdk_flush_batch_set_shadow(batch, &coh->shadow);
	LIST_INSERT_HEAD(&coh->batches, batch, link);
	pthread_mutex_unlock(&coh->lock);
	*out = batch;
	return 0;

free_ranges:
	free(batch->flight);
	free(batch->writeback.ranges);
free_batch:
	free(batch);
no_memory:
	return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush batch of %u ranges", max_ranges);
}

/* No more flights: the batch, or what they fly with, goes. */
static void drop_flight(struct nsdk_flush_batch *batch)
{
	if (!batch->flight)
		return;
	nsdk_flight_fini(batch->flight);
	free(batch->flight);
	batch->flight = NULL;
	plan_from(batch, UINT64_MAX);
}

void nsdk_flush_batch_destroy(struct nsdk_flush_batch *batch)
{
	struct nsdk_coherence *coh;

	if (!batch)
		return;
	drop_flight(batch);
	coh = batch->coh;
	if (coh) {
		pthread_mutex_lock(&coh->lock);
		LIST_REMOVE(batch, link);
		nsdk_coherence_counts_add(&batch->counts, &coh->retired);
		pthread_mutex_unlock(&coh->lock);
	}
	free(batch->writeback.ranges);
	free(batch);
}

const struct nsdk_coherence_counts *nsdk_flush_batch_counts(const struct nsdk_flush_batch *batch)
{
	return &batch->counts;
}

struct nsdk_flush_batch *nsdk_flush_batch_next(const struct nsdk_flush_batch *batch)
{
	return LIST_NEXT(batch, link);
}

void nsdk_flush_batch_orphan(struct nsdk_flush_batch *batch)
{
	static const struct nsdk_shadow nothing;

	drop_flight(batch);
	batch->coh = NULL;
	nsdk_flush_batch_set_shadow(batch, &nothing);
}

void nsdk_flush_batch_set_shadow(struct nsdk_flush_batch *batch, const struct nsdk_shadow *shadow)
{
	batch->shadow = *shadow;
	batch->shadow_pages = shadow->bytes >> NSDK_SHADOW_SHIFT;
}

/* One writer, so a load and a store do; no locked instruction. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* Shell sort: in place, no recursion, and nearly linear on what is nearly sorted. */
static void sort(struct range *ranges, unsigned count)
{
	static const unsigned short gaps[] = { 29524, 9841, 3280, 1093, 364, 121, 40, 13, 4, 1 };

	for (unsigned g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		unsigned gap = gaps[g];

		for (unsigned i = gap; i < count; i++) {
			struct range moved = ranges[i];
			unsigned at = i;

			for (; at >= gap && ranges[at - gap].first > moved.first; at -= gap)
				ranges[at] = ranges[at - gap];
			ranges[at] = moved;
		}
	}
}

/* Bring a list into order, without overlaps and without neighbours that touch. */
static void tidy(struct range_list *list)
{
	struct range *ranges = list->ranges;
	unsigned kept = 0;

	if (list->sorted)
		return;
	sort(ranges, list->count);
	for (unsigned i = 1; i < list->count; i++) {
		if (ranges[i].first > ranges[kept].end)
			ranges[++kept] = ranges[i];
		else if (ranges[i].end > ranges[kept].end)
			ranges[kept].end = ranges[i].end;
	}
	list->count = kept + 1;
	list->sorted = true;
}

/* Put one piece where it goes: to the line operations, or with what takes off. @return its lines. */
static uint64_t put(struct nsdk_flush_batch *batch, struct nsdk_flight *flight, uintptr_t first,
		    uintptr_t end, bool invalidate)
{
	size_t lines = (end - first) / NSDK_LINE_BYTES;

	if (flight)
		nsdk_flight_add(flight, first, end, invalidate);
	else if (invalidate)
		batch->ops->writeback_invalidate((const void *)first, lines);
	else
		batch->ops->writeback((const void *)first, lines);
	return lines;
}

static uint64_t invalidate_all(struct nsdk_flush_batch *batch, struct nsdk_flight *flight)
{
	const struct range_list *list = &batch->invalidate;
	uint64_t sum = 0;

	for (unsigned i = 0; i < list->count; i++)
		sum += put(batch, flight, list->ranges[i].first, list->ranges[i].end, true);
	return sum;
}

/* The write-backs, less what the invalidations cover. Both lists are tidy. */
static uint64_t write_back_rest(struct nsdk_flush_batch *batch, struct nsdk_flight *flight)
{
	const struct range_list *list = &batch->writeback, *covered = &batch->invalidate;
	uint64_t sum = 0;
	unsigned c = 0;

	for (unsigned i = 0; i < list->count; i++) {
		uintptr_t first = list->ranges[i].first, end = list->ranges[i].end;

		/* An invalidation that ends before this range ends before all that follow. */
		while (c < covered->count && covered->ranges[c].end <= first)
			c++;
		for (unsigned k = c; k < covered->count && covered->ranges[k].first < end; k++) {
			if (first < covered->ranges[k].first)
				sum += put(batch, flight, first, covered->ranges[k].first, false);
			first = covered->ranges[k].end;
		}
		if (first < end)
			sum += put(batch, flight, first, end, false);
	}
	return sum;
}

/* The line operations of all that was added. No fence. */
static void flush(struct nsdk_flush_batch *batch)
{
	tidy(&batch->writeback);
	tidy(&batch->invalidate);
	if (batch->acquire) {
		/* The load of the completion before the invalidations, against the device's writes. */
		batch->ops->acquire_for_cpu();
		batch->acquire = false;
	}
	count(&batch->counts.lines_invalidated, invalidate_all(batch, NULL));
	count(&batch->counts.lines_written_back, write_back_rest(batch, NULL));
	batch->writeback.count = 0;
	batch->invalidate.count = 0;
	batch->lines = 0;
	batch->unfenced = true;
}

/*
 * The short way for one range that goes to the device, as flush(): nothing to sort, nothing to merge,
 * so its lines are under way within a few instructions. @return whether it was that.
 */
static bool flush_single(struct nsdk_flush_batch *batch)
{
	bool writeback = batch->writeback.count == 1;
	const struct range *only = writeback ? batch->writeback.ranges : batch->invalidate.ranges;
	size_t lines;

	if (batch->writeback.count + batch->invalidate.count != 1 || batch->acquire)
		return false;
	lines = (only->end - only->first) / NSDK_LINE_BYTES;
	batch->unfenced = true;
	if (writeback) {
		batch->ops->writeback((const void *)only->first, lines);
		batch->writeback.count = 0;
		count(&batch->counts.lines_written_back, lines);
	} else {
		batch->ops->writeback_invalidate((const void *)only->first, lines);
		batch->invalidate.count = 0;
		count(&batch->counts.lines_invalidated, lines);
	}
	batch->lines = 0;
	return true;
}

static void add(struct nsdk_flush_batch *batch, struct range_list *list, uintptr_t first,
		uintptr_t end)
{
	struct range *last;

	batch->lines += (end - first) / NSDK_LINE_BYTES;
	if (list->count > 0) {
		last = &list->ranges[list->count - 1];
		if (first >= last->first && first <= last->end) {
			/* Only the end moves, and the last range has none behind it. */
			if (end > last->end)
				last->end = end;
			return;
		}
		if (list->count == batch->max_ranges) {
			flush(batch);
			batch->lines = (end - first) / NSDK_LINE_BYTES;
		} else if (first < last->first) {
			list->sorted = false;
		}
	}
	list->ranges[list->count++] = (struct range){ first, end };
}

/* Lines that go to the device, whatever is known of them: those that may be dirty are added. */
__attribute__((noinline)) static void add_unclean(struct nsdk_flush_batch *batch, const void *va,
						  size_t bytes, enum nsdk_dma_dir dir)
{
	uintptr_t first = nsdk_line_floor(va), end = nsdk_line_ceil(va, bytes);
	/* From the device: a line left dirty would be evicted one day, over what the device wrote. */
	struct range_list *list = dir == NSDK_DMA_TO_DEVICE ? &batch->writeback : &batch->invalidate;
	uintptr_t clean = end - first, at, run_end;

	if (bytes == 0)
		return;
	/* The short way for a range in one page of which nothing is known to be clean. */
	if ((first ^ (end - 1)) < NSDK_SHADOW_PAGE_BYTES &&
	    nsdk_shadow_none_clean(&batch->shadow, first, end)) {
		add(batch, list, first, end);
		return;
	}
	for (at = first; (run_end = nsdk_shadow_next_run(&batch->shadow, &at, end)) != 0; at = run_end) {
		add(batch, list, at, run_end);
		clean -= run_end - at;
	}
	batch->bytes_clean += clean;
	if (dir != NSDK_DMA_TO_DEVICE)
		/* What the device writes is not ours to vouch for. */
		nsdk_shadow_mark_dirty(&batch->shadow, first, end);
}

/* Whether no line is known to be clean, as far as that can be told at a glance. */
static bool none_clean(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	/* Behind the shadow or in front of it, or in one page. */
	if (first - shadow->va >= shadow->bytes && (first >= shadow->va || end <= shadow->va))
		return true;
	return (first ^ (end - 1)) < NSDK_SHADOW_PAGE_BYTES && nsdk_shadow_none_clean(shadow, first, end);
}

/*
 * A first range of some size: its line operations now, the fence with the commit. Short on purpose, as
 * every instruction in front of the first line is time in which nothing moves.
 */
__attribute__((noinline)) static void give(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
					   enum nsdk_dma_dir dir)
{
	uintptr_t first = nsdk_line_floor(va), end = nsdk_line_ceil(va, bytes);
	size_t lines = (end - first) / NSDK_LINE_BYTES;

	/* Of fewer than EARLY_LINES the difference is a large one. */
	if (lines - EARLY_LINES >= batch->early_span || (batch->lines | batch->unfenced) ||
	    !none_clean(&batch->shadow, first, end)) {
		add_unclean(batch, va, bytes, dir);
	} else if (dir == NSDK_DMA_TO_DEVICE) {
		batch->ops->writeback((const void *)first, lines);
		batch->unfenced = true;
		count(&batch->counts.lines_written_back, lines);
	} else {
		/* What add_unclean() says of lines left dirty. */
		batch->ops->writeback_invalidate((const void *)first, lines);
		batch->unfenced = true;
		count(&batch->counts.lines_invalidated, lines);
	}
}

void nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				 enum nsdk_dma_dir dir)
{
	uint64_t page;

	if (__builtin_expect(!batch->head.active, 1))
		return;
	/*
	 * The short way for a whole page that is clean. Rotated, an address that is not page aligned
	 * has its low bits on top, so one comparison says no to that and to what is outside.
	 */
	page = (uintptr_t)va - batch->shadow.va;
	page = page >> NSDK_SHADOW_SHIFT | page << (64 - NSDK_SHADOW_SHIFT);
	if (dir == NSDK_DMA_TO_DEVICE && bytes == NSDK_SHADOW_PAGE_BYTES && page < batch->shadow_pages &&
	    atomic_load_explicit(&batch->shadow.clean[page], memory_order_relaxed) ==
		    UINT64_MAX) {
		batch->bytes_clean += NSDK_SHADOW_PAGE_BYTES;
		return;
	}
	give(batch, va, bytes, dir);
}

void nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
			      enum nsdk_dma_dir dir)
{
	if (__builtin_expect(!batch->head.active, 1) || bytes == 0)
		return;
	if (dir == NSDK_DMA_TO_DEVICE) {
		/* The device only read: what the cache holds is still what memory holds. */
		count(&batch->counts.bytes_skipped_clean, bytes);
		nsdk_shadow_own(&batch->shadow, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
		return;
	}
	/* The CPU may have prefetched the lines while the device had not written them yet. */
	add(batch, &batch->invalidate, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
	/* With the commit it is this thread's, to store to as well. */
	nsdk_shadow_own(&batch->shadow, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
	batch->acquire = true;
	batch->for_cpu = true;
}

/* The line operations of what has been added, on this CPU, and the one fence. */
static void clean_here(struct nsdk_flush_batch *batch)
{
	bool for_cpu;

	/* Most polls bring nothing. Lines are counted where they are added, so none: no range. */
	if (!(batch->bytes_clean | batch->lines | batch->unfenced))
		return;
	if (batch->lines && !flush_single(batch))
		flush(batch);
	if (batch->bytes_clean) {
		count(&batch->counts.bytes_skipped_clean, batch->bytes_clean);
		batch->bytes_clean = 0;
	}
	if (!batch->unfenced)
		return;
	for_cpu = batch->for_cpu;
	batch->for_cpu = false;
	batch->unfenced = false;
	/* Counted ahead of the fence, while the lines are on their way: behind it, it would cost time. */
	count(&batch->counts.batches, 1);
	/*
	 * The one fence. To the device: the lines are in memory before the doorbell that the caller
	 * writes next. Back: the stale lines are gone before the caller's first load of the data.
	 */
	if (for_cpu)
		batch->ops->fence_for_cpu();
	else
		batch->ops->fence_for_device();
}

/* What has landed did which lines, by what. */
static void landed(struct nsdk_flush_batch *batch)
{
	const struct nsdk_flight *flight = batch->flight;

	count(&batch->counts.batches, 1);
	if (flight->wbinvd) {
		count(&batch->counts.wbinvd, flight->wbinvd);
		return;
	}
	count(&batch->counts.lines_written_back, flight->lines[0]);
	count(&batch->counts.lines_invalidated, flight->lines[1]);
	if (flight->shared)
		count(&batch->counts.batches_shared, 1);
	if (flight->tried)
		count(&batch->counts.batches_tried, 1);
}

/*
 * A large batch. @return whether it flies; if not, it is clean.
 *
 * Lines that went out early, from a list that was full, wait for their fence. The one that ends the
 * flight is executed on this thread too, and is of the kind that they need.
 */
__attribute__((noinline)) static bool take_off(struct nsdk_flush_batch *batch)
{
	struct nsdk_flight *flight = batch->flight;

	tidy(&batch->writeback);
	tidy(&batch->invalidate);
	nsdk_flight_clear(flight, batch->for_cpu);
	(void)invalidate_all(batch, flight);
	(void)write_back_rest(batch, flight);
	if (!nsdk_flight_start(flight, &batch->shadow)) {
		clean_here(batch);
		nsdk_flight_done_here(flight);
		if (flight->tried)
			count(&batch->counts.batches_tried, 1);
		return false;
	}
	batch->writeback.count = 0;
	batch->invalidate.count = 0;
	batch->lines = 0;
	/* Orders the completion's load itself: a flight that takes back begins with an acquire. */
	batch->acquire = false;
	batch->for_cpu = false;
	batch->unfenced = false;
	return true;
}

static bool is_flying(const struct nsdk_flush_batch *batch)
{
	return batch->flight && batch->flight->flying;
}

bool nsdk_flush_batch_poll(struct nsdk_flush_batch *batch)
{
	if (!is_flying(batch))
		return true;
	if (!nsdk_flight_poll(batch->flight))
		return false;
	landed(batch);
	return true;
}

bool nsdk_flush_batch_begin(struct nsdk_flush_batch *batch)
{
	if (__builtin_expect(!batch->head.active, 1))
		return true;
	if (is_flying(batch))
		return false;
	if (batch->lines >= batch->large_lines && take_off(batch))
		return nsdk_flush_batch_poll(batch);
	clean_here(batch);
	return true;
}

/* All of it, waited for. */
__attribute__((noinline)) static void commit_large(struct nsdk_flush_batch *batch)
{
	if (is_flying(batch)) {
		nsdk_flight_finish(batch->flight);
		landed(batch);
	}
	if (batch->lines >= batch->large_lines && take_off(batch)) {
		nsdk_flight_finish(batch->flight);
		landed(batch);
	}
	clean_here(batch);
}

void nsdk_flush_batch_commit(struct nsdk_flush_batch *batch)
{
	if (__builtin_expect(!batch->head.active, 1))
		return;
	if (__builtin_expect(batch->flight != NULL, 0))
		commit_large(batch);
	else
		clean_here(batch);
}
