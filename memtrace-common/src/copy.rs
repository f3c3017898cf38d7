//! Copies of stacks that the walker could not follow because it did not know a mapping yet; user space, which learns of
//! it a moment later, follows them.

/// Bytes of a stack that a piece has at most. A piece that has fewer is the last of its stack. They are a part of the
/// thread's storage, and newer kernels (7.0) give no more than 8 KiB for that.
pub const STACK_BYTES: u32 = 6144;

/// Pieces of a stack at most: 30 KiB. More than one are sent only while the ring buffer is less than half full.
pub const PIECES: u32 = 5;

/// Bytes of the ring buffer for a process that runs already: some 500 copies, for libraries that it loads later.
pub const RING_BYTES: u32 = 4 << 20;

/// The same for a command that is started: it allocates while all its mappings are new.
pub const START_RING_BYTES: u32 = 32 << 20;

/// Stacks that are copied at most of one image of a process, where processes are followed: each takes a site, and time to
/// follow it, that the others need. A program whose mappings are told in time has some hundred.
pub const MOST_OF_MANY: u64 = 2048;

/// What precedes the bytes of the stack.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct CopyHeader {
    /// The site whose stack this is; no other call has it.
    pub site: u32,
    /// Process slot.
    pub slot: u32,
    /// Instruction pointer: a return address.
    pub instruction: u64,
    /// Stack pointer: the address of the first byte of the first piece.
    pub stack: u64,
    /// Frame pointer register.
    pub frame: u64,
    /// aarch64: x30, where the innermost function may still have its return address (a system call's). 0 otherwise.
    pub link: u64,
    /// Bytes of the stack before this piece.
    pub offset: u64,
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for CopyHeader {}
