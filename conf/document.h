/* YAML text to a node tree whose nodes know line and column. Only the part of YAML a configuration needs: one document, no
 * anchors, aliases or tags, bounded depth and number of nodes; so a tree is never larger than its text suggests. */
#ifndef POSTERN_CONF_DOCUMENT_H
#define POSTERN_CONF_DOCUMENT_H

#include <stdbool.h>
#include <yaml.h>

#include "conf/config.h"

#define DOCUMENT_BYTES_MAX (4u << 20)
#define DOCUMENT_ERRORS_SHOWN_MAX 1000

/* False and an error added when the text is refused; the document then needs no yaml_document_delete. */
bool document_parse(yaml_document_t *document, const char *file_name, struct span text, struct config_errors *errors);
/* One error line; line and column count from 0, as libyaml's marks do. After DOCUMENT_ERRORS_SHOWN_MAX only the count grows. */
void document_error(struct config_errors *errors, const char *file_name, size_t line, size_t column, struct span what);

#endif
