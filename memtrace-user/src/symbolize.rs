//! Names for locations. The only place that uses blazesym.
