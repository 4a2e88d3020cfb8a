/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning what the ways of cleaning a large batch cost, from the batches themselves.
 *
 * Why. A profile says what a crew gained when it was measured. What it gains now depends on who else
 * is at work: on a host that is shared, a flush CPU is worth half as much again at one moment, and
 * nothing a minute later. A table cannot follow that; a batch that is timed can.
 *
 * What hangs on it. Time, and nothing else. The learner sees sizes and durations, never a range; what
 * it gives is a struct nsdk_plan, as the planner's, and whatever is in there, the flight cleans and
 * fences every line. WBINVD it leaves to the planner's figures and the gate's rules; it neither tries
 * it nor learns of it, for a try would be felt by the whole machine. What was learned may speak against
 * one, never for one: no other way is measured while it is taken, so a bad moment would be kept for good.
 *
 * Model. Batches are sorted by kind (lines written back, invalidated, or taken back, which finds other
 * lines in the caches) and by size, two classes to each doubling. For each class and way there is a
 * factor: what it costs, to what the profile expects at just that size. All begin at 1, so at first the
 * planner's choice is made; and the profile's curve goes on to hold within a class.
 *
 * Learning. A factor follows its samples by the middle one of three: itself, the last sample, this one.
 * So a single sample moves nothing, be it a thousand times too long because the thread was preempted;
 * two that agree move it, half of the way, or all of it if it was off by more than 1/8, which is no
 * noise. Typical costs are learned, as typical costs are what the profile has.
 *
 * When the chosen way's factor moves, so do the others of its class, alike: mostly it is the machine that
 * has become slower, for all. Else whatever was measured last would be left for what was measured long
 * ago, and that for the first again. Whether it was the way alone, a try finds out, which is then due;
 * what the other way showed last has not moved with it, so it is the one sample more that it takes.
 *
 * Choosing. The least cost by what was learned; the way last chosen stays unless another is cheaper by
 * 1/32, so noise does not make it change for nothing, and who is wrong for ever loses no more than that.
 *
 * Trying. What is not done is not measured, so another way is taken now and then: every few batches, at
 * intervals that vary, since batches may come in a pattern. Each class has an account, into which 1/64
 * of the time that its batches take is paid, and one batch to begin with. A way is tried if the account
 * has what the try is expected to cost beyond the best, and what it did cost is taken off, all of it.
 * So tries cost no more than 1/64 of the time, one batch, and what the last try overdrew; a way that is
 * as good as the best costs nothing to try. One that looked cheaper is tried again at once, as it takes
 * two samples to be believed.
 *
 * Lines alone that took four times as long as they do were not running: the thread was held up, and no
 * other way would have kept it. So a try of them is charged no more than that. What a crew takes is the
 * crew's, whatever held it up.
 *
 * What does not count. If the reactor was away when a flight landed, the time until it came is not what
 * the way costs; nor is it if a flush CPU died in the middle. Such a batch's time was spent, so the
 * account sees it, but no factor does. A clock that stands still or jumps gives 0 or nonsense: no
 * factor sees that either, and a try is charged what it was expected to cost.
 *
 * Bounds. Factors are 1/64 to 64 and costs end at 2^43 ns (two hours), so that products need 128 bits,
 * and sums fit into 64. An account holds at most four batches: a long rest does not buy a lot of tries.
 *
 * Threading: one owner, as a flush batch's lists. No lock, no atomic, no allocation.
 */
#include <string.h>

#include "learner.h"

#define ONE (UINT32_C(1) << 16)
#define LEAST_FACTOR (ONE / 64)
#define MOST_FACTOR (ONE * 64)
#define MAX_NS (UINT64_C(1) << 43)

#define FIRST_BITS 9u /* the least class: two shares of a crew's, planner.c */
#define SHARE_BITS 6u /* of the time, for tries */
#define MOST_SAVED 4u /* batches */
#define MOST_ASKED 2u /* batches, saved for a try; what it costs beyond is a debt */
#define HELD_UP 4u
/* Of the chosen way, before others are tried. */
#define ENOUGH_SEEN 2u
/* Batches between two tries: so many, and as many as fit into so many bits. */
#define LEAST_BETWEEN 3u
#define BEFORE_AGAIN 1u /* until the same try once more */
/* Batches, of all classes, after which others know better; and how far these may be away. */
#define FRESH 256u
#define NEAR 2u
#define VARY_BITS 2u

