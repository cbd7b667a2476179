//! The key of a step: a digest over exactly the values that can change what it makes.
//!
//! Steps with one key make the same artifacts, so the second one need not be executed. The
//! functions here destructure every type of an [`Invocation`]: a new field does not compile until
//! it is decided whether it can change a result.

use serde_json::{Map, Value, json};
use stagewright_manifest::Limits;
use stagewright_store::Digest;

use crate::invocation::{
    ChampionSpec, ChampionStatus, EvaluationWork, GuestSpec, IngestionWork, InputRef, Invocation, ModelGuests,
    PreparationWork, SegmentsWork, SourceWork, TransformationWork, Work,
};

/// The version of the key's form. Another prefix gives other keys.
const PREFIX: &str = "stagewright.key.v1\n";

impl Invocation {
    /// Returns the key: the SHA-256 of [`Invocation::keyed`].
    pub fn key(&self) -> Digest {
        let mut text = PREFIX.to_owned();
        write(&self.keyed(), &mut text);
        Digest::of(text.as_bytes())
    }

    /// Returns all values that can change what the step makes, and no others.
    ///
    /// The step's name and the places that inputs come from are for people. A limit on time or
    /// output can end a step, but does not change the result of one that completes. The memory
    /// limit is included because a guest can see it, and the log limit because figures past it are
    /// dropped.
    pub fn keyed(&self) -> Value {
        let Self { format: _, host, step: _, guest, work, inputs } = self;
        let inputs: Map<String, Value> = inputs.iter().map(input).collect();
        json!({ "host": host, "guest": keyed_guest(guest), "work": keyed_work(work), "inputs": inputs })
    }
}

fn input(input: &InputRef) -> (String, Value) {
    let InputRef { role, kind, digest, from: _ } = input;
    (role.clone(), json!({ "kind": kind, "digest": digest }))
}

fn keyed_guest(guest: &GuestSpec) -> Value {
    let GuestSpec {
        world,
        contract,
        name,
        component,
        stubs,
        grants,
        canonicalize_nans,
        parameters,
        seed,
        as_of,
        limits,
    } = guest;
    let Limits { memory, cpu: _, wall: _, output: _, log } = limits;
    json!({
        "world": world,
        "contract": contract,
        "name": name,
        "component": component,
        "stubs": stubs,
        "grants": grants,
        "canonicalize_nans": canonicalize_nans,
        "parameters": parameters,
        "seed": seed,
        "as_of": as_of,
        "limits": { "memory": memory, "log": log },
    })
}

fn keyed_work(work: &Work) -> Value {
    match work {
        Work::Ingestion(work) => {
            let IngestionWork { source, signature, null_values, target, requirements } = &**work;
            let source =
                source.as_ref().map(|SourceWork { name, reading }| json!({ "name": name, "reading": reading }));
            let mut keyed = json!({ "ingestion": {
                "source": source, "signature": signature, "null_values": null_values, "target": target
            } });
            // A table that met other requirements may not meet these.
            if let Some(requirements) = requirements {
                keyed["ingestion"]["requirements"] = json!(requirements);
            }
            keyed
        }
        Work::Preparation(PreparationWork { signature, target, roles }) => {
            json!({ "preparation": { "signature": signature, "target": target, "roles": roles } })
        }
        // The bound on the number of segments can end a step, but does not change the result of one
        // that completes.
        Work::Segments(SegmentsWork { column, nulls, most: _ }) => {
            json!({ "segments": { "column": column, "nulls": nulls } })
        }
        Work::Validation => json!({ "validation": {} }),
        Work::Transformation(TransformationWork { task, target, split }) => {
            json!({ "transformation": { "task": task, "target": target, "split": split } })
        }
        Work::Training => json!({ "training": {} }),
        Work::Evaluation(work) => json!({ "evaluation": keyed_evaluation(work) }),
        Work::Promotion { gates } => json!({ "promotion": { "gates": gates } }),
    }
}

