/* What edits leave of a message: the fields, the view, the envelope. */
#include "suite.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "mail/edits_check.h"
#include "mail/overlay.h"

#define MESSAGE "From: a@example.org\r\nX-A: 1\r\nSubject : s\r\n\tt\r\nx-a: 2\r\nTo: b\r\n\r\nbody\r\n.dot\r\n"

struct fixture {
	struct message_store_options options;
	struct message_store *store;
	struct header_block headers;
	struct edit_list given, edits;
	struct overlay overlay;
};

static void
begin(struct fixture *fixture, const char *message)
{
	int descriptor;

	memset(fixture, 0, sizeof *fixture);
	fixture->options.shared = shared_memory_new(&descriptor);
	close(descriptor);
	fixture->options.page = shared_memory_page(fixture->options.shared, 0);
	fixture->options.memory_limit = UINT64_MAX / 2;
	fixture->store = message_store_new(&fixture->options);
	ck_assert(message_store_append(fixture->store, message, strlen(message)));
	ck_assert(message_store_finish(fixture->store));
	struct span bytes = message_store_map(fixture->store);
	ck_assert_int_eq(header_block_scan(bytes, true, SIZE_MAX, 1000, &fixture->headers), HEADER_SCAN_OK);
}

/* Applies what was given (a view with the one stamp "R: 0") and compares; ends the fixture. */
static void
finish(struct fixture *fixture, const char *expected)
{
	static const struct edit_rules rules = {0};
	struct span stamp = span_of("R: 0\r\n");
	struct buffer text = {0};
	struct view view;

	ck_assert_int_eq(edit_list_accept(&fixture->edits, &fixture->given, &rules, NULL), EDIT_OK);
	overlay_build(&fixture->overlay, &fixture->headers, &fixture->edits);
	overlay_make_view(&fixture->overlay, fixture->store, &stamp, 1, true, &view);
	char *bytes = memory_new(view.length + 1);
	ck_assert_int_eq(view_read(&view, 0, bytes, view.length + 1), (int64_t)view.length);
	buffer_printf(&text, "R: 0\r\n%s", expected);
	ck_assert_str_eq(bytes, buffer_text(&text));
	ck_assert_str_eq(view.segments[0].text, "R: 0\r\n");
	ck_assert(view.has_dot_lines);
	memory_free(&bytes);
	buffer_free(&text);
	view_clear(&view);
	overlay_clear(&fixture->overlay);
	edit_list_clear(&fixture->edits);
	header_block_clear(&fixture->headers);
	message_store_free(&fixture->store);
	shared_memory_free(&fixture->options.shared);
}

START_TEST(untouched)
{
	static const char *const messages[] = {
		MESSAGE, "", "\r\n", "A: b\r\n", "A: b", "A: b\r\n\r\n", "\r\nbody", "A: b\r\nno header\r\n", "just text\r\n", "A: b\r\n c",
	};

	for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
		struct fixture fixture;

		begin(&fixture, messages[i]);
		finish(&fixture, messages[i]);
	}
}
END_TEST

START_TEST(one_range_when_untouched)
{
	struct fixture fixture;
	struct view view;

	begin(&fixture, MESSAGE);
	overlay_build(&fixture.overlay, &fixture.headers, NULL);
	overlay_make_view(&fixture.overlay, fixture.store, NULL, 0, false, &view);
	ck_assert_uint_eq(view.count, 1);
	ck_assert(!view.has_dot_lines);
	view_clear(&view);
	overlay_clear(&fixture.overlay);
	finish(&fixture, MESSAGE);
}
END_TEST

/* Without a separator nothing but these bytes would keep our stamp from swallowing the body. */
START_TEST(missing_separator)
{
	struct fixture fixture;

	begin(&fixture, " indented\r\n");
	finish(&fixture, "\r\n indented\r\n");
	begin(&fixture, "\tindented");
	edit_list_add_header(&fixture.given, "f", "A", "b");
	finish(&fixture, "A: b\r\n\r\n\tindented");
	begin(&fixture, "A: b\r\ntext\r\n");
	edit_list_replace_body(&fixture.given, "f", span_of("Looks: like a field\n"));
	finish(&fixture, "A: b\r\n\r\nLooks: like a field\r\n");
	begin(&fixture, "A: b");
	edit_list_replace_body(&fixture.given, "f", span_of("new"));
	finish(&fixture, "A: b\r\n\r\nnew\r\n");
	begin(&fixture, "A: b");
	edit_list_replace_body(&fixture.given, "f", span_of(""));
	finish(&fixture, "A: b");
	begin(&fixture, "A: b");
	edit_list_add_header(&fixture.given, "f", "C", "d");
	finish(&fixture, "A: b\r\nC: d\r\n");
	begin(&fixture, "A: b\r\ntext\r\n");
	edit_list_add_header(&fixture.given, "f", "C", "d");
	finish(&fixture, "A: b\r\nC: d\r\ntext\r\n");
}
END_TEST

