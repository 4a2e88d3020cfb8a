/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reactors that sleep. What could be missed between the last look and the sleep is put exactly there, so
 * that each way to lose a wake-up is walked every time and not once in a million; a reactor that sleeps
 * on is ended by the child's alarm.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define RTE_USE_C11_MEM_MODEL 1
#include <rte_ring.h>

#include "lib/reactor/reactor_internal.h"

/* Places on the way to sleep; a test puts something there. On the lcore, as the code around it. */
static void (*behind_arming)(void);  /* all are armed, and the last turn is to come */
static void (*behind_asleep)(void);  /* "asleep" has been said, and the ring is to be looked at */
static void (*before_waiting)(void); /* everything has been looked at */
static atomic_uint waits;            /* on lcore 0 */
static uint64_t last_timeout_ns;

static bool hooked_arm(struct nsdk_pollers *pollers, uint64_t *wake_ns)
{
	bool all = nsdk_pollers_arm(pollers, wake_ns);

	if (all && behind_arming)
		behind_arming();
	return all;
}

static int hooked_empty(const struct rte_ring *ring)
{
	if (behind_asleep)
		behind_asleep();
	return rte_ring_empty(ring);
}

static int hooked_wait(struct nsdk_sleeper *sleeper, uint64_t timeout_ns)
{
	if (timeout_ns == 0)
		return nsdk_sleeper_wait(sleeper, timeout_ns);
	if (nsdk_reactor_self() == nsdk_reactor_get(0)) {
		last_timeout_ns = timeout_ns;
		if (before_waiting)
			before_waiting();
		atomic_fetch_add(&waits, 1);
	}
	return nsdk_sleeper_wait(sleeper, timeout_ns);
}

#define nsdk_pollers_arm hooked_arm
#define rte_ring_empty hooked_empty
#define nsdk_sleeper_wait hooked_wait
#include "lib/reactor/reactor.c" /* NOLINT(bugprone-suspicious-include): to get in between */

#include "reactor_child.h"

static void set_modes(enum nsdk_reactor_mode mode, uint64_t idle_us)
{
	for (unsigned i = 0; i < lcores; i++)
		CHECK(nsdk_reactor_set_mode(nsdk_reactor_get(i), mode, idle_us) == 0);
}

static void stop(void *ctx)
{
	(void)ctx;
	nsdk_reactors_stop(0);
}

/* Puts it there once. */
static void (**place)(void);
static void (*what)(void);

static void once(void)
{
	*place = NULL;
	what();
}

static void put(void (**where)(void), void (*it)(void))
{
	place = where;
	what = it;
	*where = once;
}

/* --- messages -------------------------------------------------------------- */

static void send_stop(void)
{
	CHECK(nsdk_reactor_send(nsdk_reactor_get(0), stop, NULL) == 0);
}

static void message_behind_the_arming(void)
{
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&behind_arming, send_stop);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	/* Seen by the last turn. */
	CHECK(atomic_load(&waits) == 0);
}

static void message_behind_asleep(void)
{
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&behind_asleep, send_stop);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	/* Seen by the look at the ring. */
	CHECK(atomic_load(&waits) == 0);
}

static void message_before_the_wait(void)
{
	struct nsdk_reactor_stats stats;

	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&before_waiting, send_stop);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	/* The eventfd has it. */
	CHECK(atomic_load(&waits) == 1);
	nsdk_reactor_stats(nsdk_reactor_get(0), &stats);
	CHECK(stats.sleeps == 1 && stats.messages == 1);
}

static void a_message_is_never_slept_through(void)
{
	in_child(1, message_behind_the_arming);
	in_child(1, message_behind_asleep);
	in_child(1, message_before_the_wait);
}

/* A message each time when it is about to sleep, from another thread, for as long as it takes. */
enum { ROUNDS = 300 };
static unsigned answered;

static void answer(void *ctx)
{
	if (++answered == ROUNDS)
		nsdk_reactors_stop(0);
}

