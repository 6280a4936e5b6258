//! As much of XML as routers write: elements and their text, read in one pass from the front.
//!
//! This is a tolerant scanner and no parser: it does not check that elements are closed as they were
//! opened, it knows no entities but the five that XML defines and characters by number, and it skips
//! comments, processing instructions and document types unread. Nothing expands, nothing is fetched,
//! and the cost is linear in the text.

use alloc::string::String;

/// The longest text of an element that is kept.
pub const MAX_TEXT: usize = 512;

/// One thing that stands in a document.
///
/// ```
/// use bradawl::portmap::igd::xml::{Scanner, Token};
///
/// let mut scanner = Scanner::new("<s:a x='>'>1 &lt; 2<!-- no --></s:a>");
/// assert_eq!(scanner.next(), Some(Token::Open("a")));
/// assert_eq!(scanner.next(), Some(Token::Text("1 &lt; 2")));
/// assert_eq!(scanner.next(), Some(Token::Close("a")));
/// assert_eq!(scanner.next(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// An element begins; its name without prefix.
    Open(&'a str),
    /// An element ends.
    Close(&'a str),
    /// Text between tags, its entities as they stand.
    Text(&'a str),
    /// Text that has no entities.
    Verbatim(&'a str),
}

/// Reads a document token by token. What cannot be read ends it.
///
/// ```
/// use bradawl::portmap::igd::xml::{Scanner, Token};
///
/// assert_eq!(Scanner::new("<empty/>").collect::<Vec<_>>(), [Token::Open("empty"), Token::Close("empty")]);
/// ```
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    rest: &'a str,
    /// The end of an element that was opened and closed in one.
    pending: Option<&'a str>,
}

impl<'a> Scanner<'a> {
    /// Reads `document` from its front.
    pub const fn new(document: &'a str) -> Self {
        Self { rest: document, pending: None }
    }

    fn skip_past(&mut self, end: &str) -> Option<&'a str> {
        let (skipped, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(skipped)
    }

    /// Reads a tag from behind its `<` to behind its `>`.
    fn tag(&mut self) -> Option<Token<'a>> {
        let (mut quote, mut end) = (None, None);
        for (at, byte) in self.rest.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'>') => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let (tag, rest) = self.rest.split_at(end?);
        self.rest = &rest[1..];
        if let Some(name) = tag.strip_prefix('/') {
            return Some(Token::Close(local_name(name)));
        }
        let name = local_name(tag);
        if tag.ends_with('/') {
            self.pending = Some(name);
        }
        Some(Token::Open(name))
    }
}

/// The name that a tag begins with, without its prefix.
fn local_name(tag: &str) -> &str {
    let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.pending.take() {
            return Some(Token::Close(name));
        }
        loop {
            if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
                self.rest = rest;
                return self.skip_past("]]>").map(Token::Verbatim);
            } else if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.rest = rest;
                self.skip_past("-->")?;
            } else if self.rest.starts_with("<?") || self.rest.starts_with("<!") {
                self.skip_past(">")?;
            } else if let Some(rest) = self.rest.strip_prefix('<') {
                self.rest = rest;
                return self.tag();
            } else if self.rest.is_empty() {
                return None;
            } else {
                let (text, rest) = self.rest.split_at(self.rest.find('<').unwrap_or(self.rest.len()));
                self.rest = rest;
                return Some(Token::Text(text));
            }
        }
    }
}

/// The text of the first element of this name, decoded and trimmed, at most [`MAX_TEXT`] bytes of it.
///
/// ```
/// use bradawl::portmap::igd::xml::text_of;
///
/// assert_eq!(text_of("<a><b> x &amp; y </b></a>", "b").as_deref(), Some("x & y"));
/// assert_eq!(text_of("<a/>", "b"), None);
/// ```
pub fn text_of(document: &str, name: &str) -> Option<String> {
    let mut scanner = Scanner::new(document);
    scanner.by_ref().find(|&token| token == Token::Open(name))?;
    Some(text_until_tag(&mut scanner))
}

/// The text that stands from here to the next tag, which is taken too.
pub(super) fn text_until_tag(scanner: &mut Scanner<'_>) -> String {
    let mut text = String::new();
    for token in scanner.by_ref() {
        match token {
            Token::Text(more) => decode(more, &mut text),
            Token::Verbatim(more) => append(more, &mut text),
            Token::Open(_) | Token::Close(_) => break,
        }
    }
    String::from(text.trim())
}

fn append(more: &str, text: &mut String) {
    for letter in more.chars() {
        if text.len() + letter.len_utf8() > MAX_TEXT {
            return;
        }
        text.push(letter);
    }
}

/// Resolves entities; what is none stays as it is.
fn decode(mut encoded: &str, text: &mut String) {
    while let Some(at) = encoded.find('&') {
        let (plain, rest) = encoded.split_at(at);
        append(plain, text);
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        let Some((letter, end)) = end.and_then(|end| Some((entity(&rest[1..end])?, end))) else {
            append("&", text);
            encoded = &rest[1..];
            continue;
        };
        append(letter.encode_utf8(&mut [0; 4]), text);
        encoded = &rest[end + 1..];
    }
    append(encoded, text);
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)?
        }
    })
}

/// Writes text so that it stands for itself.
///
/// ```
/// assert_eq!(bradawl::portmap::igd::xml::escape("a<b & 'c'"), "a&lt;b &amp; &apos;c&apos;");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::{MAX_TEXT, Scanner, escape, text_of};

    #[test]
    fn nothing_expands_and_nothing_is_fetched() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;&b;</a>";
        assert_eq!(text_of(bomb, "a").as_deref(), Some("&b;&b;"));
        assert_eq!(text_of("<a>&#65;&#x42;&#xD800;&amp</a>", "a").as_deref(), Some("AB&#xD800;&amp"));
    }

    #[test]
    fn text_is_bounded_and_cut_between_letters() {
        let long = std::format!("<a>{}</a>", "é".repeat(1_000));
        assert_eq!(text_of(&long, "a").map(|text| text.len()), Some(MAX_TEXT));
    }

    #[test]
    fn broken_documents_end() {
        for document in ["<", "<a", "<a b='", "<!--", "<![CDATA[", "<?", "</", "<>", "< >", "&", "é<é>é</é>"]
        {
            assert!(Scanner::new(document).count() <= 4, "{document}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_read_again(text in "[ -~éß€]{0,80}") {
            let document = std::format!("<x:a>{}</x:a>", escape(&text));
            proptest::prop_assert_eq!(text_of(&document, "a"), Some(String::from(text.trim())));
        }

        #[test]
        fn any_text_is_scanned_to_its_end(text in "[<>/!?\\[\\]CDATA&;#'\"a-c \\-é]{0,200}") {
            proptest::prop_assert!(Scanner::new(&text).count() <= 2 * text.len() + 1);
        }
    }
}
