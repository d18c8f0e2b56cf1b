/* A slot table: an id is the slot number in its low half and the slot's use count in its high half, so that an id of an
 * object that is gone does not match the slot's next user. */
#include "base/assert.h"
#include "base/id_map.h"
#include "base/memory.h"

#define NO_SLOT UINT32_MAX

struct slot {
	void *object; /* NULL = free */
	uint32_t use; /* grows with each use, never 0 while used */
	uint32_t next_free;
};

struct id_map {
	struct slot *slots;
	uint32_t capacity;
	uint32_t first_free;
	size_t count;
};

struct id_map *
id_map_new(void)
{
	struct id_map *map = memory_new(sizeof *map);

	map->first_free = NO_SLOT;
	return map;
}

void
id_map_free(struct id_map **map)
{
	if (*map == NULL)
		return;
	memory_free(&(*map)->slots);
	memory_free(map);
}

static void
grow(struct id_map *map)
{
	uint32_t capacity = map->capacity > 0 ? map->capacity * 2 : 64;

	ASSERT(capacity > map->capacity);
	map->slots = memory_resize(map->slots, capacity, sizeof *map->slots);
	for (uint32_t i = capacity; i-- > map->capacity;) {
		map->slots[i] = (struct slot){.next_free = map->first_free};
		map->first_free = i;
	}
	map->capacity = capacity;
}

uint64_t
id_map_add(struct id_map *map, void *object)
{
	uint32_t index;
	struct slot *slot;

	ASSERT(object != NULL);
	if (map->first_free == NO_SLOT)
		grow(map);
	index = map->first_free;
	slot = &map->slots[index];
	map->first_free = slot->next_free;
	slot->object = object;
	if (++slot->use == 0)
		slot->use = 1;
	map->count++;
	return (uint64_t)slot->use << 32 | index;
}

static struct slot *
slot_of(const struct id_map *map, uint64_t id)
{
	uint32_t index = (uint32_t)id;

	if (index >= map->capacity || map->slots[index].object == NULL || map->slots[index].use != (uint32_t)(id >> 32))
		return NULL;
	return &map->slots[index];
}

void *
id_map_find(const struct id_map *map, uint64_t id)
{
	struct slot *slot = slot_of(map, id);

	return slot != NULL ? slot->object : NULL;
}

void
id_map_remove(struct id_map *map, uint64_t id)
{
	struct slot *slot = slot_of(map, id);

	if (slot == NULL)
		return;
	slot->object = NULL;
	slot->next_free = map->first_free;
	map->first_free = (uint32_t)id;
	map->count--;
}

size_t
id_map_count(const struct id_map *map)
{
	return map->count;
}

void
id_map_each(struct id_map *map, void (*visit)(void *context, uint64_t id, void *object), void *context)
{
	for (uint32_t i = 0; i < map->capacity; i++)
		if (map->slots[i].object != NULL)
			visit(context, (uint64_t)map->slots[i].use << 32 | i, map->slots[i].object);
}
