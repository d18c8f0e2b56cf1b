/* Names and users of the roles, out of the one table. */
#include "wire/roles.h"

#include <string.h>

#include "base/assert.h"

static const struct {
	const char *name;
	const char *user;
} roles[ROLE_COUNT] = {
#define X(enumerator, text, user, description) [enumerator] = {text, user},
	ROLES(X)
#undef X
};

const char *
role_name(enum role role)
{
	ASSERT((unsigned)role < ROLE_COUNT);
	return roles[role].name;
}

const char *
role_default_user(enum role role)
{
	ASSERT((unsigned)role < ROLE_COUNT);
	return roles[role].user;
}

int
role_from_name(const char *name)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (strcmp(roles[i].name, name) == 0)
			return i;
	}
	return -1;
}
