/* Loading a generation; everything here happens before any process of it exists. */
#include "master/generation.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "master/privileges.h"

#define SYSTEM_FILE_MAX (1u << 20) /* bytes read of hosts and resolv.conf */

/* A file that is not there is an empty one. */
static char *
read_system_file(const char *path)
{
	struct buffer text = {0};
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = 1;

	while (descriptor >= 0 && got > 0 && text.length < SYSTEM_FILE_MAX) {
		got = read(descriptor, buffer_reserve(&text, 4096), 4096);
		if (got > 0)
			buffer_added(&text, (size_t)got);
	}
	if (descriptor >= 0)
		close(descriptor);
	/* A NUL would end it for the readers, and cannot travel in a string. */
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] == '\0')
			text.data[i] = ' ';
	return buffer_take_string(&text);
}

static bool
same_text(const char *one, const char *other)
{
	return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

/* What lives as long as the master. */
static bool
check_unchanged(const struct config *config, const struct config *before, struct buffer *error)
{
	const struct {
		const char *name, *now, *was;
	} fixed[] = {
		{"data_directory", config->data_directory, before->data_directory},
		{"control_socket", config->control_socket, before->control_socket},
		{"user", config->user_prefix, before->user_prefix},
	};
	bool ok = true;

	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
		if (!same_text(fixed[i].now, fixed[i].was)) {
			buffer_printf(error, "%s: %s cannot change in a reload (from %s to %s): stop and start postern\n", config->file_name,
			    fixed[i].name, fixed[i].was != NULL ? fixed[i].was : "\"\"", fixed[i].now != NULL ? fixed[i].now : "\"\"");
			ok = false;
		}
	return ok;
}

static bool
check(const struct config *config, const struct generation *before, struct buffer *error)
{
	bool ok = privileges_check_users(config, error);

	ok = privileges_check_budget(config, error) && ok;
	if (before != NULL)
		ok = check_unchanged(config, before->config, error) && ok;
	return ok && privileges_make_directories(config, error);
}

struct generation *
generation_load(const char *file_name, uint32_t number, const struct generation *before, struct buffer *error)
{
	struct config_errors errors = {0};
	struct generation *generation = memory_new(sizeof *generation);

	generation->number = number;
	generation->loaded_us = clock_wall_us(clock_system());
	generation->config = config_load_file(file_name, &generation->text, &errors);
	if (generation->config == NULL)
		buffer_append(error, buffer_text(&errors.text), errors.text.length);
	buffer_free(&errors.text);
	if (generation->config != NULL && check(generation->config, before, error))
		generation->listeners = listeners_new(generation->config, before != NULL ? before->listeners : NULL, error);
	if (generation->listeners == NULL) {
		generation_free(&generation);
		return NULL;
	}
	generation->hosts = read_system_file("/etc/hosts");
	generation->resolv_conf = read_system_file("/etc/resolv.conf");
	return generation;
}

void
generation_free(struct generation **generation)
{
	struct generation *gone = *generation;

	if (gone == NULL)
		return;
	*generation = NULL;
	listeners_free(&gone->listeners);
	if (gone->config != NULL)
		config_free(&gone->config);
	memory_free(&gone->text);
	memory_free(&gone->hosts);
	memory_free(&gone->resolv_conf);
	memory_free(&gone);
}

static const char *
maildir_of(const struct config *config, size_t index)
{
	return index < config->backend_count && config->backends[index].protocol == BACKEND_MAILDIR ? config->backends[index].path : NULL;
}

bool
generation_same_deliver(const struct generation *one, const struct generation *other)
{
	const struct config *a = one->config, *b = other->config;

	for (size_t i = 0; i < a->backend_count || i < b->backend_count; i++)
		if (!same_text(maildir_of(a, i), maildir_of(b, i)))
			return false;
	return same_text(a->quarantine, b->quarantine) && a->sandbox == b->sandbox;
}
