//! Sets up what a [`super::Tracer`] consists of, each from the maps of the loaded object.

use std::sync::{Arc, Mutex};

use aya::{Btf, Ebpf, maps::RingBuf};
use memtrace_common::{
    live::SEGMENTS,
    process::SLOTS,
    sampling::{PLACES_A_WORD, SAMPLED_PLACES},
    unwind::{MAPPINGS, RULE_CACHE_BITS},
};

use super::{
    Accelerator, CURSORS, NEWEST_SEGMENT, TracerOptions,
    error::TracerError,
    features::{self, MultiLinks},
    kernel_functions,
    known_files::KnownFiles,
    live_keeper,
    live_table::LiveTable,
    mapped::MappedArray,
    mapping_lists::MappingLists,
    object::{self, MultiPrograms},
    table_memory::TableMemory,
    unwind_store::UnwindStore,
    watcher::Watcher,
};

/// Maps an array map of the object into memory.
///
/// # Errors
/// When there is no such map, or no memory for it.
pub fn mapped<T>(ebpf: &Ebpf, name: &'static str, entries: u32) -> Result<MappedArray<T>, TracerError> {
    let map = object::map_descriptor(ebpf, name)?;
    MappedArray::new(map, entries).map_err(|error| TracerError::setup(name)(Box::new(error)))
}

/// The table of live blocks, with its first segment.
///
/// # Errors
/// What the kernel says.
pub fn live_table(ebpf: &Ebpf, is_sampled: bool) -> Result<LiveTable, TracerError> {
    let setup = TracerError::setup("table of live blocks");
    let outer = object::map_descriptor(ebpf, "LIVE")?.try_clone_to_owned().map_err(|error| setup(Box::new(error)))?;
    let records = mapped(ebpf, "LIVE_SEGMENTS", SEGMENTS)?;
    let cursors = mapped(ebpf, "CURSORS", CURSORS)?;
    let sampled = is_sampled.then(|| mapped(ebpf, "SAMPLED", SAMPLED_PLACES / PLACES_A_WORD)).transpose()?;
    LiveTable::new(outer, records, cursors, NEWEST_SEGMENT, sampled.map(Arc::new))
        .map_err(|error| setup(Box::new(error)))
}

/// Starts the thread that enlarges the table of live blocks. Takes a map out of the object: after programs are loaded.
///
/// # Errors
/// When descriptors or threads are short.
pub fn keep_live_table(ebpf: &mut Ebpf, live: &Arc<Mutex<LiveTable>>) -> Result<Watcher, TracerError> {
    let setup = TracerError::setup("table of live blocks");
    let map = ebpf.take_map("GROWTH").ok_or_else(|| setup("no map `GROWTH`".into()))?;
    let ring = RingBuf::try_from(map).map_err(|error| setup(Box::new(error)))?;
    live_keeper::keep(ring, Arc::clone(live)).map_err(|error| setup(Box::new(error)))
}

/// Where unwind tables go; `keeps_tables` when files that nobody maps at a time will be mapped again.
///
/// # Errors
/// When the maps are missing.
pub fn unwind_store(ebpf: &Ebpf, keeps_tables: bool) -> Result<UnwindStore, TracerError> {
    let setup = TracerError::setup("unwind tables");
    let outer = object::map_descriptor(ebpf, "UNWIND_TABLES")?;
    let outer = outer.try_clone_to_owned().map_err(|error| setup(Box::new(error)))?;
    let cache = mapped(ebpf, "RULE_CACHE", 1 << RULE_CACHE_BITS)?;
    let lists = MappingLists::new(mapped(ebpf, "MAPPINGS", MAPPINGS)?, mapped(ebpf, "PROCESSES", SLOTS)?, cache);
    let files = object::map_descriptor(ebpf, "FILES")?.try_clone_to_owned();
    let files = files.map_err(|error| setup(Box::new(error)))?;
    let known = KnownFiles::new(files, mapped(ebpf, "CURSORS", CURSORS)?).map_err(|error| setup(Box::new(error)))?;
    Ok(UnwindStore::new(TableMemory::new(outer), lists, known, keeps_tables))
}

/// Programs that every uprobe-multi link may need.
const MULTI_PROGRAMS: [&str; 8] = [
    object::BEGIN,
    object::LEAVE,
    object::RELEASE,
    object::RELEASE_OTHER,
    object::PYTHON_BEGIN,
    object::PYTHON_END,
    object::FLOOR_ENTRY,
    object::FLOOR_RETURN,
];

/// Programs that see calls return: the first with session probes, the second without. One of them is enough, as to verify
/// it takes time.
const WITH_SESSION: [&str; 2] = [object::BEGIN_OR_FINISH, object::FLOOR_SESSION];
const WITHOUT_SESSION: [&str; 1] = [object::FINISH];

fn has_session_probes(kernel: Option<&Btf>) -> bool {
    let has = kernel.is_some_and(kernel_functions::are_known) && features::has_session_links();
    if !has {
        log::info!("no session probes (6.13): entries and returns have probes of their own");
    }
    has
}

/// The programs for uprobe-multi links, or `None` where perf-event links must do.
///
/// # Errors
/// [`TracerError::Refused`] when the kernel has such links and does not take the programs.
pub fn multi_programs(
    ebpf: &Ebpf,
    options: &TracerOptions,
    kernel: Option<&Btf>,
) -> Result<Option<MultiPrograms>, TracerError> {
    // Tried before the programs are loaded: older kernels verify them and then link them nowhere.
    match features::multi_links() {
        Ok(MultiLinks::Usable) => {
            let session = options.allows(Accelerator::Session) && has_session_probes(kernel);
            let returns = if session { &WITH_SESSION[..] } else { &WITHOUT_SESSION };
            let names = [&MULTI_PROGRAMS, returns].concat();
            object::load_multi_programs(ebpf, &names, kernel).map(Some)
        }
        Ok(MultiLinks::Unusable) => {
            log::info!("no uprobe-multi links that filter by process (6.10): using perf-event links");
            Ok(None)
        }
        Err(error) => {
            log::info!("no uprobe-multi links, using perf-event links: {error}");
            Ok(None)
        }
    }
}
