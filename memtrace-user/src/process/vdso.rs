//! The code that the kernel maps into every process as `[vdso]`, as a file.
//!
//! The image is the same in all processes of the machine's own architecture, so memtrace's own copy stands for that
//! of any target, also after its exit.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    os::unix::fs::FileExt,
    sync::{Arc, OnceLock},
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::maps_line::MapsLine;

/// The image as an unnamed file; `None` where the kernel maps none or it cannot be read.
pub fn vdso_file() -> Option<Arc<File>> {
    static FILE: OnceLock<Option<Arc<File>>> = OnceLock::new();
    FILE.get_or_init(|| dump().ok().map(Arc::new)).clone()
}

fn dump() -> io::Result<File> {
    let maps = fs::read("/proc/self/maps")?;
    let vdso = maps
        .split(|byte| *byte == b'\n')
        .filter_map(MapsLine::parse)
        .find(|line| line.name == "[vdso]")
        .ok_or(io::ErrorKind::NotFound)?;
    // Two pages today; the bound is against a misread line.
    let length = usize::try_from(vdso.end - vdso.start).ok().filter(|length| *length < 1 << 20);
    let mut image = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, vdso.start)?;
    let mut file = File::from(memfd_create("vdso", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&image)?;
    file.rewind()?;
    Ok(file)
}
