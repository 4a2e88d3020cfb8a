/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: putting pages behind addresses of the window, and taking them away.
 */
#ifndef NSDK_MEM_PAGES_H
#define NSDK_MEM_PAGES_H

#include <stddef.h>

/* What a pool is made of. */
struct nsdk_page_kind {
	size_t page_bytes; /* NSDK_PAGE_2M, NSDK_PAGE_1G; or 0: the system's small pages */
	int node;          /* NUMA node; -1: no matter */
};

/*
 * Every page is there, zeroed and on its node (or a warning says that it is not) when it returns.
 *
 * @param va  part of the window, aligned to the page size.
 * @return 0; -ENOMEM no (huge)pages, -EINVAL no such page size; logged. Nothing is changed then.
 */
int nsdk_pages_map(void *va, size_t bytes, const struct nsdk_page_kind *kind);

/* Give the pages back; the addresses stay set aside. @return 0; -errno, logged: the pages stay. */
int nsdk_pages_unmap(void *va, size_t bytes);

/*
 * Whether memory that the application made is there and may be written, page by page.
 * @return 0; -EFAULT, logged.
 */
int nsdk_pages_check(void *va, size_t bytes);

/*
 * Which node memory comes from when the caller does not say, and whether there is such a node.
 * @return a node; -1 no NUMA here; -EINVAL, logged.
 */
int nsdk_pages_node(int wanted);

#endif
