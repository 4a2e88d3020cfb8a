/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/iommu/ioas_internal.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define PAGE (4 * KIB)

static struct nsdk_iova_space space;

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_iova_space_init(&space, PAGE), 0);
}

static void after(void)
{
	nsdk_iova_space_fini(&space);
}

static void allow(unsigned count, const struct nsdk_iova_range *ranges)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_iova_set_allowed(&space, ranges, count), 0);
}

/* As an IOMMU of 39 bits on x86: a hole where interrupts are sent to. */
static void allow_39_bits(void)
{
	static const struct nsdk_iova_range ranges[] = {
		{0, 0xfedfffff},
		{0xfef00000, ((uint64_t)1 << 39) - 1},
	};

	allow(2, ranges);
}

static void insert(uint64_t iova, uint64_t bytes)
{
	struct nsdk_mapping map = {.first = iova, .last = iova + bytes - 1};

	CU_ASSERT_EQUAL_FATAL(nsdk_iova_make_room(&space), 0);
	nsdk_iova_insert(&space, &map);
}

/* Choose and insert. @return the IOVA. */
static uint64_t take(uint64_t va, uint64_t bytes)
{
	uint64_t iova = UINT64_MAX;

	CU_ASSERT_EQUAL_FATAL(nsdk_iova_choose(&space, va, bytes, false, &iova), 0);
	insert(iova, bytes);
	return iova;
}

static int choose_fixed(uint64_t iova, uint64_t bytes)
{
	uint64_t asked = iova;
	int rc = nsdk_iova_choose(&space, 0x7000, bytes, true, &asked);

	CU_ASSERT_EQUAL(asked, iova);
	return rc;
}

static void identity_where_it_fits(void)
{
	NSDK_ASSERT_INT(take(0x7f0000201000, 2 * PAGE), 0x7f0000201000);
}

static void identity_is_given_up_when_taken(void)
{
	insert(0x7f0000201000, PAGE);
	/* The lowest page but the first. */
	NSDK_ASSERT_INT(take(0x7f0000200000, 2 * PAGE), PAGE);
}

static void identity_is_given_up_outside_the_ranges(void)
{
	allow_39_bits();
	NSDK_ASSERT_INT(take(0x7f0000003000, PAGE), PAGE);
	NSDK_ASSERT_INT(take(0x7f0000004000, PAGE), 2 * PAGE);
	/* A page fits as it is, two would reach into the hole. */
	NSDK_ASSERT_INT(take(0xfedff000, PAGE), 0xfedff000);
	NSDK_ASSERT_INT(take(0xfedff000, 2 * PAGE), 3 * PAGE);
}

static void first_page_is_never_chosen(void)
{
	const struct nsdk_iova_range one_page = {0, PAGE - 1}, two_pages = {0, 2 * PAGE - 1};
	uint64_t iova;

	allow(1, &one_page);
	NSDK_ASSERT_INT(nsdk_iova_choose(&space, 0x7000, PAGE, false, &iova), -ENOSPC);
	CU_ASSERT_FALSE(nsdk_iova_has_room(&space));
	/* But whoever asks for it by number gets it. */
	NSDK_ASSERT_INT(choose_fixed(0, PAGE), 0);
	allow(1, &two_pages);
	CU_ASSERT_TRUE(nsdk_iova_has_room(&space));
	NSDK_ASSERT_INT(take(0x7000, PAGE), PAGE);
}

static void congruence_follows_the_size(void)
{
	allow_39_bits();
	NSDK_ASSERT_INT(take(0x7f0000200000, 2 * MIB), 2 * MIB);
	NSDK_ASSERT_INT(take(0x7f0000345000, PAGE), PAGE);
	/* 2 MiB at 0x145000 past a boundary of 2 MiB. */
	NSDK_ASSERT_INT(take(0x7f0000345000, 2 * MIB), 4 * MIB + 0x145000);
	NSDK_ASSERT_INT(take(0x7f0040000000, GIB), GIB);
	NSDK_ASSERT_INT(take(0x7f0012345000, GIB), 2 * GIB + 0x12345000);
	/* Fits between what is there. */
	NSDK_ASSERT_INT(take(0x7f0000600000, 4 * MIB), 8 * MIB);
}

static void congruence_yields_to_room(void)
{
	const struct nsdk_iova_range narrow = {0x201000, 0x201000 + 3 * MIB - 1};

	allow(1, &narrow);
	/* No boundary of 2 MiB has 2 MiB behind it here, so a page's boundary must do. */
	NSDK_ASSERT_INT(take(0x7f0000200000, 2 * MIB), 0x201000);
}

