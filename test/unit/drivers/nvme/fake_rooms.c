/* SPDX-License-Identifier: BSD-3-Clause */
/* The rooms below the driver: bus, memory, coherence, clock, allocator. */
#include "fake_nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nsdk/nvme_admin.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/mem/mem_internal.h"

static uint8_t *window;
static _Atomic uint64_t table[FAKE_PIECES];
static struct nsdk_dma_map map;
static _Alignas(4096) uint8_t registered[4096];
#define REGISTERED_IOVA 0x7000000000ull

static char device_stands_for_itself, mem_stands_for_itself, coh_stands_for_itself;

struct nsdk_device *fake_device(void)
{
	return (struct nsdk_device *)(void *)&device_stands_for_itself;
}

struct nsdk_mem *fake_mem(void)
{
	return (struct nsdk_mem *)(void *)&mem_stands_for_itself;
}

/* ---- Memory ---- */

static uint64_t piece_iova(unsigned piece)
{
	return 0x4000000000ull + (piece * 5 + 3) % FAKE_PIECES * 2 * FAKE_PIECE_BYTES;
}

static void make_window(void)
{
	uint8_t *raw;

	if (window)
		return;
	raw = mmap(NULL, (FAKE_PIECES + 1) * FAKE_PIECE_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(raw != MAP_FAILED);
	window = (uint8_t *)(((uintptr_t)raw + FAKE_PIECE_BYTES - 1) & ~(FAKE_PIECE_BYTES - 1));
	/* The last piece of the window is not mapped for the device. */
	for (unsigned i = 0; i < FAKE_PIECES - 1; i++)
		table[i] = piece_iova(i) + 1;
	map.window_va = (uintptr_t)window;
	map.window_bytes = FAKE_PIECES * FAKE_PIECE_BYTES;
	map.window = table;
}

void *fake_va(uint64_t iova)
{
	for (unsigned i = 0; i < FAKE_PIECES - 1; i++)
		if (iova >= piece_iova(i) && iova - piece_iova(i) < FAKE_PIECE_BYTES)
			return window + i * FAKE_PIECE_BYTES + (iova - piece_iova(i));
	if (fake.cmb_fixed ? iova - (FAKE_BUS_ADDRESS + FAKE_CMB_OFFSET) < FAKE_CMB_BYTES :
	    (fake.cmbmsc & NSDK_NVME_CMBMSC_CMSE) && iova - (fake.cmbmsc & ~(uint64_t)0xfff) < FAKE_CMB_BYTES)
		return fake_bar2 + FAKE_CMB_OFFSET +
		       (iova - (fake.cmb_fixed ? FAKE_BUS_ADDRESS + FAKE_CMB_OFFSET :
						 fake.cmbmsc & ~(uint64_t)0xfff));
	if (iova >= REGISTERED_IOVA && iova - REGISTERED_IOVA < sizeof(registered))
		return registered + (iova - REGISTERED_IOVA);
	return NULL;
}

uint8_t *fake_buffer(unsigned piece, size_t offset)
{
	return window + piece * FAKE_PIECE_BYTES + offset;
}

uint8_t *fake_registered(void)
{
	return registered;
}

int __wrap_nsdk_dma_map_lookup_slow(const struct nsdk_dma_map *of, uintptr_t va, uint64_t *iova,
				    size_t *left);
int __wrap_nsdk_dma_map_lookup_slow(const struct nsdk_dma_map *of, uintptr_t va, uint64_t *iova,
				    size_t *left)
{
	if (nsdk_dma_map_is_own(of, va)) {
		*iova = of->own.addr + (va - of->own.va);
		*left = of->own.bytes - (va - of->own.va);
		return 0;
	}
	if (va < (uintptr_t)registered || va >= (uintptr_t)registered + sizeof(registered))
		return -EFAULT;
	*iova = REGISTERED_IOVA + (va - (uintptr_t)registered);
	*left = (uintptr_t)registered + sizeof(registered) - va;
	return 0;
}

int __wrap_nsdk_mem_attach(struct nsdk_mem *mem, struct nsdk_device *dev, struct nsdk_coherence *coh);
int __wrap_nsdk_mem_attach(struct nsdk_mem *mem, struct nsdk_device *dev, struct nsdk_coherence *coh)
{
	CU_ASSERT(!fake.attached && !fake.bus_master);
	if (nsdk_unit_fails_now())
		return nsdk_fail(-ENOMEM, "mem", "made to fail");
	fake.attached = true;
	return 0;
}

void __wrap_nsdk_mem_detach(struct nsdk_mem *mem, struct nsdk_device *dev);
void __wrap_nsdk_mem_detach(struct nsdk_mem *mem, struct nsdk_device *dev)
{
	/* The device must no longer do DMA; a vanished one does none. */
	CU_ASSERT(fake.attached);
	fake_lock();
	CU_ASSERT(!fake.bus_master || fake.gone);
	fake_unlock();
	fake.attached = false;
}

const struct nsdk_dma_map *__wrap_nsdk_mem_map_of(struct nsdk_mem *mem, struct nsdk_device *dev);
const struct nsdk_dma_map *__wrap_nsdk_mem_map_of(struct nsdk_mem *mem, struct nsdk_device *dev)
{
	return &map;
}

int __wrap_nsdk_mem_translate(struct nsdk_mem *mem, struct nsdk_device *dev, const void *va,
			      size_t bytes, nsdk_iova_t *iova, size_t *contiguous_bytes);
int __wrap_nsdk_mem_translate(struct nsdk_mem *mem, struct nsdk_device *dev, const void *va,
			      size_t bytes, nsdk_iova_t *iova, size_t *contiguous_bytes)
{
	int err = nsdk_dma_map_lookup(&map, (uintptr_t)va, &iova->addr, contiguous_bytes);

	if (nsdk_unit_fails_now())
		return -EFAULT;
	if (*contiguous_bytes > bytes)
		*contiguous_bytes = bytes;
	return err;
}

int __wrap_nsdk_dma_pool_create(struct nsdk_mem *mem, const struct nsdk_dma_pool_opts *opts,
				struct nsdk_dma_pool **out);
int __wrap_nsdk_dma_pool_create(struct nsdk_mem *mem, const struct nsdk_dma_pool_opts *opts,
				struct nsdk_dma_pool **out)
{
	CU_ASSERT(!fake.pool);
	CU_ASSERT_EQUAL(opts->attr, fake.active ? NSDK_DMA_NOSNOOP : NSDK_DMA_COHERENT);
	if (nsdk_unit_fails_now())
		return nsdk_fail(-ENOMEM, "mem", "made to fail");
	fake.pool = true;
	*out = (struct nsdk_dma_pool *)(void *)&fake.pool;
	return 0;
}

int __wrap_nsdk_dma_pool_destroy(struct nsdk_dma_pool *pool);
int __wrap_nsdk_dma_pool_destroy(struct nsdk_dma_pool *pool)
{
	CU_ASSERT(fake.pool);
	CU_ASSERT_EQUAL(fake.buffers, 0);
	fake.pool = false;
	return 0;
}

/* Buffers come from the first four pieces, one behind the other; the rest are the tests'. */
static size_t next_buffer;
static struct {
	uint8_t *va;
	size_t bytes;
} buffers[256];

int __wrap_nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out);
int __wrap_nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out)
{
	size_t at;

	if (nsdk_unit_fails_now())
		return nsdk_fail(-ENOMEM, "mem", "made to fail");
	if (align_bytes < 64)
		align_bytes = 64;
	at = (next_buffer + align_bytes - 1) & ~(align_bytes - 1);
	if (bytes <= FAKE_PIECE_BYTES &&
	    at / FAKE_PIECE_BYTES != (at + bytes - 1) / FAKE_PIECE_BYTES)
		at = (at / FAKE_PIECE_BYTES + 1) * FAKE_PIECE_BYTES;
	if (at + bytes > 8 * FAKE_PIECE_BYTES)
		return nsdk_fail(-ENOMEM, "mem", "the pool is full");
	for (unsigned i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		if (buffers[i].va)
			continue;
		buffers[i].va = window + at;
		buffers[i].bytes = bytes;
		memset(window + at, 0, bytes);
		next_buffer = at + bytes;
		fake.buffers++;
		*out = window + at;
		return 0;
	}
	return -ENOMEM;
}

