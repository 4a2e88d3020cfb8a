/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line operations of the model, as the engine sees them: one more table beside the CPU's.
 *
 * An operation waits in a list of its thread until that thread's next fence; the adversary may let it
 * take effect at once. That is what CLWB and CLFLUSHOPT do on a CPU: they are done some time between
 * the instruction and the fence. When the thread never fences, they may never have happened.
 *
 * Only a fence for the CPU, after an acquire for the CPU, makes the CPU's later loads see what the
 * device wrote; the other fence orders stores alone. emu_cache_line_fenced() keeps account of that.
 */
#include <stdlib.h>
#include <string.h>

#include "cache_internal.h"
#include "lib/coherence/coherence_internal.h"

/* Lines of one page. */
struct waiting {
	uintptr_t page_va;
	uint64_t lines;
	bool invalidate;
	bool acquired;
	bool done; /* the adversary was early; only the fence's part is left */
};

struct thread_ops {
	struct waiting *list;
	size_t count, room;
	bool acquired;
	uint64_t life; /* of the model */
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_valid;
static _Atomic uint64_t model_life;

static void free_ops(void *arg)
{
	struct thread_ops *ops = arg;

	free(ops->list);
	free(ops);
}

static void make_key(void)
{
	key_valid = pthread_key_create(&key, free_ops) == 0;
}

/* NULL: no memory; operations then take effect at once, which a cache may do. */
static struct thread_ops *my_ops(void)
{
	struct thread_ops *ops;
	uint64_t life = atomic_load_explicit(&model_life, memory_order_relaxed);

	pthread_once(&key_once, make_key);
	if (!key_valid)
		return NULL;
	ops = pthread_getspecific(key);
	if (!ops) {
		ops = calloc(1, sizeof(*ops));
		if (ops && pthread_setspecific(key, ops) != 0) {
			free(ops);
			ops = NULL;
		}
		if (!ops)
			return NULL;
	}
	if (ops->life != life) {
		ops->count = 0;
		ops->acquired = false;
		ops->life = life;
	}
	return ops;
}

void emu_cache_ops_forget(void)
{
	atomic_fetch_add_explicit(&model_life, 1, memory_order_relaxed);
}

static bool push(struct thread_ops *ops, const struct waiting *op)
{
	struct waiting *list;
	size_t room;

	if (ops->count == ops->room) {
		room = ops->room ? 2 * ops->room : 256;
		list = realloc(ops->list, room * sizeof(*list));
		if (!list)
			return false;
		ops->list = list;
		ops->room = room;
	}
	ops->list[ops->count++] = *op;
	return true;
}

/* The page's shard is locked. */
static void line_by_line(struct emu_cache_page *page, const struct waiting *op)
{
	struct emu_cache_actor actor = {
		.owner = "the CPU",
		.operation = op->invalidate ? "invalidation" : "write-back",
	};

	/* A fresh page flushed as a whole, as they are by the thousand: no image is needed. */
	if (!page->image && op->lines == UINT64_MAX && emu_cache_live_is_zero(page->va))
		page->zero = true;
	if ((page->zero && !page->image && emu_cache_live_is_zero(page->va)) ||
	    !emu_cache_page_image(page))
		return;
	for (uint64_t left = op->lines; left != 0; left &= left - 1) {
		unsigned line = (unsigned)__builtin_ctzll(left);

		if (op->invalidate)
			emu_cache_line_invalidate(page, line, op->acquired, &actor);
		else
			emu_cache_line_writeback(page, line, &actor);
	}
}

/* The page's shard is locked. */
static void take_effect(struct emu_cache_page *page, const struct waiting *op)
{
	/* In memory now, so dirty in no CPU's cache until somebody says that he stored again. */
	for (uint64_t left = page->stored_by ? op->lines : 0; left != 0; left &= left - 1)
		page->stored_by[__builtin_ctzll(left)] = 0;
	line_by_line(page, op);
}

/* The page's shard is locked. */
static void fenced(struct emu_cache_page *page, const struct waiting *op, bool for_cpu)
{
	if (!op->done)
		take_effect(page, op);
	page->pending &= ~op->lines;
	if (!for_cpu || !page->image)
		return;
	for (uint64_t left = op->lines; left != 0; left &= left - 1)
		emu_cache_line_fenced(page, (unsigned)__builtin_ctzll(left),
				      op->invalidate && op->acquired);
}

enum operation { WRITEBACK, INVALIDATE, STREAM };

static void operate(uintptr_t page_va, uint64_t lines, enum operation operation)
{
	/* A page that no device can reach yet is remembered too: it may be a fresh one. */
	struct emu_cache_page *page = emu_cache_page_lock(page_va, true);
	struct thread_ops *ops = my_ops();
	struct waiting op = {
		.page_va = page_va,
		.lines = lines,
		.invalidate = operation == INVALIDATE,
		.acquired = ops && ops->acquired,
	};

	if (!page)
		goto unlock;
	if (operation == STREAM)
		page->streamed |= lines;
	else
		page->streamed &= ~lines;
	op.done = emu_cache_adversary_says(8);
	if (op.done)
		take_effect(page, &op);
	if (ops && push(ops, &op))
		page->pending |= lines;
	else
		fenced(page, &op, true);
unlock:
	emu_cache_page_unlock(page_va);
}

/* ---- Memory that is in no cache ---- */

/* So many BARs at a time; more are not watched. */
#define MAX_UNCACHED 64u

static pthread_mutex_t uncached_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uintptr_t va;
	size_t bytes; /* 0: free */
} uncached[MAX_UNCACHED];
static atomic_uint uncached_count;

