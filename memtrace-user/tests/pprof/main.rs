//! Snapshot files against pprof itself, as an independent reader: both say the same of each function, number by number.

mod made_up;
mod ours;
mod pprof;
