//! Parts that several pages have.

use maud::{Markup, html};
use stagewright_text::Untrusted;

/// The most bytes of a text in a cell of a table.
const CELL: usize = 200;

/// Returns an untrusted text of one line, cut, with more of it where the pointer rests.
pub(crate) fn cell(text: &str) -> Markup {
    if text.len() <= CELL {
        return html! { (Untrusted::new(text)) };
    }
    html! { span title=(Untrusted::new(text).cut(2_000)) { (Untrusted::new(text).cut(CELL)) } }
}

/// Returns an untrusted text as it is, with its line breaks.
pub(crate) fn block(text: &str, most: usize) -> Markup {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    html! {
        pre tabindex="0" { (stagewright_text::printable(&text[..end])) }
        @if end < text.len() { p.note { "Cut after " (crate::text::bytes(end as u64)) "." } }
    }
}

/// Returns the mark of a state: its word and a colour. `state` is one of `good`, `bad`, `busy`,
/// `warn`, `plain`.
pub(crate) fn badge(state: &'static str, text: &str) -> Markup {
    html! { span class={ "badge " (state) } { (Untrusted::new(text).cut(60)) } }
}

/// Returns names and values beside each other.
pub(crate) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
    }
}

/// Returns a text that says that there is nothing.
pub(crate) fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}