START_TEST(add_and_insert)
{
	struct fixture fixture;

	begin(&fixture, "A: 1\r\nB: 2\r\n\r\nbody");
	edit_list_add_header(&fixture.given, "f", "C", "3");
	edit_list_add_header(&fixture.given, "f", "D", "4\n 5");
	edit_list_insert_header(&fixture.given, "f", 0, "E", "6");
	edit_list_insert_header(&fixture.given, "f", 0, "F", "7");
	edit_list_insert_header(&fixture.given, "f", 3, "G", "8");
	edit_list_set_verbatim(&fixture.given);
	edit_list_insert_header(&fixture.given, "f", 7, "H", "9");
	edit_list_insert_header(&fixture.given, "f", 1000, "I", "10");
	edit_list_add_header(&fixture.given, "f", "J", "11");
	finish(&fixture, "F: 7\r\nE: 6\r\nA: 1\r\nG:8\r\nB: 2\r\nC: 3\r\nD: 4\r\n 5\r\nH: 9\r\nI: 10\r\nJ: 11\r\n\r\nbody");
}
END_TEST

START_TEST(change)
{
	struct fixture fixture;

	begin(&fixture, MESSAGE);
	edit_list_change_header(&fixture.given, "f", "SUBJECT", 1, "[list] s");
	edit_list_change_header(&fixture.given, "f", "X-A", 2, "two");
	edit_list_change_header(&fixture.given, "f", "X-A", 3, "three");
	edit_list_change_header(&fixture.given, "f", "X-A", 3, "three again");
	edit_list_change_header(&fixture.given, "f", "X-A", 9, "four");
	edit_list_change_header(&fixture.given, "f", "X-A", 4, "four again");
	finish(&fixture, "From: a@example.org\r\nX-A: 1\r\nSUBJECT: [list] s\r\nX-A: two\r\nTo: b\r\nX-A: three again\r\nX-A: four again\r\n\r\n"
	    "body\r\n.dot\r\n");
}
END_TEST

/* An inserted field is the first of its name, a deleted one no longer counts. */
START_TEST(occurrences_move)
{
	struct fixture fixture;

	begin(&fixture, "A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n\r\n");
	edit_list_delete_header(&fixture.given, "f", "a", 2);
	edit_list_delete_header(&fixture.given, "f", "a", 2);
	edit_list_insert_header(&fixture.given, "g", 0, "A", "0");
	edit_list_change_header(&fixture.given, "g", "A", 2, "one");
	edit_list_delete_header(&fixture.given, "g", "A", 1);
	edit_list_delete_header(&fixture.given, "g", "A", 9);
	edit_list_delete_header(&fixture.given, "g", "B", 1);
	finish(&fixture, "A: one\r\nA: 4\r\n\r\n");
	begin(&fixture, "A: 1\r\nB: 2\r\n\r\n");
	edit_list_delete_header(&fixture.given, "f", "A", 1);
	edit_list_change_header(&fixture.given, "f", "A", 1, "again");
	edit_list_insert_header(&fixture.given, "f", 1, "C", "3");
	finish(&fixture, "B: 2\r\nC: 3\r\nA: again\r\n\r\n");
	begin(&fixture, "A: 1\r\nB: 2\r\n\r\nbody\r\n");
	edit_list_delete_header(&fixture.given, "f", "A", 1);
	edit_list_delete_header(&fixture.given, "f", "B", 1);
	finish(&fixture, "\r\nbody\r\n");
}
END_TEST

START_TEST(bodies)
{
	struct fixture fixture;

	begin(&fixture, MESSAGE);
	edit_list_replace_body(&fixture.given, "f", span_of("one\n"));
	edit_list_add_header(&fixture.given, "f", "C", "3");
	edit_list_replace_body(&fixture.given, "g", span_of(".two"));
	finish(&fixture, "From: a@example.org\r\nX-A: 1\r\nSubject : s\r\n\tt\r\nx-a: 2\r\nTo: b\r\nC: 3\r\n\r\n.two\r\n");
	begin(&fixture, "A: b\r\n\r\nbody");
	edit_list_replace_body(&fixture.given, "g", span_of(""));
	finish(&fixture, "A: b\r\n\r\n");
	begin(&fixture, "A: b\r\n\r\n");
	edit_list_replace_body(&fixture.given, "g", span_of("x"));
	finish(&fixture, "A: b\r\n\r\nx\r\n");
}
END_TEST

static void
note_removed(void *context, const struct overlay_field *field)
{
	char *value = overlay_field_unfold(field);

	buffer_printf(context, "[%s]", value);
	memory_free(&value);
}

