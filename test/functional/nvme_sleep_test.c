/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that wait for interrupts of the emulated controller instead of polling it, the whole stack but
 * the reactor, in both policies and with the cache model's adversary: what they are woken for is there,
 * nothing is slept through, and an interrupt that gets lost is survived. Where an interrupt did not come
 * the driver says so, so that a clean log is part of every test.
 */
#include "nvme_stack.h"

#include <nsdk/nvme_admin.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "drivers/nvme/nvme_internal.h"
#include "lib/bus/bus_internal.h"
#include "lib/emu/nvme_internal.h"

#define IO_BYTES 4096u
#define ARENA_BYTES ((size_t)64 * IO_BYTES)

static const struct setting {
	const char *device;
	enum nsdk_policy policy;
} settings[] = {
	{ "emu:nvme,size=8M,thread=1", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,thread=1,latency_us=300", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,thread=1,dbbuf=1,latency_us=300", NSDK_POLICY_COHERENT },
	{ "emu:nvme,size=8M,thread=1,nosnoop=all,seed=21", NSDK_POLICY_NOSNOOP },
	{ "emu:nvme,size=8M,thread=1,nosnoop=all,seed=22,latency_us=300", NSDK_POLICY_NOSNOOP },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* Of the controller's own queue as well. */
static const struct nsdk_nvme_opts interrupts = { .interrupts = true };

/* A queue pair in a group, perhaps with its controller, and what came of its I/O. */
struct sleeper {
	struct stack *stack;
	struct nsdk_nvme_poll_group *group;
	struct nsdk_nvme_qpair *qp;
	bool heeds_no_clock; /* sleeps until it is woken, however long the driver says */
	unsigned done;
	uint16_t status;
	unsigned failures;
	int error;
	unsigned ctrlr_failures;
};

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct sleeper *sleeper = ctx;

	sleeper->done++;
	sleeper->status = cpl->status & 0xffe;
}

static void on_failure(void *ctx, struct nsdk_nvme_qpair *qp, int error)
{
	struct sleeper *sleeper = ctx;

	CU_ASSERT_PTR_EQUAL(qp, sleeper->qp);
	sleeper->failures++;
	sleeper->error = error;
}

static void on_ctrlr_failure(void *ctx, struct nsdk_nvme_ctrlr *ctrlr, int error)
{
	struct sleeper *sleeper = ctx;

	CU_ASSERT_PTR_EQUAL(ctrlr, sleeper->stack->ctrlr);
	NSDK_ASSERT_INT(error, -ENODEV);
	sleeper->ctrlr_failures++;
}

/* A group with nobody in it. */
static void make_group(struct sleeper *sleeper, struct stack *stack)
{
	struct nsdk_nvme_poll_group_opts opts = { .opts_bytes = sizeof(opts),
						  .failed = on_failure,
						  .ctx = sleeper,
						  .ctrlr_failed = on_ctrlr_failure };

	*sleeper = (struct sleeper){ .stack = stack };
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_create(&opts, &sleeper->group), 0);
}

static void make(struct sleeper *sleeper, struct stack *stack)
{
	struct nsdk_nvme_qpair_opts qp_opts = { .opts_bytes = sizeof(qp_opts), .interrupts = true };

	make_group(sleeper, stack);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(stack->ctrlr, &qp_opts, &sleeper->qp), 0);
	CU_ASSERT_FATAL(nsdk_nvme_qpair_has_interrupt(sleeper->qp));
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_add(sleeper->group, sleeper->qp), 0);
}

/* Its controller as well. */
static void attend(struct sleeper *sleeper)
{
	CU_ASSERT_FATAL(nsdk_nvme_ctrlr_has_interrupt(sleeper->stack->ctrlr));
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_add_ctrlr(sleeper->group, sleeper->stack->ctrlr), 0);
}

static void unmake(struct sleeper *sleeper)
{
	if (sleeper->stack->ctrlr->group == sleeper->group)
		nsdk_nvme_poll_group_remove_ctrlr(sleeper->group, sleeper->stack->ctrlr);
	nsdk_nvme_qpair_destroy(sleeper->qp);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(sleeper->group), 0);
}