_Static_assert(NSDK_LEARNER_WAYS <= 255 && NSDK_PLANNER_MAX_CURVES > 0, "ways are counted in bytes");

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void nsdk_learner_init(struct nsdk_learner *learner)
{
	memset(learner, 0, sizeof(*learner));
	for (unsigned kind = 0; kind < NSDK_LEARNER_KINDS; kind++) {
		for (unsigned i = 0; i < NSDK_LEARNER_CLASSES; i++) {
			struct nsdk_learner_class *class = &learner->classes[kind][i];

			for (unsigned way = 0; way < NSDK_LEARNER_WAYS; way++)
				class->way[way].factor = class->way[way].last[0] =
					class->way[way].last[1] = ONE;
			class->until_try = LEAST_BETWEEN;
		}
	}
}

/* ---- Choosing ---- */

static bool is_fresh(const struct nsdk_learner *learner, const struct nsdk_learner_class *class)
{
	return class->seen > 0 && learner->count - class->used < FRESH;
}

/*
 * What is known of a class is old: begin with what is known of one near by. Its own last samples are kept,
 * and one that agrees with them brings the old back.
 */
static void renew(struct nsdk_learner *learner, struct nsdk_learner_class *classes, unsigned i)
{
	struct nsdk_learner_class *class = &classes[i], *from = NULL;

	for (unsigned k = 1; k <= 2 * NEAR && from == NULL; k++) {
		/* One below, one above, two below … */
		unsigned near = k % 2 ? i - (k + 1) / 2 : i + k / 2;

		if (near < NSDK_LEARNER_CLASSES && is_fresh(learner, &classes[near]))
			from = &classes[near];
	}
	if (from == NULL)
		return;
	for (unsigned way = 0; way < NSDK_LEARNER_WAYS; way++)
		class->way[way].factor = from->way[way].factor;
	class->until_try = 0;
	class->again = 0;
	class->used = learner->count;
}

/* @may_try: it is going to be used. @return NULL: too little to be shared by anybody. */
static struct nsdk_learner_class *class_of(struct nsdk_learner *learner, const struct nsdk_plan_input *in,
					   bool for_cpu, uint64_t lines, bool may_try)
{
	unsigned kind = for_cpu ? 2 : in->invalidate_lines > in->writeback_lines ? 1 : 0;
	struct nsdk_learner_class *class;
	unsigned bits, i;

	if (lines < UINT64_C(1) << FIRST_BITS)
		return NULL;
	bits = 63 - (unsigned)__builtin_clzll(lines);
	i = 2 * (bits - FIRST_BITS) + (unsigned)(lines >> (bits - 1) & 1);
	i = i < NSDK_LEARNER_CLASSES ? i : NSDK_LEARNER_CLASSES - 1;
	class = &learner->classes[kind][i];
	if (may_try && !is_fresh(learner, class))
		renew(learner, learner->classes[kind], i);
	return class;
}

static uint64_t scale(uint64_t ns, uint32_t factor)
{
	return (uint64_t)((unsigned __int128)least(ns, MAX_NS) * factor / ONE);
}

static unsigned cheapest(const struct nsdk_learner_class *class, const uint64_t *ns, unsigned count)
{
	/* What was chosen may not be at hand any more. */
	unsigned chosen = class->chosen < count ? class->chosen : 0, best = chosen;

	for (unsigned way = 0; way < count; way++)
		best = ns[way] < ns[best] ? way : best;
	return nsdk_plan_is_cheaper(ns[best], ns[chosen]) ? best : chosen;
}

/* Whether the account has what a try of it may cost. What it showed last counts if that was better. */
static bool affords(const struct nsdk_learner_class *class, const struct nsdk_plan_costs *costs,
		    unsigned way, uint64_t best_ns)
{
	uint32_t factor = class->way[way].factor, last = class->way[way].last[0];
	uint64_t ns = scale(costs->way[way].ns, last < factor ? last : factor), more_ns;

	more_ns = ns > best_ns ? least(ns - best_ns, MOST_ASKED * best_ns) : 0;
	return class->account_ns >= (int64_t)more_ns;
}

