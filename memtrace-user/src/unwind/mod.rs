//! From `.eh_frame` to the tables that the stack walker reads.

/// A file's table.
#[derive(Debug)]
pub struct UnwindTable {
    /// Index and rows.
    pub words: Vec<u64>,
    /// Number of index words.
    pub chunks: u32,
    /// Address before relocation of offset 0.
    pub base: u64,
}

/// Error.
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct UnwindError;

impl UnwindTable {
    /// Stub.
    ///
    /// # Errors
    /// None.
    pub fn of(_file: &std::fs::File, _path: &str) -> Result<Option<Self>, UnwindError> {
        Ok(None)
    }
}
