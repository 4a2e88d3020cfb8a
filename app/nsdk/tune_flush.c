/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk tune flush: measure, show, write the profile; and --check, the planner against brute force.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include <nsdk/bus.h>

#include "tune.h"

#define MAX_CHECKS (4 * NSDK_TUNE_MAX_POINTS)

bool tune_progress(void *ctx, unsigned step, unsigned steps, const char *what)
{
	char line[240];

	(void)ctx;
	if (isatty(STDERR_FILENO)) {
		snprintf(line, sizeof(line), "%3u %%: %s", steps != 0 ? step * 100 / steps : 0, what);
		tool_status_line(line);
	}
	return tool_stop_requests() == 0;
}

int tune_profile_open(const struct tune_opts *opts, char *path, struct nsdk_profile **out)
{
	char why[400];
	int rc;

	*out = NULL;
	if (opts->output != NULL) {
		if (strlen(opts->output) >= PATH_MAX) {
			tool_say("--output: the file's name is too long");
			return -ENAMETOOLONG;
		}
		snprintf(path, PATH_MAX, "%s", opts->output);
	} else if (nsdk_profile_path(true, path, PATH_MAX) != 0) {
		tool_say("there is no place for the profile, since NSDK_PROFILE is empty; name a file with --output");
		return -ENOENT;
	}
	rc = nsdk_profile_read(path, why, sizeof(why), out);
	switch (rc) {
	case 0:
		return 0;
	case -ENOENT:
		return nsdk_profile_create(out);
	case -EBADMSG:
	case -EXDEV:
		/* It would be ignored for ever; what is measured now is of more use. */
		tool_say("%s is going to be replaced: %s", path, why);
		return nsdk_profile_create(out);
	case -EOPNOTSUPP:
		tool_say("%s is left alone: %s; name another file with --output, or remove it", path, why);
		return rc;
	default:
		tool_say("%s: %s; name another file with --output", path, why);
		return rc;
	}
}

static void library_opts(const struct tune_opts *opts, struct nsdk_device *dev,
			 struct nsdk_tune_opts *out)
{
	*out = (struct nsdk_tune_opts){
		.opts_bytes = sizeof(*out),
		.cpus = opts->cpus,
		.flush_cpus = opts->flush_cpus,
		.sizes = opts->size_count != 0 ? opts->sizes : NULL,
		.size_count = opts->size_count,
		.quick = opts->quick,
		.wbinvd_device = dev,
		.progress = tune_progress,
	};
}

/* The device that is the proof for WBINVD, if one is wanted. @return 0 or -errno, said. */
static int take_device(const struct tune_opts *opts, struct nsdk_device **out)
{
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };

	*out = NULL;
	return opts->wbinvd ? nsdk_device_attach(opts->device, &attach, out) : 0;
}

static void say_interrupted(void)
{
	tool_say("interrupted; nothing was written");
}

static int measure(const struct tune_opts *opts, struct nsdk_profile *profile)
{
	struct nsdk_tune_opts library;
	struct nsdk_device *dev;
	int rc = take_device(opts, &dev);

	if (rc != 0)
		return rc;
	library_opts(opts, dev, &library);
	rc = nsdk_tune_flush(&library, profile);
	tool_status_line(NULL);
	nsdk_device_detach(dev);
	if (rc == -EINTR)
		say_interrupted();
	return rc;
}

static int show(const struct tune_opts *opts, struct nsdk_profile *profile, const char *path,
		struct tool_json_out *json)
{
	struct json_object *object;
	int rc = 0;

	if (!opts->args.json || opts->args.json_file != NULL) {
		tune_report(profile);
		printf("\nwritten to %s\n", path);
	}
	if (opts->args.json) {
		object = tune_json(profile, path);
		rc = object != NULL ? tool_json_commit(json, object) : -ENOMEM;
		json_object_put(object);
	}
	if (opts->plot != NULL && tune_plot(profile, opts->plot) != 0)
		return TOOL_FAILED;
	return rc == 0 ? TOOL_DONE : TOOL_FAILED;
}

int tune_flush(const struct tune_opts *opts)
{
	struct tool_json_out json = { .fd = -1 };
	struct nsdk_profile *profile = NULL;
	int status = TOOL_FAILED;
	char path[PATH_MAX];

	/* Before half a minute of measuring, not after it. */
	if (opts->plot != NULL && !tune_plot_possible()) {
		tool_say("--plot needs gnuplot, which is not installed: apt-get install gnuplot-nox");
		return TOOL_FAILED;
	}
	if (opts->args.json && tool_json_open(&json, opts->args.json_file) != 0)
		return TOOL_FAILED;
	tool_stop_install();
	if (tune_profile_open(opts, path, &profile) == 0 && measure(opts, profile) == 0 &&
	    nsdk_profile_write(profile, path) == 0)
		status = show(opts, profile, path, &json);
	tool_stop_remove();
	nsdk_profile_free(profile);
	tool_json_discard(&json);
	return status;
}

/* The profile to check: the one that is named, or the one in force; none is fine. */
static int profile_in_force(const struct tune_opts *opts, char *path, struct nsdk_profile **out)
{
	int rc;

	*out = NULL;
	path[0] = '\0';
	if (opts->output == NULL) {
		rc = nsdk_profile_load(out);
		if (rc == 0 && *out != NULL)
			(void)nsdk_profile_path(false, path, PATH_MAX);
		return rc;
	}
	rc = nsdk_profile_read(opts->output, NULL, 0, out);
	if (rc == -ENOENT)
		tool_say("%s is not there; without --output the profile in force is checked", opts->output);
	if (rc == 0)
		snprintf(path, PATH_MAX, "%s", opts->output);
	return rc;
}

int tune_check(const struct tune_opts *opts)
{
	struct nsdk_tune_check *checks = calloc(MAX_CHECKS, sizeof(*checks));
	struct tool_json_out json = { .fd = -1 };
	struct nsdk_profile *profile = NULL;
	struct nsdk_device *dev = NULL;
	struct nsdk_tune_opts library;
	struct json_object *object;
	int count = -ENOMEM, status = TOOL_FAILED;
	char path[PATH_MAX];

	if (checks == NULL) {
		tool_say("no memory for the result");
		return TOOL_FAILED;
	}
	if (opts->args.json && tool_json_open(&json, opts->args.json_file) != 0) {
		free(checks);
		return TOOL_FAILED;
	}
	tool_stop_install();
	if (profile_in_force(opts, path, &profile) == 0 && take_device(opts, &dev) == 0) {
		library_opts(opts, dev, &library);
		count = nsdk_tune_check(&library, profile, checks, MAX_CHECKS);
		tool_status_line(NULL);
		if (count == -EINTR)
			say_interrupted();
	}
	nsdk_device_detach(dev);
	tool_stop_remove();
	if (count >= 0) {
		status = TOOL_DONE;
		if (!opts->args.json || opts->args.json_file != NULL) {
			tune_report_check(checks, (unsigned)count);
			printf("\nby %s\n", path[0] != '\0' ? path : "the built-in defaults, for want of a profile");
		}
		if (opts->args.json) {
			object = tune_json_check(checks, (unsigned)count, path);
			if (tool_json_commit(&json, object) != 0)
				status = TOOL_FAILED;
			json_object_put(object);
		}
	}
	nsdk_profile_free(profile);
	tool_json_discard(&json);
	free(checks);
	return status;
}
