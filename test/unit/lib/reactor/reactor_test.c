/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On the real EAL, which starts once in a process: every test runs in a child of its own, whose exit
 * status is what the child found wrong.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RTE_USE_C11_MEM_MODEL 1
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring.h>

#include <nsdk/env.h>
#include <nsdk/reactor.h>

/* The reactor, with a place where a test can hold up a sender that is about to touch the ring. */
static atomic_bool hold_sender;
static atomic_bool sender_held;

static unsigned held_enqueue(struct rte_ring *ring, const void *element, unsigned bytes, unsigned count,
			     unsigned *room)
{
	if (atomic_load(&hold_sender)) {
		atomic_store(&sender_held, true);
		while (atomic_load(&hold_sender))
			;
	}
	return rte_ring_mp_rts_enqueue_bulk_elem(ring, element, bytes, count, room);
}

#define rte_ring_mp_rts_enqueue_bulk_elem held_enqueue
#include "lib/reactor/reactor.c" /* NOLINT(bugprone-suspicious-include): to get in between */

#include "reactor_child.h"

static void stop(void *ctx)
{
	nsdk_reactors_stop(*(int *)ctx);
}

/* --- running and stopping -------------------------------------------------- */

static struct nsdk_reactor *started_on;
static atomic_uint arrived;
static int seven = 7, eight = 8;

static void arrive(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void start_and_stop(void *ctx)
{
	started_on = nsdk_reactor_self();
	CHECK(ctx == &seven);
	CHECK(nsdk_reactor_send(nsdk_reactor_get(lcores - 1), arrive, &arrived) == 0);
	nsdk_reactors_stop(7);
	/* The first one's word counts. */
	nsdk_reactors_stop(8);
}

static void check_run(void)
{
	CHECK(nsdk_reactor_self() == NULL);
	for (unsigned round = 1; round <= 3; round++) {
		started_on = NULL;
		CHECK(nsdk_reactors_run(start_and_stop, &seven) == 7);
		CHECK(atomic_load(&arrived) == round);
		CHECK(started_on == nsdk_reactor_get(0));
		CHECK(nsdk_reactor_self() == NULL);
	}
	for (unsigned i = 0; i < lcores; i++)
		CHECK(nsdk_reactor_cpu(nsdk_reactor_get(i)) == nsdk_env_lcore_cpu(i));
	CHECK(nsdk_reactor_get(lcores) == NULL);
}

static void runs_again_and_again(void)
{
	in_child(2, check_run);
}

static void check_stop_before(void)
{
	CHECK(nsdk_reactor_send(nsdk_reactor_get(0), stop, &eight) == 0);
	nsdk_reactors_stop(7);
	/* The message is handled, though late. */
	CHECK(nsdk_reactors_run(NULL, NULL) == 7);
	CHECK(nsdk_reactors_run(start_and_stop, &seven) == 7);
}

static void a_stop_before_the_run_is_not_lost(void)
{
	in_child(1, check_stop_before);
}

static void check_negative(void)
{
	int status = -EIO;

	CHECK(nsdk_reactors_run(stop, &status) == -EIO);
}

static void a_negative_status_is_kept(void)
{
	in_child(1, check_negative);
}

static void on_alarm(int number)
{
	nsdk_reactors_stop(number);
}

static void check_signal(void)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	struct sigaction action = { .sa_handler = on_alarm };

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == SIGALRM);
}

static void a_signal_handler_may_stop(void)
{
	in_child(2, check_signal);
}

static void *run_elsewhere(void *arg)
{
	CHECK(nsdk_reactors_run(NULL, NULL) == -EINVAL);
	return NULL;
}

static void run_inside(void *ctx)
{
	CHECK(nsdk_reactors_run(NULL, NULL) == -EBUSY);
	nsdk_reactors_destroy();
	nsdk_reactors_stop(0);
}

static int wait_for_flag(void *arg)
{
	while (!atomic_load((atomic_bool *)arg))
		;
	return 0;
}

