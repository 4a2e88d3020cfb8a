/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: filling the translation that mem_internal.h looks things up in.
 */
#ifndef NSDK_MEM_MAP_H
#define NSDK_MEM_MAP_H

#include "mem_internal.h"
#include "window.h"

/* @return 0; -ENOMEM, logged. */
int nsdk_dma_map_init(struct nsdk_dma_map *map, const struct nsdk_window *window);
void nsdk_dma_map_fini(struct nsdk_dma_map *map);

/* Make sure that publishing this range cannot fail. @return 0; -ENOMEM, -EINVAL, logged. */
int nsdk_dma_map_reserve(struct nsdk_dma_map *map, const void *va, size_t bytes);

/*
 * Make a range known, or unknown again: whole pieces of the window, or whole 4 KiB pages outside of
 * it. Known only once the device can reach it; unknown before it no longer can.
 */
void nsdk_dma_map_publish(struct nsdk_dma_map *map, const void *va, size_t bytes, uint64_t iova);
void nsdk_dma_map_unpublish(struct nsdk_dma_map *map, const void *va, size_t bytes);

/* As nsdk_mem_translate(), on the map itself. */
int nsdk_dma_map_translate(const struct nsdk_dma_map *map, uintptr_t va, size_t bytes, uint64_t *iova,
			   size_t *contiguous_bytes);

#endif
