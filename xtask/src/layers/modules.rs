//! The modules of one crate and the imports between them, read from the text of its files.
//!
//! A module in braces belongs to the file that it stands in. Code under `#[cfg(test)]` is left out:
//! tests may look at everything. A `pub use` is no import by its module, unless that module uses
//! the name itself; whoever imports a name that a module re-exports, imports it from the module
//! that defines it. So a parent that only re-exports its children is part of no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tokens::{Token, tokens};

/// The names from the crate's root to a module; empty for the root.
pub(super) type ModulePath = Vec<String>;

/// The source of a file, or `None` if there is no such file.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The place of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// From each module to those that it imports, with the first place of each import.
pub(super) type Imports = BTreeMap<ModulePath, BTreeMap<ModulePath, Place>>;

/// A path as it is written, and its line.
struct Written {
    segments: Vec<String>,
    line: usize,
}

/// A `use` of one name or of all names (`*`).
struct Use {
    path: Written,
    name: String,
    re_exported: bool,
}

#[derive(Default)]
struct Module {
    /// The module whose file this stands in.
    owner: ModulePath,
    file: PathBuf,
    children: BTreeSet<String>,
    /// The names of its items, other than modules and imports.
    items: BTreeSet<String>,
    uses: Vec<Use>,
    /// Paths in expressions, types and patterns; single names too.
    paths: Vec<Written>,
}

/// Reads a crate from its root file and returns the imports between its modules.
pub(super) fn imports(root: &Path, read: ReadFile) -> Imports {
    let mut tree = Crate { modules: BTreeMap::new(), read };
    tree.file(Vec::new(), root.to_owned(), root.parent().unwrap_or(Path::new("")));
    tree.edges()
}

struct Crate<'a> {
    modules: BTreeMap<ModulePath, Module>,
    read: ReadFile<'a>,
}

/// A file that is being read.
struct File<'a> {
    tokens: &'a [Token],
    /// The next token.
    at: usize,
    module: ModulePath,
    /// Where the files of its children lie.
    folder: &'a Path,
    /// The module of each open brace; `None` for a brace that opens no module.
    braces: Vec<Option<ModulePath>>,
    /// Whether the next item is only there in tests.
    test: bool,
    /// The file that `#[path]` gives to the next item.
    path: Option<String>,
    /// Whether a `pub` stands before the next item.
    public: bool,
}

impl File<'_> {
    /// The text of the token `ahead` of the next one; empty after the last.
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn is_word(&self, ahead: usize) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(Token::is_word)
    }

    /// The innermost module that is open here.
    fn inner_module(&self) -> ModulePath {
        self.braces.iter().rev().flatten().next().unwrap_or(&self.module).clone()
    }
}