static void check_misuse(void)
{
	atomic_bool flag = false;
	pthread_t thread;

	CHECK(nsdk_reactors_create() == -EALREADY);
	CHECK(pthread_create(&thread, NULL, run_elsewhere, NULL) == 0);
	pthread_join(thread, NULL);
	CHECK(nsdk_unit_log_count() == 2);
	CHECK(nsdk_reactors_run(run_inside, NULL) == 0);
	CHECK(nsdk_unit_log_has("running already"));
	CHECK(nsdk_unit_log_has("cannot be destroyed while they run"));
	nsdk_unit_log_clear();
	/* An lcore that the application uses otherwise. */
	CHECK(rte_eal_remote_launch(wait_for_flag, &flag, 1) == 0);
	CHECK(nsdk_reactors_run(start_and_stop, &seven) == -EBUSY);
	CHECK(nsdk_unit_log_count() == 1);
	CHECK(nsdk_unit_log_has("lcore 1"));
	atomic_store(&flag, true);
	CHECK(rte_eal_wait_lcore(1) == 0);
	CHECK(nsdk_reactors_run(start_and_stop, &seven) == 7);
	nsdk_unit_log_clear();
}

static void misuse_is_an_error(void)
{
	in_child(2, check_misuse);
}

static void check_no_env(void)
{
	CHECK(nsdk_reactors_create() == -ENXIO);
	CHECK(nsdk_unit_log_has("nsdk_env_init() first"));
	CHECK(nsdk_reactors_run(NULL, NULL) == -ENXIO);
	CHECK(nsdk_unit_log_count() == 2);
	CHECK(nsdk_reactor_get(0) == NULL);
	nsdk_reactors_destroy();
	nsdk_unit_log_clear();
}

static void without_lcores_there_are_no_reactors(void)
{
	in_child(-1, check_no_env);
}

/* --- messages -------------------------------------------------------------- */

static struct {
	unsigned next[4]; /* the number that is to come from each sender */
	unsigned wrong;
	atomic_uint handled;
	atomic_uint accepted;
} traffic;

/* What the messages point to: plain memory, written by the sender and read by the handler. */
enum { LETTERS = 1 << 20 };
static struct letter {
	unsigned sender, number;
} letters[4][LETTERS];

static void expect_order(void *ctx)
{
	const struct letter *letter = ctx;
	unsigned sender = letter->sender, number = letter->number;

	traffic.wrong += traffic.next[sender]++ != number;
	traffic.wrong += nsdk_reactor_self() != nsdk_reactor_get(1);
	atomic_fetch_add_explicit(&traffic.handled, 1, memory_order_relaxed);
}

/* As many as are taken, until the reactors stop. */
static void *send_all_the_time(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg, number = 0;
	int result = 0;

	while (result != -ESHUTDOWN && number < LETTERS) {
		letters[sender][number] = (struct letter){ sender, number };
		result = nsdk_reactor_send(nsdk_reactor_get(1), expect_order, &letters[sender][number]);
		CHECK(result == 0 || result == -EAGAIN || result == -ESHUTDOWN);
		number += result == 0;
	}
	atomic_fetch_add(&traffic.accepted, number);
	return NULL;
}

static int stop_after_enough(void *ctx)
{
	if (atomic_load_explicit(&traffic.handled, memory_order_relaxed) > 20000)
		nsdk_reactors_stop(0);
	return 0;
}

static void check_traffic(void)
{
	struct nsdk_reactor_stats stats;
	struct nsdk_poller *poller;
	pthread_t threads[4];

	CHECK(nsdk_poller_register(nsdk_reactor_get(0), stop_after_enough, NULL, 0, &poller) == 0);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, send_all_the_time, (void *)i) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* Not one that was accepted is lost, not one is there twice, all in order. */
	CHECK(atomic_load(&traffic.accepted) == atomic_load(&traffic.handled));
	CHECK(atomic_load(&traffic.handled) > 20000);
	CHECK(traffic.wrong == 0);
	nsdk_reactor_stats(nsdk_reactor_get(1), &stats);
	CHECK(stats.messages == atomic_load(&traffic.handled));
	/* Closed, until the next run. */
	CHECK(nsdk_reactor_send(nsdk_reactor_get(1), expect_order, NULL) == -ESHUTDOWN);
	nsdk_poller_unregister(poller);
}

static void messages_are_all_handled_in_order(void)
{
	in_child(2, check_traffic);
}

static void *send_one(void *arg)
{
	return (void *)(intptr_t)nsdk_reactor_send(nsdk_reactor_get(0), arrive, arg);
}

static void *let_go_later(void *arg)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };

	/* Long enough for a reactor that does not wait to be gone. */
	nanosleep(&pause, NULL);
	atomic_store(&hold_sender, false);
	return NULL;
}

