/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The subcommands and how one is chosen.
 *
 * The tool is a thin user of the public API: everything it does a program of anybody's can do. A
 * subcommand is a struct tool_command; it gets its words as a program gets argv, and returns an
 * exit status: 0 done, 1 failed, 2 wrong usage. What went wrong has been said by then, in one
 * sentence on the standard error, by whoever found it (say.c). The standard output holds nothing
 * but the result, so that `--json` can be piped into a parser.
 */
#include <stdio.h>
#include <string.h>

#include <nsdk/version.h>

#include "tool.h"

const struct tool_command *const tool_commands[] = {
	&tool_doctor, &tool_list, &tool_bind, &tool_unbind, &tool_identify, &tool_nvme, &tool_perf,
	&tool_tune, NULL,
};

static void print_help(void)
{
	fputs("usage: nsdk COMMAND [OPTION]... [DEVICE]...\n"
	      "\n"
	      "User-space device drivers over Linux VFIO, with a no-snoop fast path.\n"
	      "\n"
	      "Commands:\n",
	      stdout);
	for (const struct tool_command *const *command = tool_commands; *command != NULL; command++)
		printf("  %-10s %s\n", (*command)->name, (*command)->summary);
	fputs("\n"
	      "A DEVICE is a PCI function, as 0000:00:03.0 or pci:0000:00:03.0, or a model in this\n"
	      "process, as emu:nvme or emu:nvme,size=1G,lba=4096,nosnoop=all ('nsdk perf --help' has\n"
	      "all its options).\n"
	      "\n"
	      "'nsdk COMMAND --help' explains a command. Every command takes --json[=FILE] for\n"
	      "programs, and --verbose to show what the library does.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage.\n"
	      "\n"
	      "Where nothing works yet, start with 'nsdk doctor'.\n",
	      stdout);
}

static const struct tool_command *find_command(const char *name)
{
	for (const struct tool_command *const *command = tool_commands; *command != NULL; command++)
		if (strcmp((*command)->name, name) == 0)
			return *command;
	return NULL;
}

int tool_main(int argc, char **argv)
{
	const struct tool_command *command;
	const char *word = argc > 1 ? argv[1] : NULL;

	if (word == NULL)
		return tool_usage(NULL, "a command is missing: doctor, list, bind, unbind, identify, "
					"nvme, perf or tune");
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		print_help();
		return TOOL_DONE;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
		printf("nsdk %s\n", nsdk_version());
		return TOOL_DONE;
	}
	if (strcmp(word, "help") == 0) {
		if (argc < 3) {
			print_help();
			return TOOL_DONE;
		}
		command = find_command(argv[2]);
		if (command == NULL)
			return tool_usage(NULL, "there is no command '%s'", argv[2]);
		fputs(command->help, stdout);
		return TOOL_DONE;
	}
	command = find_command(word);
	if (command == NULL)
		return tool_usage(NULL, "%s '%s'",
				  word[0] == '-' ? "unknown option" : "there is no command", word);
	return command->run(command, argc - 1, argv + 1);
}
