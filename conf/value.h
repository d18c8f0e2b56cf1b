/* The types of values in the configuration: one row each for reading, writing and freeing. Pure. */
#ifndef POSTERN_CONF_VALUE_H
#define POSTERN_CONF_VALUE_H

#include "conf/schema.h"

/* value.c: numbers and words */
extern const struct schema_type value_boolean; /* bool */
extern const struct schema_type value_count; /* uint32_t */
extern const struct schema_type value_size; /* uint64_t, bytes */
extern const struct schema_type value_duration; /* int64_t, milliseconds */
extern const struct schema_type value_choice; /* an enum, in the order of the row's words */
extern const struct schema_type value_action; /* enum config_action: a choice that check.c can tell from others */
extern const struct schema_type value_word; /* char *, one of the row's words */

/* value_name.c: names, addresses, places */
extern const struct schema_type value_path; /* char * */
extern const struct schema_type value_user; /* char *, may be empty */
extern const struct schema_type value_hostname; /* char * */
extern const struct schema_type value_domain; /* char *, in lower case */
extern const struct schema_type value_mailbox; /* char * */
extern const struct schema_type value_network; /* struct ip_network */
extern const struct schema_type value_dns_server; /* char * */
extern const struct schema_type value_maildir; /* char *, "maildir:PATH" */
extern const struct schema_type value_listener_address; /* the struct config_listener */
extern const struct schema_type value_backend_url; /* the struct config_backend */
extern const struct schema_type value_log_target; /* the struct config */

/* Appends the text in double quotes, escaped for a terminal and cut when long; for messages. */
void value_quote(struct buffer *out, const char *text);
/* A decimal number without sign or blanks, the whole text. */
bool value_parse_number(struct span text, uint64_t *number);
/* char * members. */
void value_text_clear(void *field);
bool value_text_print(const struct schema_row *row, const void *field, struct buffer *out);

#endif
