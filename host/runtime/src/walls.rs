//! The walls that this host can build around a stage, and those that it must build.
//!
//! The Wasm sandbox always stands. The outer walls of `stagewright-jail` need support of the
//! kernel.

use stagewright_manifest::WallPolicy;

use crate::error::RuntimeError;

/// The walls of a process, by their names in `stagewright-jail`.
const OUTER: [&str; 3] = ["seccomp", "landlock", "rlimits"];

/// The walls that this host can put around a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWalls {
    /// The outer walls that it can build.
    outer: Vec<&'static str>,
}

impl HostWalls {
    /// Asks the kernel which walls it supports. Changes nothing.
    pub fn look() -> Self {
        #[cfg(target_os = "linux")]
        let outer = stagewright_jail::Walls::of_this_system().names().collect();
        #[cfg(not(target_os = "linux"))]
        let outer = Vec::new();
        Self { outer }
    }

    /// Returns their names, from the inside out: `wasm`, `seccomp`, `landlock`, `rlimits`.
    pub fn names(&self) -> Vec<&'static str> {
        [&["wasm"], &self.outer[..]].concat()
    }

    /// Returns the outer walls that it cannot build.
    pub fn missing(&self) -> Vec<&'static str> {
        OUTER.into_iter().filter(|wall| !self.outer.contains(wall)).collect()
    }

    /// Returns the policy in force: the operator's, if given. By default, all walls are required if
    /// this host can build all of them, and the sandbox alone otherwise.
    ///
    /// # Errors
    /// [`RuntimeError::Walls`] if walls are required that cannot be built.
    pub fn policy(&self, asked: Option<WallPolicy>) -> Result<WallPolicy, RuntimeError> {
        let missing = self.missing();
        match asked {
            Some(WallPolicy::Required) if !missing.is_empty() => Err(RuntimeError::Walls { missing }),
            Some(policy) => Ok(policy),
            None if missing.is_empty() => Ok(WallPolicy::Required),
            None => Ok(WallPolicy::SandboxOnly),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: as `walls_that_a_system_lacks_are_told_and_refused_where_they_are_required`
    #[test]
    fn what_is_required_and_cannot_be_built_is_an_error_that_names_it_and_the_fix() {
        let (all, some) = (HostWalls { outer: OUTER.to_vec() }, HostWalls { outer: vec!["seccomp", "rlimits"] });
        assert_eq!(all.names(), ["wasm", "seccomp", "landlock", "rlimits"]);
        assert_eq!((some.names(), some.missing()), (vec!["wasm", "seccomp", "rlimits"], vec!["landlock"]));
        let policy = |walls: &HostWalls, asked| walls.policy(asked).expect("it holds");
        assert_eq!(policy(&all, None), WallPolicy::Required);
        assert_eq!(policy(&some, None), WallPolicy::SandboxOnly);
        for (_, asked) in WallPolicy::ALL {
            assert_eq!(policy(&all, Some(asked)), asked);
        }
        assert_eq!(policy(&some, Some(WallPolicy::SandboxOnly)), WallPolicy::SandboxOnly);
        let error = some.policy(Some(WallPolicy::Required)).expect_err("there is no Landlock");
        assert!(error.to_string().ends_with("cannot build: `landlock`"), "{error}");
        let hint = error.hint().expect("a hint");
        assert!(hint.contains("Linux 5.13") && hint.contains("`walls = \"sandbox-only\"`"), "{hint}");
        assert!(!hint.contains("filters"), "{hint}");
        let none = HostWalls { outer: Vec::new() }.policy(Some(WallPolicy::Required)).expect_err("there is none");
        assert!(none.to_string().ends_with("`seccomp`, `landlock`, `rlimits`"), "{none}");
    }

    /// The names that the messages know are those of the crate that builds the walls.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_walls_have_the_names_of_the_jail() {
        assert_eq!(stagewright_jail::Walls::ALL.names().collect::<Vec<_>>(), OUTER);
        assert!(HostWalls::look().names().starts_with(&["wasm"]));
    }
}
