/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The result for programs. The keys are an interface: they are documented in nsdk-perf(1), and none
 * is ever renamed.
 */
#include <stdio.h>

#include "perf.h"
#include "lib/env/json.h"

static double per_second(uint64_t count, uint64_t ns)
{
	return ns == 0 ? 0 : (double)count * 1e9 / (double)ns;
}

static struct json_object *json_latency(const struct perf_hist *hist)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "min", hist->count == 0 ? 0 : hist->min);
	nsdk_json_put_double(object, "mean", perf_hist_mean(hist), 2);
	nsdk_json_put_u64(object, "p50", perf_hist_percentile(hist, 50));
	nsdk_json_put_u64(object, "p90", perf_hist_percentile(hist, 90));
	nsdk_json_put_u64(object, "p99", perf_hist_percentile(hist, 99));
	nsdk_json_put_u64(object, "p99_9", perf_hist_percentile(hist, 99.9));
	nsdk_json_put_u64(object, "p99_99", perf_hist_percentile(hist, 99.99));
	nsdk_json_put_u64(object, "max", hist->max);
	return object;
}

static struct json_object *json_direction(const struct perf_run *run,
					  const struct perf_result *result, enum perf_dir dir)
{
	struct json_object *object = json_object_new_object();
	double iops = per_second(result->ios[dir], result->runtime_ns);

	nsdk_json_put_u64(object, "ios", result->ios[dir]);
	nsdk_json_put_double(object, "iops", iops, 2);
	nsdk_json_put_u64(object, "bw_bytes", (uint64_t)(iops * (double)run->opts.bs_bytes));
	nsdk_json_put(object, "lat_ns", json_latency(&result->hist[dir]));
	return object;
}

static struct json_object *json_coherence(const struct perf_result *result)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "batches", result->coherence.batches);
	nsdk_json_put_u64(object, "lines_written_back", result->coherence.lines_written_back);
	nsdk_json_put_u64(object, "lines_invalidated", result->coherence.lines_invalidated);
	nsdk_json_put_u64(object, "bytes_skipped_clean", result->coherence.bytes_skipped_clean);
	nsdk_json_put_u64(object, "wbinvd", result->coherence.wbinvd);
	nsdk_json_put_u64(object, "batches_shared", result->coherence.batches_shared);
	nsdk_json_put_u64(object, "batches_tried", result->coherence.batches_tried);
	nsdk_json_put_u64(object, "violations", result->violations);
	return object;
}

/* What the cache model saw, in this process: its report says it, so nothing here can say it otherwise. */
static void put_cache_model(const struct perf_run *run, const struct perf_result *result,
			    struct json_object *object)
{
	struct json_object *model;

	if (result->violations == 0 && !run->opts.coherence_check)
		return;
	model = perf_check_json();
	if (result->violations != 0)
		nsdk_json_put(object, "violations", json_object_get(json_object_object_get(model, "kept")));
	if (run->opts.coherence_check)
		nsdk_json_put(object, "cache_model", model);
	else
		json_object_put(model);
}

static struct json_object *json_mismatches(const struct perf_device *device)
{
	struct json_object *array = json_object_new_array();
	unsigned kept = atomic_load(&device->kept);

	if (kept > PERF_KEPT_MISMATCHES)
		kept = PERF_KEPT_MISMATCHES;
	for (unsigned i = 0; i < kept; i++) {
		const struct perf_mismatch *m = &device->mismatches[i];
		struct json_object *object = json_object_new_object();

		nsdk_json_put_u64(object, "nsid", device->pattern.nsid);
		nsdk_json_put_u64(object, "lba", m->lba);
		nsdk_json_put_u64(object, "blocks", m->blocks);
		nsdk_json_put_u64(object, "offset_bytes", m->offset_bytes);
		nsdk_json_put_u64(object, "bytes", (uint64_t)m->lines * NSDK_LINE_BYTES);
		nsdk_json_put_text(object, "found", perf_found_name(m->found));
		nsdk_json_put_u64(object, "expected_generation", m->expected_generation);
		if (m->found <= PERF_FOUND_OLD_RUN) {
			nsdk_json_put_u64(object, "found_lba", m->found_lba);
			nsdk_json_put_u64(object, "found_generation", m->found_generation);
		}
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *json_verify(const struct perf_result *result)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "blocks_written", result->blocks_written);
	nsdk_json_put_u64(object, "blocks_checked", result->blocks_checked);
	nsdk_json_put(object, "read_back", json_object_new_boolean(result->read_back));
	nsdk_json_put(object, "mismatches", json_mismatches(result->device));
	return object;
}

static const char *perf_cmb_text(unsigned cmb)
{
	static const char *const texts[] = { "off", "sq", "data", "sq+data" };

	return texts[cmb & (NSDK_NVME_CMB_SQ | NSDK_NVME_CMB_DATA)];
}

static struct json_object *json_options(const struct perf_run *run)
{
	const struct perf_opts *opts = &run->opts;
	struct json_object *object = json_object_new_object();

