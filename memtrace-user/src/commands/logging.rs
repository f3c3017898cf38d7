//! Where `-v` goes: standard error, or a file while the live table has the terminal.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;

use super::stream::say;

/// The log, which can be turned from standard error into a file.
#[derive(Debug, Clone)]
pub struct Log {
    verbose: bool,
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
enum Sink {
    StandardError,
    File(File),
}

/// Writes to wherever the log goes now.
struct Writer(Arc<Mutex<Sink>>);

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::StandardError => io::stderr().write(buffer),
            Sink::File(file) => file.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::StandardError => io::stderr().flush(),
            Sink::File(file) => file.flush(),
        }
    }
}

/// Starts logging at the level that so many `-v` ask for; warnings are logged in any case.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(verbose: u8, file: Option<&Path>) -> anyhow::Result<Log> {
    let sink = match file {
        Some(path) => Sink::File(
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot open the log file {}", path.display()))?,
        ),
        None => Sink::StandardError,
    };
    let log = Log { verbose: verbose > 0, sink: Arc::new(Mutex::new(sink)) };
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    let writer = Box::new(Writer(Arc::clone(&log.sink)));
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("memtrace", level)
        .format(|out, record| {
            let text = record.args().to_string();
            writeln!(
                out,
                "memtrace: {}: {}",
                record.level().as_str().to_lowercase(),
                crate::report::escape::escape(&text)
            )
        })
        .target(env_logger::Target::Pipe(writer))
        .init();
    Ok(log)
}

impl Log {
    /// Sends the log to a file of its own until what is returned is dropped, as the terminal is taken. One that has a file
    /// already is left alone.
    ///
    /// Without `-v` no file is made: the few warnings are dropped meanwhile.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn aside(&self) -> io::Result<Option<LogAside<'_>>> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*sink, Sink::File(_)) {
            return Ok(None);
        }
        let path = self.verbose.then(|| std::env::temp_dir().join(format!("memtrace-{}.log", std::process::id())));
        let file = match &path {
            // A new file or none: in a directory that others write to, an old one may be somebody's link.
            Some(path) => OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?,
            None => File::options().write(true).open("/dev/null")?,
        };
        *sink = Sink::File(file);
        Ok(Some(LogAside { log: self, path }))
    }
}

/// The log goes elsewhere, until dropped: the terminal is taken.
#[derive(Debug)]
pub struct LogAside<'a> {
    log: &'a Log,
    path: Option<PathBuf>,
}

impl Drop for LogAside<'_> {
    fn drop(&mut self) {
        *self.log.sink.lock().unwrap_or_else(PoisonError::into_inner) = Sink::StandardError;
        if let Some(path) = &self.path {
            say(&format!("the log is in {}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the view is gone, the log is where it was before: on standard error, or in the file that the user has named.
    #[test]
    fn log_is_where_it_was() {
        let is_file = |log: &Log| matches!(*log.sink.lock().unwrap(), Sink::File(_));
        let log = |sink| Log { verbose: false, sink: Arc::new(Mutex::new(sink)) };
        for (log, has_file) in
            [(log(Sink::StandardError), false), (log(Sink::File(tempfile::tempfile().unwrap())), true)]
        {
            let aside = log.aside().unwrap();
            assert!(is_file(&log));
            drop(aside);
            assert_eq!(is_file(&log), has_file);
        }
    }
}
