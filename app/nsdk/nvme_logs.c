/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: log pages.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "nvme.h"

#define OPTS(lid_) { .opts_bytes = sizeof(struct nsdk_nvme_log_opts), .lid = (lid_) }
#define NO_OPTIONS only_raw

static const struct nvme_option only_raw[] = { NVME_RAW_OPTION, NVME_END };

/* ---- smart-log ---- */

struct counter {
	const char *key;
	const char *text; /* with the tabs that nvme-cli aligns them with */
	uint16_t offset;
	uint8_t bytes;
	bool units; /* of 512000 bytes */
};
#define COUNTER(member, text)                                                                      \
	{ #member, text, offsetof(struct nsdk_nvme_smart_log, member),                             \
	  sizeof(((struct nsdk_nvme_smart_log *)0)->member), false }
#define UNITS(member, text)                                                                        \
	{ #member, text, offsetof(struct nsdk_nvme_smart_log, member), 16, true }

static const struct counter counters[] = {
	UNITS(data_units_read, "Data Units Read\t\t\t\t"),
	UNITS(data_units_written, "Data Units Written\t\t\t"),
	COUNTER(host_read_commands, "host_read_commands\t\t\t"),
	COUNTER(host_write_commands, "host_write_commands\t\t\t"),
	COUNTER(controller_busy_time, "controller_busy_time\t\t\t"),
	COUNTER(power_cycles, "power_cycles\t\t\t\t"),
	COUNTER(power_on_hours, "power_on_hours\t\t\t\t"),
	COUNTER(unsafe_shutdowns, "unsafe_shutdowns\t\t\t"),
	COUNTER(media_errors, "media_errors\t\t\t\t"),
	COUNTER(num_err_log_entries, "num_err_log_entries\t\t\t"),
	COUNTER(warning_temp_time, "Warning Temperature Time\t\t"),
	COUNTER(critical_comp_time, "Critical Composite Temperature Time\t"),
	{ NULL, NULL, 0, 0, false }, /* the sensors */
	COUNTER(thm_temp1_trans_count, "Thermal Management T1 Trans Count\t"),
	COUNTER(thm_temp2_trans_count, "Thermal Management T2 Trans Count\t"),
	COUNTER(thm_temp1_total_time, "Thermal Management T1 Total Time\t"),
	COUNTER(thm_temp2_total_time, "Thermal Management T2 Total Time\t"),
};
#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

static unsigned kelvin(const struct nsdk_nvme_smart_log *log)
{
	return log->temperature[0] | (unsigned)log->temperature[1] << 8;
}

static const void *counter_at(const struct nsdk_nvme_smart_log *log, const struct counter *counter)
{
	return (const char *)log + counter->offset;
}

static uint32_t counter_32(const struct nsdk_nvme_smart_log *log, const struct counter *counter)
{
	uint32_t value;

	memcpy(&value, counter_at(log, counter), sizeof(value));
	return value;
}

static struct json_object *json_smart(const struct nsdk_nvme_smart_log *log)
{
	struct json_object *object = json_object_new_object();
	char text[48];

	nvme_put(object, "critical_warning", log->critical_warning);
	nvme_put(object, "temperature", kelvin(log));
	nvme_put(object, "avail_spare", log->avail_spare);
	nvme_put(object, "spare_thresh", log->spare_thresh);
	nvme_put(object, "percent_used", log->percent_used);
	nvme_put(object, "endurance_grp_critical_warning_summary",
		 log->endurance_grp_critical_warning_summary);
	for (size_t i = 0; i < COUNTERS; i++) {
		const struct counter *counter = &counters[i];

		if (counter->key == NULL) {
			for (unsigned sensor = 0; sensor < 8; sensor++) {
				snprintf(text, sizeof(text), "temperature_sensor_%u", sensor + 1);
				if (log->temp_sensor[sensor])
					nvme_put(object, text, log->temp_sensor[sensor]);
			}
		} else if (counter->bytes == 16) {
			nvme_put_text(object, counter->key,
				      nvme_wide(counter_at(log, counter), text, sizeof(text)));
		} else {
			nvme_put(object, counter->key, counter_32(log, counter));
		}
	}
	return object;
}

static void print_counter(const struct nsdk_nvme_smart_log *log, const struct counter *counter)
{
	char text[48], si[32];
	uint64_t words[2];

	if (counter->bytes == 4) {
		printf("%s: %u\n", counter->text, counter_32(log, counter));
		return;
	}
	nvme_wide(counter_at(log, counter), text, sizeof(text));
	if (!counter->units) {
		printf("%s: %s\n", counter->text, text);
		return;
	}
	memcpy(words, counter_at(log, counter), sizeof(words));
	printf("%s: %s (%s)\n", counter->text, text,
	       nvme_si(((double)words[1] * 18446744073709551616.0 + (double)words[0]) * 512000, si,
		       sizeof(si)));
}

static void print_smart(const struct nvme_run *run, const struct nsdk_nvme_smart_log *log)
{
	printf("Smart Log for NVME device:%s namespace-id:%x\n", nvme_name(run),
	       nvme_nsid_or_all(run));
	printf("critical_warning\t\t\t: %#x\n", log->critical_warning);
	printf("temperature\t\t\t\t: %d\u00b0C (%u Kelvin)\n", (int)kelvin(log) - 273, kelvin(log));
	printf("available_spare\t\t\t\t: %u%%\n", log->avail_spare);
	printf("available_spare_threshold\t\t: %u%%\n", log->spare_thresh);
	printf("percentage_used\t\t\t\t: %u%%\n", log->percent_used);
	printf("endurance group critical warning summary: %#x\n",
	       log->endurance_grp_critical_warning_summary);
	for (size_t i = 0; i < COUNTERS; i++) {
		if (counters[i].key != NULL) {
			print_counter(log, &counters[i]);
			continue;
		}
		for (unsigned sensor = 0; sensor < 8; sensor++)
			if (log->temp_sensor[sensor])
				printf("Temperature Sensor %u           : %d\u00b0C (%u Kelvin)\n",
				       sensor + 1, (int)log->temp_sensor[sensor] - 273,
				       log->temp_sensor[sensor]);
	}
}

static int run_smart(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_SMART);
	struct nsdk_nvme_smart_log log;
	int status;

	opts.nsid = nvme_nsid_or_all(run);
	status = nvme_log(run, &opts, &log, sizeof(log));
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&log, sizeof(log));
	if (run->format == NVME_JSON)
		return nvme_show_json(run, json_smart(&log));
	print_smart(run, &log);
	return TOOL_DONE;
}