/* One round of the wait that nsdk/nvme.h describes. @return whether somebody woke it, if need be. */
static bool wait_once(struct sleeper *sleeper)
{
	struct pollfd fd = { .fd = nsdk_nvme_poll_group_fd(sleeper->group), .events = POLLIN };
	uint64_t wake_ns = UINT64_MAX, now_ns;
	int timeout_ms = (int)(STACK_PATIENCE_NS / 1000000);

	if (nsdk_nvme_poll_group_poll(sleeper->group, 0) > 0 || sleeper->failures)
		return true;
	if (nsdk_nvme_poll_group_arm(sleeper->group, &wake_ns) != 0) {
		sched_yield();
		return true;
	}
	if (nsdk_nvme_poll_group_poll(sleeper->group, 0) > 0 || sleeper->failures)
		return true;
	now_ns = nsdk_clock_ns();
	if (wake_ns != UINT64_MAX && !sleeper->heeds_no_clock)
		timeout_ms = wake_ns > now_ns ? (int)((wake_ns - now_ns) / 1000000 + 1) : 0;
	/* Nobody to wake it, within all that patience. */
	return poll(&fd, 1, timeout_ms) == 1 || !sleeper->heeds_no_clock;
}

static void wait_for(struct sleeper *sleeper, unsigned done)
{
	uint64_t deadline_ns = nsdk_clock_ns() + 2 * STACK_PATIENCE_NS;

	while (sleeper->done < done) {
		CU_ASSERT_FATAL(wait_once(sleeper));
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	NSDK_ASSERT_INT(sleeper->done, done);
}

static uint8_t *slot(const struct sleeper *sleeper, unsigned i)
{
	return sleeper->stack->arena + (size_t)i * IO_BYTES;
}

static void give(struct sleeper *sleeper, bool write, unsigned buffer, uint64_t place)
{
	struct nsdk_nvme_ns *ns = sleeper->stack->ns;
	uint32_t blocks = IO_BYTES / nsdk_nvme_ns_block_bytes(ns);
	int err = write ? nsdk_nvme_write(ns, sleeper->qp, slot(sleeper, buffer), place * blocks, blocks, 0,
					  on_done, sleeper) :
			  nsdk_nvme_read(ns, sleeper->qp, slot(sleeper, buffer), place * blocks, blocks, 0,
					 on_done, sleeper);

	CU_ASSERT_EQUAL_FATAL(err, 0);
}

static void fill(uint8_t *buf, uint32_t salt)
{
	for (size_t i = 0; i < IO_BYTES; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}

/* Writes @p depth pieces, each with a sleep of its own or all with one, and reads them back elsewhere. */
static void round_trips(struct sleeper *sleeper, unsigned first, unsigned depth, bool together, uint32_t salt)
{
	unsigned done = sleeper->done;

	for (unsigned write = 2; write-- > 0;) {
		for (unsigned i = 0; i < depth; i++) {
			if (write)
				fill(slot(sleeper, first + i), salt + i);
			else
				memset(slot(sleeper, first + depth + i), 0xaa, IO_BYTES);
			give(sleeper, write, first + (write ? 0 : depth) + i, first + i);
			done++;
			if (!together)
				wait_for(sleeper, done);
		}
		wait_for(sleeper, done);
		NSDK_ASSERT_INT(sleeper->status, 0);
	}
	for (unsigned i = 0; i < depth; i++)
		CU_ASSERT(memcmp(slot(sleeper, first + i), slot(sleeper, first + depth + i), IO_BYTES) == 0);
}

static void up(struct stack *stack, const struct setting *setting, const char *more,
	       const struct nsdk_nvme_opts *opts)
{
	char words[200];

	snprintf(words, sizeof(words), "%s%s", setting->device, more);
	stack_up(stack, words, setting->policy, opts, ARENA_BYTES);
	nsdk_unit_log_clear();
}

static void data_is_there_when_it_wakes(void)
{
	struct sleeper sleeper;
	struct stack stack;

	for (size_t i = 0; i < SETTINGS; i++) {
		nsdk_cache_model_reset();
		up(&stack, &settings[i], "", NULL);
		make(&sleeper, &stack);
		for (uint32_t round = 0; round < 10; round++) {
			round_trips(&sleeper, 0, 8, false, 100 * round);
			round_trips(&sleeper, 0, 32, true, 100 * round + 50);
			/* Back to polling in between, as adaptive reactors go. */
			if (round % 2)
				nsdk_nvme_poll_group_disarm(sleeper.group);
		}
		unmake(&sleeper);
		stack_down(&stack, false);
		stack_no_violations(settings[i].policy == NSDK_POLICY_NOSNOOP);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

/* ---- Lost interrupts ---- */

static void a_lost_interrupt_is_survived(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;
	struct sleeper sleeper;
	struct stack stack;
	uint64_t wake_ns = UINT64_MAX;
	unsigned ios = 0;

	/* All of them, and long enough under way that who gives one is asleep when it is done. */
	up(&stack, &settings[0], ",latency_us=20000,fault=lostirq@every1", NULL);
	make(&sleeper, &stack);
	while (nsdk_unit_log_count() == 0) {
		give(&sleeper, false, 0, 0);
		wait_for(&sleeper, ++ios);
		/* It is found out when sleeps are prepared. */
		nsdk_nvme_poll_group_arm(sleeper.group, &wake_ns);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	NSDK_ASSERT_ONE_SENTENCE("an interrupt of queue 1 did not come");
	for (unsigned i = 0; i < 2; i++) {
		give(&sleeper, false, 0, 0);
		wait_for(&sleeper, ++ios);
	}
	NSDK_ASSERT_INT(sleeper.status, 0);
	/* Once is enough. */
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	unmake(&sleeper);
	stack_down(&stack, false);
}

/* ---- What else wakes ---- */

/* The model is the first thing that the emulated bus keeps of a device. */
static struct emu_nvme *model_of(const struct stack *stack)
{
	return *(struct emu_nvme **)stack->dev->priv;
}

static struct stack pulled;

static void *pull_out(void *arg)
{
	emu_nvme_pull_out(model_of(&pulled));
	return arg;
}

static void removal_wakes(void)
{
	struct sleeper sleeper;
	pthread_t thread;

	for (unsigned i = 0; i < SETTINGS; i += 3) {
		nsdk_cache_model_reset();
		up(&pulled, &settings[i], ",latency_us=60000000", &interrupts);
		make(&sleeper, &pulled);
		attend(&sleeper);
		sleeper.heeds_no_clock = true;
		give(&sleeper, false, 0, 0);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, pull_out, NULL), 0);
		wait_for(&sleeper, 1);
		pthread_join(thread, NULL);
		NSDK_ASSERT_INT(sleeper.status, NVME_STATUS_INTERNAL_PATH);
		NSDK_ASSERT_INT(sleeper.failures, 1);
		NSDK_ASSERT_INT(sleeper.error, -ENODEV);
		while (sleeper.ctrlr_failures == 0)
			CU_ASSERT_FATAL(wait_once(&sleeper));
		NSDK_ASSERT_INT(sleeper.ctrlr_failures, 1);
		NSDK_ASSERT_ONE_SENTENCE("pulled out");
		unmake(&sleeper);
		stack_down(&pulled, true);
		stack_no_violations(false);
		nsdk_unit_log_clear();
	}
}

/*
 * The controller's thread. It stops when the queue pair has had its answer, not when the reset is over: of
 * one that did not pause in time, because its thread was not let run, the queues are made by later polls.
 */
static atomic_bool answered, mended;

static void *mend(void *arg)
{
	struct stack *stack = arg;
	uint64_t deadline_ns = nsdk_clock_ns() + 2 * STACK_PATIENCE_NS;

	/* The command that is to hang is hanging: sent for the first time after the reset, it would then. */
	while (atomic_load(&model_of(stack)->fault_count) == 0 && nsdk_clock_ns() < deadline_ns)
		sched_yield();
	nsdk_nvme_ctrlr_trouble(stack->ctrlr, -EIO, "made to fail");
	while ((!atomic_load(&answered) || nsdk_nvme_ctrlr_recovering(stack->ctrlr)) &&
	       nsdk_clock_ns() < deadline_ns) {
		if (nsdk_nvme_ctrlr_poll(stack->ctrlr) < 0)
			break;
		sched_yield();
	}
	atomic_store(&mended, true);
	return NULL;
}

/* A command that hangs, and a reset that sends it again, with its thread asleep whenever it may. */
static void a_reset_wakes_and_goes_on_with_interrupts(void)
{
	struct sleeper sleeper;
	struct stack stack;
	pthread_t thread;

	for (unsigned i = 0; i < SETTINGS; i += 3) {
		nsdk_cache_model_reset();
		up(&stack, &settings[i], ",fault=timeout@1", NULL);
		make(&sleeper, &stack);
		sleeper.heeds_no_clock = true;
		give(&sleeper, false, 0, 0);
		nsdk_nvme_qpair_submit(sleeper.qp);
		atomic_store(&mended, false);
		atomic_store(&answered, false);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, mend, &stack), 0);
		wait_for(&sleeper, 1);
		atomic_store(&answered, true);
		pthread_join(thread, NULL);
		CU_ASSERT(atomic_load(&mended));
		NSDK_ASSERT_INT(sleeper.status, 0);
		round_trips(&sleeper, 0, 8, false, i);
		CU_ASSERT(nsdk_unit_log_has("has been reset and goes on"));
		unmake(&sleeper);
		stack_down(&stack, false);
		stack_no_violations(settings[i].policy == NSDK_POLICY_NOSNOOP);
		nsdk_unit_log_clear();
	}
}

/* ---- The admin queue ---- */

static void on_event(void *ctx, struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_event *event)
{
	struct sleeper *sleeper = ctx;

	CU_ASSERT_PTR_EQUAL(ctrlr, sleeper->stack->ctrlr);
	NSDK_ASSERT_INT(event->type, EMU_NVME_EVENT_SMART);
	sleeper->done++;
}

static struct stack eventful;

static void *have_an_event(void *arg)
{
	emu_nvme_event_raise(model_of(&eventful), EMU_NVME_EVENT_SMART, 1, NSDK_NVME_LOG_SMART);
	return arg;
}

/* Something that the controller tells by itself, to who is on his way to sleep or there. */
static void hear(struct sleeper *sleeper)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, have_an_event, NULL), 0);
	wait_for(sleeper, sleeper->done + 1);
	pthread_join(thread, NULL);
}

