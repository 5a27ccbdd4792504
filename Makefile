# demo and test are the two commands a newcomer needs; both do their own set-up.
GO          ?= go
PYTHON      ?= python3
VENV        := $(CURDIR)/.venv
DOCS_VENV   := $(CURDIR)/.cache/docs-venv
BIN         := $(CURDIR)/bin
STATICCHECK_VERSION := v0.8.2
STATICCHECK := $(CURDIR)/.cache/bin/staticcheck-$(STATICCHECK_VERSION)
ORAS_VERSION := v1.3.6
ORAS        := $(CURDIR)/.cache/bin/oras-$(ORAS_VERSION)
VERSITYGW_VERSION := v1.8.0
VERSITYGW   := $(CURDIR)/.cache/bin/versitygw-$(VERSITYGW_VERSION)
FUZZTIME    ?= 10m
ROUNDS      ?= 200

.PHONY: demo test go-test purego arm64 cxx browser conformance wheel docs dist size bench lint fuzz torture race build setup clean

demo:
	$(GO) run ./cmd/wreg demo

# Everything, from a bare machine with Go and Python 3.
test: setup lint go-test purego arm64 cxx browser conformance wheel docs size

build:
	$(GO) build -o $(BIN)/wreg ./cmd/wreg

go-test:
	$(GO) test ./...

# The same bytes without a line of assembly.
purego:
	WREG_TEST_KERNELS=go $(GO) test -tags purego ./accel/... ./export/...

# The arm64 assembly, and the demo of the whole program, run by an emulated CPU.
arm64:
	GOARCH=arm64 WREG_TEST_KERNELS=neon $(GO) test -exec qemu-aarch64 ./accel ./accel/cpu
	GOARCH=arm64 CGO_ENABLED=0 $(GO) run -exec qemu-aarch64 ./cmd/wreg demo >/dev/null

# The Metal kernels as C++ by two compilers, with mutants and a strict front end.
cxx:
	$(GO) test -tags cxx ./accel/metal

# The pages, in a real Chromium. WREG_SHOTS=DIR writes what they look like.
browser:
	$(GO) test -tags browser ./web/...

# The consumers themselves: what mlx_lm, safetensors, numpy and gguf make of it.
conformance: build $(VENV)/ready $(ORAS) $(VERSITYGW)
	WREG=$(BIN)/wreg ORAS=$(ORAS) VERSITYGW=$(VERSITYGW) HF_HUB_OFFLINE=1 $(VENV)/bin/python -B conformance/run.py

# What a new user does with nothing but Python: pip install, the demo, a query.
wheel: build
	WREG=$(BIN)/wreg $(PYTHON) -B -m unittest discover -s python

# The documentation as a site, in out/site. A link that leads nowhere is an error, and so is a page that loads from another host.
docs: $(DOCS_VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	@! grep -rnoE '<(script|link|img|iframe|source)[^>]* (src|href)="?(https?:)?//[^ >]*|url\("?(https?:)?//[^)]*' out/site --include='*.html' --include='*.css'

# How large the binary is, and what of it is whose.
size:
	$(PYTHON) -B python/size.py

# Everything of a release: static binaries of every system, SBOMs, wheels, checksums. WHERE=linux/amd64 makes some.
dist:
	$(PYTHON) -B python/dist.py $(CURDIR)/dist $(WHERE)

bench: build $(VENV)/ready $(VENV)/bench-ready
	WREG=$(BIN)/wreg HF_HUB_OFFLINE=1 $(VENV)/bin/python -B bench/run.py

lint: $(STATICCHECK)
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt -w needed: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags browser ./web/...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	GOOS=freebsd CGO_ENABLED=0 $(GO) vet ./...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags browser ./web/...

fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

# Kills at random moments, many more than go test takes.
torture:
	WREG_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 4h -v -run Torture ./...

# Data races. For the night, since it takes many times as long as go-test: package by package, at low priority.
race:
	@for pkg in $$($(GO) list ./...); do nice $(GO) test -race -count=1 -timeout 2h $$pkg || exit 1; done

setup: $(VENV)/ready
	.ci/packages

$(VENV)/ready: conformance/requirements.txt
	.ci/packages
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r conformance/requirements.txt
	touch $@

$(DOCS_VENV)/ready: docs/requirements.txt
	.ci/packages
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@

$(VENV)/bench-ready: bench/requirements.txt $(VENV)/ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	touch $@

$(STATICCHECK):
	mkdir -p $(@D)
	GOBIN=$(@D) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(@D)/staticcheck $@

$(ORAS):
	mkdir -p $(@D)
	GOBIN=$(@D) $(GO) install oras.land/oras/cmd/oras@$(ORAS_VERSION)
	mv $(@D)/oras $@

# A store that speaks S3, over a folder, for the tests: it is a program, and no part of wreg.
$(VERSITYGW):
	mkdir -p $(@D)
	GOBIN=$(@D) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	mv $(@D)/versitygw $@

clean:
	rm -rf $(BIN) $(VENV) .cache dist out/site
