/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The blocks of the NVMe model: all namespaces one after another, in memory or in a file.
 *
 * Memory is taken as it is written; a file is read and written with pread() and pwrite() rather than
 * mapped, so that a full disk is a status of a command and not a SIGBUS.
 *
 * Reads and writes of one block may come from several threads, and the specification has each block
 * read and written whole (AWUN is one block). So the store is divided into extents, a lock for each,
 * taken while data moves; 32 locks serve all of them. A block never lies across two extents.
 *
 * With volatile_cache=1 what is written stays in a cache before the file (nvme_wcache.c), which a
 * flush empties and a power cut loses.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "nvme_internal.h"

#define DEFAULT_BYTES ((uint64_t)256 << 20)
/* Above this a deallocation takes the whole store at once instead of extent by extent. */
#define LARGE_BYTES ((uint64_t)16 << 20)

#define UNRECOVERED_READ emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_UNRECOVERED_READ)
#define COMPARE_FAILURE emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_COMPARE_FAILURE)

/* ---- Opening ---- */

static int file_bytes(int fd, const struct stat *st, uint64_t *out)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, out) ? -errno : 0;
	*out = (uint64_t)st->st_size;
	return 0;
}

static int open_file(struct emu_nvme_store *store, struct emu_nvme_opts *opts)
{
	/* Without a volatile write cache a write is on the disk when it completes. */
	int flags = O_RDWR | O_CLOEXEC | (opts->write_cache ? 0 : O_DSYNC);
	const char *path = opts->file;
	bool created = false;
	uint64_t have, want;
	struct stat st;
	int rc;

	store->fd = open(path, flags);
	if (store->fd < 0 && errno == ENOENT) {
		store->fd = open(path, flags | O_CREAT | O_EXCL, 0644);
		created = store->fd >= 0;
	}
	if (store->fd < 0) {
		rc = -errno;
		return nsdk_fail(rc, EMU_NVME_ROOM,
				 "emu:nvme: file=%s cannot be opened for reading and writing: %s", path,
				 strerror(-rc));
	}
	if (flock(store->fd, LOCK_EX | LOCK_NB)) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		nsdk_fail(rc, EMU_NVME_ROOM, "emu:nvme: file=%s is in use by another emulated device",
			  path);
		goto close_file;
	}
	if (fstat(store->fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		rc = nsdk_fail(-EINVAL, EMU_NVME_ROOM,
			       "emu:nvme: file=%s is neither a file nor a block device", path);
		goto close_file;
	}
	if (created) {
		if (!opts->size_bytes)
			opts->size_bytes = DEFAULT_BYTES;
		if (ftruncate(store->fd, (off_t)(opts->size_bytes * opts->namespaces))) {
			rc = -errno;
			nsdk_fail(rc, EMU_NVME_ROOM,
				  "emu:nvme: file=%s cannot be made %llu bytes long: %s; say a smaller "
				  "size=", path, (unsigned long long)(opts->size_bytes * opts->namespaces),
				  strerror(-rc));
			goto remove_file;
		}
		have = opts->size_bytes * opts->namespaces;
	} else {
		rc = file_bytes(store->fd, &st, &have);
		if (rc) {
			nsdk_fail(rc, EMU_NVME_ROOM, "emu:nvme: the size of file=%s cannot be read: %s",
				  path, strerror(-rc));
			goto close_file;
		}
		if (!opts->size_bytes)
			opts->size_bytes = have / opts->namespaces / opts->lba_bytes * opts->lba_bytes;
	}
	want = opts->size_bytes * opts->namespaces;
	if (want == 0 || have < want) {
		rc = nsdk_fail(-EINVAL, EMU_NVME_ROOM,
			       "emu:nvme: file=%s has %llu bytes, too few for %u namespace(s) of %llu; say "
			       "a smaller size=, or make the file longer",
			       path, (unsigned long long)have, opts->namespaces,
			       (unsigned long long)(opts->size_bytes ? opts->size_bytes :
								       opts->lba_bytes));
		goto close_file;
	}
	store->bytes = want;
	return 0;

remove_file:
	unlink(path);
close_file:
	close(store->fd);
	store->fd = -1;
	return rc;
}