static int command(struct sleeper *sleeper)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_get_features(NSDK_NVME_FEAT_ARBITRATION, 0, 0, 0);

	return nsdk_nvme_admin_passthru(sleeper->stack->ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, on_done,
					sleeper);
}

/* Ends of commands, events, and I/O: who waits for all of them with one descriptor. */
static void admin_completions_wake(void)
{
	struct sleeper sleeper;

	for (unsigned i = 0; i < SETTINGS; i += 3) {
		nsdk_cache_model_reset();
		up(&eventful, &settings[i], "", &interrupts);
		make(&sleeper, &eventful);
		attend(&sleeper);
		nsdk_nvme_ctrlr_on_event(eventful.ctrlr, on_event, &sleeper);
		sleeper.heeds_no_clock = true;
		for (unsigned round = 0; round < 20; round++) {
			CU_ASSERT_EQUAL_FATAL(command(&sleeper), 0);
			wait_for(&sleeper, sleeper.done + 1);
			NSDK_ASSERT_INT(sleeper.status, 0);
			if (round % 2)
				nsdk_nvme_poll_group_disarm(sleeper.group);
		}
		hear(&sleeper);
		round_trips(&sleeper, 0, 8, false, i);
		unmake(&sleeper);
		stack_down(&eventful, false);
		stack_no_violations(settings[i].policy == NSDK_POLICY_NOSNOOP);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
}

static void *ask_for_a_reset(void *arg)
{
	nsdk_nvme_ctrlr_trouble(eventful.ctrlr, -EIO, "made to fail");
	return arg;
}

/* Who sleeps is woken, does all of it himself, sleeps again, and still hears of events. */
static void a_reset_is_gone_through_by_who_sleeps(void)
{
	struct sleeper sleeper;
	pthread_t thread;

	up(&eventful, &settings[0], ",fault=timeout@1", &interrupts);
	make(&sleeper, &eventful);
	attend(&sleeper);
	nsdk_nvme_ctrlr_on_event(eventful.ctrlr, on_event, &sleeper);
	sleeper.heeds_no_clock = true;
	give(&sleeper, false, 0, 0);
	nsdk_nvme_qpair_submit(sleeper.qp);
	/* It is hanging. */
	while (atomic_load(&model_of(&eventful)->fault_count) == 0)
		sched_yield();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask_for_a_reset, NULL), 0);
	wait_for(&sleeper, 1);
	pthread_join(thread, NULL);
	NSDK_ASSERT_INT(sleeper.status, 0);
	CU_ASSERT(nsdk_unit_log_has("has been reset and goes on"));
	hear(&sleeper);
	round_trips(&sleeper, 0, 8, false, 7);
	unmake(&sleeper);
	stack_down(&eventful, false);
	nsdk_unit_log_clear();
}

