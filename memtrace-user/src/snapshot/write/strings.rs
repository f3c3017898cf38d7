//! The string table: every text once.

use std::{borrow::Cow, collections::HashMap};

use crate::snapshot::{proto::profile, wire::put_bytes};

/// Texts and their places in the table.
#[derive(Debug)]
pub struct Strings<'a> {
    ids: HashMap<Cow<'a, str>, i64>,
    encoded: Vec<u8>,
}

impl Default for Strings<'_> {
    fn default() -> Self {
        let mut strings = Self { ids: HashMap::new(), encoded: Vec::new() };
        // The first string is empty, as 0 means that there is none.
        strings.id("");
        strings
    }
}

impl<'a> Strings<'a> {
    /// The place of a text.
    pub fn id(&mut self, text: impl Into<Cow<'a, str>>) -> i64 {
        let text = text.into();
        if let Some(id) = self.ids.get(&text) {
            return *id;
        }
        let id = i64::try_from(self.ids.len()).unwrap_or_default();
        put_bytes(profile::STRING, text.as_bytes(), &mut self.encoded);
        self.ids.insert(text, id);
        id
    }

    /// The table as it is written.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}
