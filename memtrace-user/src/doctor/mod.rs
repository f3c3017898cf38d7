//! What this kernel, these permissions and a process allow, and what to do about the rest.
//!
//! A check is a function that returns a [`Finding`], and one line in a table: `kernel`, `permissions`, `process`.
//! Features are tried, never inferred from a version, as they are when tracing begins.

mod files;
mod finding;
mod kernel;
mod modules;
mod permissions;
mod probes;
mod process;
mod text;

pub use finding::{Diagnosis, Finding, Level, Section};
pub use text::text;

/// Looks at this machine, and at a process if one is named.
#[must_use]
pub fn examine(pid: Option<u32>) -> Diagnosis {
    let mut sections = vec![
        Section::new("Kernel", kernel::CHECKS.iter().map(|check| check()).collect()),
        Section::new("Permissions", permissions::findings()),
    ];
    if let Some(pid) = pid {
        sections.extend(process::sections(pid));
    }
    Diagnosis { sections }
}
