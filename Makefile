# The two commands of the README, and what they are made of.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# A folder outside the clone makes a second clone's build warm.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export FUNNEL_DEMO_DIR ?= $(CURDIR)/funnel-demo

.PHONY: help demo test test-clients lint audit
help:
	@echo "make demo   build, run the main job on the embedded Kafka, print the funnel"
	@echo "make test   install what is missing, then run the whole suite"
	@echo "make test-clients   the examples: Airflow, Dagster, dbt, Spark, Streamlit, Observable, Superset and the light ones"
	@echo "make lint   format, clippy, docs"
	@echo "make audit  known vulnerabilities of the dependencies; reads the database of RustSec from its repository"

demo:
	cargo build --locked -p funnel-cli
	"$(CARGO_TARGET_DIR)/debug/funnel" demo --dir "$(FUNNEL_DEMO_DIR)"

test:
	scripts/test

# Downloads about 3 GB once; scripts/test runs the light examples.
test-clients:
	scripts/install-test-deps
	cargo build --locked -p funnel-cli
	scripts/test-clients "$(CARGO_TARGET_DIR)/debug/funnel"

lint:
	scripts/test format clippy docs

audit:
	scripts/install-test-deps
	"$${XDG_CACHE_HOME:-$$HOME/.cache}/funnel/cargo-deny/bin/cargo-deny" --locked check advisories
