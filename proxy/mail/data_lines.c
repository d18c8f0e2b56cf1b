/* Message bytes on their way in and out: see data_lines.h. Owns the state machine that finds the end of DATA, takes off dots,
 * and judges line ends. Never does I/O, never looks at what a line says (but for a leading mbox "From " line).
 *
 * Smuggling (RFC 5321 2.3.8, 4.1.1.4): two servers that disagree on where a message ends let one message carry another. So a line
 * start that may take off a dot or end the message (STATE_LINE_START) comes only from CR LF on the wire. A line start made
 * by anything else, be it a fault or normalised, is STATE_CONTENT_START, where a dot is a byte of the message. */
#include "mail/data_lines.h"

#include <string.h>

#include "base/assert.h"

enum {
	STATE_LINE_START, /* behind CR LF, or at the very start */
	STATE_CONTENT_START, /* no byte of the line's content yet, a dot would mean nothing */
	STATE_MBOX, /* first line, so far equal to the start of "From " */
	STATE_CONTENT,
	STATE_CR, /* CR seen, held back until the next byte */
	STATE_DOT, /* dot at a line start, to be dropped whatever follows */
	STATE_DOT_CR, /* and a CR behind it */
	STATE_ENDED,
};

static const char mbox_prefix[] = "From ";
static const char line_end[] = "\r\n";

/* One call's input, and the run of message bytes not yet copied to `out`. */
struct pass {
	struct data_lines *lines;
	struct buffer *out;
	const char *at, *end;
	const char *run;
	size_t run_length;
};

const char *
data_lines_fault_text(enum data_lines_fault fault)
{
	static const char *const texts[] = {
#define X(name, enhanced, text) [name] = text,
		DATA_LINES_FAULTS(X)
#undef X
	};

	ASSERT((size_t)fault < sizeof texts / sizeof texts[0]);
	return texts[fault];
}

const char *
data_lines_fault_enhanced(enum data_lines_fault fault)
{
	static const char *const codes[] = {
#define X(name, enhanced, text) [name] = enhanced,
		DATA_LINES_FAULTS(X)
#undef X
	};

	ASSERT((size_t)fault < sizeof codes / sizeof codes[0]);
	return codes[fault];
}

void
data_lines_init(struct data_lines *lines, enum data_lines_mode mode, bool normalise, uint64_t line_limit)
{
	*lines = (struct data_lines){
		.mode = mode,
		.normalise = normalise,
		.line_limit = line_limit,
		.state = STATE_LINE_START,
		.line = 1,
	};
}

static bool
has_eight_bit(const char *bytes, size_t length)
{
	const uint64_t high_bits = 0x8080808080808080u;
	uint64_t seen = 0;

	while (length >= 4 * sizeof seen) {
		uint64_t words[4];

		memcpy(words, bytes, sizeof words);
		seen |= words[0] | words[1] | words[2] | words[3];
		bytes += sizeof words;
		length -= sizeof words;
	}
	while (length-- > 0) /* the analyzer takes the held-back "From " for longer than it is */
		seen |= (uint64_t)(unsigned char)*bytes++; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
	return (seen & high_bits) != 0;
}

static void
run_flush(struct pass *pass)
{
	if (pass->run_length == 0)
		return;
	if (!pass->lines->eight_bit)
		pass->lines->eight_bit = has_eight_bit(pass->run, pass->run_length);
	buffer_append(pass->out, pass->run, pass->run_length);
	pass->run_length = 0;
}

/* Message bytes: joined with the run before them where they touch. */
static void
emit(struct pass *pass, const char *bytes, size_t length)
{
	if (pass->lines->fault != DATA_LINES_FINE || pass->lines->skipping)
		return;
	if (pass->run_length > 0 && pass->run + pass->run_length == bytes) {
		pass->run_length += length;
		return;
	}
	run_flush(pass);
	pass->run = bytes;
	pass->run_length = length;
}

