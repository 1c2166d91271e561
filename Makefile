# Everything that is done with this repository; `make help` lists it.
# Needed: Go, git, make, and for `make test` a C compiler (the race detector).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One set of flags everywhere, so that every command shares the build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
# The kubectl that was built with the control plane, for tests that render manifests.
export KUBECTL := $(CURDIR)/bin/kubectl
# The helm that test/helm pins, for tests that render the chart.
export HELM := $(CURDIR)/bin/helm
# What `make image` builds for.
ARCH ?= $(shell go env GOARCH)

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## this list
	@echo "On 2 cores, once built. The first command also compiles Kubernetes, once: 7 to 15 minutes."
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

.PHONY: demo
demo: cluster-binaries build bin/try ## the main job in seven stories on a real API server; 15 s
	@bin/try demo

.PHONY: docker-demo
docker-demo: ## the same on Docker, on the engine at hand, or as root on one of its own, from Debian's packages; 10 s
	@mkdir -p bin
	@go build -o bin/ ./cmd/companion ./test/dockerdemo
	@bin/dockerdemo

.PHONY: up
up: cluster-binaries build bin/try ## the same control plane, left running, kubeconfig at .run/kubeconfig; 10 s
	@bin/try up

.PHONY: down
down: bin/try ## ends what `make up` left running; 4 s
	@bin/try down

.PHONY: cluster-up
cluster-up: node-binaries bin/try ## a whole cluster of one node, left running, kubeconfig at .run/kubeconfig; as root; 10 s
	@bin/try --node up

.PHONY: cluster-down
cluster-down: bin/try ## ends what `make cluster-up` left running
	@bin/try down

.PHONY: build
build: ## bin/webhook and bin/companion; 1 minute the first time
	@mkdir -p bin
	go build -o bin/webhook ./cmd/webhook
	go build -o bin/companion ./cmd/companion

.PHONY: image
image: ## bin/ensure-volumes-image.tar and bin/ensure-volumes-companion-image.tar, or ARCH=arm64, without an engine; 15 s
	@mkdir -p bin/linux-$(ARCH)
	GOOS=linux GOARCH=$(ARCH) go build -ldflags "-s -w -funcalign=16" -o bin/linux-$(ARCH)/ ./cmd/webhook ./cmd/companion
	@go run ./build/image -arch $(ARCH) -name ensure-volumes:dev -max-mib 30 -o bin/ensure-volumes-image.tar
	@go run ./build/image -arch $(ARCH) -target companion -name ensure-volumes-companion:dev -max-mib 30 -o bin/ensure-volumes-companion-image.tar

.PHONY: helm
helm: ## bin/helm, for the chart; 5 minutes the first time
	@mkdir -p bin
	@cd test/helm && go build -ldflags "-s -w" -o ../../bin/helm helm.sh/helm/v4/cmd/helm

# -count=1 where a test runs another program: Go cannot see what that one reads.
.PHONY: test
test: race-detector engine-packages cluster-binaries build image helm ## everything that can be proved without a node; 12 minutes
	go test -count=1 -timeout 10m ./build/... ./charts/... ./cmd/... ./config/... ./examples/...
	CGO_ENABLED=1 go test -race -timeout 10m ./pkg/...
	go test -timeout 10m ./pkg/authority # its simulation too, which has nothing for the race detector
	cd test/cluster && go test -count=1 -timeout 10m . ./internal/... # without ./node, which needs one
	cd test/certmanager && go test -count=1 ./...
	go test -count=1 -timeout 10m ./test/integration # alone: it holds deadlines under load
	go test -count=1 -p 2 -timeout 15m $$(go list ./test/... | grep -v -e /test/integration$$ -e /test/e2e$$) # the last needs a node
	go run ./test/fuzz -time 20s

.PHONY: e2e
e2e: node-binaries build helm image ## the whole on a real cluster of one node; as root; 25 minutes
	go test -count=1 ./charts/...
	go test -count=1 -v -timeout 60m ./test/e2e

# A part is a test: rollout is TestRollout, of test/e2e unless the part has a package of its own.
PART ?= rollout
.PHONY: soak
ifeq ($(PART),fuzz)
soak:
	@mkdir -p .run
	go run ./test/fuzz -time 15m -result .run/soak-fuzz.txt
else
soak: node-binaries build helm image ## the same in full: PART=rollout, certificates, boot, safetyNet, safety or fuzz; 10 to 50 minutes each
	@mkdir -p .run
	@rm -f .run/soak-$(PART).txt
	@part=$(PART); folder=test/e2e; [ ! -d "test/$$part" ] || folder=test/$$part; \
	go test -count=1 -v -timeout 60m -run "^Test$${part^}$$" ./$$folder -soak -result $(CURDIR)/.run/soak-$$part.txt
	@test -s .run/soak-$(PART).txt || { echo "there is no part $(PART)"; exit 1; }
