//! Names of runs and logged models that their makers left unnamed: an adjective, an animal, a
//! number.

const ADJECTIVES: &[&str] = &[
    "able", "amused", "ancient", "bold", "brave", "bright", "calm", "candid", "casual", "clean", "clever", "crisp",
    "curious", "dapper", "daring", "eager", "early", "exact", "fair", "fast", "fearless", "flying", "gentle", "glad",
    "grand", "happy", "honest", "humble", "jolly", "keen", "kind", "lively", "loud", "loyal", "lucky", "mellow",
    "merry", "mighty", "modest", "neat", "nimble", "noble", "patient", "placid", "plain", "polite", "proud", "quick",
    "quiet", "rapid", "ready", "rich", "robust", "salty", "serene", "sharp", "silent", "simple", "smart", "smooth",
    "sober", "steady", "still", "sturdy", "subtle", "sunny", "swift", "tidy", "upbeat", "vivid", "warm", "wise",
    "witty", "zesty",
];

const ANIMALS: &[&str] = &[
    "ant", "asp", "auk", "badger", "bass", "bat", "bear", "bee", "bird", "boar", "bug", "calf", "carp", "cat", "cod",
    "colt", "cow", "crab", "crane", "crow", "cub", "deer", "doe", "dog", "dove", "duck", "eel", "elk", "ewe", "fawn",
    "finch", "fish", "fly", "fowl", "fox", "frog", "gnat", "goat", "goose", "grouse", "gull", "hare", "hawk", "hen",
    "heron", "hog", "horse", "ibis", "jay", "kit", "koi", "lamb", "lark", "loon", "lynx", "mare", "mink", "mole",
    "moth", "mouse", "mule", "newt", "owl", "ox", "perch", "pug", "quail", "ram", "rat", "ray", "rook", "seal",
    "shark", "sheep", "shrew", "shrike", "skunk", "slug", "snail", "snipe", "sow", "squid", "stag", "stork", "swan",
    "toad", "trout", "vole", "wasp", "whale", "wolf", "wren", "yak",
];

/// Returns a random name, such as `quiet-heron-417`.
pub(crate) fn random() -> String {
    let choose = |words: &[&'static str]| fastrand::choice(words).copied().unwrap_or_default();
    format!("{}-{}-{}", choose(ADJECTIVES), choose(ANIMALS), fastrand::u32(0..1000))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_has_three_parts() {
        let name = super::random();
        let parts: Vec<&str> = name.split('-').collect();
        assert!(matches!(parts[..], [_, _, number] if number.parse::<u32>().is_ok()), "{name}");
    }
}
