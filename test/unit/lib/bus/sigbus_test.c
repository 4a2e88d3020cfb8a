/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BARs that vanish. A BAR is a mapping of a memfd here, and it vanishes when the file is cut short: what
 * then touches it gets a SIGBUS from the kernel, as it does of a device.
 */
#include "nsdk_unit.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nsdk/bus.h>

#include "lib/bus/sigbus.h"

#define PAGE 4096u
#define BAR_BYTES (300u << 10) /* pieces, the last of them smaller */
#define THREADS 8u

struct fake_bar {
	volatile uint32_t *base;
	size_t bytes;
	int fd;
	atomic_uint flags;
	bool added;
};

static struct sigaction at_start;
static unsigned fds_at_start;

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void map_bar(struct fake_bar *bar, size_t bytes)
{
	memset(bar, 0, sizeof(*bar));
	bar->bytes = bytes;
	bar->fd = memfd_create("bar", MFD_CLOEXEC);
	CU_ASSERT_FATAL(bar->fd >= 0 && ftruncate(bar->fd, (off_t)bytes) == 0);
	bar->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bar->fd, 0);
	CU_ASSERT_FATAL(bar->base != MAP_FAILED);
}

static void add_bar(struct fake_bar *bar, bool wants_handler)
{
	NSDK_ASSERT_INT(nsdk_sigbus_add((void *)bar->base, bar->bytes, wants_handler, &bar->flags), 0);
	bar->added = true;
}

static void make_bar(struct fake_bar *bar, size_t bytes)
{
	map_bar(bar, bytes);
	add_bar(bar, true);
}

static void vanish(const struct fake_bar *bar)
{
	CU_ASSERT_FATAL(ftruncate(bar->fd, 0) == 0);
}

static void drop_bar(struct fake_bar *bar)
{
	if (bar->added)
		nsdk_sigbus_remove((void *)bar->base, bar->bytes);
	munmap((void *)bar->base, bar->bytes);
	close(bar->fd);
}

static volatile uint32_t *at(const struct fake_bar *bar, size_t offset)
{
	return bar->base + offset / sizeof(*bar->base);
}

/* ---- What is ours ---- */

static void it_reads_all_ones(void)
{
	struct fake_bar bar;

	make_bar(&bar, BAR_BYTES);
	*at(&bar, 0x1c) = 1;
	NSDK_ASSERT_INT(*at(&bar, 0x1c), 1);
	vanish(&bar);
	NSDK_ASSERT_INT(bar.flags, 0);
	errno = 99;
	CU_ASSERT_EQUAL(*at(&bar, 0x1c), UINT32_MAX);
	NSDK_ASSERT_INT(errno, 99);
	NSDK_ASSERT_INT(bar.flags, NSDK_SIGBUS_FAULTED);
	for (size_t offset = 0; offset < BAR_BYTES; offset += 512)
		CU_ASSERT_EQUAL(*at(&bar, offset), UINT32_MAX);
	CU_ASSERT_EQUAL(*at(&bar, BAR_BYTES - 4), UINT32_MAX);
	drop_bar(&bar);
}

static void stores_go_nowhere(void)
{
	struct fake_bar first, second;

	make_bar(&first, BAR_BYTES);
	make_bar(&second, BAR_BYTES);
	vanish(&first);
	*at(&first, 0x1000) = 7; /* the first touch is a store */
	NSDK_ASSERT_INT(first.flags, NSDK_SIGBUS_FAULTED);
	CU_ASSERT_EQUAL(*at(&first, 0x1004), UINT32_MAX);
	NSDK_ASSERT_INT(second.flags, 0);
	NSDK_ASSERT_INT(*at(&second, 0x1000), 0);
	vanish(&second);
	/* The ones are not the store's to change. */
	CU_ASSERT_EQUAL(*at(&second, 0x1000), UINT32_MAX);
	drop_bar(&first);
	drop_bar(&second);
}

static void there_may_be_many(void)
{
	static struct fake_bar bars[150];
	const unsigned count = sizeof(bars) / sizeof(bars[0]);

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < count; i++)
			make_bar(&bars[i], PAGE);
		for (unsigned i = 0; i < count; i += 3) {
			vanish(&bars[i]);
			CU_ASSERT_EQUAL(*at(&bars[i], 8), UINT32_MAX);
		}
		for (unsigned i = 0; i < count; i++)
			NSDK_ASSERT_INT(bars[i].flags, i % 3 == 0 ? NSDK_SIGBUS_FAULTED : 0);
		for (unsigned i = 0; i < count; i++)
			drop_bar(&bars[i]);
	}
}

