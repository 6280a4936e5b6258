//! A square of cells with the NATs' names at its left and, aslant, above it.

use crate::report::figures::elided;
use crate::report::markup::{Escaped, Svg, width};

/// Longer names are cut.
const LONGEST: usize = 24;

/// Where the square lies.
pub(super) struct Grid {
    left: i64,
    top: i64,
    size: i64,
    width: i64,
}

impl Grid {
    pub(super) const CELL: (i64, i64) = (58, 40);
    const STEP: (i64, i64) = (61, 43);

    /// Draws the names, below `top`.
    pub(super) fn new(svg: &mut Svg, names: &[String], top: i64) -> Self {
        let names: Vec<String> = names.iter().map(|name| elided(name, LONGEST)).collect();
        let widest = names.iter().map(|name| width(name, 13)).max().unwrap_or(0);
        // The names above rise at 45°.
        let aslant = widest * 71 / 100 + 12;
        let left = 24 + widest + 12;
        let size = names.len() as i64;
        let mut grid = Self { left, top: top + aslant, size, width: left + size * Self::STEP.0 + 16 };
        for (index, name) in names.iter().enumerate() {
            let (x, y) = grid.at(index, index);
            svg.text("name end", (grid.left - 10, y + Self::CELL.1 / 2 + 4), name);
            let (x, y) = (x + Self::CELL.0 / 2 - 2, grid.top - 8);
            svg.raw(format_args!(
                "<text class=\"name\" transform=\"translate({x} {y}) rotate(-45)\">{}</text>",
                Escaped(name)
            ));
            grid.width = grid.width.max(x + width(name, 13) * 71 / 100 + 24);
        }
        grid
    }

    /// The top left of a cell.
    pub(super) fn at(&self, row: usize, column: usize) -> (i64, i64) {
        (self.left + column as i64 * Self::STEP.0, self.top + row as i64 * Self::STEP.1)
    }

    pub(super) fn left(&self) -> i64 {
        self.left
    }

    /// Where the square ends.
    pub(super) fn bottom(&self) -> i64 {
        self.top + self.size * Self::STEP.1
    }

    /// How wide a picture must be to hold it and the names above it.
    pub(super) fn width(&self) -> i64 {
        self.width
    }
}
