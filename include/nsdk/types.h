/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Types that must not be mixed up: an address a device uses, a set of CPUs.
 *
 * They are structs on purpose. A device address, a pointer and a length are all 64 bits wide, and
 * swapping two of them compiles, maps the wrong memory and corrupts it; wrapped, it does not compile.
 */
#ifndef NSDK_TYPES_H
#define NSDK_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The cache line size that buffers are laid out for, in bytes, on every architecture supported. */
#define NSDK_LINE_BYTES 64u

/** The largest CPU number plus one that a CPU mask can hold. */
#define NSDK_MAX_CPUS 1024

/** I/O virtual address: what a device puts on the bus; meaningless to the CPU. */
typedef struct nsdk_iova {
	uint64_t addr; /**< the number itself */
} nsdk_iova_t;

/** A set of Linux CPU numbers. */
typedef struct nsdk_cpumask {
	uint64_t bits[NSDK_MAX_CPUS / 64]; /**< CPU n is bit n % 64 of word n / 64 */
} nsdk_cpumask_t;

/** Which way data moves, as in the kernel's DMA API. */
enum nsdk_dma_dir {
	NSDK_DMA_TO_DEVICE = 1,     /**< the device reads the buffer */
	NSDK_DMA_FROM_DEVICE = 2,   /**< the device writes the buffer */
	NSDK_DMA_BIDIRECTIONAL = 3, /**< both */
};

#ifdef __cplusplus
}
#endif
#endif