static void
fault_set(struct data_lines *lines, enum data_lines_fault fault)
{
	if (lines->fault != DATA_LINES_FINE)
		return;
	lines->fault = fault;
	lines->fault_line = lines->line;
}

/* Bytes inside a line. */
static void
content(struct pass *pass, const char *bytes, size_t length)
{
	struct data_lines *lines = pass->lines;
	uint64_t room = lines->line_limit > lines->column ? lines->line_limit - lines->column : 0;

	lines->column += length;
	if (length <= room) {
		emit(pass, bytes, length);
		return;
	}
	emit(pass, bytes, room);
	fault_set(lines, DATA_LINES_LINE_TOO_LONG);
}

/* `bytes`: where CR LF stands in the input, or line_end. */
static void
line_finish(struct pass *pass, const char *bytes, int next_state)
{
	struct data_lines *lines = pass->lines;

	if (lines->skipping)
		lines->skipping = false;
	else
		emit(pass, bytes, 2);
	lines->line++;
	lines->column = 0;
	lines->state = next_state;
}

/* A CR or LF that stands alone. */
static void
bare_line_end(struct pass *pass, enum data_lines_fault fault)
{
	if (pass->lines->normalise)
		pass->lines->normalised++;
	else
		fault_set(pass->lines, fault);
	line_finish(pass, line_end, STATE_CONTENT_START);
}

static void
nul(struct pass *pass)
{
	if (pass->lines->normalise)
		pass->lines->normalised++;
	else
		fault_set(pass->lines, DATA_LINES_NUL);
}

static bool
is_special(char byte)
{
	return byte == '\r' || byte == '\n' || byte == '\0';
}

/* Sixteen bytes compared at once, in whatever registers the machine has; faster here than three memchr, since lines are short. */
typedef unsigned char byte_vector __attribute__((vector_size(16)));

