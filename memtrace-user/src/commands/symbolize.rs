//! `memtrace symbolize FILE`: names what a snapshot has as addresses.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;

use super::stream::tell;
use crate::{
    cli::SymbolizeArgs,
    profile::Module,
    report::{escape::escape, units},
    snapshot::{read_file, write_file},
    symbolize::{Debuginfod, Filled, LocalFiles, Symbolizer, fill},
};

/// Reads, looks up, writes, and says on standard error what was found and what not.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn execute(arguments: &SymbolizeArgs) -> anyhow::Result<ExitCode> {
    let mut snapshot = read_file(&arguments.file)?;
    let mut files = LocalFiles::new(&arguments.debug_dir).with_any_build(arguments.any_build);
    if arguments.debuginfod {
        files = files.with_debuginfod(Debuginfod::new()?);
    }
    let symbolizer =
        Symbolizer::with_debug_dirs(files.debug_dirs().to_vec()).context("cannot start looking up symbols")?;
    let filled = fill(&mut snapshot, &files, &symbolizer, show_progress).await;
    clear_progress();
    let output = arguments.output.as_ref().unwrap_or(&arguments.file);
    write_file(output, &snapshot)?;
    for line in summary(&filled) {
        tell(&format!("{}\n", escape(&line)));
    }
    Ok(ExitCode::SUCCESS)
}

fn show_progress(module: &Module, index: usize, count: usize) {
    if io::stderr().is_terminal() {
        // Back to the start of the line, which is then cleared.
        tell(&format!("\r\x1b[K{index} of {count}: {}", escape(&module.path)));
    }
}

fn clear_progress() {
    if io::stderr().is_terminal() {
        tell("\r\x1b[K");
    }
}

/// What was found, and a line for each file that was not.
fn summary(filled: &Filled) -> Vec<String> {
    let locations = |number: usize| units::counted(number as u64, "location");
    if filled.wanted == 0 {
        return vec!["nothing to look up: every location has a function and a line".into()];
    }
    let first = format!("named or completed {} of {}", units::count(filled.completed as u64), locations(filled.wanted));
    let missing = filled
        .not_found
        .iter()
        .map(|(module, count, reason)| format!("{}: {} ({} left as they are)", module.path, reason, locations(*count)));
    std::iter::once(first).chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::symbolize::NotFound;

    fn module(path: &str) -> Module {
        Module { path: path.into(), build_id: None }
    }

    /// The summary tells every file that was not used, and why.
    #[test]
    fn summary_names_files_and_reasons() {
        let not_found = vec![
            (module("/srv/bin/rowsd"), 3, NotFound::OtherBuild("/srv/bin/rowsd".into())),
            (module("/usr/lib/libssl.so.3"), 1_204, NotFound::Nowhere),
            (module("[vdso]"), 1, NotFound::NoBuildId),
            (module("/opt/app"), 2, NotFound::DebugOnly("/usr/lib/debug/.build-id/ab/cd.debug".into())),
        ];
        let filled = Filled { wanted: 5_000, completed: 3_790, not_found };
        assert_snapshot!(summary(&filled).join("\n"));
        assert_snapshot!(summary(&Filled::default()).join("\n"));
    }
}
