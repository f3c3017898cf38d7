//! Reads a pprof profile of memory, whoever wrote it.
//!
//! Two passes: [`tables::Tables`] takes the messages in as they come, in compact form, as pprof leaves their order
//! open; [`assemble::snapshot`] checks every reference and builds the snapshot.

mod assemble;
mod columns;
mod ids;
mod label_sets;
mod places;
mod samples;
mod tables;

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use self::tables::Tables;
use super::{SnapshotProblem, wire::Fields};
use crate::profile::Snapshot;

/// Bytes that are asked for at once.
const BUFFER: usize = 64 << 10;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How heap profiles of gperftools and jemalloc begin, and those that jeprof and pprof have added symbols to.
const OLDER: [&[u8]; 4] = [b"heap profile:", b"heap_v2/", b"--- symbol", b"heapz_v2/"];

/// Reads a profile, compressed or not.
///
/// # Errors
/// When it is no profile of memory, is damaged, or would take too much memory or time.
pub fn read(input: impl Read) -> Result<Snapshot, SnapshotProblem> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let start = input.fill_buf().map_err(SnapshotProblem::Read)?;
    if start.is_empty() {
        return Err(SnapshotProblem::Empty);
    }
    if OLDER.iter().any(|older| start.starts_with(older)) {
        return Err(SnapshotProblem::OlderFormat);
    }
    let tables = if start.starts_with(&GZIP) {
        let plain = MultiGzDecoder::new(input);
        tables(BufReader::with_capacity(BUFFER, plain))?
    } else {
        tables(input)?
    };
    assemble::snapshot(tables)
}

fn tables(input: impl BufRead) -> Result<Tables, SnapshotProblem> {
    let mut fields = Fields::new(input);
    let mut tables = Tables::default();
    while let Some((field, value)) = fields.next()? {
        tables.take(field, value)?;
    }
    Ok(tables)
}
