/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pollers of one reactor, without the reactor, in a time of our own.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#include "lib/reactor/reactor_internal.h"

/* --- stand-ins for the reactor and the clock ------------------------------- */

struct nsdk_reactor {
	struct nsdk_pollers pollers;
	bool mine;
};

static struct nsdk_reactor reactor;
static uint64_t now;

struct nsdk_reactor *nsdk_reactor_self(void)
{
	return reactor.mine ? &reactor : NULL;
}

struct nsdk_pollers *nsdk_reactor_pollers(struct nsdk_reactor *of)
{
	return &of->pollers;
}

bool nsdk_reactor_is_mine(const struct nsdk_reactor *of)
{
	return of->mine;
}

uint64_t nsdk_ticks(void)
{
	return now;
}

/* A tick is a microsecond here. */
uint64_t nsdk_ticks_per_s(void)
{
	return 1000000;
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_realloc(old, bytes);
}

/* --- what the pollers of the tests do -------------------------------------- */

static char order[256];

struct work {
	char letter;
	int result;
	struct nsdk_poller *poller;
	struct work *takes_off; /* whom it unregisters */
	struct work *puts_on;   /* whom it registers */
	uint64_t period_us;
	int arm_result;
	bool armed;
	unsigned arms, disarms;
};

static int do_work(void *ctx)
{
	struct work *work = ctx;
	size_t length = strlen(order);

	if (length < sizeof(order) - 1) {
		order[length] = work->letter;
		order[length + 1] = '\0';
	}
	if (work->takes_off) {
		nsdk_poller_unregister(work->takes_off->poller);
		work->takes_off->poller = NULL;
		work->takes_off = NULL;
	}
	if (work->puts_on) {
		NSDK_ASSERT_INT(nsdk_poller_register(NULL, do_work, work->puts_on, work->puts_on->period_us,
						     &work->puts_on->poller),
				0);
		work->puts_on = NULL;
	}
	return work->result;
}

static struct work a, b, c, d;

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_pollers_init(&reactor.pollers);
	reactor.mine = true;
	now = 1000;
	order[0] = '\0';
	a = (struct work){ .letter = 'a' };
	b = (struct work){ .letter = 'b' };
	c = (struct work){ .letter = 'c' };
	d = (struct work){ .letter = 'd' };
}

static void after(void)
{
	nsdk_pollers_fini(&reactor.pollers);
	nsdk_unit_log_stop();
}

static void put_on(struct work *work, uint64_t period_us)
{
	work->period_us = period_us;
	NSDK_ASSERT_INT(nsdk_poller_register(&reactor, do_work, work, period_us, &work->poller), 0);
}

static void turns_give(const char *expected, unsigned turns)
{
	order[0] = '\0';
	for (unsigned i = 0; i < turns; i++)
		nsdk_pollers_turn(&reactor.pollers, now);
	NSDK_ASSERT_TEXT(order, expected);
}

static void running(unsigned count)
{
	NSDK_ASSERT_INT(reactor.pollers.count, count);
}

static void all_run_in_order_on_every_turn(void)
{
	NSDK_ASSERT_INT(nsdk_pollers_turn(&reactor.pollers, now), 0);
	put_on(&a, 0);
	put_on(&b, 0);
	put_on(&c, 0);
	running(3);
	turns_give("abcabc", 2);
}

static void one_that_did_something_makes_the_turn_busy(void)
{
	put_on(&a, 0);
	put_on(&b, 0);
	put_on(&c, 0);
	NSDK_ASSERT_INT(nsdk_pollers_turn(&reactor.pollers, now), 0);
	b.result = 5;
	CU_ASSERT_TRUE(nsdk_pollers_turn(&reactor.pollers, now) > 0);
	b.result = 0;
	put_on(&d, 10);
	d.result = 1;
	NSDK_ASSERT_INT(nsdk_pollers_turn(&reactor.pollers, now), 0);
	now += 10;
	CU_ASSERT_TRUE(nsdk_pollers_turn(&reactor.pollers, now) > 0);
}

/* Who takes off whom, in one turn of a, b, c; what runs in it, and then. */
static void one_takes_off_another(struct work *who, struct work *whom, const char *this_turn,
				  const char *next)
{
	put_on(&a, 0);
	put_on(&b, 0);
	put_on(&c, 0);
	who->takes_off = whom;
	turns_give(this_turn, 1);
	running(2);
	turns_give(next, 1);
}

static void one_may_take_off_itself(void)
{
	one_takes_off_another(&b, &b, "abc", "ac");
}

static void one_may_take_off_the_next(void)
{
	one_takes_off_another(&a, &b, "ac", "ac");
}

static void one_may_take_off_the_one_before(void)
{
	one_takes_off_another(&c, &a, "abc", "bc");
}

static void the_first_may_take_off_the_last(void)
{
	one_takes_off_another(&a, &c, "ab", "ab");
}

static void the_last_may_take_off_itself(void)
{
	one_takes_off_another(&c, &c, "abc", "ab");
}

