/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a probe's counts mean, for people and for programs.
 */
#include <stdio.h>
#include <string.h>

#include "doctor_probe.h"
#include "lib/env/json.h"

/* Of a hundred lines, this many must have gone past the caches: an eviction may hide the others. */
#define MOST_PERCENT 90u

static const char *const answers[] = {
	[PROBE_CANNOT_TELL] = "cannot tell",
	[PROBE_SNOOPED] = "snooped",
	[PROBE_NOT_SNOOPED] = "not snooped",
};

const char *probe_answer_name(enum probe_answer answer)
{
	return answers[answer];
}

static enum probe_answer judge_direction(const struct probe_counts *counts)
{
	if (counts->lines == 0 || counts->other != 0)
		return PROBE_CANNOT_TELL;
	/* Snooped DMA never leaves a line that says "not", so a single one is too many. */
	if (counts->bypassed == 0)
		return PROBE_SNOOPED;
	return counts->bypassed * 100 >= counts->lines * MOST_PERCENT ? PROBE_NOT_SNOOPED :
									PROBE_CANNOT_TELL;
}

static void say_contradiction(const struct probe_facts *facts, struct probe_judgement *out)
{
	unsigned long long bypassed = facts->device_writes.bypassed + facts->device_reads.bypassed;
	unsigned long long lines = facts->device_writes.lines + facts->device_reads.lines;

	if (facts->verdict.state == NSDK_SNOOP_ENFORCED)
		snprintf(out->reason, sizeof(out->reason),
			 "CONTRADICTION: snooping is said to be enforced (%s), but DMA to %llu of %llu "
			 "lines went past the caches; without syncs that is data corruption: do not "
			 "use this device here, and report it",
			 facts->verdict.reason, bypassed, lines);
	else
		snprintf(out->reason, sizeof(out->reason),
			 "CONTRADICTION: no-snoop is switched off, but DMA to %llu of %llu lines went "
			 "past the caches; without syncs that is data corruption: do not use this "
			 "device here, and report it",
			 bypassed, lines);
}

static const char *why_snooped(const struct probe_facts *facts)
{
	if (facts->verdict.state == NSDK_SNOOP_ENFORCED)
		return "as the verdict says: snooping is enforced here, whatever the device asks for";
	if (facts->bit == PROBE_BIT_CLEAR && facts->policy == NSDK_POLICY_NOSNOOP)
		return "the device's Enable No Snoop bit stays 0, so it was never allowed to go past "
		       "the caches";
	if (facts->policy == NSDK_POLICY_COHERENT)
		return "no-snoop is not known to be permitted here, so it was switched off";
	return "the device may go past the caches but need not: that it was snooped today is no "
	       "promise for other commands, firmware or days";
}

static const char *why_not_known(const struct probe_facts *facts)
{
	const struct probe_counts *w = &facts->device_writes, *r = &facts->device_reads;

	if (w->lines == 0 || r->lines == 0)
		return "nothing was measured";
	if (w->other != 0 || r->other != 0)
		return "in some lines there was what nobody had put there: the transfers themselves "
		       "are not right, or somebody else uses the block";
	return "mixed: some lines were snooped and some were not; either the device chooses, or the "
	       "caches wrote lines back while it was measured. Those that were not prove that "
	       "no-snoop happens";
}

void probe_judge(const struct probe_facts *facts, struct probe_judgement *out)
{
	const struct probe_counts *w = &facts->device_writes, *r = &facts->device_reads;
	const char *reason;

	memset(out, 0, sizeof(*out));
	out->device_writes = judge_direction(w);
	out->device_reads = judge_direction(r);
	if (out->device_writes == PROBE_NOT_SNOOPED || out->device_reads == PROBE_NOT_SNOOPED)
		out->overall = PROBE_NOT_SNOOPED;
	else if (out->device_writes == PROBE_SNOOPED && out->device_reads == PROBE_SNOOPED)
		out->overall = PROBE_SNOOPED;
	/* The coherent policy is in force where no-snoop is ruled out, and nothing is synced then. */
	out->contradiction = w->bypassed + r->bypassed != 0 &&
			     (facts->policy == NSDK_POLICY_COHERENT ||
			      facts->verdict.state == NSDK_SNOOP_ENFORCED);
	if (out->contradiction) {
		say_contradiction(facts, out);
		return;
	}
	if (out->overall == PROBE_SNOOPED)
		reason = why_snooped(facts);
	else if (out->overall == PROBE_CANNOT_TELL)
		reason = why_not_known(facts);
	else if (out->device_writes != out->device_reads)
		reason = out->device_writes == PROBE_NOT_SNOOPED ?
				 "the device's writes go past the caches; its reads, as far as can be "
				 "told, do not" :
				 "the device's reads go past the caches; its writes, as far as can be "
				 "told, do not";
	else
		reason = "the device's DMA goes past the caches: buffers have to be synced";
	snprintf(out->reason, sizeof(out->reason), "%s", reason);
}