static bool overlaps(uint64_t iova, const uint8_t *va, size_t bytes)
{
	const uint8_t *at = fake_va(iova);

	return at >= va && at < va + bytes;
}

int __wrap_nsdk_dma_free(struct nsdk_dma_pool *pool, void *va);
int __wrap_nsdk_dma_free(struct nsdk_dma_pool *pool, void *va)
{
	if (!va)
		return 0;
	for (unsigned i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		if (buffers[i].va != va)
			continue;
		fake_lock();
		for (unsigned q = 0; q < FAKE_QUEUES; q++) {
			const struct fake_queue *queue = &fake.queues[q];

			if (fake.bus_master && fake.attached && !fake.gone &&
			    ((queue->sq_exists && overlaps(queue->sq_iova, va, buffers[i].bytes)) ||
			     (queue->cq_exists && overlaps(queue->cq_iova, va, buffers[i].bytes))))
				fake.freed_in_use++;
		}
		fake_unlock();
		memset(va, 0xdd, buffers[i].bytes);
		buffers[i].va = NULL;
		if (--fake.buffers == 0)
			next_buffer = 0;
		return 0;
	}
	CU_FAIL("freed what is no buffer");
	return -EINVAL;
}

/* ---- Bus ---- */

const char *__wrap_nsdk_device_name(const struct nsdk_device *dev);
const char *__wrap_nsdk_device_name(const struct nsdk_device *dev)
{
	return "fake:nvme";
}

