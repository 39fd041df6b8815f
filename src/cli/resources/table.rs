//! Lists as tables.

use serde_json::Value;

/// A column: its title and the pointer of what it shows.
pub(super) type Column = (&'static str, &'static str);

/// A table with titles, columns as wide as their widest cell. What came from others is shown with its
/// control characters escaped, so that it cannot drive the terminal.
pub(super) fn render(items: &[Value], columns: &[Column]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    rows.extend(items.iter().map(|item| columns.iter().map(|(_, pointer)| cell(item.pointer(pointer))).collect()));
    let widths: Vec<usize> =
        (0..columns.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".into(),
        Some(Value::String(text)) => text.chars().flat_map(shown).collect(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    }
}

fn shown(character: char) -> Vec<char> {
    if character.is_control() { character.escape_default().collect() } else { vec![character] }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_escaped() {
        let items = [json!({"id": "a", "n": 5.00, "x": {"y": "\u{1b}[31m"}}), json!({"id": "longer", "n": null, "x": {"y": ["b", "c"]}})];
        let text = render(&items, &[("ID", "/id"), ("N", "/n"), ("Y", "/x/y")]);
        assert_eq!(text, "ID      N    Y\na       5.0  \\u{1b}[31m\nlonger  –    b,c\n");
    }
}
