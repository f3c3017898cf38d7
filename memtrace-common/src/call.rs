//! What an allocator function does, as the BPF programs need to know it. Travels in the probe's cookie.

/// `ptr f(size)`: malloc, valloc, pvalloc.
pub const ALLOCATE_ARG0: u64 = 1;
/// `ptr f(_, size)`: `aligned_alloc`, memalign.
pub const ALLOCATE_ARG1: u64 = 2;
/// `ptr f(count, size)`: calloc.
pub const ALLOCATE_PRODUCT: u64 = 3;
/// `ptr f(ptr, size)`: realloc.
pub const REALLOCATE: u64 = 4;
/// `int f(ptr *, _, size)`, zero on success: `posix_memalign`.
pub const ALLOCATE_THROUGH_ARG0: u64 = 5;
/// `f(ptr, ..)`: free, `free_sized`, `free_aligned_sized`.
pub const RELEASE_ARG0: u64 = 6;