impl Crate<'_> {
    /// Adds the module of a file, whose children lie in a folder.
    fn file(&mut self, path: ModulePath, file: PathBuf, folder: &Path) {
        let Some(source) = (self.read)(&file) else { return };
        self.modules.insert(path.clone(), Module { owner: path.clone(), file, ..Module::default() });
        let tokens = tokens(&source);
        let mut file = File {
            tokens: &tokens,
            at: 0,
            module: path,
            folder,
            braces: Vec::new(),
            test: false,
            path: None,
            public: false,
        };
        while file.at < tokens.len() {
            self.next(&mut file);
        }
    }

    /// Reads an attribute, a `pub`, the head of an item, or a path.
    fn next(&mut self, file: &mut File) {
        let module = file.inner_module();
        match file.text(0) {
            "#" if file.text(1) == "[" => return self.attribute(file, &module, 1),
            "#" if file.text(1) == "!" && file.text(2) == "[" => return self.attribute(file, &module, 2),
            _ if file.test => file.at = item_end(file.tokens, file.at),
            "pub" => {
                file.public = true;
                file.at = if file.text(1) == "(" { closing(file.tokens, file.at + 1) } else { file.at + 1 };
                return;
            }
            "use" if file.text(1) != "<" => {
                let end = file.tokens[file.at..].iter().position(|token| token.text == ";");
                let end = end.map_or(file.tokens.len(), |length| file.at + length);
                let mut names = Vec::new();
                use_tree(&file.tokens[file.at + 1..end], &[], &mut names);
                let public = file.public;
                let uses = names.into_iter().map(|(path, name)| Use { path, name, re_exported: public });
                self.module(&module).uses.extend(uses);
                file.at = end;
            }
            "mod" if file.is_word(1) => self.submodule(file, &module),
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" if file.is_word(1) => {
                if file.braces.last().is_none_or(Option::is_some) {
                    self.module(&module).items.insert(file.text(1).to_owned());
                }
                file.at += 2;
            }
            "macro_rules" if file.text(1) == "!" => {
                self.module(&module).items.insert(file.text(2).to_owned());
                let end = closing(file.tokens, file.at + 3);
                // Other names in its body are resolved at the caller.
                let paths = (file.at..end).filter(|at| file.tokens[*at].text == "crate");
                self.module(&module).paths.extend(paths.map(|at| written(file.tokens, at)));
                file.at = end;
            }
            brace @ ("{" | "}") => {
                if brace == "{" {
                    file.braces.push(None);
                } else {
                    file.braces.pop();
                }
                file.at += 1;
            }
            "." => file.at += 2,
            _ if file.is_word(0) => {
                let path = written(file.tokens, file.at);
                file.at += 2 * path.segments.len() - 1;
                self.module(&module).paths.push(path);
            }
            _ => file.at += 1,
        }
        (file.test, file.path, file.public) = (false, None, false);
    }

    /// Reads an attribute whose `[` is `open` tokens ahead. Notes whether the next item exists only
    /// in tests, its file, and the path in a `with = "..."` of serde.
    fn attribute(&mut self, file: &mut File, module: &[String], open: usize) {
        let start = file.at + open;
        let end = closing(file.tokens, start);
        let tokens = &file.tokens[start..end];
        let has = |word: &str| tokens.iter().any(|token| token.text == word);
        let test = has("cfg") && has("test") && !has("not");
        file.test |= test;
        for window in tokens.windows(3) {
            let [name, equals, value] = window else { continue };
            let Some(text) = value.text.strip_prefix('"').filter(|_| equals.text == "=") else { continue };
            if name.text == "path" {
                file.path = Some(text.to_owned());
            } else if name.text == "with" || name.text.ends_with("_with") {
                let segments = text.split("::").map(str::to_owned).collect();
                self.module(module).paths.push(Written { segments, line: value.line });
            }
        }
        // `#![cfg(test)]` applies to the whole file.
        file.at = if test && open == 2 { file.tokens.len() } else { end };
    }

    /// Reads `mod name;` with the file of that module, or `mod name {`.
    fn submodule(&mut self, file: &mut File, module: &ModulePath) {
        let name = file.text(1).to_owned();
        let child = join(module, std::slice::from_ref(&name));
        self.module(module).children.insert(name.clone());
        file.at += 3;
        if file.tokens.get(file.at - 1).is_some_and(|token| token.text == "{") {
            let (owner, path) = (file.module.clone(), self.module(&file.module).file.clone());
            self.modules.insert(child.clone(), Module { owner, file: path, ..Module::default() });
            return file.braces.push(Some(child));
        }
        let folder = module[file.module.len()..].iter().fold(file.folder.to_owned(), |folder, name| folder.join(name));
        if let Some(named) = file.path.take() {
            return self.file(child, folder.join(named), &folder);
        }
        let own_folder = folder.join(&name);
        for path in [folder.join(format!("{name}.rs")), own_folder.join("mod.rs")] {
            if (self.read)(&path).is_some() {
                return self.file(child, path, &own_folder);
            }
        }
    }

    fn module(&mut self, path: &[String]) -> &mut Module {
        self.modules.entry(path.to_vec()).or_default()
    }

    /// Returns the imports between the files of modules.
    fn edges(&self) -> Imports {
        let mut imports = Imports::new();
        for (path, module) in &self.modules {
            let re_exports = |name: &String| module.uses.iter().any(|used| used.re_exported && used.name == *name);
            let uses = module.uses.iter().filter(|used| !used.re_exported).map(|used| &used.path);
            let paths = module.paths.iter().filter(|path| match path.segments.as_slice() {
                [name] => re_exports(name),
                _ => true,
            });
            for written in uses.chain(paths) {
                let Some(absolute) = self.absolute(path, &written.segments, 0) else { continue };
                let target = &self.modules[&self.defining(&absolute, 0)].owner;
                if *target != module.owner {
                    let place = Place { file: module.file.clone(), line: written.line };
                    imports.entry(module.owner.clone()).or_default().entry(target.clone()).or_insert(place);
                }
            }
        }
        imports
    }

    /// Returns a path from the crate's root, or `None` if it leads out of the crate or names a
    /// local item.
    fn absolute(&self, module: &ModulePath, segments: &[String], depth: usize) -> Option<ModulePath> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some(join(module, rest)),
            "super" => {
                let mut base = module.clone();
                let mut rest = segments;
                while let Some((_, after)) = rest.split_first().filter(|(name, _)| *name == "super") {
                    base.pop()?;
                    rest = after;
                }
                Some(join(&base, rest))
            }
            _ if self.modules[module].children.contains(first) => Some(join(module, segments)),
            _ => {
                let used = self.modules[module].uses.iter().find(|used| used.name == *first)?;
                if depth > 8 || used.path.segments.first() == Some(first) {
                    return None;
                }
                let base = self.absolute(module, &used.path.segments, depth + 1)?;
                Some(join(&base, rest))
            }
        }
    }

    /// Returns the module that defines the item of a path from the root. Follows imports and
    /// re-exports.
    fn defining(&self, path: &[String], depth: usize) -> ModulePath {
        let known = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length])).unwrap_or(0);
        let module_path = path[..known].to_vec();
        let (module, Some(item)) = (&self.modules[&module_path], path.get(known)) else { return module_path };
        if depth > 8 || module.items.contains(item) {
            return module_path;
        }
        if let Some(used) = module.uses.iter().find(|used| used.name == *item)
            && let Some(base) = self.absolute(&module_path, &used.path.segments, 0)
        {
            let target = join(&base, &path[known + 1..]);
            return if target == path { module_path } else { self.defining(&target, depth + 1) };
        }
        for glob in module.uses.iter().filter(|used| used.name == "*") {
            if let Some(base) = self.absolute(&module_path, &glob.path.segments, 0) {
                let found = self.defining(&join(&base, &path[known..]), depth + 1);
                if self.modules[&found].items.contains(item) {
                    return found;
                }
            }
        }
        module_path
    }
}

