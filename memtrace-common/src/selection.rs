//! Which processes are traced when a whole machine is: rules that the BPF programs apply at each `exec`.

/// Bits of the word `SELECTION`: by what processes are selected. A process must have a selected value in each.
pub mod by {
    /// Rules are in place. Before, nobody is traced.
    pub const BEGUN: u32 = 1;
    /// By the name that the kernel has for the process (`comm`).
    pub const NAME: u32 = 1 << 1;
    /// By its real user.
    pub const USER: u32 = 1 << 2;
    /// By its control group.
    pub const GROUP: u32 = 1 << 3;
}

/// What is known of a control group. Processes of one that nobody has asked about are traced until user space has looked.
pub mod verdict {
    /// Its processes are traced.
    pub const SELECTED: u32 = 1;
    /// They are not.
    pub const LEFT_OUT: u32 = 2;
}

/// Bytes of a process's name, the zero at its end included (`TASK_COMM_LEN`).
pub const NAME_BYTES: usize = 16;

/// Most names, and most users, that can be selected.
pub const MOST_VALUES: u32 = 256;

/// Most control groups that are remembered.
pub const MOST_GROUPS: u32 = 4096;
