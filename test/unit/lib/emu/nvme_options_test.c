/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>

#include "lib/emu/nvme_internal.h"

static struct emu_nvme_opts opts;

static void has_defaults(void)
{
	NSDK_ASSERT_INT(emu_nvme_opts_read("", &opts), 0);
	NSDK_ASSERT_INT(opts.size_bytes, 0);
	NSDK_ASSERT_INT(opts.lba_bytes, 512);
	NSDK_ASSERT_INT(opts.namespaces, 1);
	NSDK_ASSERT_INT(opts.queues, 16);
	NSDK_ASSERT_INT(opts.entries, 1024);
	NSDK_ASSERT_INT(opts.cpu, -1);
	NSDK_ASSERT_INT(opts.nosnoop, EMU_NVME_NOSNOOP_NONE);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_NONE);
	CU_ASSERT(opts.write_cache && !opts.thread);
}

static void reads_all_of_them(void)
{
	NSDK_ASSERT_INT(emu_nvme_opts_read("size=1G,lba=4096,file=/tmp/x,namespaces=3,mdts=5,"
					   "nosnoop=all,latency_us=10,seed=7,queues=2,mqes=64,thread=1,"
					   "cpu=1,iova_bits=39,ready_ms=20,vwc=0", &opts), 0);
	NSDK_ASSERT_INT(opts.size_bytes, 1 << 30);
	NSDK_ASSERT_INT(opts.lba_bytes, 4096);
	NSDK_ASSERT_TEXT(opts.file, "/tmp/x");
	NSDK_ASSERT_INT(opts.namespaces, 3);
	NSDK_ASSERT_INT(opts.mdts, 5);
	NSDK_ASSERT_INT(opts.nosnoop, EMU_NVME_NOSNOOP_ALL);
	NSDK_ASSERT_INT(opts.latency_ns, 10000);
	NSDK_ASSERT_INT(opts.seed, 7);
	NSDK_ASSERT_INT(opts.queues, 2);
	NSDK_ASSERT_INT(opts.entries, 64);
	CU_ASSERT(opts.thread && !opts.write_cache);
	NSDK_ASSERT_INT(opts.cpu, 1);
	NSDK_ASSERT_INT(opts.iova_bits, 39);
	NSDK_ASSERT_INT(opts.ready_ns, 20000000);
	NSDK_ASSERT_INT(opts.ms, 0);
	NSDK_ASSERT_INT(emu_nvme_opts_read("ms=64,mset=1,pi=3,pil=1,pif=2", &opts), 0);
	CU_ASSERT(opts.ms == 64 && opts.mset && opts.pi == 3 && opts.pil && opts.pif == 2);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fdp=1", &opts), 0);
	CU_ASSERT(opts.fdp && opts.fdp_handles == 4 && opts.fdp_groups == 1);
	NSDK_ASSERT_INT(opts.fdp_unit_bytes, 4 << 20);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fdp=1,fdp_ruh=16,fdp_rg=64,fdp_runs=32K", &opts), 0);
	CU_ASSERT(opts.fdp_handles == 16 && opts.fdp_groups == 64 && opts.fdp_unit_bytes == 32768);
	NSDK_ASSERT_INT(emu_nvme_opts_read("ms=8,fault=guard@4", &opts), 0);
	CU_ASSERT(opts.fault == EMU_NVME_FAULT_GUARD && opts.fault_at == 4 && !opts.pi);
}