static void a_lost_admin_interrupt_is_survived(void)
{
	struct sleeper sleeper;
	struct stack stack;

	up(&stack, &settings[0], ",fault=lostirq@adminevery1", &interrupts);
	make(&sleeper, &stack);
	attend(&sleeper);
	for (unsigned i = 1; i <= 2; i++) {
		CU_ASSERT_EQUAL_FATAL(command(&sleeper), 0);
		wait_for(&sleeper, i);
		NSDK_ASSERT_INT(sleeper.status, 0);
	}
	unmake(&sleeper);
	stack_down(&stack, false);
}

/* ---- Many ---- */

/* Controllers that are unlike each other in one group, of which one goes. */
static void one_group_has_many_controllers(void)
{
	enum { COUNT = 3 };
	struct nsdk_nvme_poll_group_opts opts = { .opts_bytes = sizeof(opts), .failed = on_failure };
	struct sleeper sleepers[COUNT];
	struct stack stacks[COUNT];

	nsdk_cache_model_reset();
	for (unsigned i = 0; i < COUNT; i++) {
		up(&stacks[i], &settings[i == 2 ? 3 : i], "", NULL);
		make(&sleepers[i], &stacks[i]);
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(sleepers[i].group, sleepers[i].qp), 0);
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(sleepers[i].group), 0);
	}
	opts.ctx = &sleepers[1];
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_create(&opts, &sleepers[0].group), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		sleepers[i].group = sleepers[0].group;
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_add(sleepers[0].group, sleepers[i].qp), 0);
	}
	/* Who waits for one has what comes for the others handled as well. */
	for (unsigned i = 0; i < COUNT; i++)
		for (unsigned j = 0; j < 8; j++)
			give(&sleepers[i], false, j, j);
	for (unsigned i = 0; i < COUNT; i++)
		wait_for(&sleepers[i], 8);
	for (unsigned i = 0; i < COUNT; i++)
		round_trips(&sleepers[i], 0, 8, i % 2, 70 + i);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	/* One goes; the others do not notice. */
	pulled = stacks[1];
	pull_out(NULL);
	while (sleepers[1].failures == 0)
		CU_ASSERT_FATAL(wait_once(&sleepers[1]));
	NSDK_ASSERT_INT(sleepers[1].error, -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("pulled out");
	for (unsigned i = 0; i < COUNT; i += 2)
		round_trips(&sleepers[i], 0, 8, true, 90 + i);
	NSDK_ASSERT_INT(sleepers[1].failures, 1);
	for (unsigned i = 0; i < COUNT; i++)
		nsdk_nvme_qpair_destroy(sleepers[i].qp);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(sleepers[0].group), 0);
	for (unsigned i = 0; i < COUNT; i++)
		stack_down(&stacks[i], i == 1);
	stack_no_violations(true);
	nsdk_unit_log_clear();
}

