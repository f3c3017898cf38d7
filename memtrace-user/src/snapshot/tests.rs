//! What the parts do together: a snapshot survives a file, and no file harms its reader.

mod round_trip;
