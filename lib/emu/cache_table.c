/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From an address to its page: a radix tree over 52 bits of address, 16 + 12 + 12 above the page.
 * Nodes are added without a lock and never taken away while the model lives. A page is looked up,
 * made, used and dropped under the lock of its shard.
 */
#include <stdlib.h>

#include <nsdk/log.h>

#include "cache_internal.h"

#define PAGE_SHIFT 12
#define NODE_BITS 12
#define TOP_BITS 16
#define VA_BITS (TOP_BITS + 2 * NODE_BITS + PAGE_SHIFT)
#define SHARDS 64u

struct leaf {
	struct emu_cache_page *pages[1u << NODE_BITS]; /* each under the lock of its shard */
};

struct node {
	_Atomic(struct leaf *) leaves[1u << NODE_BITS];
};

static _Atomic(struct node *) top[1u << TOP_BITS];

static struct shard {
	pthread_mutex_t lock;
} __attribute__((aligned(NSDK_LINE_BYTES))) shards[SHARDS] = {
	[0 ... SHARDS - 1] = { PTHREAD_MUTEX_INITIALIZER },
};

static pthread_mutex_t *shard_lock(uintptr_t va)
{
	/* Neighbouring pages in different shards: two queues work in neighbouring buffers. */
	return &shards[va >> PAGE_SHIFT & (SHARDS - 1)].lock;
}

static unsigned digits(uintptr_t va, unsigned shift, unsigned bits)
{
	return (unsigned)(va >> shift) & ((1u << bits) - 1);
}

/* Where the page's pointer is; NULL: nowhere yet, or no memory to make it. */
static struct emu_cache_page **slot_of(uintptr_t va, bool create)
{
	_Atomic(struct node *) *node_at;
	_Atomic(struct leaf *) *leaf_at;
	struct node *node, *new_node;
	struct leaf *leaf, *new_leaf;

	/* Acquire and release: who finds a node sees it zeroed. */
	node_at = &top[digits(va, PAGE_SHIFT + 2 * NODE_BITS, TOP_BITS)];
	node = atomic_load_explicit(node_at, memory_order_acquire);
	if (!node) {
		new_node = create ? calloc(1, sizeof(*new_node)) : NULL;
		if (!new_node)
			return NULL;
		if (atomic_compare_exchange_strong_explicit(node_at, &node, new_node,
							    memory_order_acq_rel,
							    memory_order_acquire))
			node = new_node;
		else
			free(new_node);
	}
	leaf_at = &node->leaves[digits(va, PAGE_SHIFT + NODE_BITS, NODE_BITS)];
	leaf = atomic_load_explicit(leaf_at, memory_order_acquire);
	if (!leaf) {
		new_leaf = create ? calloc(1, sizeof(*new_leaf)) : NULL;
		if (!new_leaf)
			return NULL;
		if (atomic_compare_exchange_strong_explicit(leaf_at, &leaf, new_leaf,
							    memory_order_acq_rel,
							    memory_order_acquire))
			leaf = new_leaf;
		else
			free(new_leaf);
	}
	return &leaf->pages[digits(va, PAGE_SHIFT, NODE_BITS)];
}

static void no_memory(void)
{
	static atomic_bool said;

	if (!atomic_exchange(&said, true))
		nsdk_log(NSDK_LOG_WARN, "emu",
			 "no memory for the cache model (it needs three times what devices touch), so "
			 "some pages are not checked; map less or raise the limit");
}

struct emu_cache_page *emu_cache_page_lock(uintptr_t va, bool create)
{
	struct emu_cache_page **slot, *page;

	va &= ~(uintptr_t)(EMU_CACHE_PAGE_BYTES - 1);
	pthread_mutex_lock(shard_lock(va));
	/* Nobody gets such an address without asking for it. */
	if (va >> VA_BITS)
		return NULL;
	slot = slot_of(va, create);
	if (!create || (slot && *slot))
		return slot ? *slot : NULL;
	page = slot ? calloc(1, sizeof(*page)) : NULL;
	if (!page) {
		no_memory();
		return NULL;
	}
	page->va = va;
	*slot = page;
	return page;
}

void emu_cache_page_unlock(uintptr_t va)
{
	pthread_mutex_unlock(shard_lock(va));
}

static void free_page(struct emu_cache_page *page)
{
	free(page->stored_by);
	free(page->image);
	free(page);
}

void emu_cache_page_drop(struct emu_cache_page *page)
{
	*slot_of(page->va, false) = NULL;
	free_page(page);
}

struct emu_cache_image *emu_cache_page_image(struct emu_cache_page *page)
{
	struct emu_cache_image *image = page->image;

	if (image)
		return image;
	image = calloc(1, sizeof(*image));
	if (!image) {
		no_memory();
		return NULL;
	}
	if (!page->zero) {
		/* Never equal to what the CPU sees, so all of it is dirty until it is flushed. */
		emu_cache_adversary_garbage(page->va, image->dram, sizeof(image->dram));
		__builtin_memcpy(image->agreed, image->dram, sizeof(image->agreed));
		image->fresh = UINT64_MAX;
	}
	page->image = image;
	return image;
}

static void free_leaf(struct leaf *leaf)
{
	for (unsigned p = 0; p < 1u << NODE_BITS; p++) {
		if (leaf->pages[p])
			free_page(leaf->pages[p]);
	}
	free(leaf);
}

static void visit_leaf(struct leaf *leaf, void (*visit)(struct emu_cache_page *page, void *arg),
		       void *arg)
{
	for (unsigned p = 0; p < 1u << NODE_BITS; p++) {
		pthread_mutex_t *lock = &shards[p & (SHARDS - 1)].lock;

		pthread_mutex_lock(lock);
		if (leaf->pages[p])
			visit(leaf->pages[p], arg);
		pthread_mutex_unlock(lock);
	}
}

void emu_cache_for_each_page(void (*visit)(struct emu_cache_page *page, void *arg), void *arg)
{
	struct node *node;
	struct leaf *leaf;

	for (unsigned t = 0; t < 1u << TOP_BITS; t++) {
		node = atomic_load_explicit(&top[t], memory_order_acquire);
		for (unsigned n = 0; node && n < 1u << NODE_BITS; n++) {
			leaf = atomic_load_explicit(&node->leaves[n], memory_order_acquire);
			if (leaf)
				visit_leaf(leaf, visit, arg);
		}
	}
}

void emu_cache_table_clear(void)
{
	struct node *node;
	struct leaf *leaf;

	for (unsigned t = 0; t < 1u << TOP_BITS; t++) {
		node = atomic_load_explicit(&top[t], memory_order_relaxed);
		if (!node)
			continue;
		for (unsigned n = 0; n < 1u << NODE_BITS; n++) {
			leaf = atomic_load_explicit(&node->leaves[n], memory_order_relaxed);
			if (leaf)
				free_leaf(leaf);
		}
		free(node);
		atomic_store_explicit(&top[t], NULL, memory_order_relaxed);
	}
}
