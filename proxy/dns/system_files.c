/* Reads the text of resolv.conf (resolv.conf(5)) and hosts (hosts(5)). Owns nothing but the table it makes; never opens a file. */
#include "dns/system_files.h"

#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

#define ENTRIES_MAX 65536

/* The next line without its comment; `*text` moves behind it. False at the end. */
static bool
line_next(const char **text, const char *comment_marks, struct span *line)
{
	if (**text == '\0')
		return false;
	size_t length = strcspn(*text, "\n");
	*line = span_make(*text, length);
	for (size_t i = 0; i < length; i++) {
		if (strchr(comment_marks, line->at[i]) != NULL) {
			line->length = i;
			break;
		}
	}
	*text += length + ((*text)[length] == '\n');
	return true;
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

/* The next word of the line; empty at its end. */
static struct span
word_next(struct span *line)
{
	while (line->length > 0 && is_blank(*line->at))
		*line = span_make(line->at + 1, line->length - 1);
	struct span word = span_make(line->at, 0);
	while (word.length < line->length && !is_blank(line->at[word.length]))
		word.length++;
	*line = span_make(line->at + word.length, line->length - word.length);
	return word;
}

static bool
word_to_address(struct span word, struct ip_address *address)
{
	char text[IP_ADDRESS_TEXT_SIZE];
	if (word.length == 0 || word.length >= sizeof text)
		return false;
	memcpy(text, word.at, word.length);
	text[word.length] = '\0';
	return ip_address_parse(text, address);
}

size_t
resolv_conf_servers(const char *text, struct ip_address *servers, size_t capacity)
{
	size_t count = 0;
	struct span line;

	while (count < capacity && line_next(&text, "#;", &line))
		if (span_is(word_next(&line), "nameserver") && word_to_address(word_next(&line), &servers[count]))
			count++;
	return count;
}

static void
entry_add(struct hosts_table *table, size_t *capacity, struct span name, const struct ip_address *address)
{
	if (name.at[name.length - 1] == '.')
		name.length--;
	if (name.length == 0 || table->count >= ENTRIES_MAX)
		return;
	if (table->count == *capacity) {
		*capacity = *capacity == 0 ? 16 : *capacity * 2;
		table->entries = memory_resize(table->entries, *capacity, sizeof *table->entries);
	}
	table->entries[table->count++] = (struct hosts_entry){memory_copy_text(name.at, name.length), *address};
}

void
hosts_table_parse(const char *text, struct hosts_table *table)
{
	size_t capacity = 0;
	struct span line;

	*table = (struct hosts_table){0};
	while (line_next(&text, "#", &line)) {
		struct ip_address address;
		if (!word_to_address(word_next(&line), &address))
			continue;
		for (struct span name = word_next(&line); name.length > 0; name = word_next(&line))
			entry_add(table, &capacity, name, &address);
	}
}

void
hosts_table_clear(struct hosts_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		memory_free(&table->entries[i].name);
	memory_free(&table->entries);
	table->count = 0;
}

size_t
hosts_table_find(const struct hosts_table *table, const char *name, struct ip_address *addresses, size_t capacity)
{
	size_t count = 0;
	for (size_t i = 0; i < table->count && count < capacity; i++)
		if (span_is_nocase(span_of(name), table->entries[i].name))
			addresses[count++] = table->entries[i].address;
	return count;
}
