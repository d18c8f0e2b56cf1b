# postern: make run (try it), make check (everything a change must pass). See README.md.
CC ?= gcc
BUILD ?= build
OPTIMISE ?= -O2 -g
PACKAGES := libevent_core libunbound yaml-0.1 sqlite3 libseccomp zlib libcrypto
CPPFLAGS += -D_GNU_SOURCE -Iproxy -I. $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS += -std=gnu11 $(OPTIMISE) -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 $(SANITIZE)
LDFLAGS += -pie -Wl,-z,relro,-z,now $(SANITIZE)
LIBRARIES = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lresolv

# Floors, lowest first: a file includes only lower floors or files of its own (tests/lint/floors checks it).
FLOORS := base wire mail dns conf deliver journal chain relay front master cli
floor_directory = $(if $(filter conf,$(1)),conf,proxy/$(1))
floor_sources = $(wildcard $(call floor_directory,$(1))/*.c)
floor_objects = $(patsubst %.c,$(BUILD)/%.o,$(call floor_sources,$(1)))
floor_libraries = $(foreach floor,$(1),$(BUILD)/lib$(floor).a)
# The floors up to and including $(1).
floors_up_to = $(if $(filter $(1),$(firstword $(2))),$(firstword $(2)),$(firstword $(2)) $(call floors_up_to,$(1),$(wordlist 2,99,$(2))))

all: $(BUILD)/postern

define floor_library
$(BUILD)/lib$(1).a: $(call floor_objects,$(1))
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach floor,$(FLOORS),$(eval $(call floor_library,$(floor))))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/postern: $(call floor_objects,cli) $(call floor_libraries,$(filter-out cli,$(FLOORS)))
	$(CC) $(LDFLAGS) -o $@ $(call floor_objects,cli) -Wl,--start-group $(call floor_libraries,$(filter-out cli,$(FLOORS))) -Wl,--end-group $(LIBRARIES)

# Unit tests: tests/unit/FLOOR/test_NAME.c is one program, linked with the floors up to its own.
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SOURCES))
unit_floor = $(patsubst %/,%,$(dir $(1)))
.SECONDEXPANSION:
$(BUILD)/unit/%: tests/unit/%.c $$(call floor_libraries,$$(call floors_up_to,$$(call unit_floor,$$*),$$(FLOORS)))
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(filter-out -Wmissing-prototypes,$(CFLAGS)) $(LDFLAGS) -MMD -MP -o $@ $< \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES) $(shell pkg-config --libs check)

# make unit: all of them. make unit T=mail/test_address: one.
unit: $(if $(T),$(BUILD)/unit/$(T),$(UNIT_PROGRAMS))
	@set -e; for program in $^; do $$program; done

clean:
	rm -rf $(BUILD)

.PHONY: all unit clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
