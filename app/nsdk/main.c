/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk: the command-line tool. Each subcommand is a file of its own; this is the process around it.
 */
#include <signal.h>

#include "tool.h"

int main(int argc, char **argv)
{
	/*
	 * A reader that goes away (`nsdk perf … | head`) must not end the process before devices were
	 * given back; the write fails instead.
	 */
	signal(SIGPIPE, SIG_IGN);
	tool_log_start();
	return tool_finish_stdout(tool_main(argc, argv));
}