static void one_may_put_on_another(void)
{
	put_on(&a, 0);
	a.puts_on = &b;
	order[0] = '\0';
	nsdk_pollers_turn(&reactor.pollers, now);
	running(2);
	turns_give("ab", 1);
	/* And itself anew: taken off and put on in one call. */
	a.takes_off = &a;
	a.puts_on = &c;
	turns_give("abcbc", 2);
}

static void a_period_is_kept(void)
{
	put_on(&a, 100);
	turns_give("", 3);
	now += 99;
	turns_give("", 3);
	now += 1;
	turns_give("a", 3);
	now += 99;
	turns_give("", 1);
	now += 1;
	turns_give("a", 1);
	/* However late, it comes once, and then after a whole period. */
	now += 1000;
	turns_give("a", 5);
	now += 99;
	turns_give("", 5);
	now += 1;
	turns_give("a", 5);
}

static void the_earliest_is_first(void)
{
	put_on(&a, 30);
	put_on(&b, 10);
	put_on(&c, 20);
	put_on(&d, 0);
	now += 30;
	turns_give("dbca", 1);
	now += 10;
	turns_give("db", 1);
	now += 20;
	turns_give("dbca", 1);
}

static void timed_ones_may_take_off_any(void)
{
	put_on(&a, 10);
	put_on(&b, 20);
	put_on(&c, 30);
	now += 30;
	b.takes_off = &b;
	turns_give("abc", 1);
	running(2);
	a.takes_off = &c;
	now += 30;
	turns_give("a", 1);
	running(1);
	a.takes_off = &a;
	now += 30;
	turns_give("a", 2);
	running(0);
}

static void one_that_is_done_is_kept_for_its_owner(void)
{
	put_on(&a, 0);
	put_on(&b, 0);
	put_on(&c, 10);
	a.result = -ENODEV;
	c.result = -ETIMEDOUT;
	now += 10;
	turns_give("abcb", 2);
	running(1);
	/* The handles are still good, from outside and from within. */
	nsdk_poller_unregister(a.poller);
	b.takes_off = &c;
	turns_give("b", 1);
	running(1);
	/* One that is done and has taken itself off. */
	b.takes_off = &b;
	b.result = -EIO;
	turns_give("b", 2);
	running(0);
}

static void the_last_word_is_kept_when_the_set_ends(void)
{
	put_on(&a, 0);
	put_on(&b, 10);
	put_on(&c, 0);
	c.result = -EIO;
	turns_give("ac", 1);
	/* One that is done is not one that still ran. The address sanitizer sees that all are freed. */
	NSDK_ASSERT_INT(nsdk_pollers_fini(&reactor.pollers), 2);
	running(0);
}

static void any_period_is_a_period(void)
{
	put_on(&a, UINT64_MAX);
	put_on(&b, 1);
	CU_ASSERT_TRUE(a.poller->due_ticks > now);
	now += 1;
	turns_give("b", 2);
	now += 1000000000;
	turns_give("b", 2);
}

static void elsewhere_is_refused(void)
{
	struct nsdk_poller *poller;

	put_on(&a, 0);
	reactor.mine = false;
	NSDK_ASSERT_INT(nsdk_poller_register(&reactor, do_work, &b, 0, &poller), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("on its own lcore");
	NSDK_ASSERT_INT(nsdk_poller_register(NULL, do_work, &b, 0, &poller), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("on its own lcore");
	nsdk_poller_unregister(a.poller);
	NSDK_ASSERT_ONE_SENTENCE("on its own lcore");
	running(1);
	reactor.mine = true;
	NSDK_ASSERT_INT(nsdk_poller_register(&reactor, NULL, &b, 0, &poller), -EINVAL);
	nsdk_poller_unregister(NULL);
	turns_give("a", 1);
}

static void failing_changes_nothing(void)
{
	struct nsdk_poller *poller = NULL;
	unsigned failed = 0;

	put_on(&a, 0);
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_poller_register(NULL, do_work, &b, 10, &poller);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(result, -ENOMEM);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
			running(1);
			failed++;
		} else {
			NSDK_ASSERT_INT(result, 0);
		}
	}
	NSDK_ASSERT_INT(failed, 2);
	now += 10;
	turns_give("ab", 1);
}

/* Many with periods of their own, some leaving and coming: each runs as often as it should. */
static void many_timed_ones_run_as_often_as_they_should(void)
{
	enum { COUNT = 100, TURNS = 20000 };
	static struct {
		struct nsdk_poller *poller;
		uint64_t period, due;
	} model[COUNT];
	static struct work works[COUNT];
	unsigned random = 12345;
	unsigned wrong = 0;

	for (unsigned i = 0; i < COUNT; i++)
		works[i] = (struct work){ .letter = 'x' };
	for (unsigned turn = 0; turn < TURNS; turn++) {
		unsigned i, due = 0;

		random = random * 1664525u + 1013904223u;
		i = (random >> 8) % COUNT;
		if (works[i].poller) {
			nsdk_poller_unregister(works[i].poller);
			works[i].poller = NULL;
		} else {
			model[i].period = 1 + (random >> 16) % 200;
			model[i].due = now + model[i].period;
			put_on(&works[i], model[i].period);
		}
		now += random % 16;
		for (i = 0; i < COUNT; i++) {
			if (works[i].poller && model[i].due <= now) {
				model[i].due = now + model[i].period;
				due++;
			}
		}
		order[0] = '\0';
		nsdk_pollers_turn(&reactor.pollers, now);
		wrong += strlen(order) != due;
	}
	NSDK_ASSERT_INT(wrong, 0);
}

