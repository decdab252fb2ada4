# SPDX-License-Identifier: Apache-2.0
# One non-recursive Makefile; `make help` lists what can be asked of it. It
# calls itself only to build another variant. docs/design/build.md says why.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/bash

VERSION := 0.1.0
VARIANT ?= debug
ifeq ($(origin CC),default)
CC := gcc
endif
# the fuzz variant is clang's alone
BY := $(if $(filter fuzz,$(VARIANT)),,$(if $(findstring clang,$(CC)),-clang))
B  := build/$(VARIANT)$(BY)
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/reeve
MANDIR     ?= $(PREFIX)/share/man

.DEFAULT_GOAL := all

# `make V=1` shows the commands; `make -s` says nothing.
Q   := $(if $(V),,@)
say  = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),@:,@echo '  $(1) $(@:build/%=%)')

# Called without -j, what calls make again uses every processor.
JOBFLAG = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# --- what is built -----------------------------------------------------------
# The init (program `reeve`): libc only, nothing that allocates.
INIT_BASE := base/assert.c base/err.c base/text.c base/fd.c base/clock.c \
             base/log.c base/loop.c base/nowait.c base/signals.c base/fingerprint.c \
             base/cgroup.c base/calendar.c base/format.c
INIT_SRC  := $(INIT_BASE) $(wildcard worker/*.c) \
             $(filter-out %_encode.c %client.c,$(wildcard supervisor/wire/*.c)) \
             $(wildcard supervisor/init/*.c)
# Everything else (program `reeve-tool`).
TOOL_SRC  := $(wildcard base/*.c manifests/*.c probes/*.c probes/queue/*.c \
             checks/*.c worker/*.c worker/reference/*.c supervisor/wire/*.c \
             supervisor/operator/*.c cli/*.c)
ROOMS     := base manifests probes checks worker supervisor cli
# What npm put there is not ours.
OURS      := -name node_modules -prune -o
SOURCES   := $(shell find $(ROOMS) tests $(OURS) -name '*.c' -print)
HEADERS   := $(shell find $(ROOMS) tests $(OURS) -name '*.h' -print)

# Queue backends that few need can be left out: `make WITH_NATS=no`. A row: its
# sources under probes/queue/, its package of pkg-config; -DWITH_X says that it
# is in (left_out.c). Asked for a queue of a kind that isn't, reeve says so.
BACKENDS := NATS AMQP MYSQL ODBC KAFKA
SRC_NATS := probes/queue/nats*.c probes/nats.c
PKG_NATS := libnats
SRC_AMQP := probes/queue/amqp*.c probes/amqp.c
PKG_AMQP := librabbitmq
SRC_MYSQL := probes/queue/mysql.c probes/mysql*.c
PKG_MYSQL := libmariadb
SRC_ODBC  := probes/queue/odbc.c
PKG_ODBC  := odbc
SRC_KAFKA := probes/queue/kafka*.c
PKG_KAFKA := rdkafka
$(foreach x,$(BACKENDS),$(eval WITH_$x ?= yes))
WITH    := $(foreach x,$(BACKENDS),$(if $(filter yes,$(WITH_$x)),$x))
WITHOUT := $(filter-out $(WITH),$(BACKENDS))
TOOL_SRC := $(filter-out $(foreach x,$(WITHOUT),$(wildcard $(SRC_$x))),$(TOOL_SRC))

INIT_OBJ := $(INIT_SRC:%.c=$(B)/init/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(B)/tool/%.o)
# Made at build time: the pages of `reeve explain`, and the status page.
PAGES_OBJ := $(B)/made/explain_pages.o $(B)/made/page_files.o

# Asked for once, and only when something of the tool is built.
TOOL_PKGS := libcyaml yaml-0.1 libcjson libcurl libpq hiredis openssl sqlite3 \
             libmicrohttpd ncursesw zlib $(foreach x,$(WITH),$(PKG_$x))
TOOL_CPPFLAGS = $(eval TOOL_CPPFLAGS := $$(shell pkg-config --cflags $(TOOL_PKGS)))$(TOOL_CPPFLAGS)
TOOL_LIBS     = $(eval TOOL_LIBS := $$(shell pkg-config --libs $(TOOL_PKGS)) -lm)$(TOOL_LIBS)

# --- flags -------------------------------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wformat=2 \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
  -Wmissing-declarations -Wredundant-decls -Wpointer-arith -Wwrite-strings \
  -Wcast-qual -Wcast-align -Wconversion -Wsign-conversion -Wdouble-promotion \
  -Wswitch-enum -Wimplicit-fallthrough -Wvla -Walloca -Wnull-dereference \
  -Wunused-macros -Wdate-time -Wframe-larger-than=8192 -fno-common
IS_CLANG := $(findstring clang,$(CC))
WARN += $(if $(IS_CLANG),-Wno-gnu-zero-variadic-macro-arguments,-Wlogical-op \
  -Wduplicated-cond -Wduplicated-branches -Wtrampolines -Warith-conversion \
  -Wjump-misses-init -Wformat-signedness)
# Frames grow by red zones; and with its sanitizers in the way gcc sees formats
# that aren't there.
WARN_asan := -Wno-frame-larger-than $(if $(IS_CLANG),,-Wno-format-truncation -Wno-format-overflow \
  -Wno-maybe-uninitialized -Wno-null-dereference -Wno-stringop-overflow)
# Frames and branches differ without optimisation.
WARN_coverage := -Wno-frame-larger-than
WARN_analyze := -Wno-frame-larger-than
# What an interprocedural look at one file says twice, or of code that is not
# ours, is left to the other analysers.
ANALYZE := -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-null-argument

HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection
# Faults from within the init, for tests: never in what is installed.
FAULTS := -DREEVE_TEST_FAULTS
CFLAGS_debug     := -O1 -g -Werror $(HARDEN) $(FAULTS)
CFLAGS_release   := -O2 -g -D_FORTIFY_SOURCE=3 $(HARDEN) \
  $(if $(IS_CLANG),,-ftrivial-auto-var-init=zero)
CFLAGS_asan      := -O1 -g -Werror $(FAULTS) -fsanitize=address,undefined \
  -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_coverage  := -O0 -g --coverage $(FAULTS)
CFLAGS_analyze   := -O1 -g -Werror $(ANALYZE)
LDFLAGS_release  := -Wl,-z,relro,-z,now,-z,noexecstack
LDFLAGS_asan     := -fsanitize=address,undefined
LDFLAGS_coverage := --coverage
# `make fuzz` alone, with clang: libFuzzer watches which branches are taken.
WARN_fuzz    := $(WARN_asan)
CFLAGS_fuzz  := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
LDFLAGS_fuzz := $(LDFLAGS_asan)
VARIANTS := debug release asan coverage analyze fuzz
ifeq ($(filter $(VARIANT),$(VARIANTS)),)
$(error VARIANT is one of: $(VARIANTS))
endif

CPPFLAGS += -I. -DREEVE_VERSION='"$(VERSION)"' \
  -DREEVE_LIBEXECDIR='"$(LIBEXECDIR)"' $(WITH:%=-DWITH_%)
ALL_CFLAGS = -std=gnu17 $(WARN) $(WARN_$(VARIANT)) $(CFLAGS_$(VARIANT)) \
  -fPIE -ffunction-sections -fdata-sections $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_$(VARIANT)) -Wl,--gc-sections $(LDFLAGS)
# A sanitizer's runtime is dynamic: the init is static everywhere else.
INIT_LINK = $(if $(filter asan coverage fuzz,$(VARIANT)),-pie,-static-pie)
# ... and there its libc is musl (choices.md: a quarter of the size); glibc with
# MUSL= or where musl-tools isn't. Its wrapper musl-gcc knows no static-pie.
MUSL ?= $(if $(filter debug release,$(VARIANT)),$(wildcard /usr/lib/$(shell uname -m)-linux-musl))
# Its macros convert signs; the same sources compile strictly with glibc for the
# unit tests. The kernel's headers are beside glibc's.
MUSL_CFLAGS = -Wno-conversion -Wno-sign-conversion -Wno-sign-compare \
  -Wno-cast-align -Wno-cast-qual -nostdinc -isystem $(MUSL:/usr/lib/%=/usr/include/%) \
  -isystem $(shell $(CC) -print-file-name=include) \
  -idirafter /usr/include/$(shell uname -m)-linux-gnu -idirafter /usr/include
MUSL_START = -nostdlib $(MUSL)/rcrt1.o $(MUSL)/crti.o $(shell $(CC) -print-file-name=crtbeginS.o)
MUSL_END   = -L$(MUSL) -Wl,--start-group -lc -lgcc -Wl,--end-group \
  $(shell $(CC) -print-file-name=crtendS.o) $(MUSL)/crtn.o
REEVE_OBJ  = $(if $(MUSL),$(INIT_SRC:%.c=$(B)/musl/%.o),$(INIT_OBJ))

# --- programs ----------------------------------------------------------------
.PHONY: all
all: $(B)/reeve $(B)/reeve-tool ## the two programs, in build/VARIANT (VARIANT=debug|release|asan|coverage|analyze)

.PHONY: objects
objects: $(INIT_OBJ) $(TOOL_OBJ)

# Other flags or another compiler make other objects. Two makes may be at it.
.PHONY: FORCE
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(subst ','\'',$(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))' >$@.$$$$; \
	    if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

$(INIT_OBJ): $(B)/init/%.o: %.c $(B)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(INIT_SRC:%.c=$(B)/musl/%.o): $(B)/musl/%.o: %.c $(B)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(MUSL_CFLAGS) -MMD -MP -c -o $@ $<

$(TOOL_OBJ): $(B)/tool/%.o: %.c $(B)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The pages of docs/findings/, compiled in; a finding without a page ends the
# build here.
$(B)/made/explain_pages.c: checks/findings.def checks/explain_pages.awk \
    $(wildcard docs/findings/RV*.md)
	$(call say,AWK)
	@mkdir -p $(@D)
	$(Q)awk -f checks/explain_pages.awk checks/findings.def >$@

# What the status server's page is made of.
PAGE_FILES := $(addprefix supervisor/operator/page/page.,html css js)
$(B)/made/page_files.c: supervisor/operator/page/embed.awk $(PAGE_FILES)
	$(call say,AWK)
	@mkdir -p $(@D)
	$(Q)awk -f supervisor/operator/page/embed.awk $(PAGE_FILES) >$@

$(PAGES_OBJ): $(B)/made/%.o: $(B)/made/%.c $(B)/flags
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Wno-overlength-strings -MMD -MP -c -o $@ $<

# What the sanitizer is told where the environment can't tell it.
SANITIZER_OBJ := $(if $(filter asan,$(VARIANT)),$(B)/tests/sanitizer.o)
$(SANITIZER_OBJ): $(B)/%.o: %.c $(B)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/reeve: $(REEVE_OBJ) $(SANITIZER_OBJ)
	$(call say,LD)
	$(Q)$(CC) $(INIT_LINK) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ \
	    $(if $(MUSL),$(MUSL_START) $^ $(MUSL_END),$^)

$(B)/reeve-tool: $(TOOL_OBJ) $(PAGES_OBJ)
	$(call say,LD)
	$(Q)$(CC) -pie $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# --- unit tests: one program a module ----------------------------------------
# tests/unit/init/ is linked with the init's objects, all others with the
# tool's. UNIT_WRAP_test_X is added to the line that links test_X.
UNIT_INIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/init/test_*.c))
UNIT_TOOL := $(filter-out $(UNIT_INIT),$(patsubst %.c,$(B)/%,\
  $(wildcard tests/unit/test_*.c tests/unit/*/test_*.c)))
