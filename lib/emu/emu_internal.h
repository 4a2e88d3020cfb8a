/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/emu and lib/bus: what a device model is, how it does DMA, and the cache model.
 */
#ifndef NSDK_EMU_INTERNAL_H
#define NSDK_EMU_INTERNAL_H

#include <stdatomic.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>

struct nsdk_line_ops;
struct nsdk_cache_model;

/* Addresses that a device takes for memory of its own, so that DMA there does not leave it. */
struct nsdk_emu_own {
	uint64_t iova;
	size_t bytes; /* 0: none */
	uint8_t *va;
};

/* A model's way to memory: IOVA through the soft address space, then the cache model. */
struct nsdk_emu_dma {
	struct nsdk_ioas *ioas;
	struct nsdk_cache_model *cache; /* NULL: no-snoop is off, DMA is plain copies */
	/* Bus mastering and Enable No Snoop as config space has them at this moment. */
	atomic_bool bus_master;
	atomic_bool nosnoop_enabled;
	/* Where a write went that the address space refused and no completion tells of; 0: nowhere. The
	 * model has been pulled out since: the platform does that to contain it. */
	_Atomic uint64_t contained_iova;
	/* Changed only while the model does no DMA. */
	struct nsdk_emu_own own;
};

/*
 * DMA by a model. @p nosnoop asks for a No Snoop TLP; it is one only when Enable No Snoop is set.
 * @p owner names who, for violations ("emu:nvme sqid 1 cid 7").
 * @return 0; -EFAULT the address space has no such mapping (an IOMMU fault); -EPERM bus mastering is
 * off. A partial transfer may have happened, as on a bus.
 * Threading: any. Writes become visible to the host in the order they are made, each in ascending
 * order of its aligned 8-byte units, with release order: see dma.c.
 */
int nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes, bool nosnoop,
		      const char *owner);
int nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from, size_t bytes,
		       bool nosnoop, const char *owner);

/*
 * The device says that it has reported [iova, bytes) as written to the host (the completion was
 * consumed: CQ head moved past it): every line of it that a no-snoop write put into memory must
 * have been taken back by the CPU by now, or it is a stale CPU read. Once for each transfer, in the
 * order of the completions; later writes to the same lines, of a command that the host has submitted
 * meanwhile, are not held against it.
 */
void nsdk_emu_dma_consumed(struct nsdk_emu_dma *dma, uint64_t iova, size_t bytes, const char *owner);

/* ---- Cache model (lib/emu/cache.c): one in a process, as there is one memory ---- */

/* Take a reference; the first makes it, with @p seed for the adversary (0: from the clock, logged). */
int nsdk_cache_model_get(uint64_t seed, struct nsdk_cache_model **out);
void nsdk_cache_model_put(struct nsdk_cache_model *model);

/*
 * A device can reach [va, bytes) from now on, or no longer. Ranges may be mapped several times. Lines
 * that no line operation has written back before the first map are fresh: memory holds garbage there.
 */
void nsdk_cache_model_map(struct nsdk_cache_model *model, void *va, size_t bytes);
void nsdk_cache_model_unmap(struct nsdk_cache_model *model, void *va, size_t bytes);

/* DMA between the device and [va, bytes). snoop false: past the caches. */
void nsdk_cache_model_read(struct nsdk_cache_model *model, const void *va, void *to, size_t bytes,
			   bool snoop, const char *owner);
void nsdk_cache_model_write(struct nsdk_cache_model *model, void *va, const void *from, size_t bytes,
			    bool snoop, const char *owner);
void nsdk_cache_model_consumed(struct nsdk_cache_model *model, const void *va, size_t bytes,
			       const char *owner);

/*
 * One turn of the adversary: maybe evict dirty lines, maybe prefetch stale ones. The model takes a
 * turn after every no-snoop transfer and every fence by itself; more of them do no harm.
 */
void nsdk_cache_model_adversary(struct nsdk_cache_model *model);

/*
 * A store was made on @p cpu, whose cache has these lines dirty now; and WBINVD is executed there: the
 * dirty lines of which that was said last go to memory, and no others (cache_wbinvd.c).
 */
void nsdk_cache_model_stored(const void *va, size_t bytes, unsigned cpu);
void nsdk_cache_model_wbinvd(unsigned cpu);

/*
 * Memory that is in no cache, behind a BAR: from now on, or no longer. A line operation there is a violation.
 * There need be no model yet.
 */
void nsdk_cache_model_uncached(const volatile void *va, size_t bytes, bool uncached);

/* The line operations that go to the model (a process-wide table, as the CPU's are). */
const struct nsdk_line_ops *nsdk_cache_model_line_ops(void);

/* ---- Device models ---- */
struct nsdk_emu_model;

struct nsdk_emu_model_ops {
	const char *name; /* the word behind "emu:" */
	/* @p options: "size=1G,lba=512…" or "". Unknown ones are refused with the list of known ones. */
	int (*create)(const char *options, struct nsdk_emu_model **out);
	void (*destroy)(struct nsdk_emu_model *model);
	int (*cfg_read)(struct nsdk_emu_model *model, unsigned offset, unsigned width, uint32_t *out);
	int (*cfg_write)(struct nsdk_emu_model *model, unsigned offset, unsigned width,
			 uint32_t value);
	/* BAR memory; doorbells in it are plain memory that poll looks at. */
	int (*bar)(struct nsdk_emu_model *model, unsigned index, struct nsdk_bar *out);
	uint64_t (*mmio_read)(struct nsdk_emu_model *model, unsigned bar, size_t offset,
			      unsigned width);
	void (*mmio_write)(struct nsdk_emu_model *model, unsigned bar, size_t offset, unsigned width,
			   uint64_t value);
	unsigned (*irq_count)(struct nsdk_emu_model *model);
	int (*irq_set)(struct nsdk_emu_model *model, const int *eventfds, unsigned count);
	/* One vector of those; @return 0 or -EINVAL, not logged. */
	int (*irq_set_one)(struct nsdk_emu_model *model, unsigned vector, int eventfd);
	void (*reset)(struct nsdk_emu_model *model);
	/* A bounded bit of work on the caller's thread; nothing when the model runs its own. */
	void (*poll)(struct nsdk_emu_model *model);
	/* Whether the model has vanished (a test pulled it out). */
	bool (*gone)(struct nsdk_emu_model *model);
};

/* First member of every model. The bus fills in dma, and gone_fd, before the first register access. */
struct nsdk_emu_model {
	const struct nsdk_emu_model_ops *ops;
	struct nsdk_emu_dma dma;
	bool wants_nosnoop;       /* nosnoop=data|all: the emulated platform lets it through */
	unsigned iova_bits;       /* of the emulated IOMMU; 0: 64 */
	uint64_t seed;
	bool own_thread;          /* it works without poll */
	atomic_int gone_fd;       /* an eventfd to be signalled when it vanishes; -1: none */
};

/* The models there are, NULL at the end. */
extern const struct nsdk_emu_model_ops *const nsdk_emu_models[];
extern const struct nsdk_emu_model_ops nsdk_emu_nvme;

#endif
