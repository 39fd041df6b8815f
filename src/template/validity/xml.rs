//! Well-formedness of XML, as roxmltree sees it.
//!
//! Document type declarations are refused: no receiver of postbacks needs them, and entities are how
//! a small body becomes a large one.

use roxmltree::{Document, ParsingOptions};

/// Why the text is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) struct XmlFault {
    /// The byte where it shows.
    pub(in crate::template) at: usize,
    pub(in crate::template) message: String,
}

/// More nodes than a body of 1 MiB can reasonably hold are refused.
const NODES_MAX: u32 = 300_000;

/// Checks a whole document.
pub(in crate::template) fn check_xml(text: &str) -> Result<(), XmlFault> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let Err(error) = Document::parse_with_options(text, options) else {
        return Ok(());
    };
    let position = error.pos();
    let line = text.split_inclusive('\n').take(position.row.saturating_sub(1) as usize);
    let line_start: usize = line.map(str::len).sum();
    let column = text[line_start..].char_indices().nth(position.col.saturating_sub(1) as usize);
    Err(XmlFault { at: column.map_or(text.len(), |(at, _)| line_start + at), message: without_position(&error.to_string()) })
}

/// roxmltree names its position in the result; findings name the one in the template.
fn without_position(message: &str) -> String {
    let Some(at) = message.rfind(" at ") else {
        return message.to_owned();
    };
    let position = message[at + 4..].split_once(' ').map_or(&message[at + 4..], |(first, _)| first);
    let is_position = !position.is_empty() && position.chars().all(|c| c.is_ascii_digit() || c == ':');
    if !is_position {
        return message.to_owned();
    }
    format!("{}{}", &message[..at], &message[at + 4 + position.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_fault_is_a_byte_of_the_text() {
        let fault = check_xml("<é>\n<n>x</é>").unwrap_err();
        assert!(fault.at >= 5 && fault.at <= 13, "{fault:?}");
        assert!(!fault.message.contains(':'), "{fault:?}");
        assert!(check_xml("").is_err());
        assert!(check_xml("<!DOCTYPE a><a/>").is_err());
        assert_eq!(check_xml("<a/>"), Ok(()));
    }

    #[test]
    fn deep_documents_need_no_deep_stack() {
        let run = || {
            let text = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
            let _ = check_xml(&text);
        };
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(run).unwrap().join().unwrap();
    }
}