fn join(base: &[String], rest: &[String]) -> ModulePath {
    [base, rest].concat()
}

/// Reads the path that starts at a token.
fn written(tokens: &[Token], at: usize) -> Written {
    let mut segments = vec![tokens[at].text.clone()];
    let mut next = at + 1;
    while let (Some(separator), Some(segment)) = (tokens.get(next), tokens.get(next + 1))
        && separator.text == "::"
        && segment.is_word()
    {
        segments.push(segment.text.clone());
        next += 2;
    }
    Written { segments, line: tokens[at].line }
}

/// Collects the names that a tree of `use` imports, each with its whole path.
fn use_tree(tokens: &[Token], prefix: &[String], names: &mut Vec<(Written, String)>) {
    let mut segments = prefix.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                let end = closing(tokens, at);
                let inner = &tokens[at + 1..end - 1];
                let mut depth = 0;
                for part in inner.split(|token| {
                    depth += usize::from(token.text == "{");
                    depth -= usize::from(token.text == "}");
                    depth == 0 && token.text == ","
                }) {
                    use_tree(part, &segments, names);
                }
                return;
            }
            "::" => {}
            "as" => break,
            word => segments.push(word.to_owned()),
        }
        at += 1;
    }
    let Some(line) = tokens.first().map(|token| token.line) else { return };
    let alias = tokens.get(at + 1).filter(|_| at < tokens.len()).map(|token| token.text.clone());
    let all = segments.last().is_some_and(|last| last == "*");
    if all || (segments.len() > prefix.len().min(1) && segments.last().is_some_and(|last| last == "self")) {
        segments.pop();
    }
    let name = if all { Some("*".to_owned()) } else { alias.or_else(|| segments.last().cloned()) };
    if let Some(name) = name {
        names.push((Written { segments, line }, name));
    }
}

/// Returns the index after the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Returns the index after the item, field or statement that starts at `start`.
fn item_end(tokens: &[Token], start: usize) -> usize {
    const ITEMS: [&str; 14] = [
        "pub", "use", "mod", "fn", "impl", "struct", "enum", "const", "static", "type", "trait", "unsafe", "async",
        "extern",
    ];
    let item = ITEMS.contains(&tokens[start].text.as_str());
    let import = tokens[start..].iter().take(6).any(|token| token.text == "use");
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "," if !item => return at + 1,
            "{" if !import => return closing(tokens, at),
            "(" | "[" | "{" => at = closing(tokens, at),
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}
