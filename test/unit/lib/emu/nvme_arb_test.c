/* SPDX-License-Identifier: BSD-3-Clause */
/* Weighted round robin: in which order commands of queues are fetched. */
#include "nsdk_unit.h"

#include <string.h>

#include "lib/emu/nvme_arb.h"

#define FEATURE(burst, low, medium, high)                                                          \
	((uint32_t)(burst) | ((uint32_t)(low) - 1) << 8 | ((uint32_t)(medium) - 1) << 16 |         \
	 ((uint32_t)(high) - 1) << 24)
#define ONE 0    /* command in a burst */
#define FOUR 2
#define NO_LIMIT 7
#define PLENTY 1000000

/* A queue has a letter, by which the order is written down, and so many commands. */
struct source {
	struct emu_nvme_arb_queue queue; /* first */
	char letter;
	int commands;
};

static struct emu_nvme_arb arb;
static char order[4096];
static size_t fetched;

static void begin(uint32_t feature)
{
	memset(order, 0, sizeof(order));
	fetched = 0;
	emu_nvme_arb_init(&arb, feature);
}

static struct source source(char letter, enum emu_nvme_arb_class class, int commands)
{
	return (struct source){ { .class = (uint8_t)class }, letter, commands };
}

static void announce(struct source *s)
{
	emu_nvme_arb_ready(&arb, &s->queue);
}

/* Fetches up to @p most commands. */
static void fetch(size_t most)
{
	struct source *s;

	while (most-- > 0 && (s = (struct source *)(void *)emu_nvme_arb_choose(&arb)) != NULL) {
		/* Asking once more changes nothing. */
		CU_ASSERT_PTR_EQUAL(emu_nvme_arb_choose(&arb), &s->queue);
		CU_ASSERT_FATAL(fetched + 1 < sizeof(order) && s->commands > 0);
		order[fetched++] = s->letter;
		emu_nvme_arb_fetched(&arb, &s->queue);
		if (--s->commands == 0)
			emu_nvme_arb_idle(&arb, &s->queue);
	}
}

static unsigned count(char letter)
{
	unsigned n = 0;

	for (size_t i = 0; i < fetched; i++)
		n += order[i] == letter;
	return n;
}

static void nothing_is_chosen_where_there_is_nothing(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, 1);

	begin(0);
	CU_ASSERT_PTR_NULL(emu_nvme_arb_choose(&arb));
	announce(&h);
	fetch(9);
	NSDK_ASSERT_TEXT(order, "h");
	CU_ASSERT_PTR_NULL(emu_nvme_arb_choose(&arb));
	/* It may have been idle. */
	emu_nvme_arb_idle(&arb, &h.queue);
	CU_ASSERT_PTR_NULL(emu_nvme_arb_choose(&arb));
}

static void urgent_goes_first_whatever_else_there_is(void)
{
	struct source u = source('u', EMU_NVME_ARB_URGENT, 3), h = source('h', EMU_NVME_ARB_HIGH, PLENTY);
	struct source l = source('l', EMU_NVME_ARB_LOW, PLENTY);

	begin(FEATURE(FOUR, 1, 1, 4));
	announce(&h);
	announce(&l);
	fetch(2);
	announce(&u);
	fetch(6);
	/* And what it interrupted goes on. */
	NSDK_ASSERT_TEXT(order, "hhuuuhhl");
}

static void urgent_queues_take_turns(void)
{
	struct source u = source('u', EMU_NVME_ARB_URGENT, 7), v = source('v', EMU_NVME_ARB_URGENT, 5);

	begin(FEATURE(FOUR, 1, 1, 1));
	announce(&u);
	announce(&v);
	fetch(100);
	NSDK_ASSERT_TEXT(order, "uuuuvvvvuuuv");
}

static void classes_share_by_weight(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, PLENTY);
	struct source m = source('m', EMU_NVME_ARB_MEDIUM, PLENTY);
	struct source l = source('l', EMU_NVME_ARB_LOW, PLENTY);

	begin(FEATURE(ONE, 1, 2, 4));
	announce(&l);
	announce(&m);
	announce(&h);
	fetch(14);
	NSDK_ASSERT_TEXT(order, "hmlhmhhhmlhmhh");
	begin(FEATURE(FOUR, 3, 5, 10));
	h.queue.next = m.queue.next = l.queue.next = NULL;
	announce(&l);
	announce(&m);
	announce(&h);
	fetch(18);
	NSDK_ASSERT_TEXT(order, "hhhhmmmmlllhhhhmhh");
	fetch(18 * 99);
	NSDK_ASSERT_INT(count('h'), 1000);
	NSDK_ASSERT_INT(count('m'), 500);
	NSDK_ASSERT_INT(count('l'), 300);
}