TOOL_LIB_OBJ := $(filter-out $(B)/tool/cli/main.o,$(TOOL_OBJ))
INIT_LIB_OBJ := $(filter-out $(B)/init/supervisor/init/main.o,$(INIT_OBJ))

UNIT_WRAP_test_log = -Wl,--wrap=pwritev2
UNIT_WRAP_test_operator_alerts = -Wl,--wrap=posix_spawn
UNIT_WRAP_test_operator_preset = -Wl,--wrap=queues_view_find,--wrap=intent_spec
UNIT_WRAP_test_operator_preview = -Wl,--wrap=views_make,--wrap=plans_choice,--wrap=plan_worker_find,--wrap=plan_worker
UNIT_WRAP_test_operator_live = -Wl,--wrap=helper_start,--wrap=clock_ms
UNIT_WRAP_test_operator_queue_seen = -Wl,--wrap=clock_ms
UNIT_WRAP_test_operator_queues = -Wl,--wrap=helper_start,--wrap=trend_add,--wrap=scaling_saw,--wrap=leases_saw,--wrap=deaths_queue
UNIT_WRAP_test_processes_match = -Wl,--wrap=clock_ms,--wrap=connections_each
# The logger's test is also its client's.
UNIT_WRAP_test_stall = -Wl,--wrap=clock_ms,--wrap=clock_cpu_ms,--wrap=epoll_wait
UNIT_WRAP_test_plan = supervisor/wire/plan_encode.c supervisor/wire/pool_encode.c supervisor/wire/order_encode.c base/buffer.c
UNIT_WRAP_test_life = supervisor/wire/plan_encode.c supervisor/wire/pool_encode.c supervisor/wire/order_encode.c base/buffer.c \
  -Wl,--wrap=clock_ms,--wrap=core_noise,--wrap=spawn_start,--wrap=spawn_report \
  -Wl,--wrap=send_to_process,--wrap=send_to_group,--wrap=send_group_exists \
  -Wl,--wrap=send_to_led,--wrap=waitid,--wrap=log_open,--wrap=room_for_processes
