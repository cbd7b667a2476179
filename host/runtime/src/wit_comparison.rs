//! Compares a component with a folder of WIT, for the author of a component that the host refuses.
//!
//! Each interface that the component imports or exports is compared with the interface of the same
//! name in the folder: its version without the patch number, its types and its functions.
//! Interfaces of packages that the folder does not contain, such as WASI's, are ignored. An import
//! may lack functions that the component does not use; an export must be complete.

use std::collections::BTreeSet;
use std::path::Path;

use semver::Version;
use serde::Serialize;
use stagewright_lifecycle::fault::{guest_name, guest_text};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, Handle, InterfaceId, PackageName, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

use crate::version::answers;

/// A difference between a component and WIT. A part that one side lacks is `None` there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitDifference {
    /// The interface, as the side that has it names it. Empty if the difference concerns the
    /// component.
    pub interface: String,
    /// The function or type. Empty if the difference concerns the interface.
    pub item: String,
    /// The part that differs, such as a field, a parameter or the result.
    pub part: String,
    /// The part in the component.
    pub component: Option<String>,
    /// The part in the folder.
    pub wit: Option<String>,
}

/// A comparison in progress.
struct Comparison<'a> {
    component: &'a Resolve,
    folder: &'a Resolve,
    found: Vec<WitDifference>,
}

/// Reads the WIT of a folder or file.
///
/// # Errors
/// Returns why it cannot be read as WIT.
pub(crate) fn folder(path: &Path) -> Result<Resolve, String> {
    let mut resolve = Resolve::default();
    resolve.push_path(path).map_err(|error| guest_text(&format!("{error:#}")))?;
    Ok(resolve)
}

/// Returns all differences, in the order of the component's interfaces.
///
/// # Errors
/// Returns why the bytes are not a component whose types WIT can express.
pub(crate) fn differences(bytes: &[u8], folder: &Resolve) -> Result<Vec<WitDifference>, String> {
    let decoded = decode(bytes).map_err(|error| guest_text(&format!("{error:#}")))?;
    let DecodedWasm::Component(component, world) = decoded else {
        return Err("it is a package of WIT; a stage is a component".into());
    };
    let mut comparison = Comparison { component: &component, folder, found: Vec::new() };
    let world = &component.worlds[world];
    comparison.interfaces(interfaces(world.imports.values()), false);
    comparison.interfaces(interfaces(world.exports.values()), true);
    comparison.world(interfaces(world.exports.values()).collect());
    Ok(comparison.found)
}

/// Returns the items of a world that are interfaces.
fn interfaces<'a>(items: impl Iterator<Item = &'a WorldItem>) -> impl Iterator<Item = InterfaceId> {
    items.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    })
}