static void hole_is_never_crossed(void)
{
	const struct nsdk_iova_range ranges[] = {{0, 4 * MIB - 1}, {4 * MIB + PAGE, 16 * MIB - 1}};

	allow(2, ranges);
	NSDK_ASSERT_INT(take(0x7f0000200000, 4 * MIB), 6 * MIB);
	NSDK_ASSERT_INT(choose_fixed(3 * MIB, 2 * MIB), -EINVAL);
	NSDK_ASSERT_INT(choose_fixed(4 * MIB, PAGE), -EINVAL);
	NSDK_ASSERT_INT(choose_fixed(4 * MIB + PAGE, PAGE), 0);
	NSDK_ASSERT_INT(choose_fixed(16 * MIB - PAGE, 2 * PAGE), -EINVAL);
}

static void ranges_that_touch_are_one(void)
{
	const struct nsdk_iova_range ranges[] = {
		{2 * MIB, 4 * MIB - 1}, {9 * MIB, 3 * MIB}, {PAGE, 2 * MIB - 1}, {3 * MIB, 5 * MIB - 1},
		{8 * MIB, 9 * MIB - 1},
	};

	allow(5, ranges);
	NSDK_ASSERT_INT(space.allowed_count, 2);
	NSDK_ASSERT_INT(space.allowed[0].first, PAGE);
	NSDK_ASSERT_INT(space.allowed[0].last, 5 * MIB - 1);
	NSDK_ASSERT_INT(space.allowed[1].first, 8 * MIB);
	NSDK_ASSERT_INT(choose_fixed(PAGE, 5 * MIB - PAGE), 0);
}

static void ranges_up_to_the_very_last(void)
{
	const struct nsdk_iova_range ranges[] = {{UINT64_MAX - MIB + 1, UINT64_MAX}, {0, UINT64_MAX}};
	uint64_t iova = 0;

	allow(1, ranges);
	NSDK_ASSERT_INT(choose_fixed(UINT64_MAX - PAGE + 1, PAGE), 0);
	NSDK_ASSERT_INT(choose_fixed(UINT64_MAX - PAGE + 1, 2 * PAGE), -EINVAL);
	NSDK_ASSERT_INT(nsdk_iova_choose(&space, 0x7000, MIB, false, &iova), 0);
	CU_ASSERT_EQUAL(iova, UINT64_MAX - MIB + 1);
	insert(iova, MIB);
	NSDK_ASSERT_INT(nsdk_iova_choose(&space, 0x7000, PAGE, false, &iova), -ENOSPC);
	allow(2, ranges);
	NSDK_ASSERT_INT(space.allowed_count, 1);
}

static void fixed_is_that_or_an_error(void)
{
	insert(MIB, 4 * PAGE);
	NSDK_ASSERT_INT(choose_fixed(MIB - PAGE, PAGE), 0);
	NSDK_ASSERT_INT(choose_fixed(MIB + 4 * PAGE, PAGE), 0);
	NSDK_ASSERT_INT(choose_fixed(MIB - PAGE, 2 * PAGE), -EEXIST);
	NSDK_ASSERT_INT(choose_fixed(MIB + 3 * PAGE, 2 * PAGE), -EEXIST);
	NSDK_ASSERT_INT(choose_fixed(MIB + PAGE, PAGE), -EEXIST);
	NSDK_ASSERT_INT(choose_fixed(0, 4 * MIB), -EEXIST);
	NSDK_ASSERT_INT(choose_fixed(2 * MIB + 1, PAGE), -EINVAL);
}

static void find_and_remove(void)
{
	insert(8 * PAGE, 2 * PAGE);
	insert(2 * PAGE, PAGE);
	CU_ASSERT_PTR_NULL(nsdk_iova_find(&space, 2 * PAGE - 1));
	CU_ASSERT_PTR_NULL(nsdk_iova_find(&space, 3 * PAGE));
	CU_ASSERT_PTR_NOT_NULL_FATAL(nsdk_iova_find(&space, 10 * PAGE - 1));
	NSDK_ASSERT_INT(nsdk_iova_find(&space, 10 * PAGE - 1)->first, 8 * PAGE);
	nsdk_iova_remove(&space, nsdk_iova_find(&space, 8 * PAGE));
	CU_ASSERT_PTR_NULL(nsdk_iova_find(&space, 8 * PAGE));
	NSDK_ASSERT_INT(space.count, 1);
	NSDK_ASSERT_INT(space.maps[0].first, 2 * PAGE);
}