static const struct nvme_option smart_options[] = {
	NVME_NSID_OPTION("of this namespace [all]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_smart_log = {
	.name = "smart-log",
	.summary = "Show the SMART / health information log",
	.options = smart_options,
	.run = run_smart,
	.binary = true,
};

/* ---- error-log ---- */

static struct json_object *json_error(const struct nsdk_nvme_error_entry *error)
{
	struct json_object *object = json_object_new_object();

	nvme_put(object, "error_count", error->error_count);
	nvme_put(object, "sqid", error->sqid);
	nvme_put(object, "cmdid", error->cmdid);
	nvme_put(object, "status_field", error->status_field >> 1);
	nvme_put(object, "phase_tag", error->status_field & 1);
	nvme_put(object, "parm_error_location", error->parm_error_location);
	nvme_put(object, "lba", error->lba);
	nvme_put(object, "nsid", error->nsid);
	nvme_put(object, "vs", error->vs);
	nvme_put(object, "trtype", error->trtype);
	nvme_put(object, "cs", error->cs);
	nvme_put(object, "trtype_spec_info", error->trtype_spec_info);
	return object;
}

static const char *transport(uint8_t type)
{
	switch (type) {
	case 0:
		return "The transport type is not indicated or the error is not transport related.";
	case 1:
		return "RDMA Transport error.";
	case 2:
		return "Fibre Channel Transport error.";
	case 3:
		return "TCP Transport error.";
	case 254:
		return "Intra-host Transport error.";
	default:
		return "Reserved";
	}
}

static void print_error(unsigned index, const struct nsdk_nvme_error_entry *error)
{
	printf(" Entry[%2u]   \n.................\n", index);
	printf("error_count\t: %" PRIu64 "\n", error->error_count);
	printf("sqid\t\t: %d\n", error->sqid);
	printf("cmdid\t\t: %#x\n", error->cmdid);
	printf("status_field\t: %#x(%s)\n", error->status_field >> 1,
	       nsdk_nvme_status_text(error->status_field));
	printf("phase_tag\t: %#x\n", error->status_field & 1u);
	printf("parm_err_loc\t: %#x\n", error->parm_error_location);
	printf("lba\t\t: %#" PRIx64 "\n", error->lba);
	printf("nsid\t\t: %#x\n", error->nsid);
	printf("vs\t\t: %d\n", error->vs);
	printf("trtype\t\t: %s\n", transport(error->trtype));
	printf("cs\t\t: %#" PRIx64 "\n", error->cs);
	printf("trtype_spec_info: %#x\n", error->trtype_spec_info);
	printf(".................\n");
}

static int run_errors(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_ERROR);
	unsigned entries = nsdk_nvme_ctrlr_data(run->ctrlr)->elpe + 1u;
	struct nsdk_nvme_error_entry errors[256];
	struct json_object *object, *array;
	size_t bytes;
	int status;

	if (run->v.entries.given && run->v.entries.number < entries)
		entries = (unsigned)run->v.entries.number;
	bytes = entries * sizeof(errors[0]);
	opts.nsid = NSDK_NVME_NSID_ALL;
	status = nvme_log(run, &opts, errors, bytes);
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(errors, bytes);
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		for (unsigned i = 0; i < entries; i++)
			json_object_array_add(array, json_error(&errors[i]));
		json_object_object_add(object, "errors", array);
		return nvme_show_json(run, object);
	}
	printf("Error Log Entries for device:%s entries:%u\n.................\n", nvme_name(run),
	       entries);
	for (unsigned i = 0; i < entries; i++)
		print_error(i, &errors[i]);
	return TOOL_DONE;
}

