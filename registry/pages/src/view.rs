//! Pages as records.

use maud::Markup;
use serde::Serialize;

use crate::request::Request;
use crate::section::Section;

/// A page: everything that it shows, as a record.
pub trait View: Serialize {
    /// Returns the title, without markup.
    fn title(&self) -> String;

    /// Returns its place in the navigation.
    fn section(&self) -> Section;

    /// Returns the scripts that it needs, by the names of their assets.
    fn scripts(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns what is shown beneath the navigation.
    fn body(&self, request: &Request<'_>) -> Markup;
}
