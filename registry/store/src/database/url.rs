//! URLs of registries, and how to show them without their passwords.

/// Returns whether this names a database on a server rather than a file.
pub(crate) fn is_url(place: &str) -> bool {
    place.starts_with("postgresql://") || place.starts_with("postgres://")
}

/// Returns a URL without its password, wherever that is in it. Of a text that is not a URL, returns
/// the beginning, which cannot contain the password.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.split(|letter: char| letter.is_whitespace() || letter == '=').next().unwrap_or_default().to_owned();
    };
    // Up to the last `@`: an unescaped password may contain any character.
    let shown = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
    };
    let (address, options) = shown.split_once('?').unwrap_or((&shown, ""));
    let is_open = |option: &&str| !option.is_empty() && !option.starts_with("password");
    let options: Vec<&str> = options.split('&').filter(is_open).collect();
    let separator = if options.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{separator}{}", options.join("&"))
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgresql://ada:secret@host:5432/db?sslmode=require", "postgresql://ada@host:5432/db?sslmode=require"),
            ("postgresql://ada@host/db", "postgresql://ada@host/db"),
            ("postgresql://host/db", "postgresql://host/db"),
            ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
            ("postgresql://ada:se/cr:et@host/db", "postgresql://ada@host/db"),
            ("postgresql://ada:s@cret@host/db", "postgresql://ada@host/db"),
            ("postgresql://ada:s?cr&et@host/db?a=b", "postgresql://ada@host/db?a=b"),
            ("postgresql://host/db?password=secret&a=b", "postgresql://host/db?a=b"),
            ("postgresql://ada@host/db?password=secret", "postgresql://ada@host/db"),
            ("mysql://ada:secret@host/db", "mysql://ada@host/db"),
            ("host=h password=secret", "host"),
            ("/var/lib/stagewright.db", "/var/lib/stagewright.db"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