static int check_errors(struct nvme_run *run)
{
	return run->v.entries.given && run->v.entries.number == 0 ?
		       nvme_usage(run, "--log-entries=0: at least one is wanted") : TOOL_DONE;
}

static const struct nvme_option error_options[] = {
	NVME_NUMBER_OPTION("log-entries", 'e', entries, 256, "so many [all there are]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_error_log = {
	.name = "error-log",
	.summary = "Show the error information log, the newest first",
	.options = error_options,
	.check = check_errors,
	.run = run_errors,
	.binary = true,
};

/* ---- fw-log ---- */

static const char *revision(const char *from, char *text)
{
	for (unsigned i = 0; i < 8; i++)
		text[i] = from[i] > 0x20 && from[i] < 0x7f ? from[i] : '.';
	text[8] = '\0';
	return text;
}

static int run_firmware(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_FIRMWARE_SLOT);
	struct json_object *object = NULL, *slots = NULL;
	struct nsdk_nvme_firmware_log log;
	int status;

	opts.nsid = NSDK_NVME_NSID_ALL;
	status = nvme_log(run, &opts, &log, sizeof(log));
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&log, sizeof(log));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		slots = json_object_new_object();
		nvme_put(slots, "Active Firmware Slot (afi)", log.afi);
	} else {
		printf("Firmware Log for device:%s\n", nvme_name(run));
		printf("afi  : %#x\n", log.afi);
	}
	for (unsigned i = 0; i < 7; i++) {
		char text[9], key[32], value[48];
		uint64_t number;

		memcpy(&number, log.frs[i], sizeof(number));
		if (number == 0)
			continue;
		revision(log.frs[i], text);
		if (slots != NULL) {
			snprintf(key, sizeof(key), "Firmware Rev Slot %u", i + 1);
			snprintf(value, sizeof(value), "%" PRIu64 " (%s)", number, text);
			nvme_put_text(slots, key, value);
		} else {
			printf("frs%u : %#016" PRIx64 " (%s)\n", i + 1, number, text);
		}
	}
	if (object == NULL)
		return TOOL_DONE;
	json_object_object_add(object, nvme_name(run), slots);
	return nvme_show_json(run, object);
}

