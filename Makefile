# postern: make run (try it), make check (everything a change must pass). See README.md.
CC ?= gcc
BUILD ?= build
OPTIMISE ?= -O2 -g
FORTIFY ?= -D_FORTIFY_SOURCE=2
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
# make V=1 shows the commands.
QUIET := $(if $(V),,@)
# libunbound's own .pc file asks for headers of libraries that only a static link needs.
PACKAGES := libevent_core yaml-0.1 sqlite3 libseccomp zlib libcrypto libidn2
CPPFLAGS += -D_GNU_SOURCE -Iproxy -I. $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS += -std=gnu11 $(OPTIMISE) -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-fstack-protector-strong -fPIE $(FORTIFY) $(SANITIZE)
LDFLAGS += -pie -Wl,-z,relro,-z,now $(SANITIZE)
LIBRARIES = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lunbound -lresolv

# Shared objects of their own, loaded only when the configuration asks for them: what they are linked with stays out of the program.
MODULES := $(BUILD)/postern-spf2.so
MODULE_SOURCES := $(wildcard filters/spf_libspf2/*.c)

# Floors, lowest first: a file includes only lower floors or files of its own (tests/lint/floors checks it).
FLOORS := base wire mail dns conf filters deliver journal chain relay front master cli
floor_directory = $(if $(filter conf filters,$(1)),$(1),proxy/$(1))
floor_sources = $(filter-out $(MODULE_SOURCES),$(wildcard $(call floor_directory,$(1))/*.c $(call floor_directory,$(1))/*/*.c))
floor_objects = $(patsubst %.c,$(BUILD)/%.o,$(call floor_sources,$(1)))
floor_libraries = $(foreach floor,$(1),$(BUILD)/lib$(floor).a)
# The floors up to and including $(1).
floors_up_to = $(if $(filter $(1),$(firstword $(2))),$(firstword $(2)),$(firstword $(2)) $(call floors_up_to,$(1),$(wordlist 2,99,$(2))))

all: $(BUILD)/postern $(MODULES)

define floor_library
$(BUILD)/lib$(1).a: $(call floor_objects,$(1))
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach floor,$(FLOORS),$(eval $(call floor_library,$(floor))))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/postern: $(call floor_objects,cli) $(call floor_libraries,$(filter-out cli,$(FLOORS)))
	$(QUIET)$(CC) $(LDFLAGS) -o $@ $(call floor_objects,cli) -Wl,--start-group $(call floor_libraries,$(filter-out cli,$(FLOORS))) -Wl,--end-group $(LIBRARIES)

$(BUILD)/postern-spf2.so: filters/spf_libspf2/module.c
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -fvisibility=hidden -MMD -MP -shared \
		$(filter-out -pie,$(LDFLAGS)) -o $@ $< -lspf2

# Unit tests: tests/unit/FLOOR/test_NAME.c is one program, linked with the floors up to its own.
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SOURCES))
unit_floor = $(patsubst %/,%,$(dir $(1)))
.SECONDEXPANSION:
$(BUILD)/unit/%: tests/unit/%.c $$(call floor_libraries,$$(call floors_up_to,$$(call unit_floor,$$*),$$(FLOORS)))
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CPPFLAGS) -Itests/unit $(filter-out -Wmissing-prototypes,$(CFLAGS)) $(LDFLAGS) -MMD -MP -o $@ $< \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES) $(shell pkg-config --libs check)

# make unit: all of them. make unit T=mail/test_address: one.
unit: $(MODULES) $(if $(T),$(BUILD)/unit/$(T),$(UNIT_PROGRAMS))
	@failed=; for program in $(filter-out $(MODULES),$^); do $$program || failed="$$failed $$program"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# --- running it ---

DEBIAN_BUILD := gcc make pkg-config libevent-dev libunbound-dev libyaml-dev libsqlite3-dev libseccomp-dev zlib1g-dev libssl-dev libidn2-dev libspf2-dev dns-root-data
DEBIAN_RUN := swaks
DEBIAN_CHECK := check python3 python3-pytest python3-yaml clang clang-tidy libclang-rt-14-dev cppcheck nsd dovecot-core dovecot-lmtpd ca-certificates

# What building and running need.
deps:
	@tests/install-packages $(DEBIAN_BUILD) $(DEBIAN_RUN)

# Builds and starts the gateway in the foreground with the demonstration configuration: SMTP on 127.0.0.1:2525. Ctrl-C ends it.
run: deps
	@$(MAKE) --no-print-directory all
	@$(BUILD)/postern run -c conf/demo.yaml --hints

