/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cache model: memory behind the CPU's caches, for devices that bypass them.
 *
 * On hardware a missing flush shows as one corrupted line a year. Here it shows at once, with the
 * place and the missing call. There is one model in a process, as there is one memory; every
 * emulated device with no-snoop holds a reference and does its DMA through it.
 *
 * Model. What the application stores and loads is the CPU's view, "live". Beside it the model keeps,
 * for each line that a device can reach, what memory ("dram") holds, and what both held when they
 * last agreed. A line is dirty when live differs from that. Nothing traps the application's accesses:
 * the model compares whenever somebody asks.
 *
 *	device reads, no-snoop    from dram; under a dirty line that is a violation, and the device
 *	                          really gets the stale bytes
 *	device writes, no-snoop   to dram only; the CPU goes on seeing the old line
 *	snooped DMA               live and dram alike
 *	write-back                a dirty line goes to dram
 *	invalidate                the same, then the CPU sees dram
 *	mapped for the first time dram is garbage, unless the line was flushed before: so does a page
 *	                          look whose zeroes the kernel wrote to the cache only
 *	completion consumed       every line of the transfer must have been taken back by then
 *
 * What each missing call leads to:
 *
 *	write-back before a read      stale read by the device
 *	… or its fence                the same
 *	flush of a fresh page         the same, with garbage
 *	invalidate before a write     the line is still dirty, and goes over the device's data later
 *	invalidate after a write      stale read by the CPU, whether it sees old bytes or, by luck, new
 *	… or its fence, or acquire    the same
 *	two owners in one line        reported where one is dirty beside what the device writes
 *
 * The wrong bytes are delivered as well, so a test that verifies data fails too. A dirty line that
 * holds the same bytes as before is not seen as dirty; test data should differ.
 *
 * Threading. Any thread, any call. Pages are spread over locks by address (cache_table.c); the model
 * as a whole is locked only to end. The application's memory is read without a lock, as a cache
 * would, and stored to only where it still holds what the model believes (cache_live.c).
 *
 * Files. cache_line.c: what happens to a line. cache_ops.c: line operations and fences.
 * cache_adversary.c: chance. cache_report.c: violations. cache_table.c: address to page.
 *
 * cache_wbinvd.c: WBINVD, the one operation for which it matters which CPU stored to a line.
 *
 * Not a model of: size and ways of a cache, more than one CPU otherwise (line operations reach all of
 * them), timing.
 */
#include <time.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "cache_internal.h"

struct nsdk_cache_model {
	/*
	 * Written to start and end the model, read by every other call. Writers first, so that
	 * polling threads cannot keep the last reference from going; hence never read twice.
	 */
	pthread_rwlock_t life;
	unsigned references;
};

static struct nsdk_cache_model the_model = {
	.life = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
};

bool emu_cache_enter(void)
{
	pthread_rwlock_rdlock(&the_model.life);
	if (the_model.references > 0)
		return true;
	pthread_rwlock_unlock(&the_model.life);
	return false;
}

void emu_cache_leave(void)
{
	pthread_rwlock_unlock(&the_model.life);
}

int nsdk_cache_model_get(uint64_t seed, struct nsdk_cache_model **out)
{
	struct timespec now;
	bool chosen = seed == 0;

	if (chosen) {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = ((uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec) ^
		       (uint64_t)getpid() << 40;
		seed = seed % 1000000000u + 1; /* short enough to type */
	}
	pthread_rwlock_wrlock(&the_model.life);
	if (the_model.references++ == 0)
		emu_cache_adversary_start(seed);
	else
		chosen = false;
	seed = emu_cache_adversary_seed();
	pthread_rwlock_unlock(&the_model.life);
	nsdk_log(chosen ? NSDK_LOG_NOTICE : NSDK_LOG_INFO, "emu",
		 "cache model: the adversary's seed is %llu; seed=%llu repeats its choices",
		 (unsigned long long)seed, (unsigned long long)seed);
	*out = &the_model;
	return 0;
}

void nsdk_cache_model_put(struct nsdk_cache_model *model)
{
	if (!model)
		return;
	pthread_rwlock_wrlock(&model->life);
	if (--model->references == 0) {
		emu_cache_table_clear();
		emu_cache_ops_forget();
	}
	pthread_rwlock_unlock(&model->life);
}

void nsdk_cache_model_map(struct nsdk_cache_model *model, void *va, size_t bytes)
{
	uintptr_t region = (uintptr_t)va;
	uintptr_t end = region + bytes;

	if (!emu_cache_enter())
		return;
	for (uintptr_t at = region - region % EMU_CACHE_PAGE_BYTES; at < end;
	     at += EMU_CACHE_PAGE_BYTES) {
		struct emu_cache_page *page = emu_cache_page_lock(at, true);

		if (page && page->maps++ == 0)
			page->region = region;
		emu_cache_page_unlock(at);
	}
	emu_cache_leave();
}

void nsdk_cache_model_unmap(struct nsdk_cache_model *model, void *va, size_t bytes)
{
	uintptr_t end = (uintptr_t)va + bytes;

	if (!emu_cache_enter())
		return;
	for (uintptr_t at = (uintptr_t)va - (uintptr_t)va % EMU_CACHE_PAGE_BYTES; at < end;
	     at += EMU_CACHE_PAGE_BYTES) {
		struct emu_cache_page *page = emu_cache_page_lock(at, false);

		/* The memory may go away as soon as we return, so nothing of it is kept. */
		if (page && page->maps > 0 && --page->maps == 0)
			emu_cache_page_drop(page);
		emu_cache_page_unlock(at);
	}
	emu_cache_leave();
}

/* Whether the model keeps the lines of this page. Its shard is locked. */
static bool is_kept(struct emu_cache_page *page)
{
	return page && page->maps > 0 && emu_cache_page_image(page);
}

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_WRITE_SNOOPED, ACCESS_CONSUMED };

