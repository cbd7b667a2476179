//! The web pages of the tracking server: runs, models and experiments for people.
//!
//! A page is a record with everything that it shows ([`View`]). It is shown as HTML to a browser,
//! and as JSON by the same path to a program, so that every number on a page can be had as JSON.
//! The crate knows no HTTP server: [`routes()`] says which function answers which path and what a
//! caller must be allowed to; registry/server mounts them, checks, and sends the [`Answer`].
//!
//! - [`Route`], [`Needs`], [`routes()`]: the paths; [`Request`], [`Query`]: what is asked
//! - [`Site`]: what pages read; [`Viewer`], [`May`]: who looks, and what they may do
//! - [`Pipelines`]: what the program does with pipelines' models beyond the records
//! - [`View`], [`Answer`]: what is shown; [`Fault`]: why it is not
//! - [`layout`]: the frame of every page; [`markup`]: its recurring parts; [`text`]: numbers and
//!   times for people; [`assets`]: style, scripts and picture, which the program contains
//!
//! Everything that comes from outside passes maud's escaping and
//! [`Untrusted`](stagewright_text::Untrusted). No page has a script or a style of its own: the
//! policy ([`PAGE_POLICY`]) has a browser refuse both.

mod access;
mod answer;
mod asset_files;
mod assets;
mod audit;
mod deployments;
mod experiments;
mod fault;
mod fault_page;
mod layout;
mod login;
mod markup;
mod models;
mod overview;
mod paging;
mod pipelines;
mod query;
mod request;
mod route;
mod run;
mod runs;
mod section;
mod site;
mod table;
mod text;
mod turn;
mod view;
mod viewer;

pub use access::{Level, Resource};
pub use answer::{Answer, Content, Events, PAGE_POLICY};
pub use fault::{Fault, FaultKind};
pub use models::parts::version_path;
pub use pipelines::{
    Because, ComparedRow, Comparison, ComparisonNote, Interval, Lineage, LiveMetrics, Measured, ModelCard,
    PipelineFault, Pipelines, TrustedComponent,
};
pub use query::Query;
pub use request::{Form, Request};
pub use route::{Handler, Method, Needs, Route};
pub use section::Section;
pub use site::Site;
pub use table::routes;
pub use view::View;
pub use viewer::{Everything, May, Session, Viewer};