int __wrap_nsdk_device_numa_node(const struct nsdk_device *dev);
int __wrap_nsdk_device_numa_node(const struct nsdk_device *dev)
{
	return -1;
}

int __wrap_nsdk_device_bar(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out);
int __wrap_nsdk_device_bar(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out)
{
	if (nsdk_unit_fails_now())
		return nsdk_fail(-EINVAL, "bus", "made to fail");
	CU_ASSERT(index == 0 || index == 2);
	if (index == 2 && fake.cmb_bar_error)
		return nsdk_fail(-EINVAL, "bus", "made to fail");
	*out = index == 0 ? (struct nsdk_bar){ fake_bar, sizeof(fake_bar) } :
			    (struct nsdk_bar){ fake_bar2, sizeof(fake_bar2) };
	return 0;
}

int __wrap_nsdk_device_bar_check(struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes);
int __wrap_nsdk_device_bar_check(struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes)
{
	size_t bar_bytes = index == 0 ? sizeof(fake_bar) : sizeof(fake_bar2);

	CU_ASSERT(index == 0 || index == 2);
	CU_ASSERT(bytes != 0 && bytes <= bar_bytes && offset <= bar_bytes - bytes);
	return fake.bar_check_error;
}

int __wrap_nsdk_device_set_bus_master(struct nsdk_device *dev, bool on);
int __wrap_nsdk_device_set_bus_master(struct nsdk_device *dev, bool on)
{
	if (on && nsdk_unit_fails_now())
		return nsdk_fail(-EIO, "bus", "made to fail");
	if (!on && fake.bus_master_error)
		return fake.bus_master_error;
	fake_lock();
	fake.bus_master = on;
	fake_unlock();
	return 0;
}

bool __wrap_nsdk_device_is_gone(const struct nsdk_device *dev);
bool __wrap_nsdk_device_is_gone(const struct nsdk_device *dev)
{
	return fake.gone;
}

