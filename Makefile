# WechatBot operator: everything a developer does here. `make` alone prints what there is.
#
# Tools are pinned, each in a module of its own below hack/tools, and built into bin; nothing is installed elsewhere.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules

##@ Variables
PKG          ?= ./...        ## packages that test, vet, lint and bench look at
RUN          ?= .            ## names of the tests or benchmarks to run (a regular expression)
MIN_COVERAGE ?= 85           ## least coverage of ./server/... in per cent; measured when PKG and RUN are as given here
CLUSTER      ?= own          ## own: a cluster on this machine (Linux, root); current: the one of the kubeconfig's context
IMAGES       ?=              ## image archives for `make cluster-load`
REQUIRE_ALL  ?=              ## 1: a part of the tests that has to be left out is a failure
ARGS         ?=              ## arguments for `make demo`
VERSION      ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev) ## version of binaries, image and release
REGISTRY     ?=              ## registry of images and charts, such as registry.example.com/team; none if empty
IMAGE        ?= $(or $(strip $(REGISTRY)),localhost)/wechatbot-operator ## name of the image
FROM         ?= dist/image   ## folder whose image and charts `make push` pushes: dist, a release's
PLUGIN_URL   ?=              ## where the archives of `make plugin` will be downloaded from, for krew
PLATFORMS    ?=              ## platforms of the image, such as "linux/amd64 linux/arm64"; this machine's if empty
BASES        ?=              ## local: make the image's base images on this machine instead of pulling them (root)
BOTS         ?= 1000         ## bots of `make bench-operator`
MEMORY       ?= 256MiB       ## memory limit of the operator in `make bench-operator`
COSIGN_KEY   ?= cosign.key   ## private key of `make sign`: a file, or the address of a key in a KMS
KEEP         ?=              ## 1: `make e2e` leaves the cluster up

