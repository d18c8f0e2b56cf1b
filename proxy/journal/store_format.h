/* What a day's database looks like, shared by the writer (store.c) and the reader (search.c): tables, search keys, packed records. */
#ifndef POSTERN_JOURNAL_STORE_FORMAT_H
#define POSTERN_JOURNAL_STORE_FORMAT_H

#include <stdbool.h>
#include <zlib.h>

#include "base/buffer.h"
#include "journal/record.h"

/* PRAGMA user_version of a day's database. A reader refuses a later one; the writer sets it aside. */
#define STORE_FORMAT_VERSION 1
extern const char store_schema[];

enum store_address_role { STORE_SENDER = 0, STORE_RECIPIENT = 1 };

/* "domain@local" in lower case (ASCII): equality finds an address, the prefix "domain@" a whole domain. */
void store_address_key(struct span address, struct buffer *key);
/* The Message-ID without its brackets, bounded. */
struct span store_message_id_key(const char *message_id);

/* A record as stored: u8 packing (1 = zlib), u32 length of the encoded record, its bytes. */
struct store_packer {
	z_stream stream;
	struct buffer encoded;
	struct buffer packed; /* the result, until the next call */
};
void store_packer_init(struct store_packer *packer);
void store_packer_free(struct store_packer *packer);
void store_pack(struct store_packer *packer, const struct record *record);
/* Returns NULL, or what is wrong with the bytes; then the record is clear. */
const char *store_unpack(struct span packed, struct record *record);

#endif