# --- checking it ---

# The servers the tests talk to. None is started or enabled as a service; those that conflict with each other are unpacked below build/peers.
check-deps: deps
	@tests/install-packages $(DEBIAN_CHECK)
	@tests/scenarios/peers/unpack-postfix $(BUILD)/peers

check: check-deps
	@$(MAKE) --no-print-directory check-built

check-built: all
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory scenarios
	@$(MAKE) --no-print-directory conformance

lint:
	@tests/lint/floors $(FLOORS)
	@tests/lint/static

# postern with one more filter, which does wrong what a filter can do wrong (tests/faults/faults.h): the same objects, and the linker in between.
FAULTS_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/faults/*.c))
FAULTS_WRAPS := filter_find schema_filters worker_result_encode
$(BUILD)/tests/postern-faults: $(FAULTS_OBJECTS) $(call floor_objects,cli) $(call floor_libraries,$(filter-out cli,$(FLOORS)))
	$(QUIET)$(CC) $(LDFLAGS) $(FAULTS_WRAPS:%=-Wl,--wrap=%) -o $@ $(FAULTS_OBJECTS) $(call floor_objects,cli) \
		-Wl,--start-group $(call floor_libraries,$(filter-out cli,$(FLOORS))) -Wl,--end-group $(LIBRARIES)

PYTEST := /usr/bin/python3 -m pytest -q -p no:cacheprovider
# make scenarios S=test_a_simple.py: one file of them.
scenarios: all $(BUILD)/tests/postern-faults
	@POSTERN=$(abspath $(BUILD)/postern) POSTERN_FAULTS=$(abspath $(BUILD)/tests/postern-faults) POSTERN_PEERS=$(abspath $(BUILD)/peers) $(PYTEST) tests/scenarios/$(S)

# Drivers of the conformance runners: tests/conformance/WHAT/NAME_driver.c, linked with the floors up to filters.
CONFORMANCE_PROGRAMS := $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/conformance/*/*_driver.c))
$(BUILD)/conformance/%: tests/conformance/%.c $(call floor_libraries,$(call floors_up_to,filters,$(FLOORS)))
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CPPFLAGS) -Itests/unit $(filter-out -Wmissing-prototypes,$(CFLAGS)) $(LDFLAGS) -MMD -MP -o $@ $< \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES)

conformance: all $(CONFORMANCE_PROGRAMS)
	@POSTERN=$(abspath $(BUILD)/postern) $(PYTEST) tests/conformance

# The whole suite under AddressSanitizer and UndefinedBehaviorSanitizer, in a build folder of its own.
sanitize:
	@for step in all unit scenarios conformance; do \
		$(MAKE) --no-print-directory BUILD=build/sanitize OPTIMISE="-O1 -g" FORTIFY= \
			SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all" $$step || exit 1; done

# --- fuzzing: tests/fuzz/fuzz_NAME.c, FUZZ_SECONDS each. make fuzz F=address: one. ---

FUZZ_SECONDS ?= 60
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_NAMES := $(if $(F),$(F),$(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SOURCES)))
FUZZ_FLOORS := $(filter-out front master cli,$(FLOORS))
fuzz:
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang OPTIMISE="-O1 -g" SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
		$(foreach name,$(FUZZ_NAMES),build/fuzz/fuzz_$(name))
	@for name in $(FUZZ_NAMES); do tests/fuzz/run $$name $(FUZZ_SECONDS) || exit 1; done

$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(call floor_libraries,$(FUZZ_FLOORS))
	$(QUIET)$(CC) $(CPPFLAGS) $(filter-out -Wmissing-prototypes,$(CFLAGS)) -fsanitize=fuzzer -MMD -MP -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES)

# Messages/s and CPU time per message beside Postfix as before-queue proxy and beside no proxy, in one run, as ratios.
bench: all
	@POSTERN=$(abspath $(BUILD)/postern) POSTERN_PEERS=$(abspath $(BUILD)/peers) /usr/bin/python3 tests/bench/bench.py

# Many kills, reloads and slow clients under load, at length, with figures; make scenarios has them in small.
soak: all
	@POSTERN=$(abspath $(BUILD)/postern) $(PYTEST) -s tests/soak

clean:
	rm -rf $(BUILD)

.PHONY: all unit deps run check-deps check check-built lint scenarios conformance sanitize fuzz bench soak clean
-include $(shell find $(BUILD) -name '*.d' -type f -not -path '$(BUILD)/peers/*' 2>/dev/null)
