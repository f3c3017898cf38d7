//! From `.eh_frame` to the tables that the stack walker reads.
