//! What a check found.

use serde::Serialize;

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be seen from here.
    Unseen,
    /// memtrace works, but less well.
    Degraded,
    /// In the way of tracing.
    Failed,
}

impl Level {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// What a check found. Names in it may come from untrusted programs: they are not escaped here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What is lost, or what to do; `None` where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Ok, found: found.into(), advice: None }
    }

    /// Not as it should be, with what is lost or what to do.
    pub fn other(check: impl Into<String>, level: Level, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), level, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Findings under a heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Section {
    /// Under a heading.
    pub fn new(title: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { title: title.into(), findings }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// In the order in which they are shown.
    pub sections: Vec<Section>,
}

impl Diagnosis {
    /// The worst of all findings.
    #[must_use]
    pub fn worst(&self) -> Level {
        self.findings().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    /// All findings.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections.iter().flat_map(|section| &section.findings)
    }
}
