//! The bpf(2) calls that aya 0.14 has no wrapper for: programs and links of the uprobe-multi kind, maps inside maps.

#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::CString,
    io,
    mem::zeroed,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::Path,
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_prog_info, bpf_prog_type};

/// `BPF_TRACE_UPROBE_MULTI` of the kernel's `enum bpf_attach_type` (6.6).
const UPROBE_MULTI: u32 = 48;

/// `BPF_TRACE_UPROBE_SESSION` (6.13).
const UPROBE_SESSION: u32 = 57;

/// `BPF_F_UPROBE_MULTI_RETURN`: the link's program runs at the functions' return.
const UPROBE_MULTI_RETURN: u32 = 1;

/// `BPF_MAP_TYPE_ARRAY`.
const MAP_TYPE_ARRAY: u32 = 2;

/// `BPF_F_MMAPABLE | BPF_F_INNER_MAP`: may differ in size from the map it stands in for (5.10).
const SEGMENT_FLAGS: u32 = 0x1400;

fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes within the given size; pointers inside are valid for the call, as the
    // functions below see to.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attributes, size_of::<bpf_attr>()) };
    i32::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: just returned by the kernel to this process, and owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn empty() -> bpf_attr {
    // SAFETY: a union of plain integers, for which zero is valid and means "not set".
    unsafe { zeroed() }
}

/// Loads type information; programs with subprograms refer to it.
///
/// # Errors
/// What the kernel says.
pub fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union.
    let fields = unsafe { &mut attributes.__bindgen_anon_7 };
    fields.btf = btf.as_ptr() as u64;
    fields.btf_size = u32::try_from(btf.len()).map_err(io::Error::other)?;
    bpf(bpf_cmd::BPF_BTF_LOAD, &mut attributes).map(owned)
}

/// When the program of a link runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// At the instruction.
    Entry,
    /// At the return of the function that begins there.
    Return,
    /// At both, if the program wants the return, too (6.13).
    Session,
}

impl LinkKind {
    /// What programs for such links are loaded for, and the links made with.
    const fn attach_type(self) -> u32 {
        match self {
            Self::Entry | Self::Return => UPROBE_MULTI,
            Self::Session => UPROBE_SESSION,
        }
    }
}

/// A program ready to load.
#[derive(Debug)]
pub struct ProgramImage<'a> {
    /// The links that it is for.
    pub kind: LinkKind,
    /// Instructions, eight bytes each, with map descriptors and calls resolved.
    pub instructions: &'a [bpf_insn],
    /// Licence, ending with a zero byte.
    pub license: &'a std::ffi::CStr,
    /// Type information of the object.
    pub btf: BorrowedFd<'a>,
    /// Records of functions, and the size of one.
    pub functions: (&'a [u8], usize),
    /// Records of source lines, and the size of one.
    pub lines: (&'a [u8], usize),
}

/// Loads a kprobe-type program for uprobe-multi links.
///
/// # Errors
/// What the kernel says; `EINVAL` below 6.6. With the verifier's log, when it has something to say.
pub fn load_multi_program(image: &ProgramImage<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let mut log = Vec::new();
    let first = load(image, &mut log);
    match first {
        Ok(program) => Ok(program),
        Err(error) => {
            // Once more for the verifier's words: asking for them costs time.
            log.resize(1 << 20, 0);
            let _same_error = load(image, &mut log);
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            Err((error, String::from_utf8_lossy(&log[..end]).into_owned()))
        }
    }
}

/// Loads a program for uprobe-multi links that does nothing.
///
/// # Errors
/// What the kernel says.
pub fn load_empty_multi_program(kind: LinkKind) -> io::Result<OwnedFd> {
    let instruction = |code: u8| {
        // SAFETY: plain integers, for which zero is valid.
        let mut instruction: bpf_insn = unsafe { zeroed() };
        instruction.code = code;
        instruction
    };
    // r0 = 0; exit
    let instructions = [instruction(0xb7), instruction(0x95)];
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union.
    let fields = unsafe { &mut attributes.__bindgen_anon_3 };
    fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    fields.expected_attach_type = kind.attach_type();
    fields.insns = instructions.as_ptr() as u64;
    fields.insn_cnt = 2;
    fields.license = c"GPL".as_ptr() as u64;
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes).map(owned)
}

fn load(image: &ProgramImage<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let count = |bytes: &(&[u8], usize)| u32::try_from(bytes.0.len() / bytes.1.max(1)).unwrap_or(0);
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union.
    let fields = unsafe { &mut attributes.__bindgen_anon_3 };
    fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    fields.expected_attach_type = image.kind.attach_type();
    fields.insns = image.instructions.as_ptr() as u64;
    fields.insn_cnt = u32::try_from(image.instructions.len()).map_err(io::Error::other)?;
    fields.license = image.license.as_ptr() as u64;
    fields.prog_btf_fd = u32::try_from(image.btf.as_raw_fd()).map_err(io::Error::other)?;
    fields.func_info = image.functions.0.as_ptr() as u64;
    fields.func_info_cnt = count(&image.functions);
    fields.func_info_rec_size = u32::try_from(image.functions.1).map_err(io::Error::other)?;
    fields.line_info = image.lines.0.as_ptr() as u64;
    fields.line_info_cnt = count(&image.lines);
    fields.line_info_rec_size = u32::try_from(image.lines.1).map_err(io::Error::other)?;
    if !log.is_empty() {
        fields.log_buf = log.as_mut_ptr() as u64;
        fields.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        fields.log_level = 1;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes).map(owned)
}