bool __wrap_nsdk_device_check(struct nsdk_device *dev);
bool __wrap_nsdk_device_check(struct nsdk_device *dev)
{
	if (fake.removal_asked && !fake.gone) {
		fake.gone = true;
		nsdk_log(NSDK_LOG_ERROR, "bus", "fake is about to be removed");
	}
	return fake.gone;
}

int __wrap_nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width,
				uint32_t *out);
int __wrap_nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width,
				uint32_t *out)
{
	/* The class code, and where BAR 2 is. */
	CU_ASSERT((offset == 8 || offset == 0x18 || offset == 0x1c) && width == 4);
	if (nsdk_unit_fails_now())
		return nsdk_fail(-EIO, "bus", "made to fail");
	if (offset != 8) {
		/* 64 bits, prefetchable. */
		*out = offset == 0x18 ? (uint32_t)FAKE_BUS_ADDRESS | 0xc :
					(uint32_t)(FAKE_BUS_ADDRESS >> 32);
		return 0;
	}
	*out = fake.class_code << 8 | 1;
	return 0;
}

struct nsdk_ioas *__wrap_nsdk_device_ioas(struct nsdk_device *dev);
struct nsdk_ioas *__wrap_nsdk_device_ioas(struct nsdk_device *dev)
{
	return (struct nsdk_ioas *)(void *)&fake.reserved;
}

int __wrap_nsdk_ioas_reserve(struct nsdk_ioas *ioas, const volatile void *va, size_t bytes, bool fixed,
			     nsdk_iova_t *iova);
int __wrap_nsdk_ioas_reserve(struct nsdk_ioas *ioas, const volatile void *va, size_t bytes, bool fixed,
			     nsdk_iova_t *iova)
{
	CU_ASSERT(fake.reserved == 0 && bytes % 4096 == 0);
	if (nsdk_unit_fails_now())
		return -ENOMEM;
	if (fake.reserve_error)
		return fake.reserve_error;
	if (fixed && fake.fixed_error)
		return fake.fixed_error;
	if (!fixed)
		iova->addr = (uintptr_t)va;
	fake.reserved = iova->addr;
	fake.reserved_bytes = bytes;
	return 0;
}

int __wrap_nsdk_ioas_unmap(struct nsdk_ioas *ioas, nsdk_iova_t iova, size_t bytes);
int __wrap_nsdk_ioas_unmap(struct nsdk_ioas *ioas, nsdk_iova_t iova, size_t bytes)
{
	CU_ASSERT(iova.addr == fake.reserved && bytes == fake.reserved_bytes && bytes != 0);
	/* The controller does not take it for its own any more. */
	fake_lock();
	CU_ASSERT(fake.gone || !(fake.cmbmsc & NSDK_NVME_CMBMSC_CMSE));
	fake_unlock();
	fake.reserved = fake.reserved_bytes = 0;
	return 0;
}

bool __wrap_nsdk_device_wants_poll(const struct nsdk_device *dev);
bool __wrap_nsdk_device_wants_poll(const struct nsdk_device *dev)
{
	return fake.wants_poll;
}

bool __wrap_nsdk_device_works_alone(const struct nsdk_device *dev);
bool __wrap_nsdk_device_works_alone(const struct nsdk_device *dev)
{
	return fake.works_alone;
}

unsigned __wrap_nsdk_device_irq_count(struct nsdk_device *dev);
unsigned __wrap_nsdk_device_irq_count(struct nsdk_device *dev)
{
	return fake.vectors;
}

int __wrap_nsdk_device_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count);
int __wrap_nsdk_device_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count)
{
	CU_ASSERT_EQUAL(fake.vectors_on, 0);
	CU_ASSERT_FATAL(count >= 1 && count <= fake.vectors);
	if (nsdk_unit_fails_now())
		return nsdk_fail(-ENOSPC, "bus", "made to fail");
	for (unsigned i = 0; i < count; i++) {
		/* Nobody is interrupted before he asks for it. */
		NSDK_ASSERT_INT(eventfds[i], -1);
		fake.vector_fds[i] = -1;
	}
	fake.vectors_on = count;
	return 0;
}

