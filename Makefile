# Each target does all of its own set-up on a Debian that has only Rust.

CARGO ?= cargo

.PHONY: dev test test-full fmt lint doc release bench bench-micro setup

# A complete edge on loopback; prints its addresses and what to try.
dev:
	@scripts/setup dev
	@$(CARGO) run --quiet --locked -- dev

# What .ci/run runs.
test:
	@scripts/setup test
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

# The same with the long tests in their full size.
test-full:
	@scripts/setup test
	TENANTRY_TEST_FULL=1 $(CARGO) test --locked

fmt:
	@scripts/setup lint
	$(CARGO) fmt

lint:
	@scripts/setup lint
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings

doc:
	@scripts/setup dev
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

# The program for those who run it, optimised by a training; says where it is. PROFILES=<directory>: by those of an earlier one.
release:
	@scripts/setup dev
	@scripts/setup release || echo "Going on without."
	@CARGO="$(CARGO)" scripts/release

# Side by side with what people use today, built as cargo does it, and as `make release` did it where there is such a program; who
# is not installed does not take part. It is to be over in twenty minutes, with the build: as many rounds, of three to five, as
# there is time for.
bench: export TENANTRY_BENCH_UNTIL := $(or $(TENANTRY_BENCH_UNTIL),$(shell echo $$(($$(date +%s) + 1170))))
bench:
	@scripts/setup dev
	@scripts/setup bench || echo "Going on without."
	@full=$$PWD/target/release-full/tenantry; [ ! -x "$$full" ] || export TENANTRY_BENCH_FULL_BUILD="$${TENANTRY_BENCH_FULL_BUILD:-$$full}"; \
	$(CARGO) bench --locked --profile plain --bench compare

# What single steps, stores and lists cost.
bench-micro:
	@scripts/setup dev
	$(CARGO) bench --locked --bench hostname --bench directory --bench request --bench footprint --bench reload --bench listing

# Everything that any target needs.
setup:
	@scripts/setup test
