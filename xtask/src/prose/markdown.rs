//! A Markdown document, read line by line as far as the rules of prose need it.

/// The maximum width of a line in characters.
const WIDEST: usize = 100;

/// The maximum number of words in a table's cell.
const CELL: usize = 40;

/// A document.
pub(super) struct Document {
    /// The lines outside of code blocks, with their numbers from 1.
    prose: Vec<(usize, Line)>,
    /// The anchors of its headings.
    pub(super) anchors: Vec<String>,
}

struct Line {
    text: String,
    /// The text with each code span replaced by as many spaces.
    without_code: String,
}

/// A link as it is written.
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

impl Document {
    /// Reads a document.
    pub(super) fn read(text: &str) -> Self {
        let mut document = Self { prose: Vec::new(), anchors: Vec::new() };
        let mut fence = None;
        for (at, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            let marks = ["```", "~~~"].into_iter().find(|marks| trimmed.starts_with(marks));
            match (fence, marks) {
                (None, Some(marks)) => fence = Some(marks),
                (Some(open), Some(marks)) if open == marks => fence = None,
                (Some(_), _) => {}
                (None, None) => {
                    if let Some(heading) = heading(line) {
                        let anchor = document.new_anchor(heading);
                        document.anchors.push(anchor);
                    }
                    let line = Line { text: line.to_owned(), without_code: without_code(line) };
                    document.prose.push((at + 1, line));
                }
            }
        }
        document
    }

    /// Returns the anchor of a heading, numbered if an earlier heading has the same.
    fn new_anchor(&self, heading: &str) -> String {
        let slug: String = heading
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        if !self.anchors.contains(&slug) {
            return slug;
        }
        let mut numbered = (1..).map(|number| format!("{slug}-{number}"));
        numbered.find(|anchor| !self.anchors.contains(anchor)).unwrap_or(slug)
    }

    /// Returns the links to files and headings, without those to other servers.
    pub(super) fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        // The target follows its text directly, so both are on one line.
        for (line, Line { text, without_code }) in &self.prose {
            let inline = without_code.match_indices("](").map(|(at, found)| (at + found.len(), ')'));
            let trimmed = without_code.trim_start();
            let definition = trimmed.starts_with('[').then(|| without_code.find("]: ")).flatten();
            for (start, end) in inline.chain(definition.map(|at| (at + 3, ' '))) {
                let target = text[start..].split([end, ' ']).next().unwrap_or_default();
                if !target.contains("://") && !target.starts_with("mailto:") {
                    links.push(Link { line: *line, target: target.to_owned() });
                }
            }
        }
        links
    }

    /// Returns the texts in code spans with their lines.
    pub(super) fn code_spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|(number, line)| {
            let spans = line.text.split('`').skip(1).step_by(2);
            spans.map(move |span| (*number, span))
        })
    }

    /// Checks widths. Returns lines with their problems.
    pub(super) fn wrong(&self) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        for (number, line) in &self.prose {
            if line.text.trim_start().starts_with('|') {
                let words = cells(line).into_iter().map(|cell| cell.split_whitespace().count()).max().unwrap_or(0);
                if words > CELL {
                    wrong.push((*number, format!("a table cell of {words} words; {CELL} are the most")));
                }
                continue;
            }
            let width = without_targets(&line.text).chars().count();
            let breakable = line.text.trim().trim_start_matches(['-', '*', '>', '#', ' ']).contains(' ');
            if width > WIDEST && breakable && !line.text.contains("://") {
                wrong.push((*number, format!("a line of {width} columns; {WIDEST} are the most")));
            }
        }
        wrong
    }
}

/// Returns the text of a heading.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    ((1..=6).contains(&(line.len() - text.len())) && text.starts_with(' ')).then(|| text.trim())
}

/// Replaces code spans by spaces, byte for byte.
fn without_code(line: &str) -> String {
    let mut blank = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let marks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let inner = &rest[start + marks..];
        let Some(length) = inner.find(&rest[start..start + marks]) else { break };
        let end = start + marks + length + marks;
        blank.push_str(&rest[..start]);
        blank.extend(std::iter::repeat_n(' ', end - start));
        rest = &rest[end..];
    }
    blank + rest
}

/// Removes the targets of links, which cannot be wrapped.
fn without_targets(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("](") {
        let Some(length) = rest[start..].find(')') else { break };
        kept.push_str(&rest[..=start]);
        rest = &rest[start + length + 1..];
    }
    kept + rest
}

/// Returns the cells of a table's row.
fn cells(line: &Line) -> Vec<&str> {
    let bars = line.without_code.match_indices('|').map(|(at, _)| at);
    let bars: Vec<usize> = bars.filter(|at| *at == 0 || line.text.as_bytes()[at - 1] != b'\\').collect();
    bars.windows(2).map(|pair| &line.text[pair[0] + 1..pair[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::Document;

    fn lines(text: &str) -> Vec<usize> {
        Document::read(text).wrong().into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_line_is_at_most_100_columns_wide_but_for_links_tables_and_code() {
        let words = "word ".repeat(21);
        assert_eq!(lines(&format!("{words}\n\n- {words}\n# {words}\n")), [1, 3, 4]);
        assert_eq!(lines(&format!("```sh\n{words}\n```\n{words}\n")), [4]);
        assert_eq!(lines(&format!("| {words} |\n<https://a.example> {words}\n{}\n", "x".repeat(200))), [0; 0]);
        assert_eq!(lines(&format!("{} [a](b/{}.md)\n", &words[..90], "c".repeat(30))), [0; 0]);
    }

    #[test]
    fn a_cell_has_at_most_40_words() {
        let (most, more) = ("word ".repeat(40), "word ".repeat(41));
        assert_eq!(lines(&format!("| {most}| {most}|\n| a | {more}|\n")), [2]);
        let halves = "word ".repeat(21);
        assert_eq!(lines(&format!("| {halves}`a | b` \\| {halves}|\n")), [1]);
    }

    #[test]
    fn links_and_anchors_are_those_outside_of_code() {
        let document = Document::read(
            "# The `run` of Ada's\n## Again\n## Again\n[a](b.md#c) `[x](y)` [d](e/f.rs \"title\")\n\n\
             ```\n# no heading\n[g](h)\n```\n[i]: j.md\n[k](https://a.example)\n",
        );
        assert_eq!(document.anchors, ["the-run-of-adas", "again", "again-1"]);
        let links: Vec<_> = document.links().into_iter().map(|link| (link.line, link.target)).collect();
        assert_eq!(links, [(4, "b.md#c".to_owned()), (4, "e/f.rs".to_owned()), (10, "j.md".to_owned())]);
    }
}
