//! Orders the call sites of a profile for a reader.

/// Placeholder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Live bytes.
    #[default]
    LiveBytes,
}
/// Placeholder.
#[derive(Debug)]
pub struct Ranking;
/// Placeholder.
#[derive(Debug)]
pub struct RankingOptions;
/// Placeholder.
#[derive(Debug)]
pub struct Site;
/// Placeholder.
#[derive(Debug)]
pub struct SiteStack;