/* The way to be tried now; else @p best itself. */
static unsigned try_instead(const struct nsdk_learner_class *class, const struct nsdk_plan_costs *costs,
			    unsigned best, uint64_t best_ns)
{
	unsigned way = class->again - 1u;

	if (class->seen < ENOUGH_SEEN || class->until_try > 0)
		return best;
	if (class->again != 0) {
		/*
		 * It looked cheaper, and so it owes nothing. If by now the best looks so too, it is the
		 * machine that was faster.
		 */
		best_ns = least(best_ns, scale(costs->way[best].ns, class->way[best].last[0]));
		if (way < costs->count &&
		    nsdk_plan_is_cheaper(scale(costs->way[way].ns, class->way[way].last[0]), best_ns))
			return way;
		return best;
	}
	for (unsigned i = 1; i <= costs->count; i++) {
		way = (class->turn + i) % costs->count;
		if (way != best && affords(class, costs, way, best_ns))
			return way;
	}
	return best;
}

/* @may_try: and it will be said what came of it. */
static void choose(struct nsdk_learner *learner, const struct nsdk_planner *planner,
		   const struct nsdk_plan_input *in, bool for_cpu, bool may_try, struct nsdk_plan *out)
{
	struct nsdk_learner_class *class;
	struct nsdk_plan_costs costs;
	uint64_t ns[NSDK_LEARNER_WAYS];
	unsigned best, way;

	nsdk_learner_forget(learner);
	nsdk_planner_costs(planner, in, &costs);
	class = class_of(learner, in, for_cpu, costs.lines, may_try);
	if (costs.count < 2 || class == NULL) {
		nsdk_planner_choose(planner, in, out);
		return;
	}
	for (unsigned i = 0; i < costs.count; i++)
		ns[i] = scale(costs.way[i].ns, class->way[i].factor);
	best = cheapest(class, ns, costs.count);
	if (nsdk_plan_is_cheaper(costs.wbinvd_ns, ns[0]) && costs.wbinvd_ns < ns[best]) {
		nsdk_planner_choose(planner, in, out);
		if (out->kind == NSDK_PLAN_WBINVD)
			return;
	}
	way = may_try ? try_instead(class, &costs, best, ns[best]) : best;
	*out = (struct nsdk_plan){
		.kind = way == 0 ? NSDK_PLAN_LINES : NSDK_PLAN_CREW,
		.crew_cpus = costs.way[way].cpus,
		.ns = ns[way],
	};
	if (!may_try)
		return;
	learner->now.class = class;
	learner->now.way = (uint8_t)way;
	learner->now.chosen = (uint8_t)best;
	learner->now.expected_ns = costs.way[way].ns;
	learner->now.learned_ns = ns[way];
	learner->now.best_ns = ns[best];
}

void nsdk_learner_choose(struct nsdk_learner *learner, const struct nsdk_planner *planner,
			 const struct nsdk_plan_input *in, bool for_cpu, struct nsdk_plan *out)
{
	choose(learner, planner, in, for_cpu, true, out);
}

void nsdk_learner_best(struct nsdk_learner *learner, const struct nsdk_planner *planner,
		       const struct nsdk_plan_input *in, bool for_cpu, struct nsdk_plan *out)
{
	choose(learner, planner, in, for_cpu, false, out);
}

/* ---- Learning ---- */

/* The nearest to the factor of its samples, if all are on the same side; else the factor. */
static uint32_t agreed(uint32_t factor, const uint32_t *samples, unsigned count)
{
	uint32_t low = UINT32_MAX, high = 0;

	for (unsigned i = 0; i < count; i++) {
		low = samples[i] < low ? samples[i] : low;
		high = samples[i] > high ? samples[i] : high;
	}
	return low > factor ? low : high < factor ? high : factor;
}

