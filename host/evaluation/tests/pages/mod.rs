//! Checks that all tests of pages share.

/// Text that would be harmful in HTML or SVG, or that reads as something else.
pub(crate) const HOSTILE: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&<svg onload=x>]]>--></style>\u{1b}[31m\u{0}\u{202e}";

/// Puts each element on a line of its own, for readable differences.
pub(crate) fn by_lines(markup: &str) -> String {
    markup.replace("><", ">\n<")
}

/// Asserts that hostile text appears, and only as text.
pub(crate) fn assert_harmless(markup: &str) {
    for bad in ["<script", "<img", "onload=x>", "</style>\u{1b}", "\u{1b}", "\u{0}", "\u{202e}", "]]>"] {
        assert!(!markup.contains(bad), "{bad:?} survived");
    }
    assert!(markup.contains("&lt;script&gt;"), "the text is gone instead of escaped");
}

/// Asserts that a page is self-contained.
pub(crate) fn assert_stands_alone(page: &str) {
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!outside.contains(reference), "{reference} in a page that must stand alone");
    }
    assert!(page.contains("default-src 'none'"));
}
