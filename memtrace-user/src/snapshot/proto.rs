//! The messages of pprof's `profile.proto`, all but `Profile` and `Sample`: those two are as large as the file, and are
//! read and written piece by piece.
//!
//! Field numbers and meanings are those of the proto3 file in the repository of google/pprof. A number that stands for a
//! text is an index into the profile's string table, whose first string is empty.

use prost::Message;

/// Field numbers of `Profile`.
pub mod profile {
    /// `repeated ValueType`: the meaning of each sample's values.
    pub const SAMPLE_TYPE: u32 = 1;
    /// `repeated Sample`.
    pub const SAMPLE: u32 = 2;
    /// `repeated Mapping`.
    pub const MAPPING: u32 = 3;
    /// `repeated Location`.
    pub const LOCATION: u32 = 4;
    /// `repeated Function`.
    pub const FUNCTION: u32 = 5;
    /// `repeated string`.
    pub const STRING: u32 = 6;
    /// `int64`: time of the reading, in nanoseconds since 1970.
    pub const TIME_NANOS: u32 = 9;
    /// `int64`: time that was traced.
    pub const DURATION_NANOS: u32 = 10;
    /// `ValueType`: what is counted between two samples.
    pub const PERIOD_TYPE: u32 = 11;
    /// `int64`: how much of it, on average.
    pub const PERIOD: u32 = 12;
    /// `repeated int64`: texts.
    pub const COMMENT: u32 = 13;
    /// `int64`: name of a sample type.
    pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

/// Field numbers of `Sample`.
pub mod sample {
    /// `repeated uint64`: ids of the stack's locations, innermost first.
    pub const LOCATION_ID: u32 = 1;
    /// `repeated int64`: a value a sample type.
    pub const VALUE: u32 = 2;
    /// `repeated Label`.
    pub const LABEL: u32 = 3;
}

/// What a value means.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ValueType {
    /// As `inuse_space`.
    #[prost(int64, tag = "1")]
    pub kind: i64,
    /// As `bytes`.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// Something known about a sample.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Label {
    /// What is known.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its value as a text; 0 when it is a number.
    #[prost(int64, tag = "2")]
    pub text: i64,
    /// Its value as a number.
    #[prost(int64, tag = "3")]
    pub number: i64,
    /// Unit of the number.
    #[prost(int64, tag = "4")]
    pub unit: i64,
}

/// A mapped file.
#[expect(clippy::struct_excessive_bools, reason = "the format has them")]
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Mapping {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// First address.
    #[prost(uint64, tag = "2")]
    pub start: u64,
    /// Address after the last.
    #[prost(uint64, tag = "3")]
    pub limit: u64,
    /// Offset in the file of the first address.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// Path.
    #[prost(int64, tag = "5")]
    pub file: i64,
    /// Hexadecimal.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// The locations have been looked up: functions,
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// files of source,
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// lines,
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// and inlined functions.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// A place in the code.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Location {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The mapping; 0 when there is none.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// Within the mapping, and within the instruction that called.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Functions, the innermost inlined one first.
    #[prost(message, repeated, tag = "4")]
    pub lines: Vec<Line>,
}

/// A function at a location.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Line {
    /// The function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// Line of source; 0 when not known.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Function {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// For people.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// As the linker knows it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// File of source.
    #[prost(int64, tag = "4")]
    pub filename: i64,
    /// Line of source where it begins.
    #[prost(int64, tag = "5")]
    pub start_line: i64,
}
