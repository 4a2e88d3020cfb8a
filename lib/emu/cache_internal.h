/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/emu/cache*.c: the cache model. Its essay is in cache.c. */
#ifndef NSDK_EMU_CACHE_INTERNAL_H
#define NSDK_EMU_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "emu_internal.h"

#define EMU_CACHE_PAGE_BYTES 4096u
#define EMU_CACHE_PAGE_LINES (EMU_CACHE_PAGE_BYTES / NSDK_LINE_BYTES)
#define EMU_CACHE_OWNER_CHARS sizeof(((struct nsdk_violation *)0)->owner)

_Static_assert(NSDK_LINE_BYTES == 64, "a byte of a line is a bit of a uint64_t");
_Static_assert(EMU_CACHE_PAGE_LINES == 64, "a line of a page is a bit of a uint64_t");

/* One line, beside its bytes. The counts may wrap; they are compared by their differences. */
struct emu_cache_line {
	uint64_t device;   /* bytes that no-snoop writes put into memory and the cached copy lacks */
	uint32_t writes;   /* no-snoop writes so far */
	uint32_t seen;     /* of those, dropped from the cache by an acquired invalidation */
	uint32_t taken;    /* … and fenced, so that the CPU's loads come after */
	uint32_t consumed; /* how many the device has seen the host make use of */
	uint32_t ahead;    /* of those, how many it has yet to see: they were counted together */
	/* For lines that several transfers share, byte by byte; "dropped" means with a fence. */
	uint64_t used;          /* the host made use of them, and cannot have dropped them since */
	uint64_t ready;         /* when they were last written they were not used */
	uint64_t shown;         /* the CPU sees them because of a drop whose fence is yet to come */
	uint64_t dropped_once;  /* since the CPU could see what was last written there */
	uint64_t dropped_twice;
	uint8_t owner_chars;
	char owner[EMU_CACHE_OWNER_CHARS]; /* who wrote last */
};

/* What the model knows of a page line by line. */
struct emu_cache_image {
	uint8_t dram[EMU_CACHE_PAGE_BYTES];   /* what memory holds */
	uint8_t agreed[EMU_CACHE_PAGE_BYTES]; /* what cache and memory held when they last agreed */
	uint64_t fresh; /* lines whose memory nobody has written yet */
	struct emu_cache_line lines[EMU_CACHE_PAGE_LINES];
};

struct emu_cache_page {
	uintptr_t va;
	uintptr_t region; /* start of the mapped region it is in */
	unsigned maps;    /* how many mapped regions it is in; 0: only line operations met it so far */
	/* Without an image all lines are clean with zeroes in memory, or all fresh. */
	bool zero;
	struct emu_cache_image *image;
	uint64_t pending; /* lines with operations that no fence has followed */
	uint64_t streamed; /* lines whose last operation was a store past the caches */
	uint16_t *stored_by; /* for each line: CPU whose cache has it dirty, plus 1; NULL: nobody said */
};

/* ---- The CPU's view: the application's own memory (cache_live.c) ---- */

void emu_cache_live_line(uintptr_t va, uint64_t out[8]);
bool emu_cache_live_is_zero(uintptr_t page_va);
/* The bytes of a line that differ from these, a bit each. */
uint64_t emu_cache_live_differ(uintptr_t va, const uint8_t *with);
/*
 * Replace words that still are what was @p agreed on, so that a store of the application is never lost, and
 * agree on them. @return of @p bytes those whose words were stored to.
 */
uint64_t emu_cache_live_refresh(uintptr_t va, uint8_t *agreed, const uint8_t *dram, uint64_t bytes);
/* DMA that is snooped. Bytes appear in ascending order, the last aligned unit with release order. */
void emu_cache_live_read(void *to, const void *from, size_t bytes);
void emu_cache_live_write(void *to, const void *from, size_t bytes);

/* ---- From address to page (cache_table.c) ---- */

/*
 * Lock the shard of a page and find it. @p create makes a page that is not known. @return NULL: not
 * known, or no memory; the shard is locked all the same.
 */
