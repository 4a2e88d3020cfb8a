/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to one line. All of the model's physics is here.
 *
 * Three values: live, what the CPU sees (the application's own memory); dram, what memory holds;
 * agreed, what both held when they last did. A line is dirty when live differs from agreed. Bytes in
 * line->device are newer in dram than the CPU's copy; where there are none, dram equals agreed.
 */
#include <string.h>

#include "cache_internal.h"

/* Uses of one line, one after the other, that a device may be late in seeing. */
#define MAX_AHEAD 2u

#define MISSING_FENCE "the fence: nsdk_flush_batch_commit() was not called"
#define MISSING_FRESH "the flush of a fresh page before it was mapped"
#define MISSING_TO_DEVICE "nsdk_sync_for_device(TO_DEVICE) before the doorbell"
#define MISSING_FROM_DEVICE "nsdk_sync_for_device(FROM_DEVICE) before the doorbell"
#define MISSING_FOR_CPU "nsdk_sync_for_cpu(FROM_DEVICE) after the completion"
#define MISSING_DIRTY "nsdk_dma_dirty() before a store over nsdk_dma_copy_in()"
#define MISSING_LINES "a buffer of whole cache lines: nsdk_dma_alloc()"

static uint64_t bits(unsigned offset, unsigned bytes)
{
	return (bytes >= 64 ? UINT64_MAX : ((uint64_t)1 << bytes) - 1) << offset;
}

static const char *missing_before_doorbell(const struct emu_cache_page *page, unsigned line,
					   const char *sync)
{
	uint64_t bit = (uint64_t)1 << line;

	if (page->pending & bit)
		return MISSING_FENCE;
	if (page->image->fresh & bit)
		return MISSING_FRESH;
	return page->streamed & bit ? MISSING_DIRTY : sync;
}

static uintptr_t va_of(const struct emu_cache_page *page, unsigned line)
{
	return page->va + line * NSDK_LINE_BYTES;
}

static uint64_t dirty_bytes(const struct emu_cache_page *page, unsigned line)
{
	return emu_cache_live_differ(va_of(page, line), page->image->agreed + line * NSDK_LINE_BYTES);
}

bool emu_cache_line_is_dirty(const struct emu_cache_page *page, unsigned line)
{
	return dirty_bytes(page, line) != 0;
}

/* Apart, as most lines are clean, and room on the stack is dear where sanitizers watch it. */
__attribute__((noinline)) static void write_back(struct emu_cache_page *page, unsigned line,
						 struct emu_cache_actor *actor)
{
	struct emu_cache_image *image = page->image;
	struct emu_cache_line *state = &image->lines[line];
	uint64_t live[8], dirty;

	/* What is judged is what goes, whatever the CPU stores meanwhile. */
	emu_cache_live_line(va_of(page, line), live);
	dirty = emu_cache_live_differ((uintptr_t)live, image->agreed + line * NSDK_LINE_BYTES);
	if (!dirty)
		return;
	if (state->device) {
		/* The whole line goes, so what the device wrote is lost, whichever bytes are dirty. */
		if (dirty & state->device)
			emu_cache_report(actor, state->owner, NSDK_VIOLATION_LATE_WRITEBACK, page, line,
					 missing_before_doorbell(page, line, MISSING_FROM_DEVICE));
		else
			emu_cache_report(actor, state->owner, NSDK_VIOLATION_SHARED_LINE, page, line,
					 MISSING_LINES);
	}
	memcpy(image->dram + line * NSDK_LINE_BYTES, live, sizeof(live));
	memcpy(image->agreed + line * NSDK_LINE_BYTES, live, sizeof(live));
	state->device = 0;
	image->fresh &= ~((uint64_t)1 << line);
}

void emu_cache_line_writeback(struct emu_cache_page *page, unsigned line,
			      struct emu_cache_actor *actor)
{
	if (dirty_bytes(page, line))
		write_back(page, line, actor);
}

void emu_cache_line_refresh(struct emu_cache_page *page, unsigned line)
{
	struct emu_cache_line *state = &page->image->lines[line];

	if (state->device)
		state->device = emu_cache_live_refresh(va_of(page, line),
						       page->image->agreed + line * NSDK_LINE_BYTES,
						       page->image->dram + line * NSDK_LINE_BYTES,
						       state->device);
}

void emu_cache_line_invalidate(struct emu_cache_page *page, unsigned line, bool acquired,
			       struct emu_cache_actor *actor)
{
	struct emu_cache_line *state = &page->image->lines[line];
	uint64_t hidden;

	emu_cache_line_writeback(page, line, actor);
	hidden = state->device;
	emu_cache_line_refresh(page, line);
	state->shown |= hidden & ~state->device;
	/* Without the acquire the CPU may have dropped the line before the device wrote it. */
	if (acquired)
		state->seen = state->writes;
}

void emu_cache_line_read(struct emu_cache_page *page, unsigned line, unsigned offset, unsigned bytes,
			 uint8_t *to, struct emu_cache_actor *actor)
{
	const uint8_t *dram = page->image->dram + line * NSDK_LINE_BYTES;
	uint64_t dirty = dirty_bytes(page, line) & bits(offset, bytes);

	if (dirty && (dirty & emu_cache_live_differ(va_of(page, line), dram)))
		emu_cache_report(actor, actor->owner, NSDK_VIOLATION_STALE_DEVICE_READ, page, line,
				 missing_before_doorbell(page, line, MISSING_TO_DEVICE));
	memcpy(to, dram + offset, bytes);
}

/* Whether it was somebody else who wrote last. */
static bool is_another_owner(struct emu_cache_line *state, struct emu_cache_actor *actor)
{
	if (actor->owner_chars == 0)
		actor->owner_chars = strnlen(actor->owner, sizeof(state->owner) - 1);
	if (state->owner_chars == actor->owner_chars &&
	    memcmp(state->owner, actor->owner, actor->owner_chars) == 0)
		return false;
	state->owner_chars = (uint8_t)actor->owner_chars;
	memcpy(state->owner, actor->owner, actor->owner_chars);
	state->owner[actor->owner_chars] = '\0';
	return true;
}

void emu_cache_line_write(struct emu_cache_page *page, unsigned line, unsigned offset,
			  unsigned bytes, const uint8_t *from, struct emu_cache_actor *actor)
{
	struct emu_cache_line *state = &page->image->lines[line];
	uint64_t dirty = dirty_bytes(page, line), written = bits(offset, bytes);

	/*
	 * Dirty bytes beside the transfer are another owner's. Dirty bytes under it may yet do no
	 * harm, if they are dropped with nobody looking; they are reported when they are written back.
	 */
	if (dirty && !(dirty & written))
		emu_cache_report(actor, actor->owner, NSDK_VIOLATION_SHARED_LINE, page, line,
				 MISSING_LINES);
	memcpy(page->image->dram + line * NSDK_LINE_BYTES + offset, from, bytes);
	state->device |= written;
	state->ready = (state->ready & ~written) | (~state->used & written);
	state->shown &= ~written;
	state->dropped_once &= ~written;
	state->dropped_twice &= ~written;
	/* Another piece of a transfer that nobody has looked at yet is no other transfer. */
	if (is_another_owner(state, actor) || state->seen == state->writes)
		state->writes++;
	if (dirty)
		return;
	/*
	 * Did the CPU prefetch the line after it was given to the device? Mostly yes: that is what
	 * the second invalidation is for. But a program may not count on it, so sometimes no.
	 */
	if (emu_cache_adversary_says(4))
		emu_cache_line_refresh(page, line);
	else
		emu_cache_count(EMU_CACHE_PREFETCHES, 1);
}

void emu_cache_line_write_snooped(struct emu_cache_page *page, unsigned line, unsigned offset,
				  unsigned bytes, const uint8_t *from)
{
	size_t at = line * NSDK_LINE_BYTES + offset;

	memcpy(page->image->dram + at, from, bytes);
	memcpy(page->image->agreed + at, from, bytes);
	page->image->lines[line].device &= ~bits(offset, bytes);
	page->image->lines[line].used &= ~bits(offset, bytes);
	emu_cache_live_write((void *)(page->va + at), from, bytes);
}

/* a - b of counts that wrap. */
static int32_t ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/*
 * The host has made use of a transfer to this line. Which of several? A buffer may be given to the
 * device again, and be written again, before the host tells the device that it is done with the
 * first transfer. But it can only be given again after the first was taken back; so the n-th use
 * needs n writes taken back, and later writes do not matter.
 */
void emu_cache_line_consumed(struct emu_cache_page *page, unsigned line,
			     struct emu_cache_actor *actor)
{
	struct emu_cache_line *state = &page->image->lines[line];

	/*
	 * A device with a thread of its own may be late in seeing it. Then a few transfers were counted
	 * together, below, and this is one of them.
	 */
	if (state->ahead > 0) {
		state->ahead--;
		return;
	}
	if (state->taken == state->writes) {
		/* All are accounted for now, those whose use is never told of (they failed), too. */
		if (state->consumed != state->writes)
			state->ahead = state->writes - state->consumed - 1;
		if (state->ahead > MAX_AHEAD)
			state->ahead = MAX_AHEAD;
		state->consumed = state->writes;
		return;
	}
	if (state->consumed != state->writes)
		state->consumed++;
	if (ahead(state->taken, state->consumed) < 0)
		emu_cache_report(actor, actor->owner, NSDK_VIOLATION_STALE_CPU_READ, page, line,
				 page->pending & (uint64_t)1 << line ? MISSING_FENCE : MISSING_FOR_CPU);
}

void emu_cache_line_fenced(struct emu_cache_page *page, unsigned line, bool dropped)
{
	struct emu_cache_line *state = &page->image->lines[line];

	/* Loads come after the fence, and it comes after whatever was seen by now. */
	state->taken = state->seen;
	if (!dropped)
		return;
	state->used = 0;
	state->dropped_twice |= state->dropped_once;
	state->dropped_once |= ~(state->shown | state->device);
	state->shown = 0;
}

/*
 * The same for a part of a line whose other parts are transfers of their own: entries of a completion
 * queue. Here the host need not take a write back after it came: it drops the line, then looks, and
 * a look that finds the entry has found all of it, even if the device wrote it between the two. So
 * what counts is that the line was dropped at all since the host last used this part of it.
 *
 * When that was nobody knows but the host: after it could see the entry, and before the device hears
 * of it, which may be much later where another thread is the device; by then the host may have dropped
 * the line for its next look. So a drop between the two may count for the next use, but only if this
 * one can do without it: there was another between the two, or one between the last use and the write.
 */
void emu_cache_line_part_consumed(struct emu_cache_page *page, unsigned line, unsigned offset,
				  unsigned bytes, struct emu_cache_actor *actor)
{
	struct emu_cache_line *state = &page->image->lines[line];
	uint64_t part = bits(offset, bytes);
	uint64_t spare = state->dropped_twice | (state->dropped_once & state->ready);

	if ((state->used | state->device) & part)
		emu_cache_report(actor, actor->owner, NSDK_VIOLATION_STALE_CPU_READ, page, line,
				 page->pending & (uint64_t)1 << line ? MISSING_FENCE : MISSING_FOR_CPU);
	state->used = (state->used & ~part) | (part & ~spare);
}
