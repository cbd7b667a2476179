//! The frame of the pages.

use crate::world::World;

#[test]
fn every_page_has_a_title_a_navigation_and_the_way_to_its_json() {
    let world = World::new();
    let run = world.run("first", &[], &[]);
    for link in
        ["/runs", "/experiments", "/experiments/0", &format!("/runs/{run}"), &format!("/runs/compare?run={run}")]
    {
        let page = world.get(link);
        assert_eq!((page.status, page.media_type.as_str()), (200, "text/html; charset=utf-8"), "{link}: {}", page.text);
        for part in ["<title>", " · Stagewright</title>", "href=\"#content\"", "aria-label=\"Main\"", "format=json"] {
            assert!(page.text.contains(part), "{link} lacks {part}");
        }
        assert!(page.policy.contains("default-src 'none'"), "{}", page.policy);
        assert!(
            world.get(&format!("{link}{}format=json", if link.contains('?') { '&' } else { '?' })).json().is_object()
        );
    }
}

#[test]
fn what_does_not_exist_is_said_in_either_form() {
    let world = World::new();
    let none = "0123456789abcdef0123456789abcdef";
    for link in [&format!("/runs/{none}"), "/experiments/77", "/experiments/x", &format!("/runs/compare?run={none}")] {
        let page = world.get(link);
        assert_eq!(page.status, 404, "{link}");
        assert!(page.text.contains("Not found"), "{}", page.text);
        let sign = if link.contains('?') { '&' } else { '?' };
        let json = world.get(&format!("{link}{sign}format=json"));
        assert_eq!((json.status, json.json()["error"].as_str()), (404, Some("missing")), "{link}");
    }
    for link in
        ["/runs?view=x", "/runs?experiment=x", "/runs?page_token=3", "/runs?column=x", "/runs/compare", "/runs/curves"]
    {
        assert_eq!(world.get(link).status, 400, "{link}");
    }
}