UNIT_WRAP_test_resume = supervisor/wire/plan_encode.c supervisor/wire/pool_encode.c supervisor/wire/order_encode.c base/buffer.c \
  -Wl,--wrap=spawn_start,--wrap=spawn_report,--wrap=send_to_process \
  -Wl,--wrap=send_to_group,--wrap=send_to_led,--wrap=send_group_exists \
  -Wl,--wrap=waitid,--wrap=log_open
UNIT_WRAP_test_schedule = $(UNIT_WRAP_test_resume) \
  -Wl,--wrap=clock_ms,--wrap=clock_wall_ms,--wrap=timerfd_settime,--wrap=read
UNIT_WRAP_test_logger = supervisor/wire/logs_client.c
$(foreach test,$(UNIT_INIT),$(eval $(test): $(filter %.c,$(UNIT_WRAP_$(notdir $(test))))))

$(B)/libtool.a: $(TOOL_LIB_OBJ) $(PAGES_OBJ)
$(B)/libinit.a: $(INIT_LIB_OBJ)
$(B)/libtool.a $(B)/libinit.a:
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(UNIT_TOOL): $(B)/tests/unit/%: tests/unit/%.c $(B)/libtool.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(UNIT_WRAP_$(notdir $*)) $(B)/libtool.a $(TOOL_LIBS) -lcmocka

