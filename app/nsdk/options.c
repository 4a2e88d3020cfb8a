/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options: getopt_long() finds them, this reads their values and says what is wrong with them.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

void tool_args_init(struct tool_args *args, const struct tool_command *command,
		    const struct option *options, int argc, char **argv)
{
	*args = (struct tool_args){
		.command = command,
		.options = options,
		.argc = argc,
		.argv = argv,
		.status = TOOL_DONE,
	};
	optind = 0; /* glibc: start afresh, permutation included */
	opterr = 0; /* the one sentence is ours */
}

static const struct option *find_option(const struct tool_args *args, int val)
{
	for (const struct option *opt = args->options; opt->name != NULL; opt++)
		if (opt->val == val)
			return opt;
	return NULL;
}

static int refuse(struct tool_args *args, int what, const char *word)
{
	const struct option *opt = optopt != 0 ? find_option(args, optopt) : NULL;
	size_t length = strcspn(word, "=");

	args->status = TOOL_USAGE;
	if (what == ':' && opt != NULL)
		tool_usage(args->command, "--%s wants a value", opt->name);
	else if (opt != NULL && strncmp(word, "--", 2) == 0)
		tool_usage(args->command, "--%s takes no value", opt->name);
	else if (strncmp(word, "--", 2) != 0 && optopt != 0)
		tool_usage(args->command, "unknown option '-%c'", optopt);
	else
		tool_usage(args->command, "unknown option '%.*s'", (int)length, word);
	return TOOL_OPT_STOP;
}

int tool_args_next(struct tool_args *args)
{
	for (;;) {
		int before = optind == 0 ? 1 : optind;
		int val;

		optopt = 0;
		val = getopt_long(args->argc, args->argv, ":hv", args->options, NULL);
		switch (val) {
		case -1:
			return TOOL_OPT_END;
		case 'h':
			fputs(args->command->help, stdout);
			args->status = TOOL_DONE;
			return TOOL_OPT_STOP;
		case 'v':
			tool_log_verbose();
			break;
		case 'j':
			args->json = true;
			args->json_file = optarg;
			if (optarg != NULL && optarg[0] == '\0') {
				args->status = tool_usage(args->command,
							  "--json= wants a file name, or no '='");
				return TOOL_OPT_STOP;
			}
			break;
		case '?':
		case ':':
			/* The word at fault is the last one taken, unless letters follow in it. */
			return refuse(args, val,
				      args->argv[optind > before ? optind - 1 : before]);
		default:
			return val;
		}
	}
}

/* Digits of a whole number; *end is what follows. */
static int parse_digits(const char *text, const char **end, uint64_t *out)
{
	char *stop;
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	/* strtoull() takes blanks and signs, which are nothing to us. */
	if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &stop, hex ? 16 : 10);
	*end = stop;
	return errno == ERANGE ? -ERANGE : 0;
}

int tool_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;
	uint64_t value;
	int rc = parse_digits(text, &end, &value);

	if (rc != 0 && rc != -ERANGE)
		return rc;
	if (*end != '\0')
		return -EINVAL;
	if (rc != 0 || value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

int tool_parse_bytes(const char *text, uint64_t *out)
{
	static const char suffixes[] = "kmgtp";
	const char *end, *suffix;
	unsigned shift = 0;
	uint64_t value;
	int rc = parse_digits(text, &end, &value);

	if (rc != 0)
		return rc;
	if (*end != '\0' && (suffix = strchr(suffixes, tolower((unsigned char)*end))) != NULL) {
		shift = 10 * (unsigned)(suffix - suffixes + 1);
		end++;
	}
	/* "4kb" is fio's too; "4ki" is 4000 bytes there, which nobody expects, so it is not taken. */
	if (tolower((unsigned char)*end) == 'b')
		end++;
	if (*end != '\0')
		return -EINVAL;
	if (shift != 0 && value > UINT64_MAX >> shift)
		return -ERANGE;
	*out = value << shift;
	return 0;
}

int tool_parse_duration(const char *text, uint64_t *out_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", 1000000000 },		{ "s", 1000000000 },
		{ "ms", 1000000 },		{ "us", 1000 },
		{ "m", 60 * 1000000000ULL },	{ "h", 3600 * 1000000000ULL },
		{ "d", 86400 * 1000000000ULL },
	};
	const char *end;
	uint64_t value;
	int rc = parse_digits(text, &end, &value);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(end, units[i].name) != 0)
			continue;
		if (value > UINT64_MAX / 4 / units[i].ns)
			return -ERANGE;
		*out_ns = value * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

int tool_parse_time(const struct tool_command *command, const char *option, const char *text,
		    uint64_t *out_ns)
{
	if (tool_parse_duration(text, out_ns) == 0 && *out_ns != 0)
		return TOOL_DONE;
	return tool_usage(command,
			  "--%s=%s: a time above 0 is wanted, in seconds or with us, ms, s, m, h or d",
			  option, text);
}

int tool_parse_cpus(const struct tool_command *command, const char *option, const char *text,
		    nsdk_cpumask_t *out)
{
	int rc;

	/* Our sentence names the option; the library's could not. */
	tool_log_capture_begin();
	rc = nsdk_cpumask_parse(text, out);
	tool_log_capture_end(NULL, 0);
	if (rc != 0)
		return tool_usage(command, "--%s=%s: a CPU list is wanted, as 0 or 0,2-3", option, text);
	return TOOL_DONE;
}

int tool_parse_amount(const char *text, struct tool_amount *out)
{
	struct tool_amount amount = { .given = true };
	const char *end;
	int rc = parse_digits(text, &end, &amount.value);

	if (rc != 0)
		return rc;
	if (strcmp(end, "%") == 0) {
		if (amount.value > 100)
			return -ERANGE;
		amount.is_percent = true;
	} else {
		rc = tool_parse_bytes(text, &amount.value);
		if (rc != 0)
			return rc;
	}
	*out = amount;
	return 0;
}

uint64_t tool_amount_of(const struct tool_amount *amount, uint64_t whole)
{
	if (!amount->is_percent)
		return amount->value;
	return (uint64_t)((unsigned __int128)whole * amount->value / 100);
}

bool tool_is_device(const char *text)
{
	struct nsdk_pci_addr addr;

	if (strncmp(text, "emu:", 4) == 0)
		return text[4] != '\0';
	return nsdk_pci_addr_parse(text, &addr) == 0;
}

int tool_parse_pci(const struct tool_command *command, const char *text, struct nsdk_pci_addr *out)
{
	if (nsdk_pci_addr_parse(text, out) == 0)
		return 0;
	return tool_usage(command, "'%s' is not a PCI address such as 0000:00:03.0", text);
}
