/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_spec.h>

#include "app/nsdk/identify.h"
#include "nsdk_unit.h"

static const struct identify_field *field(const struct identify_field *fields, const char *name)
{
	for (; fields->name != NULL; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

static const char *shown(const struct identify_field *fields, const char *name, const void *data)
{
	static char buf[300];
	const struct identify_field *found = field(fields, name);

	return found == NULL ? "no such field" : identify_format(found, data, buf, sizeof(buf));
}

/* Offsets by the specification's figures, which are not taken from the struct under test. */
static void controller_fields_are_where_the_specification_has_them(void)
{
	static const struct {
		const char *name;
		unsigned offset, bytes;
	} figure[] = {
		{ "vid", 0, 2 },     { "ssvid", 2, 2 },	   { "sn", 4, 20 },	{ "mn", 24, 40 },
		{ "fr", 64, 8 },     { "rab", 72, 1 },	   { "ieee", 73, 3 },	{ "cmic", 76, 1 },
		{ "mdts", 77, 1 },   { "cntlid", 78, 2 },  { "ver", 80, 4 },	{ "rtd3r", 84, 4 },
		{ "rtd3e", 88, 4 },  { "oaes", 92, 4 },	   { "ctratt", 96, 4 }, { "rrls", 100, 2 },
		{ "cntrltype", 111, 1 }, { "fguid", 112, 16 }, { "crdt1", 128, 2 }, { "mec", 255, 1 },
		{ "oacs", 256, 2 },  { "acl", 258, 1 },	   { "aerl", 259, 1 },	{ "frmw", 260, 1 },
		{ "lpa", 261, 1 },   { "elpe", 262, 1 },   { "npss", 263, 1 },	{ "wctemp", 266, 2 },
		{ "mtfa", 270, 2 },  { "hmpre", 272, 4 },  { "tnvmcap", 280, 16 }, { "rpmbs", 312, 4 },
		{ "kas", 320, 2 },   { "sanicap", 328, 4 }, { "nanagrpid", 348, 4 }, { "sqes", 512, 1 },
		{ "cqes", 513, 1 },  { "maxcmd", 514, 2 }, { "nn", 516, 4 },	{ "oncs", 520, 2 },
		{ "fuses", 522, 2 }, { "fna", 524, 1 },	   { "vwc", 525, 1 },	{ "awun", 526, 2 },
		{ "acwu", 532, 2 },  { "sgls", 536, 4 },   { "mnan", 540, 4 },	{ "subnqn", 768, 256 },
	};

	for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++) {
		const struct identify_field *found = field(identify_ctrl_fields, figure[i].name);

		CU_ASSERT_PTR_NOT_NULL_FATAL(found);
		NSDK_ASSERT_INT(found->offset, figure[i].offset);
		NSDK_ASSERT_INT(found->bytes, figure[i].bytes);
	}
}

static void namespace_fields_are_where_the_specification_has_them(void)
{
	static const struct {
		const char *name;
		unsigned offset, bytes;
	} figure[] = {
		{ "nsze", 0, 8 },    { "ncap", 8, 8 },	  { "nuse", 16, 8 },   { "nsfeat", 24, 1 },
		{ "nlbaf", 25, 1 },  { "flbas", 26, 1 },  { "mc", 27, 1 },     { "dpc", 28, 1 },
		{ "dps", 29, 1 },    { "nmic", 30, 1 },	  { "rescap", 31, 1 }, { "fpi", 32, 1 },
		{ "dlfeat", 33, 1 }, { "nawun", 34, 2 },  { "noiob", 46, 2 },  { "nvmcap", 48, 16 },
		{ "npwg", 64, 2 },   { "mssrl", 74, 2 },  { "mcl", 76, 4 },    { "anagrpid", 92, 4 },
		{ "nsattr", 99, 1 }, { "nguid", 104, 16 }, { "eui64", 120, 8 },
	};

	for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++) {
		const struct identify_field *found = field(identify_ns_fields, figure[i].name);

		CU_ASSERT_PTR_NOT_NULL_FATAL(found);
		NSDK_ASSERT_INT(found->offset, figure[i].offset);
		NSDK_ASSERT_INT(found->bytes, figure[i].bytes);
	}
}