const struct nvme_sub nvme_fw_log = {
	.name = "fw-log",
	.summary = "Show what firmware is in which slot",
	.options = NO_OPTIONS,
	.run = run_firmware,
	.binary = true,
};

/* ---- effects-log ---- */

static struct json_object *json_effects(unsigned csi, const struct nsdk_nvme_effects_log *log)
{
	struct json_object *object = json_object_new_object();
	struct json_object *admin = json_object_new_object();
	struct json_object *io = json_object_new_object();
	char key[80];

	nvme_put(object, "command_set_identifier", csi);
	for (unsigned i = 0; i < 256; i++) {
		if (log->acs[i]) {
			snprintf(key, sizeof(key), "ACS_%u (%s)", i,
				 nsdk_nvme_admin_opcode_name((uint8_t)i));
			nvme_put(admin, key, log->acs[i]);
		}
		if (log->iocs[i]) {
			snprintf(key, sizeof(key), "IOCS_%u (%s)", i,
				 nsdk_nvme_io_opcode_name((uint8_t)i));
			nvme_put(io, key, log->iocs[i]);
		}
	}
	json_object_object_add(object, "admin_cmd_set", admin);
	json_object_object_add(object, "io_cmd_set", io);
	return object;
}

static void print_effects(unsigned csi, const struct nsdk_nvme_effects_log *log)
{
	printf("%s Command Set Log Page\n", csi == 2 ? "ZNS" : csi == 0 ? "NVM" : "Unknown");
	printf("--------------------------------------------------------------------------------\n");
	printf("Admin Commands\n");
	for (unsigned i = 0; i < 256; i++)
		if (log->acs[i])
			printf("ACS%-6u[%-32s] %08x\n", i,
			       nsdk_nvme_admin_opcode_name((uint8_t)i), log->acs[i]);
	printf("\nI/O Commands\n");
	for (unsigned i = 0; i < 256; i++)
		if (log->iocs[i])
			printf("IOCS%-5u[%-32s] %08x\n", i, nsdk_nvme_io_opcode_name((uint8_t)i),
			       log->iocs[i]);
	printf("\n");
}

static int run_effects(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_COMMANDS);
	struct nsdk_nvme_effects_log log;
	struct json_object *array;
	int status;

	opts.nsid = NSDK_NVME_NSID_ALL;
	opts.csi = (uint8_t)run->v.csi.number;
	status = nvme_log(run, &opts, &log, sizeof(log));
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&log, sizeof(log));
	if (run->format != NVME_JSON) {
		print_effects(opts.csi, &log);
		return TOOL_DONE;
	}
	array = json_object_new_array();
	json_object_array_add(array, json_effects(opts.csi, &log));
	return nvme_show_json(run, array);
}