static void *send_when_it_sleeps(void *arg)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		while (atomic_load(&waits) == seen)
			sched_yield();
		seen = atomic_load(&waits);
		CHECK(nsdk_reactor_send(nsdk_reactor_get(0), answer, arg) == 0);
	}
	return NULL;
}

static void check_woken_by_messages(void)
{
	pthread_t thread;

	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(pthread_create(&thread, NULL, send_when_it_sleeps, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	pthread_join(thread, NULL);
	CHECK(answered == ROUNDS);
}

static void messages_wake_a_sleeper(void)
{
	in_child(1, check_woken_by_messages);
}

/* As many as are taken from several threads, while it goes to sleep whenever it can. */
static atomic_uint handled, accepted;

static void handle(void *ctx)
{
	atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
}

enum { EACH = 5000, SENDERS = 3 };

static void *send_many(void *arg)
{
	for (unsigned i = 0; i < EACH;) {
		if (nsdk_reactor_send(nsdk_reactor_get(0), handle, arg) == 0)
			i++;
		else
			sched_yield();
	}
	if (atomic_fetch_add(&accepted, 1) == SENDERS - 1)
		send_stop();
	return NULL;
}

static void check_many_senders(void)
{
	pthread_t threads[SENDERS];

	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	for (unsigned i = 0; i < SENDERS; i++)
		CHECK(pthread_create(&threads[i], NULL, send_many, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(atomic_load(&handled) == SENDERS * EACH);
}

static void none_of_many_is_lost(void)
{
	in_child(1, check_many_senders);
}

/* --- stopping -------------------------------------------------------------- */

static void stop_now(void)
{
	nsdk_reactors_stop(3);
}

static void check_stop_at(void (**where)(void))
{
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(where, stop_now);
	CHECK(nsdk_reactors_run(NULL, NULL) == 3);
	/* And what is left of it in the next run is a turn too many. */
	put(&before_waiting, stop_now);
	CHECK(nsdk_reactors_run(NULL, NULL) == 3);
}

static void stop_behind_the_arming(void)
{
	check_stop_at(&behind_arming);
}

static void stop_behind_asleep(void)
{
	check_stop_at(&behind_asleep);
}

static void stop_before_the_wait(void)
{
	check_stop_at(&before_waiting);
}

static void check_stop_before_the_run(void)
{
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	nsdk_reactors_stop(7);
	CHECK(nsdk_reactors_run(NULL, NULL) == 7);
}

static void a_stop_is_never_slept_through(void)
{
	in_child(1, stop_behind_the_arming);
	in_child(1, stop_behind_asleep);
	in_child(1, stop_before_the_wait);
	in_child(1, check_stop_before_the_run);
}

static void on_alarm(int number)
{
	nsdk_reactors_stop(number);
}

static void *stop_by_signal(void *arg)
{
	while (atomic_load(&waits) == 0)
		sched_yield();
	CHECK(kill(getpid(), SIGUSR1) == 0);
	return NULL;
}

static void check_signal(void)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	pthread_t thread;

	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, stop_by_signal, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == SIGUSR1);
	pthread_join(thread, NULL);
}

static void a_signal_handler_wakes_all(void)
{
	in_child(2, check_signal);
}

/* Who stops them while they go writes into no stranger's descriptor: the number stays theirs. */
static void check_stop_fd(void)
{
	int fd = nsdk_reactor_stop_fd();

	CHECK(fd >= 0);
	nsdk_reactors_destroy();
	nsdk_reactors_stop(0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(nsdk_reactors_create() == 0);
	CHECK(nsdk_reactor_stop_fd() == fd);
	/* What was signalled before is no stop of this run, and the next one wakes. */
	stop_behind_asleep();
}

static void the_descriptor_of_stops_is_never_closed(void)
{
	in_child(1, check_stop_fd);
}

/* --- file descriptors ------------------------------------------------------ */

/*
 * A device of one completion: it is there or it is not, and makes the eventfd readable while it is armed.
 */
static struct {
	int fd;
	bool armed, completed;
	unsigned arms, disarms, handled, polls;
	unsigned busy; /* so many polls find work */
	int never;     /* what arming says */
	uint64_t wake_in_ns;
	struct nsdk_poller *poller;
	struct nsdk_reactor_fd *handle;
} device;

static void complete(void)
{
	device.completed = true;
	if (device.armed)
		CHECK(eventfd_write(device.fd, 1) == 0);
}

static int device_poll(void *ctx)
{
	device.polls++;
	if (device.busy) {
		device.busy--;
		return 1;
	}
	if (!device.completed)
		return 0;
	device.completed = false;
	/* The second comes when it sleeps as it should. */
	if (++device.handled == 1)
		put(&before_waiting, complete);
	else
		nsdk_reactors_stop(0);
	return 1;
}

static int device_arm(void *ctx, uint64_t *wake_ns)
{
	device.arms++;
	if (device.never)
		return device.never;
	device.armed = true;
	if (device.wake_in_ns && nsdk_clock_ns() + device.wake_in_ns < *wake_ns)
		*wake_ns = nsdk_clock_ns() + device.wake_in_ns;
	return 0;
}

static void device_disarm(void *ctx)
{
	CHECK(device.armed);
	device.armed = false;
	device.disarms++;
}

static void make_device(void)
{
	struct nsdk_reactor *reactor = nsdk_reactor_get(0);

	device.fd = eventfd(0, EFD_NONBLOCK);
	CHECK(device.fd >= 0);
	CHECK(nsdk_poller_register(reactor, device_poll, NULL, 0, &device.poller) == 0);
	nsdk_poller_set_sleep(device.poller, device_arm, device_disarm);
	CHECK(nsdk_reactor_fd_add(reactor, device.fd, NULL, NULL, &device.handle) == 0);
}

static void remove_device(void)
{
	nsdk_reactor_fd_remove(device.handle);
	nsdk_poller_unregister(device.poller);
	close(device.fd);
}

static void check_place(void (**where)(void))
{
	make_device();
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(where, complete);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(device.handled == 2);
	/* In this mode they stay armed, until the run ends. */
	CHECK(!device.armed && device.disarms == 1);
	remove_device();
}

static void completion_behind_the_arming(void)
{
	check_place(&behind_arming);
}

static void completion_behind_asleep(void)
{
	check_place(&behind_asleep);
}

static void completion_before_the_wait(void)
{
	check_place(&before_waiting);
}

/* What came before the arming signals nothing. */
static int arm_too_late(void *ctx, uint64_t *wake_ns)
{
	if (device.arms == 0)
		complete();
	return device_arm(ctx, wake_ns);
}

static void completion_before_the_arming(void)
{
	make_device();
	nsdk_poller_set_sleep(device.poller, arm_too_late, device_disarm);
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(device.handled == 2);
	CHECK(atomic_load(&waits) == 1);
	remove_device();
}

static void a_completion_is_never_slept_through(void)
{
	in_child(1, completion_before_the_arming);
	in_child(1, completion_behind_the_arming);
	in_child(1, completion_behind_asleep);
	in_child(1, completion_before_the_wait);
}

/* One that comes while a poller that comes or goes would have to be armed first. */
static struct nsdk_poller *late_poller;
static unsigned late_polls;

static int late_poll(void *ctx)
{
	if (++late_polls == 3) {
		/* Where nobody sleeps, nobody is interrupted. */
		CHECK(!device.armed && device.disarms == 1);
		nsdk_reactors_stop(0);
	}
	return 0;
}

static int registers_another(void *ctx)
{
	if (device.armed && !late_poller)
		CHECK(nsdk_poller_register(NULL, late_poll, NULL, 0, &late_poller) == 0);
	return 0;
}

static void check_newcomer(void)
{
	struct nsdk_poller *poller;

	make_device();
	CHECK(nsdk_poller_register(nsdk_reactor_get(0), registers_another, NULL, 0, &poller) == 0);
	nsdk_poller_set_sleep(poller, device_arm, NULL);
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	/* It keeps its reactor awake from its first turn on. */
	CHECK(atomic_load(&waits) == 0);
	nsdk_poller_unregister(late_poller);
	nsdk_poller_unregister(poller);
	remove_device();
}

static void one_that_comes_last_is_not_forgotten(void)
{
	in_child(1, check_newcomer);
}

static int shared_fd;
static struct nsdk_reactor_fd *shared_handles[2];
static atomic_uint woken[2];

static int count_turns(void *ctx)
{
	struct nsdk_reactor_stats stats;
	unsigned i = (unsigned)(uintptr_t)ctx;

	nsdk_reactor_stats(nsdk_reactor_get(i), &stats);
	if (stats.sleeps > 0)
		atomic_store(&woken[i], 1);
	return 0;
}

static int arm_always(void *ctx, uint64_t *wake_ns)
{
	return 0;
}

static void *wake_both(void *arg)
{
	/* Each signal wakes both, though neither reads; whoever was awake has it before its next sleep. */
	while (!atomic_load(&woken[0]) || !atomic_load(&woken[1])) {
		CHECK(eventfd_write(shared_fd, 1) == 0);
		sched_yield();
	}
	nsdk_reactors_stop(0);
	return NULL;
}

static void check_shared(void)
{
	struct nsdk_poller *pollers[2];
	pthread_t thread;

	shared_fd = eventfd(0, EFD_NONBLOCK);
	for (uintptr_t i = 0; i < 2; i++) {
		CHECK(nsdk_poller_register(nsdk_reactor_get((unsigned)i), count_turns, (void *)i, 0,
					   &pollers[i]) == 0);
		nsdk_poller_set_sleep(pollers[i], arm_always, NULL);
		CHECK(nsdk_reactor_fd_add(nsdk_reactor_get((unsigned)i), shared_fd, NULL, NULL,
					  &shared_handles[i]) == 0);
	}
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(pthread_create(&thread, NULL, wake_both, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		nsdk_reactor_fd_remove(shared_handles[i]);
		nsdk_poller_unregister(pollers[i]);
	}
	close(shared_fd);
}

static void one_descriptor_wakes_two_lcores(void)
{
	in_child(2, check_shared);
}

/* Functions of descriptors, in each mode: they run while their descriptor is readable. */
static struct {
	int fd[2];
	struct nsdk_reactor_fd *handle[2];
	unsigned ran[2];
	unsigned until_removed; /* how often the second had run when it was taken out */
} functions;

static void first_function(void *ctx)
{
	eventfd_t count;

	CHECK(ctx == &functions);
	CHECK(eventfd_read(functions.fd[0], &count) == 0);
	if (++functions.ran[0] < 3) {
		CHECK(eventfd_write(functions.fd[0], 1) == 0);
		return;
	}
	/* The other one's event may be in hand already; it must not run any more. */
	functions.until_removed = functions.ran[1];
	nsdk_reactor_fd_remove(functions.handle[1]);
	nsdk_reactor_fd_remove(functions.handle[0]);
	nsdk_reactors_stop(0);
}

static void second_function(void *ctx)
{
	eventfd_t count;

	CHECK(eventfd_read(functions.fd[1], &count) == 0);
	functions.ran[1]++;
	CHECK(eventfd_write(functions.fd[1], 1) == 0);
}

static void check_functions(void)
{
	for (unsigned mode = NSDK_REACTOR_POLL; mode <= NSDK_REACTOR_ADAPTIVE; mode++) {
		functions.ran[0] = functions.ran[1] = 0;
		set_modes((enum nsdk_reactor_mode)mode, 10);
		for (unsigned i = 0; i < 2; i++) {
			functions.fd[i] = eventfd(1, EFD_NONBLOCK);
			CHECK(nsdk_reactor_fd_add(nsdk_reactor_get(0), functions.fd[i],
						  i ? second_function : first_function, &functions,
						  &functions.handle[i]) == 0);
		}
		CHECK(nsdk_reactors_run(NULL, NULL) == 0);
		CHECK(functions.ran[0] == 3);
		CHECK(functions.ran[1] == functions.until_removed);
		for (unsigned i = 0; i < 2; i++)
			close(functions.fd[i]);
	}
}

static void functions_run_in_every_mode(void)
{
	in_child(1, check_functions);
}

/* --- time ------------------------------------------------------------------ */

static unsigned ticked;

static int tick(void *ctx)
{
	CHECK(last_timeout_ns <= 20 * 1000 * 1000 + 1);
	if (++ticked == 5)
		nsdk_reactors_stop(0);
	return 0;
}

static void check_timer(void)
{
	struct nsdk_reactor_stats stats;
	struct nsdk_poller *poller;
	uint64_t began_ns = nsdk_clock_ns(), ns;
	double all_s;

	CHECK(nsdk_poller_register(nsdk_reactor_get(0), tick, NULL, 20000, &poller) == 0);
	/* One that is readable all the time: it wakes once, as nothing has happened since. */
	device.fd = eventfd(1, EFD_NONBLOCK);
	CHECK(nsdk_reactor_fd_add(nsdk_reactor_get(0), device.fd, NULL, NULL, &device.handle) == 0);
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	ns = nsdk_clock_ns() - began_ns;
	CHECK(ticked == 5);
	CHECK(ns > 90 * 1000 * 1000);
	/* All of the time is one of three. */
	nsdk_reactor_stats(nsdk_reactor_get(0), &stats);
	all_s = (double)(stats.busy_ticks + stats.idle_ticks + stats.slept_ticks) /
		(double)nsdk_ticks_per_s();
	CHECK(all_s < (double)ns / 1e9 * 1.05 + 0.005);
	CHECK(stats.slept_ticks > 0);
	CHECK(stats.sleeps >= 1 && stats.sleeps <= 100);
	nsdk_reactor_fd_remove(device.handle);
	close(device.fd);
	nsdk_poller_unregister(poller);
}

static void timed_pollers_end_a_sleep(void)
{
	in_child(1, check_timer);
}

/* A filter that does not know epoll_pwait2(), as those of old container engines: it says EPERM. */
static void check_timer_behind_a_filter(void)
{
#ifdef SYS_epoll_pwait2
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof(rules) / sizeof(rules[0]), .filter = rules };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	/* A kernel without filters has none that are old. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
		CHECK(syscall(SYS_epoll_pwait2, -1, NULL, 0, NULL, NULL, 0) == -1 && errno == EPERM);
#endif
	check_timer();
}

static void old_filters_do_not_keep_it_awake(void)
{
	in_child(1, check_timer_behind_a_filter);
}

static int stop_later(void *ctx)
{
	/* It is polled when it wants to be, with nothing that wakes. */
	if (++device.polls > 6)
		nsdk_reactors_stop(0);
	return 0;
}

static void check_wake_ns(void)
{
	struct nsdk_poller *poller;

	CHECK(nsdk_poller_register(nsdk_reactor_get(0), stop_later, NULL, 0, &poller) == 0);
	nsdk_poller_set_sleep(poller, device_arm, device_disarm);
	device.wake_in_ns = 5 * 1000 * 1000;
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(atomic_load(&waits) > 0);
	CHECK(last_timeout_ns <= 5 * 1000 * 1000);
	nsdk_poller_unregister(poller);
}

static void a_poller_can_bound_the_sleep(void)
{
	in_child(1, check_wake_ns);
}

/* --- who does not sleep ---------------------------------------------------- */

static void check_awake(int never, unsigned arms_min, unsigned arms_max)
{
	struct nsdk_poller *poller;

	CHECK(nsdk_poller_register(nsdk_reactor_get(0), stop_later, NULL, 0, &poller) == 0);
	if (never)
		nsdk_poller_set_sleep(poller, device_arm, device_disarm);
	device.never = never;
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(atomic_load(&waits) == 0);
	CHECK(device.arms >= arms_min && device.arms <= arms_max);
	CHECK(device.disarms == 0);
	nsdk_poller_unregister(poller);
}

static void one_without_arm(void)
{
	check_awake(0, 0, 0);
}

/* Asked again, turn by turn. */
static void one_that_cannot_now(void)
{
	check_awake(-EAGAIN, 3, 10);
}

/* Asked once. */
static void one_that_never_can(void)
{
	check_awake(-EOPNOTSUPP, 1, 1);
}

static void who_cannot_be_armed_keeps_it_awake(void)
{
	in_child(1, one_without_arm);
	in_child(1, one_that_cannot_now);
	in_child(1, one_that_never_can);
}

static void check_poll_mode(void)
{
	struct nsdk_reactor_stats stats;

	make_device();
	device.busy = 0;
	/* From sleep back to polling: it is disarmed, and nobody asks again. */
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&before_waiting, complete);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	device.arms = 0;
	device.handled = 1;
	device.completed = true;
	set_modes(NSDK_REACTOR_POLL, 0);
	atomic_store(&waits, 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(device.arms == 0 && !device.armed && atomic_load(&waits) == 0);
	nsdk_reactor_stats(nsdk_reactor_get(0), &stats);
	CHECK(stats.sleeps == 2);
	remove_device();
}

static void who_polls_is_not_armed(void)
{
	in_child(1, check_poll_mode);
}

/* --- adaptive -------------------------------------------------------------- */

static unsigned disarms_seen[3];
static unsigned stage;

/* When it is about to sleep the n-th time. */
static void next_stage(void)
{
	disarms_seen[stage] = device.disarms;
	switch (stage++) {
	case 0:
		/* One piece of work, and nothing after it: it stays armed. */
		device.busy = 1;
		break;
	case 1:
		/* Three in a row: interrupts would only be in the way. */
		device.busy = 3;
		break;
	default:
		before_waiting = NULL;
		nsdk_reactors_stop(0);
		return;
	}
	CHECK(eventfd_write(device.fd, 1) == 0);
}

static void check_adaptive(void)
{
	make_device();
	set_modes(NSDK_REACTOR_ADAPTIVE, 1000);
	before_waiting = next_stage;
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(stage == 3);
	CHECK(disarms_seen[0] == 0 && disarms_seen[1] == 0 && disarms_seen[2] == 1);
	remove_device();
}

/* Adaptive from its first sleep on, when all are armed. */
static void become_adaptive(void)
{
	CHECK(nsdk_reactor_set_mode(NULL, NSDK_REACTOR_ADAPTIVE, 1000) == 0);
	device.busy = 3;
	CHECK(eventfd_write(device.fd, 1) == 0);
	put(&before_waiting, stop_now);
}

static void check_becoming_adaptive(void)
{
	make_device();
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&before_waiting, become_adaptive);
	CHECK(nsdk_reactors_run(NULL, NULL) == 3);
	/* By three turns with work, and by the end. */
	CHECK(device.disarms == 2);
	remove_device();
}

static void two_turns_with_work_end_the_interrupts(void)
{
	in_child(1, check_adaptive);
	in_child(1, check_becoming_adaptive);
}

static uint64_t worked_ns, slept_ns;

static int work_once(void *ctx)
{
	if (device.polls++ != 2)
		return 0;
	worked_ns = nsdk_clock_ns();
	return 1;
}

static void note_the_sleep(void)
{
	slept_ns = nsdk_clock_ns();
	nsdk_reactors_stop(0);
}

static void check_idle(void)
{
	struct nsdk_poller *poller;

	CHECK(nsdk_poller_register(nsdk_reactor_get(0), work_once, NULL, 0, &poller) == 0);
	nsdk_poller_set_sleep(poller, device_arm, device_disarm);
	set_modes(NSDK_REACTOR_ADAPTIVE, 30000);
	put(&before_waiting, note_the_sleep);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	/* It polled on for that time; the clocks may differ by a little. */
	CHECK(slept_ns - worked_ns >= 29 * 1000 * 1000);
	nsdk_poller_unregister(poller);
}

static void it_polls_for_a_while_before_it_sleeps(void)
{
	in_child(1, check_idle);
}

/* --- misuse ---------------------------------------------------------------- */

static void try_elsewhere(void *ctx)
{
	struct nsdk_reactor_fd *handle;

	CHECK(nsdk_reactor_set_mode(nsdk_reactor_get(0), NSDK_REACTOR_POLL, 0) == -EINVAL);
	CHECK(nsdk_reactor_fd_add(nsdk_reactor_get(0), device.fd, NULL, NULL, &handle) == -EINVAL);
	nsdk_reactor_fd_remove(device.handle);
	nsdk_poller_set_sleep(device.poller, NULL, NULL);
	nsdk_reactors_stop(0);
}

static void check_misuse(void)
{
	struct nsdk_reactor_fd *handle;

	make_device();
	CHECK(nsdk_reactor_set_mode(nsdk_reactor_get(0), (enum nsdk_reactor_mode)7, 0) == -EINVAL);
	CHECK(nsdk_reactor_set_mode(NULL, NSDK_REACTOR_POLL, 0) == -EINVAL);
	CHECK(nsdk_reactor_fd_add(NULL, device.fd, NULL, NULL, &handle) == -EINVAL);
	/* Nothing that can be waited for; and one that is there already. */
	CHECK(nsdk_reactor_fd_add(nsdk_reactor_get(0), -1, NULL, NULL, &handle) == -EBADF);
	CHECK(nsdk_reactor_fd_add(nsdk_reactor_get(0), device.fd, NULL, NULL, &handle) == -EEXIST);
	CHECK(nsdk_unit_log_count() == 5);
	nsdk_unit_log_clear();
	nsdk_reactor_fd_remove(NULL);
	CHECK(nsdk_reactor_send(nsdk_reactor_get(1), try_elsewhere, NULL) == 0);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
	CHECK(nsdk_unit_log_count() == 4);
	CHECK(nsdk_unit_log_has("on its own lcore"));
	nsdk_unit_log_clear();
	remove_device();
}

static void misuse_is_an_error(void)
{
	in_child(2, check_misuse);
}

static void check_no_descriptors(void)
{
	struct rlimit before, none;
	int next = eventfd(0, 0);

	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	/* No room at all; then for the eventfd and not for the set. */
	for (unsigned room = 0; room < 2; room++) {
		none.rlim_cur = (rlim_t)next + 1 + room;
		CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
		CHECK(nsdk_reactor_set_mode(nsdk_reactor_get(0), NSDK_REACTOR_INTERRUPT, 0) == -EMFILE);
		CHECK(nsdk_unit_log_count() == 1 && nsdk_unit_log_has("ulimit -n"));
		nsdk_unit_log_clear();
	}
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	close(next);
	set_modes(NSDK_REACTOR_INTERRUPT, 0);
	put(&before_waiting, send_stop);
	CHECK(nsdk_reactors_run(NULL, NULL) == 0);
}

static void without_descriptors_it_is_said(void)
{
	in_child(1, check_no_descriptors);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_message_is_never_slept_through),
	NSDK_UNIT_TEST(messages_wake_a_sleeper),
	NSDK_UNIT_TEST(none_of_many_is_lost),
	NSDK_UNIT_TEST(a_stop_is_never_slept_through),
	NSDK_UNIT_TEST(a_signal_handler_wakes_all),
	NSDK_UNIT_TEST(the_descriptor_of_stops_is_never_closed),
	NSDK_UNIT_TEST(a_completion_is_never_slept_through),
	NSDK_UNIT_TEST(one_that_comes_last_is_not_forgotten),
	NSDK_UNIT_TEST(one_descriptor_wakes_two_lcores),
	NSDK_UNIT_TEST(functions_run_in_every_mode),
	NSDK_UNIT_TEST(timed_pollers_end_a_sleep),
	NSDK_UNIT_TEST(old_filters_do_not_keep_it_awake),
	NSDK_UNIT_TEST(a_poller_can_bound_the_sleep),
	NSDK_UNIT_TEST(who_cannot_be_armed_keeps_it_awake),
	NSDK_UNIT_TEST(who_polls_is_not_armed),
	NSDK_UNIT_TEST(two_turns_with_work_end_the_interrupts),
	NSDK_UNIT_TEST(it_polls_for_a_while_before_it_sleeps),
	NSDK_UNIT_TEST(misuse_is_an_error),
	NSDK_UNIT_TEST(without_descriptors_it_is_said),
};

NSDK_UNIT_MAIN("lib/reactor/sleep", tests)
