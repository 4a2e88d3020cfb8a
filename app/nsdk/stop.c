/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGINT, SIGTERM and SIGHUP while a device is in use: they only leave a mark, and whoever does the
 * I/O looks for it. Devices are then given back the ordinary way.
 */
#include <signal.h>
#include <stdatomic.h>

#include "tool.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static atomic_uint requests;
static struct sigaction before[SIGNALS];

static void on_signal(int number)
{
	(void)number;
	atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
}

void tool_stop_install(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigemptyset(&action.sa_mask);
	atomic_store(&requests, 0);
	for (unsigned i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &before[i]);
		/*
		 * nohup wants SIGHUP ignored. A shell ignores SIGINT for what runs in the background,
		 * but one that is sent all the same is meant for us.
		 */
		if (signals[i] != SIGHUP || before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

void tool_stop_remove(void)
{
	for (unsigned i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
}

unsigned tool_stop_requests(void)
{
	return atomic_load_explicit(&requests, memory_order_relaxed);
}
