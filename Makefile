# SPDX-License-Identifier: Apache-2.0
# A front for the people's commands. The build itself is CMake: see CMakePresets.json.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
export PATH := $(or $(OPENSHELL_TOOLS),$(HOME)/.cache/openshell-agent)/bin:$(PATH)
# ccache makes the second build of a preset, and presets that share flags, cheap.
ifneq ($(shell command -v ccache 2>/dev/null),)
export CMAKE_C_COMPILER_LAUNCHER ?= ccache
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

.PHONY: all run test nightly bench fmt tidy fuzz boxlite arm64 sbom install clean setup help
.DEFAULT_GOAL := all

all: setup preset-release ## build the release into build/release/bin/

help: ## list these commands
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup:
	@scripts/setup.sh build

# Configure and build one preset; the output of the tools shows only when they fail.
preset-%:
	@echo "build: $*"; mkdir -p build
	@{ test -e build/$*/build.ninja || cmake --preset $*; } >build/$*.log 2>&1 && \
	cmake --build --preset $* -j $(JOBS) >>build/$*.log 2>&1 || { cat build/$*.log; exit 1; }

run: all ## build, start the agent and run a real command through it
	@scripts/run.sh

test: ## run every test
	@scripts/test.sh

nightly: ## run what takes hours: races 100,000 times, guests, long fuzzing
	@scripts/nightly.sh

bench: ## measure, and rewrite docs/performance.md
	@scripts/setup.sh bench
	@$(MAKE) --no-print-directory preset-bench preset-static
	@bench/run.py

fmt: ## format the sources in place
	@git ls-files -z '*.c' '*.h' '*.cc' | xargs -0 clang-format -i

tidy: ## clang-tidy over src/
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory preset-dev
	@git ls-files 'src/*.c' | xargs -P $(JOBS) -n 4 clang-tidy --quiet -p build/dev

fuzz: ## fuzz each target for FUZZ_SECONDS (default 60)
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory preset-fuzz
	@scripts/fuzz.sh $(or $(FUZZ_SECONDS),60)

boxlite: ## build a real BoxLite server for the tests in microVMs; once, it is cached
	@scripts/boxlite.sh

arm64: ## cross-build for arm64 into build/arm64/bin/ and run the unit tests under qemu
	@scripts/arm64.sh

sbom: all ## list what is inside the programs (build/release/sbom.spdx.json)
	@scripts/sbom.py build/release/bin/openshell-agent build/release/bin/openshell-agentctl \
		build/release/bin/openshell-driver --build build/release --version "$$(sed -n 's/^project(openshell-agent VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)" \
		--output build/release/sbom.spdx.json --licences build/release/licences.txt

install: all ## install below $(DESTDIR)$(PREFIX)
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

clean: ## remove what was built
	@rm -rf build
