//! Tables of real files against a second evaluation, and of made-up files.

mod damaged;
mod made_up;
mod real;
