/* The master process: alone privileged, touches no byte of mail or of the network. */
#ifndef POSTERN_MASTER_MASTER_H
#define POSTERN_MASTER_MASTER_H

#include "conf/config.h"

struct master_options {
	const char *config_file;
	/* Called once when the gateway serves; NULL = nobody wants to know. */
	void (*on_serving)(const struct config *config);
};

/* The whole life of the gateway, in the foreground. Returns the exit status: 0 after an orderly stop, 1 when it could not start. */
int master_run(const struct master_options *options);

#endif
