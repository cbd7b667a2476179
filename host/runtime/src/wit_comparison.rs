//! Where a component and a folder of WIT differ: for the author of a component that the host
//! refuses.
//!
//! Compared are the interfaces of the component's imports and exports with those of the same name
//! in the folder, part by part, and their versions but for the patch; those of packages that the
//! folder does not have, as WASI's, are not looked at. Of an import, a component may leave out what
//! it does not use; of an export, nothing.

use std::collections::BTreeSet;
use std::path::Path;

use semver::Version;
use serde::Serialize;
use stagewright_lifecycle::fault::{guest_name, guest_text};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, Handle, InterfaceId, PackageName, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

use crate::version::answers;

/// One difference. What only one of the two has is nothing in the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitDifference {
    /// The interface, as the side that has it names it; empty if it is about the whole component.
    pub interface: String,
    /// The function or type within it; empty if it is about the whole interface.
    pub item: String,
    /// The part that differs: a field, a parameter, the result.
    pub part: String,
    /// How the component has it.
    pub component: Option<String>,
    /// How the folder has it.
    pub wit: Option<String>,
}

/// A component and what was found out about it.
struct Comparison<'a> {
    component: &'a Resolve,
    folder: &'a Resolve,
    found: Vec<WitDifference>,
}

/// The WIT of a folder, or of a file.
///
/// # Errors
/// It cannot be read as WIT: why.
pub(crate) fn folder(path: &Path) -> Result<Resolve, String> {
    let mut resolve = Resolve::default();
    resolve.push_path(path).map_err(|error| guest_text(&format!("{error:#}")))?;
    Ok(resolve)
}

/// All differences, in the order of the component's own names.
///
/// # Errors
/// The bytes are no component, or one whose types WIT cannot say: why.
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

/// Those items of a world that are interfaces.
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

    /// The component's imports or exports.
    fn interfaces(&mut self, interfaces: impl Iterator<Item = InterfaceId>, exported: bool) {
        for own in interfaces {
            // Those without a name are the component's own.
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
            // A name that is only used here is compared where it is defined.
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
                Some(other) => self.parts(name, item, &calling(component, function), &calling(folder, other)),
            }
        }
        let missing = theirs.functions.iter().filter(|(raw, _)| exported && !own.functions.contains_key(*raw));
        for (raw, function) in missing {
            self.add(name, named(raw), "function", None, Some(signature(folder, function)));
        }
    }

    /// Parts by name, and by their order if the names are the same.
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

    /// The exports of the world of the folder that the component is for; or that it is for none.
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
        // An interface that all worlds export tells none from another.
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

/// The part of a folder that belongs to an interface of a component.
enum Found {
    /// Nothing: the folder does not have its package.
    Foreign,
    /// Nothing: its package is without it.
    Missing,
    /// This one, in the version asked for if it is there.
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

/// Whether what a component asks for is there, as far as versions say.
fn same_version(component: &Resolve, own: InterfaceId, folder: &Resolve, theirs: InterfaceId) -> bool {
    match (version(component, own), version(folder, theirs)) {
        (Some(asked), Some(there)) => answers(there, asked),
        (asked, there) => asked == there,
    }
}

/// Name and text of a field, a case, a parameter.
type Part = (String, String);

/// A function's name as WIT has it; constructors keep the form that no other function has.
fn named(raw: &str) -> &str {
    ["[method]", "[static]"].into_iter().find_map(|prefix| raw.strip_prefix(prefix)).unwrap_or(raw)
}

/// Whether a type is another one's, by whatever name.
fn is_use(resolve: &Resolve, id: TypeId) -> bool {
    matches!(&resolve.types[id].kind, TypeDefKind::Type(Type::Id(other)) if resolve.types[*other].name.is_some())
}

/// Kind and parts of a type.
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

/// Parameters and result of a function, and whether it is asynchronous.
fn calling(resolve: &Resolve, function: &Function) -> Vec<Part> {
    let parameters =
        function.params.iter().map(|param| (format!("parameter `{}`", param.name), text(resolve, param.ty)));
    let result = function.result.map_or_else(|| "nothing".to_owned(), |ty| text(resolve, ty));
    parameters.chain([("result".into(), result), ("kind".into(), called(function).into())]).collect()
}

fn called(function: &Function) -> &'static str {
    if function.kind.is_async() { "async func" } else { "func" }
}

/// A function in one line.
fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> =
        function.params.iter().map(|param| format!("{}: {}", param.name, text(resolve, param.ty))).collect();
    let result = function.result.map(|ty| format!(" -> {}", text(resolve, ty))).unwrap_or_default();
    format!("{}({}){result}", called(function), parameters.join(", "))
}

/// A type as WIT writes it; one with a name by the name where it is defined.
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
        // Those have names.
        other => other.as_str().to_owned(),
    }
}