static void names_are_used_once(void)
{
	for (const struct identify_field *f = identify_ctrl_fields; f->name != NULL; f++)
		CU_ASSERT_PTR_EQUAL(field(identify_ctrl_fields, f->name), f);
	for (const struct identify_field *f = identify_ns_fields; f->name != NULL; f++)
		CU_ASSERT_PTR_EQUAL(field(identify_ns_fields, f->name), f);
}

static void values_are_shown_as_what_they_are(void)
{
	static struct nsdk_nvme_id_ctrl ctrl;
	static struct nsdk_nvme_id_ns ns;

	memset(&ctrl, 0, sizeof(ctrl));
	memcpy(ctrl.sn, "S 123               ", 20);
	memset(ctrl.mn, ' ', 40);
	memcpy(ctrl.fr, "1.0\0junk", 8);
	memcpy(ctrl.subnqn, "nqn.x\x01\"", 7);
	ctrl.vid = 0x8086;
	ctrl.ieee[0] = 0x56;
	ctrl.ieee[1] = 0x34;
	ctrl.ieee[2] = 0x12;
	memset(ctrl.tnvmcap, 0xff, 16);
	ctrl.unvmcap[8] = 1;
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "sn", &ctrl), "S 123");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "mn", &ctrl), "");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "fr", &ctrl), "1.0");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "subnqn", &ctrl), "nqn.x?\"");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "vid", &ctrl), "32902");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "ieee", &ctrl), "1193046");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "tnvmcap", &ctrl),
			 "340282366920938463463374607431768211455");
	NSDK_ASSERT_TEXT(shown(identify_ctrl_fields, "unvmcap", &ctrl), "18446744073709551616");
	memset(&ns, 0, sizeof(ns));
	ns.nsze = UINT64_MAX;
	ns.eui64[0] = 0xab;
	ns.eui64[7] = 0x01;
	NSDK_ASSERT_TEXT(shown(identify_ns_fields, "nsze", &ns), "18446744073709551615");
	NSDK_ASSERT_TEXT(shown(identify_ns_fields, "eui64", &ns), "ab00000000000001");
}

static void json_has_them_all(void)
{
	static struct nsdk_nvme_id_ctrl ctrl;
	struct json_object *object = json_object_new_object();
	int fields = 0;

	memset(&ctrl, 0, sizeof(ctrl));
	ctrl.nn = 7;
	ctrl.tnvmcap[0] = 9;
	ctrl.unvmcap[15] = 1;
	memcpy(ctrl.mn, "model", 5);
	identify_json(object, identify_ctrl_fields, &ctrl);
	for (const struct identify_field *f = identify_ctrl_fields; f->name != NULL; f++, fields++)
		CU_ASSERT(json_object_object_get_ex(object, f->name, NULL));
	NSDK_ASSERT_INT(json_object_object_length(object), fields);
	NSDK_ASSERT_INT(json_object_get_int(json_object_object_get(object, "nn")), 7);
	CU_ASSERT(json_object_is_type(json_object_object_get(object, "nn"), json_type_int));
	/* A number where it fits one, its digits where it does not. */
	CU_ASSERT(json_object_is_type(json_object_object_get(object, "tnvmcap"), json_type_int));
	CU_ASSERT(json_object_is_type(json_object_object_get(object, "unvmcap"), json_type_string));
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(object, "mn")), "model");
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(controller_fields_are_where_the_specification_has_them),
	NSDK_UNIT_TEST(namespace_fields_are_where_the_specification_has_them),
	NSDK_UNIT_TEST(names_are_used_once),
	NSDK_UNIT_TEST(values_are_shown_as_what_they_are),
	NSDK_UNIT_TEST(json_has_them_all),
};

NSDK_UNIT_MAIN("app/nsdk/identify_fields", tests)
