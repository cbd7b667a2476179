//! The hostile suite: every row of docs/hostile.md that a stage can try from inside, in every
//! export where it can.
//!
//! After each attempt, the same stages run without misdeeds in this process and must make the same
//! artifacts as before. The suite runs twice at the same time: with stages in processes of their
//! own behind all walls, and with stages in one process that is pinned to one core. It is a program
//! without `#[test]`s, because the attempts deliberately share one engine and one home, one after
//! the other, and the count at the end is part of the result.

// invariant: A hostile stage harms its own run only: neither the host, nor another run, nor what
// others see.

mod calls;
mod impurities;
mod misdeeds;
mod plans;
mod shapes;
mod specials;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::Instant;

use stagewright_hostile::{Place, Workshop};

/// This variable is set for the child that is pinned to one core.
const PINNED: &str = "STAGEWRIGHT_HOSTILE_PINNED";

/// The number of a row in docs/hostile.md, its promise, and its attempts, which return how many
/// there were.
type Row = (u8, &'static str, fn(&Workshop) -> usize);

/// The rows. If a row has several entries, all of them must hold.
const ROWS: &[Row] = &[
    // invariant: An endless loop ends at the CPU limit in every export.
    (1, "an_endless_loop_ends_at_the_cpu_limit_in_every_export", |it| misdeeds::row(it, 1) + shapes::row(it, 1)),
    (2, "nothing_blocks_and_the_wall_limit_holds", |it| misdeeds::row(it, 2) + specials::wall(it)),
    (3, "giving_way_and_dawdling_add_up_to_the_cpu_limit", |it| misdeeds::row(it, 3) + specials::dawdle(it)),
    // invariant: A stage's memory limit holds for the sum of all its memories.
    (4, "memory_is_summed_over_all_memories", |it| misdeeds::row(it, 4) + shapes::row(it, 4) + shapes::ceilings(it)),
    (5, "tables_instances_and_memories_are_counted", |it| shapes::row(it, 5)),
    (6, "endless_recursion_is_a_limit_and_no_crash", |it| misdeeds::row(it, 6) + shapes::row(it, 6)),
    (7, "handles_artifacts_and_cursors_are_counted", |it| misdeeds::row(it, 7)),
    (8, "one_call_moves_so_much_and_no_more", |it| misdeeds::row(it, 8) + shapes::row(it, 8)),
    // invariant: Endless output ends at the output limit, and nothing of it becomes visible.
    (9, "endless_output_ends_at_its_limit_and_is_gone", |it| misdeeds::row(it, 9)),
    (10, "what_is_said_is_bounded_counted_and_harmless", |it| misdeeds::row(it, 10)),
    (11, "forged_files_are_only_bytes", |it| misdeeds::row(it, 11) + shapes::row(it, 11)),
    (12, "paths_are_no_names", |it| misdeeds::row(it, 12)),
    (13, "what_is_not_granted_is_refused_before_anything_runs", |it| shapes::row(it, 13) + specials::wasi(it)),
    // invariant: An instance knows nothing of an earlier run or of another stage.
    (19, "nothing_is_left_for_the_next_run", specials::remember),
    (20, "figures_that_gates_read_are_the_hosts", |it| misdeeds::row(it, 20) + specials::promotion(it)),
    (21, "cancelled_at_the_worst_moment_nothing_is_left", |it| misdeeds::row(it, 21)),
    // invariant: Clocks and random numbers of a stage are the same in every run.
    (22, "time_and_chance_are_the_same_in_every_run", specials::clocks),
    (23, "nan_payloads_and_the_order_of_categories_leave_no_trace", specials::canonical),
    // invariant: Every batch of a guest is checked, and an error names its column and row.
    (24, "every_batch_is_checked_and_the_error_names_column_and_row", |it| misdeeds::row(it, 24)),
    (25, "a_long_message_is_cut_and_escaped_wherever_it_is_shown", |it| misdeeds::row(it, 25) + shapes::row(it, 25)),
    (26, "an_answer_hangs_on_its_row_alone", |it| misdeeds::row(it, 26) + impurities::workers(it)),
    // invariant: A model's time is charged to the model, and an evaluator's time to the evaluator.
    (27, "a_stage_answers_for_its_own_time_alone", |it| impurities::evaluators_time(it) + impurities::models_time(it)),
    // invariant: Every import ends at a limit, however often a stage calls it.
    (28, "no_import_is_free", |it| calls::imports(it) + calls::wasi(it)),
    // invariant: Memory that the host keeps for a stage counts as the stage's memory.
    (29, "what_the_host_keeps_is_the_stages_memory", |it| misdeeds::row(it, 29)),
    // invariant: Work that the host does for a stage counts as the stage's time.
    (30, "what_the_host_works_is_the_stages_time", specials::host_work),
];

/// Rows that other suites check, and where.
const ELSEWHERE: &[(u8, &str)] = &[
    (14, "tests/end-to-end/tests/grants.rs, host/data/src/source/http/tests.rs"),
    (15, "host/data/src/source/http/tests.rs, tests/end-to-end/tests/grants.rs"),
    (16, "host/runtime/tests/compiling.rs"),
    (17, "tests/end-to-end/tests/trust/cached.rs, host/runtime/src/cache.rs"),
    (18, "tests/end-to-end/tests/trust/locks.rs"),
    (31, "host/runtime/src/component_sections.rs"),
];

/// Splits arguments into wanted and skipped names of rows. `cargo test` passes the same arguments
/// to every test program; all options except `--skip` are flags.
fn named(arguments: &[String]) -> (Vec<&String>, Vec<&String>) {
    let (mut wanted, mut skipped) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--skip" {
            skipped.extend(arguments.next());
        } else if !argument.starts_with('-') {
            wanted.push(argument);
        }
    }
    (wanted, skipped)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (wanted, skipped) = named(&arguments);
    let is_meant = |name: &str, parts: &[&String]| parts.iter().any(|part| name.contains(*part));
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| wanted.is_empty() || is_meant(row.1, &wanted))
        .filter(|row| !is_meant(row.1, &skipped))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        rows.iter().for_each(|row| println!("{}: test", row.1));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(PINNED).is_some() {
        return if run(&rows, "pinned", Place::Here).1 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    every_row_has_its_place();
    shapes::every_shape_is_tried();
    // The child on one core shares the machine with this process, so that both together take little
    // longer than one.
    let pinned = std::thread::spawn({
        let arguments = arguments.clone();
        move || pinned(&arguments)
    });
    let (summary, here) = run(&rows, "hostile", Place::Processes);
    let pinned = pinned.join().unwrap_or(false);
    let again = if pinned { "and again in process on one core" } else { "but NOT in process on one core" };
    let summary = format!("{summary}, {again}\n");
    print!("{summary}");
    std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.txt"), summary)
        .expect("a file in the target folder");
    if pinned && here { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries rows and sums up.
fn run(rows: &[&Row], name: &str, place: Place) -> (String, bool) {
    let began = Instant::now();
    let workshop = Workshop::open(place);
    let (mut contained, mut failed) = (0, 0);
    for (number, row, attempts) in rows {
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| attempts(&workshop))) {
            Ok(count) => {
                contained += count;
                println!(
                    "{name} row {number:2} {row} ... ok ({count} attempts, {:.1} s)",
                    start.elapsed().as_secs_f64()
                );
            }
            Err(_) => {
                failed += 1;
                println!("{name} row {number:2} {row} ... FAILED");
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let elapsed = began.elapsed().as_secs_f64();
    let failures = if failed > 0 { format!(", {failed} rows FAILED") } else { String::new() };
    let rows = rows.len();
    println!("{name}: {cores} core(s), {elapsed:.0} s");
    (
        format!(
            "hostile: {rows} rows here, {} in other suites, {contained} attempts contained{failures}",
            ELSEWHERE.len()
        ),
        failed == 0,
    )
}

/// Runs everything again on a single core. Threads and processes inherit the affinity.
fn pinned(arguments: &[String]) -> bool {
    let mut cores = rustix::thread::CpuSet::new();
    let allowed = rustix::thread::sched_getaffinity(None).expect("this thread's cores");
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).expect("a core");
    cores.set(first);
    rustix::thread::sched_setaffinity(None, &cores).expect("one of this thread's cores");
    let this = std::env::current_exe().expect("this program");
    Command::new(this).args(arguments).env(PINNED, "1").status().is_ok_and(|status| status.success())
}

/// Checks that docs/hostile.md and this suite name the same rows.
fn every_row_has_its_place() {
    let page = include_str!("../../../../docs/hostile.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    for (number, files) in ELSEWHERE {
        for file in files.split(", ") {
            assert!(root.join(file).is_file() && page.contains(file), "row {number}: {file} is not there");
        }
    }
    for (number, name, _) in ROWS {
        assert!(
            page.contains(&format!("- **{number}.** ")) && page.contains(name),
            "docs/hostile.md does not name `{name}`"
        );
    }
    let numbers: std::collections::BTreeSet<u8> =
        ROWS.iter().map(|row| row.0).chain(ELSEWHERE.iter().map(|row| row.0)).collect();
    assert!(numbers.into_iter().eq(1..=31), "a row has no place");
}