static const struct nvme_option effects_options[] = {
	NVME_NUMBER_OPTION("csi", 'c', csi, 255, "of this command set [0, NVM]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_effects_log = {
	.name = "effects-log",
	.summary = "Show the commands there are, and what they change",
	.options = effects_options,
	.run = run_effects,
	.binary = true,
};

/* ---- self-test-log ---- */

static void put_self_test(struct json_object *array, const struct nsdk_nvme_self_test_result *result)
{
	struct json_object *object = json_object_new_object();

	nvme_put(object, "Self test result", result->status & 0xf);
	if ((result->status & 0xf) != 0xf) {
		nvme_put(object, "Self test code", result->status >> 4);
		nvme_put(object, "Segment number", result->segment);
		nvme_put(object, "Valid Diagnostic Information", result->valid);
		nvme_put(object, "Power on hours", result->power_on_hours);
		if (result->valid & 1)
			nvme_put(object, "Namespace Identifier", result->nsid);
		if (result->valid & 2)
			nvme_put(object, "Failing LBA", result->failing_lba);
		if (result->valid & 4)
			nvme_put(object, "Status Code Type", result->status_code_type);
		if (result->valid & 8)
			nvme_put(object, "Status Code", result->status_code);
	}
	json_object_array_add(array, object);
}

static void print_self_test(unsigned index, const struct nsdk_nvme_self_test_result *result)
{
	printf("Self Test Result[%u]:\n", index);
	printf("  Operation Result             : %#x\n", result->status & 0xfu);
	if ((result->status & 0xf) == 0xf)
		return;
	printf("  Self Test Code               : %x\n", result->status >> 4);
	printf("  Valid Diagnostic Information : %#x\n", result->valid);
	printf("  Power on hours (POH)         : %#" PRIx64 "\n", result->power_on_hours);
	if (result->valid & 1)
		printf("  Namespace Identifier         : %#x\n", result->nsid);
	if (result->valid & 2)
		printf("  Failing LBA                  : %#" PRIx64 "\n", result->failing_lba);
	if (result->valid & 4)
		printf("  Status Code Type             : %#x\n", result->status_code_type);
	if (result->valid & 8)
		printf("  Status Code                  : %#x\n", result->status_code);
}

static int run_self_tests(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_SELF_TEST);
	unsigned entries = NSDK_NVME_SELF_TEST_RESULTS;
	struct nsdk_nvme_self_test_log log;
	struct json_object *object, *array;
	int status;

	if (run->v.entries.given)
		entries = (unsigned)run->v.entries.number;
	opts.nsid = NSDK_NVME_NSID_ALL;
	status = nvme_log(run, &opts, &log, sizeof(log));
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&log, sizeof(log));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "Current Device Self-Test Operation", log.current_operation & 0xf);
		nvme_put(object, "Current Device Self-Test Completion", log.completion & 0x7f);
		for (unsigned i = 0; i < entries; i++)
			put_self_test(array, &log.result[i]);
		json_object_object_add(object, "List of Valid Reports", array);
		return nvme_show_json(run, object);
	}
	printf("Device Self Test Log for NVME device:%s\n", nvme_name(run));
	printf("Current operation  : %#x\n", log.current_operation & 0xfu);
	printf("Current Completion : %u%%\n", log.completion & 0x7fu);
	for (unsigned i = 0; i < entries; i++)
		print_self_test(i, &log.result[i]);
	return TOOL_DONE;
}

static const struct nvme_option self_test_options[] = {
	NVME_NUMBER_OPTION("dst-entries", 'e', entries, NSDK_NVME_SELF_TEST_RESULTS,
			   "so many results [20]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_self_test_log = {
	.name = "self-test-log",
	.summary = "Show the results of self-tests, the newest first",
	.options = self_test_options,
	.run = run_self_tests,
	.binary = true,
};

/* ---- sanitize-log ---- */

static const char *sanitize_status(unsigned sstat)
{
	switch (sstat & 7) {
	case NSDK_NVME_SANITIZE_NEVER:
		return "NVM Subsystem has never been sanitized.";
	case NSDK_NVME_SANITIZE_DONE:
		return "Most Recent Sanitize Command Completed Successfully.";
	case NSDK_NVME_SANITIZE_RUNNING:
		return "Sanitize in Progress.";
	case NSDK_NVME_SANITIZE_FAILED:
		return "Most Recent Sanitize Command Failed.";
	default:
		return "Most Recent Sanitize Command (No-Deallocate) Completed Successfully.";
	}
}

static int run_sanitize_log(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS(NSDK_NVME_LOG_SANITIZE);
	struct nsdk_nvme_sanitize_log log;
	struct json_object *object;
	int status;

	opts.nsid = NSDK_NVME_NSID_ALL;
	status = nvme_log(run, &opts, &log, sizeof(log));
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&log, sizeof(log));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		nvme_put(object, "sprog", log.sprog);
		nvme_put(object, "sstat", log.sstat);
		nvme_put(object, "cdw10_info", log.scdw10);
		nvme_put(object, "time_over_write", log.estimate_overwrite);
		nvme_put(object, "time_block_erase", log.estimate_block_erase);
		nvme_put(object, "time_crypto_erase", log.estimate_crypto_erase);
		return nvme_show_json(run, object);
	}
	printf("Sanitize Progress                      (SPROG) :  %u (%.2f%%)\n", log.sprog,
	       (double)log.sprog * 100 / 65535);
	printf("Sanitize Status                        (SSTAT) :  %#x, %s\n", log.sstat,
	       sanitize_status(log.sstat));
	printf("Sanitize Command Dword 10 Information (SCDW10) :  %#x\n", log.scdw10);
	printf("Estimated Time For Overwrite                   :  %u\n", log.estimate_overwrite);
	printf("Estimated Time For Block Erase                 :  %u\n", log.estimate_block_erase);
	printf("Estimated Time For Crypto Erase                :  %u\n", log.estimate_crypto_erase);
	return TOOL_DONE;
}

