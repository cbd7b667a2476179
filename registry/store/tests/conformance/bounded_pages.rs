//! Pages of runs within a number of bytes.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{NewClientRun, Page, ViewType};

use crate::world::{World, pairs};

const KIB: usize = 1 << 10;

pub(crate) fn a_page_of_large_runs_ends_at_its_bound_and_the_next_one_goes_on(world: &World) {
    let experiment_id = world.registry.create_experiment("large", &[]).unwrap();
    let text = "x".repeat(4 * KIB);
    let begun: Vec<String> = (0..40)
        .map(|number: i64| {
            let new = NewClientRun { experiment_id, started_ms: Some(number), ..NewClientRun::default() };
            let run = world.registry.begin_client_run(&new).unwrap().run_id;
            let large: Vec<(&str, &str)> = if number % 2 == 0 { vec![("a", &text), ("b", &text)] } else { Vec::new() };
            world.registry.log_batch(&run, &[], &pairs(&large), &[]).unwrap();
            run.to_string()
        })
        .collect();
    let filter = Filter::parse(Entity::Runs, "").unwrap();
    let order = OrderBy::parse(Entity::Runs, &["start_time ASC"]).unwrap();
    let page = |most_bytes, limit, offset| {
        let asked = (&filter, &order, ViewType::Active);
        world.registry.search_runs_within(most_bytes, &[experiment_id], asked, Page { limit, offset }).unwrap()
    };
    // All of it, if it fits.
    let all = page(1 << 30, 100, 0);
    let ids: Vec<String> = all.runs.iter().map(|run| run.run_id.to_string()).collect();
    assert_eq!((&ids, all.is_cut), (&begun, false));
    assert_eq!(
        all.runs,
        world
            .registry
            .search_runs_in(&[experiment_id], &filter, &order, ViewType::Active, Page { limit: 100, offset: 0 })
            .unwrap()
    );
    // Each page ends soon after its bound, and all together are everything.
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let found = page(20 * KIB, 100, seen.len());
        assert!((1..=8).contains(&found.runs.len()), "{} runs", found.runs.len());
        seen.extend(found.runs.iter().map(|run| run.run_id.to_string()));
        pages += 1;
        if !found.is_cut {
            break;
        }
    }
    assert_eq!(seen, begun);
    assert!((6..=20).contains(&pages), "{pages}");
    // One run is a page, however large it is.
    let one = page(1, 100, 0);
    assert_eq!((one.runs.len(), one.is_cut), (1, true));
    let last = page(1, 1, 39);
    assert_eq!((last.runs.len(), last.is_cut), (1, false));
}
