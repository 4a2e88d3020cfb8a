/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several drivers and devices at once, with buffers in the same pages, while other memory is mapped
 * and unmapped and the counts are read. Meant for the thread sanitizer; without it, for the data.
 */
#include "nsdk_unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/emu/emu_internal.h"

#define QUEUES 3u
#define ROUNDS 1500u
#define BUFFER_BYTES 1472u /* 23 lines: buffers of different queues share pages */

static const struct nsdk_line_ops *ops;
static struct nsdk_cache_model *model;
static uint8_t *memory;
static atomic_bool stop_others;

/* A queue with one slot: a driver's thread and a device's thread. */
struct queue {
	unsigned id;
	uint8_t *buffer;
	_Atomic unsigned doorbell;   /* written by the driver: number of the command */
	_Atomic unsigned completion; /* written by the device */
	unsigned wrong;
};

static uint8_t byte_of(const struct queue *queue, unsigned command, unsigned i)
{
	return (uint8_t)(queue->id * 91 + command * 7 + i * 3 + (i >> 5));
}

/* Odd commands read from the host, even ones write to it. */
static void *device(void *arg)
{
	struct queue *queue = arg;
	uint8_t data[BUFFER_BYTES];
	char owner[48];

	snprintf(owner, sizeof(owner), "emu:test queue %u", queue->id);
	for (unsigned command = 1; command <= ROUNDS; command++) {
		while (atomic_load_explicit(&queue->doorbell, memory_order_acquire) != command)
			sched_yield();
		if (command > 1 && command % 2 == 1)
			nsdk_cache_model_consumed(model, queue->buffer, BUFFER_BYTES, owner);
		if (command % 2) {
			nsdk_cache_model_read(model, queue->buffer, data, BUFFER_BYTES, false, owner);
			for (unsigned i = 0; i < BUFFER_BYTES; i++)
				queue->wrong += data[i] != byte_of(queue, command, i);
		} else {
			for (unsigned i = 0; i < BUFFER_BYTES; i++)
				data[i] = byte_of(queue, command, i);
			nsdk_cache_model_write(model, queue->buffer, data, BUFFER_BYTES, false, owner);
		}
		atomic_store_explicit(&queue->completion, command, memory_order_release);
	}
	return NULL;
}

static void *driver(void *arg)
{
	struct queue *queue = arg;

	for (unsigned command = 1; command <= ROUNDS; command++) {
		for (unsigned i = 0; i < BUFFER_BYTES; i++)
			queue->buffer[i] = byte_of(queue, command, i);
		if (command % 2) {
			ops->writeback(queue->buffer, BUFFER_BYTES / 64);
		} else {
			memset(queue->buffer, (int)command, BUFFER_BYTES);
			ops->writeback_invalidate(queue->buffer, BUFFER_BYTES / 64);
		}
		ops->fence_for_device();
		atomic_store_explicit(&queue->doorbell, command, memory_order_release);
		while (atomic_load_explicit(&queue->completion, memory_order_acquire) != command)
			sched_yield();
		if (command % 2)
			continue;
		ops->acquire_for_cpu();
		ops->writeback_invalidate(queue->buffer, BUFFER_BYTES / 64);
		ops->fence_for_cpu();
		for (unsigned i = 0; i < BUFFER_BYTES; i++)
			queue->wrong += queue->buffer[i] != byte_of(queue, command, i);
	}
	return NULL;
}

/* Other memory comes and goes, other holders too. */
static void *others(void *arg)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation violation;
	struct nsdk_cache_model *held;
	uint8_t *area, got[64];

	(void)arg;
	while (!atomic_load_explicit(&stop_others, memory_order_relaxed)) {
		area = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED)
			return &stop_others;
		if (nsdk_cache_model_get(5, &held) != 0)
			return &stop_others;
		ops->writeback_invalidate(area, 1024);
		ops->fence_for_device();
		nsdk_cache_model_map(held, area, 65536);
		nsdk_cache_model_read(held, area + 4096, got, 64, false, "others");
		nsdk_cache_model_write(held, area, got, 64, false, "others");
		nsdk_cache_model_adversary(held);
		nsdk_cache_model_stats(&stats);
		nsdk_cache_model_violations(&violation, 1);
		nsdk_cache_model_unmap(held, area, 65536);
		nsdk_cache_model_put(held);
		munmap(area, 65536);
	}
	return NULL;
}

static void queues_share_pages_and_nothing_else(void)
{
	pthread_t drivers[QUEUES], devices[QUEUES], other;
	struct queue queues[QUEUES] = { 0 };
	struct nsdk_cache_model_stats stats;
	void *result;

	memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	nsdk_cache_model_reset();
	ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(99, &model), 0);
	ops->writeback_invalidate(memory, 128);
	ops->fence_for_device();
	nsdk_cache_model_map(model, memory, 8192);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&other, NULL, others, NULL), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		queues[i].id = i;
		queues[i].buffer = memory + (size_t)i * BUFFER_BYTES;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&devices[i], NULL, device, &queues[i]), 0);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&drivers[i], NULL, driver, &queues[i]), 0);
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		pthread_join(drivers[i], NULL);
		pthread_join(devices[i], NULL);
		NSDK_ASSERT_INT(queues[i].wrong, 0);
	}
	atomic_store(&stop_others, true);
	pthread_join(other, &result);
	CU_ASSERT_PTR_NULL(result);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
	CU_ASSERT(stats.device_reads + stats.device_writes >= QUEUES * ROUNDS);
	nsdk_cache_model_unmap(model, memory, 8192);
	nsdk_cache_model_put(model);
	munmap(memory, 8192);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Not a promise, only so that a change for the worse is seen in the log. */
static void prints_how_fast_it_is(void)
{
	enum { TRANSFERS = 20000 };
	static uint8_t data[4096];
	double start;

	memory = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	nsdk_cache_model_reset();
	ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(99, &model), 0);
	ops->writeback_invalidate(memory, 64 * 64);
	ops->fence_for_device();
	nsdk_cache_model_map(model, memory, 64 * 4096);
	start = now_s();
	for (unsigned i = 0; i < TRANSFERS; i++) {
		uint8_t *buffer = memory + (size_t)(i % 64) * 4096;

		data[0] = (uint8_t)i;
		ops->writeback_invalidate(buffer, 64);
		ops->fence_for_device();
		nsdk_cache_model_write(model, buffer, data, 4096, false, "emu:test");
		ops->acquire_for_cpu();
		ops->writeback_invalidate(buffer, 64);
		ops->fence_for_cpu();
		nsdk_cache_model_consumed(model, buffer, 4096, "emu:test");
	}
	printf("# %.0f transfers of 4 KiB from the device in a second\n", TRANSFERS / (now_s() - start));
	nsdk_cache_model_unmap(model, memory, 64 * 4096);
	nsdk_cache_model_put(model);
	munmap(memory, 64 * 4096);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(queues_share_pages_and_nothing_else),
	NSDK_UNIT_TEST(prints_how_fast_it_is),
};

NSDK_UNIT_MAIN("lib/emu/cache_threads", tests)
