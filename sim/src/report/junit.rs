//! Results as JUnit XML, which every CI shows: one test case per scenario, pair or whatever was judged.

use core::fmt::Write as _;

use super::markup::Escaped;

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// How long it took, in microseconds: the caller's business, for there is no clock here.
    pub micros: u64,
    /// How it went.
    pub outcome: Outcome,
}

/// How something that was judged went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed {
        /// What is wrong, in a line.
        message: String,
        /// All there is to say; how to run it again, for one.
        details: String,
    },
    /// It was not tried.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// A test suite of these cases, as an XML document.
///
/// ```
/// use bradawl_sim::report::junit::{Case, Outcome, junit};
///
/// let case = Case { name: "home × cgn".to_owned(), micros: 1_500, outcome: Outcome::Passed };
/// assert!(junit("matrix", &[case]).contains(r#"<testcase classname="matrix" name="home × cgn" time="0.001500"/>"#));
/// ```
pub fn junit(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed { .. })).count();
    let skipped = cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped { .. })).count();
    let time = Seconds(cases.iter().fold(0, |sum: u64, case| sum.saturating_add(case.micros)));
    let suite = Escaped(suite);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts =
        format!("tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" errors=\"0\"", cases.len());
    let _ = writeln!(xml, "<testsuites {counts} time=\"{time}\">");
    let _ = writeln!(xml, "  <testsuite name=\"{suite}\" {counts} time=\"{time}\">");
    for case in cases {
        let (name, time) = (Escaped(&case.name), Seconds(case.micros));
        let _ = write!(xml, "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{time}\"");
        let _ = match &case.outcome {
            Outcome::Passed => writeln!(xml, "/>"),
            Outcome::Failed { message, details } => writeln!(
                xml,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                Escaped(message),
                Escaped(details)
            ),
            Outcome::Skipped { reason } => {
                writeln!(xml, ">\n      <skipped message=\"{}\"/>\n    </testcase>", Escaped(reason))
            }
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// JUnit counts in seconds.
struct Seconds(u64);

impl core::fmt::Display for Seconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
