//! Protobuf's wire format, field by field, over a stream or a slice.

use std::io::{self, BufRead, Read};

use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};

use super::{
    SnapshotProblem,
    limits::{MAX_MESSAGE, MAX_UNCOMPRESSED},
};

/// A field's content up to this size is read in one piece; room for more is made as it arrives.
const AT_ONCE: u64 = 64 << 10;

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `varint`.
    Number(u64),
    /// `length-delimited`: a message, a text, or several numbers in a row.
    Bytes(&'a [u8]),
    /// Some other kind, which `profile.proto` has nowhere.
    Other,
}

/// The fields of a message that comes from a stream.
#[derive(Debug)]
pub struct Fields<R> {
    input: R,
    content: Vec<u8>,
    consumed: u64,
}

impl<R: BufRead> Fields<R> {
    /// Over the whole of a stream.
    pub fn new(input: R) -> Self {
        Self { input, content: Vec::new(), consumed: 0 }
    }

    /// The next field's number and content; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u32, Value<'_>)>, SnapshotProblem> {
        if self.input.fill_buf().map_err(read_problem)?.is_empty() {
            return Ok(None);
        }
        if self.consumed > MAX_UNCOMPRESSED {
            let limit = MAX_UNCOMPRESSED >> 30;
            return Err(SnapshotProblem::TooLarge(format!("it has more than {limit} GiB uncompressed")));
        }
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).ok().filter(|field| *field > 0).ok_or(SnapshotProblem::NotAProfile)?;
        let value = match WireType::try_from(key & 7).map_err(|_| SnapshotProblem::NotAProfile)? {
            WireType::Varint => Value::Number(self.varint()?),
            WireType::LengthDelimited => {
                let length = self.varint()?;
                self.read_content(length)?;
                Value::Bytes(&self.content)
            }
            WireType::SixtyFourBit => self.read_content(8).map(|()| Value::Other)?,
            WireType::ThirtyTwoBit => self.read_content(4).map(|()| Value::Other)?,
            WireType::StartGroup | WireType::EndGroup => return Err(SnapshotProblem::NotAProfile),
        };
        Ok(Some((field, value)))
    }

    fn varint(&mut self) -> Result<u64, SnapshotProblem> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.input.fill_buf().map_err(read_problem)?.first().copied() else {
                return Err(SnapshotProblem::Truncated);
            };
            self.input.consume(1);
            self.consumed += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(SnapshotProblem::NotAProfile)
    }

    fn read_content(&mut self, length: u64) -> Result<(), SnapshotProblem> {
        if length > MAX_MESSAGE {
            return Err(SnapshotProblem::damaged(format!("a field of {length} bytes")));
        }
        self.consumed += length;
        self.content.clear();
        if length <= AT_ONCE {
            self.content.resize(usize::try_from(length).unwrap_or_default(), 0);
            return self.input.read_exact(&mut self.content).map_err(read_problem);
        }
        let got = self.input.by_ref().take(length).read_to_end(&mut self.content).map_err(read_problem)?;
        if (got as u64) < length { Err(SnapshotProblem::Truncated) } else { Ok(()) }
    }
}

/// What the decompressor or the file says.
fn read_problem(error: io::Error) -> SnapshotProblem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotProblem::Truncated,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => SnapshotProblem::Damaged(error.to_string()),
        _ => SnapshotProblem::Read(error),
    }
}

/// The fields of a message in memory, one after the other, to `take`.
pub fn each_field<'a>(
    mut message: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), SnapshotProblem>,
) -> Result<(), SnapshotProblem> {
    while !message.is_empty() {
        let (field, wire) = decode_key(&mut message).map_err(|error| SnapshotProblem::damaged(error.to_string()))?;
        let value = match wire {
            WireType::Varint => Value::Number(number(&mut message)?),
            WireType::LengthDelimited => Value::Bytes(bytes(&mut message)?),
            _ => {
                let skipped = skip_field(wire, field, &mut message, DecodeContext::default());
                skipped.map_err(|error| SnapshotProblem::damaged(error.to_string()))?;
                Value::Other
            }
        };
        take(field, value)?;
    }
    Ok(())
}

/// The numbers of a repeated field, whether they stand in a row or alone.
pub fn each_number(
    value: Value<'_>,
    mut take: impl FnMut(u64) -> Result<(), SnapshotProblem>,
) -> Result<(), SnapshotProblem> {
    match value {
        Value::Number(number) => take(number),
        Value::Bytes(mut row) => {
            while !row.is_empty() {
                take(number(&mut row)?)?;
            }
            Ok(())
        }
        Value::Other => Ok(()),
    }
}

/// A message that lies in memory as a whole.
pub fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, SnapshotProblem> {
    M::decode(bytes).map_err(|error| SnapshotProblem::damaged(error.to_string()))
}

fn number(rest: &mut &[u8]) -> Result<u64, SnapshotProblem> {
    decode_varint(rest).map_err(|error| SnapshotProblem::damaged(error.to_string()))
}

/// The content of a length-delimited field at the start of `rest`, which is moved behind it.
fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SnapshotProblem> {
    let length = number(rest)?;
    let content = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (content, behind) =
        content.ok_or_else(|| SnapshotProblem::damaged("a field is longer than the message it is in"))?;
    *rest = behind;
    Ok(content)
}

/// Appends a field of bytes.
pub fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a number, unless it is 0, which is what a missing field means.
pub fn put_number(field: u32, number: i64, out: &mut Vec<u8>) {
    if number != 0 {
        prost::encoding::int64::encode(field, &number, out);
    }
}

/// Appends a message.
pub fn put_message(field: u32, message: &impl Message, out: &mut Vec<u8>) {
    prost::encoding::message::encode(field, message, out);
}