/* ---- Threads ---- */

struct user {
	struct fake_bar *bar;
	unsigned number;
	atomic_uint rounds;
	uint32_t seen;
};

static void wait_for(atomic_uint *value, unsigned least)
{
	while (atomic_load(value) < least)
		sched_yield();
}

/* Reads status registers and rings doorbells until the registers are all ones, and then some. */
static void *use(void *arg)
{
	struct user *user = arg;
	unsigned more = 1000;

	while (more > 0) {
		for (size_t offset = 0; offset < user->bar->bytes; offset += 16 * PAGE) {
			*at(user->bar, offset + 8 + 4 * user->number) = user->rounds;
			user->seen = *at(user->bar, offset);
		}
		if (user->seen == UINT32_MAX)
			more--;
		atomic_fetch_add(&user->rounds, 1);
	}
	return NULL;
}

static void threads_in_the_middle_of_it(void)
{
	struct user users[THREADS];
	pthread_t threads[THREADS];
	struct fake_bar bar;

	for (unsigned round = 0; round < 20; round++) {
		make_bar(&bar, BAR_BYTES);
		for (unsigned i = 0; i < THREADS; i++) {
			users[i] = (struct user){.bar = &bar, .number = i};
			CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, use, &users[i]) == 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			wait_for(&users[i].rounds, 1);
		vanish(&bar);
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			CU_ASSERT_EQUAL(users[i].seen, UINT32_MAX);
		}
		NSDK_ASSERT_INT(bar.flags, NSDK_SIGBUS_FAULTED);
		drop_bar(&bar);
	}
}

struct changer {
	atomic_bool stop;
	atomic_uint rounds;
};

static void *come_and_go(void *arg)
{
	struct changer *changer = arg;

	while (!atomic_load(&changer->stop)) {
		struct fake_bar bar;

		make_bar(&bar, PAGE);
		drop_bar(&bar);
		atomic_fetch_add(&changer->rounds, 1);
	}
	return NULL;
}

static void others_come_and_go_meanwhile(void)
{
	struct changer changer = {.stop = false};
	struct fake_bar bar;
	pthread_t thread;

	make_bar(&bar, 4u << 20);
	vanish(&bar);
	CU_ASSERT_FATAL(pthread_create(&thread, NULL, come_and_go, &changer) == 0);
	for (size_t offset = 0; offset < bar.bytes; offset += 16 * PAGE) {
		unsigned rounds = atomic_load(&changer.rounds);

		CU_ASSERT_EQUAL(*at(&bar, offset), UINT32_MAX);
		wait_for(&changer.rounds, rounds + 1);
	}
	atomic_store(&changer.stop, true);
	pthread_join(thread, NULL);
	drop_bar(&bar);
}

/* ---- What is not ours ---- */

static struct fake_bar foreign;
static volatile sig_atomic_t mended, mended_code;
static void *volatile mended_address;
static sigset_t mask_in_handler;

/* Another part of the program, which mends its own mapping. */
static void mend(int sig, siginfo_t *info, void *context)
{
	mended++;
	mended_code = info->si_code;
	mended_address = info->si_addr;
	pthread_sigmask(SIG_BLOCK, NULL, &mask_in_handler);
	if (info->si_code == BUS_ADRERR)
		ftruncate(foreign.fd, (off_t)foreign.bytes);
}

static void mend_plainly(int sig)
{
	mended++;
	ftruncate(foreign.fd, (off_t)foreign.bytes);
}

static void set_handler(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGBUS, &action, NULL);
}

static bool is_set(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action;

	sigaction(SIGBUS, NULL, &action);
	return action.sa_sigaction == handler;
}

static void the_earlier_handler_gets_the_rest(void)
{
	struct fake_bar bar;

	set_handler(mend);
	make_bar(&bar, BAR_BYTES);
	CU_ASSERT_FALSE(is_set(mend));
	map_bar(&foreign, PAGE);
	vanish(&foreign);
	NSDK_ASSERT_INT(*at(&foreign, 0x40), 0);
	NSDK_ASSERT_INT(mended, 1);
	NSDK_ASSERT_INT(mended_code, BUS_ADRERR);
	CU_ASSERT_PTR_EQUAL(mended_address, (void *)at(&foreign, 0x40));
	/* With the mask that it asked for, and this thread's own afterwards. */
	CU_ASSERT(sigismember(&mask_in_handler, SIGUSR1));
	pthread_sigmask(SIG_BLOCK, NULL, &mask_in_handler);
	CU_ASSERT_FALSE(sigismember(&mask_in_handler, SIGUSR1));
	NSDK_ASSERT_INT(bar.flags, 0);
	/* What is ours it does not get. */
	vanish(&bar);
	CU_ASSERT_EQUAL(*at(&bar, 0), UINT32_MAX);
	NSDK_ASSERT_INT(mended, 1);
	/* Next to a BAR is not in it. */
	raise(SIGBUS);
	NSDK_ASSERT_INT(mended, 2);
	NSDK_ASSERT_INT(mended_code, SI_TKILL);
	drop_bar(&bar);
	drop_bar(&foreign);
	CU_ASSERT(is_set(mend));
}