/* --- sleep ----------------------------------------------------------------- */

static int arm_work(void *ctx, uint64_t *wake_ns)
{
	struct work *work = ctx;

	work->arms++;
	if (work->arm_result == 0)
		work->armed = true;
	return work->arm_result;
}

static void disarm_work(void *ctx)
{
	struct work *work = ctx;

	CU_ASSERT(work->armed);
	work->armed = false;
	work->disarms++;
}

static void put_to_sleep(struct work *work)
{
	put_on(work, 0);
	nsdk_poller_set_sleep(work->poller, arm_work, disarm_work);
}

static bool arm_all(void)
{
	uint64_t wake_ns = UINT64_MAX;

	return nsdk_pollers_arm(&reactor.pollers, &wake_ns);
}

static void one_that_never_can_disarms_all(void)
{
	put_to_sleep(&a);
	put_to_sleep(&b);
	put_to_sleep(&c);
	CU_ASSERT(arm_all());
	/* Not now: the others stay as they are, and all are asked again. */
	b.arm_result = -EAGAIN;
	CU_ASSERT(!arm_all());
	CU_ASSERT(a.armed && b.armed && c.armed);
	b.arm_result = -EOPNOTSUPP;
	CU_ASSERT(!arm_all());
	CU_ASSERT(!a.armed && !b.armed && !c.armed);
	NSDK_ASSERT_INT(b.arms, 3);
	CU_ASSERT(!arm_all());
	CU_ASSERT(!a.armed && !c.armed);
	NSDK_ASSERT_INT(b.arms, 3);
	/* Without it they sleep again. */
	nsdk_poller_unregister(b.poller);
	CU_ASSERT(arm_all());
	CU_ASSERT(a.armed && c.armed);
	nsdk_poller_unregister(a.poller);
	nsdk_poller_unregister(c.poller);
}

static void one_without_arm_disarms_all(void)
{
	put_to_sleep(&a);
	CU_ASSERT(arm_all());
	put_on(&b, 0);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT(!arm_all());
		CU_ASSERT(!a.armed);
		NSDK_ASSERT_INT(a.disarms, 1);
	}
	nsdk_poller_unregister(a.poller);
	nsdk_poller_unregister(b.poller);
}

static void who_leaves_is_disarmed(void)
{
	put_to_sleep(&a);
	put_to_sleep(&b);
	put_to_sleep(&c);
	CU_ASSERT(arm_all());
	/* Itself, as it is done; itself, from inside; and by another. */
	a.result = -ECANCELED;
	b.takes_off = &b;
	nsdk_pollers_turn(&reactor.pollers, now);
	CU_ASSERT(!a.armed && !b.armed && c.armed);
	nsdk_poller_unregister(c.poller);
	CU_ASSERT(!c.armed);
	nsdk_poller_unregister(a.poller);
	NSDK_ASSERT_INT(a.disarms, 1);
	NSDK_ASSERT_INT(b.disarms, 1);
	NSDK_ASSERT_INT(c.disarms, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(all_run_in_order_on_every_turn),
	NSDK_UNIT_TEST(one_that_did_something_makes_the_turn_busy),
	NSDK_UNIT_TEST(one_may_take_off_itself),
	NSDK_UNIT_TEST(one_may_take_off_the_next),
	NSDK_UNIT_TEST(one_may_take_off_the_one_before),
	NSDK_UNIT_TEST(the_first_may_take_off_the_last),
	NSDK_UNIT_TEST(the_last_may_take_off_itself),
	NSDK_UNIT_TEST(one_may_put_on_another),
	NSDK_UNIT_TEST(a_period_is_kept),
	NSDK_UNIT_TEST(the_earliest_is_first),
	NSDK_UNIT_TEST(timed_ones_may_take_off_any),
	NSDK_UNIT_TEST(one_that_is_done_is_kept_for_its_owner),
	NSDK_UNIT_TEST(the_last_word_is_kept_when_the_set_ends),
	NSDK_UNIT_TEST(any_period_is_a_period),
	NSDK_UNIT_TEST(elsewhere_is_refused),
	NSDK_UNIT_TEST(failing_changes_nothing),
	NSDK_UNIT_TEST(many_timed_ones_run_as_often_as_they_should),
	NSDK_UNIT_TEST(one_that_never_can_disarms_all),
	NSDK_UNIT_TEST(one_without_arm_disarms_all),
	NSDK_UNIT_TEST(who_leaves_is_disarmed),
};

NSDK_UNIT_MAIN("lib/reactor/poller", tests, .before = before, .after = after)
