//! The headers of a file that is downloaded, by its name.

/// Endings of files that clients show as text, and names of MLflow's files that have none.
const TEXTS: &[&str] = &[
    "txt",
    "log",
    "err",
    "cfg",
    "conf",
    "cnf",
    "cf",
    "ini",
    "properties",
    "prop",
    "hocon",
    "toml",
    "yaml",
    "yml",
    "xml",
    "json",
    "js",
    "py",
    "py3",
    "csv",
    "tsv",
    "md",
    "rst",
    "ipynb",
    "MLmodel",
    "MLproject",
];

const OTHERS: &[(&str, &str)] = &[
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("svg", "image/svg+xml"),
    ("webp", "image/webp"),
    ("bmp", "image/bmp"),
    ("ico", "image/vnd.microsoft.icon"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("tar", "application/x-tar"),
    ("h5", "application/x-hdf5"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/x-wav"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("wasm", "application/wasm"),
];

/// Returns the last part of a path.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Returns the media type of a file.
pub(crate) fn media_type(path: &str) -> &'static str {
    let name = name_of(path);
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    if TEXTS.contains(&ending) {
        return "text/plain; charset=utf-8";
    }
    let lower = ending.to_ascii_lowercase();
    OTHERS.iter().find(|(known, _)| *known == lower).map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// Returns a `Content-Disposition` by which a browser saves the file and does not show it. A header
/// is ASCII, so that other names are given twice.
pub(crate) fn attachment(path: &str) -> String {
    let name = name_of(path);
    let ascii: String = name.chars().filter(|character| matches!(character, ' '..='~')).collect();
    let plain = if ascii.is_empty() { "download" } else { &ascii };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut header = if plain.bytes().all(is_token) {
        format!("attachment; filename={plain}")
    } else {
        format!("attachment; filename=\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
    };
    if ascii != name {
        header.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                header.push(char::from(byte));
            } else {
                header.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_those_of_mlflow() {
        let types = ["a/MLmodel", "b.json", "x/y.PNG", "model.skops", "a.b/c"].map(media_type);
        let text = "text/plain; charset=utf-8";
        assert_eq!(types, [text, text, "image/png", "application/octet-stream", "application/octet-stream"]);
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(attachment("a/b.txt"), "attachment; filename=b.txt");
        assert_eq!(attachment("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(attachment("a\"; x=\\.txt"), "attachment; filename=\"a\\\"; x=\\\\.txt\"");
        assert_eq!(attachment("ü.txt"), "attachment; filename=.txt; filename*=UTF-8''%C3%BC.txt");
        assert_eq!(attachment("日本"), "attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC");
        let split = attachment("a\r\nb");
        assert!(split.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{split}");
    }
}
