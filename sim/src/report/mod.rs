//! What people see of runs: tables for the terminal, pictures, pages, and files for other programs.
//!
//! Everything here is a pure function from plain data to text. Nothing asks for the time, nothing draws
//! at random, and numbers are put together from integers, so that equal runs give equal bytes on every
//! platform: a picture under version control changes only when what it shows has changed.
//!
//! The SVG is written by hand and stands alone: no script, no font, nothing fetched. Its colours are in a
//! style sheet of its own, which has a second set for dark screens; wherever a colour says something, a
//! number, a pattern or a shape says it, too, for those who see colours differently or print in grey.

pub mod junit;
pub mod ladder;
pub mod matrix;
pub mod summary;

pub(crate) mod figures;
mod markup;
