/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --fdp: writes with a placement identifier each, of those that the namespace has. The words are fio's; so is
 * their meaning: --plids has places in the namespace's list, not the identifiers themselves.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/nvme_fdp.h>

#include "lib/env/json.h"
#include "perf.h"

int perf_fdp_parse_select(const struct tool_command *command, struct perf_fdp *out)
{
	out->random = strcmp(optarg, "random") == 0;
	if (out->random || strcmp(optarg, "roundrobin") == 0)
		return TOOL_DONE;
	return tool_usage(command, "--plid_select=%s: roundrobin or random is wanted", optarg);
}

int perf_fdp_parse_on(const struct tool_command *command, struct perf_fdp *out)
{
	out->on = strcmp(optarg, "fdp") == 0;
	if (out->on || strcmp(optarg, "none") == 0)
		return TOOL_DONE;
	return tool_usage(command, "--dataplacement=%s: none or fdp is wanted", optarg);
}

int perf_fdp_parse_list(const struct tool_command *command, struct perf_fdp *out)
{
	const char *word = optarg;
	char one[8];

	out->count = 0;
	for (;;) {
		size_t length = strcspn(word, ",");
		uint64_t value = 0;

		snprintf(one, sizeof(one), "%.*s", length < sizeof(one) ? (int)length : 0, word);
		if (out->count == PERF_MAX_PLACEMENTS || tool_parse_u64(one, 0, UINT16_MAX, &value) != 0)
			return tool_usage(command,
					  "--plids=%s: a place in the namespace's list of placement identifiers is "
					  "wanted, from 0 on, or up to %u of them with commas between", optarg,
					  PERF_MAX_PLACEMENTS);
		out->places[out->count++] = (uint16_t)value;
		if (word[length] == '\0')
			return TOOL_DONE;
		word += length + 1;
	}
}

int perf_fdp_check(const struct tool_command *command, const struct perf_fdp *fdp)
{
	if (!fdp->on && (fdp->count || fdp->random))
		return tool_usage(command, "--plids and --plid_select are for writes with a placement identifier; "
					   "say --fdp=1 as well");
	return TOOL_DONE;
}

/* The status of the handles is an I/O command, and jobs have no queue yet. */
static int learn(const struct perf_device *device)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_nvme_qpair *qp = NULL;
	struct nsdk_nvme_cpl cpl;
	int err, end;

	err = nsdk_nvme_qpair_create(device->ctrlr, &opts, &qp);
	if (err)
		return err;
	err = nsdk_nvme_placement_learn(device->ns, qp, &cpl);
	if (err == -EOPNOTSUPP) {
		tool_say("--fdp=1: namespace %u of %s has no flexible data placement", device->pattern.nsid,
			 nsdk_device_name(device->dev));
	} else if (!err && !nsdk_nvme_cpl_ok(&cpl)) {
		tool_say("--fdp=1: the placement identifiers of namespace %u of %s: %s", device->pattern.nsid,
			 nsdk_device_name(device->dev), nsdk_nvme_status_text(cpl.status));
		err = -EIO;
	}
	end = nsdk_nvme_qpair_destroy(qp);
	return err ? err : end;
}

int perf_fdp_setup(struct perf_device *device)
{
	const struct perf_fdp *fdp = &device->run->opts.fdp;
	int err;

	if (!fdp->on)
		return 0;
	err = learn(device);
	if (err)
		return err;
	device->pid_count = nsdk_nvme_ns_placements(device->ns, &device->pids);
	for (unsigned i = 0; i < fdp->count; i++) {
		if (fdp->places[i] < device->pid_count)
			continue;
		tool_say("--plids=%u: namespace %u of %s has %u placement identifiers, which are counted from "
			 "0", fdp->places[i], device->pattern.nsid, nsdk_device_name(device->dev),
			 device->pid_count);
		return -EINVAL;
	}
	if (device->pid_count == 0) {
		tool_say("--fdp=1: namespace %u of %s has no placement identifiers", device->pattern.nsid,
			 nsdk_device_name(device->dev));
		return -EINVAL;
	}
	return 0;
}

/* How many identifiers are in use. */
static unsigned used(const struct perf_device *device)
{
	const struct perf_fdp *fdp = &device->run->opts.fdp;

	return fdp->count ? fdp->count : device->pid_count;
}

static uint16_t pid_at(const struct perf_device *device, unsigned at)
{
	const struct perf_fdp *fdp = &device->run->opts.fdp;

	return device->pids[fdp->count ? fdp->places[at] : at];
}

void perf_fdp_place(struct perf_job *job, struct nsdk_nvme_io_ext *ext)
{
	const struct perf_opts *opts = &job->run->opts;
	uint64_t number = job->placed;

	if (opts->fdp.random)
		number = perf_mix64(number + perf_mix64(opts->seed ^ (uint64_t)job->number << 32));
	ext->dtype = NSDK_NVME_DIRECTIVE_PLACEMENT;
	ext->dspec = pid_at(job->device, (unsigned)(number % used(job->device)));
}

int perf_fdp_write(struct perf_job *job, struct perf_slot *slot, void *buf, nsdk_nvme_cb cb)
{
	struct nsdk_nvme_io_ext ext = { .ext_bytes = sizeof(ext) };

	perf_fdp_place(job, &ext);
	slot->iov = (struct iovec){ buf, job->run->opts.bs_bytes };
	return nsdk_nvme_writev_ext(job->device->ns, job->qp, &slot->iov, 1, slot->lba, job->unit_blocks,
				    &ext, cb, slot);
}

struct json_object *perf_fdp_json(const struct perf_device *device)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	nsdk_json_put_text(object, "select", device->run->opts.fdp.random ? "random" : "roundrobin");
	for (unsigned i = 0; i < used(device); i++)
		json_object_array_add(array, json_object_new_int(pid_at(device, i)));
	nsdk_json_put(object, "pids", array);
	return object;
}
