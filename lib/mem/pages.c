/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages behind the addresses of the window.
 *
 * The pages belong to a memory file (memfd), which is mapped twice: first wherever the kernel likes,
 * where the NUMA policy is set and every page is touched, and only when all of them are there, into
 * the window. So whatever runs out does so away from the window, which is never left with a hole
 * that another mapping could fall into; and memory in a file is memory that another process can be
 * given, as device servers behind a socket need.
 *
 * Hugepages are reserved by the first mapping (there is no MAP_NORESERVE), so that running out is an
 * error of mmap() and not a SIGBUS later. What can still go wrong when they are touched (the limit
 * of a control group) is an error too, because the kernel does the touching. A device needs every
 * page in any case: it cannot fault.
 *
 * The NUMA policy is "preferred", not "bind". The reservation counts the pages of all nodes
 * together, so with a strict policy the kernel would grant it and then send SIGBUS when the wanted
 * node has none left. Where the pages came to lie is looked up instead, and said.
 *
 * MADV_DONTFORK: a child would keep the pages alive beyond this process, and could write into the
 * middle of a transfer; so it does not get this memory, and must not touch it. (Were the pages not a
 * file's, it would be worse: after a fork() the first write gives the writer a copy, and if that is
 * this process the device goes on with the old page. Memory that an application registers by
 * itself has this trap; see nsdk_mem_register().)
 *
 * Small pages are not locked: the IOMMU interface pins what a device can reach, and an emulated
 * device sees what the process sees.
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <numa.h>
#include <numaif.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/mem.h>

#include "window.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MAX_NODES 1024
#define MAX_KINDS 256 /* nodes times page sizes */

int nsdk_pages_node(int wanted)
{
	unsigned cpu, node;

	if (numa_available() < 0) {
		if (wanted > 0)
			return nsdk_fail(-EINVAL, "mem",
					 "there is no NUMA node %d: this system has one node only", wanted);
		return -1;
	}
	if (wanted < 0)
		/* glibc's getcpu() is younger than some C libraries that NSDK is built with. */
		return syscall(SYS_getcpu, &cpu, &node, NULL) == 0 ? (int)node : -1;
	if (wanted > numa_max_node() || !numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)wanted))
		return nsdk_fail(-EINVAL, "mem",
				 "NUMA node %d has no memory that this process may use; see numactl --show",
				 wanted);
	return wanted;
}

/* The sentence for too few hugepages, with the command that makes enough. */
static int shortage(size_t bytes, const struct nsdk_page_kind *kind)
{
	struct nsdk_hugepage_info info[MAX_KINDS];
	unsigned long long total = 0, free_pages = 0, needed = bytes / kind->page_bytes;
	int count = nsdk_env_hugepages(info, MAX_KINDS);

	for (int i = 0; i < count && i < MAX_KINDS; i++) {
		if (info[i].page_bytes != kind->page_bytes)
			continue;
		total += info[i].total_pages;
		free_pages += info[i].free_pages;
	}
	/* Free ones may be promised to others already, so at least one more than there are. */
	total += free_pages < needed ? needed - free_pages : 1;
	return nsdk_fail(-ENOMEM, "mem",
			 "%llu hugepages of %zu MiB are wanted for DMA memory and %llu are free; run as root: "
			 "echo %llu > /sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages%s",
			 needed, kind->page_bytes >> 20, free_pages, total, kind->page_bytes >> 10,
			 kind->page_bytes == NSDK_PAGE_1G ?
				 " (or boot with hugepagesz=1G hugepages=N, before memory is in pieces)" :
				 "");
}

