/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk perf: load on NVMe devices, measured, and on request verified.
 *
 * A run has devices, and each device has --numjobs jobs. A job is a queue pair that one lcore polls;
 * the jobs are dealt out to the lcores in turn, device by device, so that two devices on two CPUs
 * get one each. The files, in the order in which they matter:
 *
 *	perf_opts.c      fio's words
 *	perf_cpus.c      which CPUs, when nobody said
 *	perf_device.c    attach, namespace, region
 *	perf_job.c       the poller that does the I/O
 *	perf_sleep.c     --mode: interrupts instead of polling
 *	perf_wrr.c       --wrr_priority: queues with priorities
 *	perf_sequence.c  in which order blocks are visited
 *	perf_verify.c    self-describing blocks
 *	perf_hist.c      latencies
 *	perf_progress.c  how far it is; stop.c: signals
 *	perf_check.c     --coherence-check
 *	perf_result.c    adding up; perf_report.c and perf_json.c show it
 *
 * Whatever happens, what was taken is given back in the reverse order: queues, memory, controller,
 * device, the kernel's driver.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <json-c/json.h>

#include <nsdk/emu.h>

#include "perf.h"

/* Between two polls of an admin queue. */
#define DEVICE_POLL_US 10000
#define DEVICE_SLEEP_US 200000

