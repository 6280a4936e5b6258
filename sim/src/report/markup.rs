//! The little of XML, SVG and CSS that the pictures need.

use core::fmt::{self, Write as _};

/// Somebody's text, harmless inside an element or a quoted attribute. What XML has no way to say
/// (control characters) becomes the replacement character.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A picture being drawn. Coordinates are whole pixels, from the top left.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

impl Svg {
    /// One line of text, at its baseline. Where it is anchored is the class's affair.
    pub(super) fn text(&mut self, class: &str, (x, y): (i64, i64), text: &str) {
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", Escaped(text));
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (i64, i64), (x2, y2): (i64, i64)) {
        let _ =
            writeln!(self.body, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
    }

    pub(super) fn rect(&mut self, class: &str, (x, y): (i64, i64), (width, height): (i64, i64)) {
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        );
    }

    pub(super) fn rounded(&mut self, class: &str, (x, y): (i64, i64), (width, height): (i64, i64)) {
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>"
        );
    }

    pub(super) fn path(&mut self, class: &str, path: &str) {
        let _ = writeln!(self.body, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (i64, i64), radius: i64) {
        let _ = writeln!(self.body, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>");
    }

    /// A group that says `title` when it is pointed at.
    pub(super) fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<g><title>{}</title>", Escaped(title));
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// Anything else; the caller escapes.
    pub(super) fn raw(&mut self, markup: fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{markup}");
    }

    /// The picture, of this size; `label` is for those who hear it. `sheet` is what it needs in style and
    /// definitions besides [`SHEET`].
    pub(super) fn finish(self, (width, height): (i64, i64), label: &str, sheet: &Sheet) -> String {
        let mut svg = String::with_capacity(self.body.len() + 4_096);
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            Escaped(label)
        );
        let Sheet { light, dark, defs } = sheet;
        let _ = write!(svg, "<style>\n{SHEET}{light}");
        let _ = writeln!(svg, "@media (prefers-color-scheme: dark) {{\n{SHEET_DARK}{dark}}}\n</style>");
        svg.push_str(defs);
        let _ = writeln!(svg, "<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>");
        svg.push_str(&self.body);
        svg.push_str("</svg>\n");
        svg
    }
}

/// What one kind of picture needs besides what all need.
pub(super) struct Sheet {
    /// Style.
    pub(super) light: &'static str,
    /// What is otherwise on a dark screen.
    pub(super) dark: &'static str,
    /// Patterns and markers.
    pub(super) defs: &'static str,
}

/// Plain classes rather than variables: there are programs that show SVG and know no variables.
const SHEET: &str = "\
.picture text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif;\
font-size:12px;fill:#1f2328;font-variant-numeric:tabular-nums}
.picture .paper{fill:#ffffff}
.picture text.title{font-size:18px;font-weight:600}
.picture text.dim{fill:#59636e}
.picture text.small{font-size:11px}
.picture text.code{font-family:ui-monospace,SFMono-Regular,Menlo,\"DejaVu Sans Mono\",monospace;font-size:11px;\
fill:#59636e}
.picture text.strong{font-weight:600}
.picture text.end{text-anchor:end}
.picture text.middle{text-anchor:middle}
.picture .rule{stroke:#d1d9e0;fill:none}
.picture .axis{stroke:#818b98;fill:none}
";

const SHEET_DARK: &str = "\
.picture text{fill:#e6edf3}
.picture .paper{fill:#0d1117}
.picture text.dim,.picture text.code{fill:#9ea7b3}
.picture .rule{stroke:#30363d}
.picture .axis{stroke:#768390}
";

/// About how wide a text is in a proportional font of this size; rather too wide than too narrow.
pub(super) fn width(text: &str, size: i64) -> i64 {
    let ems: i64 = text.chars().map(|c| if c as u32 >= 0x1100 { 100 } else { 59 }).sum();
    ems * size / 100 + 1
}

/// The same in a font whose letters are all as wide.
pub(super) fn width_mono(text: &str, size: i64) -> i64 {
    let ems: i64 = text.chars().map(|c| if c as u32 >= 0x1100 { 121 } else { 61 }).sum();
    ems * size / 100 + 1
}

/// A text in lines of at most `most` characters, broken at spaces where there are any.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.chars().count() + 1 + word.len() > most {
            lines.push(core::mem::take(&mut line));
        }
        while word.len() > most.max(1) {
            lines.push(word.drain(..most.max(1)).collect());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
