/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Against the real kernel, with its answers replaced where a fault is wanted. Where no hugepages are
 * free, small pages go the same way.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/mem.h>

#include "lib/mem/pages.h"
#include "lib/mem/window.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MIB ((size_t)1 << 20)

void *__real_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_madvise(void *addr, size_t bytes, int advice);
int __wrap_madvise(void *addr, size_t bytes, int advice);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate(int fd, off_t bytes);
long __wrap_get_mempolicy(int *node, unsigned long *mask, unsigned long max, void *addr, unsigned flags);

static bool old_kernel;   /* without MADV_POPULATE_WRITE */
static int populate_error; /* of it */
static int mmap_error;    /* of every file mapping */
static int pages_node;

void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (mmap_error && fd >= 0) {
		errno = mmap_error;
		return MAP_FAILED;
	}
	if (fd >= 0 && nsdk_unit_fails_now()) {
		errno = EAGAIN;
		return MAP_FAILED;
	}
	return __real_mmap(addr, bytes, prot, flags, fd, offset);
}

int __wrap_madvise(void *addr, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && (old_kernel || populate_error)) {
		errno = old_kernel ? EINVAL : populate_error;
		return -1;
	}
	/* Transparent hugepages are the one thing that may be refused. */
	if (advice != MADV_HUGEPAGE && nsdk_unit_fails_now()) {
		errno = ENOMEM;
		return -1;
	}
	return __real_madvise(addr, bytes, advice);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (nsdk_unit_fails_now()) {
		errno = EMFILE;
		return -1;
	}
	return __real_memfd_create(name, flags);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
	if (nsdk_unit_fails_now()) {
		errno = ENOSPC;
		return -1;
	}
	return __real_ftruncate(fd, bytes);
}

long __wrap_get_mempolicy(int *node, unsigned long *mask, unsigned long max, void *addr, unsigned flags)
{
	NSDK_ASSERT_INT(flags, MPOL_F_NODE | MPOL_F_ADDR);
	*node = pages_node;
	return 0;
}

static const struct nsdk_page_kind small_pages = { 0, -1 };
static const struct nsdk_page_kind huge_pages = { NSDK_PAGE_2M, -1 };
static struct nsdk_window window;
static void *va;

static void before(void)
{
	old_kernel = false;
	populate_error = mmap_error = 0;
	pages_node = 0;
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 64 * MIB), 0);
	va = (void *)(window.va + 4 * MIB);
}

static void after(void)
{
	nsdk_window_release(&window);
	nsdk_unit_log_stop();
}

static uint64_t hugepages(bool free_ones)
{
	struct nsdk_hugepage_info info[16];
	int count = nsdk_env_hugepages(info, 16);
	uint64_t pages = 0;

	for (int i = 0; i < count && i < 16; i++)
		if (info[i].page_bytes == NSDK_PAGE_2M)
			pages += free_ones ? info[i].free_pages : info[i].total_pages;
	return pages;
}

static uint64_t free_hugepages(void)
{
	return hugepages(true);
}

