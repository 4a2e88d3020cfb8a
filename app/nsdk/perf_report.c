/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The result for people: one short table a device.
 */
#include <stdio.h>

#include "perf.h"

static const char *format_time(double ns, char *buf, size_t buf_bytes)
{
	if (ns < 1000)
		snprintf(buf, buf_bytes, "%.0f ns", ns);
	else if (ns < 1e6)
		snprintf(buf, buf_bytes, "%.*f us", ns < 1e5 ? 1 : 0, ns / 1e3);
	else if (ns < 1e9)
		snprintf(buf, buf_bytes, "%.*f ms", ns < 1e8 ? 1 : 0, ns / 1e6);
	else
		snprintf(buf, buf_bytes, "%.1f s", ns / 1e9);
	return buf;
}

static void print_row(const char *label, uint64_t ios, const struct perf_hist *hist,
		      const struct perf_run *run, const struct perf_result *result)
{
	static const double percents[] = { 50, 90, 99, 99.9, 99.99 };
	double iops = result->runtime_ns == 0 ? 0 :
						(double)ios * 1e9 / (double)result->runtime_ns;
	char iops_text[32], bw[32], text[32];

	printf("  %-8s %8s %12s/s", label, tool_format_count(iops, iops_text, sizeof(iops_text)),
	       tool_format_bytes(iops * (double)run->opts.bs_bytes, bw, sizeof(bw)));
	printf(" %9s", format_time(perf_hist_mean(hist), text, sizeof(text)));
	for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		printf(" %9s",
		       format_time((double)perf_hist_percentile(hist, percents[i]), text,
				   sizeof(text)));
	printf(" %9s\n", format_time((double)hist->max, text, sizeof(text)));
}

static void print_workload(const struct perf_run *run, const struct perf_result *result)
{
	const struct perf_opts *opts = &run->opts;
	const struct perf_job *jobs = &run->jobs[(result->device - run->devices) * opts->numjobs];
	char bs[32];

	printf("  workload  %s", opts->rw);
	if (opts->reads && opts->writes)
		printf(" (%u %% reads)", opts->rwmixread);
	printf(", bs %s, iodepth %u, %u job%s on CPU",
	       tool_format_bytes((double)opts->bs_bytes, bs, sizeof(bs)), opts->iodepth,
	       opts->numjobs, opts->numjobs == 1 ? "" : "s");
	for (unsigned i = 0; i < opts->numjobs && i < 8; i++)
		printf("%s%d", i == 0 ? " " : ",", nsdk_env_lcore_cpu(jobs[i].lcore));
	printf("%s", opts->numjobs > 8 ? ",…" : "");
	if (opts->mode != NSDK_REACTOR_POLL)
		printf(", %s mode", perf_mode_name(opts->mode));
	putchar('\n');
}

static void print_verify(const struct perf_result *result, const struct perf_opts *opts)
{
	printf("  verify    %llu blocks written, %llu blocks checked, %llu wrong%s\n",
	       (unsigned long long)result->blocks_written,
	       (unsigned long long)result->blocks_checked,
	       (unsigned long long)result->verify_errors,
	       opts->writes && !result->read_back ? "; NOT all of it was read back" : "");
}

static void print_coherence(const struct perf_result *result)
{
	const struct nsdk_coherence_stats *c = &result->coherence;

	printf("  coherence %llu batches, %llu lines written back, %llu lines invalidated, "
	       "%llu bytes found clean, %llu WBINVD, %llu violations\n",
	       (unsigned long long)c->batches, (unsigned long long)c->lines_written_back,
	       (unsigned long long)c->lines_invalidated, (unsigned long long)c->bytes_skipped_clean,
	       (unsigned long long)c->wbinvd, (unsigned long long)result->violations);
}

void perf_report(const struct perf_run *run, const struct perf_result *result)
{
	const struct perf_opts *opts = &run->opts;
	uint64_t ios = result->ios[PERF_READ] + result->ios[PERF_WRITE];
	char size[32], took[32];

	printf("%s, namespace %u: %s in blocks of %llu bytes\n", result->name,
	       result->device->pattern.nsid,
	       tool_format_bytes((double)(nsdk_nvme_ns_blocks(result->device->ns) *
					  result->block_bytes),
				 size, sizeof(size)),
	       (unsigned long long)result->block_bytes);
	printf("  no-snoop  %s: %s\n", nsdk_snoop_state_name(result->verdict->state),
	       result->verdict->reason);
	printf("  policy    %s", nsdk_policy_name(result->policy));
	if (result->policy != opts->policy)
		printf(" (asked: %s)", nsdk_policy_name(opts->policy));
	putchar('\n');
	print_workload(run, result);
	printf("  %-8s %8s %14s %9s %9s %9s %9s %9s %9s %9s\n", "", "IOPS", "bandwidth", "mean",
	       "p50", "p90", "p99", "p99.9", "p99.99", "max");
	if (opts->reads)
		print_row("read", result->ios[PERF_READ], &result->hist[PERF_READ], run, result);
	if (opts->writes)
		print_row("write", result->ios[PERF_WRITE], &result->hist[PERF_WRITE], run, result);
	if (opts->reads && opts->writes)
		print_row("both", ios, &result->all, run, result);
	perf_wrr_print(result->device);
	if (opts->verify)
		print_verify(result, opts);
	print_coherence(result);
	perf_sleep_print(result->device);
	printf("  %s    %llu I/Os in %s, %llu errors\n",
	       result->interrupted	? "STOPPED" :
	       perf_result_good(result) ? "done   " :
					  "FAILED ",
	       (unsigned long long)ios,
	       format_time((double)result->runtime_ns, took, sizeof(took)),
	       (unsigned long long)result->errors);
}
