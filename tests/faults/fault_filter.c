/* The filter "fault": one function per way to go wrong, by the local part of the sender. "ahead-X" does X at MAIL already. A number behind the last
 * hyphen is an argument. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "faults.h"

#define HUGE_BYTES (1u << 20)

struct fault_context {
	const struct filter_job *job;
	struct filter_output *output;
	unsigned argument;
};
typedef enum filter_outcome fault_function(const struct fault_context *context);

/* ---- the process ---- */

static enum filter_outcome
fault_abort(const struct fault_context *context)
{
	(void)context;
	abort();
}

static enum filter_outcome
fault_segv(const struct fault_context *context)
{
	int *volatile nowhere = (int *)(uintptr_t)context->argument;

	*nowhere = 1;
	return FILTER_DONE;
}

static enum filter_outcome
fault_hang(const struct fault_context *context)
{
	(void)context;
	for (volatile bool forever = true; forever;)
		;
	return FILTER_DONE;
}

static enum filter_outcome
fault_hog(const struct fault_context *context)
{
	(void)context;
	for (size_t size = HUGE_BYTES; size != 0; size *= 2)
		memset(memory_new(size), 1, size);
	return FILTER_DONE;
}

static enum filter_outcome
fault_stack(const struct fault_context *context)
{
	fault_function *volatile deeper = fault_stack;
	volatile char space[HUGE_BYTES];

	space[0] = space[sizeof space - 1] = (char)context->argument;
	return deeper(context) == FILTER_DONE && space[0] != 0 ? FILTER_PENDING : FILTER_DONE;
}

/* Takes so many milliseconds, and is honest then. */
static enum filter_outcome
fault_slow(const struct fault_context *context)
{
	const struct timespec time = {context->argument / 1000, context->argument % 1000 * 1000000L};

	nanosleep(&time, NULL);
	return FILTER_DONE;
}

/* ---- forbidden system calls ---- */

static enum filter_outcome
fault_socket(const struct fault_context *context)
{
	(void)context;
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? FILTER_DONE : FILTER_FAILED;
}

static enum filter_outcome
fault_open(const struct fault_context *context)
{
	(void)context;
	return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0 ? FILTER_DONE : FILTER_FAILED;
}

static enum filter_outcome
fault_exec(const struct fault_context *context)
{
	char *arguments[] = {(char *)"true", NULL};

	(void)context;
	execve("/bin/true", arguments, NULL);
	return FILTER_DONE;
}

/* ---- questions ---- */

/* A new one in each round, for ever. */
static enum filter_outcome
fault_ask_endlessly(const struct fault_context *context)
{
	char *name = memory_format("q%zu.endless.example", context->job->answers->count);

	filter_lookup(context->job, context->output, name, DNS_TYPE_TXT);
	memory_free(&name);
	return FILTER_PENDING;
}

static enum filter_outcome
fault_ask_again(const struct fault_context *context)
{
	dns_table_ask(&context->output->questions, "again.example", DNS_TYPE_TXT);
	return FILTER_PENDING;
}

static enum filter_outcome
fault_ask_nothing(const struct fault_context *context)
{
	(void)context;
	return FILTER_PENDING;
}

/* So many at once; then says how many were too many. */
static enum filter_outcome
fault_ask_many(const struct fault_context *context)
{
	unsigned refused = 0, open = 0;

	for (unsigned i = 0; i < context->argument; i++) {
		char *name = memory_format("m%u.many.example", i);
		const struct dns_answer *answer = filter_lookup(context->job, context->output, name, DNS_TYPE_A);

		open += answer == NULL;
		refused += answer != NULL && answer->status == DNS_STATUS_TOO_LARGE;
		memory_free(&name);
	}
	context->output->reason = memory_format("%u of %u questions were too many", refused, context->argument);
	return open > 0 ? FILTER_PENDING : FILTER_DONE;
}

/* ---- what it says ---- */

static enum filter_outcome
add_header(const struct fault_context *context, const char *name, const char *value)
{
	edit_list_add_header(&context->output->edits, "fault", "X-Harmless", "yes");
	edit_list_add_header(&context->output->edits, "fault", name, value);
	return FILTER_DONE;
}

static enum filter_outcome
fault_edit_crlf(const struct fault_context *context)
{
	return add_header(context, "X-Fault", "value\r\nX-Forged: yes");
}

static enum filter_outcome
fault_edit_cr(const struct fault_context *context)
{
	return add_header(context, "X-Fault", "value\rX-Forged: yes");
}

static enum filter_outcome
fault_edit_name(const struct fault_context *context)
{
	return add_header(context, "X-Fault: a\r\nX-Forged", "yes");
}