#define SHARED_ROUNDS 100u

/* CUnit is one thread's, so what is wrong is counted. */
struct sharer {
	struct sleeper sleeper;
	unsigned first;
	atomic_uint wrong;
};

/* The controller's thread, beside those of the queue pairs. */
static void *command_on(void *arg)
{
	struct sharer *sharer = arg;
	struct sleeper *sleeper = &sharer->sleeper;
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;

	for (unsigned i = 1; i <= SHARED_ROUNDS && nsdk_clock_ns() < deadline_ns; i++) {
		if (command(sleeper) != 0)
			atomic_fetch_add(&sharer->wrong, 1);
		while (sleeper->done < i && nsdk_clock_ns() < deadline_ns)
			atomic_fetch_add(&sharer->wrong, !wait_once(sleeper));
	}
	return NULL;
}

static void *share(void *arg)
{
	struct sharer *sharer = arg;
	struct sleeper *sleeper = &sharer->sleeper;
	uint64_t deadline_ns = nsdk_clock_ns() + STACK_PATIENCE_NS;

	for (unsigned i = 1; i <= SHARED_ROUNDS && nsdk_clock_ns() < deadline_ns; i++) {
		struct nsdk_nvme_ns *ns = sleeper->stack->ns;

		if (nsdk_nvme_read(ns, sleeper->qp, slot(sleeper, sharer->first), 0, 8, 0, on_done,
				   sleeper) != 0)
			atomic_fetch_add(&sharer->wrong, 1);
		while (sleeper->done < i && nsdk_clock_ns() < deadline_ns)
			atomic_fetch_add(&sharer->wrong, !wait_once(sleeper));
		if (sleeper->status || sleeper->done != i)
			atomic_fetch_add(&sharer->wrong, 1);
	}
	return NULL;
}

