//! Functions of the kernel's that BPF programs call: in the object, a call of one is a call of the helper with this
//! number, which no helper has. User space puts in its place what the running kernel's type information says.

/// `bpf_session_is_return` (6.13; `kernel/trace/bpf_trace.c`).
pub const SESSION_IS_RETURN: u32 = 0x7_0001;

/// Every one, with its name in the kernel.
pub const ALL: [(u32, &str); 1] = [(SESSION_IS_RETURN, "bpf_session_is_return")];
