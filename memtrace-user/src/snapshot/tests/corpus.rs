//! The fuzzer's corpus, and damage done to it, as an ordinary test.

use std::{fs, io::Read as _, path::PathBuf};

use flate2::read::GzDecoder;

use super::super::{read, write};
use crate::profile::{GroupBy, GroupOptions, Groups, Samples, SortBy};

/// Damaged copies of each file. In all they take some seconds.
const CUTS: usize = 300;
const FLIPS: usize = 1_500;

/// Reads a file, and does with what comes out what commands do: nothing of it may panic.
fn exercise(file: &[u8]) {
    let Ok(snapshot) = read(file) else { return };
    for by in [GroupBy::Line, GroupBy::Module, GroupBy::Process] {
        let options = GroupOptions { by, cumulative: true, ..GroupOptions::default() };
        let twice = [Samples::from(&snapshot), Samples::from(&snapshot), Samples::from(&snapshot)];
        let _ = Groups::of(&twice, &options, SortBy::LiveBytes);
    }
    let mut written = Vec::new();
    write(&mut written, &snapshot).unwrap();
    let again = read(&*written).expect("what was written is read");
    assert_eq!(again.total(), snapshot.total());
}

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/read");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A file's content before compression, which is where damage goes deepest: gzip has a checksum.
fn plain(file: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match GzDecoder::new(file).read_to_end(&mut plain) {
        Ok(_) => plain,
        Err(_) => file.to_vec(),
    }
}

/// Every file of the corpus is read without harm, as it is and uncompressed.
#[test]
fn corpus_is_harmless() {
    let files = corpus();
    assert!(files.len() >= 8, "the corpus is there");
    for (_, file) in files {
        exercise(&file);
        exercise(&plain(&file));
    }
}

/// Files that end anywhere are refused or read without harm.
#[test]
fn cut_files_are_harmless() {
    for (_, file) in corpus() {
        for content in [plain(&file), file] {
            let step = content.len().div_ceil(CUTS).max(1);
            (0..content.len()).step_by(step).for_each(|end| exercise(&content[..end]));
        }
    }
}

/// A gzip file that is cut anywhere is called incomplete or damaged, never taken for a whole one.
#[test]
fn cut_gzip_files_are_noticed() {
    for (path, file) in
        corpus().into_iter().filter(|(_, file)| file.starts_with(&[0x1f, 0x8b]) && read(&**file).is_ok())
    {
        for end in (0..file.len()).step_by(7) {
            assert!(read(&file[..end]).is_err(), "{} cut at {end}", path.display());
        }
    }
}

/// Files with a bit turned over anywhere are refused or read without harm.
#[test]
fn files_with_wrong_bits_are_harmless() {
    for (_, file) in corpus() {
        let content = plain(&file);
        let bits = content.len() * 8;
        for bit in (0..bits).step_by(bits.div_ceil(FLIPS).max(1)) {
            let mut damaged = content.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            exercise(&damaged);
        }
    }
}
