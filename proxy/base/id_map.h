/* 64-bit id -> pointer. Async answers find their object here; an id that is gone finds nothing. */
#ifndef POSTERN_BASE_ID_MAP_H
#define POSTERN_BASE_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

struct id_map; /* opaque */

struct id_map *id_map_new(void);
void id_map_free(struct id_map **map);
/* Stores `object` (not NULL, not owned) and returns its id: never 0, never used twice by this map. */
uint64_t id_map_add(struct id_map *map, void *object);
/* NULL when there is none. */
void *id_map_find(const struct id_map *map, uint64_t id);
/* Forgets the id; unknown ids are ignored. */
void id_map_remove(struct id_map *map, uint64_t id);
size_t id_map_count(const struct id_map *map);
/* Calls visit for every object; visit may remove the object it was given (and only that). */
void id_map_each(struct id_map *map, void (*visit)(void *context, uint64_t id, void *object), void *context);

#endif
