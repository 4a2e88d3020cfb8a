/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGBUS on a BAR: the kernel takes the mapping of a device's registers away when its memory decoding
 * is switched off, when it is powered down, and (on Arm) a removed device answers with an abort. The
 * next load or store of a driver then faults, in the middle of an I/O path that cannot be asked first.
 *
 * Model. Mapped BARs are in a table. A handler for the whole process looks the faulting address up; when
 * it lies in a BAR, that part of the BAR becomes ordinary memory full of ones, which is how a device
 * that does not answer reads on PCI, the owner's flag is set, and the instruction is tried again and
 * succeeds. A driver then finds out in the way it finds out about any device that reads all ones. What a
 * driver stores there lands in a page of this process's own, which nobody reads.
 *
 * The handler calls nothing but mmap: the ones lie in a sealed memfd, made before the first BAR is put
 * into the table. It takes no lock. A place of the table has a version that is odd while it is changed,
 * and a place that is being changed is passed over: nobody may use a BAR that is just being mapped or
 * unmapped, so the fault is not of that one. Places are never freed.
 *
 * Other handlers. What is not ours goes to the handler that was there before, or to the default action,
 * exactly as if we were not there. When the last BAR leaves the table the earlier handler is put back,
 * unless somebody has put theirs on top since: it calls ours, most likely, so ours stays where it is and
 * passes everything on.
 *
 * Threading. Adding and removing take a mutex. Faults may come in any threads at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/log.h>

#include "sigbus.h"

/* So much of a BAR is replaced at a time: each piece is a mapping, of which a process has some 65,000. */
#define PIECE_BYTES ((size_t)64 << 10)

#define BLOCK_RANGES 64u

struct range {
	atomic_uint version; /* odd: being changed */
	atomic_uintptr_t base;
	atomic_size_t bytes; /* 0: a free place */
	_Atomic(atomic_uint *) flags;
	bool wants_handler; /* under the lock */
};

struct block {
	struct range ranges[BLOCK_RANGES];
	_Atomic(struct block *) next;
};

static struct block first_block;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock, but for what is atomic. */
static unsigned range_count, handler_count;
static bool is_installed;
static atomic_int ones_fd = -1;
static size_t page_bytes, piece_bytes;
/* Who is called for what is not ours. A handler may still be reading the one when the other is filled. */
static struct sigaction earlier[2];
static unsigned earlier_at;
static _Atomic(const struct sigaction *) earlier_now = &earlier[0];

/* ---- In the handler ---- */

/* @return whether @p address is in this range, and then what is known of it. */
static bool is_in(struct range *range, uintptr_t address, uintptr_t *base, size_t *bytes,
		  atomic_uint **flags)
{
	/* Acquire, each: the second look at the version comes after these, and a change that one of
	 * them has seen a part of has made the version odd before. */
	unsigned version = atomic_load_explicit(&range->version, memory_order_acquire);

	*base = atomic_load_explicit(&range->base, memory_order_acquire);
	*bytes = atomic_load_explicit(&range->bytes, memory_order_acquire);
	*flags = atomic_load_explicit(&range->flags, memory_order_acquire);
	if (version % 2 != 0 ||
	    version != atomic_load_explicit(&range->version, memory_order_relaxed))
		return false;
	return address - *base < *bytes;
}

static bool replace(uintptr_t address, uintptr_t base, size_t bytes)
{
	size_t at = (address - base) & ~(piece_bytes - 1);
	size_t length = bytes - at < piece_bytes ? bytes - at : piece_bytes;
	int fd = atomic_load_explicit(&ones_fd, memory_order_acquire);

	/* Not by the C library's mmap: a sanitizer stands before it that is not made for handlers. */
	return syscall(SYS_mmap, base + at, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)0) != -1;
}

bool nsdk_sigbus_handle(int code, void *address)
{
	uintptr_t base;
	struct block *block;
	atomic_uint *flags;
	size_t bytes;

	/* A kill() has no address; an unaligned access is a bug, and memory that fails elsewhere is not
	 * what this thread has just touched. */
	if (code != BUS_ADRERR && code != BUS_OBJERR && code != BUS_MCEERR_AR)
		return false;
	for (block = &first_block; block != NULL;
	     block = atomic_load_explicit(&block->next, memory_order_acquire)) {
		for (unsigned i = 0; i < BLOCK_RANGES; i++) {
			if (!is_in(&block->ranges[i], (uintptr_t)address, &base, &bytes, &flags))
				continue;
			/* First, so that no thread can read the ones and find no reason for them. */
			atomic_fetch_or_explicit(flags, NSDK_SIGBUS_FAULTED, memory_order_release);
			return replace((uintptr_t)address, base, bytes);
		}
	}
	return false;
}

/* As the kernel does it. Its own faults come again at the same instruction; a sent signal does not. */
static void act_by_default(int sig, bool comes_again)
{
	const struct sigaction by_default = {.sa_handler = SIG_DFL};

	sigaction(sig, &by_default, NULL);
	if (!comes_again)
		raise(sig); /* waits until the handler returns */
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *to = atomic_load_explicit(&earlier_now, memory_order_acquire);
	bool comes_again = info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
	sigset_t mask;

	if (to->sa_handler == SIG_DFL || (to->sa_handler == SIG_IGN && comes_again)) {
		act_by_default(sig, comes_again);
	} else if (to->sa_handler != SIG_IGN) {
		pthread_sigmask(SIG_BLOCK, &to->sa_mask, &mask);
		if ((to->sa_flags & SA_SIGINFO) != 0)
			to->sa_sigaction(sig, info, context);
		else
			to->sa_handler(sig);
		pthread_sigmask(SIG_SETMASK, &mask, NULL);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int error = errno;

	if (!nsdk_sigbus_handle(info->si_code, info->si_addr))
		pass_on(sig, info, context);
	errno = error;
}

/* ---- Coming and going ---- */

static bool is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_sigbus;
}

