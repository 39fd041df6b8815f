//! JSON with line ends and indentation, and otherwise character for character as it came.
//!
//! A parser that writes again would drop repeated keys and rewrite numbers; whoever debugs a template
//! wants to see those.

use serde::de::IgnoredAny;

/// `text` indented by two blanks a level; none if it is no JSON object or list.
pub(super) fn indented(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut written = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                written.push(c);
                copy_string(&mut characters, &mut written);
            }
            '{' | '[' => {
                written.push(c);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    written.push(end);
                } else {
                    depth += 1;
                    new_line(&mut written, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut written, depth);
                written.push(c);
            }
            ',' => {
                written.push(c);
                new_line(&mut written, depth);
            }
            ':' => written.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => written.push(c),
        }
    }
    Some(written)
}

fn copy_string(characters: &mut impl Iterator<Item = char>, written: &mut String) {
    while let Some(c) = characters.next() {
        written.push(c);
        match c {
            '"' => return,
            '\\' => written.extend(characters.next()),
            _ => {}
        }
    }
}

fn new_line(written: &mut String, depth: usize) {
    written.push('\n');
    written.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = r#" {"a":1e5, "a" : 5.00,"s":"x\"{,:\\","list":[ ],"deep":[{"b":null},{}]} "#;
        let expected = "{\n  \"a\": 1e5,\n  \"a\": 5.00,\n  \"s\": \"x\\\"{,:\\\\\",\n  \"list\": [],\n  \"deep\": [\n    {\n      \"b\": null\n    },\n    {}\n  ]\n}";
        assert_eq!(indented(text).as_deref(), Some(expected));
        let without_blanks = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(without_blanks(&indented(text).unwrap()), without_blanks(text));
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        for text in ["", "1", "\"x\"", "{", "{\"a\": tru}", "a=1&b=2", "<a/>"] {
            assert_eq!(indented(text), None, "{text}");
        }
    }
}
