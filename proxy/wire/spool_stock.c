/* One question at a time, until the stock is full. */
#include "wire/spool_stock.h"

#include <unistd.h>

static void
ask_when_low(struct spool_stock *stock)
{
	if (stock->asked || stock->count + SPOOL_STOCK_BATCH > SPOOL_STOCK_SIZE)
		return;
	stock->asked = true;
	stock->ask(stock->context);
}

void
spool_stock_init(struct spool_stock *stock, void (*ask)(void *context), void *context)
{
	*stock = (struct spool_stock){.ask = ask, .context = context};
	ask_when_low(stock);
}

void
spool_stock_add(struct spool_stock *stock, int *descriptors, size_t count)
{
	stock->asked = false;
	for (size_t i = 0; i + 1 < count && stock->count < SPOOL_STOCK_SIZE; i += 2) {
		stock->files[stock->count++] = (struct spool_pair){.writer = descriptors[i], .reader = descriptors[i + 1]};
		descriptors[i] = descriptors[i + 1] = -1;
	}
	if (count > 0)
		ask_when_low(stock);
}

bool
spool_stock_take(void *context, int *writer, int *reader)
{
	struct spool_stock *stock = context;
	bool any = stock->count > 0;

	if (any) {
		const struct spool_pair *last = &stock->files[--stock->count];

		*writer = last->writer;
		*reader = last->reader;
	}
	ask_when_low(stock);
	return any;
}

void
spool_stock_clear(struct spool_stock *stock)
{
	while (stock->count > 0) {
		stock->count--;
		close(stock->files[stock->count].writer);
		close(stock->files[stock->count].reader);
	}
}
