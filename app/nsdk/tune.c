/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk tune: measure once what the library then goes by.
 *
 * `tune flush` fills the profile's tables, by which the no-snoop engine plans its flushes; `tune
 * device` records for one device whether no-snoop was worth it, which policy `auto` follows. The
 * measuring of flushes is the library's (nsdk/tune.h); here are the words, the table and the picture.
 *
 *	tune_opts.c     the words
 *	tune_flush.c    tune flush, with --check
 *	tune_device.c   tune device
 *	tune_report.c   for people; tune_json.c: for programs; tune_plot.c: the picture
 */
#include <stdio.h>
#include <string.h>

#include "tune.h"

static const char tune_help[] =
	"usage: nsdk tune flush [OPTION]...\n"
	"       nsdk tune device DEVICE [OPTION]...\n"
	"\n"
	"Measure this machine, and write what comes out into the flush profile, a JSON file that the\n"
	"library reads from then on (on the same CPU): what cleaning cache lines costs, and with\n"
	"'device', whether no-snoop is worth it for that device. Without a profile all works, with\n"
	"cautious defaults. Measure while the machine is quiet.\n"
	"\n"
	"nsdk tune flush:\n"
	"  --cpus=LIST         CPUs that will submit I/O, as 0,2-3; each is measured [this one]\n"
	"  --flush-cpus=LIST   CPUs that will do nothing but help to flush [none]\n"
	"  --sizes=LIST        sizes to measure, rising, as 4k,64k,1m [4k, 8k, ... 64m]\n"
	"  --wbinvd=kvm        measure whole-cache write-backs too, on the CPUs of --cpus, with\n"
	"  --device=DEVICE     as the proof that KVM wants; they disturb the whole machine\n"
	"  --quick             fewer repetitions: a second instead of half a minute\n"
	"  --plot=FILE.svg     draw cost against size, with gnuplot\n"
	"  --check             measure nothing for the profile; compare what the planner chooses at\n"
	"                      each size, by the profile there is, with every alternative\n"
	"\n"
	"nsdk tune device:     random reads, by turns coherent and no-snoop; nothing is written\n"
	"  --bs=LIST           block sizes, rising [4k,16k,64k,128k]\n"
	"  --iodepth=N         I/Os in flight [32]\n"
	"  --rounds=N          of each policy; medians are compared [5]\n"
	"  --runtime=TIME      of each block size in each round [0.2 s, written as 200ms]\n"
	"  --ns=N              namespace [the first]\n"
	"  --quick             3 rounds of 20ms\n"
	"\n"
	"Both:\n"
	"  --output=FILE       the profile; what else is in it is kept [$NSDK_PROFILE, else\n"
	"                      $XDG_CONFIG_HOME/nsdk/flush-profile.json, ~/.config for short]\n"
	"  --json[=FILE]       the result for programs, to the standard output or to FILE\n"
	"  --verbose, --help\n"
	"\n"
	"The library looks for the profile in $NSDK_PROFILE, then under $XDG_CONFIG_HOME (~/.config),\n"
	"then at /etc/nsdk/flush-profile.json; NSDK_PROFILE= (empty) makes it look nowhere.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  nsdk tune flush --cpus=2-3 --flush-cpus=4,5 --plot=flush.svg\n"
	"  nsdk tune flush --check --cpus=2 --flush-cpus=4,5 --json\n"
	"  nsdk tune device 0000:03:00.0\n";

static int tune_main(const struct tool_command *self, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	struct tune_opts opts;
	bool stop;
	int status;

	if (word == NULL)
		return tool_usage(self, "what to tune is missing: flush or device");
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		fputs(self->help, stdout);
		return TOOL_DONE;
	}
	if (strcmp(word, "flush") == 0) {
		status = tune_flush_opts_parse(self, argc - 1, argv + 1, &opts, &stop);
		if (status != TOOL_DONE || stop)
			return status;
		return opts.check ? tune_check(&opts) : tune_flush(&opts);
	}
	if (strcmp(word, "device") == 0) {
		status = tune_device_opts_parse(self, argc - 1, argv + 1, &opts, &stop);
		return status != TOOL_DONE || stop ? status : tune_device(&opts);
	}
	return tool_usage(self, "'%s' cannot be tuned: flush or device is wanted", word);
}

const struct tool_command tool_tune = {
	.name = "tune",
	.summary = "measure what flushing costs here, and whether no-snoop pays",
	.help = tune_help,
	.run = tune_main,
};