$(UNIT_INIT): $(B)/tests/unit/%: tests/unit/%.c $(B)/libinit.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(UNIT_WRAP_$(notdir $*)) $(B)/libinit.a -lcmocka

# --- the other tests ---------------------------------------------------------
# Small programs that the bats files run: helper and hostile are static as the
# init is, the others are linked with the tool's objects.
HELPER       := $(B)/tests/process/helper $(B)/tests/pid1/hostile
HELPERS_TOOL := $(filter-out $(HELPER) $(if $(filter KAFKA,$(WITHOUT)),$(B)/tests/service/kafka_mock),$(patsubst %.c,$(B)/%,\
  $(wildcard tests/process/*.c tests/service/*.c tests/incidents/*/*.c)))
HELPERS      := $(HELPER) $(HELPERS_TOOL) $(B)/tests/process/next/reeve \
                $(B)/tests/cgroup2/xstate.so
$(HELPER): $(B)/%: %.c $(SANITIZER_OBJ) $(B)/flags
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) $(INIT_LINK) -o $@ $< $(SANITIZER_OBJ)

# The init once more, as another version with another layout of its state: what
# an upgrade leads to.
NEXT := $(B)/tests/process/next/reeve
NEXT_OBJ := $(INIT_SRC:%.c=$(B)/next/%.o)
$(NEXT_OBJ): $(B)/next/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) -DREEVE_TEST_LAYOUT $(patsubst -DREEVE_VERSION=%,-DREEVE_VERSION='"$(VERSION)-next"',$(CPPFLAGS)) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(NEXT): $(NEXT_OBJ)
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(INIT_LINK) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^

# Loaded into another program, so it is no one's object.
XSTATE := $(B)/tests/cgroup2/xstate.so
$(XSTATE): tests/cgroup2/xstate.c $(B)/flags
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -O1 -fPIC -shared -o $@ $<

$(HELPERS_TOOL): $(B)/%: %.c $(B)/libtool.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $< $(B)/libtool.a $(TOOL_LIBS)