fn keyed_evaluation(work: &EvaluationWork) -> Value {
    let EvaluationWork {
        model,
        gates,
        refuse_overlap,
        rows_per_class,
        candidate,
        candidate_version,
        candidate_overlap,
        champion,
        ancestors,
    } = work;
    json!({
        "model": model,
        "gates": gates,
        "refuse_overlap": refuse_overlap,
        "rows_per_class": rows_per_class,
        "candidate": keyed_guests(candidate),
        "candidate_version": candidate_version,
        "candidate_overlap": candidate_overlap,
        "champion": keyed_champion(champion),
        "ancestors": ancestors,
    })
}

fn keyed_guests(guests: &ModelGuests) -> Value {
    let ModelGuests { transformation, training } = guests;
    json!({ "transformation": keyed_guest(transformation), "training": keyed_guest(training) })
}

fn keyed_champion(champion: &ChampionStatus) -> Value {
    match champion {
        ChampionStatus::Absent => json!({ "absent": {} }),
        ChampionStatus::Itself { version } => json!({ "itself": { "version": version } }),
        ChampionStatus::Readable(champion) => {
            let ChampionSpec { version, guests, features, task, importance, overlap } = &**champion;
            json!({ "readable": {
                "version": version,
                "guests": keyed_guests(guests),
                "features": features,
                "task": task,
                "importance": importance,
                "overlap": overlap,
            } })
        }
        ChampionStatus::Unreadable { version, model, reason } => {
            json!({ "unreadable": { "version": version, "model": model, "reason": reason } })
        }
    }
}

/// Writes a value in its canonical form: members in the order of their names, no whitespace, and
/// numbers as integers or with the fewest digits that restore them.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// The path to a member of a value, as a list of names. A name may contain dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// Returns the path for people, as in `guest.parameters.depth`.
    pub fn name(&self) -> String {
        self.0.join(".")
    }

    /// Returns the member of a value; null if there is none.
    pub fn of(&self, value: &Value) -> Value {
        self.0.iter().try_fold(value.clone(), |value, name| value.get(name).cloned()).unwrap_or_default()
    }
}

/// Returns the paths at which two [keyed](Invocation::keyed) values differ. A member that only one
/// of them has is one difference.
pub fn differing(one: &Value, other: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    compare(&Path::default(), one, other, &mut paths);
    paths
}

