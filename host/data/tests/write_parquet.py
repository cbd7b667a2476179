"""Writes Parquet files with times and decimals of every kind, and what pyarrow says that they hold.

usage: write_parquet.py FOLDER. One line of `expected.jsonl` per file: its columns' values as microseconds since 1970 (null where the years -9999 to 9999 have none), or as
the digits of decimals. Where one value of a column is refused, each value has a file of its own too, named FILE.ROW.
"""

import decimal
import json
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

FIRST, LAST = -377705116800000000, 253402300799999999
FACTORS = {"s": 1_000_000, "ms": 1_000, "us": 1}
decimal.getcontext().prec = 80


def microseconds(number, factor):
    value = number * factor
    return value if FIRST <= value <= LAST else None


def times(unit, chance):
    """Values of a unit: any, near the calendar's ends, and those that writers use for infinities."""
    if unit == "ns":
        # Nanoseconds end in 2262: what microseconds make of them is never out of range.
        values = [chance.randrange(-(2**63), 2**63) for _ in range(10)] + [-1, 0, 1, 999, -999, -1001, 2**63 - 1, -(2**63)]
        return values, [value // 1000 for value in values]
    factor = FACTORS[unit]
    values = [chance.randrange(FIRST // factor, LAST // factor) for _ in range(12)]
    values += [LAST // factor, LAST // factor + 1, -(-FIRST // factor), -(-FIRST // factor) - 1, 0, -1, 2**63 - 1, -(2**63) + 1]
    return values, [microseconds(value, factor) for value in values]


def main(folder):
    chance = random.Random(7)
    expected = open(f"{folder}/expected.jsonl", "w")

    def keep(file, kind, table, columns, **options):
        pq.write_table(table, f"{folder}/{file}", **options)
        if any(None in values for values in columns.values()):
            for row in range(table.num_rows):
                pq.write_table(table.slice(row, 1), f"{folder}/{file}.{row}", **options)
        expected.write(json.dumps({"file": file, "kind": kind, "columns": columns}) + "\n")

    for unit in ["s", "ms", "us", "ns"]:
        for zone in [None, "UTC", "Asia/Tokyo"]:
            values, wanted = times(unit, chance)
            if unit == "s":  # Parquet has no seconds: pyarrow writes milliseconds, and refuses what they do not hold.
                kept = [(value, want) for value, want in zip(values, wanted) if abs(value) < 2**62 // 1000]
                values, wanted = [value for value, _ in kept], [want for _, want in kept]
            array = pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone))
            for version in ["1.0", "2.6"]:
                name = f"timestamp-{unit}-{zone or 'none'}-{version}.parquet".replace("/", "-")
                # Version 1.0 has no nanoseconds; pyarrow then writes microseconds, toward zero.
                if unit == "ns" and version == "1.0":
                    continue
                keep(name, "time", pa.table({"t": array}), {"t": wanted}, version=version)
    days = [0, -1, 19728, 2932896, 2932897, -4371587, -4371588, 2**31 - 1, -(2**31)]
    days += [chance.randrange(-(2**31), 2**31) for _ in range(20)] + [chance.randrange(-4371587, 2932897) for _ in range(20)]
    dates = pa.array(days, pa.int32()).cast(pa.date32())
    keep("date32.parquet", "time", pa.table({"t": dates}), {"t": [microseconds(day, 86_400_000_000) for day in days]})
    inside = [day for day in days if -4371587 <= day <= 2932896]
    date64 = pa.array([day * 86_400_000 for day in inside], pa.int64()).cast(pa.date64())
    keep("date64.parquet", "time", pa.table({"t": date64}), {"t": [day * 86_400_000_000 for day in inside]})

    # INT96 holds what nanoseconds hold, and with microseconds all days of the calendar.
    for unit in ["us", "ns"]:
        values, wanted = times(unit, chance)
        kept = [(value, want) for value, want in zip(values, wanted) if want is not None]
        array = pa.array([value for value, _ in kept], pa.int64()).cast(pa.timestamp(unit))
        columns = {"t": [want for _, want in kept]}
        keep(f"int96-{unit}.parquet", "time", pa.table({"t": array}), columns, use_deprecated_int96_timestamps=True)

    for precision, scale in [(1, 0), (9, 2), (9, 9), (18, 4), (19, 0), (38, 10), (38, 38), (39, 1), (76, 20), (76, 76)]:
        limit = 10**precision
        unscaled = [0, 1, -1, limit - 1, 1 - limit] + [chance.randrange(1 - limit, limit) for _ in range(10)]
        numbers = [decimal.Decimal(value).scaleb(-scale) for value in unscaled]
        kind = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        table = pa.table({"d": pa.array(numbers, kind)})
        for integers in [False, True]:
            name = f"decimal-{precision}-{scale}-{integers}.parquet"
            wanted = [format(number, "f") for number in numbers]
            keep(name, "decimal", table, {"d": wanted}, store_decimal_as_integer=integers)
            assert [format(value, "f") for value in pq.read_table(f"{folder}/{name}")["d"].to_pylist()] == wanted
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
        table = pa.table({"d": pa.array([str(number) for number in range(3000)])})
        kind = "refused" if codec in ["gzip", "brotli", "lz4"] else "text"
        keep(f"codec-{codec}.parquet", kind, table, {"d": [str(number) for number in range(0, 40)]}, compression=codec)


main(sys.argv[1])