/* A file of that many bytes, still without pages. @return its descriptor; -errno, logged. */
static int make_file(size_t bytes, const struct nsdk_page_kind *kind)
{
	unsigned flags = MFD_CLOEXEC;
	struct rlimit limit;
	int fd, error;

	if (kind->page_bytes == NSDK_PAGE_2M)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	if (kind->page_bytes == NSDK_PAGE_1G)
		flags |= MFD_HUGETLB | MFD_HUGE_1GB;
	/* Beyond this limit the kernel does not only refuse, but kills the process (SIGXFSZ). */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    limit.rlim_cur < bytes)
		return nsdk_fail(-ENOMEM, "mem",
				 "%zu MiB of DMA memory are above the file size limit; run "
				 "ulimit -f unlimited",
				 bytes >> 20);
	fd = memfd_create("nsdk-dma", flags);
	if (fd < 0) {
		error = -errno;
		if (kind->page_bytes && (error == -EINVAL || error == -ENODEV))
			return nsdk_fail(-EINVAL, "mem",
					 "this system has no hugepages of %zu MiB; those it has are in "
					 "/sys/kernel/mm/hugepages",
					 kind->page_bytes >> 20);
		return nsdk_fail(error, "mem", "no memory file for DMA memory: %s", strerror(-error));
	}
	if (ftruncate(fd, (off_t)bytes) != 0) {
		error = nsdk_fail(-errno, "mem", "no memory file of %zu MiB for DMA memory: %s",
				  bytes >> 20, strerror(errno));
		close(fd);
		return error;
	}
	return fd;
}

static void prefer_node(void *va, size_t bytes, int node)
{
	const size_t word_bits = 8 * sizeof(unsigned long);
	unsigned long mask[MAX_NODES / (8 * sizeof(unsigned long))] = { 0 };

	if (node < 0 || node >= MAX_NODES)
		return;
	mask[(size_t)node / word_bits] |= 1ul << ((size_t)node % word_bits);
	/*
	 * A container may forbid it (EPERM). The check afterwards says where the pages really are,
	 * which is all that counts.
	 */
	(void)mbind(va, bytes, MPOL_PREFERRED, mask, MAX_NODES + 1, 0);
}

/*
 * For kernels before 5.14: lets the kernel write a zero into every page, since a fault inside a
 * system call comes back as EFAULT where the same fault in our own code would be SIGBUS.
 */
static int touch_by_read(char *va, size_t bytes, size_t page_bytes)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (zero < 0)
		return -errno;
	for (size_t at = 0; at < bytes && !error; at += page_bytes)
		if (read(zero, va + at, 1) != 1)
			error = -errno;
	close(zero);
	return error;
}