static void a_plain_handler_gets_it_too(void)
{
	struct fake_bar bar;

	signal(SIGBUS, mend_plainly);
	make_bar(&bar, BAR_BYTES);
	map_bar(&foreign, PAGE);
	vanish(&foreign);
	NSDK_ASSERT_INT(*at(&foreign, 0), 0);
	NSDK_ASSERT_INT(mended, 1);
	drop_bar(&bar);
	drop_bar(&foreign);
}

/* Runs it in a child. @return the signal that it died of, or 0. */
static int signal_of_child(void (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		const struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		run();
		_exit(0);
	}
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void touch_foreign(void)
{
	static struct fake_bar bar;

	make_bar(&bar, PAGE);
	map_bar(&foreign, PAGE);
	vanish(&foreign);
	*at(&foreign, 0) = 1;
}

static void touch_foreign_by_default(void)
{
	signal(SIGBUS, SIG_DFL);
	touch_foreign();
}

static void touch_foreign_while_ignored(void)
{
	signal(SIGBUS, SIG_IGN);
	touch_foreign();
}

static void touch_behind_the_end(void)
{
	static struct fake_bar bar;

	signal(SIGBUS, SIG_DFL);
	map_bar(&bar, 2 * PAGE);
	bar.bytes = PAGE;
	add_bar(&bar, true);
	vanish(&bar);
	if (*at(&bar, PAGE - 4) != UINT32_MAX)
		_exit(1);
	*at(&bar, PAGE) = 1;
}

static void touch_after_removal(void)
{
	static struct fake_bar bar;

	signal(SIGBUS, SIG_DFL);
	make_bar(&bar, PAGE);
	nsdk_sigbus_remove((void *)bar.base, bar.bytes);
	vanish(&bar);
	*at(&bar, 0) = 1;
}

static void be_killed_by_default(void)
{
	static struct fake_bar bar;

	signal(SIGBUS, SIG_DFL);
	make_bar(&bar, PAGE);
	raise(SIGBUS);
}

static void be_killed_while_ignored(void)
{
	static struct fake_bar bar;

	signal(SIGBUS, SIG_IGN);
	make_bar(&bar, PAGE);
	raise(SIGBUS);
}

static void the_default_action_is_taken(void)
{
	NSDK_ASSERT_INT(signal_of_child(touch_foreign_by_default), SIGBUS);
	NSDK_ASSERT_INT(signal_of_child(touch_foreign_while_ignored), SIGBUS);
	NSDK_ASSERT_INT(signal_of_child(touch_behind_the_end), SIGBUS);
	NSDK_ASSERT_INT(signal_of_child(touch_after_removal), SIGBUS);
	NSDK_ASSERT_INT(signal_of_child(be_killed_by_default), SIGBUS);
	NSDK_ASSERT_INT(signal_of_child(be_killed_while_ignored), 0);
}

/* ---- Handlers on top of ours ---- */

static struct sigaction below_on_top;
static volatile sig_atomic_t on_tops;

static void on_top(int sig, siginfo_t *info, void *context)
{
	on_tops++;
	below_on_top.sa_sigaction(sig, info, context);
}

static void one_on_top_that_calls_ours(void)
{
	struct sigaction action = {.sa_sigaction = on_top, .sa_flags = SA_SIGINFO};
	struct fake_bar bar;

	set_handler(mend);
	make_bar(&bar, PAGE);
	sigaction(SIGBUS, &action, &below_on_top);
	vanish(&bar);
	CU_ASSERT_EQUAL(*at(&bar, 0), UINT32_MAX);
	NSDK_ASSERT_INT(on_tops, 1);
	NSDK_ASSERT_INT(mended, 0);
	/* Theirs stays, and with it ours below. */
	drop_bar(&bar);
	CU_ASSERT(is_set(on_top));
	make_bar(&bar, PAGE);
	CU_ASSERT(is_set(on_top));
	vanish(&bar);
	CU_ASSERT_EQUAL(*at(&bar, 0), UINT32_MAX);
	NSDK_ASSERT_INT(on_tops, 2);
	map_bar(&foreign, PAGE);
	vanish(&foreign);
	NSDK_ASSERT_INT(*at(&foreign, 0), 0);
	NSDK_ASSERT_INT(on_tops, 3);
	NSDK_ASSERT_INT(mended, 1);
	drop_bar(&foreign);
	drop_bar(&bar);
	/* Who takes theirs away again finds ours, which goes with the next BAR. */
	sigaction(SIGBUS, &below_on_top, NULL);
	make_bar(&bar, PAGE);
	drop_bar(&bar);
	CU_ASSERT(is_set(mend));
}

static void one_that_was_reset_is_set_again(void)
{
	struct fake_bar bar;

	make_bar(&bar, PAGE);
	signal(SIGBUS, mend_plainly);
	drop_bar(&bar);
	signal(SIGBUS, SIG_DFL);
	make_bar(&bar, PAGE);
	vanish(&bar);
	CU_ASSERT_EQUAL(*at(&bar, 0), UINT32_MAX);
	drop_bar(&bar);
}

static void hand_over(int sig, siginfo_t *info, void *context)
{
	on_tops++;
	if (!nsdk_sigbus_handle(info->si_code, info->si_addr))
		_exit(1);
}

static void a_program_with_a_handler_of_its_own(void)
{
	struct fake_bar bar;

	set_handler(hand_over);
	map_bar(&bar, BAR_BYTES);
	add_bar(&bar, false);
	CU_ASSERT(is_set(hand_over));
	vanish(&bar);
	CU_ASSERT_EQUAL(*at(&bar, BAR_BYTES - PAGE), UINT32_MAX);
	NSDK_ASSERT_INT(on_tops, 1);
	NSDK_ASSERT_INT(bar.flags, NSDK_SIGBUS_FAULTED);
	drop_bar(&bar);
	CU_ASSERT(is_set(hand_over));
}

static void what_is_handed_over_is_looked_at(void)
{
	struct fake_bar bar;

	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_ADRERR, &bar));
	make_bar(&bar, BAR_BYTES);
	*at(&bar, 0) = 5;
	CU_ASSERT_FALSE(nsdk_sigbus_handle(SI_USER, (void *)bar.base));
	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_ADRALN, (void *)bar.base));
	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_MCEERR_AO, (void *)bar.base));
	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_ADRERR, (char *)bar.base - 1));
	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_ADRERR, (char *)bar.base + BAR_BYTES));
	NSDK_ASSERT_INT(bar.flags, 0);
	NSDK_ASSERT_INT(*at(&bar, 0), 5);
	CU_ASSERT(nsdk_sigbus_handle(BUS_OBJERR, (char *)bar.base + BAR_BYTES - 1));
	NSDK_ASSERT_INT(bar.flags, NSDK_SIGBUS_FAULTED);
	NSDK_ASSERT_INT(*at(&bar, 0), 5);
	CU_ASSERT_EQUAL(*at(&bar, BAR_BYTES - 4), UINT32_MAX);
	drop_bar(&bar);
	CU_ASSERT_FALSE(nsdk_sigbus_handle(BUS_ADRERR, (void *)bar.base));
}

static void before(void)
{
	sigaction(SIGBUS, NULL, &at_start);
	fds_at_start = count_fds();
	mended = on_tops = 0;
}

static void after(void)
{
	sigaction(SIGBUS, &at_start, NULL);
	NSDK_ASSERT_INT(count_fds(), fds_at_start);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(it_reads_all_ones),
	NSDK_UNIT_TEST(stores_go_nowhere),
	NSDK_UNIT_TEST(there_may_be_many),
	NSDK_UNIT_TEST(threads_in_the_middle_of_it),
	NSDK_UNIT_TEST(others_come_and_go_meanwhile),
	NSDK_UNIT_TEST(the_earlier_handler_gets_the_rest),
	NSDK_UNIT_TEST(a_plain_handler_gets_it_too),
	NSDK_UNIT_TEST(the_default_action_is_taken),
	NSDK_UNIT_TEST(one_on_top_that_calls_ours),
	NSDK_UNIT_TEST(one_that_was_reset_is_set_again),
	NSDK_UNIT_TEST(a_program_with_a_handler_of_its_own),
	NSDK_UNIT_TEST(what_is_handed_over_is_looked_at),
};

NSDK_UNIT_MAIN("lib/bus/sigbus", tests, .before = before, .after = after)
