//! From a mapped file to its probes: is it an allocator, where are its functions, where in them is a probe cheapest.

use std::{fs::File, sync::Arc};

use super::{
    Probe, ProbedFile,
    probe_point::{self, ProbePoint, ProbePointError},
};
use crate::{
    allocators::{self, Allocator, AllocatorFunction},
    process::elf::{ElfError, ElfFile, ElfProblem, Function, Functions},
};

/// A function of an allocator as it stands in a file, and where it is probed.
#[derive(Debug)]
pub struct PlannedProbe {
    /// The name in the allocator's table.
    pub function: &'static AllocatorFunction,
    /// File offset of the function.
    pub function_offset: u64,
    /// The place in it, or why there is none.
    pub point: Result<ProbePoint, ProbePointError>,
}

/// What will be probed in one file.
#[derive(Debug)]
pub struct ProbePlan {
    /// What the file is.
    pub allocator: &'static Allocator,
    /// Each function once, however many names lead to it.
    pub probes: Vec<PlannedProbe>,
}

impl ProbePlan {
    /// Looks for an allocator in a file; `None` when it is none that memtrace knows.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF file of this machine.
    pub fn of(file: &File, path: &str) -> Result<Option<Self>, ElfError> {
        let own = file.try_clone().map_err(|source| ElfError::new(path.as_ref(), ElfProblem::Io(source)))?;
        let elf = ElfFile::new(own, path)?;
        let functions = elf.functions(allocators::symbols_of_interest())?;
        let Some(allocator) = allocators::detect(|name| functions.defines(name)) else { return Ok(None) };
        let probes = wanted(allocator, &functions)
            .map(|(function, code)| PlannedProbe {
                function,
                function_offset: code.offset,
                point: probe_point::choose(code.into(), elf.machine(), function.call.into()),
            })
            .collect();
        Ok(Some(Self { allocator, probes }))
    }

    /// The probes, for a file held open.
    #[must_use]
    pub fn probed_file(&self, file: Arc<File>, path: &str) -> ProbedFile {
        let probe = |planned: &PlannedProbe| match &planned.point {
            Ok(point) => Some(Probe {
                offset: planned.function_offset + point.offset_in_function,
                call: planned.function.call.cookie(),
            }),
            Err(error) => {
                log::warn!("{path}: {} is not probed: {error}", planned.function.name);
                None
            }
        };
        ProbedFile { name: path.to_owned(), file, probes: self.probes.iter().filter_map(probe).collect() }
    }
}

/// The table's functions that the file defines. Aliases are one function, taken under the first name in the table.
fn wanted<'a>(
    allocator: &'static Allocator,
    functions: &'a Functions,
) -> impl Iterator<Item = (&'static AllocatorFunction, &'a Function)> {
    functions.found.iter().filter_map(|code| {
        let function =
            allocator.functions.iter().find(|function| code.names.iter().any(|name| name == function.name))?;
        Some((function, code))
    })
}
