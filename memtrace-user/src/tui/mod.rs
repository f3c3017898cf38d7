//! The live view. The only place that uses ratatui.