static const char perf_help[] =
	"usage: nsdk perf DEVICE... [OPTION]...\n"
	"\n"
	"Put a load on NVMe devices, measure it, and with --verify check every byte.\n"
	"Writing destroys what is on the device. The options are fio's, with fio's meanings.\n"
	"\n"
	"Load:\n"
	"  --rw=KIND           read (default), write, randread, randwrite, rw or randrw; random\n"
	"                      order visits every block once before any a second time\n"
	"  --rwmixread=N       percentage of reads in rw and randrw [50]\n"
	"  --bs=SIZE           bytes of one I/O [4k]; k, m, g are powers of 1024\n"
	"  --iodepth=N         I/Os that each job keeps in flight [1]\n"
	"  --iodepth_batch=N   ring the doorbell for every N of them; 0: once for as many as there\n"
	"                      are to submit at a time [0]\n"
	"  --cmb=USE           use the controller's memory buffer: sq, for submission queues; data, for\n"
	"                      what is read and written; sq+data [off]\n"
	"  --thinktime=TIME    of a job, after an I/O has completed: begin no other for so long, in\n"
	"                      seconds or with us or ms [0]\n"
	"  --numjobs=N         jobs on each device, clones of each other, each with a queue pair\n"
	"                      of its own [1]\n"
	"  --cpus_allowed=LIST CPUs for the jobs, as 0,2-3, dealt out in turn, one each; jobs share\n"
	"                      when there are more of them [as many CPUs as there are jobs]\n"
	"\n"
	"Priorities, of controllers that offer weighted round robin:\n"
	"  --wrr_priority=LIST of the queues of a device's jobs in turn: urgent, high, medium, low, with\n"
	"                      commas between; the result says what each class got [none]\n"
	"  --high_weight=N, --medium_weight=N, --low_weight=N\n"
	"                      commands of the class that the controller fetches in a round [16, 8, 4]\n"
	"  --arbitration_burst=N\n"
	"                      … from one queue at a time: a power of two up to 64 [its own advice]\n"
	"\n"
	"Placement, of a namespace with flexible data placement:\n"
	"  --fdp=0|1           each write says where it belongs, by one of the namespace's placement\n"
	"                      identifiers [0]; also --dataplacement=none|fdp\n"
	"  --plids=LIST        only by these: places in the list of them in ascending order, from 0 on,\n"
	"                      with commas between; also --fdp_pli [all]\n"
	"  --plid_select=HOW   roundrobin: a job takes them in turn; random; also --fdp_pli_select\n"
	"                      [roundrobin]\n"
	"\n"
	"Waiting:\n"
	"  --mode=MODE         poll (default): the CPUs look for completions all the time; interrupt:\n"
	"                      they sleep until the device's interrupt; adaptive: they poll while there\n"
	"                      is work, and sleep --idle after the last\n"
	"  --idle=TIME         of adaptive, in seconds or with us or ms [100us]\n"
	"\n"
	"Where and how much; a job ends with the first of these that is reached:\n"
	"  --offset=N          begin there: bytes, or a percentage as 20% [0]\n"
	"  --size=N            bytes, or a percentage, that each job does, and the region it does\n"
	"                      them in [to the end of the namespace]\n"
	"  --number_ios=N      I/Os of each job [no limit]; does not extend --size\n"
	"  --runtime=TIME      seconds, or with us, ms, s, m, h or d [no limit]\n"
	"  --time_based        begin again at the end of --size until --runtime is over\n"
	"  --ns=N              namespace [the first]\n"
	"  --zonemode=zbd      of a zoned namespace: zones that are written are reset first, and written\n"
	"                      from their start on, as many in turn as may be open (--iodepth at most);\n"
	"                      one write of a zone is in flight at a time [none]\n"
	"\n"
	"End-to-end protection, of a namespace that is formatted with it:\n"
	"  --pi_act=0|1        1: the controller makes protection information and takes it off; 0: this\n"
	"                      program makes it, and checks what it reads [1]\n"
	"  --pi_chk=WHAT       what is checked: GUARD, REFTAG, APPTAG with commas between, or none, by the\n"
	"                      controller and with --pi_act=0 here too [GUARD,REFTAG]\n"
	"  --apptag=N, --apptag_mask=N\n"
	"                      the application tag [0x1234], and its bits that are checked [0xffff]\n"
	"\n"
	"Verification:\n"
	"  --verify            write self-describing blocks (each cache line holds its address,\n"
	"                      generation and checksum) and read them back; every mismatch is said\n"
	"                      with its place. What will be read is written first; at the end all\n"
	"                      that was written is read back. Neither is part of the measurement.\n"
	"                      Each job gets a part of the region for itself. Needs 4 bytes of\n"
	"                      memory for each I/O of --size or --number_ios, at most 2^28 a job.\n"
	"  --seed=N            of the order and the mix of random I/O [1]; also --randseed\n"
	"\n"
	"No-snoop:\n"
	"  --policy=POLICY     coherent (default): the device's DMA is snooped; nosnoop: past the\n"
	"                      caches, refused where the IOMMU does not permit it; auto: nosnoop\n"
	"                      where it is permitted, else coherent\n"
	"  --coherence-check[=SEED]\n"
	"                      emulated devices only: prove the cache handling. All DMA goes past a\n"
	"                      model of the CPU's caches (nosnoop=all, unless the DEVICE says else),\n"
	"                      with --policy=nosnoop and --verify, and an adversary evicts, prefetches\n"
	"                      and reorders by SEED [0: chosen, and printed]. At the end: what was\n"
	"                      watched, and each violation with the call that was missing.\n"
	FLUSH_HELP
	"\n"
	"Deadlines:\n"
	"  --io_timeout=TIME   abort an I/O that takes longer, which is an error [30]\n"
	"  --stop_timeout=TIME after SIGINT or SIGTERM, wait so long for what is in flight [5]; a\n"
	"                      second signal ends the wait\n"
	"  --ready_timeout=TIME\n"
	"                      how long a controller may take to get ready [what it asks for, or 2]\n"
	"\n"
	"Output:\n"
	"  --json[=FILE]       one object for one DEVICE, an array of them for several, to the\n"
	"                      standard output or, beside the table, to FILE\n"
	"  --eta=WHEN          how far it is, once a second, on the standard error: auto (default),\n"
	"                      on a terminal only; always, without a terminal as lines; never\n"
	"  --eta-newline=TIME  a line that stays each time so much has passed, 100ms at the least\n"
	"  --verbose, --help\n"
	"\n"
	"A DEVICE is 0000:00:03.0, pci:0000:00:03.0, or a model in this process:\n"
	"  emu:nvme[,size=1G][,lba=512|4096][,file=PATH][,namespaces=N][,mdts=N]\n"
	"          [,nosnoop=none|data|all][,latency_us=N][,seed=N]\n"
	"A PCI function that another driver holds is bound to vfio-pci for the run and given back.\n"
	"\n"
	"Exit status: 0 done without any error; 1 failed, interrupted, an I/O error, a verify error\n"
	"or a violation of the cache model; 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  nsdk perf emu:nvme --rw=randread --iodepth=32 --runtime=5 --time_based\n"
	"  nsdk perf emu:nvme,nosnoop=all --rw=randrw --verify --policy=nosnoop --size=64m\n"
	"  nsdk perf emu:nvme --rw=randrw --size=64m --coherence-check\n"
	"  nsdk perf 0000:03:00.0 --rw=randread --bs=4k --iodepth=128 --cpus_allowed=2 --runtime=10\n";

static bool all_emulated(const struct perf_run *run)
{
	for (unsigned i = 0; i < run->opts.device_count; i++)
		if (strncmp(run->opts.devices[i], "emu:", 4) != 0)
			return false;
	return true;
}

