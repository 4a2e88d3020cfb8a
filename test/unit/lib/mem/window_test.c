/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/mem/window.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

void *__real_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);

static enum { KERNEL, NOTHING_LOW, OLD_KERNEL, NOTHING } behaviour;

void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (behaviour == NOTHING || (behaviour == NOTHING_LOW && addr)) {
		errno = behaviour == NOTHING ? ENOMEM : EEXIST;
		return MAP_FAILED;
	}
	if (behaviour == OLD_KERNEL && addr)
		/* It did not know the flag, and took the hint for taken. */
		return __real_mmap(NULL, bytes, prot, flags & ~MAP_FIXED_NOREPLACE, fd, offset);
	return __real_mmap(addr, bytes, prot, flags, fd, offset);
}

static struct nsdk_window window;

static void before(void)
{
	behaviour = KERNEL;
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

/* The addresses are ours, without rights. */
static void is_set_aside(uintptr_t va, size_t bytes)
{
	unsigned char resident[1];

	NSDK_ASSERT_INT(mincore((void *)va, 4096, resident), 0);
	NSDK_ASSERT_INT(mincore((void *)(va + bytes - 4096), 4096, resident), 0);
}

static void lies_where_39_bits_reach(void)
{
#if ADDRESS_SANITIZER
	nsdk_skip("the address sanitizer keeps the low addresses to itself");
#endif
	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 64 * GIB), 0);
	CU_ASSERT_EQUAL(window.va % GIB, 0);
	CU_ASSERT_TRUE(window.va + window.bytes <= (uintptr_t)1 << 39);
	is_set_aside(window.va, window.bytes);
	nsdk_window_release(&window);
}

static void two_windows_do_not_meet(void)
{
	struct nsdk_window other;

	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 64 * GIB), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&other, 64 * GIB), 0);
	CU_ASSERT_TRUE(other.va >= window.va + window.bytes || window.va >= other.va + other.bytes);
	nsdk_window_release(&other);
	is_set_aside(window.va, window.bytes);
	nsdk_window_release(&window);
}

static void anywhere(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 3 * GIB + 2 * MIB), 0);
	CU_ASSERT_EQUAL(window.va % GIB, 0);
	is_set_aside(window.va, window.bytes);
	/* Neither end of the larger range that it was cut from is left behind. */
	CU_ASSERT_NOT_EQUAL(msync((void *)(window.va + window.bytes), 4096, MS_ASYNC), 0);
	nsdk_window_release(&window);
}

static void lies_anywhere_when_low_is_taken(void)
{
	behaviour = NOTHING_LOW;
	anywhere();
}

static void lies_anywhere_on_a_kernel_that_takes_hints(void)
{
	behaviour = OLD_KERNEL;
	anywhere();
}

static void says_when_there_is_no_room(void)
{
	behaviour = NOTHING;
	NSDK_ASSERT_INT(nsdk_window_reserve(&window, 64 * GIB), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("ulimit -v");
}

static void refuses_odd_sizes(void)
{
	NSDK_ASSERT_INT(nsdk_window_reserve(&window, 0), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiple of 2 MiB");
	NSDK_ASSERT_INT(nsdk_window_reserve(&window, 2 * MIB + 4096), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiple of 2 MiB");
	NSDK_ASSERT_INT(nsdk_window_reserve(&window, SIZE_MAX - 2 * MIB + 1), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiple of 2 MiB");
}

static void gaps_are_used_again(void)
{
	void *a, *b, *c, *d;

	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 8 * MIB), 0);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * MIB, 2 * MIB, &a), 0);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 4 * MIB, 2 * MIB, &b), 0);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * MIB, 2 * MIB, &c), 0);
	CU_ASSERT_EQUAL((uintptr_t)a, window.va);
	CU_ASSERT_EQUAL((uintptr_t)b, window.va + 2 * MIB);
	CU_ASSERT_EQUAL((uintptr_t)c, window.va + 6 * MIB);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * MIB, 2 * MIB, &d), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("window_bytes");
	nsdk_window_give_back(&window, b, 4 * MIB);
	/* Two gaps that do not touch are not one. */
	nsdk_window_give_back(&window, a, 2 * MIB);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 8 * MIB, 2 * MIB, &d), -ENOMEM);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_window_take(&window, 6 * MIB, 2 * MIB, &d), 0);
	CU_ASSERT_PTR_EQUAL(d, a);
	nsdk_window_give_back(&window, c, 2 * MIB);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 4 * MIB, 2 * MIB, &d), -ENOMEM);
	nsdk_window_release(&window);
}

static void alignment_is_of_the_address(void)
{
	void *small, *large, *behind;

	CU_ASSERT_EQUAL_FATAL(nsdk_window_reserve(&window, 3 * GIB), 0);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * MIB, 2 * MIB, &small), 0);
	NSDK_ASSERT_INT(nsdk_window_take(&window, GIB, GIB, &large), 0);
	CU_ASSERT_EQUAL((uintptr_t)large, window.va + GIB);
	/* What was passed over is not lost. */
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * MIB, 2 * MIB, &behind), 0);
	CU_ASSERT_EQUAL((uintptr_t)behind, window.va + 2 * MIB);
	NSDK_ASSERT_INT(nsdk_window_take(&window, 2 * GIB, GIB, &large), -ENOMEM);
	NSDK_ASSERT_INT(nsdk_window_take(&window, GIB, GIB, &large), 0);
	CU_ASSERT_EQUAL((uintptr_t)large, window.va + 2 * GIB);
	nsdk_window_release(&window);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(lies_where_39_bits_reach),
	NSDK_UNIT_TEST(two_windows_do_not_meet),
	NSDK_UNIT_TEST(lies_anywhere_when_low_is_taken),
	NSDK_UNIT_TEST(lies_anywhere_on_a_kernel_that_takes_hints),
	NSDK_UNIT_TEST(says_when_there_is_no_room),
	NSDK_UNIT_TEST(refuses_odd_sizes),
	NSDK_UNIT_TEST(gaps_are_used_again),
	NSDK_UNIT_TEST(alignment_is_of_the_address),
};

NSDK_UNIT_MAIN("lib/mem/window", tests, .before = before, .after = after)
