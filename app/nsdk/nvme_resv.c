/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme resv-register, resv-acquire, resv-release, resv-report: which of several hosts may use a
 * namespace.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "nvme.h"

#define CRKEY_OPTION NVME_NUMBER_OPTION("crkey", 'c', crkey, UINT64_MAX, "the key that is registered [0]")
#define IEKEY_OPTION NVME_FLAG_OPTION("iekey", 'i', iekey, "whatever key is registered")
#define RTYPE_OPTION                                                                                        \
	NVME_NUMBER_OPTION("rtype", 't', rtype, 6,                                                          \
			   "1 write exclusive, 2 exclusive access, 3 and 4 the same but for registrants, "  \
			   "5 and 6 held by all of those")

static int issue(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		 nsdk_nvme_cb cb, void *ctx)
{
	const struct nvme_run *run = io->args;
	const struct nvme_values *v = &run->v;
	uint32_t flags = v->iekey ? NSDK_NVME_RESV_IGNORE_KEY : 0;

	if (run->sub == &nvme_resv_register)
		return nsdk_nvme_resv_register(ns, qp, (enum nsdk_nvme_resv_register_action)v->action.number,
					       flags | (uint32_t)v->cptpl.number << 30, v->crkey.number,
					       v->nrkey.number, cb, ctx);
	if (run->sub == &nvme_resv_acquire)
		return nsdk_nvme_resv_acquire(ns, qp, (enum nsdk_nvme_resv_acquire_action)v->action.number,
					      (enum nsdk_nvme_resv_type)v->rtype.number, flags,
					      v->crkey.number, v->prkey.number, cb, ctx);
	if (run->sub == &nvme_resv_release)
		return nsdk_nvme_resv_release(ns, qp, (enum nsdk_nvme_resv_release_action)v->action.number,
					      (enum nsdk_nvme_resv_type)v->rtype.number, flags,
					      v->crkey.number, cb, ctx);
	return nsdk_nvme_resv_report(ns, qp, buf, io->bytes, cb, ctx);
}

static int change(struct nvme_run *run, const char *what, const char *words)
{
	struct nvme_io io = { .what = what, .issue = issue, .args = run, .dir = NSDK_DMA_TO_DEVICE };
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	struct nsdk_nvme_cpl cpl;
	int status = ns != NULL ? nvme_do_io(run, ns, &io, &cpl) : TOOL_FAILED;

	if (status == TOOL_DONE)
		printf("%s\n", words);
	return status;
}

/* ---- resv-register ---- */

static int check_register(struct nvme_run *run)
{
	if (run->v.cptpl.number == 1)
		return nvme_usage(run, "--cptpl=1 has no meaning: 0, 2 or 3 is wanted");
	return TOOL_DONE;
}

static int run_register(struct nvme_run *run)
{
	return change(run, "Reservation Register", "NVME Reservation  success");
}