static int start_env(struct perf_run *run)
{
	struct nsdk_env_opts env = { .opts_bytes = sizeof(env) };
	char *cpus = NULL;
	int rc = 0;

	/* Hardware needs hugepages for its DMA, and lib/mem says so where there are none. */
	env.no_huge = !all_emulated(run);
	env.cpus = run->opts.cpus_allowed;
	if (env.cpus == NULL) {
		rc = perf_cpus_choose(&run->opts, run->job_count, &cpus);
		env.cpus = cpus;
	}
	if (rc == 0)
		rc = nsdk_env_init(&env);
	free(cpus);
	if (rc != 0)
		return rc;
	run->ticks_per_s = nsdk_ticks_per_s();
	run->ns_per_tick_32 = (uint64_t)(((unsigned __int128)1000000000u << 32) / run->ticks_per_s);
	return 0;
}

/* Two of the same would be each other's fault. */
static int check_twice(const struct perf_run *run)
{
	struct nsdk_pci_addr a, b;

	for (unsigned i = 0; i < run->opts.device_count; i++) {
		if (nsdk_pci_addr_parse(run->opts.devices[i], &a) != 0)
			continue;
		for (unsigned j = 0; j < i; j++) {
			if (nsdk_pci_addr_parse(run->opts.devices[j], &b) == 0 &&
			    a.domain == b.domain && a.bus == b.bus && a.dev == b.dev &&
			    a.func == b.func)
				return tool_usage(&tool_perf, "%s is there twice",
						  run->opts.devices[i]);
		}
	}
	return TOOL_DONE;
}