impl Comparison<'_> {
    fn add(&mut self, interface: &str, item: &str, part: &str, component: Option<String>, wit: Option<String>) {
        let shown = |text: String| guest_name(&text);
        self.found.push(WitDifference {
            interface: guest_name(interface),
            item: guest_name(item),
            part: guest_name(part),
            component: component.map(shown),
            wit: wit.map(shown),
        });
    }

    /// Compares the component's imports or exports.
    fn interfaces(&mut self, interfaces: impl Iterator<Item = InterfaceId>, exported: bool) {
        for own in interfaces {
            // Interfaces without a name are the component's own.
            let Some(name) = self.component.id_of(own) else { continue };
            match find(self.component, own, self.folder) {
                Found::Foreign => {}
                Found::Missing => self.add(&name, "", "interface", Some("an interface".into()), None),
                Found::Interface(theirs) => {
                    let version = |resolve: &Resolve, id| version(resolve, id).map(ToString::to_string);
                    let (asked, there) = (version(self.component, own), version(self.folder, theirs));
                    if !same_version(self.component, own, self.folder, theirs) {
                        self.add(&name, "", "version", asked, there);
                    }
                    self.interface(&name, own, theirs, exported);
                }
            }
        }
    }

    fn interface(&mut self, name: &str, own: InterfaceId, theirs: InterfaceId, exported: bool) {
        let (component, folder) = (self.component, self.folder);
        let (own, theirs) = (&component.interfaces[own], &folder.interfaces[theirs]);
        for (item, id) in &own.types {
            // A type that is only used here is compared where it is defined.
            if is_use(component, *id) {
                continue;
            }
            let (kind, parts) = definition(component, *id);
            match theirs.types.get(item).map(|id| definition(folder, *id)) {
                None => self.add(name, item, kind, Some(format!("{kind} {item}")), None),
                Some((other, _)) if other != kind => {
                    self.add(name, item, "kind", Some(kind.to_owned()), Some(other.to_owned()));
                }
                Some((_, others)) => self.parts(name, item, &parts, &others),
            }
        }
        for (raw, function) in &own.functions {
            let item = named(raw);
            match theirs.functions.get(raw) {
                None => self.add(name, item, "function", Some(signature(component, function)), None),
                Some(other) => {
                    self.parts(name, item, &function_parts(component, function), &function_parts(folder, other))
                }
            }
        }
        let missing = theirs.functions.iter().filter(|(raw, _)| exported && !own.functions.contains_key(*raw));
        for (raw, function) in missing {
            self.add(name, named(raw), "function", None, Some(signature(folder, function)));
        }
    }

    /// Compares parts by name, and by their order if the names are the same.
    fn parts(&mut self, interface: &str, item: &str, own: &[Part], theirs: &[Part]) {
        let of = |parts: &[Part], name: &str| parts.iter().find(|part| part.0 == name).map(|part| part.1.clone());
        for (part, text) in own {
            let other = of(theirs, part);
            if other.as_ref() != Some(text) {
                self.add(interface, item, part, Some(text.clone()), other);
            }
        }
        let missing: Vec<&Part> = theirs.iter().filter(|(part, _)| of(own, part).is_none()).collect();
        let names = |parts: &[Part]| parts.iter().map(|part| part.0.clone()).collect::<Vec<_>>();
        let same: BTreeSet<String> = names(own).into_iter().collect();
        if missing.is_empty() && same == names(theirs).into_iter().collect() && names(own) != names(theirs) {
            let order = |parts| Some(names(parts).join(", "));
            self.add(interface, item, "order", order(own), order(theirs));
        }
        for (part, text) in missing {
            self.add(interface, item, part, None, Some(text.clone()));
        }
    }

    /// Finds the world of the folder that the component implements, and compares the exports.
    fn world(&mut self, exports: Vec<InterfaceId>) {
        let folder = self.folder;
        let theirs = exports.iter().map(|own| find(self.component, *own, folder));
        let exported: BTreeSet<InterfaceId> = theirs
            .filter_map(|found| match found {
                Found::Interface(theirs) => Some(theirs),
                Found::Foreign | Found::Missing => None,
            })
            .collect();
        let worlds: Vec<(WorldId, BTreeSet<InterfaceId>)> = folder
            .worlds
            .iter()
            .map(|(id, world)| (id, interfaces(world.exports.values()).collect::<BTreeSet<_>>()))
            .filter(|(_, exports)| !exports.is_empty())
            .collect();
        // An interface that all worlds export does not distinguish them.
        let telling =
            |interface: &InterfaceId| worlds.len() == 1 || !worlds.iter().all(|world| world.1.contains(interface));
        let shared = |world: &BTreeSet<InterfaceId>| world.intersection(&exported).filter(|it| telling(it)).count();
        let best = worlds.iter().max_by_key(|(_, exports)| (shared(exports), usize::MAX - exports.len()));
        let Some((id, wanted)) = best else { return };
        if shared(wanted) == 0 {
            let names: Vec<&str> = worlds.iter().map(|(id, _)| folder.worlds[*id].name.as_str()).collect();
            self.add("", "", "world", None, Some(names.join(", ")));
            return;
        }
        let world = &folder.worlds[*id].name;
        for missing in wanted.difference(&exported) {
            let name = folder.id_of(*missing).unwrap_or_default();
            self.add(&name, "", "export", None, Some(format!("an export of world {world}")));
        }
    }
}

/// The interface of the folder that corresponds to an interface of the component.
enum Found {
    /// The folder does not contain its package.
    Foreign,
    /// The package does not contain the interface.
    Missing,
    /// The interface, in the version of the component if the folder contains it.
    Interface(InterfaceId),
}

fn find(component: &Resolve, own: InterfaceId, folder: &Resolve) -> Found {
    let interface = &component.interfaces[own];
    let (Some(package), Some(name)) = (interface.package, &interface.name) else { return Found::Foreign };
    let package = &component.packages[package].name;
    let same = |other: &PackageName| other.namespace == package.namespace && other.name == package.name;
    let mut packages = folder.packages.iter().filter(|(_, other)| same(&other.name)).peekable();
    if packages.peek().is_none() {
        return Found::Foreign;
    }
    let all: Vec<InterfaceId> = packages.filter_map(|(_, other)| other.interfaces.get(name).copied()).collect();
    let asked = all.iter().find(|theirs| same_version(component, own, folder, **theirs));
    asked.or(all.first()).map_or(Found::Missing, |theirs| Found::Interface(*theirs))
}

