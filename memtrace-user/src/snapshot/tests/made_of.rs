//! Profiles made message by message, for files that no program writes.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use super::super::{
    proto::{Function, Label, Line, Location, Mapping, ValueType, profile, sample},
    wire::{put_bytes, put_message, put_number},
};

/// A profile in the making, uncompressed.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub bytes: Vec<u8>,
    strings: i64,
}

impl Made {
    /// With sample types, as `inuse_space/bytes`.
    pub fn of_types(types: &[&str]) -> Self {
        let mut made = Self::default();
        made.string(b"");
        for text in types {
            let (kind, unit) = text.split_once('/').unwrap();
            let value_type = ValueType { kind: made.string(kind.as_bytes()), unit: made.string(unit.as_bytes()) };
            made.message(profile::SAMPLE_TYPE, &value_type);
        }
        made
    }

    /// The four that memtrace writes.
    pub fn ours() -> Self {
        Self::of_types(&["alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"])
    }

    pub fn string(&mut self, text: &[u8]) -> i64 {
        put_bytes(profile::STRING, text, &mut self.bytes);
        self.strings += 1;
        self.strings - 1
    }

    pub fn message(&mut self, field: u32, message: &impl Message) -> &mut Self {
        put_message(field, message, &mut self.bytes);
        self
    }

    pub fn comment(&mut self, text: &str) -> &mut Self {
        let id = self.string(text.as_bytes());
        put_number(profile::COMMENT, id, &mut self.bytes);
        self
    }

    /// A location of one function.
    pub fn location(&mut self, id: u64, mapping_id: u64, address: u64, function_id: u64) -> &mut Self {
        let lines = if function_id == 0 { vec![] } else { vec![Line { function_id, line: 7 }] };
        self.message(profile::LOCATION, &Location { id, mapping_id, address, lines })
    }

    pub fn function(&mut self, id: u64, name: &str) -> &mut Self {
        let name = self.string(name.as_bytes());
        self.message(profile::FUNCTION, &Function { id, name, ..Function::default() })
    }

    pub fn mapping(&mut self, id: u64, start: u64, file: &str) -> &mut Self {
        let file = self.string(file.as_bytes());
        self.message(profile::MAPPING, &Mapping { id, start, limit: start + 0x1000, file, ..Mapping::default() })
    }

    pub fn sample(&mut self, stack: &[u64], values: &[i64], labels: &[Label]) -> &mut Self {
        let mut message = Vec::new();
        // One by one, as older programs write them.
        for id in stack {
            prost::encoding::uint64::encode(sample::LOCATION_ID, id, &mut message);
        }
        prost::encoding::int64::encode_packed(sample::VALUE, values, &mut message);
        for label in labels {
            put_message(sample::LABEL, label, &mut message);
        }
        put_bytes(profile::SAMPLE, &message, &mut self.bytes);
        self
    }

    pub fn gzip(&self) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&self.bytes).unwrap();
        gzip.finish().unwrap()
    }
}
