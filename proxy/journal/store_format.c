/* Tables, search keys and the packing of a record. Opens no database. */
#include "journal/store_format.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define PACKED_HEADER 5
#define PACKING_ZLIB 1
#define MESSAGE_ID_KEY_MAX 250

/* The columns of `records` beside body serve the search, and a reader with nothing but the sqlite3 shell. IDs and times come in
 * order, so their indexes grow at the end; only addresses, clients and Message-IDs land in random places. */
const char store_schema[] =
    "CREATE TABLE IF NOT EXISTS records ("
    " id INTEGER PRIMARY KEY, queue_id TEXT, session_id TEXT NOT NULL, started_us INTEGER NOT NULL, finished_us INTEGER NOT NULL,"
    " sender TEXT, recipients TEXT, client TEXT, message_id TEXT, result TEXT NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS addresses ("
    " role INTEGER NOT NULL, address TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (role, address, record)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS records_queue_id ON records (queue_id) WHERE queue_id IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS records_session_id ON records (session_id);"
    "CREATE INDEX IF NOT EXISTS records_time ON records (finished_us);"
    "CREATE INDEX IF NOT EXISTS records_client ON records (client);"
    "CREATE INDEX IF NOT EXISTS records_message_id ON records (message_id) WHERE message_id IS NOT NULL;"
    "PRAGMA user_version = 1;";
_Static_assert(STORE_FORMAT_VERSION == 1, "the schema's user_version must say the same");

static void
append_lower(struct buffer *out, const char *text, size_t length)
{
	char *to = buffer_reserve(out, length);
	for (size_t i = 0; i < length; i++)
		to[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
	buffer_added(out, length);
}

void
store_address_key(struct span address, struct buffer *key)
{
	const char *at = address.length == 0 ? NULL : memrchr(address.at, '@', address.length);
	size_t local = at == NULL ? address.length : (size_t)(at - address.at);

	if (at != NULL)
		append_lower(key, at + 1, address.length - local - 1);
	buffer_append_char(key, '@');
	append_lower(key, address.at, local);
}

struct span
store_message_id_key(const char *message_id)
{
	struct span key = span_of(message_id);

	if (key.length >= 2 && key.at[0] == '<' && key.at[key.length - 1] == '>')
		key = span_make(key.at + 1, key.length - 2);
	if (key.length > MESSAGE_ID_KEY_MAX)
		key.length = MESSAGE_ID_KEY_MAX;
	return key;
}

void
store_packer_init(struct store_packer *packer)
{
	memset(packer, 0, sizeof *packer);
	/* A small window and hash: records are a few kilobytes, and resetting the tables costs per record. */
	ASSERT(deflateInit2(&packer->stream, 1, Z_DEFLATED, 13, 6, Z_DEFAULT_STRATEGY) == Z_OK);
}

void
store_packer_free(struct store_packer *packer)
{
	deflateEnd(&packer->stream);
	buffer_free(&packer->encoded);
	buffer_free(&packer->packed);
}

void
store_pack(struct store_packer *packer, const struct record *record)
{
	z_stream *stream = &packer->stream;

	buffer_clear(&packer->encoded);
	buffer_clear(&packer->packed);
	record_encode(record, true, &packer->encoded);
	frame_put_u8(&packer->packed, PACKING_ZLIB);
	frame_put_u32(&packer->packed, (uint32_t)packer->encoded.length);
	size_t bound = deflateBound(stream, packer->encoded.length);
	stream->next_in = (Bytef *)packer->encoded.data;
	stream->avail_in = (uInt)packer->encoded.length;
	stream->next_out = (Bytef *)buffer_reserve(&packer->packed, bound);
	stream->avail_out = (uInt)bound;
	ASSERT(deflate(stream, Z_FINISH) == Z_STREAM_END);
	buffer_added(&packer->packed, bound - stream->avail_out);
	ASSERT(deflateReset(stream) == Z_OK);
}

const char *
store_unpack(struct span packed, struct record *record)
{
	struct frame_reader reader;

	memset(record, 0, sizeof *record);
	frame_reader_init(&reader, packed.at, packed.length);
	uint8_t packing = frame_get_u8(&reader);
	uint32_t length = frame_get_u32(&reader);
	if (reader.failed)
		return "record is cut short";
	if (packing != PACKING_ZLIB)
		return "record is packed in a way this version does not know";
	if (length > FRAME_PAYLOAD_MAX)
		return "record claims an impossible size";
	char *bytes = memory_new((size_t)length + 1);
	uLongf unpacked = length;
	const char *problem = NULL;
	if (uncompress((Bytef *)bytes, &unpacked, (const Bytef *)reader.at, reader.left) != Z_OK || unpacked != length) {
		problem = "record cannot be decompressed";
	} else {
		frame_reader_init(&reader, bytes, length);
		if (!record_decode(&reader, record))
			problem = "record is malformed";
		else if (!frame_reader_finish(&reader)) {
			record_clear(record);
			problem = "record has bytes too many";
		}
	}
	memory_free(&bytes);
	return problem;
}