void nsdk_cache_model_uncached(const volatile void *va, size_t bytes, bool is_uncached)
{
	pthread_mutex_lock(&uncached_lock);
	for (unsigned i = 0; i < MAX_UNCACHED; i++) {
		if (is_uncached ? uncached[i].bytes != 0 : uncached[i].va != (uintptr_t)va)
			continue;
		uncached[i].va = is_uncached ? (uintptr_t)va : 0;
		uncached[i].bytes = is_uncached ? bytes : 0;
		uncached_count += is_uncached ? 1u : -1u;
		break;
	}
	pthread_mutex_unlock(&uncached_lock);
}

/* @return whether these lines begin in such memory, and then that has been reported. */
static bool is_uncached(uintptr_t at, size_t lines, bool invalidate)
{
	struct emu_cache_actor actor = {
		.owner = "the CPU",
		.operation = invalidate ? "invalidation" : "write-back",
	};
	uintptr_t region = 0;

	if (atomic_load_explicit(&uncached_count, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&uncached_lock);
	for (unsigned i = 0; i < MAX_UNCACHED && region == 0; i++)
		if (at - uncached[i].va < uncached[i].bytes)
			region = uncached[i].va;
	pthread_mutex_unlock(&uncached_lock);
	for (; region != 0 && lines > 0; lines--, at += NSDK_LINE_BYTES) {
		struct emu_cache_page page = { .va = at, .region = region };

		emu_cache_report(&actor, "the CPU", NSDK_VIOLATION_UNCACHED, &page, 0,
				 "nothing: there is nothing to write back or to drop");
	}
	return region != 0;
}

static void operate_range(const void *va, size_t lines, enum operation operation)
{
	uintptr_t at = (uintptr_t)va, page_va;

	emu_cache_count(operation == INVALIDATE ? EMU_CACHE_INVALIDATES : EMU_CACHE_WRITEBACKS, lines);
	if (!emu_cache_enter())
		return;
	if (is_uncached(at, lines, operation == INVALIDATE)) {
		emu_cache_leave();
		return;
	}
	emu_cache_adversary_notes(at);
	while (lines > 0) {
		unsigned first = at % EMU_CACHE_PAGE_BYTES / NSDK_LINE_BYTES;
		size_t n = EMU_CACHE_PAGE_LINES - first;

		if (n > lines)
			n = lines;
		page_va = at - at % EMU_CACHE_PAGE_BYTES;
		operate(page_va, (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << first, operation);
		at += n * NSDK_LINE_BYTES;
		lines -= n;
	}
	emu_cache_leave();
}

static void model_writeback(const void *va, size_t lines)
{
	operate_range(va, lines, WRITEBACK);
}

static void model_writeback_invalidate(const void *va, size_t lines)
{
	operate_range(va, lines, INVALIDATE);
}

static void model_acquire_for_cpu(void)
{
	struct thread_ops *ops = my_ops();

	if (ops)
		ops->acquired = true;
}

static void fence(bool for_cpu)
{
	struct thread_ops *ops;

	emu_cache_count(EMU_CACHE_FENCES, 1);
	ops = my_ops();
	if (!emu_cache_enter()) {
		if (ops)
			ops->acquired = false;
		return;
	}
	if (ops) {
		for (size_t i = 0; i < ops->count; i++) {
			/* NULL: unmapped since then, and perhaps not there any more. */
			struct emu_cache_page *page =
				emu_cache_page_lock(ops->list[i].page_va, false);

			if (page)
				fenced(page, &ops->list[i], for_cpu);
			emu_cache_page_unlock(ops->list[i].page_va);
		}
		ops->count = 0;
		ops->acquired = false;
	}
	emu_cache_adversary_turn();
	emu_cache_leave();
}

static void model_fence_for_device(void)
{
	fence(false);
}

static void model_fence_for_cpu(void)
{
	fence(true);
}

/* Stores past the caches: in memory by the next fence, at the latest. */
static void model_copy(void *to, const void *from, size_t lines)
{
	memcpy(to, from, lines * NSDK_LINE_BYTES);
	operate_range(to, lines, STREAM);
}

static void model_fill(void *to, int byte, size_t lines)
{
	memset(to, byte, lines * NSDK_LINE_BYTES);
	operate_range(to, lines, STREAM);
}

const struct nsdk_line_ops *nsdk_cache_model_line_ops(void)
{
	static const struct nsdk_line_ops ops = {
		.name = "cache model",
		.writeback = model_writeback,
		.writeback_invalidate = model_writeback_invalidate,
		.acquire_for_cpu = model_acquire_for_cpu,
		.fence_for_device = model_fence_for_device,
		.fence_for_cpu = model_fence_for_cpu,
		.copy = model_copy,
		.fill = model_fill,
	};

	return &ops;
}