void *emu_nvme_map_sparse(uint64_t bytes)
{
	void *memory;

	if (bytes > SIZE_MAX)
		return NULL;
	memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int emu_nvme_store_open(struct emu_nvme_store *store, struct emu_nvme_opts *opts)
{
	int rc;

	store->fd = -1;
	store->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	store->lba_shift = opts->lba_bytes == 4096 ? 12 : 9;
	if (opts->file[0]) {
		rc = open_file(store, opts);
		if (rc)
			return rc;
	} else {
		if (!opts->size_bytes)
			opts->size_bytes = DEFAULT_BYTES;
		store->bytes = opts->size_bytes * opts->namespaces;
		store->ram = emu_nvme_map_sparse(store->bytes);
		if (!store->ram)
			goto no_memory;
	}
	store->bad_bytes = (size_t)(store->bytes >> store->lba_shift) / 8 + 1;
	store->bad = emu_nvme_map_sparse(store->bad_bytes);
	if (!store->bad)
		goto no_memory;
	if (opts->volatile_cache) {
		rc = emu_nvme_wcache_create(store, opts->seed, &store->cache);
		if (rc)
			goto no_memory;
	}
	for (unsigned i = 0; i < EMU_NVME_EXTENT_LOCKS; i++)
		pthread_mutex_init(&store->extents[i], NULL);
	return 0;

no_memory:
	rc = nsdk_fail(-ENOMEM, EMU_NVME_ROOM,
		       "emu:nvme: %llu bytes of memory for the blocks cannot be had; say a smaller size=",
		       (unsigned long long)store->bytes);
	if (store->bad)
		munmap(store->bad, store->bad_bytes);
	if (store->ram)
		munmap(store->ram, store->bytes);
	if (store->fd >= 0)
		close(store->fd);
	return rc;
}

void emu_nvme_store_close(struct emu_nvme_store *store)
{
	for (unsigned i = 0; i < EMU_NVME_EXTENT_LOCKS; i++)
		pthread_mutex_destroy(&store->extents[i]);
	emu_nvme_wcache_destroy(store->cache);
	munmap(store->bad, store->bad_bytes);
	if (store->ram)
		munmap(store->ram, store->bytes);
	if (store->fd >= 0)
		close(store->fd);
}

/* ---- Pieces ---- */

/* How much of a range lies in its first extent. */
static size_t first_part(uint64_t offset, uint64_t bytes)
{
	size_t room = EMU_NVME_EXTENT_BYTES - (size_t)(offset % EMU_NVME_EXTENT_BYTES);

	return bytes < room ? (size_t)bytes : room;
}

static pthread_mutex_t *lock_of(struct emu_nvme_store *store, uint64_t offset)
{
	return &store->extents[offset / EMU_NVME_EXTENT_BYTES % EMU_NVME_EXTENT_LOCKS];
}

/* The bits of an extent are whole bytes, so no two locks share one: it has at least 16 blocks. */
_Static_assert((EMU_NVME_EXTENT_BYTES >> 12) % 8 == 0, "bits of two extents in one byte");

static bool is_bad(const struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> store->lba_shift, count = bytes >> store->lba_shift;

	for (uint64_t block = first; block < first + count; block++)
		if (store->bad[block / 8] >> block % 8 & 1)
			return true;
	return false;
}

static void set_bad(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes, bool bad)
{
	uint64_t block = offset >> store->lba_shift, end = block + (bytes >> store->lba_shift);
	uint8_t bit;

	while (block < end) {
		if (block % 8 == 0 && end - block >= 8) {
			memset(store->bad + block / 8, bad ? 0xff : 0, (end - block) / 8);
			block += (end - block) / 8 * 8;
			continue;
		}
		bit = (uint8_t)(1u << block % 8);
		store->bad[block / 8] = (uint8_t)(bad ? store->bad[block / 8] | bit :
							store->bad[block / 8] & ~bit);
		block++;
	}
}

static bool any_bad(struct emu_nvme_store *store)
{
	/* The bits themselves are under the locks; this only spares looking at them. */
	return atomic_load_explicit(&store->any_bad, memory_order_relaxed);
}

static bool read_file(struct emu_nvme_store *store, void *to, size_t bytes, uint64_t offset)
{
	uint8_t *at = to;
	ssize_t done;

	while (bytes > 0) {
		done = pread(store->fd, at, bytes, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) /* 0: somebody made the file shorter */
			return false;
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return true;
}

uint16_t emu_nvme_store_to_file(struct emu_nvme_store *store, const void *from, size_t bytes,
				uint64_t offset)
{
	const uint8_t *at = from;
	ssize_t done;

	while (bytes > 0) {
		done = pwrite(store->fd, at, bytes, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == ENOSPC || errno == EDQUOT))
			return EMU_NVME_GENERIC(CAPACITY_EXCEEDED);
		if (done <= 0)
			return emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_WRITE_FAULT);
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

/* ---- Commands ---- */

/* What a command does to a range within one extent, whose lock is held. */
typedef uint16_t (*part_fn)(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			    size_t bytes);

/* A range, extent by extent, until one of them has a bad status. */
static uint16_t each_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			  uint64_t bytes, part_fn fn)
{
	uint16_t status = 0;
	size_t part;

	for (; bytes > 0 && !status; offset += part, bytes -= part) {
		part = first_part(offset, bytes);
		pthread_mutex_lock(lock_of(store, offset));
		status = fn(store, req, offset, part);
		pthread_mutex_unlock(lock_of(store, offset));
	}
	return status;
}

/* From the file, and what is newer from the cache before it. */
static bool load(struct emu_nvme_store *store, uint8_t *to, size_t bytes, uint64_t offset)
{
	if (!read_file(store, to, bytes, offset))
		return false;
	if (store->cache)
		emu_nvme_wcache_overlay(store->cache, to, offset, bytes);
	return true;
}

static uint16_t read_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			  size_t bytes)
{
	if (any_bad(store) && is_bad(store, offset, bytes))
		return UNRECOVERED_READ;
	if (store->ram)
		return emu_nvme_data_to_host(req, store->ram + offset, bytes);
	if (!load(store, req->cq->scratch, bytes, offset))
		return UNRECOVERED_READ;
	return emu_nvme_data_to_host(req, req->cq->scratch, bytes);
}