TOOLS := $(notdir $(wildcard hack/tools/*))
# What ships is static, without paths of the machine that built it; grpcnotrace keeps golang.org/x/net/trace out.
# The Dockerfile builds with the same flags.
PRODUCT = CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w -X main.version=$(strip $(VERSION))'

##@ Targets
.PHONY: help
help: ## print this
	@awk -f hack/help.awk $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run a bot with a stand-in for WeChat and one for Dify, and its page in a browser
	go run ./test/demo/cmd/demo $(ARGS)

.PHONY: build
build: ## build the commands of ./cmd into bin
	@mkdir -p bin
	$(PRODUCT) -o bin/ ./cmd/...

.PHONY: image
image: ## build the image IMAGE:VERSION with buildah or docker; with a REGISTRY also as archives in dist/image, for `make push`
	@rm -rf dist/image # what is pushed is what is built now
	@IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' PLATFORMS='$(strip $(PLATFORMS))' BASES='$(strip $(BASES))' \
	  ARCHIVES='$(if $(strip $(REGISTRY)),dist/image)' hack/image.sh

.PHONY: push
push: needs-registry bin/crane bin/helm ## push what `make image` made, or a release (FROM=dist), to REGISTRY
	@REGISTRY='$(strip $(REGISTRY))' IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' FROM='$(strip $(FROM))' hack/push.sh

.PHONY: chart
chart: needs-registry bin/helm bin/helm-docs ## package the charts, for the image in REGISTRY, in dist/chart
	@IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' PLATFORMS='$(strip $(PLATFORMS))' OUT=dist/chart hack/chart.sh

.PHONY: needs-registry
needs-registry:
	@[[ -n '$(strip $(REGISTRY))' ]] || { echo "REGISTRY=… says which registry, such as registry.example.com/team" >&2; exit 1; }

.PHONY: image-test
image-test: ## build the image twice from local base images, and check both (buildah, root)
	hack/image-test.sh

.PHONY: plugin
plugin: ## build `kubectl wechatbot` for Linux, macOS and Windows, and its krew manifest, in dist/plugin
	@VERSION='$(strip $(VERSION))' URL='$(strip $(PLUGIN_URL))' hack/plugin.sh

.PHONY: release
release: needs-registry bin/helm bin/helm-docs bin/kustomize bin/sbom ## write the release VERSION (such as v0.1.0), which will be in REGISTRY, to dist
	@IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' BASES='$(strip $(BASES))' PLUGIN_URL='$(strip $(PLUGIN_URL))' hack/release.sh

.PHONY: bundle
bundle: needs-registry bin/kustomize bin/bundle ## write the bundle for the Operator Lifecycle Manager (OLM) to dist/bundle
	@IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' hack/bundle.sh

.PHONY: bundle-test
bundle-test: bin/kustomize bin/bundle ## write that bundle, and have OLM's validators judge it and what is wrong with broken ones
	@cd hack/tools/bundle && CGO_ENABLED=0 go test -trimpath -count 1 . # as bin/bundle is built, to build no package twice

# Only a whole release is signed.
.PHONY: sign
sign: FROM = dist
sign: needs-registry bin/cosign bin/crane ## sign the release VERSION of `make push FROM=dist` in REGISTRY, with COSIGN_KEY
	@hack/packages.sh sign
	@REGISTRY='$(strip $(REGISTRY))' IMAGE='$(strip $(IMAGE))' VERSION='$(strip $(VERSION))' FROM='$(strip $(FROM))' \
	  COSIGN_KEY='$(strip $(COSIGN_KEY))' hack/sign.sh

.PHONY: sign-test
sign-test: bin/cosign bin/crane bin/helm ## sign an image and charts in a registry on this machine, and verify them
	@hack/packages.sh sign
	hack/sign-test.sh

.PHONY: test
test: controlplane ## run the tests with the race detector, and report the coverage of ./server/...
	@PKG='$(strip $(PKG))' RUN='$(strip $(RUN))' MIN_COVERAGE=$(MIN_COVERAGE) REQUIRE_ALL=$(REQUIRE_ALL) hack/test.sh

.PHONY: check
check: bin/golangci-lint bin/helm bin/helm-unittest bin/kustomize ## before a commit: lint, tests without a control plane, charts, kustomizations
	@PKG= hack/check.sh

.PHONY: charts-test
charts-test: controlplane bin/helm bin/kustomize ## lint the charts, run their suites, apply every rendering to a real API server
	hack/charts-test.sh

.PHONY: compat
compat: bin/oldest/.built bin/helm bin/kustomize ## run the tests that need a control plane with the oldest Kubernetes that the charts take
	@PKG='$(strip $(PKG))' RUN='$(strip $(RUN))' hack/compat.sh

.PHONY: alerts-test
alerts-test: ## check the alerts, have promtool (of the PATH, or Debian's) run their unit tests, and check the dashboard by Grafana's schema
	hack/alerts-test.sh

.PHONY: licences
licences: build bin/sbom ## check the licences of what the shipped binaries are linked from
	@cd hack/tools/sbom && go test .
	bin/sbom bin/manager bin/server bin/kubectl-wechatbot

.PHONY: vuln
vuln: bin/govulncheck ## look for known vulnerabilities in what is linked (asks vuln.go.dev)
	hack/vuln.sh

.PHONY: chaos
chaos: controlplane ## kill servers, Redis and the API server while followers chat (9 minutes; CHAOS_SEED=… repeats a run, RUN=Push picks one)
	go test -tags chaos -count 1 -timeout 20m -v -run '$(strip $(RUN))' ./test/chaos

.PHONY: e2e
e2e: needs-cluster ## the life of an installation on a real cluster: chart, chat, upgrade, uninstall (test/e2e; CLUSTER=own as root)
	@CLUSTER=$(CLUSTER) hack/e2e.sh guard
	$(MAKE) bin/helm
	$(MAKE) cluster-up CLUSTER=$(CLUSTER)
	@status=0; CLUSTER=$(CLUSTER) RUN='$(strip $(RUN))' hack/e2e.sh || status=$$?; \
	if [[ '$(strip $(KEEP))' != 1 ]]; then $(MAKE) cluster-down CLUSTER=$(CLUSTER); fi; exit $$status

.PHONY: install
install: needs-cluster bin/helm ## install this repository's operator in the cluster of `make cluster-up`
	@hack/install.sh

.PHONY: sample
sample: needs-cluster ## make the minimal sample there, with a stand-in for Dify, and say how to chat with it
	@hack/sample.sh

.PHONY: run
run: controlplane ## show the operator at work on a sample, without a cluster
	go run ./test/run

# Before half an hour of building, not after it: all that the cluster, the image and the tests on it need, in one line.
.PHONY: needs-cluster
ifeq ($(strip $(CLUSTER)),own)
needs-cluster: linux-root
	@hack/packages.sh cluster image
else
needs-cluster:
endif

.PHONY: linux-root
linux-root:
	@[[ $$(uname -s) == Linux && $$(id -u) == 0 ]] || { \
	  echo "a cluster on this machine needs Linux and root; CLUSTER=current uses the kubeconfig's cluster instead" >&2; exit 1; }

.PHONY: cluster-up
ifeq ($(strip $(CLUSTER)),own)
cluster-up: needs-cluster bin/cluster/.built ## bring up a real cluster of one node, with ingress and certificates (docs/cluster.md)
	CGO_ENABLED=0 go build -trimpath -o bin/cluster/cluster ./test/cluster/cmd/cluster
	@bin/cluster/cluster up

.PHONY: cluster-load
cluster-load: ## give the cluster's node the images in IMAGES
	@bin/cluster/cluster load $(IMAGES)

.PHONY: cluster-down
cluster-down: ## end the cluster, and remove all it had on the machine
	@if [[ -x bin/cluster/cluster ]]; then bin/cluster/cluster down; fi
else
cluster-up: controlplane
	@test/cluster/current.sh

.PHONY: cluster-load cluster-down
cluster-load cluster-down:
	@echo "CLUSTER=$(CLUSTER): this cluster is not ours: nothing done"
endif

.PHONY: cluster-test
cluster-test: linux-root bin/cluster/.built ## bring up a cluster, see that all of it works, and that nothing is left of it
	go test -tags cluster -count 1 -timeout 20m -v ./test/cluster

.PHONY: registry-test
registry-test: linux-root bin/cluster/.built ## from this clone to an operator by a registry of the reader's own, on a cluster of its own
	hack/registry-test.sh

.PHONY: cluster-shell
cluster-shell: ## a shell in the namespaces of the cluster's node
	@bin/cluster/cluster exec bash

.PHONY: bench-operator
bench-operator: controlplane ## measure the operator with BOTS bots and MEMORY (10,000 take half an hour)
	go test ./test/scale -run '^$$' -bench Operator -benchtime=1x -timeout 90m -args -bots $(strip $(BOTS)) -memory $(strip $(MEMORY))

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench '$(strip $(RUN))' -benchmem $(PKG)

.PHONY: lint
lint: bin/golangci-lint ## check format, style, imports, and that go.mod is tidy
	@PKG='$(strip $(PKG))' hack/lint.sh

.PHONY: fmt
fmt: bin/golangci-lint ## format the Go code
	bin/golangci-lint fmt

.PHONY: vet
vet: ## run go vet
	go vet -tags chromium,redis,cgroup,chaos,cluster,charts,e2e $(PKG)

.PHONY: generate
generate: ## write what is made from the code: deepcopy, CRD, RBAC, docs/api.md, parts of the charts
	hack/generate.sh

.PHONY: controlplane
controlplane: bin/controlplane/.built ## build etcd, kube-apiserver and kubectl for the tests (7 minutes, once)

bin/controlplane/.built: hack/cluster/build.sh hack/cluster/go.mod hack/cluster/go.sum
	hack/cluster/build.sh controlplane bin/controlplane
	@touch $@

# etcd and kubectl are the newest: the oldest Kubernetes is an API server of its own.
bin/oldest/.built: hack/cluster/build.sh hack/cluster/oldest/go.mod hack/cluster/oldest/go.sum | bin/controlplane/.built
	hack/cluster/build.sh oldest bin/oldest
	ln -sfn ../controlplane/etcd ../controlplane/kubectl bin/oldest/
	@touch $@

.PHONY: cluster-binaries
cluster-binaries: bin/cluster/.built ## build what the cluster is made of (half an hour, once)

bin/cluster/.built: bin/controlplane/.built $(filter-out hack/cluster/oldest/%,$(wildcard hack/cluster/*/go.* hack/cluster/*/*.go))
	hack/packages.sh cluster
	hack/cluster/build.sh cluster bin/cluster
	@touch $@

.PHONY: tools
tools: $(addprefix bin/,$(TOOLS)) ## build the pinned tools

bin/%: hack/tools/%/go.mod hack/tools/%/go.sum
	CGO_ENABLED=0 go build -C hack/tools/$* -trimpath -ldflags '-s -w' -o '$(CURDIR)/bin/' tool
	@touch $@

bin/sbom: $(wildcard hack/tools/sbom/*.go)
bin/bundle: $(wildcard hack/tools/bundle/*.go)

.PHONY: clean
clean: cluster-down ## remove bin and dist
	rm -rf bin dist