static int touch(void *va, size_t bytes, size_t page_bytes)
{
	if (madvise(va, bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno == EINVAL)
		return touch_by_read(va, bytes, page_bytes);
	return -errno;
}

/* Says once for the whole range when pages lie on another node than they should. */
static void check_node(char *va, size_t bytes, const struct nsdk_page_kind *kind)
{
	/* Of small pages one in each piece is a good enough sample. */
	size_t step = kind->page_bytes ? kind->page_bytes : NSDK_WINDOW_PIECE_BYTES;
	size_t elsewhere = 0;

	if (kind->node < 0)
		return;
	for (size_t at = 0; at < bytes; at += step) {
		int node;

		if (get_mempolicy(&node, NULL, 0, va + at, MPOL_F_NODE | MPOL_F_ADDR) == 0)
			elsewhere += node != kind->node;
	}
	if (elsewhere == 0)
		return;
	if (kind->page_bytes)
		nsdk_log(NSDK_LOG_WARN, "mem",
			 "%zu of %zu MiB of DMA memory are not on NUMA node %d, which slows DMA down; make "
			 "hugepages there: echo N > "
			 "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB/nr_hugepages",
			 elsewhere * (step >> 20), bytes >> 20, kind->node, kind->node,
			 kind->page_bytes >> 10);
	else
		nsdk_log(NSDK_LOG_WARN, "mem",
			 "%zu of %zu MiB of DMA memory are not on NUMA node %d, which slows DMA down; that "
			 "node's memory is used up",
			 elsewhere * (step >> 20), bytes >> 20, kind->node);
}

/* Gives the file its pages, through a mapping of its own. */
static int fill_file(int fd, size_t bytes, const struct nsdk_page_kind *kind)
{
	size_t page_bytes = kind->page_bytes ? kind->page_bytes : (size_t)sysconf(_SC_PAGESIZE);
	char *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int error;

	if (va == MAP_FAILED) {
		if (errno == ENOMEM && kind->page_bytes)
			return shortage(bytes, kind);
		return nsdk_fail(-errno, "mem", "%zu MiB of DMA memory cannot be mapped: %s", bytes >> 20,
				 strerror(errno));
	}
	/* Fewer entries in the IOMMU. A system that gives files none refuses, and nothing is lost. */
	if (!kind->page_bytes)
		(void)madvise(va, bytes, MADV_HUGEPAGE);
	/* Before the first touch: a policy does not move pages. */
	prefer_node(va, bytes, kind->node);
	error = touch(va, bytes, page_bytes);
	if (error)
		/* What would have been a SIGBUS is EFAULT. */
		error = nsdk_fail(-ENOMEM, "mem",
				  "%zu MiB of DMA memory were granted but cannot be had (%s); raise the "
				  "memory or hugetlb limit of the control group",
				  bytes >> 20, strerror(-error));
	else
		check_node(va, bytes, kind);
	munmap(va, bytes);
	return error;
}

int nsdk_pages_map(void *va, size_t bytes, const struct nsdk_page_kind *kind)
{
	int fd, error;

	fd = make_file(bytes, kind);
	if (fd < 0)
		return fd;
	error = fill_file(fd, bytes, kind);
	if (error)
		goto close_file;
	if (mmap(va, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		error = nsdk_fail(-errno, "mem", "%zu MiB of DMA memory cannot be mapped: %s", bytes >> 20,
				  strerror(errno));
		goto close_file;
	}
	if (madvise(va, bytes, MADV_DONTFORK) != 0) {
		error = nsdk_fail(-errno, "mem", "DMA memory cannot be kept from forked children: %s",
				  strerror(errno));
		goto unmap;
	}
	/* No page fault is left for the I/O path: the pages are there, this mapping's table is not. */
	error = touch(va, bytes, kind->page_bytes ? kind->page_bytes : (size_t)sysconf(_SC_PAGESIZE));
	if (error) {
		error = nsdk_fail(error, "mem", "%zu MiB of DMA memory cannot be touched: %s", bytes >> 20,
				  strerror(-error));
		goto unmap;
	}
	close(fd);
	return 0;

unmap:
	nsdk_pages_unmap(va, bytes);
close_file:
	close(fd);
	return error;
}

int nsdk_pages_unmap(void *va, size_t bytes)
{
	/* Replaces the pages in one step, so that nobody else's mmap() gets the addresses. */
	if (mmap(va, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		return nsdk_fail(-errno, "mem", "%zu MiB of DMA memory cannot be given back: %s",
				 bytes >> 20, strerror(errno));
	return 0;
}

int nsdk_pages_check(void *va, size_t bytes)
{
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char resident[1024];
	int error;

	/* Brings the pages in, which the IOMMU interface would do next anyway. */
	if (madvise(va, bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	error = errno;
	/* Said of pages that may not be written, too; but for no pages at all only before Linux 5.14. */
	if (error == EINVAL && madvise(va, 0, MADV_POPULATE_WRITE) != 0) {
		/* What can be told there without a write is that something is mapped. */
		error = 0;
		for (size_t at = 0, part; at < bytes && !error; at += part) {
			part = bytes - at < sizeof(resident) * page_bytes ? bytes - at :
									    sizeof(resident) * page_bytes;
			if (mincore((char *)va + at, part, resident) != 0)
				error = errno;
		}
		if (!error)
			return 0;
	}
	return nsdk_fail(-EFAULT, "mem",
			 "%zu KiB at %p are not all memory that this process may write (%s)", bytes >> 10,
			 va, strerror(error));
}
