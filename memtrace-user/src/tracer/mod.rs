//! Loads the BPF programs, chooses probe points, attaches, and reads the maps. The only place that uses aya.

pub mod probe_point;
