"""The peer of `cargo xtask bench data --peer`: native polars, with the threads that it chooses.

Reads the tables that the run generated, computes what the run's two preparations do, and writes the
results, all as Arrow IPC files. Prints the seconds of each, with reading and writing, as JSON.
"""

import argparse
import json
import time

import polars as pl


def joined(transactions, events):
    by_time = transactions.with_row_index("row").sort("at")
    latest = events.select("user_id", "at", "device").sort("at")
    return by_time.join_asof(latest, on="at", by="user_id", strategy="backward").sort("row").drop("row")


def rolled(transactions):
    ordered = transactions.with_row_index("row").sort("user_id", "at")
    total = pl.col("amount").rolling_sum_by("at", window_size="30d", closed="right").over("user_id")
    return ordered.with_columns(total.alias("total_30d")).sort("row").drop("row")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    transactions, events = f"{folder}/transactions.arrow", f"{folder}/events.arrow"

    start = time.perf_counter()
    joined(pl.read_ipc(transactions), pl.read_ipc(events)).write_ipc(f"{folder}/peer-joined.arrow")
    join = time.perf_counter() - start

    start = time.perf_counter()
    rolled(pl.read_ipc(transactions)).write_ipc(f"{folder}/peer-rolled.arrow")
    roll = time.perf_counter() - start

    print(json.dumps({"version": pl.__version__, "join_s": join, "rolling_s": roll}))


main()
