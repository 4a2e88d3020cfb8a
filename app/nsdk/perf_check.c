/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --coherence-check: all DMA of the run goes past the modelled caches, under an adversary whose seed is
 * known, and the run ends with what the model saw. What it prints is the library's own report, the same
 * that a program with a driver of its own gets (nsdk/emu.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <json-c/json.h>

#include <nsdk/emu.h>

#include "perf.h"

static bool has_word(const char *spec, const char *word)
{
	size_t chars = strlen(word);

	for (const char *at = strchr(spec, ','); at != NULL; at = strchr(at + 1, ','))
		if (strncmp(at + 1, word, chars) == 0)
			return true;
	return false;
}

int perf_check_opts(const struct tool_command *command, struct perf_opts *opts)
{
	for (unsigned i = 0; i < opts->device_count; i++) {
		const char *spec = opts->devices[i];

		if (strncmp(spec, "emu:", 4) != 0)
			return tool_usage(command,
					  "--coherence-check watches a model of the CPU's caches, which "
					  "hardware does not go through: %s cannot be watched, emu:nvme can",
					  spec);
		if (opts->check_seed != 0 && has_word(spec, "seed="))
			return tool_usage(command,
					  "--coherence-check=%llu and '%s' each give a seed; leave one out",
					  (unsigned long long)opts->check_seed, spec);
	}
	if (opts->policy_given && opts->policy != NSDK_POLICY_NOSNOOP)
		return tool_usage(command,
				  "--coherence-check watches the no-snoop path, and --policy=%s takes "
				  "another; leave it out",
				  nsdk_policy_name(opts->policy));
	opts->policy = NSDK_POLICY_NOSNOOP;
	opts->verify = true;
	while (opts->check_seed == 0) {
		if (getrandom(&opts->check_seed, sizeof(opts->check_seed), 0) !=
		    sizeof(opts->check_seed)) {
			tool_say("the kernel gives no random numbers; give --coherence-check=SEED");
			return TOOL_FAILED;
		}
		opts->check_seed %= 1000000000u; /* short enough to type */
	}
	return TOOL_DONE;
}

char *perf_check_words(const struct perf_opts *opts, const char *spec)
{
	char seed[40] = "";
	size_t bytes;
	char *words;

	if (!has_word(spec, "seed="))
		snprintf(seed, sizeof(seed), ",seed=%llu", (unsigned long long)opts->check_seed);
	bytes = strlen(spec) + sizeof(",nosnoop=all") + strlen(seed);
	words = malloc(bytes);
	if (words == NULL) {
		tool_say("no memory");
		return NULL;
	}
	snprintf(words, bytes, "%s%s%s", spec, has_word(spec, "nosnoop=") ? "" : ",nosnoop=all",
		 seed);
	return words;
}

struct json_object *perf_check_json(void)
{
	struct json_object *object;
	char *text;

	/* The library has said what is wrong. */
	if (nsdk_cache_model_json(&text) != 0)
		return NULL;
	object = json_tokener_parse(text);
	free(text);
	return object;
}

void perf_check_print(void)
{
	char *text;

	if (nsdk_cache_model_report(&text) == 0)
		fputs(text, stdout);
	free(text);
}

bool perf_check_watched(struct perf_run *run)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	run->violations_shown = stats.violations_total;
	if (stats.device_reads + stats.device_writes != 0)
		return true;
	tool_say("--coherence-check: no DMA went past the modelled caches, so nothing was checked");
	return false;
}