fn compare(path: &Path, one: &Value, other: &Value, paths: &mut Vec<Path>) {
    if one == other {
        return;
    }
    let (Value::Object(left), Value::Object(right)) = (one, other) else {
        paths.push(path.clone());
        return;
    };
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        let inner = Path([&path.0[..], std::slice::from_ref(name)].concat());
        match (left.get(name), right.get(name)) {
            (Some(one), Some(other)) => compare(&inner, one, other, paths),
            _ => paths.push(inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use stagewright_manifest::World;
    use stagewright_store::ArtifactKind;

    use super::*;
    use crate::artifact_names::TASK;
    use crate::invocation::{CONTRACT, FORMAT, HOST_SEMANTICS, Origin};

    fn invocation() -> Invocation {
        let time = Duration::from_secs(10);
        let parameters = json!({ "b": 0.1, "a": [1, 1.0, "é\n"], "c": { "y": null, "x": true } });
        let Value::Object(parameters) = parameters else { unreachable!("an object") };
        let guest = GuestSpec {
            world: World::Training,
            contract: CONTRACT.to_owned(),
            name: "train".to_owned(),
            component: Digest::of(b"code"),
            stubs: BTreeSet::new(),
            grants: BTreeSet::new(),
            canonicalize_nans: true,
            parameters,
            seed: u64::MAX,
            as_of: i64::MIN,
            limits: Limits { memory: 1 << 30, cpu: time, wall: time, output: 1 << 20, log: 1 << 10 },
        };
        let inputs = vec![InputRef {
            role: TASK.role(),
            kind: ArtifactKind::Document,
            digest: Digest::of(b"task"),
            from: Origin::Step { step: World::Transformation.into() },
        }];
        Invocation {
            format: FORMAT,
            host: HOST_SEMANTICS,
            step: World::Training.into(),
            guest,
            work: Work::Training,
            inputs,
        }
    }

    fn names(one: &Invocation, other: &Invocation) -> Vec<String> {
        differing(&one.keyed(), &other.keyed()).iter().map(Path::name).collect()
    }

    // invariant: as `whatever_can_change_a_result_changes_the_key_and_is_named`
    #[test]
    fn a_key_does_not_change_from_release_to_release() {
        // A change of the canonical form empties every cache. It must be deliberate: change PREFIX
        // with it.
        let mut text = String::new();
        write(&invocation().guest.parameters.into(), &mut text);
        assert_eq!(text, r#"{"a":[1,1.0,"é\n"],"b":0.1,"c":{"x":true,"y":null}}"#);
        let key = Invocation { host: 1, ..invocation() }.key();
        assert_eq!(key.to_hex(), "585466ef6690952f2951b9470b5829d2f34e6afd89c6c7981ec4779be7554cc8");
    }

    // invariant: as `whatever_can_change_a_result_changes_the_key_and_is_named`
    #[test]
    fn what_cannot_change_a_result_is_no_part_of_the_key() {
        let (plain, mut same) = (invocation(), invocation());
        same.format = 9;
        same.step = World::Validation.into();
        same.guest.limits.cpu *= 2;
        same.guest.limits.wall *= 3;
        same.guest.limits.output *= 4;
        same.inputs[0].from = Origin::File;
        assert_ne!(plain, same);
        assert_eq!(plain.key(), same.key());
        assert_eq!(names(&plain, &same), Vec::<String>::new());
    }

    // invariant: A key changes with everything that can change a result, and with nothing else.
    #[test]
    fn whatever_can_change_a_result_changes_the_key_and_is_named() {
        type Change = fn(&mut Invocation);
        let changes: [(Change, &str); 15] = [
            (|it| it.host += 1, "host"),
            (|it| it.guest.world = World::Validation, "guest.world"),
            (|it| it.guest.contract.push('1'), "guest.contract"),
            (|it| it.guest.name.push('1'), "guest.name"),
            (|it| it.guest.component = Digest::of(b"other"), "guest.component"),
            (|it| _ = it.guest.stubs.insert("sockets".to_owned()), "guest.stubs"),
            (|it| _ = it.guest.grants.insert("source:rows".to_owned()), "guest.grants"),
            (|it| it.guest.canonicalize_nans = false, "guest.canonicalize_nans"),
            (|it| _ = it.guest.parameters.insert("d".to_owned(), 1.into()), "guest.parameters.d"),
            (|it| it.guest.seed -= 1, "guest.seed"),
            (|it| it.guest.as_of += 1, "guest.as_of"),
            (|it| it.guest.limits.memory += 1, "guest.limits.memory"),
            (|it| it.guest.limits.log += 1, "guest.limits.log"),
            (|it| it.inputs[0].kind = ArtifactKind::Blob, "inputs.transformation.task.kind"),
            (|it| it.inputs[0].digest = Digest::of(b"other"), "inputs.transformation.task.digest"),
        ];
        let plain = invocation();
        let mut keys = BTreeSet::from([plain.key()]);
        for (change, path) in changes {
            let mut changed = plain.clone();
            change(&mut changed);
            assert!(keys.insert(changed.key()), "{path}");
            assert_eq!(names(&plain, &changed), [path]);
        }
        let mut changed = plain.clone();
        changed.inputs.clear();
        assert!(keys.insert(changed.key()));
        assert_eq!(names(&plain, &changed), ["inputs.transformation.task"]);
        let [path] = &differing(&plain.keyed(), &changed.keyed())[..] else { panic!("one difference") };
        assert_eq!(path.of(&plain.keyed())["kind"], "document");
        assert_eq!(path.of(&changed.keyed()), Value::Null);
        // A guest can tell 1 from 1.0.
        changed = plain.clone();
        changed.guest.parameters.insert("a".to_owned(), json!([1, 1, "é\n"]));
        assert!(keys.insert(changed.key()));
    }
}
