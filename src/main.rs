//! The `postrider` program.

/// A quarter of the server's time went into the system's allocator; `docs/benchmarks.md` has the figures.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    postrider::cli::run()
}