static void what_is_removed_is_given_again(void)
{
	uint64_t second;

	allow_39_bits();
	NSDK_ASSERT_INT(take(0x7f0000200000, 2 * MIB), 2 * MIB);
	second = take(0x7f0000400000, 2 * MIB);
	NSDK_ASSERT_INT(take(0x7f0000600000, 2 * MIB), 6 * MIB);
	nsdk_iova_remove(&space, nsdk_iova_find(&space, second));
	NSDK_ASSERT_INT(take(0x7f0000800000, 2 * MIB), second);
	NSDK_ASSERT_INT(take(0x7f0000a00000, 2 * MIB), 8 * MIB);
}

static void wider_ranges_are_used_from_below(void)
{
	const struct nsdk_iova_range high = {64 * MIB, 128 * MIB - 1}, wide = {0, 128 * MIB - 1};

	allow(1, &high);
	NSDK_ASSERT_INT(take(0x7f0000200000, 2 * MIB), 64 * MIB);
	NSDK_ASSERT_INT(take(0x7f0000400000, 2 * MIB), 66 * MIB);
	allow(1, &wide);
	NSDK_ASSERT_INT(take(0x7f0000600000, 2 * MIB), 2 * MIB);
}

static void first_outside_is_named(void)
{
	const struct nsdk_iova_range narrower = {0, 4 * MIB - 1};

	insert(MIB, PAGE);
	insert(4 * MIB - PAGE, PAGE);
	allow(1, &narrower);
	CU_ASSERT_PTR_NULL(nsdk_iova_first_outside(&space));
	insert(4 * MIB, PAGE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nsdk_iova_first_outside(&space));
	NSDK_ASSERT_INT(nsdk_iova_first_outside(&space)->first, 4 * MIB);
}

static void without_ranges_nothing_fits(void)
{
	uint64_t iova;

	allow(0, NULL);
	NSDK_ASSERT_INT(nsdk_iova_choose(&space, 0x7000, PAGE, false, &iova), -ENOSPC);
	NSDK_ASSERT_INT(choose_fixed(PAGE, PAGE), -EINVAL);
	CU_ASSERT_FALSE(nsdk_iova_has_room(&space));
}

/* ---- a model that is too simple to be wrong ---- */

#define MODEL_MAPS 400

static struct {
	struct nsdk_iova_range ranges[4];
	unsigned range_count;
	struct nsdk_iova_range maps[MODEL_MAPS]; /* in no order */
	unsigned map_count;
} model;

static bool model_fits(uint64_t first, uint64_t bytes)
{
	uint64_t last = first + bytes - 1;
	bool inside = false;

	if (last < first)
		return false;
	for (unsigned i = 0; i < model.range_count; i++)
		inside = inside || (model.ranges[i].first <= first && last <= model.ranges[i].last);
	for (unsigned i = 0; i < model.map_count; i++)
		if (model.maps[i].first <= last && first <= model.maps[i].last)
			return false;
	return inside;
}

/* The lowest place begins as near as it can behind the start of a range or the end of a mapping. */
static void model_try(uint64_t from, uint64_t va, uint64_t bytes, uint64_t align, uint64_t *lowest)
{
	uint64_t place = from < PAGE ? PAGE : from;

	place += (va - place) % align;
	if (place < *lowest && model_fits(place, bytes))
		*lowest = place;
}

static int model_choose(uint64_t va, uint64_t bytes, uint64_t *iova)
{
	static const uint64_t aligns[] = {GIB, 2 * MIB, PAGE};

	*iova = va;
	if (model_fits(va, bytes))
		return 0;
	for (unsigned a = 0; a < 3; a++) {
		*iova = UINT64_MAX;
		if (bytes < aligns[a])
			continue;
		for (unsigned i = 0; i < model.range_count; i++)
			model_try(model.ranges[i].first, va, bytes, aligns[a], iova);
		for (unsigned i = 0; i < model.map_count; i++)
			model_try(model.maps[i].last + 1, va, bytes, aligns[a], iova);
		if (*iova != UINT64_MAX)
			return 0;
	}
	return -ENOSPC;
}

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 24) % limit;
}