static const struct nvme_option register_options[] = {
	NVME_ONE_NSID_OPTION,
	CRKEY_OPTION,
	NVME_NUMBER_OPTION("nrkey", 'k', nrkey, UINT64_MAX, "the new key [0]"),
	NVME_NUMBER_OPTION("rrega", 'r', action, 2, "0 register, 1 unregister, 2 replace the key [0]"),
	NVME_NUMBER_OPTION("cptpl", 'p', cptpl, 3, "2: reservations are gone after a loss of power; 3: they stay "
			   "[0, as it was]"),
	IEKEY_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_resv_register = {
	.name = "resv-register",
	.summary = "Register a key, which reservations want",
	.options = register_options,
	.check = check_register,
	.run = run_register,
};

/* ---- resv-acquire, resv-release ---- */

static int check_type(struct nvme_run *run)
{
	bool clears = run->sub == &nvme_resv_release && run->v.action.number == NSDK_NVME_RESV_CLEAR;

	if (clears && run->v.rtype.number != NSDK_NVME_RESV_NONE)
		return nvme_usage(run, "--rrela=1 clears whatever reservation there is, so it takes no --rtype");
	if (!clears && run->v.rtype.number == NSDK_NVME_RESV_NONE)
		return nvme_usage(run, "--rtype is missing: 1 to 6");
	return TOOL_DONE;
}

static int run_acquire(struct nvme_run *run)
{
	return change(run, "Reservation Acquire", "NVME Reservation Acquire success");
}

static const struct nvme_option acquire_options[] = {
	NVME_ONE_NSID_OPTION,
	CRKEY_OPTION,
	NVME_NUMBER_OPTION("prkey", 'p', prkey, UINT64_MAX, "the key of those who are to be preempted [0]"),
	RTYPE_OPTION,
	NVME_NUMBER_OPTION("racqa", 'a', action, 2, "0 acquire, 1 preempt, 2 preempt and abort their commands [0]"),
	IEKEY_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_resv_acquire = {
	.name = "resv-acquire",
	.summary = "Acquire a reservation, or take it from others",
	.options = acquire_options,
	.check = check_type,
	.run = run_acquire,
};

static int run_release(struct nvme_run *run)
{
	return change(run, "Reservation Release", "NVME Reservation Release success");
}

static const struct nvme_option release_options[] = {
	NVME_ONE_NSID_OPTION,
	CRKEY_OPTION,
	RTYPE_OPTION,
	NVME_NUMBER_OPTION("rrela", 'a', action, 1, "0 release, 1 clear: all keys as well [0]"),
	IEKEY_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_resv_release = {
	.name = "resv-release",
	.summary = "Release a reservation, or clear it and all keys",
	.options = release_options,
	.check = check_type,
	.run = run_release,
};

/* ---- resv-report ---- */

static int show_report(struct nvme_run *run, const uint8_t *data, size_t bytes)
{
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_resv_status status;
	struct nsdk_nvme_resv_ctrlr one;
	unsigned count, most = (unsigned)((bytes - sizeof(status)) / sizeof(one));

	memcpy(&status, data, sizeof(status));
	count = status.registered[0] | (unsigned)status.registered[1] << 8;
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "gen", status.generation);
		nvme_put(object, "rtype", status.type);
		nvme_put(object, "regctl", count);
		nvme_put(object, "ptpls", status.persists);
		json_object_object_add(object, "regctls", array);
	} else {
		printf("\nNVME Reservation status:\n\ngen       : %u\nrtype     : %d\nregctl    : %u\n"
		       "ptpls     : %d\n", status.generation, status.type, count, status.persists);
	}
	/* There may be more than there was room for. */
	for (unsigned i = 0; i < count && i < most; i++) {
		memcpy(&one, data + sizeof(status) + i * sizeof(one), sizeof(one));
		if (array != NULL) {
			struct json_object *entry = json_object_new_object();

			nvme_put(entry, "cntlid", one.cntlid);
			nvme_put(entry, "rcsts", one.status);
			nvme_put(entry, "hostid", one.host_id);
			nvme_put(entry, "rkey", one.key);
			json_object_array_add(array, entry);
		} else {
			printf("regctl[%u] :\n  cntlid  : %x\n  rcsts   : %x\n  hostid  : %" PRIx64
			       "\n  rkey    : %" PRIx64 "\n", i, one.cntlid, one.status, one.host_id, one.key);
		}
	}
	if (object != NULL)
		return nvme_show_json(run, object);
	printf("\n");
	return TOOL_DONE;
}

static int check_report(struct nvme_run *run)
{
	if (run->v.length.given && run->v.length.number < sizeof(struct nsdk_nvme_resv_status) / 4)
		return nvme_usage(run, "--numd=%s: the status alone has %zu dwords", run->v.length.text,
				  sizeof(struct nsdk_nvme_resv_status) / 4);
	return TOOL_DONE;
}

static int run_report(struct nvme_run *run)
{
	size_t bytes = run->v.length.given ? (size_t)run->v.length.number * 4 : 4096;
	struct nvme_io io = {
		.what = "Reservation Report", .issue = issue, .args = run, .bytes = bytes,
		.dir = NSDK_DMA_FROM_DEVICE,
	};
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	struct nsdk_nvme_cpl cpl;
	int status;

	if (ns == NULL)
		return TOOL_FAILED;
	io.data = calloc(1, bytes);
	if (io.data == NULL) {
		tool_say("no memory");
		return TOOL_FAILED;
	}
	status = nvme_do_io(run, ns, &io, &cpl);
	if (status == TOOL_DONE)
		status = nvme_wants_bytes(run) ? nvme_show_bytes(io.data, bytes) :
						 show_report(run, io.data, bytes);
	free(io.data);
	return status;
}

static const struct nvme_option report_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_NUMBER_OPTION("numd", 'd', length, 16384, "dwords of the answer at most [1024]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_resv_report = {
	.name = "resv-report",
	.summary = "Show who holds a reservation, and who has registered",
	.options = report_options,
	.check = check_report,
	.run = run_report,
	.binary = true,
};