uint16_t emu_nvme_store_read(struct emu_nvme_store *store, struct emu_nvme_req *req,
			     uint64_t offset, uint64_t bytes)
{
	return each_part(store, req, offset, bytes, read_part);
}

static uint16_t write_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			   size_t bytes)
{
	uint8_t *to = store->ram ? store->ram + offset : req->cq->scratch;
	uint16_t status = emu_nvme_data_from_host(req, to, bytes);

	if (status)
		return status;
	if (store->cache)
		status = emu_nvme_wcache_put(store, to, offset, bytes);
	else if (!store->ram)
		status = emu_nvme_store_to_file(store, to, bytes, offset);
	if (!status && any_bad(store))
		set_bad(store, offset, bytes, false);
	return status;
}

uint16_t emu_nvme_store_write(struct emu_nvme_store *store, struct emu_nvme_req *req,
			      uint64_t offset, uint64_t bytes)
{
	return each_part(store, req, offset, bytes, write_part);
}

static uint16_t compare_part(struct emu_nvme_store *store, struct emu_nvme_req *req,
			     uint64_t offset, size_t bytes)
{
	uint8_t chunk[4096];
	uint16_t status;
	size_t part;

	if (any_bad(store) && is_bad(store, offset, bytes))
		return UNRECOVERED_READ;
	if (store->ram) {
		status = emu_nvme_data_from_host(req, req->cq->scratch, bytes);
		if (status)
			return status;
		return memcmp(store->ram + offset, req->cq->scratch, bytes) ? COMPARE_FAILURE : 0;
	}
	if (!load(store, req->cq->scratch, bytes, offset))
		return UNRECOVERED_READ;
	for (size_t at = 0; at < bytes; at += part) {
		part = bytes - at < sizeof(chunk) ? bytes - at : sizeof(chunk);
		status = emu_nvme_data_from_host(req, chunk, part);
		if (status)
			return status;
		if (memcmp(req->cq->scratch + at, chunk, part))
			return COMPARE_FAILURE;
	}
	return 0;
}

uint16_t emu_nvme_store_compare(struct emu_nvme_store *store, struct emu_nvme_req *req,
				uint64_t offset, uint64_t bytes)
{
	return each_part(store, req, offset, bytes, compare_part);
}