int __wrap_nsdk_device_irq_disable(struct nsdk_device *dev);
int __wrap_nsdk_device_irq_disable(struct nsdk_device *dev)
{
	CU_ASSERT(fake.vectors_on > 0);
	for (unsigned i = 0; i < fake.vectors_on; i++)
		NSDK_ASSERT_INT(fake.vector_fds[i], -1);
	fake.vectors_on = 0;
	return 0;
}

int __wrap_nsdk_device_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd);
int __wrap_nsdk_device_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd)
{
	CU_ASSERT_FATAL(vector < fake.vectors_on);
	/* Once each way. */
	CU_ASSERT((fake.vector_fds[vector] < 0) != (eventfd < 0));
	if (fake.irq_error)
		return nsdk_fail(fake.irq_error, "bus", "made to fail");
	fake.vector_fds[vector] = eventfd;
	fake.irq_changes++;
	return 0;
}

unsigned __wrap_nsdk_device_notices(struct nsdk_device *dev, int *fds);
unsigned __wrap_nsdk_device_notices(struct nsdk_device *dev, int *fds)
{
	fds[0] = fake.notice_fd;
	return fake.notice_fd >= 0;
}

void __wrap_nsdk_device_poll(struct nsdk_device *dev);
void __wrap_nsdk_device_poll(struct nsdk_device *dev)
{
	fake_run();
}

int __wrap_nsdk_device_reset(struct nsdk_device *dev);
int __wrap_nsdk_device_reset(struct nsdk_device *dev)
{
	fake_lock();
	fake.resets++;
	fake.bus_master = false;
	fake_function_reset();
	fake_unlock();
	return fake.reset_error;
}

/* ---- Coherence ---- */

int __wrap_nsdk_coherence_create(struct nsdk_device *dev, enum nsdk_policy policy,
				 struct nsdk_coherence **out);
int __wrap_nsdk_coherence_create(struct nsdk_device *dev, enum nsdk_policy policy,
				 struct nsdk_coherence **out)
{
	CU_ASSERT(!fake.bus_master);
	if (nsdk_unit_fails_now())
		return nsdk_fail(-EOPNOTSUPP, "coherence", "made to fail");
	fake.coh = true;
	*out = (struct nsdk_coherence *)(void *)&coh_stands_for_itself;
	return 0;
}

int __wrap_nsdk_coherence_after_reset(struct nsdk_coherence *coh);
int __wrap_nsdk_coherence_after_reset(struct nsdk_coherence *coh)
{
	CU_ASSERT(!fake.bus_master);
	fake.after_resets++;
	return fake.after_reset_error;
}

void __wrap_nsdk_coherence_destroy(struct nsdk_coherence *coh);
void __wrap_nsdk_coherence_destroy(struct nsdk_coherence *coh)
{
	if (coh) {
		CU_ASSERT(!fake.attached);
		CU_ASSERT_EQUAL(fake.batches, 0);
		fake.coh = false;
	}
}

bool __wrap_nsdk_coherence_active(const struct nsdk_coherence *coh);
bool __wrap_nsdk_coherence_active(const struct nsdk_coherence *coh)
{
	return fake.active;
}

/* One queue pair has two, and there are few. */
#define BATCHES 32u
static struct nsdk_flush_batch {
	unsigned left;  /* polls until it is done; 0: none is under way */
	unsigned taken; /* ranges of its own among fake.not_fenced */
	unsigned added; /* ranges of either way */
	bool back;      /* what is under way has ranges that are taken back */
} batches[BATCHES];
static unsigned next_batch;

/* What was under way is done. */
static void land(struct nsdk_flush_batch *batch)
{
	fake.flying -= batch->left != 0;
	fake.flying_back -= batch->left != 0 && batch->back;
	batch->left = 0;
}

