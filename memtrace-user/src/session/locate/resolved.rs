//! A raw stack's places in files, and whether what it mapped is an allocator's.

use std::{collections::HashSet, sync::Arc};

use crate::{
    process::AddressSpace,
    profile::{CallStack, Domain, Location, ModuleId, RawStack, StackEnd},
    session::{python::Python, unwinding::file_id},
    tracer::FileId,
};

/// A stack and what it was resolved to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) addresses: Arc<[u64]>,
    pub(super) frames: CallStack,
    pub(super) end: StackEnd,
    pub(super) domain: Domain,
    /// It has an address that is not known to be mapped.
    pub(super) lacks_mapping: bool,
    /// It has code of no file.
    pub(super) lacks_name: bool,
}

impl Resolved {
    pub(super) fn of(space: &AddressSpace, libraries: &HashSet<FileId>, python: &mut Python, stack: &RawStack) -> Self {
        let located = space.locate_stack(&stack.addresses);
        let lacks_mapping = located.len() < stack.addresses.len();
        let lacks_name = lacks_mapping || located.iter().any(|frame| frame.module == ModuleId::UNKNOWN);
        let (native, end) = if lacks_mapping { cut_short(located, stack) } else { (located, stack.end) };
        let maps_for_blocks = stack.domain == Domain::Mmap
            && (is_allocators(space, libraries, &native) || python.is_arena(&native, &stack.stats));
        let domain = match stack.domain {
            _ if maps_for_blocks => Domain::Allocator,
            Domain::Malloc if python.is_own(&native) => Domain::Python,
            other => other,
        };
        let frames = python.merge(native, &stack.python, space);
        Self { addresses: Arc::clone(&stack.addresses), frames, end, domain, lacks_mapping, lacks_name }
    }
}

/// Whether the function that has mapped memory is an allocator's: of those libraries, or called by one of them.
fn is_allocators(space: &AddressSpace, libraries: &HashSet<FileId>, frames: &[Location]) -> bool {
    let Some(innermost) = frames.first().filter(|_| !libraries.is_empty()) else { return false };
    let caller = frames.iter().find(|frame| frame.module != innermost.module);
    let is_of_library = |frame: &Location| {
        let file = space.file(frame.module).and_then(|file| file_id(&file));
        file.is_some_and(|file| libraries.contains(&file))
    };
    is_of_library(innermost) || caller.is_some_and(is_of_library)
}

/// Where a stack leads to memory that holds no code, the frame pointer was no frame pointer: what follows is no stack.
fn cut_short(located: Vec<Location>, stack: &RawStack) -> (Vec<Location>, StackEnd) {
    if !located.is_empty() {
        return (located, StackEnd::Incomplete);
    }
    // The caller itself is real in any case: it is the return address of a call that was seen.
    let caller = stack.addresses.iter().take(1);
    let unknown = caller.map(|address| Location { module: ModuleId::UNKNOWN, offset: *address });
    (unknown.collect(), StackEnd::Incomplete)
}
