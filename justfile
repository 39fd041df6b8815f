# The commands of the project; `just` lists them.

# list the commands
default:
    @just --list

# what the checks run
check:
    .ci/run

# all tests
test:
    .ci/test

# format, then the lints
lint:
    cargo fmt
    cargo clippy --all-targets -- -D warnings

# from nothing to the first postback
demo:
    cargo run --release -- demo

# the benchmarks of docs/benchmarks.md
bench *arguments:
    cargo run --release -- bench {{arguments}}