uint16_t emu_nvme_store_visit(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes, bool writes,
			      emu_nvme_block_fn fn, void *ctx)
{
	const uint64_t block = (uint64_t)1 << store->lba_shift;
	uint16_t status = 0;

	for (uint64_t end = offset + bytes; offset < end && !status; offset += block) {
		pthread_mutex_lock(lock_of(store, offset));
		if (!writes && any_bad(store) && is_bad(store, offset, block))
			status = UNRECOVERED_READ;
		else
			status = fn(ctx, offset, store->ram + offset);
		if (writes && !status && any_bad(store))
			set_bad(store, offset, block, false);
		pthread_mutex_unlock(lock_of(store, offset));
	}
	return status;
}

static uint16_t verify_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			    size_t bytes)
{
	return is_bad(store, offset, bytes) ? UNRECOVERED_READ : 0;
}

void emu_nvme_store_compare_and_write(struct emu_nvme_store *store, struct emu_nvme_req *compare,
				      struct emu_nvme_req *write, uint64_t offset, uint64_t bytes,
				      uint16_t *compare_status, uint16_t *write_status)
{
	pthread_mutex_t *locks[2] = { lock_of(store, offset), lock_of(store, offset + bytes - 1) };
	bool upwards = locks[0] < locks[1];
	size_t part;

	*compare_status = 0;
	*write_status = 0;
	/* It lies in two extents at most; the lower number first. */
	pthread_mutex_lock(locks[upwards ? 0 : 1]);
	if (locks[0] != locks[1])
		pthread_mutex_lock(locks[upwards ? 1 : 0]);
	for (uint64_t at = 0; at < bytes && !*compare_status; at += part) {
		part = first_part(offset + at, bytes - at);
		*compare_status = compare_part(store, compare, offset + at, part);
	}
	for (uint64_t at = 0; at < bytes && !*compare_status && !*write_status; at += part) {
		part = first_part(offset + at, bytes - at);
		*write_status = write_part(store, write, offset + at, part);
	}
	if (locks[0] != locks[1])
		pthread_mutex_unlock(locks[1]);
	pthread_mutex_unlock(locks[0]);
}

uint16_t emu_nvme_store_copy(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t from,
			     uint64_t to, uint64_t bytes)
{
	uint8_t *scratch = req->cq->scratch;
	uint16_t status = 0;
	size_t part;

	for (; bytes > 0 && !status; from += part, to += part, bytes -= part) {
		part = first_part(to, first_part(from, bytes));
		pthread_mutex_lock(lock_of(store, from));
		if (any_bad(store) && is_bad(store, from, part))
			status = UNRECOVERED_READ;
		else if (store->ram)
			memcpy(scratch, store->ram + from, part);
		else if (!load(store, scratch, part, from))
			status = UNRECOVERED_READ;
		pthread_mutex_unlock(lock_of(store, from));
		if (status)
			break;
		pthread_mutex_lock(lock_of(store, to));
		if (store->ram)
			memcpy(store->ram + to, scratch, part);
		if (store->cache)
			status = emu_nvme_wcache_put(store, scratch, to, part);
		else if (!store->ram)
			status = emu_nvme_store_to_file(store, scratch, part, to);
		if (!status && any_bad(store))
			set_bad(store, to, part, false);
		pthread_mutex_unlock(lock_of(store, to));
	}
	return status;
}

uint16_t emu_nvme_store_verify(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	return any_bad(store) ? each_part(store, NULL, offset, bytes, verify_part) : 0;
}

static uint16_t zero_file(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	static const uint8_t zeroes[EMU_NVME_EXTENT_BYTES];
	uint16_t status = 0;
	size_t part;

	if (!fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		       (off_t)bytes))
		return 0;
	for (; bytes > 0 && !status; offset += part, bytes -= part) {
		part = first_part(offset, bytes);
		status = emu_nvme_store_to_file(store, zeroes, part, offset);
	}
	return status;
}