/* ---- For people ---- */

static void print_direction(const char *name, enum probe_answer answer,
			    const struct probe_counts *counts)
{
	printf("  %-14s %-12s (%llu lines: %llu snooped, %llu not, %llu neither)\n", name,
	       probe_answer_name(answer), (unsigned long long)counts->lines,
	       (unsigned long long)counts->snooped, (unsigned long long)counts->bypassed,
	       (unsigned long long)counts->other);
}

void probe_report(const struct probe_facts *facts, const struct probe_judgement *judgement)
{
	static const char *const bits[] = {
		[PROBE_BIT_UNKNOWN] = "no Enable No Snoop bit of its own",
		[PROBE_BIT_CLEAR] = "Enable No Snoop 0",
		[PROBE_BIT_SET] = "Enable No Snoop 1",
	};

	printf("%s, namespace %u: LBA %llu (%u bytes) was overwritten in %u rounds and %s\n",
	       facts->device, facts->nsid, (unsigned long long)facts->lba, facts->block_bytes,
	       facts->rounds, facts->restored ? "is restored" : "is NOT restored");
	printf("  %-14s %s: %s\n", "verdict", nsdk_snoop_state_name(facts->verdict.state),
	       facts->verdict.reason);
	printf("  %-14s %s, %s\n", "policy", nsdk_policy_name(facts->policy), bits[facts->bit]);
	print_direction("device writes", judgement->device_writes, &facts->device_writes);
	print_direction("device reads", judgement->device_reads, &facts->device_reads);
	printf("  %-14s %s: %s\n", "answer", probe_answer_name(judgement->overall),
	       judgement->reason);
}

/* ---- JSON. The keys are an interface: nsdk-doctor(1) has them. ---- */

static struct json_object *json_direction(enum probe_answer answer,
					  const struct probe_counts *counts)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_text(object, "answer", probe_answer_name(answer));
	nsdk_json_put_u64(object, "lines", counts->lines);
	nsdk_json_put_u64(object, "snooped", counts->snooped);
	nsdk_json_put_u64(object, "not_snooped", counts->bypassed);
	nsdk_json_put_u64(object, "neither", counts->other);
	return object;
}

struct json_object *probe_json(const struct probe_facts *facts,
			       const struct probe_judgement *judgement)
{
	struct json_object *object = json_object_new_object();
	struct json_object *verdict = json_object_new_object();

	nsdk_json_put_text(object, "device", facts->device);
	nsdk_json_put_u64(object, "nsid", facts->nsid);
	nsdk_json_put_u64(object, "lba", facts->lba);
	nsdk_json_put_u64(object, "block_bytes", facts->block_bytes);
	nsdk_json_put(object, "restored", json_object_new_boolean(facts->restored));
	nsdk_json_put_text(verdict, "state", nsdk_snoop_state_name(facts->verdict.state));
	nsdk_json_put_text(verdict, "reason", facts->verdict.reason);
	nsdk_json_put(object, "verdict", verdict);
	nsdk_json_put_text(object, "policy", nsdk_policy_name(facts->policy));
	nsdk_json_put(object, "enable_no_snoop",
	    facts->bit == PROBE_BIT_UNKNOWN ?
		    NULL :
		    json_object_new_boolean(facts->bit == PROBE_BIT_SET));
	nsdk_json_put_u64(object, "rounds", facts->rounds);
	nsdk_json_put(object, "device_writes",
		      json_direction(judgement->device_writes, &facts->device_writes));
	nsdk_json_put(object, "device_reads",
		      json_direction(judgement->device_reads, &facts->device_reads));
	nsdk_json_put_text(object, "answer", probe_answer_name(judgement->overall));
	nsdk_json_put_text(object, "reason", judgement->reason);
	nsdk_json_put(object, "contradiction", json_object_new_boolean(judgement->contradiction));
	return object;
}
