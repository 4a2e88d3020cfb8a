/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that lies: the NVMe model of lib/emu behind the emulated bus, as "emu:liar,OPTIONS", whose
 * registers, Identify data, completions and moments are changed as a list of lies says.
 *
 * What the driver tells it is believed and checked: each command's payload has to lie inside of
 * memory that the host program says is its. What the model itself then does stays within that, or the
 * access is refused as an IOMMU would.
 */
#ifndef NSDK_FUZZ_LIAR_H
#define NSDK_FUZZ_LIAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a lie is told about; the last word is how many there are. */
enum liar_event {
	LIAR_REGISTER,   /* a register is read */
	LIAR_CONFIG,     /* config space is read */
	LIAR_COMPLETION, /* a completion is written */
	LIAR_DATA,       /* data of an admin command is written: Identify, log pages */
	LIAR_COMMAND,    /* an I/O command's data moves */
	LIAR_TURN,       /* the model gets a turn */
	LIAR_EVENTS,
};

/* As it stands in the input. */
struct liar_lie {
	uint8_t event; /* enum liar_event, and from bit 4 on how */
	uint8_t skip;  /* so many of these events are honest before */
	uint8_t value[6];
};

/* What the host program knows and the device asks about. */
struct liar_host {
	/* Bytes of a block as the driver has it, of a namespace; 0: the driver does no I/O there. */
	uint32_t (*block_bytes)(uint32_t nsid);
	/* Whether [va, va + bytes) is in the payload of I/O of this kind under way. */
	bool (*owns)(const void *va, size_t bytes, bool device_writes);
	/* The device has written there. */
	void (*wrote)(void *va, const void *from, size_t bytes);
};

/* Forgets everything. */
void liar_reset(const struct liar_lie *lies, unsigned count, const struct liar_host *host);

/* It said what only a look at everything it ever said could refute, so what it did to memory since
 * then is not the driver's to answer for. */
bool liar_misled(void);

/* The next moment of the clock: faster and faster while nothing happens, so that waits end. */
uint64_t liar_clock_ns(void);

/* Says why, and ends the process: a bug has been found. */
void liar_found(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
