/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cheap_profile FILE crew|wbinvd : a flush profile in which that way costs next to nothing, so that an
 * engine with this profile takes it for every batch that is not tiny. No measurement would say so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/coherence/planner.h"
#include "lib/coherence/profile.h"

static void table(struct nsdk_profile *profile, enum nsdk_tune_what what, enum nsdk_tune_way way,
		  unsigned cpus, uint64_t small_ns, uint64_t large_ns)
{
	struct nsdk_tune_table *out = &profile->flush.tables[profile->flush.count++];

	*out = (struct nsdk_tune_table){ .what = what, .way = way, .cpus = cpus, .count = 2 };
	out->points[0] = (struct nsdk_tune_point){ 4096, small_ns, small_ns, small_ns };
	out->points[1] = (struct nsdk_tune_point){ 64 << 20, large_ns, large_ns, large_ns };
}

static int make(const char *path, bool wbinvd)
{
	struct nsdk_profile *profile;
	struct nsdk_line_info lines;
	int rc;

	if (nsdk_profile_create(&profile) != 0)
		return -ENOMEM;
	nsdk_profile_now(profile->flush.date);
	nsdk_line_info(&lines);
	snprintf(profile->flush.cpus, sizeof(profile->flush.cpus), "0");
	snprintf(profile->flush.writeback, sizeof(profile->flush.writeback), "%s", lines.writeback);
	snprintf(profile->flush.invalidate, sizeof(profile->flush.invalidate), "%s", lines.invalidate);
	for (unsigned way = 0; way < 2; way++) {
		table(profile, NSDK_TUNE_LINES, (enum nsdk_tune_way)way, 1, 10000, 160000000);
		if (!wbinvd)
			for (unsigned cpus = 1; cpus <= 2; cpus++)
				table(profile, NSDK_TUNE_CREW, (enum nsdk_tune_way)way, cpus, 10, 70000);
	}
	if (wbinvd)
		for (unsigned cpus = 1; cpus <= 4; cpus++)
			table(profile, NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, cpus, 10ul * cpus, 20ul * cpus);
	rc = nsdk_profile_write(profile, path);
	nsdk_profile_free(profile);
	return rc;
}

/* Whether the library takes it, and the planner the way that it makes cheap. */
static bool is_taken(bool wbinvd)
{
	const struct nsdk_plan_input in = {
		.writeback_lines = 4096, .ranges = 1, .crew_cpus = 1, .wbinvd_cpus = 2,
	};
	char path[] = "/tmp/nsdk-cheap-XXXXXX", why[256] = "";
	struct nsdk_profile *profile = NULL;
	struct nsdk_planner planner;
	struct nsdk_plan plan = { .ns = 0 };
	int fd = mkstemp(path);

	if (fd < 0)
		return false;
	close(fd);
	if (make(path, wbinvd) == 0 && nsdk_profile_read(path, why, sizeof(why), &profile) == 0) {
		nsdk_planner_from_profile(&planner, profile);
		nsdk_planner_choose(&planner, &in, &plan);
	} else {
		printf("# %s\n", why);
	}
	nsdk_profile_free(profile);
	unlink(path);
	return plan.kind == (wbinvd ? NSDK_PLAN_WBINVD : NSDK_PLAN_CREW);
}

int main(int argc, char **argv)
{
	bool ok = true;

	if (argc == 3 && (strcmp(argv[2], "crew") == 0 || strcmp(argv[2], "wbinvd") == 0))
		return make(argv[1], strcmp(argv[2], "wbinvd") == 0) == 0 ? 0 : 1;
	if (argc != 1) {
		fprintf(stderr, "usage: cheap_profile [FILE crew|wbinvd]\n");
		return 2;
	}
	for (unsigned wbinvd = 0; wbinvd < 2; wbinvd++) {
		bool taken = is_taken(wbinvd);

		printf("%s - cheap_profile: %s is what the planner takes\n", taken ? "ok" : "not ok",
		       wbinvd ? "WBINVD" : "the crew");
		ok = ok && taken;
	}
	return ok ? 0 : 1;
}
