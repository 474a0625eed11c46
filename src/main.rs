//! The program; everything is in the library.

/// Overwrites what is freed: what a request, an answer or the database's work leaves behind in memory
/// would else outlive the keys that opened it.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<tikv_jemallocator::Jemalloc> =
    zeroizing_alloc::ZeroAlloc(tikv_jemallocator::Jemalloc);

fn main() -> std::process::ExitCode {
    sealdav::cli::main()
}