/* @return 0 or -errno. */
static int install(void)
{
	struct sigaction ours = {.sa_sigaction = on_sigbus}, now;

	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	/* Under a handler of somebody else's it is called by that one; under none it is not. */
	if (is_ours(&now) ||
	    (is_installed && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN))
		return 0;
	earlier_at ^= 1;
	earlier[earlier_at] = now;
	/* Before the handler is there: it is called at once, perhaps. */
	atomic_store_explicit(&earlier_now, &earlier[earlier_at], memory_order_release);
	/* On the alternate stack where a thread has one, as language runtimes want it of everybody. */
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigemptyset(&ours.sa_mask);
	if (sigaction(SIGBUS, &ours, NULL) != 0)
		return -errno;
	is_installed = true;
	return 0;
}

static void uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) != 0 || !is_ours(&now))
		return;
	sigaction(SIGBUS, atomic_load_explicit(&earlier_now, memory_order_relaxed), NULL);
	is_installed = false;
}

/* A file full of ones that nobody can change. @return 0 or -errno. */
static int make_ones(void)
{
	char *ones;
	int fd, rc = 0;

	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	piece_bytes = PIECE_BYTES > page_bytes ? PIECE_BYTES : page_bytes;
	fd = memfd_create("nsdk-all-ones", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)piece_bytes) != 0) {
		rc = -errno;
		goto close_fd;
	}
	ones = mmap(NULL, piece_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ones == MAP_FAILED) {
		rc = -errno;
		goto close_fd;
	}
	memset(ones, 0xff, piece_bytes);
	munmap(ones, piece_bytes);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		rc = -errno;
		goto close_fd;
	}
	atomic_store_explicit(&ones_fd, fd, memory_order_release);
	return 0;

close_fd:
	close(fd);
	return rc;
}

/* The range that begins at @p base, or a free place with 0 bytes; NULL no memory. */
static struct range *find(uintptr_t base, size_t bytes)
{
	struct block *block = &first_block, *next;

	for (;;) {
		for (unsigned i = 0; i < BLOCK_RANGES; i++) {
			struct range *range = &block->ranges[i];

			if (range->bytes == bytes && (bytes == 0 || range->base == base))
				return range;
		}
		next = block->next;
		if (next == NULL)
			break;
		block = next;
	}
	if (bytes != 0)
		return NULL;
	next = calloc(1, sizeof(*next));
	if (next != NULL)
		/* Release: a handler that sees it sees that it is empty. It stays for ever. */
		atomic_store_explicit(&block->next, next, memory_order_release);
	return next != NULL ? &next->ranges[0] : NULL;
}

static void change(struct range *range, uintptr_t base, size_t bytes, atomic_uint *flags)
{
	unsigned version = atomic_load_explicit(&range->version, memory_order_relaxed);

	atomic_store_explicit(&range->version, version + 1, memory_order_relaxed);
	/* Release, each: who sees one of these sees the odd version. */
	atomic_store_explicit(&range->base, base, memory_order_release);
	atomic_store_explicit(&range->bytes, bytes, memory_order_release);
	atomic_store_explicit(&range->flags, flags, memory_order_release);
	/* Release: who sees this sees all of these. */
	atomic_store_explicit(&range->version, version + 2, memory_order_release);
}

static void close_ones(void)
{
	close(atomic_exchange_explicit(&ones_fd, -1, memory_order_relaxed));
}

int nsdk_sigbus_add(void *base, size_t bytes, bool wants_handler, atomic_uint *flags)
{
	struct range *range = NULL;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (range_count == 0)
		rc = make_ones();
	if (rc != 0)
		goto unlock;
	range = find(0, 0);
	if (range == NULL)
		rc = -ENOMEM;
	else if (wants_handler)
		rc = install();
	if (rc != 0)
		goto drop_ones;
	bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1);
	change(range, (uintptr_t)base, bytes, flags);
	range->wants_handler = wants_handler;
	range_count++;
	handler_count += wants_handler;
	pthread_mutex_unlock(&lock);
	return 0;

drop_ones:
	if (range_count == 0)
		close_ones();
unlock:
	pthread_mutex_unlock(&lock);
	return nsdk_fail(rc, "bus", "cannot get ready for a device that vanishes: %s", strerror(-rc));
}

void nsdk_sigbus_remove(void *base, size_t bytes)
{
	struct range *range;

	pthread_mutex_lock(&lock);
	bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1);
	range = bytes != 0 ? find((uintptr_t)base, bytes) : NULL;
	if (range == NULL)
		goto unlock;
	change(range, 0, 0, NULL);
	range_count--;
	if (range->wants_handler && --handler_count == 0)
		uninstall();
	if (range_count == 0)
		close_ones();
unlock:
	pthread_mutex_unlock(&lock);
}