static bool
vector_has_special(const char *bytes)
{
	byte_vector vector;
	uint64_t halves[2];

	memcpy(&vector, bytes, sizeof vector);
	vector = (byte_vector)(vector == '\r') | (byte_vector)(vector == '\n') | (byte_vector)(vector == 0);
	memcpy(halves, &vector, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/* The next CR, LF or NUL; the end when there is none. */
static const char *
find_special(const char *at, const char *end)
{
	while ((size_t)(end - at) >= sizeof(byte_vector) && !vector_has_special(at))
		at += sizeof(byte_vector);
	while (at < end && !is_special(*at))
		at++;
	return at;
}

/* Takes a line from inside it, and the lines behind it while they begin without any meaning. */
static void
take_content(struct pass *pass)
{
	struct data_lines *lines = pass->lines;

	for (;;) {
		const char *special = find_special(pass->at, pass->end);

		content(pass, pass->at, (size_t)(special - pass->at));
		pass->at = special;
		if (special == pass->end)
			return;
		pass->at++;
		if (*special == '\0') {
			nul(pass);
			continue;
		}
		if (*special == '\n') {
			bare_line_end(pass, DATA_LINES_BARE_LF);
		} else if (pass->at < pass->end && *pass->at == '\n') {
			line_finish(pass, special, STATE_LINE_START);
			pass->at++;
		} else {
			lines->state = STATE_CR;
			return;
		}
		/* Dot and NUL mean something at the start of a line; anything else is just content. It is never line 1. */
		if (pass->at == pass->end || *pass->at == '.' || *pass->at == '\0')
			return;
		lines->state = STATE_CONTENT;
	}
}

/* The first byte of a line's content; special bytes are left to STATE_CONTENT. */
static void
take_first_byte(struct pass *pass)
{
	struct data_lines *lines = pass->lines;

	if (*pass->at == '\0') {
		/* Dropped, or a fault; a dot behind it is still not at a line start of the wire. */
		nul(pass);
		pass->at++;
		return;
	}
	if (*pass->at == '.')
		lines->starts_with_dot = true;
	lines->state = lines->line == 1 ? STATE_MBOX : STATE_CONTENT;
}

static void
mbox_give_back(struct pass *pass)
{
	size_t length = pass->lines->matched;

	pass->lines->matched = 0;
	pass->lines->state = STATE_CONTENT;
	content(pass, mbox_prefix, length);
}

static void
take_mbox(struct pass *pass)
{
	struct data_lines *lines = pass->lines;

	if (*pass->at == '\0') {
		nul(pass);
		pass->at++;
		return;
	}
	if (*pass->at != mbox_prefix[lines->matched]) {
		mbox_give_back(pass);
		return;
	}
	pass->at++;
	if (++lines->matched < sizeof mbox_prefix - 1)
		return;
	lines->skipping = true;
	lines->mbox_line_removed = true;
	mbox_give_back(pass);
}

/* Takes at least one byte, or changes the state without taking one (never twice in a row to the same). */
static void
step(struct pass *pass)
{
	struct data_lines *lines = pass->lines;

	switch (lines->state) {
	case STATE_LINE_START:
		if (lines->mode == DATA_LINES_DATA && *pass->at == '.') {
			lines->state = STATE_DOT;
			pass->at++;
		} else {
			lines->state = STATE_CONTENT_START;
		}
		break;
	case STATE_CONTENT_START:
		take_first_byte(pass);
		break;
	case STATE_MBOX:
		take_mbox(pass);
		break;
	case STATE_CONTENT:
		take_content(pass);
		break;
	case STATE_CR:
		if (*pass->at == '\n') {
			line_finish(pass, line_end, STATE_LINE_START);
			pass->at++;
		} else {
			bare_line_end(pass, DATA_LINES_BARE_CR);
		}
		break;
	case STATE_DOT:
		if (*pass->at == '\r') {
			lines->state = STATE_DOT_CR;
			pass->at++;
		} else {
			lines->state = STATE_CONTENT_START;
		}
		break;
	case STATE_DOT_CR:
		if (*pass->at == '\n') {
			lines->state = STATE_ENDED;
			pass->at++;
		} else {
			bare_line_end(pass, DATA_LINES_BARE_CR);
		}
		break;
	default:
		ASSERT(!"data_lines state");
	}
}

size_t
data_lines_take(struct data_lines *lines, const char *bytes, size_t length, struct buffer *out, bool *ended)
{
	struct pass pass = {
		.lines = lines,
		.out = out,
		.at = bytes,
		.end = length > 0 ? bytes + length : bytes,
	};

	while (pass.at < pass.end && lines->state != STATE_ENDED)
		step(&pass);
	run_flush(&pass);
	*ended = lines->state == STATE_ENDED;
	return (size_t)(pass.at - bytes);
}

void
data_lines_end(struct data_lines *lines, struct buffer *out)
{
	struct pass pass = {.lines = lines, .out = out};

	if (lines->state == STATE_CR)
		bare_line_end(&pass, DATA_LINES_BARE_CR);
	else if (lines->state == STATE_MBOX)
		mbox_give_back(&pass);
	run_flush(&pass);
}

bool
data_lines_needs_final_crlf(const struct data_lines *lines)
{
	return lines->state == STATE_CONTENT && !lines->skipping;
}

void
data_lines_stuff(struct span bytes, bool *at_line_start, struct buffer *out)
{
	const char *at = bytes.at, *run = bytes.at, *end;

	if (bytes.length == 0)
		return;
	end = at + bytes.length;
	while (at < end) {
		if (*at_line_start && *at == '.') {
			buffer_append(out, run, (size_t)(at - run));
			buffer_append_char(out, '.');
			run = at;
		}
		const char *feed = memchr(at, '\n', (size_t)(end - at));

		*at_line_start = feed != NULL;
		at = feed != NULL ? feed + 1 : end;
	}
	if (run < end)
		buffer_append(out, run, (size_t)(end - run));
}
