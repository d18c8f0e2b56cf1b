/* Dominic Sayers' isemail suite against address_parse_mailbox. The suite is not ours and not in this repository: it is read from
 * $POSTERN_CORPORA/smtp/isemail (default ../shared/corpora), and without it there is nothing to test and one line says so. */
#include "suite.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "mail/address.h"

/* What each category of the suite means for us: RFC 5321 is the measure, RFC 5322 alone (comments, folding) is not enough. */
static const struct {
	const char *category;
	bool accepted;
} categories[] = {
	{"ISEMAIL_VALID_CATEGORY", true},
	{"ISEMAIL_DNSWARN", true}, /* syntax is fine; we ask no DNS here */
	{"ISEMAIL_RFC5321", true},
	{"ISEMAIL_CFWS", false},
	{"ISEMAIL_DEPREC", false},
	{"ISEMAIL_RFC5322", false},
	{"ISEMAIL_ERR", false},
};

/* Why we differ from the suite, where we do. */
#define TAG_NOT_LOOKED_UP "by the grammar a general literal; that its tag is not registered, the suite knows and we do not look up"
#define SINGLE_GROUP "RFC 5321 4.1.3: \"::\" stands for at least two groups; older files of the suite follow RFC 4291"

static const struct {
	const char *address;
	bool accepted;
	const char *reason;
} exceptions[] = {
	{"test@[1111:2222:3333:4444:5555:6666:7777:8888]", true, TAG_NOT_LOOKED_UP},
	{"first.last@[IPv5:::12.34.56.78]", true, TAG_NOT_LOOKED_UP},
	{"test@[IPv6:1111:2222:3333:4444:5555:6666::8888]", false, SINGLE_GROUP},
	{"first.last@[IPv6:1111:2222:3333::4444:5555:6666:7777]", false, SINGLE_GROUP},
	{"first.last@[IPv6:::a2:a3:a4:b1:b2:b3:b4]", false, SINGLE_GROUP},
	{"first.last@[IPv6:a1:a2:a3:a4:b1:b2:b3::]", false, SINGLE_GROUP},
	{"first.last@[IPv6:1111:2222:3333::4444:5555:12.34.56.78]", false, SINGLE_GROUP},
	{"first.last@[IPv6:::a2:a3:a4:b1:ffff:11.22.33.44]", false, SINGLE_GROUP},
	{"first.last@[IPv6:a1:a2:a3:a4:b1::11.22.33.44]", false, SINGLE_GROUP},
};

struct test_case {
	char *address;
	size_t address_length; /* NULs are possible */
	char *category;
};

static char *
file_read(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buffer text = {0};
	size_t count;

	ck_assert_msg(file != NULL, "%s cannot be read", path);
	do {
		count = fread(buffer_reserve(&text, 65536), 1, 65536, file);
		buffer_added(&text, count);
	} while (count > 0);
	fclose(file);
	return buffer_take_string(&text);
}

static void
append_utf8(struct buffer *out, unsigned long point)
{
	if (point < 0x80) {
		buffer_append_char(out, (char)point);
	} else if (point < 0x800) {
		buffer_append_char(out, (char)(0xc0 | point >> 6));
		buffer_append_char(out, (char)(0x80 | (point & 0x3f)));
	} else {
		buffer_append_char(out, (char)(0xe0 | point >> 12));
		buffer_append_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
		buffer_append_char(out, (char)(0x80 | (point & 0x3f)));
	}
}

/* XML entities; U+2400..U+241F and U+2421, the control pictures, stand for the controls that XML cannot hold. */
static void
append_entity(struct buffer *out, struct span name)
{
	static const struct {
		const char *name;
		char byte;
	} named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

	for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
		if (span_is(name, named[i].name)) {
			buffer_append_char(out, named[i].byte);
			return;
		}
	ck_assert_msg(name.length > 1 && name.at[0] == '#', "unknown entity %.*s", (int)name.length, name.at);
	bool hexadecimal = name.at[1] == 'x';
	unsigned long point = strtoul(name.at + (hexadecimal ? 2 : 1), NULL, hexadecimal ? 16 : 10);
	ck_assert_uint_lt(point, 0x10000);
	if (point >= 0x2400 && point < 0x2420)
		point -= 0x2400;
	else if (point == 0x2421)
		point = 0x7f;
	append_utf8(out, point);
}

/* The decoded text of <name>...</name> between `from` and `to`; "" for <name/> or none. */
static char *
element_text(const char *from, const char *to, const char *name, size_t *length)
{
	struct buffer text = {0};
	char open[32], close[32];

	snprintf(open, sizeof open, "<%s>", name);
	snprintf(close, sizeof close, "</%s>", name);
	const char *start = strstr(from, open);
	const char *end = start == NULL || start >= to ? NULL : strstr(start, close);
	for (const char *at = end == NULL ? NULL : start + strlen(open); at != NULL && at < end; at++) {
		const char *semicolon = *at == '&' ? strchr(at, ';') : NULL;
		if (semicolon == NULL) {
			buffer_append_char(&text, *at);
			continue;
		}
		append_entity(&text, span_make(at + 1, (size_t)(semicolon - at - 1)));
		at = semicolon;
	}
	*length = text.length;
	return buffer_take_string(&text);
}

static bool
expectation(const struct test_case *test)
{
	for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
		if (strcmp(test->address, exceptions[i].address) == 0)
			return exceptions[i].accepted;
	for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
		if (strcmp(test->category, categories[i].category) == 0)
			return categories[i].accepted;
	ck_abort_msg("%s: unknown category %s", test->address, test->category);
}

/* 0 or 1: all differences are shown before the test fails. */
static size_t
case_run(const struct test_case *test)
{
	struct address address;
	enum address_error error = address_parse_mailbox(span_make(test->address, test->address_length), true, &address);

	address_clear(&address);
	if ((error == ADDRESS_OK) == expectation(test))
		return 0;
	printf("differs: %s (%s): %s\n", test->address, test->category, address_error_text(error));
	return 1;
}

static size_t
file_run(const char *path, size_t *differences)
{
	char *text = file_read(path);
	size_t count = 0;

	for (const char *from = strstr(text, "<test id="); from != NULL; count++) {
		const char *to = strstr(from, "</test>");
		size_t length;
		ck_assert_msg(to != NULL, "%s is cut off", path);
		struct test_case test = {.category = element_text(from, to, "category", &length)};
		test.address = element_text(from, to, "address", &test.address_length);
		*differences += case_run(&test);
		memory_free(&test.address);
		memory_free(&test.category);
		from = strstr(to, "<test id=");
	}
	memory_free(&text);
	return count;
}

START_TEST(isemail)
{
	const char *corpora = getenv("POSTERN_CORPORA");
	char *pattern = memory_format("%s/smtp/isemail/*.xml", corpora != NULL ? corpora : "../shared/corpora");
	size_t count = 0, differences = 0;
	glob_t files;

	if (glob(pattern, 0, NULL, &files) != 0) {
		printf("mail/address_corpus: SKIPPED, no isemail test suite: %s\n", pattern);
		memory_free(&pattern);
		return;
	}
	for (size_t i = 0; i < files.gl_pathc; i++)
		count += file_run(files.gl_pathv[i], &differences);
	printf("mail/address_corpus: %zu addresses, %zu differ\n", count, differences);
	fflush(stdout); /* a failing check ends the process without it */
	ck_assert_msg(count > 0, "no test in %s", pattern);
	ck_assert_uint_eq(differences, 0);
	globfree(&files);
	memory_free(&pattern);
}
END_TEST

SUITE_MAIN("mail/address_corpus", isemail)
