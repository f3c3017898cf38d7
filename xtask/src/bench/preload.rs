//! Allocators and profilers that a program is started with: what it costs to have them in the process.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// A library that is loaded before the C library, and what it is told.
pub struct Preload {
    /// Its name; it lies below `/usr/lib`.
    library: &'static str,
    /// Variables of the environment; `{dir}` stands for a directory for what it writes.
    variables: &'static [(&'static str, &'static str)],
}

/// jemalloc by itself.
pub static JEMALLOC: Preload = Preload { library: "libjemalloc.so.2", variables: &[] };
/// jemalloc's own profiler, at the distance that memtrace is measured with, too.
pub static JEMALLOC_PROFILER: Preload = Preload {
    library: "libjemalloc.so.2",
    variables: &[("MALLOC_CONF", "prof:true,prof_active:true,lg_prof_sample:19")],
};
/// gperftools' tcmalloc by itself.
pub static TCMALLOC: Preload = Preload { library: "libtcmalloc.so.4", variables: &[] };
/// Its own profiler, which records each call.
pub static TCMALLOC_PROFILER: Preload =
    Preload { library: "libtcmalloc.so.4", variables: &[("HEAPPROFILE", "{dir}/tcmalloc")] };
/// heaptrack, which records each call.
pub static HEAPTRACK: Preload =
    Preload { library: "libheaptrack_preload.so", variables: &[("DUMP_HEAPTRACK_OUTPUT", "{dir}/heaptrack")] };

impl Preload {
    /// Whether its library is on this machine.
    pub fn is_present(&self) -> bool {
        self.path().is_some()
    }

    /// What is to be in the environment of the program.
    ///
    /// # Errors
    /// When the library is not there, or there is no room for what it writes.
    pub fn environment(&self) -> Result<Vec<(String, String)>> {
        let library = self.path().with_context(|| format!("no {}", self.library))?;
        let directory = workspace::target_dir().join("bench/written");
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let directory = directory.display().to_string();
        let variables =
            self.variables.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{dir}", &directory)));
        Ok(variables.chain([("LD_PRELOAD".to_owned(), library.display().to_string())]).collect())
    }

    fn path(&self) -> Option<PathBuf> {
        let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let directories =
            [machine.clone(), "/usr/lib/heaptrack".into(), format!("{machine}/heaptrack"), "/usr/lib64".into()];
        directories.iter().map(|directory| Path::new(directory).join(self.library)).find(|path| path.exists())
    }
}
