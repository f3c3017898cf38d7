//! From a mapped file to its probes: is it an allocator, where are its functions, where in them is a probe cheapest, and
//! where do they end.

use std::{fs::File, sync::Arc};

use super::{
    Probe, ProbedFile,
    flow::{
        CodeWalk,
        exits::{Exit, ExitsError},
    },
    probe_point::{self, ProbePoint, ProbePointError},
};
use crate::{
    allocators::{self, Allocator, AllocatorFunction, FunctionName, UserFunction, UserFunctions},
    process::elf::{ElfError, ElfFile, ElfProblem, Function, Functions},
};

/// A function as it stands in a file, and where it is probed.
#[derive(Debug)]
pub struct PlannedProbe {
    /// Its name and meaning.
    pub function: AllocatorFunction,
    /// Address of the function before relocation.
    pub address: u64,
    /// File offset of the function.
    pub function_offset: u64,
    /// The place in it, or why there is none.
    pub point: Result<ProbePoint, ProbePointError>,
    /// File offsets of the instructions by which it returns, or why they are not known. Empty for one that takes a block
    /// back: its end does not matter.
    pub exits: Result<Vec<Exit>, ExitsError>,
    /// It may call others that are probed.
    pub nests: bool,
    /// It is a function of the Go compiler's, whose stacks move: a return probe would break them.
    pub is_go: bool,
}

/// What will be probed in one file.
#[derive(Debug)]
pub struct ProbePlan {
    /// What the file is; `None` when only the user has named functions in it.
    pub allocator: Option<&'static Allocator>,
    /// Each function once, however many names lead to it.
    pub probes: Vec<PlannedProbe>,
    /// What the user has named and the file does not have.
    pub missing: Vec<String>,
}

/// What a file is looked at for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// What the user has named.
    pub user: &'a UserFunctions,
    /// The file is the program itself, not a library.
    pub is_executable: bool,
}

impl ProbePlan {
    /// Looks for an allocator and for functions that the user has named in a file; `None` when it has neither.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF file of this machine.
    pub fn of(file: &File, path: &str, search: Search<'_>) -> Result<Option<Self>, ElfError> {
        let own = file.try_clone().map_err(|source| ElfError::new(path.as_ref(), ElfProblem::Io(source)))?;
        let elf = ElfFile::new(own, path)?;
        let (allocator, functions) = find_allocator(&elf)?;
        let mut wanted: Vec<_> = allocator.map_or_else(Vec::new, |allocator| known(allocator, functions));
        let named = UserNamed::in_file(&elf, path, search)?;
        // The user knows better.
        wanted.retain(|(_, code)| named.found.iter().all(|(_, other)| other.offset != code.offset));
        let by_user: Vec<u64> = named.found.iter().map(|(_, code)| code.address).collect();
        wanted.extend(named.found);
        if wanted.is_empty() && named.missing.is_empty() {
            return Ok(None);
        }
        let mut code = CodeWalk::new(&elf);
        let addresses: Vec<u64> = wanted.iter().map(|(_, function)| function.address).collect();
        // What only jumps to another of them is seen there.
        wanted.retain(|(_, function)| !code.jumps_of(function.address).iter().any(|place| addresses.contains(place)));
        let go = elf.go_text()?;
        let by_pointer = allocator.is_none_or(|allocator| allocator.calls_itself_by_pointers);
        let probes = wanted.into_iter().map(|(function, found)| {
            let is_go = go.as_ref().is_some_and(|go| go.contains(&found.address));
            // Of what a user names, everything may be expected.
            let nests = by_user.contains(&found.address) || code.may_call(found.address, &addresses, by_pointer);
            if nests && function.call.needs_return() {
                log::debug!("{path}: {} may call others that are probed: each return is awaited", function.name);
            }
            PlannedProbe { nests, ..planned(&elf, &mut code, function, &found, is_go) }
        });
        Ok(Some(Self { allocator, probes: probes.collect(), missing: named.missing }))
    }

