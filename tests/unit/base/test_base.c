#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id_map.h"
#include "base/log.h"
#include "suite.h"

START_TEST(ids_are_never_used_twice)
{
	struct id_map *map = id_map_new();
	int a = 1, b = 2;
	uint64_t first = id_map_add(map, &a);

	ck_assert(first != 0);
	ck_assert_ptr_eq(id_map_find(map, first), &a);
	id_map_remove(map, first);
	ck_assert_ptr_null(id_map_find(map, first));
	uint64_t second = id_map_add(map, &b);
	ck_assert(second != first);
	ck_assert_ptr_null(id_map_find(map, first));
	id_map_remove(map, first);
	ck_assert_ptr_eq(id_map_find(map, second), &b);
	ck_assert_ptr_null(id_map_find(map, 0));
	ck_assert_ptr_null(id_map_find(map, UINT64_MAX));
	id_map_free(&map);
}
END_TEST

static void
remove_visited(void *context, uint64_t id, void *object)
{
	(*(int *)object)++;
	id_map_remove(context, id);
}

START_TEST(visiting_may_remove)
{
	struct id_map *map = id_map_new();
	int visits[200] = {0};

	for (int i = 0; i < 200; i++)
		id_map_add(map, &visits[i]);
	id_map_each(map, remove_visited, map);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(visits[i], 1);
	ck_assert_uint_eq(id_map_count(map), 0);
	id_map_free(&map);
}
END_TEST

START_TEST(dates)
{
	char text[CLOCK_RFC3339_SIZE], date[CLOCK_RFC5322_SIZE];

	clock_format_rfc3339(INT64_C(1795292104123456), text);
	ck_assert_str_eq(text, "2026-11-21T20:15:04.123Z");
	clock_format_rfc5322(INT64_C(1795292104123456), date);
	ck_assert_str_eq(date, "Sat, 21 Nov 2026 20:15:04 +0000");
	clock_format_rfc3339(-1, text);
	ck_assert_str_eq(text, "1969-12-31T23:59:59.999Z");
}
END_TEST

static void
keep_line(void *context, enum log_level level, const char *line)
{
	(void)level;
	snprintf(context, 512, "%s", line);
}

START_TEST(a_log_line_is_one_line_with_its_context)
{
	char line[512] = "";

	log_set_emitter(keep_line, line);
	log_set_role("proxy", 1);
	log_set_context("session=%s", "4K7Q");
	log_warning("peer said \"%s\"", "x\r\nforged");
	ck_assert_ptr_nonnull(strstr(line, " warning proxy[1] session=4K7Q: peer said \"x??forged\""));
	line[0] = '\0';
	log_debug("not shown");
	ck_assert_str_eq(line, "");
	ck_assert_int_eq(log_level_from_text("alarm"), LOG_LEVEL_ALARM);
	ck_assert_int_eq(log_level_from_text("loud"), -1);
}
END_TEST

SUITE_MAIN("base", ids_are_never_used_twice, visiting_may_remove, dates, a_log_line_is_one_line_with_its_context)