endif

# Flags of test/dockerbench, such as BENCH="-storage-driver=vfs -only=create".
BENCH ?=
.PHONY: bench-docker
bench-docker: engine-packages build ## what the companion costs, for docs/performance.md; as root; 15 minutes
	go build -o bin/dockerbench ./test/dockerbench
	@bin/dockerbench $(BENCH)

# COUNT is how often, for benchstat to compare.
COUNT ?= 10
.PHONY: bench-handler
bench-handler: ## what a pod whose claims exist costs the webhook, for benchstat; a profile in .run/handler.prof; 30 s
	@mkdir -p .run
	go test -run '^$$' -bench '^BenchmarkHandler$$' -cpu 1 -count $(COUNT) -cpuprofile .run/handler.prof -o .run/handler.test ./cmd/webhook

# Flags of test/memorybench, such as MEMORY="-claims=0,1000 -starts=1".
MEMORY ?=
.PHONY: bench-memory
bench-memory: cluster-binaries ## what the webhook has resident as the claims grow, for docs/performance.md; 5 minutes
	@mkdir -p bin
	@go build -o bin/memorybench ./test/memorybench
	@bin/memorybench $(MEMORY)

# Flags of test/startbench, such as START="-starts=1".
START ?=
.PHONY: bench-start
bench-start: cluster-binaries ## a cold start among 50,000 claims and 50,000 pods, for docs/performance.md; 6 minutes
	@mkdir -p bin
	@go build -o bin/startbench ./test/startbench
	@bin/startbench $(START)

.PHONY: check
check: ## format, vet, lint, tidy, goldens; 2 minutes, 6 the first time
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	cd test/cluster && go vet ./...
	cd test/certmanager && go vet ./...
	go mod tidy -diff
	cd test/cluster && go mod tidy -diff
	cd test/certmanager && go mod tidy -diff
	cd test/helm && go mod tidy -diff
	go test ./pkg/mutate
	go test ./charts -run TestReadme
	go run $(GOLANGCI_LINT) run ./...
	cd test/cluster && go run $(GOLANGCI_LINT) run ./...

.PHONY: golden
golden: ## rewrites the golden stories of pkg/mutate and the chart's README; look at the difference
	go test ./pkg/mutate -update
	go test ./charts -run TestReadme -update

.PHONY: cluster-binaries
cluster-binaries: ## etcd, kube-apiserver, kube-controller-manager, kubectl into the user's cache folder
	@mkdir -p bin
	@cd test/cluster && go build -o ../../bin/cluster .
	@dir=$$(bin/cluster build); ln -sfn "$$dir/kubectl" bin/kubectl

.PHONY: node-binaries
node-binaries: cluster-binaries ## kubelet, kube-proxy, kube-scheduler and a provisioner too; 4 minutes the first time
	@bin/cluster build --node >/dev/null

.PHONY: node-test
node-test: node-binaries ## the cluster of one node itself; as root; 1 minute
	cd test/cluster && go test -count=1 -timeout 20m ./node

# RUNLEVEL keeps the packages from starting an engine for the whole machine.
.PHONY: engine-packages
engine-packages: ## dockerd, docker, docker-compose, systemd-analyze and a static busybox, with apt-get where they are missing; as root
	@missing=""; \
	command -v dockerd >/dev/null || missing+=" docker.io"; \
	command -v docker >/dev/null || missing+=" docker.io"; \
	command -v docker-compose >/dev/null || missing+=" docker-compose"; \
	command -v systemd-analyze >/dev/null || missing+=" systemd"; \
	command -v busybox >/dev/null && ! LC_ALL=C ldd "$$(command -v busybox)" >/dev/null 2>&1 || missing+=" busybox-static"; \
	test -z "$$missing" && exit; \
	command -v apt-get >/dev/null || { echo "these Debian packages are missing, and there is no apt-get to install them with:$$missing"; exit 1; }; \
	echo "installing with apt-get:$$missing"; \
	apt-get update --quiet --quiet; \
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends --option=DPkg::Lock::Timeout=120 $$missing

.PHONY: standin
standin: ## bin/standin, which stands for OpenSandbox in docs/opensandbox.md; 5 s
	@mkdir -p bin
	@go build -o bin/standin ./test/opensandbox

# Built anew each time: only go knows whether it is up to date.
.PHONY: bin/try
bin/try:
	@mkdir -p bin
	@go build -o bin/try ./test/try

.PHONY: race-detector
race-detector:
	@cc=$$(go env CC); command -v "$${cc%% *}" >/dev/null || { echo "go test -race needs a C compiler, and $$cc is missing"; exit 1; }