/* A sender that was let in, and then sleeps, when the reactor is told to stop. */
static void check_held_sender(void)
{
	pthread_t sender, other;
	void *result;

	atomic_store(&hold_sender, true);
	CHECK(pthread_create(&sender, NULL, send_one, &arrived) == 0);
	while (!atomic_load(&sender_held))
		;
	nsdk_reactors_stop(5);
	CHECK(pthread_create(&other, NULL, let_go_later, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 5);
	pthread_join(sender, &result);
	pthread_join(other, NULL);
	CHECK(result == NULL);
	CHECK(atomic_load(&arrived) == 1);
}

static void a_message_on_its_way_is_waited_for(void)
{
	in_child(1, check_held_sender);
}

static atomic_uint hops;

static void hop(void *ctx)
{
	unsigned n = atomic_fetch_add(&hops, 1) + 1;

	if (n == 500)
		nsdk_reactors_stop(3);
	else
		CHECK(nsdk_reactor_send(nsdk_reactor_get(n % 2), hop, NULL) == 0);
}

static void check_hops(void)
{
	CHECK(nsdk_reactor_send(nsdk_reactor_get(1), hop, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 3);
	CHECK(atomic_load(&hops) == 500);
}

static void lcores_send_to_each_other(void)
{
	in_child(2, check_hops);
}

static void count_down(void *ctx)
{
	++*(unsigned *)ctx;
}

static void check_full(void)
{
	unsigned handled = 0, sent = 0;

	while (nsdk_reactor_send(nsdk_reactor_get(0), count_down, &handled) == 0)
		CHECK(++sent < 100000);
	CHECK(sent >= 1024);
	CHECK(nsdk_reactor_send(nsdk_reactor_get(0), count_down, &handled) == -EAGAIN);
	nsdk_reactors_stop(0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(handled == sent);
	CHECK(nsdk_reactor_send(nsdk_reactor_get(0), count_down, &handled) == -ESHUTDOWN);
}

static void a_full_ring_says_so_and_is_emptied(void)
{
	in_child(1, check_full);
}

/* --- pollers and time ------------------------------------------------------ */

static struct {
	unsigned turns, ticks;
	uint64_t began_ns, ended_ns;
	struct nsdk_poller *every, *timed;
} counted;

static int every_turn(void *ctx)
{
	/* Inside of a turn, as the end is: what the machine does in front of the first is nobody's time. */
	if (counted.turns++ == 0)
		counted.began_ns = nsdk_clock_ns();
	return 0;
}

static int every_millisecond(void *ctx)
{
	if (++counted.ticks == 50) {
		counted.ended_ns = nsdk_clock_ns();
		nsdk_poller_unregister(counted.every);
		nsdk_poller_unregister(counted.timed);
		nsdk_reactors_stop(0);
	}
	return 1;
}

static void put_pollers_on(void *ctx)
{
	CHECK(nsdk_poller_register(NULL, every_turn, NULL, 0, &counted.every) == 0);
	CHECK(nsdk_poller_register(NULL, every_millisecond, NULL, 1000, &counted.timed) == 0);
}

static void check_pollers(void)
{
	struct nsdk_reactor_stats stats;
	uint64_t around_ns = nsdk_clock_ns(), ns, ticks;

	/* What was before and behind the turns may have taken any time, too. */
	CHECK(nsdk_reactors_run(put_pollers_on, NULL) == 0);
	around_ns = nsdk_clock_ns() - around_ns;
	ns = counted.ended_ns - counted.began_ns;
	CHECK(counted.ticks == 50);
	/*
	 * "At most once in so many microseconds"; the first may come with the first turn, and the two
	 * clocks may differ by a little.
	 */
	CHECK(ns > 48 * 1000 * 1000);
	nsdk_reactor_stats(nsdk_reactor_get(0), &stats);
	CHECK(stats.pollers == 0);
	CHECK(stats.iterations >= counted.turns);
	CHECK(counted.turns > 50);
	CHECK(stats.idle_ticks > 0 && stats.busy_ticks > 0);
	/* All of the time is one or the other. */
	ticks = stats.busy_ticks + stats.idle_ticks;
	CHECK((double)ticks / (double)nsdk_ticks_per_s() > (double)ns / 1e9 * 0.8);
	CHECK((double)ticks / (double)nsdk_ticks_per_s() < (double)around_ns / 1e9 * 1.05 + 0.005);
}

static void periods_are_kept_and_time_is_accounted_for(void)
{
	in_child(1, check_pollers);
}

static int spin(void *ctx)
{
	uint64_t end = nsdk_clock_ns() + 300 * 1000 * 1000;

	while (nsdk_clock_ns() < end)
		;
	nsdk_reactors_stop(0);
	return *(int *)ctx;
}

static void check_accounting(void)
{
	struct nsdk_reactor_stats before, after;
	struct nsdk_poller *poller;
	/* Whatever else there is takes less, on a busy machine as well. */
	uint64_t needed = nsdk_ticks_per_s() / 1000 * 250;
	int result;

	for (result = 0; result < 2; result++) {
		nsdk_reactor_stats(nsdk_reactor_get(0), &before);
		CHECK(nsdk_poller_register(nsdk_reactor_get(0), spin, &result, 0, &poller) == 0);
		CHECK(nsdk_reactors_run(NULL, NULL) == 0);
		nsdk_reactor_stats(nsdk_reactor_get(0), &after);
		/* It is what the poller says that counts. */
		CHECK((after.busy_ticks - before.busy_ticks >= needed) == (result == 1));
		CHECK((after.idle_ticks - before.idle_ticks >= needed) == (result == 0));
		nsdk_poller_unregister(poller);
	}
}

static void a_turn_is_busy_when_a_poller_says_so(void)
{
	in_child(1, check_accounting);
}

static struct nsdk_poller *foreign;

static void try_to_take_off(void *ctx)
{
	struct nsdk_poller *poller;

	nsdk_poller_unregister(foreign);
	CHECK(nsdk_poller_register(nsdk_reactor_get(0), every_turn, NULL, 0, &poller) == -EINVAL);
	CHECK(nsdk_poller_register(NULL, every_turn, NULL, 0, &poller) == 0);
	nsdk_poller_unregister(poller);
	nsdk_reactors_stop(0);
}

static void check_foreign(void)
{
	CHECK(nsdk_poller_register(NULL, every_turn, NULL, 0, &foreign) == -EINVAL);
	CHECK(nsdk_poller_register(nsdk_reactor_get(0), every_turn, NULL, 0, &foreign) == 0);
	nsdk_unit_log_clear();
	CHECK(nsdk_reactor_send(nsdk_reactor_get(1), try_to_take_off, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(nsdk_unit_log_count() == 2);
	CHECK(nsdk_unit_log_has("unregistered on its own lcore only"));
	nsdk_unit_log_clear();
	/* Left behind on purpose. */
	CHECK(nsdk_reactor_send(nsdk_reactor_get(1), try_to_take_off, NULL) == -ESHUTDOWN);
	nsdk_reactors_destroy();
	CHECK(nsdk_unit_log_count() == 1);
	CHECK(nsdk_unit_log_has("1 pollers registered"));
	nsdk_unit_log_clear();
	/* And made anew. */
	CHECK(nsdk_reactors_create() == 0);
	CHECK(nsdk_reactors_run(start_and_stop, &seven) == 7);
}

static void pollers_belong_to_their_lcore(void)
{
	in_child(2, check_foreign);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(runs_again_and_again),
	NSDK_UNIT_TEST(a_stop_before_the_run_is_not_lost),
	NSDK_UNIT_TEST(a_negative_status_is_kept),
	NSDK_UNIT_TEST(a_signal_handler_may_stop),
	NSDK_UNIT_TEST(misuse_is_an_error),
	NSDK_UNIT_TEST(without_lcores_there_are_no_reactors),
	NSDK_UNIT_TEST(messages_are_all_handled_in_order),
	NSDK_UNIT_TEST(a_message_on_its_way_is_waited_for),
	NSDK_UNIT_TEST(lcores_send_to_each_other),
	NSDK_UNIT_TEST(a_full_ring_says_so_and_is_emptied),
	NSDK_UNIT_TEST(periods_are_kept_and_time_is_accounted_for),
	NSDK_UNIT_TEST(a_turn_is_busy_when_a_poller_says_so),
	NSDK_UNIT_TEST(pollers_belong_to_their_lcore),
};

NSDK_UNIT_MAIN("lib/reactor/reactor", tests)