int __wrap_nsdk_flush_batch_create(struct nsdk_coherence *coh, unsigned max_ranges,
				   struct nsdk_flush_batch **out);
int __wrap_nsdk_flush_batch_create(struct nsdk_coherence *coh, unsigned max_ranges,
				   struct nsdk_flush_batch **out)
{
	if (nsdk_unit_fails_now())
		return nsdk_fail(-ENOMEM, "coherence", "made to fail");
	fake.batches++;
	next_batch = (next_batch + 1) % BATCHES;
	batches[next_batch] = (struct nsdk_flush_batch){ .left = 0 };
	*out = &batches[next_batch];
	return 0;
}

void __wrap_nsdk_flush_batch_destroy(struct nsdk_flush_batch *batch);
void __wrap_nsdk_flush_batch_destroy(struct nsdk_flush_batch *batch)
{
	if (batch) {
		fake.batches--;
		land(batch);
	}
}

void __wrap_nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
					enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
					enum nsdk_dma_dir dir)
{
	fake.flushes_for_device++;
	batch->added++;
}

void __wrap_nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				     enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				     enum nsdk_dma_dir dir)
{
	fake.flushes_for_cpu++;
	fake.not_fenced++;
	batch->taken++;
	batch->added++;
}

void __wrap_nsdk_flush_batch_commit(struct nsdk_flush_batch *batch);
void __wrap_nsdk_flush_batch_commit(struct nsdk_flush_batch *batch)
{
	fake.commits++;
	land(batch);
	fake.not_fenced -= batch->taken;
	batch->taken = 0;
	batch->added = 0;
}

bool __wrap_nsdk_flush_batch_begin(struct nsdk_flush_batch *batch);
bool __wrap_nsdk_flush_batch_begin(struct nsdk_flush_batch *batch)
{
	bool anything = batch->added != 0, back = batch->taken != 0;

	CU_ASSERT_EQUAL(batch->left, 0);
	__wrap_nsdk_flush_batch_commit(batch);
	if (fake.flush_polls == 0 || !anything)
		return true;
	batch->left = fake.flush_polls;
	batch->back = back;
	fake.flying++;
	fake.flying_back += back;
	return false;
}

bool __wrap_nsdk_flush_batch_poll(struct nsdk_flush_batch *batch);
bool __wrap_nsdk_flush_batch_poll(struct nsdk_flush_batch *batch)
{
	if (batch->left == 0)
		return true;
	if (batch->left == 1)
		land(batch);
	else
		batch->left--;
	return batch->left == 0;
}

void __wrap_nsdk_sync_for_device(struct nsdk_coherence *coh, const void *va, size_t bytes,
				 enum nsdk_dma_dir dir);
void __wrap_nsdk_sync_for_device(struct nsdk_coherence *coh, const void *va, size_t bytes,
				 enum nsdk_dma_dir dir)
{
	fake.syncs_for_device++;
	if (dir == NSDK_DMA_FROM_DEVICE) {
		fake.rings_synced++;
		fake.synced_from_device_bytes += bytes;
	}
}

void __wrap_nsdk_sync_for_cpu(struct nsdk_coherence *coh, const void *va, size_t bytes,
			      enum nsdk_dma_dir dir);
void __wrap_nsdk_sync_for_cpu(struct nsdk_coherence *coh, const void *va, size_t bytes,
			      enum nsdk_dma_dir dir)
{
	fake.syncs_for_cpu++;
	fake_looked();
}

void __wrap_nsdk_dma_dirty(struct nsdk_coherence *coh, const void *va, size_t bytes);
void __wrap_nsdk_dma_dirty(struct nsdk_coherence *coh, const void *va, size_t bytes)
{
	fake.dirtied_bytes += bytes;
}

/* ---- Clock and allocator ---- */