static enum filter_outcome
fault_edit_index(const struct fault_context *context)
{
	edit_list_insert_header(&context->output->edits, "fault", UINT32_MAX, "X-Fault", "far away");
	return FILTER_DONE;
}

static enum filter_outcome
fault_edit_nul(const struct fault_context *context)
{
	edit_list_replace_body(&context->output->edits, "fault", span_make("a\0b\r\n", 5));
	return FILTER_DONE;
}

static enum filter_outcome
fault_edit_envelope(const struct fault_context *context)
{
	edit_list_add_recipient(&context->output->edits, "fault", "other@example.org", NULL);
	return FILTER_DONE;
}

static char *
huge_text(void)
{
	char *text = memory_new(HUGE_BYTES + 1);

	memset(text, 'x', HUGE_BYTES);
	return text;
}

static enum filter_outcome
fault_edit_huge(const struct fault_context *context)
{
	char *text = huge_text();

	add_header(context, "X-Fault", text);
	memory_free(&text);
	return FILTER_DONE;
}

static enum filter_outcome
fault_edit_many(const struct fault_context *context)
{
	for (unsigned i = 0; i < context->argument; i++)
		add_header(context, "X-Fault", "again");
	return FILTER_DONE;
}

/* Everything as large as it can be made; what is words only is to be cut. */
static enum filter_outcome
fault_huge(const struct fault_context *context)
{
	struct filter_output *output = context->output;
	char *text = huge_text();

	output->reason = memory_copy_string(text);
	for (unsigned i = 0; i < context->argument; i++) {
		char *name = memory_format("n%u", i);

		facts_set_text(&output->facts, "fault", name, text);
		memory_free(&name);
	}
	output->verdict.kind = VERDICT_REJECT;
	reply_set(&output->verdict.reply, 550, "5.7.1", "%s", text);
	memory_free(&text);
	return FILTER_DONE;
}

static enum filter_outcome
fault_reply(const struct fault_context *context)
{
	context->output->verdict.kind = VERDICT_REJECT;
	reply_set(&context->output->verdict.reply, 550, "5.7.1", "%s", "no\r\n250 2.0.0 Ok: queued");
	return FILTER_DONE;
}

static enum filter_outcome
fault_failed(const struct fault_context *context)
{
	context->output->reason = memory_copy_string("the library has no idea");
	return FILTER_FAILED;
}

/* ---- by name ---- */

static const struct {
	const char *name;
	fault_function *function;
} faults[] = {
	{"abort", fault_abort}, {"segv", fault_segv}, {"hang", fault_hang}, {"hog", fault_hog}, {"stack", fault_stack}, {"slow", fault_slow},
	{"socket", fault_socket}, {"open", fault_open}, {"exec", fault_exec},
	{"ask-endlessly", fault_ask_endlessly}, {"ask-again", fault_ask_again}, {"ask-nothing", fault_ask_nothing}, {"ask-many", fault_ask_many},
	{"edit-crlf", fault_edit_crlf}, {"edit-cr", fault_edit_cr}, {"edit-name", fault_edit_name}, {"edit-index", fault_edit_index},
	{"edit-nul", fault_edit_nul}, {"edit-envelope", fault_edit_envelope}, {"edit-huge", fault_edit_huge}, {"edit-many", fault_edit_many},
	{"huge", fault_huge}, {"reply", fault_reply}, {"failed", fault_failed},
};

static enum filter_outcome
fault_do(const char *what, struct fault_context *context)
{
	size_t length = strcspn(what, "@");
	const char *number = memrchr(what, '-', length);

	if (number != NULL && number[1] >= '0' && number[1] <= '9') {
		context->argument = (unsigned)strtoul(number + 1, NULL, 10);
		length = (size_t)(number - what);
	}
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if (strlen(faults[i].name) == length && strncmp(what, faults[i].name, length) == 0)
			return faults[i].function(context);
	return FILTER_DONE;
}

static enum filter_outcome
fault_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	static const char ahead[] = "ahead-", forge[] = "forge-";
	struct fault_context context = {.job = job, .output = output};
	const char *what = job->envelope->sender;
	bool is_ahead = strncmp(what, ahead, strlen(ahead)) == 0;

	(void)state;
	forgery_choose(NULL);
	if (is_ahead != (job->stage == STAGE_MAIL))
		return FILTER_DONE;
	what += is_ahead ? strlen(ahead) : 0;
	if (strncmp(what, forge, strlen(forge)) == 0)
		forgery_choose(what + strlen(forge));
	return fault_do(what, &context);
}

const struct filter fault_filter = {
	.name = "fault",
	.stages = 1u << STAGE_MAIL | 1u << STAGE_MESSAGE,
	.run = fault_run,
};
