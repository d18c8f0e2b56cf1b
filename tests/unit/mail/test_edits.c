/* Lists of edits, their frames, and the check that each of them passes. */
#include "suite.h"

#include <string.h>

#include "base/memory.h"
#include "mail/edits.h"
#include "mail/edits_check.h"

static const struct edit_rules strict = {0};
static const struct edit_rules utf8 = {.smtputf8 = true};

static void
fill(struct edit_list *list)
{
	edit_list_add_header(list, "spam", "X-Spam", "yes");
	edit_list_insert_header(list, "spam", 3, "X-Top", "a\n b");
	edit_list_change_header(list, "subject", "Subject", 1, "new");
	edit_list_delete_header(list, "subject", "X-Old", 2);
	edit_list_add_recipient(list, "copy", "<archive@example.org>", "NOTIFY=NEVER");
	edit_list_delete_recipient(list, "copy", "user@example.org");
	edit_list_change_sender(list, "srs", "<>", NULL);
	edit_list_replace_body(list, "footer", span_of("one\n"));
	edit_list_append_body(list, span_of("two"));
}

static void
check_equal(const struct edit_list *a, const struct edit_list *b)
{
	struct buffer first = {0}, second = {0};

	edit_list_encode(a, &first);
	edit_list_encode(b, &second);
	ck_assert_uint_eq(a->text_bytes, b->text_bytes);
	ck_assert_uint_eq(a->body_bytes, b->body_bytes);
	ck_assert_uint_eq(first.length, second.length);
	ck_assert_mem_eq(first.data, second.data, first.length);
	buffer_free(&first);
	buffer_free(&second);
}

START_TEST(frames)
{
	struct edit_list list = {0}, copy;
	struct buffer payload = {0};
	struct frame_reader reader;

	fill(&list);
	ck_assert_uint_eq(list.count, 8);
	edit_list_encode(&list, &payload);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert(edit_list_decode(&reader, &copy));
	ck_assert(frame_reader_finish(&reader));
	check_equal(&list, &copy);
	ck_assert_str_eq(copy.edits[4].parameters, "NOTIFY=NEVER");
	ck_assert_ptr_null(copy.edits[3].value);
	ck_assert_uint_eq(copy.edits[7].body.length, 7);
	edit_list_clear(&copy);
	/* Cut anywhere: never a list. */
	for (size_t cut = 0; cut < payload.length; cut++) {
		frame_reader_init(&reader, payload.data, cut);
		ck_assert(!edit_list_decode(&reader, &copy));
		ck_assert_uint_eq(copy.count, 0);
	}
	buffer_free(&payload);
	edit_list_clear(&list);
}
END_TEST

/* One edit written by hand; is it taken? */
static bool
decodes(uint8_t kind, const char *filter, const char *name, const char *value, const char *parameters, uint32_t index, bool verbatim,
    const char *body)
{
	struct buffer payload = {0};
	struct frame_reader reader;
	struct edit_list list;
	bool good;

	frame_put_bool(&payload, false);
	frame_put_u32(&payload, 1);
	frame_put_u8(&payload, kind);
	frame_put_string(&payload, filter);
	frame_put_string(&payload, name);
	frame_put_string(&payload, value);
	frame_put_string(&payload, parameters);
	frame_put_u32(&payload, index);
	frame_put_bool(&payload, verbatim);
	frame_put_span(&payload, span_of(body));
	frame_reader_init(&reader, payload.data, payload.length);
	good = edit_list_decode(&reader, &list);
	edit_list_clear(&list);
	buffer_free(&payload);
	return good;
}