	nsdk_json_put_text(object, "rw", opts->rw);
	nsdk_json_put_u64(object, "rwmixread", opts->rwmixread);
	nsdk_json_put_u64(object, "bs", opts->bs_bytes);
	nsdk_json_put_u64(object, "iodepth", opts->iodepth);
	nsdk_json_put_u64(object, "iodepth_batch", opts->iodepth_batch);
	nsdk_json_put_u64(object, "numjobs", opts->numjobs);
	nsdk_json_put_text(object, "cmb", perf_cmb_text(opts->cmb));
	nsdk_json_put_u64(object, "seed", opts->seed);
	nsdk_json_put(object, "verify", json_object_new_boolean(opts->verify));
	nsdk_json_put_text(object, "zonemode", opts->zbd ? "zbd" : "none");
	nsdk_json_put_text(object, "mode", perf_mode_name(opts->mode));
	nsdk_json_put_u64(object, "thinktime_ns", opts->thinktime_ns);
	return object;
}

static struct json_object *json_cpus(const struct perf_run *run, const struct perf_result *result)
{
	const struct perf_job *jobs =
		&run->jobs[(result->device - run->devices) * run->opts.numjobs];
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < run->opts.numjobs; i++)
		json_object_array_add(array, json_object_new_int(nsdk_env_lcore_cpu(jobs[i].lcore)));
	return array;
}

/* What the controller's memory is used for; an object of zeroes where there is none. */
static struct json_object *json_cmb(const struct nsdk_nvme_cmb_info *cmb)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "bytes", cmb->bytes);
	nsdk_json_put_u64(object, "used_bytes", cmb->used_bytes);
	nsdk_json_put_u64(object, "queues", cmb->queues);
	return object;
}

/* Of a namespace that has metadata. */
static struct json_object *json_metadata(const struct perf_pi *pi)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "bytes", pi->md->bytes);
	nsdk_json_put(object, "extended", json_object_new_boolean(pi->md->extended));
	nsdk_json_put_u64(object, "pi_type", pi->md->pi_type);
	nsdk_json_put_u64(object, "guard_bits", pi->md->pi_type ? 16u << pi->md->pif : 0);
	nsdk_json_put(object, "pi_act", json_object_new_boolean(pi->act));
	nsdk_json_put(object, "check_guard", json_object_new_boolean(pi->check & NSDK_NVME_RW_PRCHK_GUARD));
	nsdk_json_put(object, "check_ref_tag", json_object_new_boolean(pi->check & NSDK_NVME_RW_PRCHK_REF_TAG));
	nsdk_json_put(object, "check_app_tag", json_object_new_boolean(pi->check & NSDK_NVME_RW_PRCHK_APP_TAG));
	return object;
}

struct json_object *perf_json(const struct perf_run *run, const struct perf_result *result)
{
	struct json_object *object = json_object_new_object();
	struct json_object *verdict = json_object_new_object();
	uint64_t ios = result->ios[PERF_READ] + result->ios[PERF_WRITE];
	double iops = per_second(ios, result->runtime_ns);

	nsdk_json_put_text(object, "device", result->name);
	nsdk_json_put_text(object, "status",
		 result->interrupted ? "interrupted" : perf_result_good(result) ? "done" : "failed");
	nsdk_json_put_text(object, "policy", nsdk_policy_name(result->policy));
	nsdk_json_put_text(object, "policy_asked", nsdk_policy_name(run->opts.policy));
	nsdk_json_put_text(verdict, "state", nsdk_snoop_state_name(result->verdict->state));
	nsdk_json_put_text(verdict, "reason", result->verdict->reason);
	nsdk_json_put(object, "verdict", verdict);
	nsdk_json_put_u64(object, "nsid", result->device->pattern.nsid);
	nsdk_json_put_u64(object, "block_bytes", result->block_bytes);
	if (result->device->pi.md)
		nsdk_json_put(object, "metadata", json_metadata(&result->device->pi));
	nsdk_json_put(object, "options", json_options(run));
	nsdk_json_put(object, "cpus", json_cpus(run, result));
	if (run->opts.cmb)
		nsdk_json_put(object, "cmb", json_cmb(&result->device->cmb));
	if (run->opts.wrr.count)
		nsdk_json_put(object, "arbitration", perf_wrr_json(result->device));
	if (run->opts.fdp.on)
		nsdk_json_put(object, "placement", perf_fdp_json(result->device));
	nsdk_json_put(object, "lcores", perf_sleep_json(result->device));
	nsdk_json_put_u64(object, "runtime_ns", result->runtime_ns);
	nsdk_json_put_u64(object, "ios", ios);
	nsdk_json_put_double(object, "iops", iops, 2);
	nsdk_json_put_u64(object, "bw_bytes", (uint64_t)(iops * (double)run->opts.bs_bytes));
	nsdk_json_put_u64(object, "errors", result->errors);
	nsdk_json_put_u64(object, "verify_errors", result->verify_errors);
	nsdk_json_put(object, "lat_ns", json_latency(&result->all));
	nsdk_json_put(object, "read", json_direction(run, result, PERF_READ));
	nsdk_json_put(object, "write", json_direction(run, result, PERF_WRITE));
	if (run->opts.verify)
		nsdk_json_put(object, "verify", json_verify(result));
	nsdk_json_put(object, "coherence", json_coherence(result));
	if (flush_wanted(&run->opts.flush))
		nsdk_json_put(object, "flush", flush_json());
	put_cache_model(run, result, object);
	return object;
}
