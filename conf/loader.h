/* What load.c and check.c share while one configuration is being loaded: the node tree with its positions, and where errors go. */
#ifndef POSTERN_CONF_LOADER_H
#define POSTERN_CONF_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "conf/config.h"
#include "conf/schema.h"

#define LOADER_ROWS_MAX 64 /* of one table */

struct loader {
	const char *file_name;
	struct config *config;
	struct config_errors *errors;
	yaml_document_t document;
	struct buffer path; /* of the option being read: "backends[2].url" */
	size_t root_lines[LOADER_ROWS_MAX]; /* where each top-level option was given, counted from 1; 0: not yet */
	bool root_failed[LOADER_ROWS_MAX]; /* errors were found in it: nothing can be concluded from its value */
};

/* An error at the node; NULL: at the start of the file. */
void loader_error(struct loader *loader, const yaml_node_t *node, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Nodes by name and by number; what is not there gives the node asked, the nearest place to point at. */
const yaml_node_t *loader_root(struct loader *loader);
const yaml_node_t *loader_key(struct loader *loader, const yaml_node_t *node, const char *key);
const yaml_node_t *loader_item(struct loader *loader, const yaml_node_t *node, size_t index);
/* True when the top-level option was given in the file. */
bool loader_was_given(const struct loader *loader, const char *name);
/* True when no error was found in the top-level option. */
bool loader_is_sound(const struct loader *loader, const char *name);

/* check.c: fills in what follows from other options, then reports contradictions between options. */
void config_check(struct loader *loader);

#endif