START_TEST(find_and_remove)
{
	struct fixture fixture;
	struct buffer removed = {0};
	struct view view;
	char bytes[200] = {0};

	begin(&fixture, "Return-Path: <a>\r\nA: 1\r\nreturn-path:\r\n <b>\r\nB: 2\r\n\r\nbody\r\n");
	edit_list_add_header(&fixture.edits, "f", "Return-Path", " c");
	edit_list_add_header(&fixture.edits, "f", "b", " 3\r\n 4");
	overlay_build(&fixture.overlay, &fixture.headers, &fixture.edits);
	ck_assert_uint_eq(overlay_remove(&fixture.overlay, "Return-Path", note_removed, &removed), 3);
	ck_assert_uint_eq(overlay_remove(&fixture.overlay, "Return-Path", NULL, NULL), 0);
	ck_assert_str_eq(buffer_text(&removed), "[<a>][<b>][c]");
	ck_assert_ptr_eq(overlay_find(&fixture.overlay, "B", 1)->original, &fixture.headers.fields[3]);
	ck_assert_ptr_null(overlay_find(&fixture.overlay, "B", 2)->original);
	char *value = overlay_field_unfold(overlay_find(&fixture.overlay, "B", 2));
	ck_assert_str_eq(value, "3 4");
	memory_free(&value);
	ck_assert_ptr_null(overlay_find(&fixture.overlay, "B", 3));
	ck_assert_ptr_null(overlay_find(&fixture.overlay, "Return-Path", 1));
	overlay_make_view(&fixture.overlay, fixture.store, NULL, 0, false, &view);
	view_read(&view, 0, bytes, sizeof bytes - 1);
	ck_assert_str_eq(bytes, "A: 1\r\nB: 2\r\nb: 3\r\n 4\r\n\r\nbody\r\n");
	view_clear(&view);
	overlay_clear(&fixture.overlay);
	edit_list_clear(&fixture.edits);
	buffer_free(&removed);
	finish(&fixture, "Return-Path: <a>\r\nA: 1\r\nreturn-path:\r\n <b>\r\nB: 2\r\n\r\nbody\r\n");
}
END_TEST

static void
check_envelope(const struct envelope *envelope, const char *expected)
{
	struct buffer text = {0};

	buffer_printf(&text, "%s(%s)%s/%s", envelope->sender, envelope->sender_domain, envelope->ret ? envelope->ret : "-",
	    envelope->envelope_id ? envelope->envelope_id : "-");
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct recipient *recipient = &envelope->recipients[i];

		buffer_printf(&text, " %s(%s)%u%s", recipient->address, recipient->domain, recipient->notify,
		    recipient->original_recipient ? recipient->original_recipient : "");
	}
	ck_assert_str_eq(buffer_text(&text), expected);
	buffer_free(&text);
}

START_TEST(envelopes)
{
	static const struct edit_rules rules = {.smtputf8 = true};
	struct envelope from = {0}, to = {0};
	struct edit_list given = {0}, edits = {0};

	from.sender = memory_copy_string("a@A.example");
	from.sender_domain = memory_copy_string("a.example");
	from.envelope_id = memory_copy_string("id");
	envelope_add_recipient(&from, "u@B.example", "b.example")->notify = NOTIFY_NEVER;
	envelope_add_recipient(&from, "v@b.example", "b.example")->original_recipient = memory_copy_string("rfc822;v");
	overlay_envelope(&from, &edits, &to);
	check_envelope(&to, "a@A.example(a.example)-/id u@B.example(b.example)1 v@b.example(b.example)0rfc822;v");
	envelope_clear(&to);

	edit_list_add_recipient(&given, "f", "u@b.example", NULL);
	edit_list_add_recipient(&given, "f", "<U@b.example>", "NOTIFY=FAILURE ORCPT=rfc822;x");
	edit_list_delete_recipient(&given, "f", "v@B.EXAMPLE");
	edit_list_delete_recipient(&given, "f", "nobody@b.example");
	edit_list_add_recipient(&given, "f", "postmaster", NULL);
	edit_list_add_recipient(&given, "f", "gr\xc3\xbc@C.example", NULL);
	edit_list_change_sender(&given, "f", "gr\xc3\xbc@D.example", "SMTPUTF8 RET=HDRS ENVID=other SIZE=9");
	ck_assert_int_eq(edit_list_accept(&edits, &given, &rules, NULL), EDIT_OK);
	overlay_envelope(&from, &edits, &to);
	check_envelope(&to, "gr\xc3\xbc@D.example(d.example)HDRS/other u@B.example(b.example)1 U@b.example(b.example)4rfc822;x "
			    "postmaster()0 gr\xc3\xbc@C.example(c.example)0");
	ck_assert(!to.size_declared && !to.smtputf8);
	envelope_clear(&to);
	edit_list_delete_recipient(&given, "f", "Postmaster");
	edit_list_delete_recipient(&given, "f", "u@b.example");
	edit_list_delete_recipient(&given, "f", "U@b.example");
	edit_list_delete_recipient(&given, "f", "gr\xc3\xbc@c.example");
	edit_list_change_sender(&given, "f", "<>", NULL);
	ck_assert_int_eq(edit_list_accept(&edits, &given, &rules, NULL), EDIT_OK);
	overlay_envelope(&from, &edits, &to);
	check_envelope(&to, "()HDRS/other");
	envelope_clear(&to);
	envelope_clear(&from);
	edit_list_clear(&edits);
}
END_TEST

SUITE_MAIN("overlay", untouched, one_range_when_untouched, missing_separator, add_and_insert, change, occurrences_move, bodies,
    find_and_remove, envelopes)