static uint32_t bounded(uint64_t factor)
{
	return (uint32_t)(factor < LEAST_FACTOR ? LEAST_FACTOR : least(factor, MOST_FACTOR));
}

/* The chosen way's factor was @p before: the others are taken to have changed alike. */
static void change_others(struct nsdk_learner_class *class, unsigned chosen, uint32_t before)
{
	uint64_t now = class->way[chosen].factor;

	if (now == before)
		return;
	for (unsigned way = 0; way < NSDK_LEARNER_WAYS; way++) {
		/* To the nearest, else it would go down by and by. */
		if (way != chosen)
			class->way[way].factor =
				bounded((class->way[way].factor * now + before / 2) / before);
	}
}

/* @return whether it has changed by more than noise does. */
static bool learn(struct nsdk_learner_class *class, unsigned way, bool tried, uint64_t expected_ns,
		  uint64_t ns)
{
	/* No less than one, and at most 2^43 << 16. */
	uint64_t ratio = ns * ONE / (expected_ns != 0 ? expected_ns : 1);
	uint32_t *last = class->way[way].last, factor = class->way[way].factor;
	uint32_t samples[3] = { bounded(ratio), last[0], last[1] };
	/* There are few of tries, and many of the chosen way. */
	uint32_t to = agreed(factor, samples, tried ? 2 : 3);
	uint32_t off = to > factor ? to - factor : factor - to;
	bool changed = off > factor / 8;

	last[1] = last[0];
	last[0] = samples[0];
	class->way[way].factor = changed ? to : to > factor ? factor + off / 2 : factor - off / 2;
	return changed;
}

/* What is beyond the best, of a try that took so long. */
static uint64_t regret(const struct nsdk_learner *learner, uint64_t ns)
{
	if (learner->now.way == 0)
		ns = least(ns, HELD_UP * learner->now.learned_ns);
	return ns > learner->now.best_ns ? ns - learner->now.best_ns : 0;
}

/* A few more or less, always the same ones. */
static uint8_t next_interval(struct nsdk_learner *learner)
{
	learner->random = learner->random * UINT32_C(1664525) + UINT32_C(1013904223);
	return (uint8_t)(LEAST_BETWEEN + (learner->random >> (32 - VARY_BITS)));
}

void nsdk_learner_took(struct nsdk_learner *learner, uint64_t ns, bool counts)
{
	struct nsdk_learner_class *class = learner->now.class;
	bool tried = nsdk_learner_tries(learner), changed = false, sane = ns != 0 && ns <= MAX_NS;
	unsigned way = learner->now.way;
	uint32_t before;
	int64_t most_ns;

	if (class == NULL)
		return;
	learner->now.class = NULL;
	class->chosen = learner->now.chosen;
	if (!sane) {
		/* No clock: what was expected was spent, for all that is known. */
		ns = learner->now.learned_ns;
		counts = false;
	} else {
		if (class->seen == 0 && counts)
			class->account_ns += (int64_t)learner->now.best_ns;
		class->account_ns += (int64_t)(ns >> SHARE_BITS);
	}
	if (tried)
		class->account_ns -= (int64_t)regret(learner, ns);
	most_ns = (int64_t)(MOST_SAVED * learner->now.best_ns);
	if (class->account_ns > most_ns)
		class->account_ns = most_ns;
	before = class->way[way].factor;
	if (counts) {
		changed = learn(class, way, tried, learner->now.expected_ns, ns);
		class->seen += class->seen < ENOUGH_SEEN;
		class->used = ++learner->count;
	}
	if (tried) {
		class->again = 0;
		class->turn = (uint8_t)way;
		class->until_try = next_interval(learner);
		if (nsdk_plan_is_cheaper(ns, learner->now.best_ns)) {
			class->again = (uint8_t)(way + 1);
			class->until_try = BEFORE_AGAIN;
		}
		return;
	}
	change_others(class, way, before);
	if (class->until_try == 0 && class->again != 0) {
		/* It was not tried again, so that is settled. */
		class->again = 0;
		class->until_try = next_interval(learner);
	} else if (changed) {
		class->until_try = 0;
	} else if (class->until_try > 0) {
		class->until_try--;
	}
}