    /// The probes, for a file held open.
    #[must_use]
    pub fn probed_file(&self, file: Arc<File>, path: &str) -> ProbedFile {
        let probe = |planned: &PlannedProbe| match &planned.point {
            Ok(point) => Some(Probe {
                name: planned.function.name.clone().into_owned(),
                offset: planned.function_offset + point.offset_in_function,
                call: planned.function.call,
                exits: planned.exits.clone(),
                without_return_probe: planned.is_go,
                nests: planned.nests,
            }),
            Err(error) => {
                log::warn!("{path}: {} is not probed: {error}", planned.function.name);
                None
            }
        };
        ProbedFile { name: path.to_owned(), file, probes: self.probes.iter().filter_map(probe).collect() }
    }

    /// What the file is, for people.
    #[must_use]
    pub fn name(&self, path: &str) -> String {
        let name = self.allocator.map_or("functions named by --alloc and --free", |allocator| allocator.name);
        format!("{name} ({path})")
    }
}

/// What a file exports comes first; otherwise what it keeps for itself.
fn find_allocator(elf: &ElfFile) -> Result<(Option<&'static Allocator>, Functions), ElfError> {
    let exported = elf.functions(allocators::symbols_of_interest())?;
    if let Some(allocator) = allocators::detect(|name| exported.defines(name)) {
        return Ok((Some(allocator), exported));
    }
    // Not fatal: the symbols of a large program may be beyond the limits.
    let private = elf.private_functions(allocators::symbols_of_interest());
    let private = private.inspect_err(|error| log::info!("private functions: {error}")).unwrap_or_default();
    Ok((allocators::detect_private(|name| private.defines(name)), private))
}

/// The table's functions that the file defines. Aliases are one function, taken under the first name in the table.
fn known(allocator: &'static Allocator, functions: Functions) -> Vec<(AllocatorFunction, Function)> {
    let table: Vec<AllocatorFunction> = allocator.functions().collect();
    let wanted = |code: Function| {
        let function = table.iter().find(|function| code.names.iter().any(|name| *name == function.name))?.clone();
        Some((function, code))
    };
    functions.found.into_iter().filter_map(wanted).collect()
}

/// Functions that the user has named, as far as they are looked for in one file.
#[derive(Debug, Default)]
struct UserNamed {
    found: Vec<(AllocatorFunction, Function)>,
    missing: Vec<String>,
}

impl UserNamed {
    fn in_file(elf: &ElfFile, path: &str, search: Search<'_>) -> Result<Self, ElfError> {
        let mut named = Self::default();
        if search.user.0.is_empty() {
            return Ok(named);
        }
        let soname = elf.soname().unwrap_or_default();
        let here = search.user.0.iter().filter(|user| user.is_in(path, soname.as_deref(), search.is_executable));
        for user in here {
            match find_named(elf, user)? {
                Some((name, code)) => {
                    named.found.push((AllocatorFunction { name: name.into(), call: user.call }, code));
                }
                None => named.missing.push(user.text.clone()),
            }
        }
        Ok(named)
    }
}

fn find_named(elf: &ElfFile, user: &UserFunction) -> Result<Option<(String, Function)>, ElfError> {
    match &user.name {
        FunctionName::Address(address) => {
            let name = format!("{address:#x}");
            Ok(elf.function_at(*address, &name)?.map(|code| (name, code)))
        }
        FunctionName::Symbol(symbol) => {
            let exported = elf.functions([symbol.as_str()])?.found;
            let found = if exported.is_empty() { elf.private_functions([symbol.as_str()])?.found } else { exported };
            Ok(found.into_iter().next().map(|code| (symbol.clone(), code)))
        }
    }
}

fn planned(
    elf: &ElfFile,
    code: &mut CodeWalk<'_>,
    function: AllocatorFunction,
    found: &Function,
    is_go: bool,
) -> PlannedProbe {
    let point = probe_point::choose(found.into(), elf.machine(), &function.call.into());
    let exits = if function.call.needs_return() {
        let addresses = code.exits(found.address);
        let in_file = |exit: Exit| Some(Exit { at: elf.offset_of(exit.at)?.0, ..exit });
        addresses.map(|list| list.into_iter().filter_map(in_file).collect())
    } else {
        Ok(Vec::new())
    };
    PlannedProbe { function, address: found.address, function_offset: found.offset, point, exits, nests: true, is_go }
}