const struct nvme_sub nvme_sanitize_log = {
	.name = "sanitize-log",
	.summary = "Show how far a sanitize operation is",
	.options = NO_OPTIONS,
	.run = run_sanitize_log,
	.binary = true,
};

/* ---- get-log ---- */

#define MAX_LOG_BYTES ((uint64_t)1 << 30)

static int check_get_log(struct nvme_run *run)
{
	/* The answer to an Asynchronous Event Request says which page in its bits 23:16. */
	if (run->v.aen.given) {
		run->v.lid.given = true;
		run->v.lid.number = run->v.aen.number >> 16 & 0xff;
	}
	if (!run->v.lid.given)
		return nvme_usage(run, "--log-id is missing");
	if (!run->v.length.given || run->v.length.number == 0)
		return nvme_usage(run, "--log-len is missing: how many bytes of it are wanted");
	if (run->v.offset.number % 4)
		return nvme_usage(run, "--lpo=%s: a multiple of 4 is wanted", run->v.offset.text);
	return TOOL_DONE;
}

static int run_get_log(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = OPTS((uint8_t)run->v.lid.number);
	size_t bytes = (size_t)run->v.length.number;
	uint8_t *data = malloc(bytes);
	int status;

	if (data == NULL) {
		tool_say("no memory for a log page of %zu bytes", bytes);
		return TOOL_FAILED;
	}
	opts.nsid = nvme_nsid_or_all(run);
	opts.lsp = (uint8_t)run->v.lsp.number;
	opts.lsi = (uint16_t)run->v.lsi.number;
	opts.csi = (uint8_t)run->v.csi.number;
	opts.uuid_index = (uint8_t)run->v.uuid_index.number;
	opts.retain_event = run->v.rae;
	opts.offset = run->v.offset.number;
	status = nvme_log(run, &opts, data, bytes);
	if (status == TOOL_DONE && nvme_wants_bytes(run)) {
		status = nvme_show_bytes(data, bytes);
	} else if (status == TOOL_DONE) {
		printf("Device:%s log-id:%u namespace-id:%#x\n", nvme_name(run), opts.lid, opts.nsid);
		nvme_show_hex(data, bytes);
	}
	free(data);
	return status;
}

static const struct nvme_option get_log_options[] = {
	NVME_NUMBER_OPTION("log-id", 'i', lid, 255, "log page identifier"),
	NVME_NUMBER_OPTION("log-len", 'l', length, MAX_LOG_BYTES, "bytes, any number"),
	NVME_NSID_OPTION("of this namespace [all]"),
	NVME_NUMBER_OPTION("lpo", 'o', offset, UINT64_MAX, "from this byte on [0]"),
	NVME_NUMBER_OPTION("lsp", 's', lsp, 127, "log specific parameter"),
	NVME_NUMBER_OPTION("lsi", 'S', lsi, 65535, "log specific identifier"),
	NVME_NUMBER_OPTION("csi", 'y', csi, 255, "command set identifier"),
	NVME_NUMBER_OPTION("uuid-index", 'U', uuid_index, 127, "UUID index"),
	NVME_NUMBER_OPTION("aen", 'a', aen, UINT32_MAX, "the answer of an event, instead of --log-id"),
	NVME_FLAG_OPTION("rae", 'r', rae, "leave the event that told of it as it is"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_get_log = {
	.name = "get-log",
	.summary = "Show any log page, as bytes",
	.options = get_log_options,
	.check = check_get_log,
	.run = run_get_log,
	.binary = true,
};
