//! What tracing leaves to be seen from outside: breakpoints in code, and BPF objects in the kernel.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    process::{Command, Output},
};

use crate::binary::Patience;

/// Bytes of libc's code that differ, in the memory of a process, from the file: one a probe on `x86_64`, four on
/// `aarch64`. libc has no relocations in its code.
pub fn breakpoints(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process lives");
    let line = maps.lines().find(|line| line.contains("r-xp") && line.contains("/libc.so.6"));
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("no libc in {maps}")).split_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    let (start, end) = words[0].split_once('-').map(|(start, end)| (hex(start), hex(end))).expect("a range");
    let size = usize::try_from(end - start).expect("libc fits in memory");
    let (mut mapped, mut stored) = (vec![0; size], vec![0; size]);
    File::open(format!("/proc/{pid}/mem")).and_then(|file| file.read_exact_at(&mut mapped, start)).expect("readable");
    // The last page goes beyond what is mapped of the file, but not beyond the file.
    File::open(words[5]).and_then(|file| file.read_exact_at(&mut stored, hex(words[2]))).expect("libc is readable");
    mapped.iter().zip(&stored).filter(|(mapped, stored)| mapped != stored).count()
}

/// A BPF object: `prog`, `map` or `link`, and its number. The kernel does not use a number again for long.
type Object = (&'static str, u64);

const KINDS: [&str; 3] = ["prog", "map", "link"];

/// The BPF objects that memtrace holds descriptors of. Others may be traced at the same time, so a list of all that the
/// kernel has would not do.
pub fn bpf_objects_of(pid: u32) -> BTreeSet<Object> {
    let objects = named_by_descriptors_of(pid);
    for kind in KINDS {
        assert!(objects.iter().any(|object| object.0 == kind), "no {kind} among {objects:?}");
    }
    objects
}

/// The same of any process, which may end meanwhile.
fn named_by_descriptors_of(pid: u32) -> BTreeSet<Object> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = descriptors.filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok());
    texts.flat_map(|text| KINDS.map(|kind| Some((kind, number_of(&text, kind)?)))).flatten().collect()
}

/// What a description of a descriptor says of an object of this kind: `map_id:` and the number.
fn number_of(text: &str, kind: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix("_id:")?.trim().parse().ok())
}

/// Entries of a hash map that a process holds a descriptor of.
pub fn entries_of_map(pid: u32, name: &str) -> usize {
    let maps = bpf_objects_of(pid).into_iter().filter(|(kind, _)| *kind == "map");
    let found = maps.map(|(_, number)| number).find(|number| described("show", *number)["name"] == name);
    let number = found.unwrap_or_else(|| panic!("memtrace has no map {name}"));
    described("dump", number).as_array().expect("a list of entries").len()
}

fn described(what: &str, map: u64) -> serde_json::Value {
    let output = bpftool(&["-j", "map", what, "id", &map.to_string()]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn bpftool(arguments: &[&str]) -> Output {
    Command::new("bpftool").args(arguments).output().expect("bpftool runs")
}

/// Waits until the kernel has none of the objects any more: freeing them takes the kernel some time.
pub fn await_removal(objects: &BTreeSet<Object>) {
    let mut left = objects.clone();
    let mut patience = Patience::new();
    loop {
        left.retain(|object| !is_gone(*object));
        if left.is_empty() {
            return;
        }
        assert!(patience.pause(), "the kernel still has {left:?} of {objects:?}; held by {:?}", holders_of(&left));
    }
}

/// Processes that have a descriptor of one of the objects, by name.
fn holders_of(objects: &BTreeSet<Object>) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds = |pid: &u32| !named_by_descriptors_of(*pid).is_disjoint(objects);
    let name = |pid| format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim());
    pids.filter(holds).map(name).collect()
}

/// Asked one by one: a list is given up when an object of anybody's vanishes while it is made. By the system call, as there is no
/// bpftool in virtual machines.
#[expect(unsafe_code, reason = "no library asks for all three kinds of objects by number")]
fn is_gone((kind, number): Object) -> bool {
    // BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID (include/uapi/linux/bpf.h).
    let command = match kind {
        "prog" => 13,
        "map" => 14,
        _ => 30,
    };
    let attributes = [u32::try_from(number).expect("numbers have 32 bits"), 0, 0];
    // SAFETY: the attributes live through the call, and the length is theirs; a descriptor that comes back is nobody else's.
    let found = unsafe {
        let descriptor = libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes));
        i32::try_from(descriptor)
            .ok()
            .filter(|descriptor| *descriptor >= 0)
            .map(|descriptor| OwnedFd::from_raw_fd(descriptor))
    };
    found.is_none() && std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT)
}
