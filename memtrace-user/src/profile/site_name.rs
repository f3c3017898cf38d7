//! Which frame names a call site: the first one outside allocators, their wrappers and runtime libraries.

/// Decides by function and module name. Built once; see [`Self::default`] for the tables.
#[derive(Debug, Clone, Default)]
pub struct SiteNamer {}
