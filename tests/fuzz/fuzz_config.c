/* Any text either loads or is refused with words; what loads prints to a text that loads and prints to the same. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
load_and_print(struct span text, struct buffer *out)
{
	struct config_errors errors = {0};
	struct config *config = config_load_text("fuzz", text, &errors);
	bool ok = config != NULL;

	ASSERT(ok == (errors.count == 0));
	ASSERT(ok == (errors.text.length == 0));
	if (ok) {
		ASSERT(config_domain_is_ours(config, config->domains.items[0]));
		ASSERT(config->postmaster != NULL && config->listener_count > 0 && config->backend_count > 0);
		config_print(config, out);
	}
	config_free(&config);
	buffer_free(&errors.text);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer first = {0}, second = {0};

	if (load_and_print(span_make((const char *)data, size), &first)) {
		ASSERT(load_and_print(span_make(first.data, first.length), &second));
		ASSERT(strcmp(buffer_text(&first), buffer_text(&second)) == 0);
	}
	buffer_free(&first);
	buffer_free(&second);
	return 0;
}
