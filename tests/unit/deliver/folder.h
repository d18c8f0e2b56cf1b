/* A temporary folder for one test, and looking into it. */
#ifndef POSTERN_TESTS_FOLDER_H
#define POSTERN_TESTS_FOLDER_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
	char path[64];
};

static inline void
folder_make(struct folder *folder)
{
	strcpy(folder->path, "/tmp/postern-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder->path));
}

static inline int
folder_remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status, (void)kind, (void)where;
	return remove(path);
}

static inline void
folder_remove(struct folder *folder)
{
	nftw(folder->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "NAME" below the folder. */
static inline const char *
folder_path(const struct folder *folder, const char *name)
{
	static char path[1024];
	snprintf(path, sizeof path, "%s/%s", folder->path, name);
	return path;
}

/* How many files there are; the name of the last one seen into `last` (may be NULL). -1: no such folder. */
static inline int
folder_count(const struct folder *folder, const char *name, char *last)
{
	DIR *directory = opendir(folder_path(folder, name));
	int count = 0;
	if (directory == NULL)
		return -1;
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (last != NULL)
			strcpy(last, entry->d_name);
		count++;
	}
	closedir(directory);
	return count;
}

/* The bytes of a file; the caller frees. */
static inline char *
file_read(const char *path, size_t *length)
{
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	char *bytes = malloc(16u << 20);
	*length = fread(bytes, 1, 16u << 20, file);
	fclose(file);
	return bytes;
}

#endif
