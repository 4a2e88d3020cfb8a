/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fields of Identify Controller (Base 5.17.2.1, figure 275) and Identify Namespace (NVM 4.1.5.1,
 * figure 97), and how one is shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_spec.h>

#include "identify.h"

#define FIELD(type, member, kind_, text_)                                                          \
	{ #member, offsetof(struct type, member), sizeof(((struct type *)0)->member), kind_, text_ }
#define C(member, text) FIELD(nsdk_nvme_id_ctrl, member, IDENTIFY_NUMBER, text)
#define CK(member, kind, text) FIELD(nsdk_nvme_id_ctrl, member, kind, text)
#define N(member, text) FIELD(nsdk_nvme_id_ns, member, IDENTIFY_NUMBER, text)
#define NK(member, kind, text) FIELD(nsdk_nvme_id_ns, member, kind, text)

const struct identify_field identify_ctrl_fields[] = {
	C(vid, "PCI vendor"),
	C(ssvid, "PCI subsystem vendor"),
	CK(sn, IDENTIFY_TEXT, "serial number"),
	CK(mn, IDENTIFY_TEXT, "model number"),
	CK(fr, IDENTIFY_TEXT, "firmware revision"),
	C(rab, NULL),
	C(ieee, NULL),
	C(cmic, NULL),
	C(mdts, "largest transfer, as a power of two of pages"),
	C(cntlid, "controller ID"),
	C(ver, "version"),
	C(rtd3r, NULL),
	C(rtd3e, NULL),
	C(oaes, NULL),
	C(ctratt, NULL),
	C(rrls, NULL),
	C(cntrltype, NULL),
	CK(fguid, IDENTIFY_HEX, NULL),
	C(crdt1, NULL),
	C(crdt2, NULL),
	C(crdt3, NULL),
	C(nvmsr, NULL),
	C(vwci, NULL),
	C(mec, NULL),
	C(oacs, "optional admin commands"),
	C(acl, NULL),
	C(aerl, NULL),
	C(frmw, NULL),
	C(lpa, NULL),
	C(elpe, NULL),
	C(npss, NULL),
	C(avscc, NULL),
	C(apsta, NULL),
	C(wctemp, NULL),
	C(cctemp, NULL),
	C(mtfa, NULL),
	C(hmpre, NULL),
	C(hmmin, NULL),
	CK(tnvmcap, IDENTIFY_WIDE, NULL),
	CK(unvmcap, IDENTIFY_WIDE, NULL),
	C(rpmbs, NULL),
	C(edstt, NULL),
	C(dsto, NULL),
	C(fwug, NULL),
	C(kas, NULL),
	C(hctma, NULL),
	C(mntmt, NULL),
	C(mxtmt, NULL),
	C(sanicap, NULL),
	C(hmminds, NULL),
	C(hmmaxd, NULL),
	C(nsetidmax, NULL),
	C(endgidmax, NULL),
	C(anatt, NULL),
	C(anacap, NULL),
	C(anagrpmax, NULL),
	C(nanagrpid, NULL),
	C(pels, NULL),
	{ "domainid", offsetof(struct nsdk_nvme_id_ctrl, domain_id), 2, IDENTIFY_NUMBER, NULL },
	CK(megcap, IDENTIFY_WIDE, NULL),
	C(sqes, "submission queue entry sizes"),
	C(cqes, "completion queue entry sizes"),
	C(maxcmd, NULL),
	C(nn, "most namespaces"),
	C(oncs, "optional NVM commands"),
	C(fuses, NULL),
	C(fna, NULL),
	C(vwc, "volatile write cache"),
	C(awun, NULL),
	C(awupf, NULL),
	C(icsvscc, NULL),
	C(nwpc, NULL),
	C(acwu, NULL),
	C(ocfs, NULL),
	C(sgls, NULL),
	C(mnan, NULL),
	CK(maxdna, IDENTIFY_WIDE, NULL),
	C(maxcna, NULL),
	CK(subnqn, IDENTIFY_TEXT, "subsystem"),
	{ NULL, 0, 0, IDENTIFY_NUMBER, NULL },
};

const struct identify_field identify_ns_fields[] = {
	N(nsze, "size in blocks"),
	N(ncap, "capacity in blocks"),
	N(nuse, "blocks in use"),
	N(nsfeat, NULL),
	N(nlbaf, NULL),
	N(flbas, NULL),
	N(mc, NULL),
	N(dpc, NULL),
	N(dps, NULL),
	N(nmic, NULL),
	N(rescap, NULL),
	N(fpi, NULL),
	N(dlfeat, NULL),
	N(nawun, NULL),
	N(nawupf, NULL),
	N(nacwu, NULL),
	N(nabsn, NULL),
	N(nabo, NULL),
	N(nabspf, NULL),
	N(noiob, NULL),
	NK(nvmcap, IDENTIFY_WIDE, NULL),
	N(npwg, NULL),
	N(npwa, NULL),
	N(npdg, NULL),
	N(npda, NULL),
	N(nows, NULL),
	N(mssrl, NULL),
	N(mcl, NULL),
	N(msrc, NULL),
	N(anagrpid, NULL),
	N(nsattr, NULL),
	N(nvmsetid, NULL),
	N(endgid, NULL),
	NK(nguid, IDENTIFY_HEX, "NGUID"),
	NK(eui64, IDENTIFY_HEX, "EUI-64"),
	{ NULL, 0, 0, IDENTIFY_NUMBER, NULL },
};

static uint64_t read_le(const uint8_t *data, size_t bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | data[bytes];
	return value;
}

static void format_wide(const uint8_t *data, char *buf, size_t buf_bytes)
{
	unsigned __int128 value = (unsigned __int128)read_le(data + 8, 8) << 64 | read_le(data, 8);
	char digits[40];
	size_t n = sizeof(digits);

	digits[--n] = '\0';
	do {
		digits[--n] = (char)('0' + (int)(value % 10));
		value /= 10;
	} while (value != 0);
	snprintf(buf, buf_bytes, "%s", digits + n);
}

/* Devices pad with blanks, some with NULs; what is not printable has no place in JSON or a table. */
static void format_text(const uint8_t *data, size_t bytes, char *buf, size_t buf_bytes)
{
	size_t length = 0;

	for (size_t i = 0; i < bytes && data[i] != '\0' && length + 1 < buf_bytes; i++)
		buf[length++] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '?';
	while (length > 0 && buf[length - 1] == ' ')
		length--;
	buf[length] = '\0';
}

const char *identify_format(const struct identify_field *field, const void *data, char *buf,
			    size_t buf_bytes)
{
	const uint8_t *bytes = (const uint8_t *)data + field->offset;

	switch (field->kind) {
	case IDENTIFY_NUMBER:
		snprintf(buf, buf_bytes, "%" PRIu64, read_le(bytes, field->bytes));
		break;
	case IDENTIFY_WIDE:
		format_wide(bytes, buf, buf_bytes);
		break;
	case IDENTIFY_TEXT:
		format_text(bytes, field->bytes, buf, buf_bytes);
		break;
	case IDENTIFY_HEX:
		buf[0] = '\0';
		for (size_t i = 0; i < field->bytes && 2 * i + 2 < buf_bytes; i++)
			snprintf(buf + 2 * i, buf_bytes - 2 * i, "%02x", bytes[i]);
		break;
	}
	return buf;
}

void identify_json(struct json_object *object, const struct identify_field *fields,
		   const void *data)
{
	char text[300];

	for (const struct identify_field *field = fields; field->name != NULL; field++) {
		const uint8_t *bytes = (const uint8_t *)data + field->offset;
		struct json_object *value;

		if (field->kind == IDENTIFY_NUMBER ||
		    (field->kind == IDENTIFY_WIDE && read_le(bytes + 8, 8) == 0))
			value = json_object_new_uint64(
				read_le(bytes, field->bytes > 8 ? 8 : field->bytes));
		else
			value = json_object_new_string(
				identify_format(field, data, text, sizeof(text)));
		json_object_object_add(object, field->name, value);
	}
}

void identify_print(const struct identify_field *fields, const void *data, const char *indent)
{
	char text[300];

	for (const struct identify_field *field = fields; field->name != NULL; field++) {
		if (field->text == NULL)
			continue;
		identify_format(field, data, text, sizeof(text));
		printf("%s%-8s %-40s %s\n", indent, field->name, text, field->text);
	}
}
