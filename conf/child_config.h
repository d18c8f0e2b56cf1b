/* The configuration in a child process: the master has checked the text before it sent it, so a refusal here is a bug or a
 * machine that fails. Also sets how this process logs. */
#ifndef POSTERN_CONF_CHILD_CONFIG_H
#define POSTERN_CONF_CHILD_CONFIG_H

#include <stdint.h>

#include "conf/config.h"

/* At the start; fatal() when the text is refused. */
struct config *child_config_load(const char *file_name, const char *text);
/* After a reload that kept this process: *config is replaced. False: the text was refused and the old one stays (said in the log). */
bool child_config_replace(struct config **config, uint32_t generation, const char *text);

#endif