/* @return 0 or -errno, said; run->misspelt tells whose fault it is. */
static int attach_devices(struct perf_run *run)
{
	for (unsigned i = 0; i < run->opts.device_count; i++) {
		struct perf_device *device = &run->devices[i];
		int rc;

		/* A signal during a slow bring-up is not forgotten. */
		if (tool_stop_requests() != 0) {
			tool_say("stopped before the run began");
			return -EINTR;
		}
		device->run = run;
		if (run->opts.coherence_check) {
			device->spec = perf_check_words(&run->opts, run->opts.devices[i]);
		} else {
			device->spec = strdup(run->opts.devices[i]);
			if (device->spec == NULL)
				tool_say("no memory");
		}
		if (device->spec == NULL)
			return -ENOMEM;
		rc = perf_device_attach(device);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int create_jobs(struct perf_run *run)
{
	unsigned devices = run->opts.device_count, lcores = nsdk_env_lcore_count();

	for (unsigned n = 0; n < run->job_count; n++) {
		unsigned device = perf_deal_device(&run->opts, n), clone = n / devices;
		struct perf_job *job = &run->jobs[device * run->opts.numjobs + clone];
		int rc;

		job->run = run;
		job->device = &run->devices[device];
		job->number = device * run->opts.numjobs + clone;
		job->lcore = n % lcores;
		rc = perf_job_create(job);
		if (rc != 0)
			return rc;
	}
	for (unsigned i = 0; i < devices; i++) {
		struct perf_device *device = &run->devices[i];
		struct perf_job *job = &run->jobs[i * run->opts.numjobs];
		int rc = perf_sleep_device(device, job->lcore);

		if (rc == 0 && device->poller == NULL)
			rc = nsdk_poller_register(nsdk_reactor_get(job->lcore), perf_device_poll, device,
						  run->opts.mode == NSDK_REACTOR_POLL ? DEVICE_POLL_US :
											DEVICE_SLEEP_US,
						  &device->poller);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void destroy_jobs(struct perf_run *run)
{
	for (unsigned i = 0; i < run->opts.device_count; i++) {
		nsdk_poller_unregister(run->devices[i].poller);
		run->devices[i].poller = NULL;
		nsdk_poller_unregister(run->devices[i].urgent);
		run->devices[i].urgent = NULL;
		perf_sleep_device_end(&run->devices[i]);
	}
	for (unsigned i = 0; i < run->job_count; i++)
		if (run->jobs[i].run != NULL)
			perf_job_destroy(&run->jobs[i]);
}

static int detach_devices(struct perf_run *run)
{
	int result = 0;

	for (unsigned i = run->opts.device_count; i-- > 0;) {
		int rc = perf_device_detach(&run->devices[i]);

		if (rc != 0)
			result = rc;
	}
	return result;
}

/* @return whether everything was good. */
static bool show_results(struct perf_run *run, struct tool_json_out *json)
{
	struct json_object *array = NULL, *object = NULL;
	struct perf_result *result;
	bool good = true;

	if (run->opts.args.json && run->opts.device_count > 1)
		array = json_object_new_array();
	for (unsigned i = 0; i < run->opts.device_count; i++) {
		if (perf_result_create(&run->devices[i], &result) != 0) {
			json_object_put(array);
			return false;
		}
		good = good && perf_result_good(result);
		if (!run->opts.args.json || run->opts.args.json_file != NULL)
			perf_report(run, result);
		if (run->opts.args.json) {
			object = perf_json(run, result);
			if (array != NULL)
				json_object_array_add(array, object);
		}
		free(result);
	}
	if (!run->opts.args.json || run->opts.args.json_file != NULL)
		flush_print(&run->opts.flush);
	if (run->opts.coherence_check) {
		if (!run->opts.args.json || run->opts.args.json_file != NULL)
			perf_check_print();
		if (!perf_check_watched(run))
			good = false;
	}
	if (run->opts.args.json) {
		object = array != NULL ? array : object;
		if (tool_json_commit(json, object) != 0)
			good = false;
		json_object_put(object);
	}
	/* Giving a device back may take a while; what is known shall not wait for it. */
	fflush(stdout);
	return good;
}

static int run_jobs(struct perf_run *run, struct perf_progress *progress)
{
	atomic_store(&run->live, run->job_count);
	perf_progress_start(progress);
	return nsdk_reactors_run(NULL, NULL);
}

static int perf_all(struct perf_run *run, struct tool_json_out *json)
{
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem), .no_huge = all_emulated(run) };
	struct perf_progress *progress = perf_progress_create(run);
	struct nsdk_cache_model_stats model;
	int status = TOOL_FAILED;

	if (start_env(run) != 0)
		goto no_env;
	if (flush_setup(&run->opts.flush) != 0)
		goto no_flush;
	if (nsdk_reactors_create() != 0)
		goto no_reactors;
	if (perf_sleep_modes(run) != 0)
		goto no_mem;
	if (nsdk_mem_create(&mem, &run->mem) != 0)
		goto no_mem;
	nsdk_cache_model_reset();
	if (attach_devices(run) != 0 || create_jobs(run) != 0) {
		if (run->misspelt)
			status = TOOL_USAGE;
		goto give_back;
	}
	if (run_jobs(run, progress) == 0)
		status = TOOL_DONE;
	perf_progress_destroy(progress);
	progress = NULL;
	/* The queues first: deleting one may still find something wrong. */
	for (unsigned i = 0; i < run->job_count; i++)
		perf_job_destroy(&run->jobs[i]);
	if (status == TOOL_DONE && !show_results(run, json))
		status = TOOL_FAILED;

give_back:
	destroy_jobs(run);
	if (detach_devices(run) != 0)
		status = TOOL_FAILED;
	/* The model has said what it saw; it counts, even if it was in the last command of all. */
	nsdk_cache_model_stats(&model);
	if (model.violations_total != 0 && status == TOOL_DONE)
		status = TOOL_FAILED;
	if (run->opts.coherence_check && model.violations_total != run->violations_shown)
		tool_say("--coherence-check: there were %llu more violations than the result has, while "
			 "devices were given back",
			 (unsigned long long)(model.violations_total - run->violations_shown));
	if (nsdk_mem_destroy(run->mem) != 0)
		status = TOOL_FAILED;
no_mem:
	nsdk_reactors_destroy();
no_reactors:
	if (nsdk_flush_teardown() != 0)
		status = TOOL_FAILED;
no_flush:
	nsdk_env_fini();
no_env:
	perf_progress_destroy(progress);
	return status;
}

static int perf_main(const struct tool_command *self, int argc, char **argv)
{
	struct tool_json_out json = { .fd = -1 };
	struct perf_run run;
	bool stop;
	int status;

	memset(&run, 0, sizeof(run));
	status = perf_opts_parse(self, argc, argv, &run.opts, &stop);
	if (status != TOOL_DONE || stop)
		return status;
	status = check_twice(&run);
	if (status != TOOL_DONE)
		return status;
	if (run.opts.args.json && tool_json_open(&json, run.opts.args.json_file) != 0)
		return TOOL_FAILED;
	run.job_count = run.opts.device_count * run.opts.numjobs;
	run.devices = calloc(run.opts.device_count, sizeof(*run.devices));
	run.jobs = calloc(run.job_count, sizeof(*run.jobs));
	if (run.devices == NULL || run.jobs == NULL ||
	    getrandom(&run.nonce, sizeof(run.nonce), 0) != sizeof(run.nonce)) {
		tool_say("no memory for %u jobs", run.job_count);
		status = TOOL_FAILED;
	} else {
		tool_stop_install();
		status = perf_all(&run, &json);
		tool_stop_remove();
	}
	tool_json_discard(&json);
	for (unsigned i = 0; run.devices != NULL && i < run.opts.device_count; i++)
		free(run.devices[i].spec);
	free(run.devices);
	free(run.jobs);
	return status;
}

const struct tool_command tool_perf = {
	.name = "perf",
	.summary = "put a load on NVMe devices, measure it, verify the data",
	.help = perf_help,
	.run = perf_main,
};
