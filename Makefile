# Targets are names for scripts; each does its own set-up. `make` alone explains them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup build images imagetest lock scan demo test test-cluster ok fuzz bench soak site clean

help: ## explain the targets
	@echo 'istio-install-cni: puts Kubernetes pods into the Istio mesh'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'demo, test, bench and soak need root on Debian or Ubuntu; what they install from apt they name first.'

setup: ## install what the other targets need: apt packages (named first) and the locked npm packages
	@tools/setup

build: ## leave out/bin/install-cni and out/bin/istio-cni; no root where python3-pip is there
	@tools/setup --to-build
	@tools/build

images: build ## build the container images, four variants for two architectures, into out/images; no root, no engine
	@tools/node image/build-images.ts $(ARGS)

imagetest: setup images ## look into the images, run them in a real containerd, verify their signatures; root
	@tools/node image/test-images.ts

lock: ## renew image/lock.json, the Debian packages of the images, from the mirrors of this machine; no root
	@tools/setup --npm-only
	@tools/node image/refresh-lock.ts $(ARGS)

scan: ## compare the images' parts with what Debian and Node have fixed; needs apt's mirrors and npm; no root
	@tools/setup --npm-only
	@tools/node image/scan-vulnerabilities.ts $(ARGS)

demo: setup build ## start pods on a real containerd and show that they are captured; KEEP=1 leaves it up
	@tools/node testbed/demo/main.ts $(if $(KEEP),--keep) $(ARGS)

test: setup build ## run the gate and all test tiers; ARGS="kernel runtime" runs some
	@tools/node tools/test.ts $(ARGS)

test-cluster: setup build ## only the tests in a Kubernetes: KUBECONFIG, the shared lab, or with BUILD_CLUSTER=1 one built by Go
	@tools/node tools/test.ts cluster

ok: ## the one gate: types, lint, import law, own checks, unit tests
	@tools/setup --npm-only
	@npm run --silent ok

fuzz: setup ## fuzz the readers of hostile input for an hour; ARGS="--seconds 600 --seed 7 TARGET…" for less
	@tools/node testbed/fuzz/main.ts $(ARGS)

bench: setup build ## measure us against the bare runtime, side by side, in 40 minutes; writes docs/performance.md
	@tools/node bench/main.ts $(ARGS)

soak: setup build ## an hour of pods and faults on a real containerd; ARGS="--seconds 600 --seed 7" for another
	@tools/node testbed/soak/main.ts $(ARGS)

site: ## build the documents as a site into site/dist, its links checked; packages of its own
	@tools/setup --npm-only
	@cd site && npm ci --ignore-scripts --silent && ../tools/node node_modules/vitepress/bin/vitepress.js build
	@tools/node site/check-links.ts

clean: ## remove what was built; downloads stay in .cache and node_modules
	@rm -rf out
