//! What the parts do together: a snapshot survives a file, and no file harms its reader.

mod corpus;
mod foreign;
mod hostile;
mod made_of;
mod on_disk;
mod round_trip;
