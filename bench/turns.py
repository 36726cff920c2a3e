# SPDX-License-Identifier: Apache-2.0
"""What the scripts of Python's peers share: rows that take turns, and the document that the benchmarks read."""
import argparse
import json
import platform
import random
import statistics
from importlib.metadata import version

LOX = "lox " + version("lox")
order = random.Random(1)


def runs_of(rows, take, quick):
    """`{row: [what take(row's value) returned in each round]}`, the rows in a new order in every round."""
    runs = {name: [] for name in rows}
    for _ in range(3 if quick else 5):
        for name in order.sample(list(rows), len(rows)):
            runs[name].append(take(rows[name]))
    return runs


def record(bench, impl, runs, **more):
    return {"bench": bench, "impl": impl, **more, "median": statistics.median(runs), "runs": runs}


def parser(doc):
    options = argparse.ArgumentParser(description=doc.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="less of everything: shows that it works, not how fast")
    return options


def show(records):
    print(json.dumps({"python": platform.python_version(), "lox": version("lox"), "records": records}, indent=1))
