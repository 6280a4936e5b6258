//! Whether a text is XML, as far as pictures need it: tags balance, attributes are quoted, and nothing
//! stands where markup would be misunderstood.

/// Panics where it is not.
pub(crate) fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        let (tag, after) = rest[start + 1..].split_once('>').expect("a tag that ends");
        rest = after;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "what is closed was opened last");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name:?} is a name");
        check_attributes(tag[name.len()..].trim_end_matches('/'));
        // HTML has elements that nobody closes.
        if !tag.ends_with('/') && !["meta", "br"].contains(&name) {
            open.push(name);
        }
    }
    check_text(rest);
    assert_eq!(open, [""; 0], "everything is closed");
}

fn check_attributes(mut rest: &str) {
    while !rest.trim().is_empty() {
        let (name, after) = rest.trim_start().split_once("=\"").expect("an attribute with a quoted value");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name:?} is a name");
        let (value, after) = after.split_once('"').expect("a value that ends");
        check_text(value);
        rest = after;
    }
}

fn check_text(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    for after in text.split('&').skip(1) {
        let entity = after.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&entity), "&{entity};");
    }
}

#[test]
#[should_panic(expected = "what is closed was opened last")]
fn unbalanced_tags_are_seen() {
    assert_well_formed("<a><b></a></b>");
}

#[test]
#[should_panic(expected = "&b;")]
fn naked_ampersands_are_seen() {
    assert_well_formed("<a title=\"a&b\"/>");
}