static void queues_of_a_class_take_turns(void)
{
	struct source a = source('a', EMU_NVME_ARB_HIGH, PLENTY), b = source('b', EMU_NVME_ARB_HIGH, PLENTY);
	struct source m = source('m', EMU_NVME_ARB_MEDIUM, PLENTY);

	begin(FEATURE(ONE, 1, 1, 3));
	announce(&a);
	announce(&b);
	announce(&m);
	fetch(8);
	NSDK_ASSERT_TEXT(order, "amba" "bmab");
	/* A burst that is cut short by the end of a round goes on in the next. */
	begin(FEATURE(1, 1, 1, 3));
	a.queue.next = b.queue.next = m.queue.next = NULL;
	announce(&a);
	announce(&b);
	announce(&m);
	fetch(8);
	NSDK_ASSERT_TEXT(order, "aamb" "bmaa");
	fetch(400 - 8);
	NSDK_ASSERT_INT(count('a'), 150);
	NSDK_ASSERT_INT(count('b'), 150);
}

static void without_a_limit_a_queue_has_its_class_for_a_round(void)
{
	struct source a = source('a', EMU_NVME_ARB_LOW, PLENTY), b = source('b', EMU_NVME_ARB_LOW, PLENTY);
	struct source h = source('h', EMU_NVME_ARB_HIGH, PLENTY);

	begin(FEATURE(NO_LIMIT, 3, 1, 5));
	announce(&a);
	announce(&b);
	announce(&h);
	fetch(16);
	NSDK_ASSERT_TEXT(order, "hhhhhaaahhhhhbbb");
}

static void the_largest_weights_are_256(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, PLENTY);
	struct source m = source('m', EMU_NVME_ARB_MEDIUM, PLENTY);
	struct source l = source('l', EMU_NVME_ARB_LOW, PLENTY);

	begin(FEATURE(6, 256, 256, 256));
	announce(&h);
	announce(&m);
	announce(&l);
	fetch(768);
	NSDK_ASSERT_INT(count('h'), 256);
	NSDK_ASSERT_INT(count('m'), 256);
	NSDK_ASSERT_INT(count('l'), 256);
	NSDK_ASSERT_INT(strspn(order, "h"), 64);
}

static void whoever_is_alone_has_everything_and_saves_nothing_up(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, 3), l = source('l', EMU_NVME_ARB_LOW, PLENTY);

	begin(FEATURE(ONE, 1, 1, 4));
	announce(&l);
	fetch(50);
	NSDK_ASSERT_INT(count('l'), 50);
	/* It gets its share from now on, not what it has missed. */
	announce(&h);
	fetch(3);
	NSDK_ASSERT_INT(count('h') + count('l'), 53);
	NSDK_ASSERT_INT(count('h'), 3);
	h.commands = PLENTY;
	announce(&h);
	fetch(50);
	NSDK_ASSERT_INT(count('h'), 3 + 40);
}

static void a_queue_that_runs_empty_goes_behind_the_others(void)
{
	struct source a = source('a', EMU_NVME_ARB_MEDIUM, 1), b = source('b', EMU_NVME_ARB_MEDIUM, PLENTY);
	struct source c = source('c', EMU_NVME_ARB_MEDIUM, PLENTY);

	begin(FEATURE(1, 1, 8, 1));
	announce(&a);
	announce(&b);
	announce(&c);
	fetch(3);
	a.commands = 2;
	announce(&a);
	announce(&a); /* it is known */
	fetch(6);
	NSDK_ASSERT_TEXT(order, "abbccbbaa");
	/* One from the middle goes. */
	a.commands = PLENTY;
	announce(&a);
	emu_nvme_arb_idle(&arb, &c.queue);
	fetch(4);
	NSDK_ASSERT_TEXT(order + 9, "bbaa");
}

static void a_burst_that_ends_early_passes_the_turn_on(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, 2), m = source('m', EMU_NVME_ARB_MEDIUM, PLENTY);

	begin(FEATURE(FOUR, 1, 8, 8));
	announce(&h);
	announce(&m);
	fetch(3);
	h.commands = PLENTY;
	announce(&h);
	fetch(7);
	/* Medium has its burst, then high has one of its own. */
	NSDK_ASSERT_TEXT(order, "hhmmmmhhhh");
}

static void another_value_begins_another_round(void)
{
	struct source h = source('h', EMU_NVME_ARB_HIGH, PLENTY), l = source('l', EMU_NVME_ARB_LOW, PLENTY);

	begin(FEATURE(ONE, 1, 1, 2));
	announce(&h);
	announce(&l);
	fetch(1);
	emu_nvme_arb_set(&arb, FEATURE(ONE, 2, 1, 1));
	fetch(6);
	NSDK_ASSERT_TEXT(order, "hhllhll");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nothing_is_chosen_where_there_is_nothing),
	NSDK_UNIT_TEST(urgent_goes_first_whatever_else_there_is),
	NSDK_UNIT_TEST(urgent_queues_take_turns),
	NSDK_UNIT_TEST(classes_share_by_weight),
	NSDK_UNIT_TEST(queues_of_a_class_take_turns),
	NSDK_UNIT_TEST(without_a_limit_a_queue_has_its_class_for_a_round),
	NSDK_UNIT_TEST(the_largest_weights_are_256),
	NSDK_UNIT_TEST(whoever_is_alone_has_everything_and_saves_nothing_up),
	NSDK_UNIT_TEST(a_queue_that_runs_empty_goes_behind_the_others),
	NSDK_UNIT_TEST(a_burst_that_ends_early_passes_the_turn_on),
	NSDK_UNIT_TEST(another_value_begins_another_round),
};

NSDK_UNIT_MAIN("lib/emu/nvme_arb", tests)