/* Fewer vectors than queues: each signal wakes all their threads, and none takes it from another. */
static void share_vectors(const char *vectors)
{
	enum { COUNT = 3 };
	struct sharer sharers[COUNT];
	pthread_t threads[COUNT];
	struct stack stack;

	up(&stack, &settings[1], vectors, &interrupts);
	for (unsigned i = 0; i < COUNT; i++) {
		/* The last is the controller's. */
		if (i < COUNT - 1)
			make(&sharers[i].sleeper, &stack);
		else
			make_group(&sharers[i].sleeper, &stack);
		sharers[i].first = 8 * i;
		atomic_store(&sharers[i].wrong, 0);
	}
	attend(&sharers[COUNT - 1].sleeper);
	NSDK_ASSERT_INT(nsdk_nvme_irq_fd(sharers[0].sleeper.qp), nsdk_nvme_irq_fd(sharers[1].sleeper.qp));
	for (unsigned i = 0; i < COUNT; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, i < COUNT - 1 ? share : command_on,
						     &sharers[i]), 0);
	for (unsigned i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = COUNT; i-- > 0;) {
		NSDK_ASSERT_INT(sharers[i].sleeper.done, SHARED_ROUNDS);
		NSDK_ASSERT_INT(atomic_load(&sharers[i].wrong), 0);
		unmake(&sharers[i].sleeper);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	stack_down(&stack, false);
}

static void threads_share_a_vector(void)
{
	share_vectors(",vectors=2");
}

static void threads_share_the_admin_queues_vector(void)
{
	share_vectors(",vectors=1");
}

static void before(void)
{
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(data_is_there_when_it_wakes),
	NSDK_UNIT_TEST(a_lost_interrupt_is_survived),
	NSDK_UNIT_TEST(removal_wakes),
	NSDK_UNIT_TEST(a_reset_wakes_and_goes_on_with_interrupts),
	NSDK_UNIT_TEST(admin_completions_wake),
	NSDK_UNIT_TEST(a_reset_is_gone_through_by_who_sleeps),
	NSDK_UNIT_TEST(a_lost_admin_interrupt_is_survived),
	NSDK_UNIT_TEST(one_group_has_many_controllers),
	NSDK_UNIT_TEST(threads_share_a_vector),
	NSDK_UNIT_TEST(threads_share_the_admin_queues_vector),
};

NSDK_UNIT_MAIN("nvme_sleep", tests, .before = before, .after = after)