START_TEST(frames_of_wrong_shape)
{
	ck_assert(decodes(EDIT_ADD_HEADER, "f", "A", "b", NULL, 0, true, ""));
	ck_assert(!decodes(EDIT_KIND_COUNT, "f", "A", "b", NULL, 0, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, NULL, "A", "b", NULL, 0, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, "f", NULL, "b", NULL, 0, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, "f", "A", NULL, NULL, 0, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, "f", "A", "b", "NOTIFY=NEVER", 0, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, "f", "A", "b", NULL, 1, false, ""));
	ck_assert(!decodes(EDIT_ADD_HEADER, "f", "A", "b", NULL, 0, false, "body"));
	ck_assert(decodes(EDIT_DELETE_HEADER, "f", "A", NULL, NULL, 1, false, ""));
	ck_assert(!decodes(EDIT_DELETE_HEADER, "f", "A", "b", NULL, 1, false, ""));
	ck_assert(!decodes(EDIT_DELETE_HEADER, "f", "A", NULL, NULL, 1, true, ""));
	ck_assert(decodes(EDIT_CHANGE_SENDER, "f", NULL, "", "RET=HDRS", 0, false, ""));
	ck_assert(!decodes(EDIT_CHANGE_SENDER, "f", NULL, NULL, NULL, 0, false, ""));
	ck_assert(!decodes(EDIT_DELETE_RECIPIENT, "f", NULL, "a@b", "NOTIFY=NEVER", 0, false, ""));
	ck_assert(decodes(EDIT_REPLACE_BODY, "f", NULL, NULL, NULL, 0, false, "x"));
	ck_assert(!decodes(EDIT_REPLACE_BODY, "f", NULL, "x", NULL, 0, false, "x"));
}
END_TEST

START_TEST(overflow)
{
	struct edit_list list = {0}, total = {0};
	char *big = memory_new(EDIT_TEXT_MAX + 2);
	struct buffer body = {0}, bad = {0};

	for (int i = 0; i < EDIT_COUNT_MAX; i++)
		edit_list_add_header(&list, "f", "A", "b");
	ck_assert(!list.overflowed);
	edit_list_add_header(&list, "f", "A", "b");
	ck_assert(list.overflowed);
	ck_assert_uint_eq(list.count, EDIT_COUNT_MAX);
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, &bad), EDIT_TOO_MANY);
	ck_assert_str_eq(buffer_text(&bad), edit_error_text(EDIT_TOO_MANY));
	ck_assert_uint_eq(list.count + total.count, 0);

	memset(big, 'x', EDIT_TEXT_MAX + 1);
	edit_list_add_header(&list, "f", "A", big);
	ck_assert(list.overflowed && list.count == 0);
	edit_list_clear(&list);
	big[EDIT_TEXT_MAX] = '\0';
	for (int i = 0; i < 7; i++)
		edit_list_add_header(&list, "", "A", big);
	ck_assert(!list.overflowed);
	edit_list_add_header(&list, "", "A", big);
	ck_assert(list.overflowed);
	edit_list_clear(&list);

	buffer_reserve(&body, EDIT_BODY_MAX);
	memset(body.block, 'x', EDIT_BODY_MAX);
	edit_list_replace_body(&list, "f", span_make(body.block, EDIT_BODY_MAX));
	ck_assert(!list.overflowed);
	edit_list_append_body(&list, span_of("x"));
	ck_assert(list.overflowed);
	edit_list_clear(&list);
	/* Its normal form has two bytes more. */
	edit_list_replace_body(&list, "f", span_make(body.block, EDIT_BODY_MAX));
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, NULL), EDIT_TOO_MANY);
	/* What is there already counts. */
	edit_list_add_header(&total, "f", "A", "b");
	for (int i = 0; i < EDIT_COUNT_MAX; i++)
		edit_list_add_header(&list, "f", "A", "b");
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, NULL), EDIT_TOO_MANY);
	ck_assert_uint_eq(total.count, 1);
	edit_list_clear(&total);
	buffer_free(&body);
	buffer_free(&bad);
	memory_free(&big);
}
END_TEST