/* One access of a device inside one page, line by line. Its shard is locked. */
static void access_page(struct emu_cache_page *page, enum access access, uintptr_t va, uint8_t *data,
			size_t bytes, struct emu_cache_actor *actor)
{
	while (bytes > 0) {
		unsigned line = va % EMU_CACHE_PAGE_BYTES / NSDK_LINE_BYTES;
		unsigned offset = va % NSDK_LINE_BYTES;
		unsigned n = NSDK_LINE_BYTES - offset;

		if (n > bytes)
			n = (unsigned)bytes;
		switch (access) {
		case ACCESS_READ:
			emu_cache_line_read(page, line, offset, n, data, actor);
			break;
		case ACCESS_WRITE:
			emu_cache_line_write(page, line, offset, n, data, actor);
			break;
		case ACCESS_WRITE_SNOOPED:
			emu_cache_line_write_snooped(page, line, offset, n, data);
			break;
		case ACCESS_CONSUMED:
			if (n == NSDK_LINE_BYTES)
				emu_cache_line_consumed(page, line, actor);
			else
				emu_cache_line_part_consumed(page, line, offset, n, actor);
			break;
		}
		va += n;
		if (data)
			data += n;
		bytes -= n;
	}
}

static void access_range(enum access access, uintptr_t va, uint8_t *data, size_t bytes,
			 struct emu_cache_actor *actor)
{
	while (bytes > 0) {
		size_t n = EMU_CACHE_PAGE_BYTES - va % EMU_CACHE_PAGE_BYTES;
		struct emu_cache_page *page = emu_cache_page_lock(va, false);

		if (n > bytes)
			n = bytes;
		if (is_kept(page))
			access_page(page, access, va, data, n, actor);
		else if (access == ACCESS_READ)
			emu_cache_live_read(data, (const void *)va, n);
		else if (access != ACCESS_CONSUMED)
			emu_cache_live_write((void *)va, data, n);
		emu_cache_page_unlock(va);
		va += n;
		if (data)
			data += n;
		bytes -= n;
	}
}

/* Both ends and something between: overlooked syncs are mostly off at an end. */
static void note_range(uintptr_t va, size_t bytes)
{
	emu_cache_adversary_notes(va);
	if (bytes > NSDK_LINE_BYTES) {
		emu_cache_adversary_notes(va + bytes - 1);
		emu_cache_adversary_notes(va + bytes / 2);
	}
}

void nsdk_cache_model_read(struct nsdk_cache_model *model, const void *va, void *to, size_t bytes,
			   bool snoop, const char *owner)
{
	struct emu_cache_actor actor = { .owner = owner, .operation = "DMA read" };

	/* A snooped read finds the cache's copy, which is what the CPU sees. */
	if (snoop || !emu_cache_enter()) {
		emu_cache_live_read(to, va, bytes);
		return;
	}
	emu_cache_count(EMU_CACHE_DEVICE_READS, 1);
	access_range(ACCESS_READ, (uintptr_t)va, to, bytes, &actor);
	emu_cache_adversary_turn();
	emu_cache_leave();
}

void nsdk_cache_model_write(struct nsdk_cache_model *model, void *va, const void *from, size_t bytes,
			    bool snoop, const char *owner)
{
	struct emu_cache_actor actor = { .owner = owner, .operation = "DMA write" };

	if (!emu_cache_enter()) {
		emu_cache_live_write(va, from, bytes);
		return;
	}
	if (!snoop) {
		emu_cache_count(EMU_CACHE_DEVICE_WRITES, 1);
		note_range((uintptr_t)va, bytes);
	}
	access_range(snoop ? ACCESS_WRITE_SNOOPED : ACCESS_WRITE, (uintptr_t)va, (uint8_t *)from, bytes,
		     &actor);
	emu_cache_adversary_turn();
	emu_cache_leave();
}

void nsdk_cache_model_consumed(struct nsdk_cache_model *model, const void *va, size_t bytes,
			       const char *owner)
{
	struct emu_cache_actor actor = { .owner = owner, .operation = "completion consumed" };

	if (!emu_cache_enter())
		return;
	access_range(ACCESS_CONSUMED, (uintptr_t)va, NULL, bytes, &actor);
	emu_cache_leave();
}

void nsdk_cache_model_adversary(struct nsdk_cache_model *model)
{
	if (!emu_cache_enter())
		return;
	emu_cache_adversary_turn();
	emu_cache_leave();
}