/* Whole pages go back to the system, which gives zeroes when they are touched again. */
void emu_nvme_zero_memory(uint8_t *at, uint64_t bytes, size_t page)
{
	size_t head = (page - (uintptr_t)at % page) % page;
	size_t middle = bytes > head ? (bytes - head) / page * page : 0;

	if (bytes < EMU_NVME_EXTENT_BYTES || !middle || madvise(at + head, middle, MADV_DONTNEED)) {
		memset(at, 0, bytes);
		return;
	}
	memset(at, 0, head);
	memset(at + head + middle, 0, bytes - head - middle);
}

/* Past the cache: what it had there is as gone as the rest. */
static uint16_t zero_range(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	uint16_t status = 0;

	if (store->ram)
		emu_nvme_zero_memory(store->ram + offset, bytes, store->page_bytes);
	else
		status = zero_file(store, offset, bytes);
	if (!status && store->cache)
		emu_nvme_wcache_drop(store->cache, offset, bytes);
	if (!status && any_bad(store))
		set_bad(store, offset, bytes, false);
	return status;
}

static uint16_t zero_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			  size_t bytes)
{
	uint16_t status;

	if (!store->cache)
		return zero_range(store, offset, bytes);
	status = emu_nvme_wcache_put(store, NULL, offset, bytes);
	if (!status && any_bad(store))
		set_bad(store, offset, bytes, false);
	return status;
}

/* The whole range at once, past the cache. */
static uint16_t zero_at_once(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	uint16_t status;

	for (unsigned i = 0; i < EMU_NVME_EXTENT_LOCKS; i++)
		pthread_mutex_lock(&store->extents[i]);
	status = zero_range(store, offset, bytes);
	for (unsigned i = EMU_NVME_EXTENT_LOCKS; i-- > 0;)
		pthread_mutex_unlock(&store->extents[i]);
	return status;
}

uint16_t emu_nvme_store_zero(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	if (bytes > LARGE_BYTES)
		return zero_at_once(store, offset, bytes);
	return each_part(store, NULL, offset, bytes, zero_part);
}

static uint16_t spoil_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			   size_t bytes)
{
	set_bad(store, offset, bytes, true);
	return 0;
}

uint16_t emu_nvme_store_spoil(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	atomic_store_explicit(&store->any_bad, true, memory_order_relaxed);
	return each_part(store, NULL, offset, bytes, spoil_part);
}

/* ---- What lasts ---- */

static uint16_t sync_file(struct emu_nvme_store *store)
{
	if (store->fd >= 0 && fdatasync(store->fd))
		return emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_WRITE_FAULT);
	return 0;
}

static uint16_t clean_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			   size_t bytes)
{
	return emu_nvme_wcache_write_back(store, offset, bytes, EMU_NVME_WCACHE_ALL);
}

uint16_t emu_nvme_store_settle(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	uint16_t status = 0;

	if (store->cache)
		status = each_part(store, NULL, offset, bytes, clean_part);
	return status ? status : sync_file(store);
}

uint16_t emu_nvme_store_wipe(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes)
{
	uint16_t status = zero_at_once(store, offset, bytes);

	return status ? status : sync_file(store);
}

/* Every extent of which the cache has anything. */
static uint16_t each_cached(struct emu_nvme_store *store, part_fn fn)
{
	uint64_t offset = 0;
	uint16_t status = 0;

	while (!status && emu_nvme_wcache_next(store->cache, &offset)) {
		uint64_t left = store->bytes - offset;

		status = each_part(store, NULL, offset,
				   left < EMU_NVME_EXTENT_BYTES ? left : EMU_NVME_EXTENT_BYTES, fn);
		offset += EMU_NVME_EXTENT_BYTES;
	}
	return status;
}

uint16_t emu_nvme_store_flush(struct emu_nvme_store *store)
{
	uint16_t status = 0;

	if (store->cache)
		status = each_cached(store, clean_part);
	return status ? status : sync_file(store);
}

static uint16_t cut_part(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t offset,
			 size_t bytes)
{
	/* What was on its way is there or not, block by block. */
	emu_nvme_wcache_write_back(store, offset, bytes, EMU_NVME_WCACHE_ALL / 2);
	emu_nvme_wcache_drop(store->cache, offset, bytes);
	return 0;
}

void emu_nvme_store_cut(struct emu_nvme_store *store)
{
	if (store->cache)
		each_cached(store, cut_part);
}