/* Whether the addresses are still set aside, without pages: nothing else fits there, no access. */
static void is_empty(void *start, size_t bytes)
{
	int ends[2];
	void *got = __real_mmap(start, bytes, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	CU_ASSERT_PTR_EQUAL(got, MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	NSDK_ASSERT_INT(write(ends[1], start, 1), -1);
	NSDK_ASSERT_INT(write(ends[1], (char *)start + bytes - 1, 1), -1);
	close(ends[0]);
	close(ends[1]);
}

static int open_files(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void come_zeroed_and_go(const struct nsdk_page_kind *kind)
{
	unsigned char resident[4 * MIB / 4096], *bytes = va;
	int files = open_files();

	for (int round = 0; round < 2; round++) {
		CU_ASSERT_EQUAL_FATAL(nsdk_pages_map(va, 4 * MIB, kind), 0);
		NSDK_ASSERT_INT(open_files(), files);
		NSDK_ASSERT_INT(mincore(va, 4 * MIB, resident), 0);
		for (size_t i = 0; i < sizeof(resident); i++)
			if (!(resident[i] & 1)) {
				CU_FAIL("a page is not there");
				break;
			}
		for (size_t i = 0; i < 4 * MIB; i++)
			if (bytes[i] != 0) {
				CU_FAIL("a page is not zeroed");
				break;
			}
		memset(va, 0xa5, 4 * MIB);
		NSDK_ASSERT_INT(nsdk_pages_unmap(va, 4 * MIB), 0);
		is_empty(va, 4 * MIB);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void small_pages_come_and_go(void)
{
	come_zeroed_and_go(&small_pages);
}

static void hugepages_come_and_go(void)
{
	uint64_t before_test = free_hugepages();

	if (before_test < 2)
		nsdk_skip("2 free hugepages of 2 MiB are needed");
	come_zeroed_and_go(&huge_pages);
	/* Somebody else on the machine may have taken some for a moment. */
	for (unsigned i = 0; i < 300 && free_hugepages() < before_test; i++)
		usleep(10000);
	CU_ASSERT_TRUE(free_hugepages() >= before_test);
}

static void an_old_kernel_will_do(void)
{
	old_kernel = true;
	come_zeroed_and_go(&small_pages);
	if (free_hugepages() >= 2)
		come_zeroed_and_go(&huge_pages);
}

static void too_few_hugepages_is_an_error_with_the_command(void)
{
	/* For real: the window is larger than what there is, at least on a machine that is not huge. */
	struct nsdk_window large;
	uint64_t pages = hugepages(false) + 1;
	char text[64];

	if (pages > 16384)
		nsdk_skip("%llu hugepages are here", (unsigned long long)pages - 1);
	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&large, pages * 2 * MIB), 0);
	NSDK_ASSERT_INT(nsdk_pages_map((void *)large.va, pages * 2 * MIB, &huge_pages), -ENOMEM);
	snprintf(text, sizeof(text), "%llu hugepages of 2 MiB are wanted", (unsigned long long)pages);
	CU_ASSERT_TRUE(nsdk_unit_log_has(text));
	NSDK_ASSERT_ONE_SENTENCE("> /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	is_empty((void *)large.va, pages * 2 * MIB);
	nsdk_window_release(&large);
}

static void a_size_that_there_is_not_says_so(void)
{
	const struct nsdk_page_kind gigantic = { NSDK_PAGE_1G, -1 };
	int result;

	if (access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK) == 0) {
		mmap_error = ENOMEM;
		result = nsdk_pages_map((void *)window.va, NSDK_PAGE_1G, &gigantic);
		NSDK_ASSERT_INT(result, -ENOMEM);
		NSDK_ASSERT_ONE_SENTENCE("boot with hugepagesz=1G");
	} else {
		result = nsdk_pages_map((void *)window.va, NSDK_PAGE_1G, &gigantic);
		NSDK_ASSERT_INT(result, -EINVAL);
		NSDK_ASSERT_ONE_SENTENCE("no hugepages of 1024 MiB");
	}
}

static void a_limit_of_the_control_group_is_no_crash(void)
{
	populate_error = EFAULT;
	NSDK_ASSERT_INT(nsdk_pages_map(va, 4 * MIB, &small_pages), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("control group");
	is_empty(va, 4 * MIB);
}

static void a_limit_of_file_sizes_is_no_crash(void)
{
	struct rlimit limit = { 0, 0 }, lower;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
	lower = limit;
	lower.rlim_cur = MIB;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &lower), 0);
	NSDK_ASSERT_INT(nsdk_pages_map(va, 4 * MIB, &small_pages), -ENOMEM);
	setrlimit(RLIMIT_FSIZE, &limit);
	NSDK_ASSERT_ONE_SENTENCE("ulimit -f");
	is_empty(va, 4 * MIB);
}

static void failing_anywhere_leaves_the_window_as_it_was(void)
{
	int files = open_files();
	unsigned failed = 0;

	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_pages_map(va, 4 * MIB, &small_pages);

		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(result < 0);
			NSDK_ASSERT_ONE_SENTENCE("DMA memory");
			failed++;
		} else {
			NSDK_ASSERT_INT(result, 0);
			nsdk_unit_fail_none();
			NSDK_ASSERT_INT(nsdk_pages_unmap(va, 4 * MIB), 0);
		}
		is_empty(va, 4 * MIB);
		NSDK_ASSERT_INT(open_files(), files);
		if (!nsdk_unit_failed())
			break;
	}
	/* The file, its size, two mappings, two times touching, keeping it from children. */
	NSDK_ASSERT_INT(failed, 7);
}

