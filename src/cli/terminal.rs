//! Text of others on a terminal: it must not steer it, and not hide in it.

/// `text` with escapes for control characters but tabs, line ends too, and for invisible characters,
/// some of which turn text around.
pub(super) fn line(text: &str) -> String {
    escaped(text, |c| c == '\t')
}

/// The same, with its line ends.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\t' | '\n'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hides =
            matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if (c.is_control() && !stays(c)) || hides {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_text_that_steers_a_terminal_or_turns_around_is_escaped() {
        assert_eq!(line("a\u{202e}b\u{200b}\r\n\tä"), "a\\u{202e}b\\u{200b}\\u{d}\\u{a}\tä");
        assert_eq!(lines("\u{1b}]0;x\u{7}\n\u{9b}2J\u{2066}\u{ad}é"), "\\u{1b}]0;x\\u{7}\n\\u{9b}2J\\u{2066}\\u{ad}é");
    }
}
