# SPDX-License-Identifier: Apache-2.0
# One non-recursive Makefile. `make help` lists what can be asked of it.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
VARIANT ?= debug
B       := build/$(VARIANT)
CC      ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX  ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/reeve
MANDIR     ?= $(PREFIX)/share/man

# --- what is built ---------------------------------------------------------
# The init (program `reeve`): libc only, nothing that allocates.
INIT_BASE := base/assert.c base/err.c base/text.c base/fd.c base/clock.c base/log.c \
             base/loop.c base/nowait.c base/fingerprint.c
INIT_SRC  := $(INIT_BASE) $(wildcard worker/*.c) \
             $(filter-out %_encode.c %client.c,$(wildcard supervisor/wire/*.c)) \
             $(wildcard supervisor/init/*.c)
# Everything else (program `reeve-tool`).
TOOL_SRC  := $(wildcard base/*.c manifests/*.c probes/*.c probes/queue/*.c \
             checks/*.c worker/*.c worker/reference/*.c supervisor/wire/*.c \
             supervisor/operator/*.c cli/*.c)

INIT_OBJ := $(INIT_SRC:%.c=$(B)/init/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(B)/tool/%.o)

TOOL_PKGS := libcyaml yaml-0.1 libcjson libcurl libpq hiredis openssl sqlite3 \
             libmicrohttpd
TOOL_CPPFLAGS = $(shell pkg-config --cflags $(TOOL_PKGS))
TOOL_LIBS     = $(shell pkg-config --libs $(TOOL_PKGS))

# --- flags (docs/design/build.md) ------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wformat=2 \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
  -Wmissing-declarations -Wredundant-decls -Wpointer-arith -Wwrite-strings \
  -Wcast-qual -Wcast-align -Wconversion -Wsign-conversion -Wdouble-promotion \
  -Wswitch-enum -Wimplicit-fallthrough -Wvla -Walloca -Wnull-dereference \
  -Wunused-macros -Wdate-time -Wframe-larger-than=8192 -fno-common
ifneq ($(findstring clang,$(CC)),)
WARN += -Wno-gnu-zero-variadic-macro-arguments
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wtrampolines \
  -Warith-conversion -Wjump-misses-init -Wformat-signedness
endif

HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection
CFLAGS_debug    := -O1 -g -Werror $(HARDEN)
CFLAGS_release  := -O2 -g -D_FORTIFY_SOURCE=3 $(HARDEN) -ftrivial-auto-var-init=zero
CFLAGS_asan     := -O1 -g -Werror -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_coverage := -O0 -g --coverage
CFLAGS_analyze  := -O1 -g -Werror -fanalyzer
LDFLAGS_release := -Wl,-z,relro,-z,now,-z,noexecstack
LDFLAGS_asan    := -fsanitize=address,undefined
LDFLAGS_coverage := --coverage

CPPFLAGS += -I. -DREEVE_VERSION='"$(VERSION)"' -DREEVE_LIBEXECDIR='"$(LIBEXECDIR)"'
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS_$(VARIANT)) -fPIE -ffunction-sections -fdata-sections $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_$(VARIANT)) -Wl,--gc-sections $(LDFLAGS)
# A sanitizer's runtime is dynamic: the init is static everywhere else.
INIT_LINK = $(if $(filter asan coverage,$(VARIANT)),-pie,-static-pie)

.PHONY: all
all: $(B)/reeve $(B)/reeve-tool

$(B)/init/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tool/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/reeve: $(INIT_OBJ)
	$(CC) $(INIT_LINK) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^

$(B)/reeve-tool: $(TOOL_OBJ)
	$(CC) -pie $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# --- unit tests: one binary a module ---------------------------------------
# tests/unit/test_X.c links the tool's objects; tests/unit/init/test_X.c the
# init's.
UNIT_TOOL := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
UNIT_INIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/init/test_*.c))
TOOL_LIB_OBJ := $(filter-out $(B)/tool/cli/main.o,$(TOOL_OBJ))
INIT_LIB_OBJ := $(filter-out $(B)/init/supervisor/init/main.o,$(INIT_OBJ))

$(B)/libtool.a: $(TOOL_LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^
$(B)/libinit.a: $(INIT_LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

# The logger's test is also its client's.
UNIT_WRAP_test_logger = supervisor/wire/logs_client.c

$(UNIT_TOOL): $(B)/tests/unit/%: tests/unit/%.c $(B)/libtool.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(UNIT_WRAP_$*) $(B)/libtool.a $(TOOL_LIBS) -lcmocka

$(UNIT_INIT): $(B)/tests/unit/init/%: tests/unit/init/%.c $(B)/libinit.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(UNIT_WRAP_$*) $(B)/libinit.a -lcmocka

UNIT_WRAP_test_log = -Wl,--wrap=pwritev2

.PHONY: unit
unit: $(UNIT_TOOL) $(UNIT_INIT)
	@for t in $^; do timeout 120 $$t || exit 1; done

# --- process tests: the real programs, as PID 1 and not --------------------
HELPER := $(B)/tests/process/helper
$(HELPER): tests/process/helper.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) $(INIT_LINK) -o $@ $<

WIRE_HELPERS := $(B)/tests/process/plan $(B)/tests/process/ctl
$(WIRE_HELPERS): $(B)/tests/process/%: tests/process/%.c $(B)/libtool.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(B)/libtool.a

.PHONY: process
process: $(B)/reeve $(B)/reeve-tool $(HELPER) $(WIRE_HELPERS)
	REEVE_BUILD=$(abspath $(B)) bats $(if $(PROCESS),$(PROCESS:%=tests/process/%.bats),tests/process)

.PHONY: layering
layering:
	@awk -f tests/lint/layering.awk tests/lint/layers.txt $$(git ls-files '*.c' '*.h')

.PHONY: clean
clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
