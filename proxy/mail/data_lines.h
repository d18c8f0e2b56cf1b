/* The bytes after DATA or in BDAT chunks: dot-unstuffing, strict line rules, the end. A byte-driven state machine
 * (RFC 5321 4.5.2, 2.3.8; smuggling: only CR LF . CR LF ends DATA). Pure. */
#ifndef POSTERN_MAIL_DATA_LINES_H
#define POSTERN_MAIL_DATA_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum data_lines_mode {
	DATA_LINES_DATA, /* dot-stuffed, ends at CR LF . CR LF */
	DATA_LINES_BDAT, /* as is; the caller counts octets and calls data_lines_end */
};

/* What was wrong with the message so far; the first one is kept. Enum, enhanced code, words for the reply. */
#define DATA_LINES_FAULTS(X) \
	X(DATA_LINES_FINE, "", "") \
	X(DATA_LINES_BARE_CR, "5.5.2", "bare carriage return in message") \
	X(DATA_LINES_BARE_LF, "5.5.2", "bare line feed in message") \
	X(DATA_LINES_NUL, "5.6.0", "NUL byte in message") \
	X(DATA_LINES_LINE_TOO_LONG, "5.5.2", "line too long in message")

enum data_lines_fault {
#define X(name, enhanced, text) name,
	DATA_LINES_FAULTS(X)
#undef X
};
const char *data_lines_fault_text(enum data_lines_fault fault);
const char *data_lines_fault_enhanced(enum data_lines_fault fault);

struct data_lines {
	enum data_lines_mode mode;
	bool normalise; /* bare CR, bare LF -> CR LF; NUL dropped; they are then not faults, only counted */
	uint64_t line_limit; /* bytes in a line without its end (and without a stuffed dot) */
	/* results so far */
	enum data_lines_fault fault;
	uint64_t fault_line; /* line number of the fault, from 1, as the client sent them (a removed "From " line counts) */
	uint64_t normalised; /* bytes changed by normalising */
	bool eight_bit; /* a byte over 127 was seen */
	bool starts_with_dot; /* some line begins with '.', so sending needs stuffing */
	bool mbox_line_removed; /* a leading "From " line was dropped */
	/* private */
	int state;
	uint64_t line; /* number of the current line, from 1 */
	uint64_t column; /* bytes of it so far */
	size_t matched; /* first line: bytes of "From " held back */
	bool skipping; /* inside the "From " line */
};

void data_lines_init(struct data_lines *lines, enum data_lines_mode mode, bool normalise, uint64_t line_limit);
/* Takes bytes from the wire, appends message bytes to `out`. Returns how many bytes were taken: fewer than `length` only when
 * the end was found (*ended = true, DATA mode). After a fault, bytes are still followed to the end but no longer appended. */
size_t data_lines_take(struct data_lines *lines, const char *bytes, size_t length, struct buffer *out, bool *ended);
/* BDAT: the last octet has come. Appends what was held back (a CR at the very end is a fault); in both modes the caller then
 * asks data_lines_needs_final_crlf. */
void data_lines_end(struct data_lines *lines, struct buffer *out);
/* BDAT messages may lack the final CRLF: it is then to be added. An empty message needs none. */
bool data_lines_needs_final_crlf(const struct data_lines *lines);

/* Sending: appends `bytes` dot-stuffed (RFC 5321 4.5.2). *at_line_start carries over calls, starts true. A line starts behind
 * every LF; the bytes are a checked message, where each LF has its CR. */
void data_lines_stuff(struct span bytes, bool *at_line_start, struct buffer *out);

#endif