static void random_ranges(void)
{
	uint64_t at = random_below(2) * PAGE;

	model.range_count = 1 + (unsigned)random_below(4);
	for (unsigned i = 0; i < model.range_count; i++) {
		model.ranges[i].first = at;
		at += PAGE * (1 + random_below(3 * GIB / PAGE));
		model.ranges[i].last = at - 1;
		at += PAGE * (1 + random_below(512));
	}
	allow(model.range_count, model.ranges);
}

static uint64_t random_bytes(void)
{
	switch (random_below(4)) {
	case 0:
		return PAGE * (1 + random_below(8));
	case 1:
		return 2 * MIB * (1 + random_below(3));
	case 2:
		return PAGE * (1 + random_below(4096));
	default:
		return random_below(20) == 0 ? GIB : 2 * MIB;
	}
}

static uint64_t random_va(void)
{
	uint64_t va = random_below(3) == 0 ? random_below(6 * GIB) : 0x7f0000000000 + random_below(64 * GIB);

	return va & ~((random_below(2) == 0 ? PAGE : 2 * MIB) - 1);
}

/* @return whether the model and the allocator agreed. */
static bool random_step(void)
{
	uint64_t va, bytes, expected, actual = UINT64_MAX;
	int expected_rc, rc;

	if (model.map_count > 0 && (model.map_count == MODEL_MAPS || random_below(5) < 2)) {
		unsigned victim = (unsigned)random_below(model.map_count);
		struct nsdk_mapping *map = nsdk_iova_find(&space, model.maps[victim].first);

		if (map == NULL || map->last != model.maps[victim].last)
			return false;
		nsdk_iova_remove(&space, map);
		model.maps[victim] = model.maps[--model.map_count];
		return space.count == model.map_count;
	}
	va = random_va();
	bytes = random_bytes();
	expected_rc = model_choose(va, bytes, &expected);
	rc = nsdk_iova_choose(&space, va, bytes, false, &actual);
	if (rc != expected_rc || (rc == 0 && actual != expected))
		return false;
	if (rc == 0) {
		insert(actual, bytes);
		model.maps[model.map_count].first = actual;
		model.maps[model.map_count++].last = actual + bytes - 1;
	}
	return true;
}

static void agrees_with_a_simple_model(void)
{
	for (unsigned round = 0; round < 40; round++) {
		random_state = round;
		memset(&model, 0, sizeof(model));
		nsdk_iova_space_fini(&space);
		before();
		random_ranges();
		for (unsigned step = 0; step < 1500; step++) {
			if (random_step())
				continue;
			printf("# seed %u, step %u\n", round, step);
			CU_FAIL_FATAL("the allocator and the model differ");
		}
	}
}

/* 64 GiB in pages of 2 MiB where identity does not fit: looking at every gap each time would show. */
static void many_pages_are_quick(void)
{
	allow_39_bits();
	for (uint64_t i = 0; i < 32768; i++)
		if (take(0x7f0000000000 + i * 2 * MIB, 2 * MIB) == 0)
			CU_FAIL_FATAL("IOVA 0");
	NSDK_ASSERT_INT(space.count, 32768);
	/* The hole cost the piece around it. */
	CU_ASSERT(space.maps[32767].last > 64 * GIB);
	CU_ASSERT(space.maps[32767].last < 64 * GIB + 8 * MIB);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(identity_where_it_fits),
	NSDK_UNIT_TEST(identity_is_given_up_when_taken),
	NSDK_UNIT_TEST(identity_is_given_up_outside_the_ranges),
	NSDK_UNIT_TEST(first_page_is_never_chosen),
	NSDK_UNIT_TEST(congruence_follows_the_size),
	NSDK_UNIT_TEST(congruence_yields_to_room),
	NSDK_UNIT_TEST(hole_is_never_crossed),
	NSDK_UNIT_TEST(ranges_that_touch_are_one),
	NSDK_UNIT_TEST(ranges_up_to_the_very_last),
	NSDK_UNIT_TEST(fixed_is_that_or_an_error),
	NSDK_UNIT_TEST(find_and_remove),
	NSDK_UNIT_TEST(what_is_removed_is_given_again),
	NSDK_UNIT_TEST(wider_ranges_are_used_from_below),
	NSDK_UNIT_TEST(first_outside_is_named),
	NSDK_UNIT_TEST(without_ranges_nothing_fits),
	NSDK_UNIT_TEST(agrees_with_a_simple_model),
	NSDK_UNIT_TEST(many_pages_are_quick),
};

NSDK_UNIT_MAIN("lib/iommu/iova", tests, .before = before, .after = after)
