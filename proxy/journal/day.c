/* Names of the trace's files, and their removal when their time is over. Opens no database. */
#include "journal/day.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

char *
day_path(const char *directory, int64_t day)
{
	time_t seconds = (time_t)(day * 86400);
	struct tm date;

	gmtime_r(&seconds, &date);
	return memory_format("%s/trace-%04d-%02d-%02d.db", directory, date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
}

int64_t
day_from_name(const char *name, bool exact)
{
	struct tm date = {0};
	char again[64];
	int length = 0;

	if (sscanf(name, "trace-%4d-%2d-%2d.db%n", &date.tm_year, &date.tm_mon, &date.tm_mday, &length) != 3 || length == 0)
		return -1;
	/* Printed again it must be the same: no signs, no blanks, no 31st of February. */
	date.tm_year -= 1900;
	date.tm_mon -= 1;
	time_t seconds = timegm(&date);
	snprintf(again, sizeof again, "trace-%04d-%02d-%02d.db", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
	if (seconds < 0 || strncmp(again, name, strlen(again)) != 0)
		return -1;
	const char *rest = name + strlen(again);
	if (rest[0] != '\0' && (exact || (rest[0] != '-' && rest[0] != '.')))
		return -1;
	return seconds / 86400;
}

static int
newer_first(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return left < right ? 1 : left > right ? -1 : 0;
}

bool
day_list(const char *directory, int64_t **days, size_t *count)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	size_t capacity = 0;

	*days = NULL;
	*count = 0;
	if (stream == NULL)
		return false;
	while ((entry = readdir(stream)) != NULL) {
		int64_t day = day_from_name(entry->d_name, true);
		if (day < 0)
			continue;
		if (*count == capacity) {
			capacity = capacity == 0 ? 32 : 2 * capacity;
			*days = memory_resize(*days, capacity, sizeof **days);
		}
		(*days)[(*count)++] = day;
	}
	closedir(stream);
	if (*count > 0)
		qsort(*days, *count, sizeof **days, newer_first);
	return true;
}

size_t
day_remove_before(const char *directory, int64_t first)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	size_t removed = 0;

	if (stream == NULL)
		return 0;
	while ((entry = readdir(stream)) != NULL) {
		int64_t day = day_from_name(entry->d_name, false);
		if (day < 0 || day >= first)
			continue;
		if (unlinkat(dirfd(stream), entry->d_name, 0) == 0 && day_from_name(entry->d_name, true) >= 0)
			removed++;
	}
	closedir(stream);
	return removed;
}
