/* Loading a text that the master has loaded before. */
#include "conf/child_config.h"

#include "base/log.h"

static void
apply_log_settings(const struct config *config)
{
	int level = config->log_level == NULL ? -1 : log_level_from_text(config->log_level);

	log_set_level(level < 0 ? LOG_LEVEL_INFO : (enum log_level)level);
	log_set_json(config->log_format == LOG_FORMAT_JSON);
}

struct config *
child_config_load(const char *file_name, const char *text)
{
	struct config_errors errors = {0};
	struct config *config = config_load_text(file_name, span_of(text), &errors);

	if (config == NULL)
		fatal("configuration: %s", buffer_text(&errors.text));
	buffer_free(&errors.text);
	apply_log_settings(config);
	return config;
}

bool
child_config_replace(struct config **config, uint32_t generation, const char *text)
{
	struct config_errors errors = {0};
	struct config *next = config_load_text((*config)->file_name, span_of(text), &errors);

	if (next == NULL)
		log_error("configuration of generation %u cannot be read here; the old one stays: %s", generation, buffer_text(&errors.text));
	buffer_free(&errors.text);
	if (next == NULL)
		return false;
	config_free(config);
	*config = next;
	apply_log_settings(next);
	return true;
}
