//! What lies between two homes, as flags.

use clap::Args;
use serde::Deserialize as _;
use toml::{Table, Value};

use super::quoted;
use crate::link::Quality;
use crate::matrix::Links;
use crate::units::{Chance, Span};

#[derive(Args, Clone, Debug)]
pub(super) struct LinkArguments {
    /// Each home's way to the internet, as in a scenario: `delay=20ms,jitter=2ms,loss=1%,rate=10Mbit/s`
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = quality)]
    link: Option<Quality>,

    /// Its delay; the direct round trip is four times that [default: 20 ms]
    #[arg(long, value_name = "TIME", value_parser = delay)]
    delay: Option<Span>,

    /// Its loss; a direct packet takes two of these ways [default: 0 %]
    #[arg(long, value_name = "SHARE")]
    loss: Option<Chance>,

    /// How much later the second home begins
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = skew)]
    skew: Span,
}

impl LinkArguments {
    pub(super) fn links(&self) -> Links {
        let default = Links::default();
        let mut home = self.link.clone().unwrap_or(default.home);
        home.delay = self.delay.unwrap_or(home.delay);
        home.loss = self.loss.unwrap_or(home.loss);
        Links { home, skew: self.skew }
    }

    /// The same as words of a command: nothing where it is the default.
    pub(super) fn words(&self) -> String {
        let (links, default) = (self.links(), Links::default());
        let table = |link: &Quality| Table::try_from(link).unwrap_or_default();
        let (home, usual) = (table(&links.home), table(&default.home));
        let mut changed: Vec<String> = Vec::new();
        for (key, value) in home.iter().filter(|(key, value)| usual.get(*key) != Some(*value)) {
            changed.push(match value {
                Value::String(text) => format!("{key}={}", text.replace(' ', "")),
                other => format!("{key}={other}"),
            });
        }
        let mut words = String::new();
        if !changed.is_empty() {
            // `--link` begins with a perfect one.
            if links.home.delay == default.home.delay {
                changed.insert(0, format!("delay={}", default.home.delay).replace(' ', ""));
            }
            words += &format!(" --link {}", quoted(&changed.join(",")));
        }
        if links.skew != default.skew {
            words += &format!(" --skew {}", quoted(&links.skew.to_string().replace(' ', "")));
        }
        words
    }
}

/// The longest that anything between two homes takes.
const MAX_SKEW: Span = Span::from_secs(10);

fn skew(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span > MAX_SKEW { Err(format!("{MAX_SKEW} at most")) } else { Ok(span) }
}

fn delay(text: &str) -> Result<Span, String> {
    let delay: Span = text.parse().map_err(|error| format!("{error}"))?;
    let link = Quality { delay, ..Quality::default() };
    link.check().map(|()| delay).map_err(|error| error.to_string())
}

/// The values are those of a scenario's link, and so are the words about what is wrong with them.
fn quality(text: &str) -> Result<Quality, String> {
    let mut table = Table::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        let value = match value.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(value.to_owned()),
        };
        if table.insert(key.to_owned(), value).is_some() {
            return Err(format!("`{key}` is there twice"));
        }
    }
    let link = Quality::deserialize(table).map_err(|error| error.message().to_owned())?;
    link.check().map(|()| link).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::LinkArguments;
    use crate::link::Quality;
    use crate::matrix::Links;
    use crate::units::{Chance, Span};

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        links: LinkArguments,
    }

    fn read(words: &str) -> Result<LinkArguments, String> {
        let words = words.replace('\'', "");
        let arguments = ["x"].into_iter().chain(words.split_whitespace());
        Only::try_parse_from(arguments).map(|it| it.links).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (words, again) in [
            ("", ""),
            ("--skew 50ms --delay 20ms", ""),
            ("--skew 1s", " --skew 1s"),
            ("--delay 40ms --loss 1%", " --link delay=40ms,loss=1%"),
            ("--loss 1%", " --link delay=20ms,loss=1%"),
            ("--link delay=5ms,mtu=1280,rate=1Mbit/s", " --link delay=5ms,rate=1Mbit/s,mtu=1280"),
        ] {
            let arguments = read(words).expect(words);
            assert_eq!(arguments.words(), again);
            assert_eq!(read(again).expect(again).links(), arguments.links());
        }
        assert_eq!(read("").expect("nothing").links(), Links::default());
        let home = Quality { delay: Span::from_millis(9), loss: Chance::percent(3), ..Quality::default() };
        assert_eq!(read("--link delay=9ms,loss=3%").expect("a link").links().home, home);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (words, told) in [
            ("--link delay", "`delay` is not KEY=VALUE"),
            ("--link dealy=1ms", "unknown field `dealy`"),
            ("--link delay=1ms,delay=2ms", "`delay` is there twice"),
            ("--link loss=2", "invalid type: integer `2`"),
            ("--link mtu=5", "`mtu`"),
            ("--link mtu=99999999", "invalid value"),
            ("--delay 2h", "longer than"),
            ("--loss 110%", "a probability"),
            ("--skew 1h", "10 s at most"),
        ] {
            let error = read(words).expect_err(words);
            assert!(error.contains(told), "{words}: {error}");
        }
    }
}