static void says_when_pages_are_on_another_node(void)
{
	struct nsdk_page_kind kind = { 0, 0 };

	pages_node = 1;
	NSDK_ASSERT_INT(nsdk_pages_map(va, 4 * MIB, &kind), 0);
	CU_ASSERT_TRUE(nsdk_unit_log_has("4 of 4 MiB"));
	NSDK_ASSERT_ONE_SENTENCE("not on NUMA node 0");
	nsdk_pages_unmap(va, 4 * MIB);
	pages_node = 0;
	NSDK_ASSERT_INT(nsdk_pages_map(va, 4 * MIB, &kind), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_pages_unmap(va, 4 * MIB);
	if (free_hugepages() < 2)
		return;
	kind.page_bytes = NSDK_PAGE_2M;
	pages_node = 1;
	NSDK_ASSERT_INT(nsdk_pages_map(va, 4 * MIB, &kind), 0);
	NSDK_ASSERT_ONE_SENTENCE("node0/hugepages/hugepages-2048kB/nr_hugepages");
	nsdk_pages_unmap(va, 4 * MIB);
}

static void a_child_does_not_get_them(void)
{
	unsigned char resident[1];
	pid_t child;
	int status = 0;

	CU_ASSERT_EQUAL_FATAL(nsdk_pages_map(va, 4 * MIB, &small_pages), 0);
	*(volatile char *)va = 1;
	child = fork();
	if (child == 0)
		_exit(mincore(va, 4096, resident) != 0 && errno == ENOMEM ? 0 : 1);
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	NSDK_ASSERT_INT(*(volatile char *)va, 1);
	nsdk_pages_unmap(va, 4 * MIB);
}

static void nodes_are_checked(void)
{
	CU_ASSERT_TRUE(nsdk_pages_node(-1) >= -1);
	CU_ASSERT_TRUE(nsdk_pages_node(0) <= 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_pages_node(1000), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("NUMA node 1000");
}

static void memory_of_others_is_checked(void)
{
	char *own = __real_mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(own, MAP_FAILED);
	own[0] = 'x';
	NSDK_ASSERT_INT(nsdk_pages_check(own, 5 * 4096), 0);
	/* Looking does not touch. */
	NSDK_ASSERT_INT(own[0], 'x');
	old_kernel = true;
	NSDK_ASSERT_INT(nsdk_pages_check(own, 5 * 4096), 0);
	NSDK_ASSERT_INT(own[0], 'x');
	old_kernel = false;

	CU_ASSERT_EQUAL(mprotect(own + 4 * 4096, 4096, PROT_READ), 0);
	NSDK_ASSERT_INT(nsdk_pages_check(own, 5 * 4096), -EFAULT);
	NSDK_ASSERT_ONE_SENTENCE("may write");
	CU_ASSERT_EQUAL(munmap(own + 2 * 4096, 4096), 0);
	NSDK_ASSERT_INT(nsdk_pages_check(own, 3 * 4096), -EFAULT);
	NSDK_ASSERT_ONE_SENTENCE("may write");
	old_kernel = true;
	NSDK_ASSERT_INT(nsdk_pages_check(own, 3 * 4096), -EFAULT);
	NSDK_ASSERT_ONE_SENTENCE("may write");
	munmap(own, 5 * 4096);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(small_pages_come_and_go),
	NSDK_UNIT_TEST(hugepages_come_and_go),
	NSDK_UNIT_TEST(an_old_kernel_will_do),
	NSDK_UNIT_TEST(too_few_hugepages_is_an_error_with_the_command),
	NSDK_UNIT_TEST(a_size_that_there_is_not_says_so),
	NSDK_UNIT_TEST(a_limit_of_the_control_group_is_no_crash),
	NSDK_UNIT_TEST(a_limit_of_file_sizes_is_no_crash),
	NSDK_UNIT_TEST(failing_anywhere_leaves_the_window_as_it_was),
	NSDK_UNIT_TEST(says_when_pages_are_on_another_node),
	NSDK_UNIT_TEST(a_child_does_not_get_them),
	NSDK_UNIT_TEST(nodes_are_checked),
	NSDK_UNIT_TEST(memory_of_others_is_checked),
};

NSDK_UNIT_MAIN("lib/mem/pages", tests, .before = before, .after = after)
