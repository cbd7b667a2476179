//! The page that says why another one is not shown.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_text::Untrusted;

use crate::answer::{Answer, Request, View};
use crate::fault::{Fault, FaultKind};
use crate::section::Section;

impl Fault {
    /// Returns the answer that shows it, in the form that was asked for.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let view = FaultView { error: self.kind, message: &self.message, hint: self.hint.as_deref() };
        Answer { status: self.kind.status(), ..Answer::page(&view, request) }
    }
}

#[derive(Serialize)]
struct FaultView<'a> {
    error: FaultKind,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl View for FaultView<'_> {
    fn title(&self) -> String {
        self.error.title().to_owned()
    }

    fn section(&self) -> Section {
        Section::Elsewhere
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            h1 { (self.error.title()) }
            p.fault { (Untrusted::lines(self.message)) }
            @if let Some(hint) = self.hint { p.hint { (Untrusted::lines(hint)) } }
        }
    }
}
