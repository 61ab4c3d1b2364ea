//! Tables for people: columns without rules, so that grep and awk work on them too.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table with these headings; a heading that begins with `>` aligns its column to the right.
pub(crate) fn with_headings(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for (heading, column) in headings.iter().zip(table.column_iter_mut()) {
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Adds a row. Titles come from uploaders: what could steer a terminal is shown as a box.
pub(crate) fn add<const N: usize>(table: &mut Table, cells: [String; N]) {
    table.add_row(cells.map(|cell| plain(&cell)));
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The table as text, without blanks at the ends of lines; `when_empty` where it has no rows.
pub(crate) fn render(table: &Table, when_empty: &str) -> String {
    if table.row_count() == 0 {
        return when_empty.to_owned();
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Pairs of a name and a value, one a line.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:width$}  {}", plain(value)))
        .collect();
    lines.join("\n")
}

/// The lower-case name that the API uses for a value of an enum.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = with_headings(&["NAME", ">SIZE", "NOTE"]);
        add(&mut table, ["a".to_owned(), "10".to_owned(), String::new()]);
        add(&mut table, ["longer".to_owned(), "1".to_owned(), "x".to_owned()]);
        assert_eq!(render(&table, ""), "NAME    SIZE  NOTE\na         10\nlonger     1  x");
        assert_eq!(render(&with_headings(&["NAME"]), "None."), "None.");
    }

    #[test]
    fn title_cannot_steer_the_terminal() {
        let mut table = with_headings(&["TITLE"]);
        add(&mut table, ["\u{1b}[2Jgone\nnext".to_owned()]);
        let text = render(&table, "") + &fields(&[("Title", "\u{1b}]0;x\u{7}".to_owned())]);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert!(text.contains("gone\u{fffd}next"), "{text:?}");
    }

    #[test]
    fn empty_fields_are_left_out() {
        assert_eq!(
            fields(&[("A", "1".to_owned()), ("Long", String::new()), ("B", "2".to_owned())]),
            "A     1\nB     2"
        );
    }
}
