//! Arguments of `export`.

use std::path::PathBuf;

use clap::{Args, builder::TypedValueParser};

use super::{sort_parser, words::word_parser};
use crate::{
    export::{Exporter, FORMATS},
    profile::{Domain, SortBy},
};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The snapshot; `-` is standard input.
    pub file: PathBuf,
    /// What to write.
    #[arg(short, long, value_name = "FORMAT", value_parser = format_parser())]
    pub format: &'static dyn Exporter,
    /// The number to show, or to order by where all are written [default: what the file says, mostly live-bytes].
    #[arg(long, value_name = "VALUE", value_parser = sort_parser())]
    pub value: Option<SortBy>,
    /// The layer of memory to show, where the snapshot has several [default: all
    /// as json and csv, else malloc or the first that it has].
    #[arg(long, value_name = "DOMAIN", value_parser = domain_parser())]
    pub domain: Option<Domain>,
    /// An earlier snapshot to show the difference from, as folded or svg.
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// Tell the lines of a function apart.
    #[arg(long)]
    pub lines: bool,
    /// Give each thread a root frame, where the snapshot tells threads apart; json always has them.
    #[arg(long)]
    pub per_thread: bool,
    /// Where to write [default: standard output, as `-`]. A file is replaced once all of it is written.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Reads a format by its name; the help lists all with their purpose.
fn format_parser() -> impl TypedValueParser<Value = &'static dyn Exporter> {
    word_parser(FORMATS.iter().map(|format| (*format, format.name(), format.purpose())))
}

/// Reads a domain by its name.
fn domain_parser() -> impl TypedValueParser<Value = Domain> {
    word_parser(Domain::all().map(|domain| (domain, domain.name(), domain.meaning())))
}
