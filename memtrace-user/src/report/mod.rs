//! Plain text output.
