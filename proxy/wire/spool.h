/* Spool files: where a message goes when memory is full. Each has no name, and two descriptors: one to write, one to read. */
#ifndef POSTERN_WIRE_SPOOL_H
#define POSTERN_WIRE_SPOOL_H

#include <stdbool.h>

/* Where a process gets spool files from. A process that may open files makes them itself; a sandboxed one is handed them. */
struct spool_source {
	bool (*take)(void *context, int *writer, int *reader); /* false: none now; true: the caller owns both descriptors */
	void *context;
};

/* Makes one in the directory behind the descriptor. False with errno set. */
bool spool_file_make(int directory, int *writer, int *reader);

#endif