/// Where a uprobe-multi link attaches.
#[derive(Debug)]
pub struct MultiLink<'a> {
    /// The file.
    pub path: &'a Path,
    /// File offsets of the instructions.
    pub offsets: &'a [u64],
    /// A cookie for each offset.
    pub cookies: &'a [u64],
    /// Process, as the caller's pid namespace counts; 0 for all.
    pub pid: u32,
    /// When the program runs.
    pub kind: LinkKind,
}

/// Attaches a program at many places of a file with one link. Closing the descriptor detaches.
///
/// # Errors
/// What the kernel says: `ESRCH` for a process that is gone, `EBADF` for a path that is no regular file.
pub fn link_multi(program: BorrowedFd<'_>, link: &MultiLink<'_>) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = CString::new(link.path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union; the arrays and the path outlive the call.
    unsafe {
        attributes.link_create.__bindgen_anon_1.prog_fd =
            u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?;
        attributes.link_create.attach_type = link.kind.attach_type();
        let multi = &mut attributes.link_create.__bindgen_anon_3.uprobe_multi;
        multi.path = path.as_ptr() as u64;
        multi.offsets = link.offsets.as_ptr() as u64;
        multi.cookies = link.cookies.as_ptr() as u64;
        multi.cnt = u32::try_from(link.offsets.len()).map_err(io::Error::other)?;
        multi.flags = if link.kind == LinkKind::Return { UPROBE_MULTI_RETURN } else { 0 };
        multi.pid = link.pid;
    }
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes).map(owned)
}

/// Makes an array of `entries` values of `value_size` bytes that can be mapped and put into a map of maps.
///
/// # Errors
/// What the kernel says: `ENOMEM`, `EPERM`.
pub fn create_segment(value_size: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union.
    let fields = unsafe { &mut attributes.__bindgen_anon_1 };
    fields.map_type = MAP_TYPE_ARRAY;
    fields.key_size = 4;
    fields.value_size = value_size;
    fields.max_entries = entries;
    fields.map_flags = SEGMENT_FLAGS;
    bpf(bpf_cmd::BPF_MAP_CREATE, &mut attributes).map(owned)
}

/// Puts a map into a map of maps. Waits until no program uses the map that was there before (about 10 ms).
///
/// # Errors
/// What the kernel says.
pub fn set_inner_map(outer: BorrowedFd<'_>, index: u32, inner: BorrowedFd<'_>) -> io::Result<()> {
    let value = u32::try_from(inner.as_raw_fd()).map_err(io::Error::other)?;
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union; key and value outlive the call.
    let fields = unsafe { &mut attributes.__bindgen_anon_2 };
    fields.map_fd = u32::try_from(outer.as_raw_fd()).map_err(io::Error::other)?;
    fields.key = (&raw const index) as u64;
    fields.__bindgen_anon_1.value = (&raw const value) as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Takes a map out of a map of maps; it is freed once no program uses it.
///
/// # Errors
/// What the kernel says.
pub fn remove_inner_map(outer: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union; the key outlives the call.
    let fields = unsafe { &mut attributes.__bindgen_anon_2 };
    fields.map_fd = u32::try_from(outer.as_raw_fd()).map_err(io::Error::other)?;
    fields.key = (&raw const index) as u64;
    bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attributes).map(drop)
}

/// Makes the kernel keep run statistics of all BPF programs while the descriptor is open (5.8).
///
/// # Errors
/// What the kernel says.
pub fn enable_run_statistics() -> io::Result<OwnedFd> {
    // `BPF_STATS_RUN_TIME` is 0, so the attributes of this command are all zero.
    bpf(bpf_cmd::BPF_ENABLE_STATS, &mut empty()).map(owned)
}

/// How often a program ran while statistics were kept, and for how many nanoseconds.
///
/// # Errors
/// What the kernel says.
pub fn run_statistics(program: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    program_info(program).map(|info| (info.run_cnt, info.run_time_ns))
}

/// Runs of a program that the kernel has left out because it was under way on the CPU already (5.12).
///
/// # Errors
/// What the kernel says.
pub fn left_out_runs(program: BorrowedFd<'_>) -> io::Result<u64> {
    program_info(program).map(|info| info.recursion_misses)
}

fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: plain integers, for which zero is valid.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attributes = empty();
    // SAFETY: writing plain fields of a union.
    let fields = unsafe { &mut attributes.info };
    fields.bpf_fd = u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?;
    fields.info_len = u32::try_from(size_of::<bpf_prog_info>()).map_err(io::Error::other)?;
    fields.info = (&raw mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}