/* Each look at the clock costs 10 ms, so deadlines pass without anybody waiting. */
uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void)
{
	return fake.now_ns += fake.clock_step_ns;
}

void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *va);

void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
	if (nsdk_unit_fails_now())
		return NULL;
	fake.allocations++;
	return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes)
{
	if (nsdk_unit_fails_now())
		return NULL;
	fake.allocations += !old;
	return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	if (nsdk_unit_fails_now())
		return NULL;
	fake.allocations++;
	return __real_aligned_alloc(align, bytes);
}

void __wrap_free(void *va);
void __wrap_free(void *va)
{
	fake.allocations -= va != NULL;
	__real_free(va);
}

/* ---- For the tests ---- */

void fake_reset(void)
{
	for (unsigned i = 0; i < FAKE_NAMESPACES; i++)
		__real_free(fake.disk[i]);
	make_window();
	memset(buffers, 0, sizeof(buffers));
	next_buffer = 0;
	fake = (struct fake){
		/* 64 entries, contiguous, 500 ms, NVM command set. */
		.cap = 63 | 1ull << 16 | 1ull << 24 | 1ull << 37,
		.vs = 0x00020000,
		.class_code = 0x010802,
		.wants_poll = true,
		.works_alone = true,
		.clock_step_ns = 10000000,
		.notice_fd = -1,
		.queues_granted = 3,
		.namespaces = 1,
		.lba_shift = 9,
		.blocks = 16384,
		.mdts = 5, /* 128 KiB */
		.id = { .sqes = 0x66, .cqes = 0x44, .nn = FAKE_NAMESPACES, .aerl = 3,
			/* Compare, dataset management, write zeroes. */
			.oncs = 0x0d },
	};
	for (unsigned i = 0; i < FAKE_NAMESPACES; i++)
		fake.disk[i] = __real_calloc(1, fake.blocks << fake.lba_shift);
	nsdk_unit_fail_none();
}

void fake_check_clean(void)
{
	CU_ASSERT(!fake.attached);
	CU_ASSERT(!fake.coh);
	CU_ASSERT(!fake.pool);
	CU_ASSERT(fake.vectors_on == 0 || fake.gone);
	CU_ASSERT(!fake.bus_master || fake.gone);
	CU_ASSERT_EQUAL(fake.buffers, 0);
	CU_ASSERT_EQUAL(fake.batches, 0);
	CU_ASSERT_EQUAL(fake.freed_in_use, 0);
	CU_ASSERT_EQUAL(fake.bad_dma, 0);
	CU_ASSERT_EQUAL(fake.reserved_bytes, 0);
	NSDK_ASSERT_INT(fake.allocations, 0);
}

struct nsdk_nvme_ctrlr *fake_attach(void)
{
	struct nsdk_nvme_ctrlr *ctrlr = NULL;
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .max_resets = fake.max_resets,
				       .plain_doorbells = fake.plain_doorbells,
				       .host_memory_bytes = fake.host_memory_bytes,
				       .cmb = fake.cmb,
				       .interrupts = fake.interrupts };

	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), 0);
	return ctrlr;
}

struct nsdk_nvme_qpair *fake_qpair(struct nsdk_nvme_ctrlr *ctrlr, unsigned entries)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .entries = entries };
	struct nsdk_nvme_qpair *qp = NULL;

	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	return qp;
}

void fake_done_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct fake_done *done = ctx;

	/* What was taken back for this callback has been fenced before it looks. */
	CU_ASSERT_EQUAL(fake.not_fenced, 0);
	done->count++;
	done->status = cpl->status & 0xfffe;
	done->cid = cpl->cid;
}

uint16_t fake_self_test(struct nsdk_nvme_ctrlr *ctrlr, uint64_t timeout_ns, struct fake_done *done)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SELF_TEST);

	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, timeout_ns,
						 fake_done_cb, done), 0);
	fake_run();
	return fake.last_cid[0];
}

void fake_teardown(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_qpair *qp)
{
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}