struct emu_cache_page *emu_cache_page_lock(uintptr_t va, bool create);
void emu_cache_page_unlock(uintptr_t va);
/* Forget a page. Its shard is locked. */
void emu_cache_page_drop(struct emu_cache_page *page);
/* Call @p visit for each page there is, its shard locked. */
void emu_cache_for_each_page(void (*visit)(struct emu_cache_page *page, void *arg), void *arg);
/* Forget all of them. Nobody is inside the model. */
void emu_cache_table_clear(void);
/* The page's image, made if it has none; NULL: no memory, then the page is treated as snooped. */
struct emu_cache_image *emu_cache_page_image(struct emu_cache_page *page);

/* ---- Violations and counts (cache_report.c); in words (cache_text.c) ---- */

/* How many violations are kept in full. */
#define EMU_CACHE_KEPT 64u

/* Who is at work, and what was reported for it last, so that a run of lines is kept as one. */
struct emu_cache_actor {
	const char *owner;
	size_t owner_chars; /* what a line keeps of it; 0: not counted yet */
	const char *operation;
	enum nsdk_violation_kind last_kind;
	uintptr_t last_va; /* 0: nothing yet */
};

void emu_cache_report(struct emu_cache_actor *actor, const char *owner,
		      enum nsdk_violation_kind kind, const struct emu_cache_page *page,
		      unsigned line, const char *missing);

enum emu_cache_count {
	EMU_CACHE_DEVICE_READS,
	EMU_CACHE_DEVICE_WRITES,
	EMU_CACHE_WRITEBACKS,
	EMU_CACHE_INVALIDATES,
	EMU_CACHE_FENCES,
	EMU_CACHE_EVICTIONS,
	EMU_CACHE_PREFETCHES,
	EMU_CACHE_COUNTS
};
void emu_cache_count(enum emu_cache_count which, uint64_t n);

/* ---- What happens to one line (cache_line.c). The page's shard is locked, the image exists. ---- */

/* A dirty line goes to memory. */
void emu_cache_line_writeback(struct emu_cache_page *page, unsigned line,
			      struct emu_cache_actor *actor);
/* Then it is dropped from the cache: the CPU sees memory. @p acquired: after an acquire_for_cpu(). */
void emu_cache_line_invalidate(struct emu_cache_page *page, unsigned line, bool acquired,
			       struct emu_cache_actor *actor);
/* The CPU happened not to hold the line, or to lose it: it sees memory, unless the line is dirty. */
void emu_cache_line_refresh(struct emu_cache_page *page, unsigned line);
bool emu_cache_line_is_dirty(const struct emu_cache_page *page, unsigned line);
/* The device's access to [offset, bytes) inside one line. */
void emu_cache_line_read(struct emu_cache_page *page, unsigned line, unsigned offset, unsigned bytes,
			 uint8_t *to, struct emu_cache_actor *actor);
void emu_cache_line_write(struct emu_cache_page *page, unsigned line, unsigned offset,
			  unsigned bytes, const uint8_t *from, struct emu_cache_actor *actor);
void emu_cache_line_write_snooped(struct emu_cache_page *page, unsigned line, unsigned offset,
				  unsigned bytes, const uint8_t *from);
void emu_cache_line_consumed(struct emu_cache_page *page, unsigned line,
			     struct emu_cache_actor *actor);
/* A fence for the CPU behind line operations. @p dropped: one was an acquired invalidation. */
void emu_cache_line_fenced(struct emu_cache_page *page, unsigned line, bool dropped);
void emu_cache_line_part_consumed(struct emu_cache_page *page, unsigned line, unsigned offset,
				  unsigned bytes, struct emu_cache_actor *actor);

/* ---- The adversary (cache_adversary.c) ---- */

void emu_cache_adversary_start(uint64_t seed);
uint64_t emu_cache_adversary_seed(void);
/* True once in @p one_in, at random. */
bool emu_cache_adversary_says(unsigned one_in);
/* A line that is worth its while. */
void emu_cache_adversary_notes(uintptr_t line_va);
/* One turn. No shard is locked. */
void emu_cache_adversary_turn(void);
/* What stands in fresh memory: somebody else's data. */
void emu_cache_adversary_garbage(uintptr_t va, uint8_t *out, size_t bytes);

/* ---- Line operations (cache_ops.c) ---- */

/* Operations that wait for a fence belong to a life of the model; this starts the next. */
void emu_cache_ops_forget(void);

/* ---- The model's life (cache.c): every entry from outside is between these two ---- */

/* False: there is no model now, and nothing to leave. */
bool emu_cache_enter(void);
void emu_cache_leave(void);

#endif