fn version(resolve: &Resolve, interface: InterfaceId) -> Option<&Version> {
    let package = resolve.interfaces[interface].package?;
    resolve.packages[package].name.version.as_ref()
}

/// Returns whether the versions of two interfaces are compatible.
fn same_version(component: &Resolve, own: InterfaceId, folder: &Resolve, theirs: InterfaceId) -> bool {
    match (version(component, own), version(folder, theirs)) {
        (Some(asked), Some(there)) => answers(there, asked),
        (asked, there) => asked == there,
    }
}

/// The name and the type of a field, case or parameter, as text.
type Part = (String, String);

/// Returns a function's name as in WIT. Constructors keep their prefix.
fn named(raw: &str) -> &str {
    ["[method]", "[static]"].into_iter().find_map(|prefix| raw.strip_prefix(prefix)).unwrap_or(raw)
}

/// Returns whether a type is an alias of a named type.
fn is_use(resolve: &Resolve, id: TypeId) -> bool {
    matches!(&resolve.types[id].kind, TypeDefKind::Type(Type::Id(other)) if resolve.types[*other].name.is_some())
}

/// Returns the kind and the parts of a type.
fn definition(resolve: &Resolve, id: TypeId) -> (&'static str, Vec<Part>) {
    let kind = &resolve.types[id].kind;
    let parts = match kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| (format!("field `{}`", field.name), text(resolve, field.ty))).collect()
        }
        TypeDefKind::Variant(variant) => {
            let payload = |ty: Option<Type>| ty.map_or_else(|| "no value".to_owned(), |ty| text(resolve, ty));
            variant.cases.iter().map(|case| (format!("case `{}`", case.name), payload(case.ty))).collect()
        }
        TypeDefKind::Enum(cases) => {
            cases.cases.iter().map(|case| (format!("case `{}`", case.name), "no value".to_owned())).collect()
        }
        TypeDefKind::Flags(flags) => {
            flags.flags.iter().map(|flag| (format!("flag `{}`", flag.name), "a flag".to_owned())).collect()
        }
        TypeDefKind::Resource => Vec::new(),
        other => return ("type", vec![("type".into(), kind_text(resolve, other))]),
    };
    (kind.as_str(), parts)
}

/// Returns the parameters and the result of a function, and whether it is async.
fn function_parts(resolve: &Resolve, function: &Function) -> Vec<Part> {
    let parameters =
        function.params.iter().map(|param| (format!("parameter `{}`", param.name), text(resolve, param.ty)));
    let result = function.result.map_or_else(|| "nothing".to_owned(), |ty| text(resolve, ty));
    parameters.chain([("result".into(), result), ("kind".into(), called(function).into())]).collect()
}

fn called(function: &Function) -> &'static str {
    if function.kind.is_async() { "async func" } else { "func" }
}

/// Formats a function's signature.
fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> =
        function.params.iter().map(|param| format!("{}: {}", param.name, text(resolve, param.ty))).collect();
    let result = function.result.map(|ty| format!(" -> {}", text(resolve, ty))).unwrap_or_default();
    format!("{}({}){result}", called(function), parameters.join(", "))
}

/// Formats a type as in WIT. A named type is written by the name of its definition.
fn text(resolve: &Resolve, ty: Type) -> String {
    let plain = match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(id) => return defined(resolve, id),
    };
    plain.to_owned()
}

fn defined(resolve: &Resolve, mut id: TypeId) -> String {
    while let TypeDefKind::Type(Type::Id(other)) = &resolve.types[id].kind {
        id = *other;
    }
    let definition = &resolve.types[id];
    definition.name.clone().unwrap_or_else(|| kind_text(resolve, &definition.kind))
}

fn kind_text(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let of = |ty: &Type| text(resolve, *ty);
    let maybe = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), of);
    match kind {
        TypeDefKind::Type(ty) => of(ty),
        TypeDefKind::List(ty) => format!("list<{}>", of(ty)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", of(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", of(key), of(value)),
        TypeDefKind::Option(ty) => format!("option<{}>", of(ty)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", maybe(&result.ok), maybe(&result.err)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(of).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Handle(Handle::Own(id)) => defined(resolve, *id),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", defined(resolve, *id)),
        TypeDefKind::Future(ty) => format!("future<{}>", maybe(ty)),
        TypeDefKind::Stream(ty) => format!("stream<{}>", maybe(ty)),
        // The other kinds are always named.
        other => other.as_str().to_owned(),
    }
}
