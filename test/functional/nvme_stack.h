/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An emulated controller with everything that a test needs of it: memory, one namespace, data buffers; and
 * what has to be true when it is taken down.
 */
#ifndef NVME_STACK_H
#define NVME_STACK_H

#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

/* For what no machine is too slow for. */
#define STACK_PATIENCE_NS (60 * 1000000000ull)

struct stack {
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_ns *ns;
	struct nsdk_dma_pool *pool;
	uint8_t *arena; /* DMA memory */
};

/* @param opts  what the test is about; the rest is filled in with deadlines that nothing misses. */
static inline void stack_up(struct stack *stack, const char *words, enum nsdk_policy policy,
			    const struct nsdk_nvme_opts *opts, size_t arena_bytes)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_nvme_opts own = opts ? *opts : (struct nsdk_nvme_opts){ 0 };
	void *va;

	own.opts_bytes = sizeof(own);
	own.policy = policy;
	if (!own.io_timeout_ns)
		own.io_timeout_ns = STACK_PATIENCE_NS;
	if (!own.admin_timeout_ns)
		own.admin_timeout_ns = STACK_PATIENCE_NS;
	if (!own.ready_timeout_ns)
		own.ready_timeout_ns = STACK_PATIENCE_NS;
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, NULL, &stack->dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &stack->mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(stack->dev, stack->mem, &own, &stack->ctrlr), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_active(nsdk_nvme_ctrlr_coherence(stack->ctrlr)),
			      policy == NSDK_POLICY_NOSNOOP);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(stack->ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(stack->mem, &pool_opts, &stack->pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(stack->pool, arena_bytes, 4096, &va), 0);
	stack->arena = va;
	stack->ns = nsdk_nvme_ns_get(stack->ctrlr, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stack->ns);
}

/* Its queue pairs have been destroyed. @param gone  it was pulled out. */
static inline void stack_down(struct stack *stack, bool gone)
{
	int err = nsdk_nvme_detach(stack->ctrlr);

	CU_ASSERT(gone || err == 0);
	nsdk_device_detach(stack->dev);
	nsdk_dma_free(stack->pool, stack->arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(stack->pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(stack->mem), 0);
	memset(stack, 0, sizeof(*stack));
}

/* The cache model has seen nothing wrong since nsdk_cache_model_reset(), and something if @p watched. */
static inline void stack_no_violations(bool watched)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	CU_ASSERT(!watched || (stats.device_writes > 0 && stats.fences > 0));
}

#endif