# --- what reads bytes from outside --------------------------------------------
# A target is tests/fuzz/fuzz_X.c. For the tests it is linked with a main() that
# gives it the corpus, for `make fuzz` with libFuzzer.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS    := $(FUZZ_NAMES:%=$(B)/tests/fuzz/replay-%)
FUZZERS    := $(FUZZ_NAMES:%=$(B)/tests/fuzz/fuzz-%)
FUZZ_WRAP_redis = -Wl,--wrap=socket,--wrap=connect
FUZZ_WRAP_redisqueue = $(FUZZ_WRAP_redis)
FUZZ_WRAP_beanstalk = $(FUZZ_WRAP_redis)
FUZZ_WRAP_amqpwire = $(FUZZ_WRAP_redis)
FUZZ_WRAP_cloud = -Wl,--wrap=http_perform
# The init's own: its objects too.
FUZZ_WRAP_orders = $(B)/libinit.a -Wl,--wrap=spawn_start
FUZZ_WRAP_logserve = $(B)/libinit.a
$(foreach T,orders logserve,$(B)/tests/fuzz/replay-$(T) $(B)/tests/fuzz/fuzz-$(T)): $(B)/libinit.a
FUZZ_LINK = $(Q)$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) $(1) -MMD -MP $(ALL_LDFLAGS) -pie -o $@ $(filter %.c,$^) $(FUZZ_WRAP_$*) $(B)/libtool.a $(TOOL_LIBS)

$(REPLAYS): $(B)/tests/fuzz/replay-%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(B)/libtool.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(call FUZZ_LINK,-DFUZZ_CORPUS='"tests/fuzz/corpus/$*"')

$(FUZZERS): $(B)/tests/fuzz/fuzz-%: tests/fuzz/fuzz_%.c $(B)/libtool.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(call FUZZ_LINK,-fsanitize=fuzzer)

FUZZ ?= $(FUZZ_NAMES)
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## libFuzzer under ASan and UBSan, with clang (FUZZ=plan for one target, FUZZ_SECONDS=60 for each)
	@tests/deps.sh build fuzz
	@$(MAKE) -s $(JOBFLAG) VARIANT=fuzz CC=clang $(FUZZ:%=build/fuzz/tests/fuzz/fuzz-%)
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ)

.PHONY: replay
replay: $(REPLAYS) ## the kept inputs of `make fuzz` alone
	@tests/run $^

PART ?= 0/1
.PHONY: inject
inject: all $(HELPER) $(B)/tests/process/inject ## every system call of the init fails, with every error, time and again (long; PART=0/8 for a part)
	@$(B)/tests/process/inject $(abspath $(B)/reeve $(firstword $(HELPER))) full $(PART)

# What `make bench` runs: static, so that a start costs what the machine takes.
BENCH := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
HELPERS += $(BENCH)
$(BENCH): $(B)/%: %.c $(B)/flags
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) $(INIT_LINK) -o $@ $<

