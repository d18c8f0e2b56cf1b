/* Spool files kept ready in a process that may not open any: the master hands over a few at a time, before they are needed,
 * because whoever needs one cannot wait. */
#ifndef POSTERN_WIRE_SPOOL_STOCK_H
#define POSTERN_WIRE_SPOOL_STOCK_H

#include <stdbool.h>
#include <stddef.h>

#define SPOOL_STOCK_SIZE 16 /* files in stock */
#define SPOOL_STOCK_BATCH 4 /* files in one answer: two descriptors each */

struct spool_stock {
	struct spool_pair {
		int writer, reader;
	} files[SPOOL_STOCK_SIZE];
	size_t count;
	bool asked; /* an answer is on its way */
	void (*ask)(void *context); /* asks for SPOOL_STOCK_BATCH files */
	void *context;
};

/* Asks for the first files. */
void spool_stock_init(struct spool_stock *stock, void (*ask)(void *context), void *context);
/* An answer: writer, reader, writer, reader ...; takes the descriptors it sets to -1. None at all: the master has none now, and
 * is asked again at the next need. */
void spool_stock_add(struct spool_stock *stock, int *descriptors, size_t count);
/* The take of a struct spool_source. */
bool spool_stock_take(void *stock, int *writer, int *reader);
void spool_stock_clear(struct spool_stock *stock);

#endif
