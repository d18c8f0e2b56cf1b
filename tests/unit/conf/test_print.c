/* What print-config writes loads again to the same, and the reference, the samples and the rows agree. */
#include <stdio.h>
#include <string.h>

#include "suite.h"

#include "base/memory.h"
#include "conf/config.h"
#include "conf/schema.h"

/* Loads and prints; fails the test when the text is refused. */
static char *
print_of(const char *text)
{
	struct config_errors errors = {0};
	struct buffer out = {0};
	struct config *config = config_load_text("f", span_of(text), &errors);

	ck_assert_msg(config != NULL, "%s", buffer_text(&errors.text));
	config_print(config, &out);
	config_free(&config);
	return buffer_take_string(&out);
}

static void
expect_round_trip(const char *text)
{
	char *first = print_of(text);
	char *second = print_of(first);

	ck_assert_str_eq(first, second);
	memory_free(&first);
	memory_free(&second);
}

static char *
file_text(const char *name)
{
	struct buffer text = {0};
	FILE *file = fopen(name, "r");
	size_t got;

	ck_assert_msg(file != NULL, "%s", name);
	while ((got = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		buffer_added(&text, got);
	fclose(file);
	return buffer_take_string(&text);
}

START_TEST(samples_round_trip)
{
	static const char *const names[] = {"conf/minimal.yaml", "conf/demo.yaml", "conf/postern.yaml"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char *text = file_text(names[i]);

		expect_round_trip(text);
		memory_free(&text);
	}
}
END_TEST

#define FULL \
	"hostname: mx.example.org\ndomains: [example.org, bücher.example]\npostmaster: '\"odd local\"@example.org'\n" \
	"listen: ['*:25', '[::1]:2525']\nproxies: 3\nsandbox: log\ndata_directory: 'null'\n" \
	"backends:\n - {url: 'smtp://[2001:db8::1]:2525', domains: [example.org], return_path: always, priority: 7, max_connections: 3}\n" \
	" - 'lmtp+unix:///run/a b'\n - 'maildir:-x: #y'\n" \
	"trusted_relays: [10.0.0.0/8, '::/0']\nquarantine: \"maildir:/\\u202e\\\"q\\\\\"\nuser: ''\n" \
	"filters: [{spf: {fail: quarantine, engine: libspf2}}]\nauth_workers: 5\n" \
	"line_ends_exceptions: [192.0.2.1]\nstrict_addresses: on\nrecipient_cache: 0\nlimits: {hops: 3, message_size: 1000001, message_memory: 0}\n" \
	"timeouts: {backend_hold: 1001ms, drain: 0, data_total: 1d}\ndns: {servers: ['::1', 127.0.0.1@53]}\n" \
	"log: {format: json, to: 'file: \\U0001F600', level: alarm}\ntrace: {enabled: no}\n"

START_TEST(everything_round_trips)
{
	char *printed = print_of(FULL);

	expect_round_trip(FULL);
	ck_assert_ptr_nonnull(strstr(printed, "\nhop_limit: 3 "));
	ck_assert_ptr_nonnull(strstr(printed, "\nbackend_hold: 1001ms "));
	ck_assert_ptr_nonnull(strstr(printed, "\n  - 10.0.0.0/8\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n  - \"::/0\"\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n  - 192.0.2.1/32\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n  - \"bücher.example\"\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\nquarantine: \"maildir:/\\U0000202E\\\"q\\\\\" "));
	ck_assert_ptr_nonnull(strstr(printed, "\nuser: \"\" "));
	ck_assert_ptr_nonnull(strstr(printed, "\ndata_directory: \"null\" "));
	ck_assert_ptr_nonnull(strstr(printed, "\n  message_size: 1000001 "));
	ck_assert_ptr_nonnull(strstr(printed, "\n  enabled: false "));
	ck_assert_ptr_nonnull(strstr(printed, "\n  - spf:\n      fail: quarantine                      # the client may not send for the domain (default tag)\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n      engine: libspf2 "));
	ck_assert_ptr_nonnull(strstr(printed, "\nauth_workers: 5 "));
	memory_free(&printed);
}
END_TEST

START_TEST(comments_name_units_and_defaults)
{
	char *printed = print_of("hostname: a.b\ndomains: [c.d]\nbackends: ['maildir:m']\nproxies: 2\nlimits: {errors: 20}\n");

	ck_assert_ptr_nonnull(strstr(printed, "\nproxies: 2                                  # processes, auto = one for each core (default auto)\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n  errors: 20                                # 5xx answers in one session (default 10)\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n  message_size: 50M                         # bytes of one message\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\n#quarantine:                                # where quarantined messages go\n"));
	memory_free(&printed);
}
END_TEST

/* conf/postern.yaml is made by `postern print-config --reference > conf/postern.yaml`. */
START_TEST(reference_is_the_sample)
{
	struct buffer reference = {0};
	char *sample = file_text("conf/postern.yaml");

	config_print_reference(&reference);
	ck_assert_str_eq(buffer_text(&reference), sample);
	buffer_free(&reference);
	memory_free(&sample);
}
END_TEST

/* With every "#name: value" of the reference taken in, it must still load: examples and defaults are valid values. */
START_TEST(reference_loads_when_uncommented)
{
	struct buffer reference = {0};
	char *text;

	config_print_reference(&reference);
	text = buffer_take_string(&reference);
	for (char *line = text; line != NULL; line = strchr(line + 1, '\n')) {
		char *mark = line + strspn(line, "\n ");

		if (mark[0] == '#' && mark[1] != ' ')
			memmove(mark, mark + 1, strlen(mark));
	}
	expect_round_trip(text);
	memory_free(&text);
}
END_TEST

static void
check_rows(const struct schema_row *rows)
{
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		struct buffer printed = {0}, problem = {0};
		union {
			struct config config;
			struct config_backend backend;
			struct config_filter filter;
			char bytes[sizeof(struct config)];
		} field;

		ck_assert_msg(schema_find(rows, span_of(row->name)) == row, "two rows named %s", row->name);
		ck_assert_msg(row->alias_of != NULL || row->unit != NULL, "%s has no unit", row->name);
		ck_assert_msg(row->alias_of == NULL || schema_find(schema_rows, span_of(row->alias_of)) != NULL, "%s", row->name);
		if (row->rows != NULL)
			check_rows(row->rows);
		if (row->kind != SCHEMA_SCALAR || row->default_text == NULL)
			continue;
		memset(&field, 0, sizeof field);
		ck_assert_msg(row->type->parse(row, row->default_text, &field, &problem), "%s: %s", row->name, buffer_text(&problem));
		ck_assert(row->type->print(row, &field, &printed));
		ck_assert_str_eq(buffer_text(&printed), row->default_text); /* so that "(default ...)" is shown only for other values */
		if (row->type->clear != NULL)
			row->type->clear(&field);
		buffer_free(&printed);
	}
}

START_TEST(rows_are_sound)
{
	check_rows(schema_rows);
	for (const struct schema_filter *filter = schema_filters; filter->name != NULL; filter++) {
		ck_assert_ptr_eq(schema_filter_find(span_of(filter->name)), filter);
		ck_assert_ptr_nonnull(schema_find(filter->rows, span_of("on_error")));
		check_rows(filter->rows);
	}
}
END_TEST

START_TEST(suggestions)
{
	ck_assert_str_eq(schema_suggest(schema_rows, span_of("hostnmae")), "hostname");
	ck_assert_str_eq(schema_suggest(schema_rows, span_of("backend")), "backends");
	ck_assert_str_eq(schema_suggest(schema_rows, span_of("DNS")) == NULL ? "none" : "some", "none");
	ck_assert_ptr_null(schema_suggest(schema_rows, span_of("")));
	ck_assert_ptr_null(schema_suggest(schema_rows, span_of("completely_different")));
	ck_assert_ptr_null(schema_suggest(schema_rows, span_of("hostnamehostnamehostnamehostnamehostnamehostname")));
	ck_assert_str_eq(schema_section_of(span_of("hostname")), "");
	ck_assert_str_eq(schema_section_of(span_of("retention_days")), "trace");
	ck_assert_ptr_null(schema_section_of(span_of("nothing")));
}
END_TEST

SUITE_MAIN("config print", samples_round_trip, everything_round_trips, comments_name_units_and_defaults, reference_is_the_sample,
    reference_loads_when_uncommented, rows_are_sound, suggestions)