BATS_process   = $(wildcard tests/process/*.bats)
BATS_pid1      = $(wildcard tests/pid1/*.bats)
BATS_service   = $(wildcard tests/service/*.bats)
BATS_incidents = $(wildcard tests/incidents/*/*.bats)
BATS_lint      = $(wildcard tests/lint/*.bats)
BATS = $(BATS_process) $(BATS_pid1) $(BATS_service) $(BATS_incidents) $(BATS_lint)
export REEVE_BUILD = $(abspath $(B))

AGAIN = env -u MAKEFLAGS -u MAKELEVEL $(MAKE) -s VARIANT=$(VARIANT) CC=$(CC)
# What is cheap enough of `lint` to be part of every test.
CHECKS = --check layering '$(AGAIN) layering' \
  --check headers-alone '$(AGAIN) headers' \
  --check pid1-libc '$(AGAIN) pid1-libc'

.PHONY: test
test: ## builds and runs every test; installs what they need (CI=true: a skip fails; JOBS=N; VERBOSE=1)
	@tests/deps.sh build test
	@$(MAKE) -s $(JOBFLAG) tested

.PHONY: tested
tested: all $(UNIT_TOOL) $(UNIT_INIT) $(REPLAYS) $(HELPERS)
	@tests/run $(CHECKS) $(UNIT_TOOL) $(UNIT_INIT) $(REPLAYS) $(BATS)

.PHONY: unit
unit: $(UNIT_TOOL) $(UNIT_INIT) ## unit tests alone
	@tests/run $^

.PHONY: corpus
corpus: $(B)/tests/unit/test_corpus ## the corpus alone: what each declaration and observation must lead to
	@tests/run $^

.PHONY: mutate
mutate: all $(UNIT_TOOL) $(UNIT_INIT) ## faults that no unit test notices, planted one at a time in FILE=some.c (FAULTS=20 of them; 0: all)
	@tests/mutate $(FILE)

.PHONY: process pid1 service incidents
process pid1 service incidents: all $(HELPERS) ## these tests alone (process: PROCESS=10-command for one file)
	@tests/run $(if $(PROCESS),$(PROCESS:%=tests/process/%.bats),$(BATS_$@))

.PHONY: bench
bench: ## reeve beside its peers and the machine's limit: docs/benchmarks.md (root; about 20 minutes; QUICK=1: 2, reeve alone)
	@tests/deps.sh build bench
	@$(MAKE) -s $(JOBFLAG) VARIANT=release benched

.PHONY: benched
benched: all $(BENCH) $(B)/tests/process/plan
	@tests/bench/run docs/benchmarks.md
	@tests/bench/logs docs/benchmarks.md
	@tests/bench/queues docs/benchmarks.md
	@tests/bench/operator docs/benchmarks.md

.PHONY: demo
demo: ## the whole story on an embedded queue, without any server
	@tests/deps.sh build
	@$(MAKE) -s $(JOBFLAG) all
	@$(B)/reeve demo

.PHONY: asan
asan: ## unit, replay, process, service, incident and corpus tests under ASan and UBSan
	@tests/deps.sh build test
	@$(MAKE) -s $(JOBFLAG) VARIANT=asan asan-tested

# Our programs aren't dumpable: LeakSanitizer looks into them only with
# CAP_SYS_PTRACE (bit 19), and without it the bats files go without leak checks.
LEAKS = $(shell echo $$((0x$$(awk '/^CapEff/ {print $$2}' /proc/self/status) >> 19 & 1)))
ASAN_BATS = ASAN_OPTIONS="$$ASAN_OPTIONS:detect_leaks=$(LEAKS)" \
  tests/run $(filter-out $(BATS_lint),$(BATS))
.PHONY: asan-tested
asan-tested: export ASAN_OPTIONS = detect_stack_use_after_return=1:strict_string_checks=1
asan-tested: export UBSAN_OPTIONS = print_stacktrace=1
asan-tested: all $(UNIT_TOOL) $(UNIT_INIT) $(REPLAYS) $(HELPERS)
	@failed=0; tests/run $(UNIT_TOOL) $(UNIT_INIT) $(REPLAYS) || failed=1; \
	    $(ASAN_BATS) || failed=1; exit $$failed

.PHONY: coverage
coverage: ## line coverage of all tests: build/coverage/index.html
	@tests/deps.sh build test lint
	@find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	@failed=0; $(MAKE) -s $(JOBFLAG) VARIANT=coverage asan-tested || failed=1; \
	    gcovr -r . --object-directory build/coverage -e tests/ \
	    --html-details build/coverage/index.html --print-summary && exit $$failed

.PHONY: analyze
analyze: ## gcc -fanalyzer over every source
	@tests/deps.sh build
	@$(MAKE) -s $(JOBFLAG) VARIANT=analyze objects

# --- lint --------------------------------------------------------------------
SCRIPTS = $(shell find tests .ci $(OURS) \( -name '*.sh' -o -name '*.bash' -o \
  -name '*.bats' -o -path tests/run -o -path tests/fuzz/run -o \
  -path tests/mutate -o -path tests/bench/run -o -path tests/bench/logs -o -path .ci/run \) -print)

.PHONY: lint
lint: ## layering headers pid1-libc house format tidy cppcheck shellcheck spelling
	@tests/deps.sh build lint
	@$(MAKE) -s $(JOBFLAG) layering headers pid1-libc house format tidy cppcheck \
	    shellcheck spelling
	@echo "lint: nothing found"

.PHONY: layering
layering: ## who may include whom (tests/lint/layers.txt)
	@awk -f tests/lint/layering.awk tests/lint/layers.txt $(SOURCES) $(HEADERS)

.PHONY: headers
headers: $(HEADERS:%=$(B)/alone/%.ok) ## each header compiles alone

$(B)/alone/%.ok: % $(B)/flags
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(TOOL_CPPFLAGS) $(ALL_CFLAGS) -Wno-unused-macros -Wno-unused-function \
	    -MMD -MP -MT $@ -MF $(@:.ok=.d) -fsyntax-only -x c $<
	@touch $@

.PHONY: pid1-libc
pid1-libc: $(INIT_OBJ) ## what the init takes of libc, against tests/lint/pid1-libc.allow
	@tests/lint/pid1-libc.sh tests/lint/pid1-libc.allow $^

.PHONY: house
house: ## licence lines, guards, base.h first, no open ends
	@tests/lint/house.sh $(SOURCES) $(HEADERS)

.PHONY: format
format: ## clang-format agrees
	@clang-format --dry-run -Werror $(SOURCES) $(HEADERS)

# A file is looked at again when it, or a header that it includes, has changed.
TIDY := $(filter-out tests/%,$(SOURCES))
.PHONY: tidy
tidy: $(TIDY:%=build/tidy/%.ok) ## clang-tidy, in parallel with make -j

build/tidy/%.ok: % .clang-tidy
	$(call say,TIDY)
	@mkdir -p $(@D)
	@clang $(CPPFLAGS) $(TOOL_CPPFLAGS) -std=gnu17 -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@clang-tidy --quiet $< -- -std=gnu17 $(CPPFLAGS) $(TOOL_CPPFLAGS) >$@.out 2>/dev/null || { cat $@.out; exit 1; }
	@touch $@

.PHONY: cppcheck
cppcheck: ## a second analyser
	@mkdir -p build/cppcheck
	@cppcheck --quiet --std=c17 --language=c -j2 --inline-suppr \
	    --cppcheck-build-dir=build/cppcheck --error-exitcode=1 \
	    --enable=warning,style,performance,portability \
	    --suppressions-list=tests/lint/cppcheck.suppress \
	    --library=tests/lint/cppcheck.cfg \
	    -I. -DREEVE_VERSION='""' -DREEVE_LIBEXECDIR='""' $(TIDY)

# In bats files: $(NAME) is reeve's own; each test is a subshell and fails by
# itself where cd does; helpers read variables that bats or the tests set.
BATS_MAY := SC2016,SC2030,SC2031,SC2034,SC2164,SC2009
.PHONY: shellcheck
shellcheck: ## scripts and bats files
	@shellcheck -x -e SC2154 $(filter-out %.bats,$(SCRIPTS))
	@shellcheck -x -e $(BATS_MAY) $(filter %.bats,$(SCRIPTS))

# Tests misspell on purpose: they are about the nearest right word.
.PHONY: spelling
spelling: ## codespell
	@codespell -q 3 -I tests/lint/words.txt $(ROOMS) docs Makefile *.md \
	    tests/lib.bash tests/run tests/deps.sh tests/lint

# --- installing --------------------------------------------------------------
INSTALL ?= install
MAN_PAGES = $(wildcard docs/man/*.[1-8])

.PHONY: install
install: ## the release build to DESTDIR and PREFIX (default /usr/local)
	@$(MAKE) -s $(JOBFLAG) VARIANT=release all
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR)
	$(INSTALL) -m 755 build/release$(BY)/reeve $(DESTDIR)$(BINDIR)/reeve
	$(INSTALL) -m 755 build/release$(BY)/reeve-tool $(DESTDIR)$(LIBEXECDIR)/reeve-tool
	$(foreach page,$(MAN_PAGES),$(INSTALL) -D -m 644 $(page) \
	    $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page));)

.PHONY: uninstall
uninstall: ## what install put there
	rm -f $(DESTDIR)$(BINDIR)/reeve $(DESTDIR)$(LIBEXECDIR)/reeve-tool
	$(foreach page,$(MAN_PAGES),rm -f \
	    $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page));)
	-rmdir $(DESTDIR)$(LIBEXECDIR) 2>/dev/null

.PHONY: deps
deps: ## installs from apt what building, testing and lint need; says what first
	@tests/deps.sh build test lint && echo "deps: all there"

.PHONY: clean
clean: ## removes build/
	rm -rf build

.PHONY: help
help: ## this list
	@awk -F ': .*## |: ## ' '/^[a-z][a-z0-9 -]*:.*## / { \
	    sub(/:.*/, "", $$1); printf "  %-36s %s\n", $$1, $$NF }' Makefile
	@echo "  VARIANT=debug|release|asan|coverage|analyze  CC=gcc|clang  V=1"

-include $(shell find build -name '*.d' 2>/dev/null)
