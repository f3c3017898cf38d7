//! `go tool pprof`, and its answers as numbers: the oracle for files and for reports made of them.

use std::{collections::BTreeMap, path::Path, process::Command};

/// Flat and cumulative value of a row of `-top`.
pub type Values = (i64, i64);

/// Runs `go tool pprof` and returns its standard output.
pub fn run(arguments: &[&str], files: &[&Path]) -> String {
    // Its settings and temporary files, and Go's cache, stay out of the caller's home directory.
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("go");
    command.args(["tool", "pprof", "-symbolize=none"]).args(arguments).args(files);
    command.env("HOME", home.path()).env("PPROF_TMPDIR", home.path()).env("GOFLAGS", "").env("GOTOOLCHAIN", "local");
    let output = command.output().expect("go runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every function's values of one sample type, exact.
pub fn top(sample_type: &str, arguments: &[&str], files: &[&Path]) -> BTreeMap<String, Values> {
    let index = format!("-sample_index={sample_type}");
    let all = ["-top", "-functions", "-unit=B", "-nodefraction=0", "-edgefraction=0", "-nodecount=1000000", &index];
    parse_top(&run(&[&all, arguments].concat(), files))
}

/// The rows below the heading `flat  flat%   sum%        cum   cum%`.
///
/// Rows of equal names are added up: pprof tells functions of one name in several files apart and shows the name alone.
/// Its mark of inlined functions is left out.
pub fn parse_top(text: &str) -> BTreeMap<String, Values> {
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("flat ")).skip(1);
    let mut values: BTreeMap<String, Values> = BTreeMap::new();
    for row in rows {
        let mut rest = row;
        let columns: Vec<&str> = std::iter::from_fn(|| {
            let (column, behind) = rest.trim_start().split_once(' ')?;
            rest = behind;
            Some(column)
        })
        .take(5)
        .collect();
        let [flat, _, _, cumulative, _] = columns[..] else { panic!("a row of pprof's: {row}") };
        let sums = values.entry(rest.trim_start().replace(" (inline)", "")).or_default();
        sums.0 += number(flat);
        sums.1 += number(cumulative);
    }
    values
}

/// `4096B`, `-12`, `0`; a number with a unit other than bytes would not be exact.
fn number(text: &str) -> i64 {
    text.strip_suffix('B').unwrap_or(text).parse().unwrap_or_else(|_| panic!("a number of pprof's: {text}"))
}

/// Sum of each column of a profile's samples, as `-raw` lists them.
pub fn raw_sums(file: &Path) -> Vec<i64> {
    let text = run(&["-raw"], &[file]);
    let mut sums = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("Samples:")).skip(2) {
        if line.starts_with("Locations") {
            break;
        }
        let Some((values, _)) = line.split_once(':').filter(|(values, _)| !values.contains('\t')) else { continue };
        let Ok(values) = values.split_whitespace().map(str::parse).collect::<Result<Vec<i64>, _>>() else { continue };
        sums.resize(values.len(), 0);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums
}