/* Checks one header value; `expected` NULL: the error matters only. */
static void
check_value(const char *value, bool verbatim, const struct edit_rules *rules, enum edit_error error, const char *expected)
{
	for (int round = 0; round < 2; round++) {
		struct edit_list list = {0};

		edit_list_add_header(&list, "f", "Name", value);
		if (verbatim)
			edit_list_set_verbatim(&list);
		ck_assert_msg(edit_check(&list.edits[0], rules) == error, "value \"%s\"", value);
		if (error == EDIT_OK) {
			ck_assert_str_eq(list.edits[0].value, expected);
			/* Once more: nothing changes. */
			ck_assert_int_eq(edit_check(&list.edits[0], rules), EDIT_OK);
			ck_assert_str_eq(list.edits[0].value, expected);
		}
		edit_list_clear(&list);
	}
}

START_TEST(values)
{
	static const struct edit_rules bytes = {.eight_bit_headers = true};

	check_value("yes", false, &strict, EDIT_OK, " yes");
	check_value("yes", true, &strict, EDIT_OK, "yes");
	check_value(" yes", false, &strict, EDIT_OK, " yes");
	check_value("\tyes", false, &strict, EDIT_OK, "\tyes");
	check_value("", false, &strict, EDIT_OK, " ");
	check_value("", true, &strict, EDIT_OK, "");
	check_value("a\n b", false, &strict, EDIT_OK, " a\r\n b");
	check_value("a\r\n\tb\n c", false, &strict, EDIT_OK, " a\r\n\tb\r\n c");
	check_value("\n a", false, &strict, EDIT_OK, " \r\n a");
	check_value("a\n \t \n b", false, &strict, EDIT_OK, " a\r\n b");
	check_value("a\r\n ", false, &strict, EDIT_OK, " a");
	/* Forged fields and bodies. */
	check_value("a\r\nBcc: x@example.org", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\nBcc: x@example.org", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\r\n\r\nbody", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\n\n b", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\r\n", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\n", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\rb", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\r b", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\r\r\n b", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("a\r", false, &strict, EDIT_BAD_LINE_END, NULL);
	check_value("Gr\xc3\xbc\xc3\x9f""e", false, &strict, EDIT_NOT_ASCII, NULL);
	check_value("Gr\xc3\xbc\xc3\x9f""e", false, &utf8, EDIT_OK, " Gr\xc3\xbc\xc3\x9f""e");
	check_value("Gr\xfc", false, &utf8, EDIT_BAD_UTF8, NULL);
	check_value("Gr\xfc", false, &bytes, EDIT_OK, " Gr\xfc");
}
END_TEST

START_TEST(long_lines)
{
	static const struct edit_rules lax = {.long_lines = true};
	struct buffer value = {0};

	/* "Name:" and the space take six. */
	for (int i = 0; i < 992; i++)
		buffer_append_char(&value, 'x');
	struct edit_list list = {0};
	edit_list_add_header(&list, "f", "Name", buffer_text(&value));
	ck_assert_int_eq(edit_check(&list.edits[0], &strict), EDIT_OK);
	buffer_append_char(&value, 'x');
	edit_list_add_header(&list, "f", "Name", buffer_text(&value));
	ck_assert_int_eq(edit_check(&list.edits[1], &strict), EDIT_LINE_TOO_LONG);
	edit_list_add_header(&list, "f", "Name", buffer_text(&value));
	ck_assert_int_eq(edit_check(&list.edits[2], &lax), EDIT_OK);
	buffer_append_string(&value, "xxxx\n y");
	edit_list_insert_header(&list, "f", 0, "Name", buffer_text(&value));
	ck_assert_int_eq(edit_check(&list.edits[3], &strict), EDIT_LINE_TOO_LONG);
	edit_list_clear(&list);
	buffer_free(&value);
}
END_TEST

static enum edit_error
check_name(const char *name)
{
	struct edit_list list = {0};
	enum edit_error error;

	edit_list_delete_header(&list, "f", name, 1);
	error = edit_check(&list.edits[0], &strict);
	edit_list_clear(&list);
	return error;
}

START_TEST(header_names)
{
	char name[1000] = {0};

	ck_assert_int_eq(check_name("X-Spam"), EDIT_OK);
	ck_assert_int_eq(check_name("!#$%&'*+-./0^_`{|}~\"();<>@[\\],?="), EDIT_OK);
	ck_assert_int_eq(check_name(""), EDIT_BAD_NAME);
	ck_assert_int_eq(check_name("A:"), EDIT_BAD_NAME);
	ck_assert_int_eq(check_name("A B"), EDIT_BAD_NAME);
	ck_assert_int_eq(check_name("A\r\nB"), EDIT_BAD_NAME);
	ck_assert_int_eq(check_name("A\x7f"), EDIT_BAD_NAME);
	ck_assert_int_eq(check_name("\xc3\xbc"), EDIT_BAD_NAME);
	memset(name, 'x', 997);
	ck_assert_int_eq(check_name(name), EDIT_OK);
	name[997] = 'x';
	ck_assert_int_eq(check_name(name), EDIT_NAME_TOO_LONG);
}
END_TEST

START_TEST(indexes)
{
	struct edit_list list = {0};

	edit_list_insert_header(&list, "f", 0, "A", "b");
	edit_list_insert_header(&list, "f", EDIT_INDEX_MAX, "A", "b");
	edit_list_insert_header(&list, "f", EDIT_INDEX_MAX + 1, "A", "b");
	edit_list_change_header(&list, "f", "A", 0, "b");
	edit_list_change_header(&list, "f", "A", UINT32_MAX, "b");
	edit_list_delete_header(&list, "f", "A", 0);
	for (size_t i = 0; i < list.count; i++)
		ck_assert_int_eq(edit_check(&list.edits[i], &strict), i < 2 ? EDIT_OK : EDIT_BAD_INDEX);
	edit_list_clear(&list);
}
END_TEST

static void
check_address(enum edit_kind kind, const char *value, const char *parameters, const struct edit_rules *rules, enum edit_error error,
    const char *expected)
{
	struct edit edit = {.kind = kind, .value = memory_copy_string(value), .parameters = memory_copy_string(parameters)};

	ck_assert_msg(edit_check(&edit, rules) == error, "address \"%s\" parameters \"%s\"", value, parameters);
	if (error == EDIT_OK) {
		ck_assert_str_eq(edit.value, expected);
		ck_assert_int_eq(edit_check(&edit, rules), EDIT_OK);
		ck_assert_str_eq(edit.value, expected);
	}
	edit_clear(&edit);
}

START_TEST(addresses)
{
	check_address(EDIT_ADD_RECIPIENT, "a@b.example", NULL, &strict, EDIT_OK, "a@b.example");
	check_address(EDIT_ADD_RECIPIENT, "<a@b.example>", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b", &strict, EDIT_OK, "a@b.example");
	check_address(EDIT_ADD_RECIPIENT, "postmaster", "", &strict, EDIT_OK, "postmaster");
	check_address(EDIT_ADD_RECIPIENT, "<\"a b\"@c.example>", NULL, &strict, EDIT_OK, "\"a b\"@c.example");
	check_address(EDIT_ADD_RECIPIENT, "", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "<>", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "a@b.example>\r\nRCPT TO:<c@d.example", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "<a@b.example> SIZE=1", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "a@b.example, c@d.example", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "a@b.example", "NOTIFY=NEVER\r\nDATA", &strict, EDIT_BAD_PARAMETERS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "a@b.example", "SIZE=1", &strict, EDIT_BAD_PARAMETERS, NULL);
	check_address(EDIT_ADD_RECIPIENT, "a@b.example", "X\nY", &strict, EDIT_BAD_PARAMETERS, NULL);
	check_address(EDIT_DELETE_RECIPIENT, "<a@b.example>", NULL, &strict, EDIT_OK, "a@b.example");
	check_address(EDIT_ADD_RECIPIENT, "gr\xc3\xbc@b.example", NULL, &strict, EDIT_ADDRESS_NEEDS_SMTPUTF8, NULL);
	check_address(EDIT_ADD_RECIPIENT, "gr\xc3\xbc@b.example", NULL, &utf8, EDIT_OK, "gr\xc3\xbc@b.example");
	check_address(EDIT_CHANGE_SENDER, "", NULL, &strict, EDIT_OK, "");
	check_address(EDIT_CHANGE_SENDER, "<>", "RET=FULL ENVID=x", &strict, EDIT_OK, "");
	check_address(EDIT_CHANGE_SENDER, "<a@b.example>", "BODY=8BITMIME SIZE=5", &strict, EDIT_OK, "a@b.example");
	check_address(EDIT_CHANGE_SENDER, "a@b.example", "SMTPUTF8", &strict, EDIT_BAD_PARAMETERS, NULL);
	check_address(EDIT_CHANGE_SENDER, "a@b.example", "SMTPUTF8", &utf8, EDIT_OK, "a@b.example");
	check_address(EDIT_CHANGE_SENDER, "a b@c", NULL, &strict, EDIT_BAD_ADDRESS, NULL);
}
END_TEST

static void
check_body(struct span body, enum edit_error error, const char *expected)
{
	struct edit_list list = {0};

	edit_list_replace_body(&list, "f", body);
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(edit_check(&list.edits[0], &strict), error);
		if (error == EDIT_OK) {
			ck_assert_uint_eq(list.edits[0].body.length, strlen(expected));
			ck_assert_str_eq(buffer_text(&list.edits[0].body), expected);
		}
	}
	edit_list_clear(&list);
}

START_TEST(bodies)
{
	check_body(span_of(""), EDIT_OK, "");
	check_body(span_of("\n"), EDIT_OK, "\r\n");
	check_body(span_of("a"), EDIT_OK, "a\r\n");
	check_body(span_of("a\r\nb\n\nc\r\n"), EDIT_OK, "a\r\nb\r\n\r\nc\r\n");
	check_body(span_of("\xff.\n.\n"), EDIT_OK, "\xff.\r\n.\r\n");
	check_body(span_of("a\rb"), EDIT_BODY_BARE_CR, NULL);
	check_body(span_of("a\r"), EDIT_BODY_BARE_CR, NULL);
	check_body(span_of("a\r\r\n"), EDIT_BODY_BARE_CR, NULL);
	check_body(span_make("a\0b", 3), EDIT_BODY_HAS_NUL, NULL);
}
END_TEST

START_TEST(all_or_nothing)
{
	struct edit_list total = {0}, list = {0};
	struct buffer bad = {0};

	fill(&list);
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, NULL), EDIT_OK);
	ck_assert_uint_eq(total.count, 8);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_str_eq(total.edits[1].value, " a\r\n b");
	ck_assert_str_eq(buffer_text(&total.edits[7].body), "one\r\ntwo\r\n");
	ck_assert_uint_eq(total.body_bytes, 10);
	edit_list_add_header(&list, "other", "Good", "1");
	edit_list_add_header(&list, "other", "Bad", "1\nX: y");
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, &bad), EDIT_BAD_LINE_END);
	ck_assert_str_eq(buffer_text(&bad), "line break in a header value that is no folding: add header Bad: 1\nX: y");
	ck_assert_uint_eq(total.count, 8);
	ck_assert_uint_eq(list.count, 0);
	edit_list_clear(&total);
	buffer_free(&bad);
}
END_TEST

START_TEST(words)
{
	static const char *const expected[] = {
		"add header X-Spam: yes", "insert header X-Top at 3: a\r\n b", "change header Subject number 1: new",
		"delete header X-Old number 2", "add recipient <archive@example.org> NOTIFY=NEVER", "delete recipient <user@example.org>",
		"change sender <>", "replace body: 10 bytes",
	};
	struct edit_list list = {0}, total = {0};

	fill(&list);
	ck_assert_int_eq(edit_list_accept(&total, &list, &strict, NULL), EDIT_OK);
	for (size_t i = 0; i < total.count; i++) {
		struct buffer text = {0};

		edit_append_text(&total.edits[i], &text);
		ck_assert_str_eq(buffer_text(&text), expected[i]);
		buffer_free(&text);
	}
	edit_list_clear(&total);
}
END_TEST

SUITE_MAIN("edits", frames, frames_of_wrong_shape, overflow, values, long_lines, header_names, indexes, addresses, bodies, all_or_nothing, words)
