//! The frame of all pages: head, style sheet and common elements.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ReportComponent;
use crate::figure::{self, Figure, Plot, TextTable};
use crate::gates::Verdict;
use crate::text::{aligned, printable};

/// Characters after which names, values and other short texts of stages are cut.
const SHORT: usize = 120;
/// Characters after which messages and descriptions are cut.
const LONG: usize = 600;

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--muted:#59636e;--rule:#d8dee4;--stripe:#f6f8fa;\
--good:#1a6f37;--good-paper:#dcf5e3;--bad:#b3261e;--bad-paper:#fde7e5;--accent:#0072b2}\
@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--muted:#9da7b3;--rule:#30363d;--stripe:#161b22;\
--good:#6fdc8c;--good-paper:#12321d;--bad:#ff9d94;--bad-paper:#3f1613;--accent:#56b4e9}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1120px;padding:2rem 1.25rem 4rem;background:var(--paper);\
color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2.25rem 0 .6rem}\
h3{font-size:1rem;margin:1.25rem 0 .4rem}p{margin:.4rem 0}.lead{font-size:1.05rem}.muted{color:var(--muted)}\
.scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:6px}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.4rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}\
thead th{background:var(--stripe);font-weight:600;white-space:nowrap}tbody tr:last-child>*{border-bottom:0}\
tbody th{font-weight:500}.n{text-align:right;white-space:nowrap}\
code{font:.86em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:break-word}.digest{overflow-wrap:anywhere}.rule{white-space:nowrap}\
.badge{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-weight:600;font-size:.85em;white-space:nowrap}\
.good{color:var(--good);background:var(--good-paper)}.bad{color:var(--bad);background:var(--bad-paper)}\
.none{color:var(--muted);background:var(--stripe)}\
.primary th::after{content:' (primary)';color:var(--muted);font-weight:400}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.6rem 0}dt{color:var(--muted)}dd{margin:0}\
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:1rem;align-items:start}\
.figures>*{border:1px solid var(--rule);border-radius:6px;min-width:0}.figures .sw-figure{display:block;width:100%;height:auto;border-radius:6px}\
.figures>:only-child{max-width:760px}.scroll+.figures,.figures+.scroll{margin-top:1rem}\
.figures h3{margin:.6rem .7rem}.figures .scroll{border:0;border-top:1px solid var(--rule);border-radius:0;max-height:30rem;overflow:auto}\
details{margin:.25rem 0 0}summary{cursor:pointer;color:var(--accent)}ul{margin:.3rem 0;padding-left:1.2rem}\
@media print{body{max-width:none;padding:0}.figures{grid-template-columns:1fr 1fr}}";

/// Returns a whole page.
pub(super) fn page(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(figure::STYLE)) }
            }
            body { (body) }
        }
    }
    .into_string()
}

/// Prepares an untrusted name or value.
pub(super) fn short(text: &str) -> String {
    printable(text, SHORT)
}

/// Prepares an untrusted sentence.
pub(super) fn long(text: &str) -> String {
    printable(text, LONG)
}

/// Returns a passed or failed mark, which differs in its word as well as in its colour.
pub(super) fn badge(good: bool, yes: &str, no: &str) -> Markup {
    html! { @if good { span class="badge good" { "✓ " (yes) } } @else { span class="badge bad" { "✗ " (no) } } }
}

/// Returns the mark of a verdict, which differs in its word as well as in its colour.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Approved => badge(true, "approved", ""),
        Verdict::Rejected => badge(false, "", "rejected"),
        Verdict::Undecided => html! { span class="badge none" { "? undecided" } },
    }
}

/// Returns a number, or a dash for none.
pub(super) fn figure_or_dash(value: Option<f64>) -> Markup {
    html! { @match value { Some(value) => (aligned(value)), None => span class="muted" { "–" } } }
}

/// Returns a digest.
pub(super) fn digest(digest: &str) -> Markup {
    html! { code class="digest" { (short(digest)) } }
}

/// Returns a component in one line.
pub(super) fn component(component: &ReportComponent) -> Markup {
    html! { code { (short(&component.name)) " " (short(&component.version)) } " " (digest(&component.digest)) }
}

/// Returns figures side by side; a table of text as an HTML table.
pub(super) fn figures(figures: &[Figure]) -> Markup {
    html! {
        div class="figures" {
            @for figure in figures {
                @match &figure.plot {
                    Plot::Text(table) => div { h3 { (short(&figure.title)) } (text_table(table)) },
                    _ => div { (figure::drawing(figure)) },
                }
            }
        }
    }
}

fn text_table(table: &TextTable) -> Markup {
    html! {
        div class="scroll" {
            table {
                thead { tr { @for column in &table.columns { th { (short(column)) } } } }
                tbody { @for row in &table.rows { tr { @for cell in row { td { (short(cell)) } } } } }
            }
        }
    }
}
