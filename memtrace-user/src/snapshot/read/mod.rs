//! Reads a pprof profile of memory, whoever wrote it.
//!
//! Two passes: [`tables::Tables`] takes the messages in as they come, in compact form, as pprof leaves their order
//! open; [`assemble::snapshot`] checks every reference and builds the snapshot.

mod assemble;
mod columns;
mod ids;
mod jemalloc;
mod label_sets;
mod places;
mod samples;
mod tables;

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use self::tables::Tables;
use super::{SnapshotProblem, limits::Budget, wire::Fields};
use crate::profile::Snapshot;

/// Bytes that are asked for at once.
const BUFFER: usize = 64 << 10;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How heap profiles of gperftools begin, and those that jeprof and pprof have added symbols to.
const OLDER: [&[u8]; 3] = [b"heap profile:", b"--- symbol", b"heapz_v2/"];

/// Reads a profile, compressed or not: pprof's format, or jemalloc's own.
///
/// # Errors
/// When it is no profile of memory, is damaged, or would take too much memory or time.
pub fn read(input: impl Read) -> Result<Snapshot, SnapshotProblem> {
    read_within(input, Budget::default())
}

/// The same with other limits.
pub fn read_within(input: impl Read, budget: Budget) -> Result<Snapshot, SnapshotProblem> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let start = input.fill_buf().map_err(SnapshotProblem::Read)?;
    if start.is_empty() {
        return Err(SnapshotProblem::Empty);
    }
    if start.starts_with(jemalloc::MAGIC) {
        return jemalloc::read(input, budget);
    }
    if OLDER.iter().any(|older| start.starts_with(older)) {
        return Err(SnapshotProblem::OlderFormat);
    }
    let tables = if start.starts_with(&GZIP) {
        let plain = MultiGzDecoder::new(input);
        tables(BufReader::with_capacity(BUFFER, plain), budget)?
    } else {
        tables(input, budget)?
    };
    assemble::snapshot(tables)
}

fn tables(input: impl BufRead, budget: Budget) -> Result<Tables, SnapshotProblem> {
    let mut fields = Fields::new(input);
    let mut tables = Tables { budget, ..Tables::default() };
    while let Some((field, value)) = fields.next()? {
        tables.take(field, value)?;
    }
    Ok(tables)
}