static void reads_faults(void)
{
	NSDK_ASSERT_INT(emu_nvme_opts_read("fault=never-ready", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_NEVER_READY);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fault=identify", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_IDENTIFY);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fault=timeout@12", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_TIMEOUT);
	NSDK_ASSERT_INT(opts.fault_at, 12);
	CU_ASSERT(!opts.fault_in_admin);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fault=gone@admin3", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_GONE);
	NSDK_ASSERT_INT(opts.fault_at, 3);
	CU_ASSERT(opts.fault_in_admin);
	CU_ASSERT(!opts.fault_again);
	NSDK_ASSERT_INT(emu_nvme_opts_read("fault=timeout@every9,abort=late,delete=hangs,reset_fails=2,"
					   "disable_hangs=1", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_TIMEOUT);
	NSDK_ASSERT_INT(opts.fault_at, 9);
	CU_ASSERT(opts.fault_again && !opts.fault_in_admin && opts.disable_hangs);
	NSDK_ASSERT_INT(opts.abort, EMU_NVME_ABORT_LATE);
	NSDK_ASSERT_INT(opts.delete_sq, EMU_NVME_DELETE_HANGS);
	NSDK_ASSERT_INT(opts.reset_fails, 2);
	NSDK_ASSERT_INT(emu_nvme_opts_read("file=/tmp/x,volatile_cache=1,fault=cut@7", &opts), 0);
	NSDK_ASSERT_INT(opts.fault, EMU_NVME_FAULT_CUT);
	NSDK_ASSERT_INT(opts.fault_at, 7);
	CU_ASSERT(opts.volatile_cache);
}

static void refuses(const char *text, const char *sentence)
{
	NSDK_ASSERT_INT(emu_nvme_opts_read(text, &opts), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
}

static void refuses_what_is_wrong(void)
{
	refuses("speed=fast", "there is no option 'speed'; there are size=, lba=, file=, namespaces=");
	refuses("lba=1024", "give 512 or 4096");
	refuses("size=1000", "not a multiple of the 512 byte blocks");
	refuses("size=512,lba=4096", "not a multiple of the 4096 byte blocks");
	refuses("nosnoop=yes", "give none, data or all");
	refuses("namespaces=0", "namespaces=0");
	refuses("queues=0", "queues=0");
	refuses("queues=2048", "queues=2048");
	refuses("mqes=1", "mqes=1");
	refuses("mqes=65537", "mqes=65537");
	refuses("iova_bits=16", "iova_bits=16");
	refuses("cpu=1", "say thread=1 as well");
	refuses("cpu=1,thread=0", "say thread=1 as well");
	refuses("cmb=1000", "a multiple of the 4096 byte pages");
	refuses("cmb_for=sq", "not 0 where cmb_for= is said");
	refuses("pmr=12k", "a power of two");
	refuses("pmr_file=/tmp/x", "a power of two");
	refuses("cmb=4k,cmb_for=sq+all", "words of sq, cq, lists");
	refuses("volatile_cache=1", "say file=PATH as well");
	refuses("volatile_cache=1,file=/tmp/x,vwc=0", "not vwc=0");
	refuses("fdp_ruh=3", "fdp_ruh= is for flexible data placement; say fdp=1 as well");
	refuses("fdp=1,fdp_ruh=17,fdp_rg=64", "fdp_ruh=17 times fdp_rg=64 is to be 1024 at most");
	refuses("fdp=1,fdp_runs=5000", "fdp_runs=5000 a multiple of 4096");
	refuses("fdp=1,zoned=1", "fdp=1 does not go with zoned=1");
	refuses("pi=1", "say ms=8 as well");
	refuses("mset=1,ms=0", "say ms=8 as well");
	refuses("ms=129", "ms=129");
	refuses("ms=4,pi=1", "needs ms=8 at least");
	refuses("ms=8,pi=2,pif=1", "needs ms=16 at least");
	refuses("ms=8,pi=4", "give 0, 1, 2 or 3");
	refuses("ms=8,zoned=1", "neither file= nor zoned=1");
	refuses("ms=8,file=/tmp/x", "neither file= nor zoned=1");
	refuses("fault=often", "fatal@N, gone@N");
	refuses("fault=fatal", "fatal@N, gone@N");
	refuses("fault=fatal@0", "fatal@N, gone@N");
	refuses("fault=fatal@admin", "fatal@N, gone@N");
	refuses("fault=gone@2x", "fatal@N, gone@N");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(has_defaults),
	NSDK_UNIT_TEST(reads_all_of_them),
	NSDK_UNIT_TEST(reads_faults),
	NSDK_UNIT_TEST(refuses_what_is_wrong),
};

NSDK_UNIT_MAIN("lib/emu/nvme_options", tests, .before = nsdk_unit_log_start,
	       .after = nsdk_unit_log_stop)
