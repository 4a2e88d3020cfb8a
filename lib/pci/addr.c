/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI addresses: as text, and in order.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci_internal.h"

/* One hexadecimal field of 1 … max_digits digits up to @p end. @return what follows it, or NULL. */
static const char *parse_hex(const char *text, unsigned max_digits, char end, uint32_t *out)
{
	uint32_t value = 0;
	unsigned digits = 0;

	for (; isxdigit((unsigned char)*text) && digits < max_digits; text++, digits++) {
		char c = (char)tolower((unsigned char)*text);

		value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (digits == 0 || *text != end)
		return NULL;
	*out = value;
	return end == '\0' ? text : text + 1;
}

int nsdk_pci_addr_parse(const char *text, struct nsdk_pci_addr *out)
{
	uint32_t domain = 0, bus, dev, func;
	const char *first, *second;

	if (text == NULL)
		return -EINVAL;
	if (strncmp(text, "pci:", 4) == 0)
		text += 4;
	first = strchr(text, ':');
	second = first == NULL ? NULL : strchr(first + 1, ':');
	if (second != NULL) {
		text = parse_hex(text, 8, ':', &domain);
		if (text == NULL)
			return -EINVAL;
	}
	text = parse_hex(text, 2, ':', &bus);
	if (text != NULL)
		text = parse_hex(text, 2, '.', &dev);
	if (text != NULL)
		text = parse_hex(text, 1, '\0', &func);
	if (text == NULL || dev > 31 || func > 7)
		return -EINVAL;
	*out = (struct nsdk_pci_addr){ domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)func };
	return 0;
}

void nsdk_pci_addr_format(const struct nsdk_pci_addr *addr, char out[NSDK_PCI_ADDR_CHARS])
{
	snprintf(out, NSDK_PCI_ADDR_CHARS, "%04x:%02x:%02x.%x", addr->domain, addr->bus,
		 addr->dev & 0x1fu, addr->func & 0x7u);
}

int nsdk_pci_addr_compare(const struct nsdk_pci_addr *a, const struct nsdk_pci_addr *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if (a->bus != b->bus)
		return a->bus < b->bus ? -1 : 1;
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return (int)a->func - (int)b->func;
}
